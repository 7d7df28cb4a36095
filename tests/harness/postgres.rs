//! A real PostgreSQL: a test's own, on its own port and in its own folder, with psql to talk to it.

use std::env;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;
use tokio::process::Command;

use super::command::{Ran, run};
use super::ports::Port;
use super::process::Process;
use super::wait::{SOON, eventually};

/// Who a server runs as where the tests run as root, which it refuses.
const NOBODY: u32 = 65534;

/// A running server with one database, `postgres`. Its processes end when it is dropped.
pub(crate) struct Postgres {
    // Before the folder: it goes on writing there until it is gone.
    process: Process,
    dir: TempDir,
    port: Port,
    programs: PathBuf,
}

impl Postgres {
    /// Starts one and waits until it answers.
    pub(crate) async fn start() -> Self {
        let (dir, programs) = (tempfile::tempdir().expect("a temporary folder can be made"), programs());
        if rustix::process::getuid().is_root() {
            chown(dir.path(), Some(NOBODY), Some(NOBODY)).expect("a folder can be given away");
        }
        let mut initdb = program(&programs, "initdb");
        initdb.arg("-D").arg(dir.path().join("data"));
        initdb.args(["-U", "postgres", "--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C"]);
        let made = run(initdb.args(["--wal-segsize=1", "--no-instructions"]), b"").await;
        assert_eq!(made.code, Some(0), "{made:?}");
        let port = Port::reserve();
        let process = launch(&programs, &dir, &port);
        let mut server = Self { process, dir, port, programs };
        server.answers().await;
        server
    }

    /// Its URL.
    pub(crate) fn url(&self) -> String {
        format!("postgres://postgres@{}/postgres", self.port.addr())
    }

    /// Runs SQL with psql, which ends at the first error.
    pub(crate) async fn try_psql(&self, sql: &str) -> Ran {
        let mut psql = program(&self.programs, "psql");
        psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", &self.url()]);
        run(&mut psql, sql.as_bytes()).await
    }

    /// Runs SQL with psql; what it prints.
    ///
    /// # Panics
    ///
    /// If there is an error.
    pub(crate) async fn psql(&self, sql: &str) -> String {
        let ran = self.try_psql(sql).await;
        assert_eq!(ran.code, Some(0), "{sql}: {ran:?}");
        ran.out.trim_end().to_owned()
    }

    /// At once, as if its machine had failed; what was committed is there after [`Self::revive`].
    pub(crate) async fn kill(&mut self) {
        self.process.signal(Signal::QUIT);
        self.process.exit(SOON).await;
    }

    /// Starts again after [`Self::kill`].
    pub(crate) async fn revive(&mut self) {
        self.process = launch(&self.programs, &self.dir, &self.port);
        self.answers().await;
    }

    async fn answers(&mut self) {
        eventually("PostgreSQL answers", SOON, async || {
            assert!(!self.process.ended(), "PostgreSQL ended at its start: {}", self.process.output());
            self.try_psql("SELECT 1").await.code == Some(0)
        })
        .await;
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // In order: its own processes and its shared memory go with it.
        if !self.process.ended() {
            self.process.signal(Signal::QUIT);
        }
        for _ in 0..500 {
            if self.process.ended() {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

fn launch(programs: &Path, dir: &TempDir, port: &Port) -> Process {
    let (dir, port) = (dir.path(), port.number().to_string());
    let mut command = program(programs, "postgres");
    command.arg("-D").arg(dir.join("data")).args(["-p", &port, "-k", ""]);
    for setting in [
        "listen_addresses=127.0.0.1",
        "fsync=off",
        "full_page_writes=off",
        "shared_buffers=16MB",
        "autovacuum=off",
    ] {
        command.args(["-c", setting]);
    }
    Process::spawn("postgres", &mut command, &dir.join("server.log"))
}

/// A program of the server's, as somebody that it lets run it.
fn program(folder: &Path, name: &str) -> Command {
    let mut command = Command::new(folder.join(name));
    command.current_dir("/");
    if rustix::process::getuid().is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    command
}

/// The folder of `initdb`, `postgres` and `psql`: `$POSTGRES_BIN`, Debian's newest, or one of the `PATH`.
fn programs() -> PathBuf {
    if let Some(named) = env::var_os("POSTGRES_BIN") {
        return named.into();
    }
    let version = |folder: &PathBuf| folder.file_name()?.to_str()?.parse::<u32>().ok();
    let installed = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut installed: Vec<_> = installed.map(|entry| entry.path()).collect();
    installed.sort_by_key(version);
    let path = env::var_os("PATH").unwrap_or_default();
    let all = installed.into_iter().rev().map(|folder| folder.join("bin")).chain(env::split_paths(&path));
    let has =
        |folder: &PathBuf| ["initdb", "postgres", "psql"].iter().all(|name| folder.join(name).is_file());
    all.into_iter().find(has).expect("PostgreSQL's initdb, postgres and psql on the PATH, or POSTGRES_BIN")
}
