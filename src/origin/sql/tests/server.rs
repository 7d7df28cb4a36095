//! A real PostgreSQL of a test's own: its own data folder, its own socket, nothing flushed to disk.

use std::net::TcpListener;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use sqlx::{Connection, PgConnection};
use tempfile::TempDir;
use tokio::time::sleep;

/// Who a server runs as where the tests run as root, which it refuses.
const NOBODY: u32 = 65534;
/// Below its folder.
const CERTIFICATE: &str = "certificate.pem";
/// How often a condition is looked at, and for how long.
const TICK: Duration = Duration::from_millis(10);
const TICKS_MAX: u32 = 3_000;

/// Ended when it is dropped.
pub(super) struct Server {
    child: Child,
    programs: PathBuf,
    folder: TempDir,
    port: u16,
    settings: Vec<String>,
}

impl Server {
    /// Reached by its socket alone.
    pub(super) async fn start() -> Self {
        Self::prepare(5432, |_| Vec::new()).await
    }

    /// Reached by TCP too, with TLS only, and a certificate of its own for `localhost`.
    pub(super) async fn with_tls() -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        Self::prepare(port, |folder| {
            let (key, certificate) = (folder.join("key.pem"), folder.join(CERTIFICATE));
            let made = command(Path::new(""), "openssl")
                .args(["req", "-x509", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"])
                .args(["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-days", "2"])
                .args(["-addext", "basicConstraints=critical,CA:FALSE"])
                .arg("-keyout")
                .arg(&key)
                .arg("-out")
                .arg(&certificate)
                .output()
                .unwrap();
            assert!(made.status.success(), "openssl: {}", String::from_utf8_lossy(&made.stderr));
            let callers = "local all all trust\nhostssl all all 127.0.0.1/32 trust\n";
            std::fs::write(folder.join("data/pg_hba.conf"), callers).unwrap();
            let file = |name: &str, file: PathBuf| format!("{name}={}", file.display());
            let (key, certificate) = (file("ssl_key_file", key), file("ssl_cert_file", certificate));
            vec!["ssl=on".to_owned(), "listen_addresses=127.0.0.1".to_owned(), key, certificate]
        })
        .await
    }

    /// With settings that `prepare` makes of its folder.
    async fn prepare(port: u16, prepare: impl FnOnce(&Path) -> Vec<String>) -> Self {
        let (folder, programs) = (TempDir::new().unwrap(), programs());
        if is_root() {
            chown(folder.path(), Some(NOBODY), Some(NOBODY)).unwrap();
        }
        let made = command(&programs, "initdb")
            .arg("-D")
            .arg(folder.path().join("data"))
            .args(["-U", "postgres", "--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C"])
            .args(["--wal-segsize=1", "--no-instructions"])
            .output()
            .unwrap();
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        let mut settings = prepare(folder.path());
        settings.push(format!("port={port}"));
        let child = launch(&programs, folder.path(), &settings);
        let mut server = Self { child, programs, folder, port, settings };
        server.answers().await;
        server
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    pub(super) fn certificate(&self) -> PathBuf {
        self.folder.path().join(CERTIFICATE)
    }

    /// By its socket.
    pub(super) fn url(&self) -> String {
        let (folder, port) = (self.folder.path().display(), self.port);
        format!("postgres:///postgres?host={folder}&port={port}&user=postgres")
    }

    /// A connection of the test's own.
    pub(super) async fn connect(&self) -> PgConnection {
        PgConnection::connect(&self.url()).await.unwrap()
    }

    /// SIGKILL. Its processes for connections end as soon as they see it.
    pub(super) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts again after [`Self::kill`], with what is in its folder.
    pub(super) async fn revive(&mut self) {
        self.child = launch(&self.programs, self.folder.path(), &self.settings);
        self.answers().await;
    }

    async fn answers(&mut self) {
        for _ in 0..TICKS_MAX {
            if PgConnection::connect(&self.url()).await.is_ok() {
                return;
            }
            // What the one before it left behind may not have ended yet.
            if self.child.try_wait().unwrap().is_some() {
                self.child = launch(&self.programs, self.folder.path(), &self.settings);
            }
            sleep(TICK).await;
        }
        panic!("the server does not start: {}", self.log());
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // At once, but in order: its own processes and its shared memory go with it.
        let asked = kill_process(Pid::from_child(&self.child), Signal::QUIT);
        for _ in 0..500 {
            if asked.is_err() || !matches!(self.child.try_wait(), Ok(None)) {
                break;
            }
            std::thread::sleep(TICK);
        }
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Waits until `condition` holds.
pub(super) async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    for _ in 0..TICKS_MAX {
        if condition().await {
            return;
        }
        sleep(TICK).await;
    }
    panic!("never: {what}");
}

/// A program of the server's, as somebody that it lets run it.
fn command(folder: &Path, program: &str) -> Command {
    let mut command = Command::new(folder.join(program));
    command.current_dir("/").stdin(Stdio::null());
    if is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    command
}

fn launch(programs: &Path, folder: &Path, settings: &[String]) -> Child {
    let log = std::fs::File::options().create(true).append(true).open(folder.join("log")).unwrap();
    let socket = format!("unix_socket_directories={}", folder.display());
    let ours =
        ["listen_addresses=", "fsync=off", "full_page_writes=off", "shared_buffers=16MB", "autovacuum=off"];
    let mut command = command(programs, "postgres");
    command.arg("-D").arg(folder.join("data")).args(["-c", &socket]);
    for setting in ours.into_iter().chain(settings.iter().map(String::as_str)) {
        command.args(["-c", setting]);
    }
    command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap()
}

fn is_root() -> bool {
    rustix::process::getuid().is_root()
}

/// The folder of `initdb` and `postgres`: `$POSTGRES_BIN`, Debian's newest, or one of the `PATH`.
fn programs() -> PathBuf {
    if let Some(named) = std::env::var_os("POSTGRES_BIN") {
        return named.into();
    }
    let version = |folder: &PathBuf| folder.file_name()?.to_str()?.parse::<u32>().ok();
    let installed = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut installed: Vec<_> = installed.map(|entry| entry.path()).collect();
    installed.sort_by_key(version);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let all =
        installed.into_iter().rev().map(|folder| folder.join("bin")).chain(std::env::split_paths(&path));
    let has = |folder: &PathBuf| ["initdb", "postgres"].iter().all(|name| folder.join(name).is_file());
    all.into_iter().find(has).expect("PostgreSQL's initdb and postgres on the PATH, or POSTGRES_BIN")
}
