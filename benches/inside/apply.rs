//! An event as an instance applies it, and the names that cover a key.

use std::hint::black_box;

use coherd::model::{Event, Target, covering};
use criterion::{BenchmarkId, Criterion};

use crate::look_up::{attached, key, namespace, tag};

/// Marks what an event names and moves the cursor.
pub(crate) fn apply(criterion: &mut Criterion) {
    let (view, _) = attached();
    let mut group = criterion.benchmark_group("apply");
    let one = Event::hard(vec![Target::Key(namespace(), key("eu/users/1"))]);
    let tags = Event::hard((0..10).map(|it| Target::Tag(tag(it))).collect());
    for (name, event) in [("one key", one), ("ten tags", tags)] {
        let mut seq = 1;
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                seq += 1;
                view.mark(seq, black_box(&event));
                view.advance(seq);
            });
        });
    }
    group.finish();
}

/// Its own name, its namespace's, and those of its prefixes.
pub(crate) fn covering_names(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("covering");
    for text in ["1", "eu/users/1", "a/b/c/d/e/f/g/h/i"] {
        let key = key(text);
        group.bench_function(BenchmarkId::from_parameter(text), |bencher| {
            bencher.iter(|| covering(black_box(&namespace()), black_box(&key)));
        });
    }
    group.finish();
}
