//! A server of a test's own.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command as Process, Stdio};
use std::time::Duration;

use fred::types::Value;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::Command;
use crate::backend::valkey::address::{Credentials, config};
use crate::backend::valkey::connection::{Connection, Opener, Task};

/// Killed with this value.
pub(super) struct Server {
    child: Child,
    port: u16,
    folder: TempDir,
    args: Vec<String>,
}

impl Server {
    pub(super) async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// With further arguments, such as `--maxmemory 10mb`.
    pub(super) async fn start_with(args: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        // a port that was free a moment ago can be taken by now
        for _ in 0..10 {
            let port = free_port();
            let mut child = spawn(port, folder.path().into(), &args);
            if answers(port, &mut child).await {
                return Self { child, port, folder, args };
            }
            kill(&mut child);
        }
        panic!("the server does not start");
    }

    pub(super) fn url(&self) -> String {
        format!("valkey://127.0.0.1:{}/0", self.port)
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// One command over a connection of its own.
    pub(super) async fn admin(&self, name: &'static str, args: &[&str]) -> Value {
        self.try_admin(name, args).await.unwrap_or_else(|error| panic!("{name} {args:?}: {error}"))
    }

    /// The same, where the server may refuse.
    pub(super) async fn try_admin(
        &self,
        name: &'static str,
        args: &[&str],
    ) -> Result<Value, fred::error::Error> {
        let (connection, _task) = open(self.port).await.expect("an admin connection");
        connection.call(Command::new(name, 0).args(args.iter().copied())).await
    }

    /// Ends at once, without saving, and starts on the same port with what its folder holds.
    pub(super) async fn restart(&mut self) {
        self.stop();
        self.revive().await;
    }

    /// Ends at once, without saving.
    pub(super) fn stop(&mut self) {
        kill(&mut self.child);
    }

    /// Starts again after [`Self::stop`].
    pub(super) async fn revive(&mut self) {
        for _ in 0..20 {
            self.child = spawn(self.port, self.folder.path().into(), &self.args);
            if answers(self.port, &mut self.child).await {
                return;
            }
            kill(&mut self.child);
        }
        panic!("the server does not start again");
    }

    /// Stands still with everything open, until [`Self::resume`].
    pub(super) fn freeze(&self) {
        kill_process(self.pid(), Signal::STOP).unwrap();
    }

    pub(super) fn resume(&self) {
        kill_process(self.pid(), Signal::CONT).unwrap();
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        kill(&mut self.child);
    }
}

fn kill(child: &mut Child) {
    child.kill().expect("the test's own child");
    child.wait().expect("the test's own child");
}

fn binary() -> PathBuf {
    if let Some(named) = std::env::var_os("VALKEY_SERVER") {
        return named.into();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = ["valkey-server", "redis-server"].iter().find_map(|name| {
        std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
    });
    found.expect("valkey-server or redis-server on the PATH, or VALKEY_SERVER")
}

fn spawn(port: u16, folder: PathBuf, args: &[String]) -> Child {
    Process::new(binary())
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
        .arg("--dir")
        .arg(folder)
        .args(args)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the server's binary starts")
}

/// A port that is free at this moment.
pub(super) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

async fn answers(port: u16, child: &mut Child) -> bool {
    for _ in 0..500 {
        if child.try_wait().expect("the test's own child").is_some() {
            return false;
        }
        if let Ok((connection, _task)) = open(port).await
            && connection.call(Command::new("PING", 0)).await.is_ok()
        {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    false
}

async fn open(port: u16) -> Result<(Connection, Task), crate::backend::BackendError> {
    let config = config(&format!("valkey://127.0.0.1:{port}"), Credentials::default())?;
    Opener::new(config, Duration::from_secs(2), Duration::from_secs(10)).open().await
}
