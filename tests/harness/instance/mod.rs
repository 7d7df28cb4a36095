//! Instances under test: real `coherd` processes, each with its ports, its configuration file and its output.

mod cluster;
mod config;

use std::env;
use std::fs;
use std::net::SocketAddr;
use std::process::ExitStatus;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;

use super::http::{Client, Request};
use super::ports::Port;
use super::process::Process;
use super::wait::{SOON, eventually};

pub(crate) use cluster::{Cluster, Setup};
pub(crate) use config::{Config, NAMESPACE};

/// How often another pair of ports is tried when a program outside the tests took one.
const TRIES: usize = 5;

/// A `coherd serve` process. SIGKILL when it is dropped.
pub(crate) struct Instance {
    // Before the folder: it goes on writing there until it is gone.
    process: Process,
    dir: TempDir,
    data: Port,
    admin: Port,
    config: Config,
    client: Client,
}

impl Instance {
    /// Starts one and waits until it is ready.
    ///
    /// # Panics
    ///
    /// If it ends instead, or is not ready in time.
    pub(crate) async fn start(config: Config) -> Self {
        for _ in 1..TRIES {
            let mut instance = Self::launch(config.clone());
            let begun = eventually("the instance is ready or has ended", SOON, async || {
                instance.process.ended() || instance.is_ready().await
            });
            begun.await;
            let taken = instance.process.ended() && instance.process.output().contains("in use");
            if !taken {
                instance.ready().await;
                return instance;
            }
        }
        panic!("no free ports for {} in {TRIES} tries", config.id());
    }

    /// Starts one and does not wait for anything: for starts that are to fail.
    pub(crate) fn launch(config: Config) -> Self {
        Self::launch_with(config, &[])
    }

    /// As [`Self::launch`], with more arguments for `coherd serve`.
    pub(crate) fn launch_with(config: Config, args: &[&str]) -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder can be made");
        let (data, admin) = (Port::reserve(), Port::reserve());
        let process = spawn(&config, &dir, &data, &admin, args);
        let client = config.ca_file().map_or_else(Client::new, Client::trusting);
        Self { process, dir, data, admin, config, client }
    }

    /// Its name.
    pub(crate) fn id(&self) -> &str {
        self.config.id()
    }

    /// Changes its configuration as of its next [`Self::restart`].
    pub(crate) fn configure(&mut self, path: &str, value: impl Into<toml::Value>) {
        self.config = self.config.clone().set(path, value);
    }

    /// Whether `/readyz` answers 200.
    pub(crate) async fn is_ready(&self) -> bool {
        let answer = self.client.get(&self.admin_url("/readyz")).try_send().await;
        answer.is_ok_and(|answer| answer.status == 200)
    }

    /// Waits until `/readyz` answers 200.
    pub(crate) async fn ready(&mut self) {
        eventually("the instance is ready", SOON, async || {
            assert!(!self.process.ended(), "the instance has ended");
            self.is_ready().await
        })
        .await;
    }

    /// What `/readyz` of the admin listener answers: its status and its document.
    pub(crate) async fn readyz(&self) -> (u16, Value) {
        let answer = self.client.get(&self.admin_url("/readyz")).send().await;
        (answer.status, answer.json())
    }

    /// Whether it follows the log and nothing else is worse than it should be.
    pub(crate) async fn is_sound(&self) -> bool {
        let (status, document) = self.readyz().await;
        status == 200 && document["degraded"] == serde_json::json!([])
    }

    /// The URL of a path on the data listener.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}://{}{path}", self.scheme(), self.data.addr())
    }

    /// The URL of a path on the admin listener.
    pub(crate) fn admin_url(&self, path: &str) -> String {
        format!("{}://{}{path}", self.scheme(), self.admin.addr())
    }

    fn scheme(&self) -> &'static str {
        if self.config.ca_file().is_some() { "https" } else { "http" }
    }

    /// A request with any method to any path of the data listener.
    pub(crate) fn request(&self, method: &str, path: &str) -> Request {
        self.client.request(method, &self.url(path))
    }

    /// `GET` of a key.
    pub(crate) fn get(&self, namespace: &str, key: &str) -> Request {
        self.client.get(&self.key(namespace, key))
    }

    /// `PUT` of a key.
    pub(crate) fn put(&self, namespace: &str, key: &str, body: &str) -> Request {
        self.client.put(&self.key(namespace, key), body.to_owned())
    }

    /// `DELETE` of a key.
    pub(crate) fn delete(&self, namespace: &str, key: &str) -> Request {
        self.client.delete(&self.key(namespace, key))
    }

    /// `PURGE` of a key.
    pub(crate) fn purge(&self, namespace: &str, key: &str) -> Request {
        self.client.purge(&self.key(namespace, key))
    }

    /// `POST /v1/invalidate`, with a query such as `?wait=all` or none.
    pub(crate) fn invalidate(&self, query: &str, event: &Value) -> Request {
        self.client.post(&self.url(&format!("/v1/invalidate{query}")), event)
    }

    /// A page of the admin listener, as JSON.
    pub(crate) async fn admin(&self, path: &str) -> Value {
        self.client.get(&self.admin_url(path)).send().await.json()
    }

    /// The value of a metric, by its name with its labels as `/metrics` writes them; `None` if it is not there.
    pub(crate) async fn metric(&self, series: &str) -> Option<f64> {
        let page = self.metrics().await;
        page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.trim().parse().ok())
    }

    /// Its process id; `None` once it has ended.
    pub(crate) fn process_id(&self) -> Option<u32> {
        self.process.id()
    }

    /// The address of the data listener, for bytes that no HTTP client would send.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.data.addr()
    }

    /// The address of the admin listener.
    pub(crate) fn admin_addr(&self) -> SocketAddr {
        self.admin.addr()
    }

    /// The page of all metrics.
    pub(crate) async fn metrics(&self) -> String {
        self.client.get(&self.admin_url("/metrics")).send().await.text()
    }

    /// What it has logged since the start, restarts included.
    pub(crate) fn output(&self) -> String {
        self.process.output()
    }

    /// SIGKILL, and waits until it is gone.
    pub(crate) async fn kill(&mut self) {
        self.process.kill().await;
    }

    /// SIGTERM; see [`Self::exit`].
    pub(crate) fn terminate(&self) {
        self.process.signal(Signal::TERM);
    }

    /// Waits for its end.
    ///
    /// # Panics
    ///
    /// If it still runs after `within`.
    pub(crate) async fn exit(&mut self, within: Duration) -> ExitStatus {
        self.process.exit(within).await
    }

    /// SIGHUP: its files are to be read again.
    pub(crate) fn hang_up(&self) {
        self.process.signal(Signal::HUP);
    }

    /// SIGSTOP: as a machine that is suspended, or a garbage collector of another language.
    pub(crate) fn pause(&self) {
        self.process.signal(Signal::STOP);
    }

    /// SIGCONT after [`Self::pause`].
    pub(crate) fn resume(&self) {
        self.process.signal(Signal::CONT);
    }

    /// Killed unless it has ended, and started again on its ports; waits until it is ready.
    pub(crate) async fn restart(&mut self) {
        self.process.kill().await;
        self.process = spawn(&self.config, &self.dir, &self.data, &self.admin, &[]);
        self.ready().await;
    }

    fn key(&self, namespace: &str, key: &str) -> String {
        self.url(&format!("/v1/cache/{namespace}/{key}"))
    }
}

/// The binary under test: `$COHERD_BINARY`, such as a release build to be measured, else the one built with the tests.
pub(crate) fn coherd() -> Command {
    let named = env::var_os("COHERD_BINARY");
    let mut command = Command::new(named.unwrap_or_else(|| env!("CARGO_BIN_EXE_coherd").into()));
    // A developer's own settings are no part of the test.
    for (name, _) in env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("COHERD_")) {
        command.env_remove(name);
    }
    command
}

fn spawn(config: &Config, dir: &TempDir, data: &Port, admin: &Port, args: &[&str]) -> Process {
    let file = dir.path().join("coherd.toml");
    fs::write(&file, config.file(data.addr(), admin.addr())).expect("a configuration can be written");
    let mut command = coherd();
    command.arg("serve").arg("-c").arg(&file).args(args);
    command.envs(config.variables().iter().map(|(name, value)| (name, value)));
    Process::spawn(&format!("coherd {}", config.id()), &mut command, &dir.path().join("output.log"))
}
