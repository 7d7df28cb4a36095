//! SIGTERM and SIGINT: the first asks for an orderly stop, the second ends the process at once. SIGHUP asks to read files
//! again.

use std::io;
use std::process;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// The exit code of a process that a second signal ended: it failed to stop in order.
const EXIT_AT_ONCE: i32 = 1;

/// Signals of the process. Clones share the same stop.
#[derive(Clone, Debug)]
pub struct Signals {
    stop: CancellationToken,
}

impl Signals {
    /// Takes both signals over, for good. Called once, in a tokio runtime.
    ///
    /// # Errors
    /// When a handler cannot be installed.
    #[expect(
        clippy::disallowed_methods,
        reason = "it outlives every stage, so that a second signal always works"
    )]
    pub fn listen() -> io::Result<Self> {
        let terminate = signal(SignalKind::terminate())?;
        let interrupt = signal(SignalKind::interrupt())?;
        let stop = CancellationToken::new();
        drop(tokio::spawn(relay(terminate, interrupt, stop.clone())));
        Ok(Self { stop })
    }

    /// Waits for the first signal; returns at once if it has come.
    pub async fn stop_requested(&self) {
        self.stop.cancelled().await;
    }

    /// Whether it has come.
    pub fn is_stop_requested(&self) -> bool {
        self.stop.is_cancelled()
    }
}

/// SIGHUP, which asks a daemon to read its files again. Taken over for good by the first of these: it ends the process no
/// more.
#[derive(Debug)]
pub struct Hangups(Signal);

impl Hangups {
    /// From now on; in a tokio runtime.
    ///
    /// # Errors
    /// When a handler cannot be installed.
    pub fn listen() -> io::Result<Self> {
        signal(SignalKind::hangup()).map(Self)
    }

    /// Waits for the next one. Several that come at once count as one.
    pub async fn next(&mut self) {
        if self.0.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
    }
}

async fn relay(mut terminate: Signal, mut interrupt: Signal, stop: CancellationToken) {
    // Awaited outside the log macros: they evaluate nothing when their level is off.
    let first = next(&mut terminate, &mut interrupt).await;
    info!("{first} received, stopping");
    stop.cancel();
    let second = next(&mut terminate, &mut interrupt).await;
    warn!("{second} received while stopping, ending at once");
    process::exit(EXIT_AT_ONCE);
}

async fn next(terminate: &mut Signal, interrupt: &mut Signal) -> &'static str {
    tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use rustix::process::{Signal, getpid, kill_process};
    use tokio::process::Command;

    use super::{EXIT_AT_ONCE, Signals};

    const CHILD: &str = "supervisor::signals::tests::child_that_is_told_twice";

    #[tokio::test]
    async fn the_first_signal_asks_for_a_stop_and_the_second_ends_the_process() {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", CHILD, "--ignored", "--nocapture"])
            .kill_on_drop(true)
            .output()
            .await
            .unwrap();
        let output = String::from_utf8_lossy(&child.stdout);
        assert!(output.contains("asked to stop"), "{output}");
        assert_eq!(child.status.code(), Some(EXIT_AT_ONCE), "{output}");
    }

    #[tokio::test]
    #[ignore = "ends its process: run by the test above in a process of its own"]
    #[expect(clippy::print_stdout, reason = "the parent reads it")]
    async fn child_that_is_told_twice() {
        let signals = Signals::listen().unwrap();
        assert!(!signals.is_stop_requested());
        kill_process(getpid(), Signal::TERM).unwrap();
        signals.stop_requested().await;
        assert!(signals.is_stop_requested());
        println!("asked to stop");
        kill_process(getpid(), Signal::INT).unwrap();
        pending::<()>().await;
    }
}
