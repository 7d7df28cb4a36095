//! A primary, two replicas, and three sentinels that watch them: all of a test's own.

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;
use tokio::process::Command;

use super::ports::Port;
use super::process::Process;
use super::resp::{Connection, Reply};
use super::server::{Options, Server, program};
use super::wait::{SOON, eventually};

/// What the sentinels call the primary.
pub(crate) const SERVICE: &str = "main";
/// Where a sentinel keeps what it knows.
const CONFIG: &str = "sentinel.conf";
/// Servers, and as many sentinels.
const COUNT: usize = 3;

/// One sentinel. SIGKILL when it is dropped.
pub(crate) struct Sentinel {
    process: Process,
    port: Port,
    dir: TempDir,
}

impl Sentinel {
    fn start(primary: SocketAddr, down_after: Duration, password: Option<&str>) -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder can be made");
        let port = Port::reserve();
        let (ip, at, millis) = (primary.ip(), primary.port(), down_after.as_millis());
        let mut lines = format!(
            "port {}\nbind 127.0.0.1\ndir \"{}\"\nsentinel monitor {SERVICE} {ip} {at} 2\n\
             sentinel down-after-milliseconds {SERVICE} {millis}\nsentinel failover-timeout {SERVICE} 5000\n\
             sentinel parallel-syncs {SERVICE} {COUNT}\n",
            port.number(),
            dir.path().display(),
        );
        if let Some(password) = password {
            writeln!(lines, "sentinel auth-pass {SERVICE} {password}").expect("a string takes all");
        }
        fs::write(dir.path().join(CONFIG), lines).expect("a configuration can be written");
        Self { process: spawn(&dir), port, dir }
    }

    /// Where it listens.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.port.addr()
    }

    /// SIGKILL, and waits until it is gone.
    pub(crate) async fn kill(&mut self) {
        self.process.kill().await;
    }

    /// SIGSTOP: it takes connections and answers nobody.
    pub(crate) fn pause(&self) {
        self.process.signal(Signal::STOP);
    }

    /// Starts again after [`Self::kill`], with what it knew.
    pub(crate) fn restart(&mut self) {
        self.process = spawn(&self.dir);
    }

    /// One command; `None` where nobody answers.
    pub(crate) async fn ask(&self, words: &[&str]) -> Option<Reply> {
        let mut connection = Connection::open(self.addr(), None).await.ok()?;
        connection.command(words).await.ok()
    }

    /// What it says of the primary, by the name of the field.
    async fn says(&self, field: &str) -> Option<String> {
        let Some(Reply::Array(fields)) = self.ask(&["SENTINEL", "master", SERVICE]).await else {
            return None;
        };
        fields.chunks_exact(2).find(|pair| pair[0].text() == field).map(|pair| pair[1].text())
    }
}

fn spawn(dir: &TempDir) -> Process {
    let mut command = Command::new(program());
    command.arg(dir.path().join(CONFIG)).arg("--sentinel");
    Process::spawn("a sentinel", &mut command, &dir.path().join("sentinel.log"))
}

/// All of them.
pub(crate) struct Watched {
    /// The first is the primary until the sentinels decide otherwise.
    pub(crate) servers: Vec<Server>,
    /// They all watch the same primary.
    pub(crate) sentinels: Vec<Sentinel>,
}

impl Watched {
    /// Starts them, and waits until every sentinel knows of all others. One that has heard nothing from the primary for
    /// `down_after` thinks that it is down.
    pub(crate) async fn start(options: Options, down_after: Duration) -> Self {
        let password = options.password_given().map(str::to_owned);
        let mut servers = vec![Server::with(options).await];
        while servers.len() < COUNT {
            servers.push(servers[0].replica(servers[0].addr()).await);
        }
        for replica in &servers[1..] {
            replica.follows().await;
        }
        let sentinel = |_| Sentinel::start(servers[0].addr(), down_after, password.as_deref());
        let sentinels: Vec<Sentinel> = (0..COUNT).map(sentinel).collect();
        for sentinel in &sentinels {
            eventually("the sentinel knows all others", SOON, async || {
                sentinel.says("num-slaves").await.as_deref() == Some("2")
                    && sentinel.says("num-other-sentinels").await.as_deref() == Some("2")
            })
            .await;
        }
        Self { servers, sentinels }
    }

    /// The URL of whoever is the primary.
    pub(crate) fn url(&self) -> String {
        let hosts: Vec<String> = self.sentinels.iter().map(|sentinel| sentinel.addr().to_string()).collect();
        format!("valkey-sentinel://{}/0?service={SERVICE}", hosts.join(","))
    }

    /// Whom the sentinels name, once they agree and it is not `other`.
    pub(crate) async fn primary_but(&self, other: Option<SocketAddr>) -> SocketAddr {
        let all: Vec<SocketAddr> = self.sentinels.iter().map(Sentinel::addr).collect();
        self.primary_of(&all, other).await
    }

    /// The same for some of them.
    pub(crate) async fn primary_of(&self, asked: &[SocketAddr], other: Option<SocketAddr>) -> SocketAddr {
        eventually("the sentinels agree on a primary", SOON, async || {
            let mut named = Vec::new();
            for sentinel in self.sentinels.iter().filter(|sentinel| asked.contains(&sentinel.addr())) {
                if let Some(Reply::Array(at)) =
                    sentinel.ask(&["SENTINEL", "get-master-addr-by-name", SERVICE]).await
                {
                    named.push(format!("{}:{}", at[0].text(), at[1].text()));
                }
            }
            let first = named.first()?.parse().ok();
            first.filter(|first| named.iter().all(|it| *it == named[0]) && Some(*first) != other)
        })
        .await
    }

    /// Takes a server out of the three, for whoever has to hold it.
    pub(crate) fn take(&mut self, addr: SocketAddr) -> Server {
        let at = self.servers.iter().position(|server| server.addr() == addr).expect("it is one of them");
        self.servers.swap_remove(at)
    }

    /// Asks for a failover while all are well.
    pub(crate) async fn fail_over(&self) {
        eventually("a sentinel takes the order", SOON, async || {
            let answer = self.sentinels[0].ask(&["SENTINEL", "failover", SERVICE]).await;
            matches!(answer, Some(Reply::Text(_)))
        })
        .await;
    }
}
