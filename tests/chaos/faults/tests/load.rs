//! Too much of what is allowed.

use std::time::Duration;

use rand::SeedableRng as _;
use rand::rngs::StdRng;

use super::world;
use crate::chaos::faults::{load, recovered};

const HOLD: Duration = Duration::from_millis(200);

#[tokio::test]
async fn the_largest_values_are_kept_and_larger_ones_passed_on() {
    let world = world().await;
    let (_, answers) = load::limit_values(&world, &mut StdRng::seed_from_u64(1), HOLD).await;
    let status = |size: usize, part: &str| {
        let of_size = answers.iter().filter(|answer| answer.body.len() == size);
        of_size
            .filter(|answer| answer.header("cache-status").is_some_and(|status| status.contains(part)))
            .count()
    };
    // Some loads may take too long on a machine that is busy.
    assert!(0 < status(load::VALUE_MAX, "hit"), "{} answers", answers.len());
    assert!(0 < status(load::VALUE_MAX + 1, "too-large"), "{} answers", answers.len());
    assert_eq!(status(load::VALUE_MAX + 1, "hit"), 0);
    recovered(&world).await.expect("nothing else is broken");
}

#[tokio::test]
async fn a_tag_takes_very_many_entries_along() {
    let world = world().await;
    let (struck, _) = load::many_tagged(&world, &mut StdRng::seed_from_u64(1), HOLD).await;
    assert!(struck.target.ends_with("100000 entries, 10 then 0 valid"), "{struck:?}");
    recovered(&world).await.expect("nothing else is broken");
}

#[tokio::test]
async fn a_storm_blows() {
    let world = world().await;
    let (_, blown) = load::storm(&world, Duration::from_secs(1)).await;
    assert!(500 < blown.logged, "{blown:?}");
    assert_eq!(blown.refused, 0);
    recovered(&world).await.expect("nothing else is broken");
}
