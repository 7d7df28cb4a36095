//! What stands before every load and every request, beside a bare mutex that is locked and unlocked.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use coherd::clock::Clock;
use coherd::guard::{Breaker, BreakerSettings, RateLimit};
use coherd::model::{CallerId, Quota, Verdict};
use criterion::Criterion;

/// Callers that are told apart.
const CALLERS: u32 = 1_000;

/// A breaker that is asked and told.
pub(crate) fn breaker(criterion: &mut Criterion) {
    let breaker = Breaker::new(BreakerSettings {
        target: "bench".to_owned(),
        failures: 5,
        open_for: Duration::from_secs(5),
        probe_max: Duration::from_secs(2),
    });
    let mut group = criterion.benchmark_group("breaker");
    group.bench_function("asked and told", |bencher| {
        bencher.iter(|| breaker.enter().expect("nothing has failed").tell(true));
    });
    let mutex = Mutex::new(0_u64);
    group.bench_function("bare mutex", |bencher| {
        bencher.iter(|| *mutex.lock().unwrap_or_else(PoisonError::into_inner) += 1);
    });
    group.finish();
}

/// A rate limit that counts one of many callers.
pub(crate) fn rate_limit(criterion: &mut Criterion) {
    // As much as anybody can spend in a second.
    let quota = Quota::new(u32::MAX, Duration::from_secs(1), u32::MAX).expect("a quota that is regained");
    let limit = RateLimit::new(quota, Clock::Boottime);
    let callers: Vec<CallerId> = (0..CALLERS).map(|number| CallerId::of(&number.to_le_bytes())).collect();
    let mut next = callers.iter().cycle();
    criterion.bench_function("rate limit/admit", |bencher| {
        bencher.iter(|| {
            let caller = next.next().expect("a cycle has no end");
            assert!(matches!(limit.admit(*caller), Verdict::Admitted { .. }));
        });
    });
}
