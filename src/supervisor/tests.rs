//! What becomes of tasks that fail, panic, end early or do not stop; tokio's clock is paused.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::{Stage, Supervisor, TaskResult, TaskStatus};
use crate::telemetry::Metrics;

const SOON: Duration = Duration::from_secs(1);

fn supervisor() -> (Supervisor, Metrics) {
    let metrics = Metrics::new(&[], "0", "0").unwrap();
    (Supervisor::new(metrics.tasks.clone()), metrics)
}

/// A task that ends by `end` on its first runs and then runs until stopped; and how often it was begun.
fn faulty<E>(
    times: usize,
    end: E,
) -> (impl Fn(CancellationToken) -> TaskFuture + Send + Sync, Arc<AtomicUsize>)
where
    E: Fn() -> TaskResult + Send + Sync + Copy + 'static,
{
    let runs = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&runs);
    let make = move |stop: CancellationToken| -> TaskFuture {
        let run = counted.fetch_add(1, Ordering::Relaxed);
        Box::pin(async move {
            if run < times {
                return end();
            }
            stop.cancelled().await;
            Ok(())
        })
    };
    (make, runs)
}

type TaskFuture = std::pin::Pin<Box<dyn Future<Output = TaskResult> + Send>>;

fn panicking() -> TaskResult {
    panic!("on purpose")
}

async fn until(supervisor: &Supervisor, name: &str, holds: impl Fn(&TaskStatus) -> bool) {
    let mut board = supervisor.follow();
    let seen = timeout(Duration::from_mins(10), board.wait_for(|board| board.get(name).is_some_and(&holds)));
    seen.await.expect("the condition within ten minutes").expect("the supervisor lives");
}

fn shows(metrics: &Metrics, line: &str) {
    let text = metrics.text();
    assert!(text.lines().any(|it| it == line), "no `{line}` in\n{text}");
}

#[tokio::test(start_paused = true)]
async fn a_task_that_fails_panics_or_ends_early_runs_again() {
    type End = fn() -> TaskResult;
    let ends: [(&str, End); 3] =
        [("failing", || Err("broken".into())), ("panicking", panicking), ("early", || Ok(()))];
    for (name, end) in ends {
        let (supervisor, metrics) = supervisor();
        let (make, runs) = faulty(2, end);
        supervisor.task(Stage::Coherence, name, make);
        until(&supervisor, name, |status| status.up && status.restarts == 2).await;
        assert_eq!(runs.load(Ordering::Relaxed), 3);
        shows(&metrics, &format!("coherd_task_up{{task=\"{name}\"}} 1"));
        shows(&metrics, &format!("coherd_task_restarts_total{{task=\"{name}\"}} 2"));
        let panics = if name == "panicking" { 2 } else { 0 };
        shows(&metrics, &format!("coherd_task_panics_total{{task=\"{name}\"}} {panics}"));

        assert_eq!(supervisor.stop(Stage::Coherence, Instant::now() + SOON).await, 0);
        assert!(!supervisor.status()[name].up);
        assert_eq!(runs.load(Ordering::Relaxed), 3, "what was asked to stop is not restarted");
    }
}

#[tokio::test(start_paused = true)]
async fn a_task_whose_making_panics_is_restarted_too() {
    let (supervisor, _metrics) = supervisor();
    let first = AtomicUsize::new(0);
    supervisor.task(Stage::Door, "door", move |stop| {
        assert!(0 < first.fetch_add(1, Ordering::Relaxed), "on purpose");
        async move {
            stop.cancelled().await;
            Ok(())
        }
    });
    until(&supervisor, "door", |status| status.up && status.restarts == 1).await;
}

#[tokio::test(start_paused = true)]
async fn pauses_grow_until_a_run_was_healthy() {
    let (supervisor, _metrics) = supervisor();
    // Eight failures at once, a run of a minute, one more failure.
    let run = AtomicUsize::new(0);
    supervisor.task(Stage::Write, "worker", move |stop| {
        let run = run.fetch_add(1, Ordering::Relaxed);
        async move {
            match run {
                0..8 | 9 => Err("broken".into()),
                8 => {
                    sleep(Duration::from_mins(1)).await;
                    Err("broken".into())
                }
                _ => {
                    stop.cancelled().await;
                    Ok(())
                }
            }
        }
    });
    let start = Instant::now();
    until(&supervisor, "worker", |status| status.restarts == 8).await;
    // 50 ms, doubled seven times up to 5 s: 11.35 s without jitter.
    assert!(Duration::from_secs(11) < start.elapsed(), "{:?}", start.elapsed());
    until(&supervisor, "worker", |status| status.restarts == 9).await;
    assert!(start.elapsed() < Duration::from_secs(60 + 23 + 1), "{:?}", start.elapsed());
    let second = Instant::now();
    until(&supervisor, "worker", |status| status.restarts == 10).await;
    assert!(second.elapsed() < SOON, "the pauses did not start over: {:?}", second.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_task_that_panics_again_and_again_is_given_up() {
    let (supervisor, metrics) = supervisor();
    let (make, runs) = faulty(usize::MAX, panicking);
    supervisor.task(Stage::Coherence, "tail", make);
    let name = timeout(Duration::from_mins(1), supervisor.given_up()).await.unwrap();
    assert_eq!(name, "tail");
    assert_eq!(runs.load(Ordering::Relaxed), 5);
    let status = supervisor.status()["tail"];
    assert!(status.given_up && !status.up);
    assert_eq!(status.restarts, 4);
    shows(&metrics, r#"coherd_task_up{task="tail"} 0"#);
    shows(&metrics, r#"coherd_task_panics_total{task="tail"} 5"#);
}

#[tokio::test(start_paused = true)]
async fn errors_alone_never_give_a_task_up() {
    let (supervisor, _metrics) = supervisor();
    let (make, _) = faulty(usize::MAX, || Err("no connection".into()));
    supervisor.task(Stage::Backend, "link", make);
    until(&supervisor, "link", |status| status.restarts == 50).await;
    assert!(!supervisor.status()["link"].given_up);
}

#[tokio::test(start_paused = true)]
async fn tasks_of_one_name_are_up_when_all_are() {
    let (supervisor, _metrics) = supervisor();
    let (healthy, _) = faulty(0, panicking);
    let (broken, _) = faulty(usize::MAX, panicking);
    supervisor.task(Stage::Coherence, "shard", healthy);
    until(&supervisor, "shard", |status| status.up).await;
    supervisor.task(Stage::Coherence, "shard", broken);
    until(&supervisor, "shard", |status| status.given_up).await;
    assert!(!supervisor.status()["shard"].up);
}

#[tokio::test(start_paused = true)]
async fn a_stop_waits_for_its_stage_and_leaves_the_others() {
    let (supervisor, metrics) = supervisor();
    let (make, _) = faulty(0, panicking);
    supervisor.task(Stage::Coherence, "tail", make);
    until(&supervisor, "tail", |status| status.up).await;
    let connection = supervisor.spawn(Stage::Door, "connection", async {
        sleep(Duration::from_secs(3)).await;
        "answered"
    });

    let start = Instant::now();
    assert_eq!(supervisor.stop(Stage::Door, start + Duration::from_secs(10)).await, 0);
    assert_eq!(start.elapsed(), Duration::from_secs(3));
    assert_eq!(connection.await.unwrap(), "answered");
    assert!(supervisor.stopping(Stage::Door).is_cancelled());
    assert!(!supervisor.stopping(Stage::Coherence).is_cancelled());
    assert!(supervisor.status()["tail"].up);
    assert!(!metrics.text().contains(r#"overruns_total{task="connection"}"#));
}

#[tokio::test(start_paused = true)]
async fn what_overruns_its_deadline_is_aborted_and_counted() {
    let (supervisor, metrics) = supervisor();
    let (held, dropped) = oneshot::channel::<()>();
    let stuck = supervisor.spawn(Stage::Load, "load", async move {
        let _held = held;
        pending::<()>().await;
    });
    supervisor.task(Stage::Load, "refresher", |_stop| pending());
    until(&supervisor, "refresher", |status| status.up).await;

    let start = Instant::now();
    assert_eq!(supervisor.stop(Stage::Load, start + SOON).await, 2);
    assert_eq!(start.elapsed(), SOON);
    assert!(dropped.await.is_err(), "the work was dropped");
    assert!(stuck.await.unwrap_err().is_cancelled());
    assert!(!supervisor.status()["refresher"].up);
    shows(&metrics, r#"coherd_task_overruns_total{task="load"} 1"#);
    shows(&metrics, r#"coherd_task_overruns_total{task="refresher"} 1"#);
}

#[tokio::test(start_paused = true)]
async fn work_handed_in_after_the_stop_does_not_begin() {
    let (supervisor, _metrics) = supervisor();
    supervisor.stop(Stage::Door, Instant::now() + SOON).await;
    let late = supervisor.spawn(Stage::Door, "connection", async { panic!("it began") });
    let end: Result<(), _> = late.await;
    assert!(end.unwrap_err().is_cancelled());
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_short_work_reaches_its_waiter_and_the_metrics() {
    let (supervisor, metrics) = supervisor();
    let work = supervisor.spawn(Stage::Load, "load", async { panicking() });
    assert!(work.await.unwrap_err().is_panic());
    shows(&metrics, r#"coherd_task_panics_total{task="load"} 1"#);
    assert_eq!(supervisor.stop(Stage::Load, Instant::now() + SOON).await, 0);
}

#[tokio::test(start_paused = true)]
async fn dropping_the_handle_does_not_end_the_work() {
    let (supervisor, _metrics) = supervisor();
    let (done, ended) = oneshot::channel();
    drop(supervisor.spawn(Stage::Load, "load", async move {
        sleep(SOON).await;
        done.send("done")
    }));
    assert_eq!(ended.await.unwrap(), "done");
}
