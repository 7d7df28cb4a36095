//! A real Valkey or Redis: a test's own, on its own port and in its own folder.

use std::borrow::Cow;
use std::env;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;
use tokio::process::Command;
use tokio::time::timeout;

use super::certificates::Issued;
use super::ports::Port;
use super::process::Process;
use super::proxy::Proxy;
use super::resp::{Connection, Reply};
use super::wait::{SOON, eventually};

/// How a server is set up. By default it keeps nothing on disk, as a cache would.
#[derive(Clone, Debug, Default)]
pub(crate) struct Options {
    settings: Vec<(String, String)>,
    password: Option<String>,
    appendonly: bool,
    tls: bool,
    env: Vec<(String, String)>,
}

impl Options {
    /// Keeps every change in the append-only file, flushed to disk before it is answered.
    pub(crate) fn appendonly(mut self) -> Self {
        self.appendonly = true;
        self.set("appendfsync", "always")
    }

    /// Asks for a password, also of its replicas' primary.
    pub(crate) fn password(mut self, password: &str) -> Self {
        self.password = Some(password.to_owned());
        self.set("requirepass", password).set("masterauth", password)
    }

    /// Speaks TLS on that port, too.
    pub(crate) fn tls(mut self, port: u16, certificate: &Issued, roots: &Path) -> Self {
        self.tls = true;
        self.set("tls-port", &port.to_string())
            .set("tls-cert-file", &certificate.cert.display().to_string())
            .set("tls-key-file", &certificate.key.display().to_string())
            .set("tls-ca-cert-file", &roots.display().to_string())
            .set("tls-auth-clients", "no")
    }

    /// The password that it asks for.
    pub(super) fn password_given(&self) -> Option<&str> {
        self.password.as_deref()
    }

    /// Follows that primary.
    pub(crate) fn replica_of(self, primary: SocketAddr) -> Self {
        self.set("replicaof", &format!("{} {}", primary.ip(), primary.port()))
    }

    /// Refuses writes without so many replicas that were heard from in the last second.
    pub(crate) fn min_replicas(self, count: u32) -> Self {
        self.set("min-replicas-to-write", &count.to_string()).set("min-replicas-max-lag", "1")
    }

    /// Variables of the process.
    pub(crate) fn env(mut self, variables: impl IntoIterator<Item = (String, String)>) -> Self {
        self.env.extend(variables);
        self
    }

    /// Any line of the server's own configuration.
    pub(crate) fn set(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }
}

/// What a restarted server finds on disk.
enum Found<'a> {
    /// What it left.
    Own,
    /// Nothing.
    Nothing,
    /// A dump from elsewhere, and nothing else.
    Dump(&'a [u8]),
}

/// A running server. SIGKILL when it is dropped.
pub(crate) struct Server {
    // Before the folder: it goes on writing there until it is gone.
    process: Process,
    dir: TempDir,
    port: Port,
    options: Options,
}

impl Server {
    /// Starts one with the default options.
    pub(crate) async fn start() -> Self {
        Self::with(Options::default()).await
    }

    /// Starts one and waits until it answers.
    ///
    /// # Panics
    ///
    /// If there is no server program, or it does not answer.
    pub(crate) async fn with(options: Options) -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder can be made");
        let port = Port::reserve();
        let process = launch(&dir, &port, &options, options.appendonly);
        let mut server = Self { process, dir, port, options };
        server.answers().await;
        server
    }

    /// Where it listens.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.port.addr()
    }

    /// Its URL for a client that reaches it at `addr`: its own, or a proxy's.
    pub(crate) fn url_at(&self, addr: SocketAddr) -> String {
        match &self.options.password {
            Some(password) => format!("valkey://:{password}@{addr}/0"),
            None => format!("valkey://{addr}/0"),
        }
    }

    /// A connection of one's own, for subscriptions and blocking commands.
    pub(crate) async fn connect(&self) -> Connection {
        Connection::open(self.addr(), self.options.password.as_deref())
            .await
            .expect("the server takes a connection")
    }

    /// Sends one command on a fresh connection.
    ///
    /// # Panics
    ///
    /// If there is no answer; an error is one.
    pub(crate) async fn command<W: AsRef<[u8]>>(&self, words: &[W]) -> Reply {
        self.ask(words).await.unwrap_or_else(|error| panic!("{:?}: {error}", spelled(words)))
    }

    /// The same of a server that may end the connection instead of answering.
    async fn ask<W: AsRef<[u8]>>(&self, words: &[W]) -> io::Result<Reply> {
        let password = self.options.password.as_deref();
        let answer = async { Connection::open(self.addr(), password).await?.command(words).await };
        let answer = timeout(SOON, answer).await;
        answer.unwrap_or_else(|_| panic!("{:?}: no answer within {SOON:?}", spelled(words)))
    }

    /// A field of `INFO`, such as `master_link_status`.
    pub(crate) async fn info(&self, field: &str) -> Option<String> {
        find(&self.command(&["INFO"]).await.text(), field)
    }

    /// Waits until it follows another. Whoever tells it to may end its connections, as sentinels do.
    pub(crate) async fn follows(&self) {
        eventually("the server follows", SOON, async || {
            let info = self.ask(&["INFO", "replication"]).await;
            info.is_ok_and(|info| find(&info.text(), "master_link_status").as_deref() == Some("up"))
        })
        .await;
    }

    /// SIGKILL, and waits until it is gone.
    pub(crate) async fn kill(&mut self) {
        self.process.kill().await;
    }

    /// SIGSTOP: connections stay open and nothing is answered.
    pub(crate) fn pause(&self) {
        self.process.signal(Signal::STOP);
    }

    /// SIGCONT after [`Self::pause`].
    pub(crate) fn resume(&self) {
        self.process.signal(Signal::CONT);
    }

    /// Killed unless it already is, and started again on the same port with what it left on disk.
    pub(crate) async fn restart(&mut self) {
        self.start_again(Found::Own).await;
    }

    /// As [`Self::restart`], with nothing on disk.
    pub(crate) async fn restart_empty(&mut self) {
        self.start_again(Found::Nothing).await;
    }

    /// As [`Self::restart`], with what [`Self::dump`] gave at some time: a server restored from an old backup.
    pub(crate) async fn restart_with(&mut self, dump: &[u8]) {
        self.start_again(Found::Dump(dump)).await;
    }

    /// Starts another like it that follows it, by way of `through`: its own address, or a proxy's.
    pub(crate) async fn replica(&self, through: SocketAddr) -> Self {
        Self::with(self.options.clone().replica_of(through)).await
    }

    /// Follows nobody any more, also after a restart.
    pub(crate) async fn promote(&mut self) {
        assert_eq!(self.command(&["REPLICAOF", "NO", "ONE"]).await.text(), "OK");
        self.options.settings.retain(|(name, _)| name != "replicaof");
    }

    /// Holds `link`, by which its only replica follows, for good, and waits until the server refuses every write for
    /// want of it.
    pub(crate) async fn forsaken(&self, link: &Proxy) {
        for (name, value) in [("min-replicas-to-write", "1"), ("min-replicas-max-lag", "1")] {
            assert_eq!(self.command(&["CONFIG", "SET", name, value]).await.text(), "OK");
        }
        let write = async || self.command(&["DEL", "nothing"]).await;
        // A replica that has acknowledged nothing yet does not count, but is about to: that refusal would pass.
        eventually("the primary takes writes", SOON, async || matches!(write().await, Reply::Integer(_)))
            .await;
        link.stall();
        eventually("the primary refuses writes", SOON, async || {
            let refused = matches!(write().await, Reply::Error(error) if error.starts_with("NOREPLICAS"));
            let replica = self.info("slave0").await.unwrap_or_default();
            let lag = replica.split(',').find_map(|part| part.strip_prefix("lag=")?.parse::<u32>().ok());
            // One acknowledgement may have been on its way: by then it has arrived.
            refused && lag.is_some_and(|seconds| 2 <= seconds)
        })
        .await;
    }

    /// What it holds now, as a dump.
    pub(crate) async fn dump(&self) -> Vec<u8> {
        assert_eq!(self.command(&["SAVE"]).await.text(), "OK");
        fs::read(self.dir.path().join("dump.rdb")).expect("SAVE leaves a dump")
    }

    async fn start_again(&mut self, found: Found<'_>) {
        self.process.kill().await;
        let dump = self.dir.path().join("dump.rdb");
        if !matches!(found, Found::Own) {
            remove(&dump);
            remove(&self.dir.path().join("appendonlydir"));
        }
        if let Found::Dump(bytes) = found {
            fs::write(&dump, bytes).expect("a dump can be written");
        }
        // With the append-only file on, a server does not look at a dump: it is switched on once that is loaded.
        let late = self.options.appendonly && matches!(found, Found::Dump(_));
        self.process = launch(&self.dir, &self.port, &self.options, self.options.appendonly && !late);
        self.answers().await;
        if late {
            assert_eq!(self.command(&["CONFIG", "SET", "appendonly", "yes"]).await.text(), "OK");
            eventually("the append-only file is whole", SOON, async || {
                let info = self.command(&["INFO", "persistence"]).await.text();
                ["aof_rewrite_in_progress", "aof_rewrite_scheduled"]
                    .iter()
                    .all(|field| find(&info, field).as_deref() == Some("0"))
            })
            .await;
        }
    }

    /// Waits until this very process answers and has loaded its data.
    async fn answers(&mut self) {
        let (addr, id) = (self.addr(), self.process.id().map(|id| id.to_string()));
        let process = &mut self.process;
        let password = self.options.password.as_deref();
        eventually("the server answers", SOON, async || {
            assert!(!process.ended(), "the server ended at its start: {}", process.output());
            let info = timeout(Duration::from_secs(1), async {
                Connection::open(addr, password).await?.command(&["INFO"]).await
            });
            let Ok(Ok(Reply::Text(info))) = info.await else { return false };
            let info = String::from_utf8_lossy(&info);
            find(&info, "process_id") == id && find(&info, "loading").as_deref() == Some("0")
        })
        .await;
    }
}

fn spelled<W: AsRef<[u8]>>(words: &[W]) -> Vec<Cow<'_, str>> {
    words.iter().map(|word| String::from_utf8_lossy(word.as_ref())).collect()
}

fn find(info: &str, field: &str) -> Option<String> {
    info.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':')).map(str::to_owned)
}

fn launch(dir: &TempDir, port: &Port, options: &Options, appendonly: bool) -> Process {
    let dir = dir.path();
    let mut lines = format!(
        "port {}\nbind 127.0.0.1\ndir \"{}\"\nsave \"\"\nappendonly {}\nenable-debug-command yes\n\
         repl-diskless-sync-delay 0\nrepl-ping-replica-period 1\n",
        port.number(),
        dir.display(),
        if appendonly { "yes" } else { "no" },
    );
    for (name, value) in &options.settings {
        writeln!(lines, "{name} {value}").expect("a string takes whatever is written");
    }
    let config = dir.join("server.conf");
    fs::write(&config, lines).expect("a configuration can be written");
    let program = if options.tls { installed() } else { program() };
    Process::spawn(
        &program.display().to_string(),
        Command::new(&program).arg(&config).envs(options.env.iter().map(|(name, value)| (name, value))),
        &dir.join("server.log"),
    )
}

/// `$VALKEY_SERVER`, else `valkey-server`, else `redis-server` on the `PATH`.
pub(super) fn program() -> PathBuf {
    if let Some(named) = env::var_os("VALKEY_SERVER") {
        return named.into();
    }
    installed()
}

/// The one that the system's packages bring, which speaks TLS.
fn installed() -> PathBuf {
    let path = env::var_os("PATH").unwrap_or_default();
    let found = ["valkey-server", "redis-server"]
        .iter()
        .find_map(|name| env::split_paths(&path).map(|dir| dir.join(name)).find(|program| program.is_file()));
    found.expect("the tests need a server: valkey-server or redis-server on the PATH, or VALKEY_SERVER")
}

fn remove(path: &Path) {
    if path.is_dir() {
        fs::remove_dir_all(path).expect("a folder of the server can be removed");
    } else if path.exists() {
        fs::remove_file(path).expect("a file of the server can be removed");
    }
}
