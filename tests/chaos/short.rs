//! The short form, a part of every `make test`: a seed for each sort of trouble, and one without.

use std::time::Duration;

use super::faults::Kind;
use super::{judge, plan};
use crate::history::Writes;

/// How long the workload goes on.
const LENGTH: Duration = Duration::from_secs(12);

async fn holds(seed: u64, kinds: &[Kind]) -> Writes {
    let ran = judge(plan(seed, LENGTH, kinds.to_vec())).await;
    assert_eq!(ran.verdict.violations.len(), 0, "promises were broken");
    let figures = &ran.verdict.figures;
    // A run that read or broke nothing has shown nothing.
    assert!(300 < figures.reads.bound, "{:?}", figures.reads);
    let (taken, applied) =
        (figures.writes.asked.values().map(|(_, taken)| taken).sum::<u64>(), figures.writes.applied);
    assert!(50 < taken && 0 < applied, "{:?}", figures.writes);
    assert!(kinds.is_empty() || !figures.faults.is_empty(), "nothing was broken");
    ran.verdict.figures.writes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_faults_no_promise_is_broken() {
    holds(1, &[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_instances_die_and_stand_still_no_promise_is_broken() {
    holds(2, &[Kind::Kill, Kind::KillInLoad, Kind::KillInWait, Kind::Pause]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_wires_break_no_promise_is_broken() {
    holds(3, &[Kind::Cut, Kind::Delay, Kind::Stall, Kind::Unheard, Kind::Deaf, Kind::Reset]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_server_is_spoilt_no_promise_is_broken() {
    holds(4, &[Kind::FlushAll, Kind::TrimLog, Kind::DeleteCtl, Kind::ForeignEntry, Kind::FlushScripts]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_servers_die_and_come_back_as_others_no_promise_is_broken() {
    holds(5, &[Kind::ServerOldDump, Kind::ServerEmpty, Kind::ServerPause, Kind::Promote, Kind::Isolate])
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_slots_of_a_cluster_move_no_promise_is_broken() {
    holds(10, &[Kind::SlotMoved, Kind::Kill, Kind::Pause]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_primaries_of_a_cluster_die_no_promise_is_broken() {
    holds(11, &[Kind::PrimaryKilled, Kind::SlotMoved]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_origins_fail_no_promise_is_broken() {
    holds(6, &[Kind::OriginSlow, Kind::OriginHangs, Kind::OriginFails, Kind::KillInLoad, Kind::Kill]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_writers_die_and_the_origin_is_late_no_write_is_lost() {
    holds(8, &[Kind::KillInFlush, Kind::OriginLate, Kind::LongPause, Kind::OriginFails, Kind::Kill]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_a_server_with_a_file_dies_no_write_is_lost() {
    let Writes { kept, forgotten, .. } = holds(9, &[Kind::ServerKill]).await;
    // The disk has each of them, as their answers say, and nothing excuses the loss of any.
    let acknowledged: u64 = kept.values().sum();
    assert!(20 < acknowledged && kept.get("aof") == Some(&acknowledged) && forgotten == 0, "{kept:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_whatever_can_break_does_no_promise_is_broken() {
    holds(7, Kind::ALL).await;
}
