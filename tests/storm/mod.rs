//! Very many invalidations: nobody falls behind for good, nobody grows, nobody answers with what is too old.
//!
//! `COHERD_STORM_SECONDS` makes the storm longer than the few seconds of every day; `COHERD_BINARY` is what is measured.

mod full;
mod reader;

use std::fs;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::harness::instance::{Cluster, Instance, NAMESPACE, Setup};
use crate::harness::wait::eventually;
use crate::harness::wind::{Blown, blow};
use reader::Watched;

/// Events a second that are asked for.
const RATE: u32 = 20_000;
/// D of the instances.
const MAX_STALENESS: Duration = Duration::from_secs(1);
/// By how much an instance may be larger after the storm than after the first gust of it, in KiB: fragments of its
/// allocator, and what the machine's own threads keep.
const GROWTH_MAX_KIB: u64 = 24 * 1024;
/// To have applied what has piled up on a machine that is busy with the storm itself.
const CALM: Duration = Duration::from_secs(60);

/// How long the storm is to be.
fn length() -> Duration {
    let seconds = std::env::var("COHERD_STORM_SECONDS").ok().and_then(|text| text.parse().ok());
    Duration::from_secs(seconds.unwrap_or(3))
}

/// What the process keeps in memory, in KiB.
fn resident_kib(instance: &Instance) -> u64 {
    let id = instance.process_id().expect("the instance runs");
    let status = fs::read_to_string(format!("/proc/{id}/status")).expect("a process has a status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("memory is part of it");
    line.trim().trim_end_matches(" kB").parse().expect("a number of KiB")
}

/// Waits until every instance has applied all there is, and may trust its copies.
async fn calm(cluster: &Cluster) {
    // Not what the instance takes for the head: that is only what it has heard of.
    let last = cluster.server.command(&["XREVRANGE", "coherd:{main}:log", "+", "-", "COUNT", "1"]).await;
    let head = last.items()[0].items()[0].text();
    for node in &cluster.nodes {
        eventually(&format!("{} has caught up", node.instance.id()), CALM, async || {
            let stats = node.instance.admin("/stats").await;
            let log = &stats["log"];
            let lag = node.instance.metric("coherd_log_lag_events").await;
            stats["attached"] == true && log["lag_events"] == 0 && log["cursor"] == *head && lag == Some(0.0)
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::print_stderr, reason = "the rate that this machine makes is part of the result")]
async fn in_a_storm_nobody_falls_behind_for_good_or_grows_or_answers_with_what_is_too_old() {
    let staleness = humantime::format_duration(MAX_STALENESS).to_string();
    let setup = Setup::new(3)
        .set("log.level", "info")
        .set("coherence.max_staleness", staleness)
        .namespace("ttl", "1h");
    let cluster = Cluster::with(setup).await;

    // The first gust: buffers are as large as they get, the log is full, allocators are warm.
    let connect = async || Some(cluster.server.connect().await);
    blow(connect, NAMESPACE, RATE, Duration::from_secs(1)).await;
    calm(&cluster).await;
    let before: Vec<u64> = cluster.nodes.iter().map(|node| resident_kib(&node.instance)).collect();

    let watched = Watched::default();
    let began = Instant::now();
    let storm = blow(connect, NAMESPACE, RATE, length());
    let (Blown { logged: sent, refused }, reads) =
        tokio::join!(storm, async { watched.follow(&cluster, sleep(length())).await });
    assert_eq!(refused, 0, "beside {sent} that were logged");
    let rate = f64::from(u32::try_from(sent).unwrap_or(u32::MAX)) / began.elapsed().as_secs_f64();
    let blown = Instant::now();
    calm(&cluster).await;
    let caught_up = blown.elapsed();
    watched.converged(&cluster).await;

    let after: Vec<u64> = cluster.nodes.iter().map(|node| resident_kib(&node.instance)).collect();
    eprintln!(
        "{sent} events at {rate:.0} a second; caught up {caught_up:.1?} after the last; resident KiB {before:?} before, \
         {after:?} after; {reads:?}"
    );
    for (node, (before, after)) in cluster.nodes.iter().zip(before.iter().zip(&after)) {
        let grown = after.saturating_sub(*before);
        assert!(grown <= GROWTH_MAX_KIB, "{} has grown by {grown} KiB", node.instance.id());
        let restarts = node.instance.admin("/stats").await["tasks"].clone();
        let restarted = |task: &serde_json::Value| task["restarts"] != 0 || task["up"] != true;
        assert!(!restarts.as_object().expect("tasks").values().any(restarted), "{restarts}");
    }
    assert!(0 < reads.checked, "nothing was read");
}
