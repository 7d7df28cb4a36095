//! What the server holds, spoilt by others.

use std::time::Duration;

use super::{NOTICED, detached, hit, seen, world};
use crate::chaos::faults::{CTL, Kind, LOG};
use crate::chaos::world::World;
use crate::harness::resp::Reply;

const FUNCTION: &str = "#!lua name=another\nredis.register_function('another', function() return 1 end)";

async fn command(world: &World, words: &[&str]) -> Reply {
    let mut server = world.direct().await.expect("the server is there");
    let reply = server.command(words).await.expect("the server answers");
    assert!(!matches!(reply, Reply::Error(_)), "{words:?}: {reply:?}");
    reply
}

/// The fault takes away what `before` leaves: what `after` says then.
async fn leaves(kind: Kind, before: &[&str], after: &[&str]) -> (Reply, Reply) {
    let world = world().await;
    command(&world, before).await;
    let there = command(&world, after).await;
    hit(kind, &world, Duration::ZERO).await;
    (there, command(&world, after).await)
}

/// The fault makes the instances begin a new lineage.
async fn begins_anew(kind: Kind) {
    let (before, after) = leaves(kind, &["PING"], &["HGET", CTL, "lin"]).await;
    assert!(matches!(after, Reply::Text(_)), "{after:?}");
    assert_ne!(before, after);
}

#[tokio::test]
async fn everything_is_flushed() {
    let (there, gone) = leaves(Kind::FlushAll, &["SET", "k", "v"], &["EXISTS", "k"]).await;
    assert_eq!((there.integer(), gone.integer()), (1, 0));
}

#[tokio::test]
async fn the_database_is_flushed() {
    let (there, gone) = leaves(Kind::FlushDb, &["SET", "k", "v"], &["EXISTS", "k"]).await;
    assert_eq!((there.integer(), gone.integer()), (1, 0));
}

#[tokio::test]
async fn the_log_is_trimmed() {
    let event = ["FCALL", "coherd_invalidate", "1", CTL, "tag", "t", "src", "before"];
    let log = ["XRANGE", LOG, "-", "+"];
    let (there, left) = leaves(Kind::TrimLog, &event, &log).await;
    let held = |log: &Reply| format!("{log:?}").contains(&format!("{:?}", b"before"));
    assert!(held(&there) && !held(&left), "{left:?}");
}

#[tokio::test]
async fn the_control_record_is_deleted() {
    begins_anew(Kind::DeleteCtl).await;
}

#[tokio::test]
async fn everything_is_flushed_while_an_instance_is_cut_off() {
    begins_anew(Kind::Forget).await;
    let world = world().await;
    let (struck, cut_off) = seen(Kind::Forget, &world, NOTICED, detached).await;
    assert!(cut_off.iter().any(|id| struck.target.ends_with(id.as_str())), "{struck:?}, {cut_off:?}");
}

#[tokio::test]
async fn nothing_fits_behind_a_foreign_entry() {
    begins_anew(Kind::PoisonLog).await;
}

#[tokio::test]
async fn a_foreign_entry_stands_in_the_log() {
    let world = world().await;
    let lineage = ["HGET", CTL, "lin"];
    let before = command(&world, &lineage).await;
    let struck = hit(Kind::ForeignEntry, &world, Duration::ZERO).await;
    let log = command(&world, &["XRANGE", LOG, "-", "+"]).await;
    let stands = format!("{log:?}").contains(&format!("{:?}", b"somebody"));
    assert!(stands || before != command(&world, &lineage).await, "{struck:?}, {log:?}");
}

#[tokio::test]
async fn scripts_are_flushed() {
    let sha = "e0e1f9fabfc9d4800c877a703b823ac0578ff8db";
    let (there, gone) =
        leaves(Kind::FlushScripts, &["SCRIPT", "LOAD", "return 1"], &["SCRIPT", "EXISTS", sha]).await;
    assert_eq!((there.items()[0].integer(), gone.items()[0].integer()), (1, 0));
}

#[tokio::test]
async fn functions_are_flushed() {
    let list = ["FUNCTION", "LIST", "LIBRARYNAME", "another"];
    let (there, gone) = leaves(Kind::FlushFunctions, &["FUNCTION", "LOAD", FUNCTION], &list).await;
    assert_eq!((there.items().len(), gone.items().len()), (1, 0));
}
