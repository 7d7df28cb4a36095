//! Which layer wins, and how each spells its values.

use std::path::PathBuf;
use std::time::Duration;

use super::{Layers, file};
use crate::config::{Codec, LogFormat, Mode, Origin, Place, WriteMode};

#[test]
fn later_layers_go_over_earlier_ones_key_by_key() {
    let layers = file("[server]\nworkers = 1\nmax_body = 1\n[log]\nlevel = \"warn\"\n[backend]\npool = 9")
        .file("[server]\nworkers = 2\nmax_body = 2")
        .env("COHERD_SERVER__WORKERS", "3")
        .env("COHERD_LOG__FORMAT", "json")
        .set("server.workers=4");
    let loaded = layers.load().unwrap();
    let config = loaded.config;
    assert_eq!((config.server.workers, config.server.max_body), (4, 2));
    assert_eq!((config.log.level.as_str(), config.log.format), ("warn", LogFormat::Json));
    assert_eq!(config.backend.pool, 9);

    let of = |key| loaded.provenance.of(key).cloned().unwrap();
    let path = |index: usize| PathBuf::from(layers.files[index].path());
    assert_eq!(of("server.workers"), Place::Flag("server.workers".to_owned()));
    assert_eq!(of("log.format"), Place::Variable("COHERD_LOG__FORMAT".to_owned()));
    assert_eq!(of("server.max_body"), Place::File(path(1)));
    assert_eq!(of("backend.pool"), Place::File(path(0)));
    assert_eq!(of("backend.shards"), Place::Default);
}

#[test]
fn a_namespace_goes_over_defaults_and_those_over_the_coherence_section() {
    let config = file(
        "[coherence]\nmax_staleness = \"5s\"
         [defaults]\nttl = \"10s\"\nlease = \"1s\"\ncompression = { level = 9 }
         [defaults.origin]\nkind = \"none\"\ntimeout = \"3s\"\nheaders = { accept = \"a\" }
         [namespaces.one]\nttl = \"20s\"\nmax_staleness = \"1s\"\ncompression = { codec = \"none\" }
         [namespaces.two]\ncoherence = \"available\"
         [namespaces.two.origin]\nkind = \"sql\"\nurl = \"sqlite:x.db\"\nselect = \"SELECT 1\"",
    )
    .config();
    let (one, two) = (&config.namespaces["one"], &config.namespaces["two"]);
    let seconds = Duration::from_secs;
    assert_eq!((one.ttl, two.ttl), (seconds(20), seconds(10)));
    assert_eq!((one.lease, two.lease), (seconds(1), seconds(1)));
    assert_eq!((one.max_staleness, two.max_staleness), (seconds(1), seconds(5)));
    assert_eq!((one.coherence, two.coherence), (Mode::Strict, Mode::Available));
    assert_eq!((one.compression.codec, one.compression.level), (Codec::None, 9));
    assert_eq!(one.origin, Origin::None);
    let Origin::Sql(sql) = &two.origin else { panic!("{:?}", two.origin) };
    assert_eq!((sql.limits.timeout, sql.select.as_str()), (seconds(3), "SELECT 1"));
}

#[test]
fn variables_and_flags_are_read_by_the_type_of_their_key() {
    let config = Layers::default()
        .env("COHERD_BACKEND__PASSWORD", "123456")
        .env("COHERD_BACKEND__USERNAME", "true")
        .env("COHERD_BACKEND__COMMAND_TIMEOUT", "250ms")
        .env("COHERD_NAMESPACES__MY_NS__ORIGIN__KIND", "none")
        .env("COHERD_NAMESPACES__MY_NS__TAGS", r#"["a", "k:{key}"]"#)
        .env("COHERD_NAMESPACES__MY_NS__COMPRESSION", "{ level = 5 }")
        .env("COHERD_NAMESPACES__MY_NS__TTL_JITTER", "0")
        .set("namespaces.my_ns.l1_capacity=1048576")
        .set("namespaces.my_ns.max_value=2KiB")
        .set("namespaces.my_ns.compression.min_size=7")
        .set("namespaces.my_ns.write=\"through\"")
        .set("instance.id=42")
        .config();
    let backend = &config.backend;
    assert_eq!(backend.password.as_ref().unwrap().expose(), "123456");
    assert_eq!(backend.username.as_deref(), Some("true"));
    assert_eq!(backend.command_timeout, Duration::from_millis(250));
    assert_eq!(config.instance.id, "42");
    let namespace = &config.namespaces["my_ns"];
    assert_eq!(namespace.tags, ["a", "k:{key}"]);
    assert_eq!((namespace.l1_capacity, namespace.max_value), (1 << 20, 2048));
    assert_eq!((namespace.compression.level, namespace.compression.min_size), (5, 7));
    assert!(namespace.ttl_jitter.abs() < f64::EPSILON);
    assert_eq!(namespace.write, WriteMode::Through);
}

#[test]
fn variables_without_two_underscores_are_not_configuration() {
    let layers = Layers::default()
        .env("COHERD_TOKEN", "x")
        .env("COHERD_SERVICE_HOST", "10.0.0.1")
        .env("COHERDX__Y", "1")
        .env("PATH", "/bin");
    assert!(layers.load().is_ok());
}

#[test]
fn tokens_come_from_a_file_or_from_one_text() {
    let layers = file(
        "[[auth.tokens]]\nname = \"a\"\ntoken_env = \"A\"\nallow = [\"read\"]
         [[auth.tokens]]\nname = \"b\"\ntoken_env = \"B\"\nallow = [\"admin\", \"write\"]\nnamespaces = [\"users\"]",
    )
    .env("A", "one")
    .env("B", "two");
    let auth = layers.config().auth;
    assert_eq!(auth.tokens.len(), 2);
    assert_eq!((auth.tokens[1].name.as_str(), auth.tokens[1].secret.expose()), ("b", "two"));
    assert_eq!(auth.tokens[1].namespaces, ["users"]);

    let auth = layers.set(r#"auth.tokens=[{ name = "c", token_env = "A", allow = ["read"] }]"#).config().auth;
    assert_eq!(auth.tokens.iter().map(|token| token.name.as_str()).collect::<Vec<_>>(), ["c"]);
}

#[test]
fn an_instance_without_id_gets_one_of_its_own() {
    let (one, other) = (Layers::default().config(), Layers::default().config());
    assert_ne!(one.instance.id, other.instance.id);
    assert!((8..=64).contains(&one.instance.id.len()), "{}", one.instance.id);
}

#[test]
fn what_is_printed_says_the_same_when_it_is_read() {
    let layers = file(
        "[backend]\nbreaker = { failures = 5 }\n[instance]\nid = \"i\"
         [defaults.origin]\nkind = \"none\"
         [namespaces.a]\ntags = [\"{key}\", \"'q'\"]\ndepends_on = [\"b/{key}\"]\nttl_jitter = 1
         [namespaces.b.origin]\nkind = \"http\"\nurl = \"http://h/{key}\"\nheaders = { \"x-y\" = \"z\" }
         [[auth.tokens]]\nname = \"t\"\ntoken_env = \"T\"\nallow = [\"read\"]",
    )
    .env("T", "secret")
    .set("server.workers=3");
    let loaded = layers.load().unwrap();
    let printed = loaded.provenance.to_string();
    assert!(printed.contains("workers = 3  # from --set server.workers\n"), "{printed}");
    assert!(printed.contains("pool = 4\n"), "{printed}");
    assert!(printed.contains("# reader_url is not set\n"), "{printed}");
    let place = format!("kind = \"none\"  # from {}\n", layers.files[0].path().display());
    assert!(printed.contains(&place), "{printed}");
    assert_eq!(file(&printed).env("T", "secret").config(), loaded.config, "{printed}");
}
