//! `[[sources]]`: what is read, and what is wrong with it.

use std::time::Duration;

use super::file;
use crate::config::{Config, DebeziumSource, PostgresSource, Snapshot, SourceKind};

const POSTGRES: &str = "[[sources]]\nkind = \"postgres\"\nname = \"shop\"\nurl = \"postgres://u@h/d\"\n";

const DEBEZIUM: &str = "[[sources]]\nkind = \"debezium\"\nname = \"cdc\"\n";
const TABLE: &str = "[[sources.tables]]\nstream = \"s.users\"\nnamespace = \"users\"\nkey = \"{id}\"\n";

fn postgres(config: &Config) -> &PostgresSource {
    match &config.sources[0].kind {
        SourceKind::Postgres(of) => of,
        SourceKind::Debezium(of) => panic!("{of:?}"),
    }
}

fn debezium(config: &Config) -> &DebeziumSource {
    match &config.sources[0].kind {
        SourceKind::Debezium(of) => of,
        SourceKind::Postgres(of) => panic!("{of:?}"),
    }
}

#[test]
fn an_outbox_has_defaults_and_its_password_a_variable() {
    let config = file(POSTGRES).config();
    let of = postgres(&config);
    assert_eq!((&*config.sources[0].name, &*of.channel, of.batch), ("shop", "coherd", 1000));
    assert_eq!(of.outbox.to_string(), r#""public"."coherd_outbox""#);
    assert_eq!((of.poll_interval, &of.password), (Duration::from_secs(1), &None));

    let with = format!("{POSTGRES}password_env = \"P\"\noutbox = \"Shop.\\\"Out box\\\"\"");
    let loaded = file(&with).env("P", "hunter2").load().unwrap();
    let of = postgres(&loaded.config);
    assert_eq!(of.password.as_ref().unwrap().expose(), "hunter2");
    assert_eq!(of.outbox.to_string(), r#""shop"."Out box""#);
    let printed = loaded.provenance.to_string();
    assert!(printed.contains("[[sources]]\nkind = \"postgres\"  # from"), "{printed}");
    assert!(!printed.contains("hunter2") && !format!("{loaded:?}").contains("hunter2"));
    let printed = file(&POSTGRES.replace("u@", "u:hunter2@")).load().unwrap().provenance.to_string();
    assert!(printed.contains("url = \"postgres://u:***@h/d\"") && !printed.contains("hunter2"), "{printed}");
}

#[test]
fn every_fault_is_named_by_its_place() {
    let no_variable = "the environment variable `P` is not set, or empty";
    for (text, faults) in [
        (
            "[[sources]]\nkind = \"postgres\"".to_owned(),
            &["sources[0].name it is missing", "sources[0].url it is missing"][..],
        ),
        ("[[sources]]\nname = \"a\"\nurl = \"postgres://h\"".to_owned(), &["sources[0].kind it is missing"]),
        (format!("{POSTGRES}{POSTGRES}"), &["sources[1].name another source is named `shop` too"]),
        (format!("{POSTGRES}chanel = \"x\""), &["sources[0].chanel unknown key, is `channel` meant?"]),
        (format!("{POSTGRES}batch = 0"), &["sources[0].batch found `0`"]),
        (format!("{POSTGRES}outbox = \"a b\""), &["sources[0].outbox found `a b`"]),
        (format!("{POSTGRES}poll_interval = \"0s\""), &["sources[0].poll_interval found `0s`"]),
        (format!("{POSTGRES}password_env = \"P\""), &[&format!("sources[0].password_env {no_variable}")]),
        (POSTGRES.replace("postgres://", "mysql://"), &["sources[0].url its scheme is not postgres"]),
        (POSTGRES.replace("\"shop\"", "\"a shop\""), &["sources[0].name found `a shop`"]),
    ] {
        let mut found = file(&text).faults();
        found.sort();
        assert_eq!(found, faults, "{text}");
    }
    let both = POSTGRES.replace("u@", "u:hunter2@") + "password_env = \"P\"";
    let found = file(&both).env("P", "x").faults();
    assert!(found.len() == 1 && found[0].contains("says the same thing"), "{found:?}");
    assert!(!found[0].contains("hunter2"));
}

#[test]
fn streams_have_defaults_and_are_where_the_backend_is_unless_they_say_so() {
    let config = file(&format!("{DEBEZIUM}{TABLE}")).config();
    let of = debezium(&config);
    assert_eq!((&of.url, &*of.group, &*of.null, of.delete), (&None, "coherd", "default", false));
    assert_eq!((of.snapshot, of.batch, of.tables.len()), (Snapshot::Invalidate, 256, 1));
    let text = format!(
        "{DEBEZIUM}url = \"rediss://u:hunter2@h:1/3\"\nca_file = \"ca.pem\"\n{TABLE}{}",
        TABLE.replace("{id}", "{a}/{b}").replace("s.users", "s.other")
    );
    let loaded = file(&text).load().unwrap();
    assert_eq!(debezium(&loaded.config).password.as_ref().unwrap().expose(), "hunter2");
    let printed = loaded.provenance.to_string();
    assert!(printed.contains("[[sources.tables]]\nstream = \"s.users\"  # from"), "{printed}");
    assert!(!printed.contains("hunter2") && !format!("{loaded:?}").contains("hunter2"), "{printed}");
    // What is printed is read again, the lists in their places.
    let again = file(&printed.replace(":***@", ":hunter2@")).config();
    assert_eq!(again.sources, loaded.config.sources);
}

#[test]
fn every_fault_of_streams_is_named_by_its_place() {
    let with = |line: &str| format!("{DEBEZIUM}{line}\n{TABLE}");
    for (text, fault) in [
        (DEBEZIUM.to_owned(), "sources[0].kind no table is mapped"),
        (with("outbox = \"x\""), "sources[0].outbox it does not apply to this `kind`"),
        (with("group = \"\""), "sources[0].group found ``"),
        (with("snapshot = \"maybe\""), "sources[0].snapshot found `maybe`"),
        (with("url = \"valkey-cluster://a,b\""), "sources[0].url its streams are read from one server"),
        (format!("{DEBEZIUM}{}", TABLE.replace("{id}", "{id")), "sources[0].tables[0].key found `{id`"),
        (
            format!("{DEBEZIUM}{}", TABLE.replace("{id}", "id")),
            "sources[0].tables[0].key it names no column: every row would be the same key",
        ),
        (
            format!("{DEBEZIUM}{}", TABLE.replace("key = \"{id}\"", "")),
            "sources[0].tables[0].namespace it has neither `key` nor `tags`: nothing would be named",
        ),
        (
            format!("{DEBEZIUM}{}", TABLE.replace("stream = \"s.users\"", "")),
            "sources[0].tables[0].stream it is missing",
        ),
        (
            format!("{DEBEZIUM}{TABLE}{TABLE}"),
            "sources[0].tables[1].stream the same table of the same stream is mapped to this namespace twice",
        ),
        (
            format!("{DEBEZIUM}{TABLE}tabel = \"x\""),
            "sources[0].tables[0].tabel unknown key, is `table` meant?",
        ),
        (
            format!("[backend]\nkind = \"memory\"\n{DEBEZIUM}{TABLE}"),
            "sources[0].kind the backend is not one server, which the streams could be on",
        ),
    ] {
        assert_eq!(file(&text).faults(), [fault], "{text}");
    }
}

#[test]
fn the_example_is_in_order_and_says_what_it_is_about() {
    let config = file(include_str!("../../../config/feeds.toml")).config();
    let names: Vec<&str> = config.sources.iter().map(|source| &*source.name).collect();
    assert_eq!(names, ["shop", "shop-cdc"]);
}
