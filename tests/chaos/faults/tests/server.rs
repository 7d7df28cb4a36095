//! Servers that die, come back with less, stand still, run full or are replaced.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use super::{NOTICED, detached, seen, world};
use crate::chaos::faults::{CTL, Kind};
use crate::chaos::world::{Setup, World};
use crate::harness::resp::Reply;
use crate::harness::server::Options;

const HOLD: Duration = Duration::from_millis(300);
const KEY: &str = "faults:kept";
const COUNT: &str = "faults:count";

async fn command(world: &World, words: &[&str]) -> Reply {
    let mut server = world.direct().await.expect("the server is there");
    server.command(words).await.expect("the server answers")
}

/// The server is another after the fault: whether it has what was set before, and whether it has lost what it
/// acknowledged meanwhile.
async fn kept(kind: Kind, world: World) -> (bool, bool) {
    let run = async || world.server.lock().await.info("run_id").await;
    let before = run().await;
    assert_eq!(command(&world, &["SET", KEY, "before"]).await.text(), "OK");
    let acknowledged = AtomicI64::new(0);
    let count = async |_: &_| {
        let Some(mut server) = world.direct().await else { return false };
        if let Ok(Reply::Integer(count)) = server.command(&["INCR", COUNT]).await {
            acknowledged.fetch_max(count, Ordering::Relaxed);
        }
        false
    };
    seen(kind, &world, HOLD, count).await;
    assert_ne!(run().await, before);
    let held = command(&world, &["EXISTS", KEY]).await == Reply::Integer(1);
    let count = match command(&world, &["GET", COUNT]).await {
        Reply::Text(count) => String::from_utf8(count).ok().and_then(|count| count.parse().ok()),
        _ => None,
    };
    (held, count.unwrap_or(0) < acknowledged.into_inner())
}

#[tokio::test]
async fn a_killed_server_has_all_it_had() {
    let setup = Setup { server: Options::default().appendonly(), ..Setup::new(2, 1) };
    assert_eq!(kept(Kind::ServerKill, World::start(setup).await).await, (true, false));
}

#[tokio::test]
async fn a_server_comes_back_with_what_it_had_before() {
    let setup = Setup { server: Options::default().appendonly(), ..Setup::new(2, 1) };
    assert_eq!(kept(Kind::ServerOldDump, World::start(setup).await).await, (true, true));
}

#[tokio::test]
async fn a_server_comes_back_with_less_and_goes_on_before_the_instances_are_back() {
    assert_eq!(kept(Kind::ServerRewound, world().await).await, (true, true));
}

#[tokio::test]
async fn a_server_comes_back_with_nothing() {
    let (before, _) = kept(Kind::ServerEmpty, world().await).await;
    assert!(!before);
}

#[tokio::test]
async fn a_replica_that_was_held_back_takes_over() {
    assert_eq!(kept(Kind::Promote, world().await).await, (true, true));
}

#[tokio::test]
async fn a_paused_server_answers_nobody() {
    let world = world().await;
    let (_, detached) = seen(Kind::ServerPause, &world, NOTICED, detached).await;
    assert_eq!(detached.len(), 2);
}

#[tokio::test]
async fn a_full_server_takes_nothing_more() {
    let world = world().await;
    let refused = async |_: &_| {
        let big = "x".repeat(1 << 20);
        matches!(command(&world, &["SET", KEY, &big]).await, Reply::Error(error) if error.starts_with("OOM"))
    };
    let (_, refused) = seen(Kind::MemoryFull, &world, HOLD, refused).await;
    assert!(!refused.is_empty());
    assert_eq!(command(&world, &["SET", KEY, "v"]).await.text(), "OK");
}

#[tokio::test]
async fn an_instance_is_left_with_a_primary_that_refuses_writes() {
    let world = world().await;
    let lineage = command(&world, &["HGET", CTL, "lin"]).await;
    let before = *world.primary.borrow();
    // Only the isolated one is cut off for so long, and answers all the same.
    let long = Duration::from_secs(2);
    let apart = async |at: &_| *world.primary.borrow() != before && detached(at).await;
    let (_, cut_off) = seen(Kind::Isolate, &world, long, apart).await;
    assert!(!cut_off.is_empty());
    assert_ne!(*world.primary.borrow(), before);
    assert_ne!(command(&world, &["HGET", CTL, "lin"]).await, lineage);
}
