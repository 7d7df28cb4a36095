//! Instances that are restarted or killed behind the balancer, under load: what clients notice.

use rustix::process::Signal;

use super::Stack;
use super::load::{Kind, Load, done, failures};

/// The exit code that a shell gives for SIGKILL.
const KILLED: i32 = 128 + 9;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_of_all_instances_fails_not_one_request() {
    let stack = Stack::start().await;
    let load = Load::start(&stack).await;
    for number in 1..=3 {
        stack.replace(number, Signal::TERM, 0).await;
        load.goes_on().await;
    }
    let tallies = load.stop().await;
    assert_eq!(failures(&tallies, |_| true), [""; 0], "of {} requests", done(&tallies));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_do_not_notice_that_an_instance_is_killed() {
    let stack = Stack::start().await;
    let load = Load::start(&stack).await;
    for number in 1..=3 {
        stack.replace(number, Signal::KILL, KILLED).await;
        // One at a time: with all three out there is nobody to answer.
        stack.taken_in(number).await;
        load.goes_on().await;
    }
    let tallies = load.stop().await;
    // A write that was under way may have been carried out or not: its client must know.
    let reads = |kind| matches!(kind, Kind::Read | Kind::Bulk);
    assert_eq!(failures(&tallies, reads), [""; 0], "of {} requests", done(&tallies));
}
