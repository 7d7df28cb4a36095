//! `[[sources]]`: what is read, and what is wrong with it.

use std::time::Duration;

use super::file;
use crate::config::SourceKind;

const POSTGRES: &str = "[[sources]]\nkind = \"postgres\"\nname = \"shop\"\nurl = \"postgres://u@h/d\"\n";

#[test]
fn an_outbox_has_defaults_and_its_password_a_variable() {
    let config = file(POSTGRES).config();
    let SourceKind::Postgres(of) = &config.sources[0].kind;
    assert_eq!((&*config.sources[0].name, &*of.channel, of.batch), ("shop", "coherd", 1000));
    assert_eq!(of.outbox.to_string(), r#""public"."coherd_outbox""#);
    assert_eq!((of.poll_interval, &of.password), (Duration::from_secs(1), &None));

    let with = format!("{POSTGRES}password_env = \"P\"\noutbox = \"Shop.\\\"Out box\\\"\"");
    let loaded = file(&with).env("P", "hunter2").load().unwrap();
    let SourceKind::Postgres(of) = &loaded.config.sources[0].kind;
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
