//! A real Prometheus: a test's own, on its own port and in its own folder.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::path::PathBuf;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;

use crate::harness::http::Client;
use crate::harness::ports::Port;
use crate::harness::process::Process;
use crate::harness::wait::{SOON, eventually};

/// Short, so that what takes minutes with a user takes seconds here.
const CONFIG: &str = "
global: {scrape_interval: 500ms, scrape_timeout: 500ms, evaluation_interval: 500ms}
rule_files: [rules.yml]
scrape_configs:
  - job_name: coherd
    file_sd_configs: [{files: [targets.json], refresh_interval: 1s}]
";

/// What it shall scrape.
#[derive(Clone, Debug)]
pub(super) struct Target {
    address: String,
    labels: Value,
}

impl Target {
    /// An instance, by the URL of its metrics, with the label that the scrape configuration adds.
    pub(super) fn of(url: &str, cluster: &str) -> Self {
        Self { address: address(url), labels: json!({ "cluster": cluster }) }
    }

    /// The same instance once more, by a job of another name, under an instance's name of its own and without a label
    /// `cluster`.
    pub(super) fn bare(url: &str, instance: &str) -> Self {
        Self { address: address(url), labels: json!({ "job": "team/coherd", "instance": instance }) }
    }

    /// The label `instance` that it has unless another was given.
    pub(super) fn instance(&self) -> &str {
        &self.address
    }
}

fn address(url: &str) -> String {
    let address = url.strip_prefix("http://").and_then(|rest| rest.strip_suffix("/metrics"));
    address.expect("the address of a page of metrics").to_owned()
}

/// A sample of an instant query.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    pub(super) labels: Value,
    pub(super) value: f64,
}

/// A running Prometheus. SIGKILL when it is dropped.
pub(super) struct Prometheus {
    // Before the folder: it goes on writing there until it is gone.
    process: Process,
    dir: TempDir,
    port: Port,
    client: Client,
}

impl Prometheus {
    /// Starts one with these rules that scrapes nothing yet, and waits until it answers.
    ///
    /// # Panics
    ///
    /// If there is no such program, or it does not answer.
    pub(super) async fn start(rules: &str) -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder can be made");
        for (name, content) in [("prometheus.yml", CONFIG), ("rules.yml", rules), ("targets.json", "[]")] {
            fs::write(dir.path().join(name), content).expect("a file can be written");
        }
        let port = Port::reserve();
        let option = |name: &str, file: &str| format!("--{name}={}", dir.path().join(file).display());
        let mut command = Command::new(program("prometheus"));
        command
            .args([option("config.file", "prometheus.yml"), option("storage.tsdb.path", "data")])
            .arg(format!("--web.listen-address={}", port.addr()))
            .arg("--log.level=warn");
        let process = Process::spawn("prometheus", &mut command, &dir.path().join("output.log"));
        let mut prometheus = Self { process, dir, port, client: Client::keeping() };
        let url = prometheus.url("/-/ready");
        eventually("prometheus is ready", SOON, async || {
            assert!(!prometheus.process.ended(), "it ended: {}", prometheus.process.output());
            prometheus.client.get(&url).try_send().await.is_ok_and(|answer| answer.status == 200)
        })
        .await;
        prometheus
    }

    /// From now on it scrapes these and nothing else.
    pub(super) fn scrape(&self, targets: &[Target]) {
        let list = targets.iter().map(|it| json!({ "targets": [it.address], "labels": it.labels }));
        let (next, file) = (self.dir.path().join("next"), self.dir.path().join("targets.json"));
        fs::write(&next, list.collect::<Value>().to_string()).expect("a file can be written");
        fs::rename(next, file).expect("a file can be renamed");
    }

    /// What an expression is now; an error says why it is none.
    pub(super) async fn try_query(&self, expr: &str) -> Result<Vec<Sample>, String> {
        let expr = utf8_percent_encode(expr, NON_ALPHANUMERIC);
        let answer =
            self.client.get(&self.url(&format!("/api/v1/query?query={expr}"))).try_send().await?.json();
        let Some(result) = answer["data"]["result"].as_array() else { return Err(answer.to_string()) };
        let sample = |found: &Value| {
            let value = found["value"][1].as_str().and_then(|value| value.parse().ok());
            Sample { labels: found["metric"].clone(), value: value.expect("a sample is a number") }
        };
        Ok(result.iter().map(sample).collect())
    }

    /// The same where it is one.
    pub(super) async fn query(&self, expr: &str) -> Vec<Sample> {
        self.try_query(expr).await.unwrap_or_else(|error| panic!("{expr}: {error}"))
    }

    /// The alerts that fire.
    pub(super) async fn firing(&self) -> BTreeSet<String> {
        let firing = self.query(r#"ALERTS{alertstate="firing"}"#).await;
        firing.iter().filter_map(|it| it.labels["alertname"].as_str()).map(str::to_owned).collect()
    }

    /// The alerts that fire or are about to, as they are shown, with their texts filled in.
    pub(super) async fn alerts(&self) -> Vec<Value> {
        let answer = self.client.get(&self.url("/api/v1/alerts")).send().await.json();
        answer["data"]["alerts"].as_array().expect("a list").clone()
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.port.addr())
    }
}

/// A program on the `PATH`.
///
/// # Panics
///
/// If it is not there: what is to be tested cannot be.
pub(super) fn program(name: &str) -> PathBuf {
    let path = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&path).map(|dir| dir.join(name)).find(|program| program.is_file());
    found.unwrap_or_else(|| {
        panic!("dashboards and alerts are tested with `{name}`: install the package prometheus")
    })
}
