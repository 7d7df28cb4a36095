//! What comes from outside as text: events, and the headers of requests and answers.

use std::hint::black_box;

use coherd::coherence::form::from_json;
use coherd::model::tags::{Spelling, parse};
use coherd::model::{CacheControl, TraceParent};
use criterion::Criterion;

/// An event as a publisher sends it.
pub(crate) fn event(criterion: &mut Criterion) {
    let one = br#"{"namespace": "users", "keys": ["1"]}"#;
    let many = format!(
        r#"{{"namespace": "users", "keys": [{}], "tags": ["team:7"], "source": "billing", "reason": "plan changed"}}"#,
        (0..100).map(|number| format!("\"{number}\"")).collect::<Vec<_>>().join(", ")
    );
    let mut group = criterion.benchmark_group("event");
    for (name, text) in [("one key", &one[..]), ("100 keys", many.as_bytes())] {
        group.bench_function(name, |bencher| {
            bencher.iter(|| from_json(black_box(text)).expect("a whole event"));
        });
    }
    group.finish();
}

/// Headers that are looked at on the way.
pub(crate) fn headers(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("header");
    let line: &[u8] = b"max-age=60, stale-while-revalidate=30, stale-if-error=600";
    group.bench_function("Cache-Control", |bencher| {
        bencher.iter(|| CacheControl::parse([black_box(line)]));
    });
    for (name, spelling, line) in [
        ("Cache-Tag", Spelling::Commas, &b"team:7,user:1,plan:gold"[..]),
        ("Surrogate-Key", Spelling::Spaces, b"team:7 user:1 plan:gold"),
        ("Cache-Groups", Spelling::Strings, br#""team:7", "user:1", "plan:gold""#),
    ] {
        group.bench_function(name, |bencher| bencher.iter(|| parse(spelling, black_box(line))));
    }
    let line = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    group.bench_function("traceparent", |bencher| bencher.iter(|| TraceParent::parse(black_box(line))));
    group.finish();
}
