//! `FCALL coherd_invalidate`, as other programs use it.

use super::*;

async fn fcall(it: &Fixture, args: &[&str]) -> Result<String, String> {
    let args: Vec<&str> =
        ["coherd_invalidate", "1", "coherd:{main}:ctl"].iter().chain(args).copied().collect();
    match it.server.try_admin("FCALL", &args).await {
        Ok(id) => Ok(id.into_string().unwrap()),
        Err(error) => Err(error.details().to_owned()),
    }
}

#[tokio::test]
async fn a_call_is_an_event_like_any_other() {
    let it = Fixture::start().await;
    let start = it.beat("i", 0, 1).await;
    it.stored("eu/1", "a").await;
    let token = it.lease("eu/2", "slow").await;
    let args = [
        "traceparent",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "src",
        "billing",
        "why",
        "plan changed",
        "ns",
        "users",
        "key",
        "eu/2",
        "prefix",
        "eu/d",
        "prefix",
        "x",
        "tag",
        "team:7",
        "ns",
        "accounts",
        "all",
        "1",
        "soft",
        "0",
    ];
    let id = fcall(&it, &args).await.unwrap();
    assert_eq!(id, format!("{}-0", start.token.seq + 1));

    let logged = it.backend.read_log(S0, start.token.seq, 10).await.unwrap().remove(0);
    assert_eq!(logged.previous, start.nonce);
    assert_eq!(logged.event.provenance.source, "billing");
    let trace = logged.event.provenance.trace.unwrap().to_string();
    assert_eq!(trace, "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
    assert_eq!(logged.event.hardness, Hardness::Hard);
    let accounts = Namespace::new("accounts").unwrap();
    assert_eq!(
        logged.event.targets,
        [
            key_target("eu/2"),
            prefix("eu/"),
            Target::Namespace(ns()),
            tag("team:7"),
            Target::Namespace(accounts)
        ]
    );
    it.lease("eu/1", "b").await;
    assert!(matches!(it.fill("eu/2", "slow", token).await, Filled::Refused(_)));
}

#[tokio::test]
async fn each_call_that_is_logged_is_told_to_one_member() {
    let it = Fixture::start().await;
    assert_eq!(it.beat("a", 0, 1).await.called, 0);
    for args in [&["tag", "t"][..], &["tag", "t", "request_id", "r"], &["tag", "t", "request_id", "r"]] {
        fcall(&it, args).await.unwrap();
    }
    fcall(&it, &["tag", "no,tag"]).await.unwrap_err();
    it.publish(vec![tag("t")]).await;
    assert_eq!(it.beat("b", 0, 1).await.called, 2, "a repeat and a refusal log nothing");
    assert_eq!(it.beat("a", 0, 2).await.called, 0);
    fcall(&it, &["all", "1"]).await.unwrap();
    assert_eq!(it.beat("a", 0, 3).await.called, 1);
    it.admin("HSET", &["coherd:{main}:ctl", "called", "nonsense"]).await;
    fcall(&it, &["tag", "t"]).await.unwrap();
    assert_eq!(it.beat("a", 0, 4).await.called, 0, "what somebody else wrote there stops nothing");
}

#[tokio::test]
async fn everything_and_softly() {
    let it = Fixture::start().await;
    let start = it.backend.head(S0).await.unwrap();
    it.stored("1", "a").await;
    fcall(&it, &["all", "true", "soft", "true"]).await.unwrap();
    let event = it.backend.read_log(S0, start.seq, 10).await.unwrap().remove(0).event;
    assert_eq!((event.targets, event.hardness), (vec![Target::All], Hardness::Soft));
    let found = it.backend.lookup(lookup("1", None)).await.unwrap();
    assert!(matches!(found, Found::Nothing { stale: Some(_) }), "{found:?}");
}

#[tokio::test]
async fn a_traceparent_that_is_malformed_is_no_reason_to_lose_an_event() {
    let it = Fixture::start().await;
    let start = it.backend.head(S0).await.unwrap();
    for odd in ["", "00-x", "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01"] {
        fcall(&it, &["tag", "t", "traceparent", odd]).await.unwrap();
    }
    let log = it.backend.read_log(S0, start.seq, 10).await.unwrap();
    assert!(log.len() == 3 && log.iter().all(|logged| logged.event.provenance.trace.is_none()), "{log:?}");
}

#[tokio::test]
async fn a_request_id_counts_across_both_doors() {
    let it = Fixture::start().await;
    let first = fcall(&it, &["tag", "t", "request_id", "r"]).await.unwrap();
    assert_eq!(fcall(&it, &["tag", "t", "request_id", "r"]).await.unwrap(), first);
    let mut publication = publication(vec![tag("t")]);
    publication.event.request_id = Some("r".to_owned());
    let repeated = it.backend.publish(S0, publication).await.unwrap();
    assert!(repeated.repeated);
    assert_eq!(format!("{}-0", repeated.token.seq), first);
}

#[tokio::test]
async fn a_fault_is_named_and_nothing_is_logged() {
    let it = Fixture::start().await;
    let head = it.backend.head(S0).await.unwrap();
    let long = "x".repeat(600);
    let many: Vec<&str> = std::iter::repeat_n(["tag", "t"], 1001).flatten().collect();
    let cases: [(&[&str], &str); 17] = [
        (&[], "nothing to invalidate"),
        (&["ns", "users"], "nothing to invalidate"),
        (&["all", "0"], "nothing to invalidate"),
        (&["key", "1"], "`key` needs an `ns` before it"),
        (&["prefix", "1/"], "`prefix` needs an `ns` before it"),
        (&["ns", "Users", "key", "1"], "a namespace is 1 to 64"),
        (&["ns", "", "key", "1"], "a namespace is 1 to 64"),
        (&["ns", "users", "key", ""], "a key has 1 to 512 bytes, this one has 0"),
        (&["ns", "users", "key", &long], "a key has 1 to 512 bytes, this one has 600"),
        (&["ns", "users", "prefix", &long], "a prefix has 1 to 512 bytes"),
        (&["tag", "a,b"], "a tag is 1 to 256"),
        (&["tag", "a b"], "a tag is 1 to 256"),
        (&["tag", "t", "soft", "perhaps"], "`soft` is 1 or 0"),
        (&["tag", "t", "why", &long], "`why` has at most 256 bytes"),
        (&["tag", "t", "colour", "red"], "unknown field `colour`"),
        (&["tag", "t", "ns"], "`ns` has no value"),
        (&many, "at most 1000 targets"),
    ];
    for (args, fault) in cases {
        let error = fcall(&it, args).await.unwrap_err();
        assert!(error.contains(fault), "{fault}: {error}");
    }
    let wrong_key = it.server.try_admin("FCALL", &["coherd_invalidate", "1", "elsewhere", "tag", "t"]).await;
    assert!(wrong_key.unwrap_err().details().contains("coherd:{CLUSTER}:ctl"));
    assert_eq!(it.backend.head(S0).await.unwrap(), head);
}

#[tokio::test]
async fn keys_are_utf8() {
    let it = Fixture::start().await;
    let (connection, _task) = it.backend.opener.open().await.unwrap();
    let call = async |key: &'static [u8]| {
        let command = Command::new("FCALL", 0)
            .args(["coherd_invalidate", "1", "coherd:{main}:ctl", "ns", "users", "key"])
            .arg(Bytes::from_static(key));
        connection.call(command).await
    };
    let odd: [&[u8]; 8] = [
        b"\xFF",
        b"a\xC3",
        b"\xC0\x80",
        b"\xE0\x80\x80",
        b"\xED\xA0\x80",
        b"\xF4\x90\x80\x80",
        b"\x80",
        b"\xF0\x9F\x98",
    ];
    for key in odd {
        assert!(call(key).await.unwrap_err().details().contains("a key is UTF-8"), "{key:?}");
    }
    for key in ["\u{7ff}\u{800}\u{ffff}\u{10000}\u{10ffff}ü\0".as_bytes(), b"plain"] {
        call(key).await.unwrap();
    }
}

#[tokio::test]
async fn the_library_comes_back_after_function_flush() {
    let it = Fixture::start().await;
    it.admin("FUNCTION", &["FLUSH"]).await;
    let call = || fcall(&it, &["tag", "t"]);
    assert!(call().await.is_err());
    succeeds("the function is back", call).await;
}

#[tokio::test]
async fn a_younger_library_is_left_alone_and_an_older_one_replaced() {
    let server = Server::start().await;
    let library = |version: u32| {
        format!(
            "#!lua name=coherd\n-- version {version}\nredis.register_function('coherd_test', function() return 1 end)"
        )
    };
    server.admin("FUNCTION", &["LOAD", &library(999)]).await;
    let it = Fixture::on(server, |_| {}).await;
    assert_eq!(it.admin("FCALL", &["coherd_test", "0"]).await.as_u64(), Some(1));
    it.admin("FUNCTION", &["LOAD", "REPLACE", &library(0)]).await;
    succeeds("ours is loaded", || fcall(&it, &["tag", "t"])).await;
}

#[tokio::test]
async fn a_call_begins_the_lineage_that_flushall_took() {
    let it = Fixture::start().await;
    let before = it.publish(vec![tag("t")]).await.token;
    it.admin("FLUSHALL", &[]).await;
    let id = fcall(&it, &["tag", "t"]).await.unwrap();
    let head = it.backend.head(S0).await.unwrap();
    assert_eq!(id, format!("{}-0", head.seq));
    assert!(before.seq < head.seq && before.lineage != head.lineage);
}

#[tokio::test]
async fn several_shards_cannot_be_reached_by_a_call() {
    let it = Fixture::start_with(|settings| settings.shards = ShardCount::new(2)).await;
    assert!(fcall(&it, &["tag", "t"]).await.unwrap_err().contains("2 shards"));
}
