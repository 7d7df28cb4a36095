//! `config/coherd.toml`: it is read, says the defaults, and leaves nothing out.

use std::collections::BTreeSet;

use super::{Layers, file};
use crate::config::{Config, Provenance};

const SAMPLE: &str = include_str!("../../../config/coherd.toml");

/// Without the id, which is another each time.
fn comparable(mut config: Config) -> Config {
    config.instance.id.clear();
    config
}

/// The sample with every default in force, and with or without its examples.
fn uncommented(examples: bool) -> String {
    let line = |line: &str| match (line.strip_prefix("# Example: "), line.strip_prefix('#')) {
        (Some(example), _) if examples => example.to_owned(),
        (None, Some(setting)) if !setting.is_empty() && !setting.starts_with(' ') => setting.to_owned(),
        _ => line.to_owned(),
    };
    SAMPLE.lines().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_sample_as_it_is_says_the_defaults() {
    assert_eq!(comparable(file(SAMPLE).config()), comparable(Layers::default().config()));
    assert_eq!(comparable(Config::default()), comparable(Layers::default().config()));
}

#[test]
fn the_sample_with_every_key_uncommented_says_the_defaults_too() {
    let only_url = Layers::default().set("namespaces.users.origin.url=http://users.internal/users/{key}");
    assert_eq!(comparable(file(&uncommented(false)).config()), comparable(only_url.config()));
}

#[test]
fn the_sample_sets_every_key_that_has_a_default_and_shows_every_other() {
    let all = file(&uncommented(false)).load().unwrap().provenance;
    let unset: Vec<String> = all
        .0
        .iter()
        .filter(|line| *all.of(&line.key()).unwrap() == crate::config::Place::Default)
        .filter(|line| line.text.is_some())
        .map(super::super::show::Line::key)
        .collect();
    assert_eq!(unset, Vec::<String>::new());

    let sql = "[auth]\n[namespaces.u.origin]\nkind = \"sql\"\nurl = \"sqlite:x\"\nselect = \"SELECT ?1\"";
    let known = names(&file(sql).load().unwrap().provenance);
    let words: BTreeSet<&str> =
        SAMPLE.split(|c: char| !c.is_ascii_lowercase() && !"_123456789".contains(c)).collect();
    let missing: Vec<_> = known.iter().filter(|name| !words.contains(name.as_str())).collect();
    assert!(missing.is_empty(), "{missing:?}");
    for inside in ["name", "token_env", "allow", "namespaces", "cert", "per", "burst", "scope", "rate"] {
        assert!(words.contains(inside), "{inside}");
    }
}

#[test]
fn the_examples_name_no_key_that_does_not_exist() {
    // Both kinds of origin in one table, and features to come: only what is said of names counts here.
    let faults = file(&uncommented(true)).faults();
    let unknown: Vec<_> = faults.iter().filter(|fault| fault.contains("unknown key")).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}

#[test]
fn defaults_are_those_of_the_contract() {
    let printed = Layers::default().set("namespaces.u.origin.url=http://h/{key}").load().unwrap().provenance;
    let printed = printed.to_string();
    for line in [
        "id = \"\"",
        "cluster = \"main\"",
        "shutdown_grace = \"10s\"",
        "lame_duck = \"0s\"",
        "listen = \"127.0.0.1:8080\"",
        "admin_listen = \"127.0.0.1:9080\"",
        "workers = 0",
        "max_body = \"8MiB\"",
        "request_timeout = \"30s\"",
        "header_timeout = \"10s\"",
        "body_timeout = \"30s\"",
        "format = \"auto\"",
        "level = \"info\"",
        "kind = \"valkey\"",
        "url = \"valkey://127.0.0.1:6379/0\"",
        "shards = 0",
        "pool = 4",
        "connect_timeout = \"2s\"",
        "command_timeout = \"2s\"",
        "failures = 5",
        "open_for = \"5s\"",
        "max_staleness = \"2s\"",
        "on_failover = \"flush\"",
        "min_replicas_ack = 0",
        "log_max_events = 200000",
        "watermarks_max = 500000",
        "start_detached_after = \"10s\"",
        "tracking = false",
        "ttl = \"60s\"",
        "ttl_max = \"24h\"",
        "ttl_jitter = 0.1",
        "stale_while_revalidate = \"0s\"",
        "stale_if_error = \"0s\"",
        "negative_ttl = \"0s\"",
        "refresh_ahead = 0.0",
        "coherence = \"strict\"",
        "origin_lag = \"0s\"",
        "lease = \"5s\"",
        "l1_capacity = \"64MiB\"",
        "l1_policy = \"tiny_lfu\"",
        "max_value = \"1MiB\"",
        "codec = \"zstd\"",
        "level = 3",
        "min_size = \"1KiB\"",
        "tags = []",
        "depends_on = []",
        "version = 1",
        "write = \"off\"",
        "kind = \"http\"",
        "timeout = \"2s\"",
        "soft_timeout = \"0s\"",
        "retries = 1",
        "max_concurrency = 64",
        "cache_control = \"honour\"",
        "headers = {}",
        "keys = []",
        "keys_file = \"\"",
        "partitions = 8",
        "batch = 64",
        "takeover = \"10s\"",
        "backlog_max = 1000000",
        "initial = \"100ms\"",
        "max = \"30s\"",
        "attempts = 10",
        "sample = 0.001",
    ] {
        assert!(printed.lines().any(|printed| printed == line), "`{line}` is not in\n{printed}");
    }
}

fn names(provenance: &Provenance) -> BTreeSet<String> {
    provenance.0.iter().map(|line| line.name.clone()).collect()
}
