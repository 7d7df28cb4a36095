//! Locks: one holder at a time, fences that only grow, and nothing vouched for that is not known.

use std::sync::Arc;
use std::time::Duration;

use coherd::backend::{Backend, Fence, LockAsk, LockToken, Locked, Signal};
use coherd::model::Key;
use futures_util::future::join_all;

use super::fixture::Fixture;
use super::kit::{Ears, LONG, SHORT, eventually, two};

fn name(text: &str) -> Key {
    Key::new(text).unwrap()
}

async fn ask(
    backend: &Arc<dyn Backend>,
    lock: &str,
    token: &LockToken,
    ttl: Duration,
    wanted: bool,
) -> Locked {
    backend.lock(LockAsk { name: &name(lock), token, ttl, wanted }).await.unwrap()
}

/// The lock, for a token of its own.
async fn take(backend: &Arc<dyn Backend>, lock: &str, ttl: Duration) -> (LockToken, Fence) {
    let token = LockToken::random();
    match ask(backend, lock, &token, ttl, false).await {
        Locked::Held(fence) => (token, fence),
        busy @ Locked::Busy { .. } => panic!("{lock}: {busy:?}"),
    }
}

async fn is_busy(backend: &Arc<dyn Backend>, lock: &str) -> bool {
    matches!(ask(backend, lock, &LockToken::random(), LONG, false).await, Locked::Busy { .. })
}

async fn extend(backend: &Arc<dyn Backend>, lock: &str, token: &LockToken, ttl: Duration) -> Option<Fence> {
    backend.extend(&name(lock), token, ttl).await.unwrap()
}

async fn unlock(backend: &Arc<dyn Backend>, lock: &str, token: &LockToken) -> bool {
    backend.unlock(&name(lock), token).await.unwrap()
}

pub(crate) async fn a_lock_has_one_holder_until_it_is_given_up<F: Fixture>() {
    let it = two::<F>().await;
    let (token, first) = take(&it.a, "l", LONG).await;
    let Locked::Busy { left } = ask(&it.b, "l", &LockToken::random(), LONG, false).await else {
        panic!("two holders")
    };
    assert!(left <= LONG && LONG / 2 < left, "{left:?}");
    let _other = take(&it.b, "another", LONG).await;
    assert!(unlock(&it.b, "l", &token).await, "through whichever instance");
    assert!(!unlock(&it.a, "l", &token).await);
    let (_, second) = take(&it.b, "l", LONG).await;
    assert!(first < second);
}

pub(crate) async fn of_many_who_ask_at_once_one_gets_it<F: Fixture>() {
    let it = two::<F>().await;
    let tokens: Vec<LockToken> = (0..50).map(|_| LockToken::random()).collect();
    let asked = tokens.iter().enumerate().map(|(number, token)| {
        let at = if number % 2 == 0 { &it.a } else { &it.b };
        ask(at, "l", token, LONG, true)
    });
    let held = join_all(asked).await.into_iter().filter(|locked| matches!(locked, Locked::Held(_))).count();
    assert_eq!(held, 1);
}

pub(crate) async fn an_expired_lock_goes_to_the_next_under_a_greater_fence<F: Fixture>() {
    let it = two::<F>().await;
    let (token, first) = take(&it.a, "l", SHORT).await;
    let second =
        eventually("it expired", async || match ask(&it.b, "l", &LockToken::random(), LONG, false).await {
            Locked::Held(fence) => Some(fence),
            Locked::Busy { .. } => None,
        })
        .await;
    assert!(first < second);
    assert_eq!(extend(&it.a, "l", &token, LONG).await, None);
    assert!(!unlock(&it.a, "l", &token).await);
    assert!(is_busy(&it.a, "l").await);
}

pub(crate) async fn an_expired_lock_is_not_extended_though_nobody_took_it<F: Fixture>() {
    let it = two::<F>().await;
    let (token, _) = take(&it.a, "l", SHORT).await;
    tokio::time::sleep(2 * SHORT).await;
    assert_eq!(extend(&it.a, "l", &token, LONG).await, None);
    assert!(!unlock(&it.a, "l", &token).await);
}

pub(crate) async fn an_extended_lock_is_held_for_longer_under_its_fence<F: Fixture>() {
    let it = two::<F>().await;
    let (token, fence) = take(&it.a, "l", 10 * SHORT).await;
    assert_eq!(extend(&it.b, "l", &token, LONG).await, Some(fence));
    tokio::time::sleep(11 * SHORT).await;
    assert!(is_busy(&it.b, "l").await);
    // Shorter is possible, too.
    assert_eq!(extend(&it.b, "l", &token, SHORT).await, Some(fence));
    eventually("it expired", async || (!is_busy(&it.b, "l").await).then_some(())).await;
}

pub(crate) async fn another_token_neither_extends_a_lock_nor_gives_it_up<F: Fixture>() {
    let it = two::<F>().await;
    let (token, fence) = take(&it.a, "l", LONG).await;
    let wrong = LockToken::random();
    assert_eq!(extend(&it.a, "l", &wrong, LONG).await, None);
    assert!(!unlock(&it.a, "l", &wrong).await);
    assert_eq!(extend(&it.a, "another", &token, LONG).await, None);
    assert_eq!(extend(&it.a, "l", &token, LONG).await, Some(fence));
}

pub(crate) async fn who_asks_again_has_it_under_the_same_fence<F: Fixture>() {
    let it = two::<F>().await;
    let (token, fence) = take(&it.a, "l", LONG).await;
    assert_eq!(ask(&it.b, "l", &token, LONG, true).await, Locked::Held(fence));
}

pub(crate) async fn who_waits_for_a_lock_hears_that_it_was_given_up<F: Fixture>() {
    let it = two::<F>().await;
    let mut ears = Ears::of(&it.b).await;
    // One that nobody waits for is given up in silence.
    let (quiet, _) = take(&it.a, "quiet", LONG).await;
    assert!(is_busy(&it.b, "quiet").await);
    assert!(unlock(&it.a, "quiet", &quiet).await);

    let (token, _) = take(&it.a, "l/ü", LONG).await;
    let waiting = LockToken::random();
    assert!(matches!(ask(&it.b, "l/ü", &waiting, LONG, true).await, Locked::Busy { .. }));
    assert!(extend(&it.a, "l/ü", &token, LONG).await.is_some());
    assert!(unlock(&it.a, "l/ü", &token).await);
    assert_eq!(ears.next().await, Some(Signal::Unlocked(name("l/ü"))));
    assert!(matches!(ask(&it.b, "l/ü", &waiting, LONG, false).await, Locked::Held(_)));
}

pub(crate) async fn a_lock_of_a_lineage_that_ended_stands_and_is_not_extended<F: Fixture>() {
    let it = two::<F>().await;
    let (token, first) = take(&it.a, "l", LONG).await;
    it.begin_another_lineage().await;
    assert!(is_busy(&it.b, "l").await, "its holder may still believe in it");
    assert_eq!(extend(&it.a, "l", &token, LONG).await, None, "another may have had it since");
    // Whoever asks for it anew with the same token is a new holder.
    let Locked::Held(second) = ask(&it.a, "l", &token, LONG, false).await else { panic!("not even its own") };
    assert!(first < second);
    assert!(unlock(&it.a, "l", &token).await);
}

pub(crate) async fn fences_grow_though_everything_is_lost<F: Fixture>() {
    let it = two::<F>().await;
    let mut last = 0;
    for round in 0..6 {
        let (token, fence) = take(&it.a, "l", LONG).await;
        assert!(last < fence, "{last} {fence}");
        last = fence;
        match round % 3 {
            0 => {
                it.fixture.flush_all().await;
                assert_eq!(extend(&it.a, "l", &token, LONG).await, None, "nothing knows of it");
            }
            1 => it.lose(0).await,
            _ => assert!(unlock(&it.b, "l", &token).await),
        }
    }
}
