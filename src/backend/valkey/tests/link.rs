//! Connections: made, refused, lost, distrusted.

use super::*;
use crate::backend::LinkState;

#[tokio::test]
async fn a_connection_names_the_server() {
    let it = Fixture::start().await;
    let (took, server) = it.backend.ping().await.unwrap();
    assert!(took < LONG);
    assert!(server.starts_with("valkey ") || server.starts_with("redis "), "{server}");
}

#[tokio::test]
async fn without_a_server_operations_fail_at_once_and_later_succeed() {
    let mut server = Server::start().await;
    server.stop();
    let (backend, _task) = kept(settings(&server));
    let mut link = backend.link();
    let told = |state: &LinkState| matches!(state, LinkState::Down(why) if why.contains("refused"));
    timeout(LONG, link.wait_for(told)).await.expect("down").unwrap();
    let asked = tokio::time::Instant::now();
    assert!(is_unavailable(&backend.head(S0).await.unwrap_err()));
    assert!(asked.elapsed() < Duration::from_millis(200));
    server.revive().await;
    generation(&backend).await;
    backend.head(S0).await.unwrap();
}

#[tokio::test]
async fn scripts_come_back_after_script_flush() {
    let it = Fixture::start().await;
    it.stored("1", "a").await;
    it.admin("SCRIPT", &["FLUSH"]).await;
    assert!(matches!(it.lookup("1", "b").await, Found::Fresh(_)));
    it.admin("SCRIPT", &["FLUSH"]).await;
    it.publish(vec![key_target("1")]).await;
    assert_eq!(it.generation().await, 1);
}

#[tokio::test]
async fn a_killed_connection_ends_its_generation_and_the_next_is_made() {
    let it = Fixture::start().await;
    let before = it.publish(vec![key_target("1")]).await.token;
    it.admin("CLIENT", &["KILL", "TYPE", "normal", "SKIPME", "yes"]).await;
    it.next_generation(1).await;
    assert_eq!(it.backend.head(S0).await.unwrap(), before, "the same server: the same lineage");
}

#[tokio::test]
async fn a_server_with_an_older_dump_begins_a_lineage_before_anything_else() {
    let mut it = Fixture::start().await;
    it.stored("1", "old").await;
    let slow = it.lease("2", "slow").await;
    it.admin("SAVE", &[]).await;
    let lost = it.publish(vec![key_target("1"), key_target("2")]).await.token;
    it.server.restart().await;
    it.next_generation(1).await;
    // the dump holds the entry and the lease that the lost event took away
    let head = it.backend.head(S0).await.unwrap();
    assert_ne!(head.lineage, lost.lineage);
    assert!(lost.seq < head.seq);
    assert!(matches!(it.lookup("1", "b").await, Found::Leased { stale: None, .. }));
    assert!(matches!(it.fill("2", "slow", slow).await, Filled::Refused(_)));
}

#[tokio::test]
async fn a_server_whose_identity_changed_begins_a_lineage_on_the_next_heartbeat() {
    let it = Fixture::start().await;
    let before = it.publish(vec![key_target("1")]).await.token;
    it.admin("HSET", &["coherd:{main}:ctl", "rid", "0123456789"]).await;
    let after = it.beat("i", 0, 1).await.token;
    assert!(before.lineage != after.lineage && before.seq < after.seq);
    it.admin("HSET", &["coherd:{main}:ctl", "rid", "0123456789"]).await;
    let published = it.publish(vec![key_target("1")]).await.token;
    assert!(published.lineage != after.lineage && after.seq < published.seq);
}

#[tokio::test]
async fn a_stalled_server_hangs_nobody() {
    let it = Fixture::start_with(|settings| settings.command_timeout = Duration::from_millis(300)).await;
    let mut link = it.backend.link();
    it.server.freeze();
    let asked = tokio::time::Instant::now();
    let (head, found, published) = tokio::join!(
        it.backend.head(S0),
        it.backend.lookup(lookup("1", Some("a"))),
        it.backend.publish(S0, publication(vec![key_target("1")])),
    );
    assert!(is_unavailable(&head.unwrap_err()));
    assert!(is_unavailable(&found.unwrap_err()));
    assert!(is_unavailable(&published.unwrap_err()));
    assert!(asked.elapsed() < Duration::from_secs(3), "{:?}", asked.elapsed());
    timeout(LONG, link.wait_for(|state| matches!(state, LinkState::Down(_)))).await.expect("down").unwrap();
    it.server.resume();
    it.next_generation(1).await;
    it.backend.head(S0).await.unwrap();
}

#[tokio::test]
async fn a_distrusted_connection_answers_nobody_any_more() {
    let it = Fixture::start().await;
    it.server.freeze();
    let asked = it.backend.head(S0);
    let distrusting = async {
        tokio::task::yield_now().await;
        it.backend.distrust(S0, "a test says so");
    };
    let (answer, ()) = tokio::join!(asked, distrusting);
    assert!(answer.unwrap_err().to_string().contains("a test says so"));
    it.server.resume();
    it.next_generation(1).await;
    it.backend.head(S0).await.unwrap();
}

#[tokio::test]
async fn stopping_ends_the_connections() {
    let server = Server::start().await;
    let backend = Valkey::new(settings(&server)).unwrap();
    let stop = CancellationToken::new();
    let stopping = async {
        generation(&backend).await;
        stop.cancel();
    };
    let (ended, ()) = tokio::join!(backend.keep_connected(stop.clone()), stopping);
    ended.unwrap();
    assert!(is_unavailable(&backend.head(S0).await.unwrap_err()));
    let clients =
        || async { server.admin("CLIENT", &["LIST", "TYPE", "normal"]).await.into_string().unwrap() };
    eventually("no connection is left", clients, |list| list.trim().lines().count() == 1).await;
}

#[tokio::test]
async fn a_replica_is_refused_until_it_is_promoted() {
    let primary = Server::start().await;
    let replica = Server::start_with(&["--replicaof", "127.0.0.1", &primary.port().to_string()]).await;
    let (backend, _task) = kept(settings(&replica));
    assert!(refused(&backend).await.contains("REPLICAOF NO ONE"));
    assert!(is_unavailable(&backend.head(S0).await.unwrap_err()));
    replica.admin("REPLICAOF", &["NO", "ONE"]).await;
    generation(&backend).await;
}

#[tokio::test]
async fn a_primary_that_becomes_a_replica_is_left() {
    let it = Fixture::start().await;
    let other = Server::start().await;
    it.publish(vec![key_target("1")]).await;
    it.admin("REPLICAOF", &["127.0.0.1", &other.port().to_string()]).await;
    eventually(
        "it is refused",
        || async { it.backend.publish(S0, publication(vec![key_target("1")])).await.is_err() },
        |refused| *refused,
    )
    .await;
    assert!(refused(&it.backend).await.contains("is a replica"));
}

#[tokio::test]
async fn a_server_that_evicts_what_it_likes_is_refused() {
    let server = Server::start_with(&["--maxmemory-policy", "allkeys-lru"]).await;
    let (backend, _task) = kept(settings(&server));
    assert!(refused(&backend).await.contains("CONFIG SET maxmemory-policy"));
    server.admin("CONFIG", &["SET", "maxmemory-policy", "volatile-lru"]).await;
    generation(&backend).await;
}

#[tokio::test]
async fn another_number_of_shards_is_refused() {
    let it = Fixture::start().await;
    let (backend, _task) = kept(Settings { shards: ShardCount::new(2), ..settings(&it.server) });
    assert!(refused(&backend).await.contains("1 shards, this instance is told 2"));
}

#[tokio::test]
async fn replicas_without_a_quorum_are_a_warning() {
    let primary = Server::start().await;
    let _replica = Server::start_with(&["--replicaof", "127.0.0.1", &primary.port().to_string()]).await;
    let info = || async { primary.admin("INFO", &["replication"]).await.into_string().unwrap() };
    eventually("the replica is there", info, |info| info.contains("connected_slaves:1")).await;
    let it = Fixture::on(primary, |_| {}).await;
    let state = it.backend.link().borrow().clone();
    let LinkState::Up { warnings, .. } = state else { panic!("{state:?}") };
    assert!(warnings[0].contains("min-replicas-to-write"), "{warnings:?}");
}

#[tokio::test]
async fn an_event_waits_for_its_replicas() {
    let it = Fixture::start_with(|settings| {
        settings.min_replicas_ack = 1;
        settings.command_timeout = Duration::from_secs(1);
    })
    .await;
    let start = it.backend.head(S0).await.unwrap();
    let alone = it.backend.publish(S0, publication(vec![key_target("1")])).await.unwrap_err();
    assert!(alone.to_string().contains("0 of 1 replicas acknowledged"), "{alone}");
    assert_eq!(it.backend.read_log(S0, start.seq, 10).await.unwrap().len(), 1, "the event stands");

    let _replica = Server::start_with(&["--replicaof", "127.0.0.1", &it.server.port().to_string()]).await;
    let publish = || it.backend.publish(S0, publication(vec![key_target("1")]));
    succeeds("the replica acknowledges", publish).await;
}

#[tokio::test]
async fn a_primary_without_its_quorum_takes_no_heartbeat() {
    let it = Fixture::start().await;
    it.admin("CONFIG", &["SET", "min-replicas-to-write", "1"]).await;
    let member = Member { instance: "i".to_owned(), cursor: 0, max_staleness: LONG, beats: 1 };
    let refused = it.backend.beat(S0, Beat { member, known: 0 }).await;
    assert!(matches!(&refused, Err(BackendError::Refused(why)) if why.contains("NOREPLICAS")), "{refused:?}");
    let refused = it.backend.publish(S0, publication(vec![key_target("1")])).await;
    assert!(matches!(&refused, Err(BackendError::Refused(why)) if why.contains("NOREPLICAS")), "{refused:?}");
}

#[tokio::test]
async fn passwords_are_asked_for_and_never_told() {
    let server = Server::start().await;
    server.admin("ACL", &["SETUSER", "app", "on", ">hunter2", "+@all", "~*", "&*"]).await;
    let with = |password: &str| Settings {
        username: Some("app".to_owned()),
        password: Some(password.to_owned()),
        ..settings(&server)
    };
    let (backend, _task) = kept(with("hunter3"));
    let mut link = backend.link();
    let told = |state: &LinkState| matches!(state, LinkState::Down(why) if why.contains("WRONGPASS"));
    let state = timeout(LONG, link.wait_for(told)).await.expect("refused").unwrap().clone();
    assert!(!format!("{state:?}{:?}", with("hunter3")).contains("hunter"));
    let (backend, _task) = connected(with("hunter2")).await;
    backend.head(S0).await.unwrap();
}

#[tokio::test]
async fn settings_that_cannot_work_are_refused_at_once() {
    let server = Server::start().await;
    for cluster in ["", "a{b", "a}"] {
        let cluster = cluster.to_owned();
        assert!(Valkey::new(Settings { cluster, ..settings(&server) }).is_err());
    }
    assert!(Valkey::new(Settings { url: "nonsense".to_owned(), ..settings(&server) }).is_err());
    let ca_file = Some("/nonexistent/ca.pem".into());
    assert!(Valkey::new(Settings { url: "valkeys://h".to_owned(), ca_file, ..settings(&server) }).is_err());
}
