//! The files for Docker, systemd and Kubernetes: what they name is there, and what they configure is accepted.

use std::fs;
use std::path::{Path, PathBuf};

use tokio::process::Command;

use crate::harness::command::{Ran, run};
use crate::harness::instance::coherd;

fn root(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(file)
}

fn text(file: &str) -> String {
    fs::read_to_string(root(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// What stands under a line of that text, without its indentation: a block of YAML.
fn block(text: &str, head: &str) -> String {
    let mut lines = text.lines().skip_while(|line| line.trim() != head);
    let indent = |line: &str| line.len() - line.trim_start().len();
    let outer = indent(lines.next().unwrap_or_else(|| panic!("no line `{head}`")));
    let inner: Vec<_> = lines.take_while(|line| line.trim().is_empty() || outer < indent(line)).collect();
    let cut = indent(inner.first().expect("something stands there"));
    inner.iter().map(|line| line.get(cut..).unwrap_or("").to_owned() + "\n").collect()
}

async fn check(file: &Path) -> Ran {
    run(coherd().arg("check").arg("-c").arg(file).env("COHERD_TOKEN", "a-token"), b"").await
}

#[tokio::test]
async fn every_configuration_of_coherd_passes_its_check() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let from_kubernetes = folder.path().join("coherd.toml");
    fs::write(&from_kubernetes, block(&text("config/kubernetes/coherd.yaml"), "coherd.toml: |"))
        .expect("a file can be written");
    for file in [root("config/stack/coherd.toml"), root("config/coherd.toml"), from_kubernetes] {
        let ran = check(&file).await;
        assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{}", file.display());
    }
}

#[tokio::test]
async fn haproxy_and_prometheus_accept_theirs() {
    let config = root("config/haproxy/haproxy.cfg");
    let mut haproxy = Command::new("haproxy");
    haproxy.arg("-c").arg("-f").arg(&config);
    for number in 1..=3 {
        haproxy.env(format!("COHERD_{number}"), format!("127.0.0.1:808{number}"));
    }
    let promtool = root("config/prometheus/prometheus.yml");
    for command in [&mut haproxy, Command::new("promtool").args(["check", "config"]).arg(&promtool)] {
        let path = std::env::var("PATH").unwrap_or_default();
        let ran = run(command.env("PATH", format!("{path}:/usr/sbin:/sbin")), b"").await;
        assert_eq!(ran.code, Some(0), "{ran:?}");
    }
}

#[test]
fn compose_mounts_what_is_there_and_is_reached_from_this_machine_alone() {
    let compose = text("docker-compose.yml");
    let entries = || compose.lines().filter_map(|line| line.trim().strip_prefix("- "));
    let mounted: Vec<_> = entries()
        .filter(|entry| entry.starts_with("./"))
        .map(|entry| entry.split(':').next().expect("it has a first part"))
        .collect();
    assert!(5 <= mounted.len(), "{mounted:?}");
    for file in mounted {
        assert!(root(file).exists(), "{file} is mounted and not there");
    }
    let published: Vec<_> =
        entries().filter(|entry| entry.trim_matches('"').matches(':').count() == 2).collect();
    let published: Vec<_> = published.into_iter().filter(|entry| !entry.contains('/')).collect();
    assert!(8 <= published.len(), "{published:?}");
    for entry in published {
        assert!(entry.trim_matches('"').starts_with("127.0.0.1:"), "{entry} is open to others");
    }
}

/// Where it is stopped with less time than it may take, requests are cut off.
#[test]
fn whoever_stops_an_instance_gives_it_longer_than_it_takes() {
    // Beyond the grace the later stages have three seconds each, and writes the grace again.
    let seconds = |text: &str, name: &str| -> u64 {
        let line = text
            .lines()
            .find_map(|line| line.trim().strip_prefix(name))
            .unwrap_or_else(|| panic!("no {name}"));
        let number: String = line.chars().filter(char::is_ascii_digit).collect();
        number.parse().unwrap_or_else(|error| panic!("{name}{line}: {error}"))
    };
    assert!(41 <= seconds(&text("docker-compose.yml"), "stop_grace_period:"));
    assert!(41 <= seconds(&text("config/systemd/coherd.service"), "TimeoutStopSec="));
    assert!(41 <= seconds(&text("config/kubernetes/coherd.yaml"), "terminationGracePeriodSeconds:"));
}
