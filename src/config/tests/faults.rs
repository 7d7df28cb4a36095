//! Every kind of fault of a single key, with its place, all at once.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

use super::{Layers, file};
use crate::config::Place;

#[test]
fn all_faults_of_all_layers_come_at_once_each_with_its_place() {
    let layers = file("[server]\nworkers = \"many\"\nlistn = \"x\"\n[backend]\nurl = \"http://h\"")
        .file("[log]\nlevel = \"loud\"\n[nonsense]\na = 1")
        .path(Path::new("/nowhere/coherd.toml"))
        .env("COHERD_BACKEND__POOL", "0")
        .env("COHERD_COHERENCE__MAX_STALENESS", "2h")
        .set("monitor.sample=2")
        .set("nothing");
    let faults = layers.load().unwrap_err();
    let found: Vec<(String, Place)> = faults.iter().map(|f| (f.key.clone(), f.place.clone())).collect();
    let path = |index: usize| Place::File(layers.files[index].path().to_owned());
    let variable = |name: &str| Place::Variable(name.to_owned());
    let flag = |key: &str| Place::Flag(key.to_owned());
    let mut expected = [
        ("", Place::File("/nowhere/coherd.toml".into())),
        ("", flag("number 2")),
        ("backend.pool", variable("COHERD_BACKEND__POOL")),
        ("backend.url", path(0)),
        ("coherence.max_staleness", variable("COHERD_COHERENCE__MAX_STALENESS")),
        ("log.level", path(1)),
        ("monitor.sample", flag("monitor.sample")),
        ("nonsense", path(1)),
        ("server.listn", path(0)),
        ("server.workers", path(0)),
    ]
    .map(|(key, place)| (key.to_owned(), place));
    expected.sort();
    assert_eq!(found, expected);
    assert_eq!(faults.to_string().lines().count(), expected.len(), "{faults}");
}

#[test]
fn a_fault_reads_as_one_line_with_key_place_message_and_what_is_accepted() {
    let faults = Layers::default().set("server.workers=many\nmore").load().unwrap_err();
    let line =
        "server.workers (--set server.workers): found `many more`; accepted: a whole number, 0 to 1024";
    assert_eq!(faults.to_string(), line);
}

#[test]
fn what_a_key_does_not_accept_is_a_fault() {
    for set in [
        "instance.id=a b",
        "instance.cluster=main.1",
        "instance.cluster=",
        "instance.shutdown_grace=2h",
        "instance.lame_duck=2h",
        "server.listen=localhost",
        "server.listen=127.0.0.1",
        "server.listen=127.0.0.1:70000",
        "server.workers=-1",
        "server.workers=1025",
        "server.workers=1.5",
        "server.max_body=0",
        "server.max_body=-5",
        "server.max_body=1GiB",
        "server.max_body=much",
        "server.request_timeout=0s",
        "server.header_timeout=5",
        "server.body_timeout=5 parsecs",
        "server.tls=yes",
        "log.format=xml",
        "log.level=",
        "log.level=inof",
        "log.level=coherd=loud",
        "auth.tokens=x",
        "auth.tokens=[1]",
        "backend.kind=redis",
        "backend.username=",
        "backend.password=",
        "backend.password_env=A B",
        "backend.shards=257",
        "backend.pool=257",
        "backend.connect_timeout=1h",
        "backend.breaker=1",
        "backend.breaker.failures=0",
        "backend.breaker.open_for=0s",
        "coherence.max_staleness=50ms",
        "coherence.max_staleness=61m",
        "coherence.on_failover=panic",
        "coherence.min_replicas_ack=17",
        "coherence.log_max_events=0",
        "coherence.watermarks_max=0",
        "coherence.tracking=maybe",
        "write_behind.partitions=0",
        "write_behind.retry.attempts=0",
        "monitor.sample=1.01",
        "monitor.sample=nan",
        "defaults.ttl=60",
        "defaults.ttl_jitter=1.1",
        "defaults.ttl_jitter=-0.1",
        "defaults.refresh_ahead=-1",
        "defaults.coherence=loose",
        "defaults.max_staleness=1ms",
        "defaults.lease=11m",
        "defaults.l1_capacity=x",
        "defaults.l1_policy=fifo",
        "defaults.max_value=0",
        "defaults.max_value=513MiB",
        "defaults.compression.level=0",
        "defaults.compression.level=23",
        "defaults.compression.codec=lz4",
        "defaults.tags=a",
        "defaults.tags=[\"a b\"]",
        "defaults.tags=[\"{id}\"]",
        "defaults.tags=[\"{key\"]",
        "defaults.depends_on=[\"{key}\"]",
        "defaults.depends_on=[\"Accounts/{key}\"]",
        "defaults.depends_on=[\"accounts/all\"]",
        "defaults.depends_on=[\"accounts/{id}{key}\"]",
        "defaults.version=-1",
        "defaults.write=on",
        "defaults.origin.kind=grpc",
        "defaults.origin.timeout=0s",
        "defaults.origin.retries=11",
        "defaults.origin.max_concurrency=0",
        "defaults.origin.cache_control=some",
        "defaults.origin.url=http://h/",
        "defaults.origin.url=http://{key}/",
        "defaults.origin.url=http://h{key}",
        "defaults.origin.url=http://h/{id}/{key}",
        "defaults.origin.url=http:///{key}",
        "defaults.origin.url=http://h:x/{key}",
        "defaults.origin.url=http://h/{key}#x",
        "defaults.origin.headers={ range = \"x\" }",
        "defaults.rate_limit.key=cookie",
        "defaults.warm.keys=[\"\"]",
    ] {
        let faults = Layers::default().set(set).load().expect_err(set);
        let key = set.split_once('=').unwrap().0;
        let [fault] = faults.iter().as_slice() else { panic!("{set}: {faults}") };
        assert!(fault.key.starts_with(key), "{set}: {fault}");
        assert_eq!(fault.place, Place::Flag(key.to_owned()), "{set}: {fault}");
        assert!(!fault.accepted.is_empty(), "{set}: {fault}");
    }
}

#[test]
fn a_wrong_type_in_a_file_is_a_fault() {
    for (text, key) in [
        ("[server]\nworkers = \"4\"", "server.workers"),
        ("[server]\nlisten = 8080", "server.listen"),
        ("[server]\nrequest_timeout = 30", "server.request_timeout"),
        ("[coherence]\ntracking = \"false\"", "coherence.tracking"),
        ("[coherence]\ntracking = 2020-01-01", "coherence.tracking"),
        ("server = 1", "server"),
        ("[server.workers]\nx = 1", "server.workers"),
        ("namespaces = []", "namespaces"),
        ("namespaces.u = 1", "namespaces.u"),
        ("defaults = 1", "defaults"),
        ("coherence = 1", "coherence"),
        ("[defaults]\ntags = [1]", "defaults.tags"),
        ("auth.tokens = {}", "auth.tokens"),
    ] {
        let faults = file(text).load().expect_err(text);
        assert!(faults.iter().any(|fault| fault.key == key), "{text}: {faults}");
    }
}

#[test]
fn an_unknown_key_is_a_fault_that_names_the_nearest() {
    let faults =
        file("[backend]\npol = 1\n[coherence]\nmax_stalenes = \"1s\"\nqqq = 1\n[server.tls]\ncrt = 1")
            .faults();
    assert!(faults.contains(&"backend.pol unknown key, is `pool` meant?".to_owned()), "{faults:?}");
    assert!(
        faults.contains(&"coherence.max_stalenes unknown key, is `max_staleness` meant?".to_owned()),
        "{faults:?}"
    );
    assert!(faults.contains(&"coherence.qqq unknown key".to_owned()), "{faults:?}");
    assert!(faults.contains(&"server.tls.crt unknown key, is `cert` meant?".to_owned()), "{faults:?}");
    assert!(faults.contains(&"server.tls.cert it is missing".to_owned()), "{faults:?}");
}

#[test]
fn what_defaults_have_wrong_is_said_once() {
    let faults = file(
        "[defaults]\nttl = 1\nttk = 2\n[defaults.origin]\nurrl = 3
         [namespaces.a.origin]\nkind = \"none\"\n[namespaces.b.origin]\nurl = \"http://h/{key}\"",
    )
    .faults();
    assert_eq!(faults.len(), 3, "{faults:?}");
    assert!(faults.iter().all(|fault| fault.starts_with("defaults.")), "{faults:?}");
}

#[test]
fn an_origin_lacks_nothing_and_has_nothing_of_another_kind() {
    let faults = file(
        "[namespaces.a]\n[namespaces.b.origin]\nkind = \"sql\"\nheaders = {}
         [namespaces.c.origin]\nkind = \"none\"\nurl = \"http://h/{key}\"",
    )
    .faults();
    assert_eq!(
        faults,
        [
            "namespaces.a.origin.url it is missing",
            "namespaces.b.origin.headers it does not apply to this `kind`",
            "namespaces.b.origin.select it is missing",
            "namespaces.b.origin.url it is missing",
            "namespaces.c.origin.url it does not apply to this `kind`",
        ]
    );
}

#[test]
fn a_namespace_has_a_name_that_a_path_can_hold() {
    for name in ["Users", "a b", "ü", ""] {
        let text = format!("[namespaces.{name:?}.origin]\nkind = \"none\"");
        let faults = file(&text).faults();
        assert_eq!(faults.len(), 1, "{faults:?}");
        assert!(faults[0].contains("is not 1 to 64"), "{faults:?}");
    }
}

#[test]
fn a_file_that_is_no_toml_is_a_fault_with_its_line() {
    let faults = file("[server]\nworkers = = 1").file("[server]\nworkers = 1\nworkers = 2").faults();
    assert_eq!(faults.len(), 2, "{faults:?}");
    assert!(faults.iter().any(|fault| fault.starts_with(" line 2: ")), "{faults:?}");
    assert!(faults.iter().any(|fault| fault.starts_with(" line 3: ")), "{faults:?}");
    assert!(Layers::default().path(Path::new("/")).faults()[0].contains("cannot be read"));
}

#[test]
fn a_variable_that_is_not_utf8_or_names_no_key_is_a_fault() {
    let mut layers = Layers::default().env("COHERD_SERVER__", "1");
    layers.sources.env.push(("COHERD_LOG__LEVEL".into(), OsString::from_vec(vec![0xFF])));
    layers.sources.env.push(("OTHER".into(), OsString::from_vec(vec![0xFF])));
    assert_eq!(layers.faults(), [" it is not UTF-8", " its name names no key"]);
}
