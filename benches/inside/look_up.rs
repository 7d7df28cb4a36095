//! A look-up in moka and the judgement of what it gave, beside moka alone.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use coherd::backend::Token;
use coherd::clock::Clock;
use coherd::coherence::SLOTS;
use coherd::coherence::core::{Slots, Stamp, View};
use coherd::model::{Key, LineageId, Name, Namespace, Tag, covering};
use criterion::{BenchmarkId, Criterion};
use moka::sync::Cache;
use rand::seq::SliceRandom as _;

/// Longer than any run: the judgement is that of an instance that is attached.
const MAX_STALENESS: Duration = Duration::from_hours(1);
const KEYS: [usize; 2] = [1_000, 1_000_000];
const TAGS: [usize; 3] = [0, 8, 32];

/// An entry as L1 holds it, as far as the judgement needs it.
struct Held {
    stamp: Stamp,
    slots: Slots,
}

/// A view that is attached, and the stamp of its last event.
pub(crate) fn attached() -> (View, Stamp) {
    let view = View::new(SLOTS);
    let token = Token { lineage: LineageId::new("bench"), seq: 1 };
    view.begin(token.lineage.clone(), token.seq);
    view.prove(Clock::Boottime.now());
    let stamp = view.stamp(&token).expect("a lineage that was begun is followed");
    (view, stamp)
}

pub(crate) fn namespace() -> Namespace {
    Namespace::new("bench").expect("a name of a namespace")
}

pub(crate) fn key(text: &str) -> Key {
    Key::new(text).expect("a key")
}

pub(crate) fn tag(number: usize) -> Tag {
    Tag::new(&format!("tag-{number}")).expect("a tag")
}

/// A hit in L1: found, and judged.
pub(crate) fn look_up(criterion: &mut Criterion) {
    let (view, stamp) = attached();
    let mut group = criterion.benchmark_group("look_up");
    for count in KEYS {
        let cache: Cache<Arc<str>, Arc<Held>> = Cache::new(2 * count as u64);
        let mut keys: Vec<Arc<str>> = (0..count).map(|number| format!("k{number}").into()).collect();
        for text in &keys {
            let slots = Slots::of(&covering(&namespace(), &key(text)));
            cache.insert(Arc::clone(text), Arc::new(Held { stamp, slots }));
        }
        cache.run_pending_tasks();
        keys.shuffle(&mut rand::rng());
        let judged = |text: &str| {
            let held = cache.get(text);
            held.is_some_and(|it| {
                view.judge(it.stamp, &it.slots, Clock::Boottime.now(), MAX_STALENESS).valid()
            })
        };
        let mut next = keys.iter().cycle();
        group.bench_function(BenchmarkId::new("moka get + judge", count), |bencher| {
            bencher.iter(|| assert!(judged(black_box(next.next().expect("a cycle has no end")))));
        });
        group.bench_function(BenchmarkId::new("moka get", count), |bencher| {
            bencher.iter(|| cache.get(&**black_box(next.next().expect("a cycle has no end"))));
        });
    }
    group.finish();
}

/// The judgement alone, by the tags of the entry.
pub(crate) fn judge(criterion: &mut Criterion) {
    let (view, stamp) = attached();
    let mut group = criterion.benchmark_group("judge");
    for tags in TAGS {
        let own = covering(&namespace(), &key("eu/users/1"));
        let names: Vec<Name> = own.into_iter().chain((0..tags).map(|it| Name::tag(&tag(it)))).collect();
        let slots = Slots::of(&names);
        group.bench_function(BenchmarkId::new("tags", tags), |bencher| {
            bencher.iter(|| {
                view.judge(black_box(stamp), black_box(&slots), Clock::Boottime.now(), MAX_STALENESS)
            });
        });
    }
    group.bench_function("the clock alone", |bencher| bencher.iter(|| Clock::Boottime.now()));
    group.finish();
}
