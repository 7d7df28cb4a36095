//! Limits that all instances share: a burst is spent once, by whomever, and regained in time.

use std::sync::Arc;
use std::time::Duration;

use coherd::backend::{Arrival, Backend};
use coherd::model::{CallerId, Namespace, Quota, Verdict};
use futures_util::future::join_all;
use tokio::time::sleep;

use super::fixture::Fixture;
use super::kit::two;

fn quota(rate: u32, per: Duration, burst: u32) -> Quota {
    Quota::new(rate, per, burst).unwrap()
}

/// One request in ten minutes, so many at once.
fn burst(burst: u32) -> Quota {
    quota(1, Duration::from_secs(600), burst)
}

async fn arrive(backend: &Arc<dyn Backend>, namespace: &str, caller: &str, quota: Quota) -> Verdict {
    let (namespace, caller) = (Namespace::new(namespace).unwrap(), CallerId::of(caller.as_bytes()));
    backend.admit(Arrival { namespace: &namespace, caller, quota }).await.unwrap()
}

fn wait(verdict: Verdict) -> Option<Duration> {
    match verdict {
        Verdict::Admitted { .. } => None,
        Verdict::Refused { wait } => Some(wait),
    }
}

pub(crate) async fn a_burst_is_spent_by_all_instances_together<F: Fixture>() {
    let it = two::<F>().await;
    for left in (0..10).rev() {
        let at = if left % 2 == 0 { &it.a } else { &it.b };
        assert_eq!(arrive(at, "users", "c", burst(10)).await, Verdict::Admitted { left });
    }
    for at in [&it.a, &it.b] {
        let wait = wait(arrive(at, "users", "c", burst(10)).await).expect("nothing is left");
        assert!(Duration::from_secs(590) < wait && wait <= Duration::from_secs(600), "{wait:?}");
    }
}

pub(crate) async fn of_many_at_once_as_many_as_the_burst_are_admitted<F: Fixture>() {
    let it = two::<F>().await;
    let arrivals = (0..105).map(|n| arrive(if n % 2 == 0 { &it.a } else { &it.b }, "users", "c", burst(100)));
    let refused = join_all(arrivals).await.into_iter().filter_map(wait).count();
    assert_eq!(refused, 5);
}

pub(crate) async fn who_waits_as_long_as_told_is_admitted<F: Fixture>() {
    let it = two::<F>().await;
    let quota = quota(10, Duration::from_secs(2), 3);
    for _ in 0..5 {
        let mut admitted = 0;
        let told = loop {
            match arrive(&it.a, "users", "c", quota).await {
                Verdict::Admitted { .. } => admitted += 1,
                Verdict::Refused { wait } => break wait,
            }
        };
        assert!(0 < admitted && told <= Duration::from_millis(200), "{admitted} {told:?}");
        sleep(told).await;
    }
}

pub(crate) async fn a_refusal_costs_nothing<F: Fixture>() {
    let it = two::<F>().await;
    assert_eq!(wait(arrive(&it.a, "users", "c", burst(1)).await), None);
    let first = wait(arrive(&it.a, "users", "c", burst(1)).await).unwrap();
    for _ in 0..20 {
        assert!(wait(arrive(&it.b, "users", "c", burst(1)).await).unwrap() <= first);
    }
}

pub(crate) async fn callers_and_namespaces_spend_their_own<F: Fixture>() {
    let it = two::<F>().await;
    for (namespace, caller) in [("users", "c"), ("users", "d"), ("other", "c")] {
        assert_eq!(wait(arrive(&it.a, namespace, caller, burst(1)).await), None, "{namespace} {caller}");
        assert!(wait(arrive(&it.b, namespace, caller, burst(1)).await).is_some(), "{namespace} {caller}");
    }
}

pub(crate) async fn a_quota_that_shrank_keeps_nobody_waiting_longer_than_it_says<F: Fixture>() {
    let it = two::<F>().await;
    for _ in 0..100 {
        assert_eq!(wait(arrive(&it.a, "users", "c", burst(100)).await), None);
    }
    let small = quota(1, Duration::from_secs(10), 2);
    let wait = wait(arrive(&it.a, "users", "c", small).await).expect("nothing is left of the smaller one");
    assert!(wait <= Duration::from_secs(10), "{wait:?}");
}

pub(crate) async fn the_extremes_of_a_quota_are_counted<F: Fixture>() {
    let it = two::<F>().await;
    let day = Duration::from_secs(24 * 3600);
    for (number, extreme) in [
        quota(1, day, 3650),
        quota(1_000_000_000, Duration::from_millis(1), 1_000_000_000),
        quota(1_000_000_000, Duration::from_millis(1), 1),
    ]
    .into_iter()
    .enumerate()
    {
        let left = match arrive(&it.a, "users", &number.to_string(), extreme).await {
            Verdict::Admitted { left } => left,
            Verdict::Refused { wait } => panic!("{extreme:?}: {wait:?}"),
        };
        assert!(left < extreme.burst() && extreme.burst() / 2 <= left + 1, "{extreme:?}: {left}");
    }
}

pub(crate) async fn what_is_spent_outlives_a_lineage_and_not_the_store<F: Fixture>() {
    let it = two::<F>().await;
    assert_eq!(wait(arrive(&it.a, "users", "c", burst(1)).await), None);
    it.begin_another_lineage().await;
    assert!(wait(arrive(&it.a, "users", "c", burst(1)).await).is_some());
    it.lose(0).await;
    assert_eq!(wait(arrive(&it.a, "users", "c", burst(1)).await), None);
}
