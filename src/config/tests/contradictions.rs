//! What no key says by itself, and what no code obeys.

use super::{Layers, file};

const NONE: &str = "[namespaces.u.origin]\nkind = \"none\"";
const HTTP: &str = "[namespaces.u.origin]\nurl = \"http://h/{key}\"";
const SQL: &str = "[namespaces.u.origin]\nkind = \"sql\"\nurl = \"sqlite:x.db\"\nselect = \"SELECT ?1\"";

#[test]
fn each_contradiction_is_a_fault_of_a_key_that_was_set() {
    for (layers, key, message) in [
        (Layers::default().set("server.listen=127.0.0.1:9080"), "server.listen", "same address"),
        (Layers::default().set("server.admin_listen=127.0.0.1:8080"), "server.admin_listen", "same address"),
        (Layers::default().set("server.listen=0.0.0.0:1"), "server.listen", "no tokens"),
        (Layers::default().set("server.admin_listen=[::]:1"), "server.admin_listen", "no tokens"),
        (
            file("[backend]\nkind = \"memory\"").set("backend.url=valkey://h"),
            "backend.url",
            "no server to reach",
        ),
        (Layers::default().set("backend.kind=memory").set("backend.shards=2"), "backend.shards", "one shard"),
        (
            Layers::default().set("backend.url=valkey-cluster://h").set("backend.reader_url=valkey://h"),
            "backend.reader_url",
            "from its primaries",
        ),
        (
            Layers::default().set("write_behind.retry.initial=31s"),
            "write_behind.retry.initial",
            "longer than `max`",
        ),
        (
            file(HTTP).set("namespaces.u.origin.soft_timeout=2s"),
            "namespaces.u.origin.soft_timeout",
            "not below",
        ),
        (Layers::default().set("instance.lame_duck=10s"), "instance.lame_duck", "leaves nothing"),
        (file(SQL).set("defaults.write=through"), "defaults.write", "no `upsert`"),
        (
            file(NONE).set("namespaces.u.refresh_ahead=1").set("namespaces.u.ttl=0s"),
            "namespaces.u.refresh_ahead",
            "without a `ttl`",
        ),
        (
            file(NONE).set("namespaces.u.warm.keys_file=/nowhere/keys"),
            "namespaces.u.warm.keys_file",
            "cannot be read",
        ),
        (file(NONE).set("namespaces.u.warm.keys_file=/"), "namespaces.u.warm.keys_file", "cannot be read"),
        (file(NONE).set("namespaces.u.rate_limit.key=token"), "namespaces.u.rate_limit.key", "no tokens"),
        (
            file(NONE).set("defaults.rate_limit={ key = \"ip\", rate = 1, per = \"24h\", burst = 4000 }"),
            "defaults.rate_limit.burst",
            "not regained",
        ),
        (Layers::default().set("backend.password_env=UNSET"), "backend.password_env", "`UNSET` is not set"),
        (
            Layers::default().env("P", "x").set("backend.password_env=P").set("backend.password=x"),
            "backend.password_env",
            "same thing",
        ),
        (
            Layers::default().set("backend.url=valkey://u@h").set("backend.username=v"),
            "backend.username",
            "same thing",
        ),
    ] {
        let faults = layers.load().expect_err(key);
        let found = faults.iter().find(|fault| fault.key == key && fault.message.contains(message));
        let found = found.unwrap_or_else(|| panic!("{key} {message}: {faults}"));
        let named = found.place.to_string();
        assert!(named.starts_with("--set "), "{found}");
    }
}

#[test]
fn what_only_looks_like_a_contradiction_is_none() {
    let token = "[[auth.tokens]]\nname = \"t\"\ntoken_env = \"T\"\nallow = [\"read\"]";
    for layers in [
        Layers::default().set("server.listen=127.0.0.1:0").set("server.admin_listen=127.0.0.1:0"),
        Layers::default().set("server.listen=127.0.0.2:9080"),
        Layers::default().set("server.listen=[::1]:1").set("server.admin_listen=[::ffff:127.0.0.1]:2"),
        file(token).env("T", "x").set("server.listen=0.0.0.0:1"),
        Layers::default().set("backend.kind=memory").set("backend.shards=1"),
        file(NONE).set("namespaces.u.write=behind"),
        file(NONE).set("namespaces.u.ttl=0s"),
        file(HTTP).set("defaults.origin.select=SELECT ?1"),
        file(HTTP).set("defaults.origin.timeout=1ms"),
        file(token).env("T", "x").set("defaults.rate_limit.key=token"),
        file(NONE).set("defaults.rate_limit={ key = \"ip\", rate = 1, per = \"24h\", burst = 3650 }"),
    ] {
        layers.config();
    }
}

#[test]
fn tokens_need_a_variable_that_is_set_and_a_name_and_a_text_of_their_own() {
    let two = "[[auth.tokens]]\nname = \"t\"\ntoken_env = \"A\"\nallow = [\"read\"]
               [[auth.tokens]]\nname = \"t\"\ntoken_env = \"B\"\nallow = [\"read\"]";
    let unset = file(two).env("A", "x").faults();
    assert_eq!(
        unset,
        [
            "auth.tokens[1].name another token is named `t` too",
            "auth.tokens[1].token_env the environment variable `B` is not set, or empty",
        ]
    );
    let same = file(two).env("A", "x").env("B", "x").faults();
    assert_eq!(same[1], "auth.tokens[1].token_env another token has the same text");
    // Reachable from elsewhere with a token that is broken: only the token is to be mended.
    let one = file("[[auth.tokens]]\nname = \"t\"\ntoken_env = \"A\"\nallow = [\"read\"]");
    assert_eq!(one.set("server.listen=0.0.0.0:1").faults().len(), 1);
}

#[test]
fn what_is_not_obeyed_is_refused() {
    for (namespace, set, key) in [
        ("", "backend.reader_url=valkey-cluster://h", "backend.reader_url"),
        ("", "backend.reader_url=valkey-sentinel://h?service=s", "backend.reader_url"),
        (SQL, "namespaces.u.origin.retries=2", "namespaces.u.origin.retries"),
    ] {
        let faults = file(namespace).set(set).load().expect_err(set);
        let [fault] = faults.iter().as_slice() else { panic!("{set}: {faults}") };
        assert_eq!((fault.key.as_str(), fault.message.as_str()), (key, "not supported by this version"));
        assert!(fault.place.to_string().starts_with("--set "), "{fault}");
    }
}
