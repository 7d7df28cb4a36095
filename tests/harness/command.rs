//! Programs that run to their end: what they print, and the exit code.

use std::process::Stdio;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::time::timeout;

use super::wait::SOON;

/// What became of a program.
#[derive(Clone, Debug)]
pub(crate) struct Ran {
    /// The exit code; `None` if a signal ended it.
    pub(crate) code: Option<i32>,
    /// What it printed.
    pub(crate) out: String,
    /// What it said on stderr.
    pub(crate) err: String,
}

/// `coherd` with those arguments and nothing on stdin.
pub(crate) async fn coherd(arguments: &[&str]) -> Ran {
    run(super::instance::coherd().args(arguments), b"").await
}

/// Runs a program with `input` on stdin.
///
/// # Panics
///
/// If it cannot be started, or does not end.
pub(crate) async fn run(command: &mut Command, input: &[u8]) -> Ran {
    let name = format!("{:?}", command.as_std());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{name} does not start: {error}"));
    let mut stdin = child.stdin.take().expect("stdin is a pipe");
    // A program that does not read it has ended or will: what it says shows.
    stdin.write_all(input).await.ok();
    drop(stdin);
    let ended = timeout(SOON, child.wait_with_output()).await;
    let output = ended.unwrap_or_else(|_| panic!("{name} still runs after {SOON:?}"));
    let output = output.expect("a child can be waited for");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ran { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
}
