//! A child process: its signals, its end, and its output, shown when the test fails.

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// How much of the output a failing test shows, in bytes.
const SHOWN_MAX: usize = 16 * 1024;

/// A child process, killed and reaped when it is dropped.
pub(crate) struct Process {
    name: String,
    child: Child,
    output: PathBuf,
}

impl Process {
    /// Starts `command`; what it writes is appended to `output`.
    pub(crate) fn spawn(name: &str, command: &mut Command, output: &Path) -> Self {
        let file =
            OpenOptions::new().create(true).append(true).open(output).expect("an output file can be opened");
        let again = file.try_clone().expect("a file can be cloned");
        let child = command
            .stdin(Stdio::null())
            .stdout(file)
            .stderr(again)
            .spawn()
            .unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        Self { name: name.to_owned(), child, output: output.to_owned() }
    }

    /// Its process id; `None` once it has ended and was waited for.
    pub(crate) fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Sends a signal to this very process, if it has not ended.
    pub(crate) fn signal(&self, signal: Signal) {
        let Some(id) = self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw) else {
            return;
        };
        kill_process(id, signal).unwrap_or_else(|error| panic!("{} takes no signal: {error}", self.name));
    }

    /// SIGKILL, and waits until it is gone.
    pub(crate) async fn kill(&mut self) {
        self.child.kill().await.unwrap_or_else(|error| panic!("{} cannot be killed: {error}", self.name));
    }

    /// Whether it has ended.
    pub(crate) fn ended(&mut self) -> bool {
        self.child.try_wait().expect("a child can be waited for").is_some()
    }

    /// Waits for its end.
    ///
    /// # Panics
    ///
    /// If it still runs after `within`.
    pub(crate) async fn exit(&mut self, within: Duration) -> ExitStatus {
        let ended = timeout(within, self.child.wait()).await;
        let status = ended.unwrap_or_else(|_| panic!("{} still runs after {within:?}", self.name));
        status.expect("a child can be waited for")
    }

    /// Everything it has written so far.
    pub(crate) fn output(&self) -> String {
        let bytes = fs::read(&self.output).expect("an output file can be read");
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Not tokio's own reaping in the background: the folder must not vanish under a process that still writes.
        if self.child.id().is_some() && self.child.start_kill().is_ok() {
            for _ in 0..5_000 {
                if !matches!(self.child.try_wait(), Ok(None)) {
                    break;
                }
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        if std::thread::panicking() {
            show(&self.name, &self.output);
        }
    }
}

#[expect(clippy::print_stderr, reason = "the test runner shows it under the test that failed")]
fn show(name: &str, output: &Path) {
    let bytes = fs::read(output).unwrap_or_default();
    let end = &bytes[bytes.len().saturating_sub(SHOWN_MAX)..];
    eprintln!("--- output of {name}, its last {} of {} bytes", end.len(), bytes.len());
    eprintln!("{}", String::from_utf8_lossy(end));
}
