//! Entries are read from a replica for as long as nobody waits for it.

use super::*;

/// An entry's own key.
const ENTRY: &str = "coherd:{main}:e:users:v1:1";
/// Longer than any test lasts.
const NEVER: Duration = Duration::from_mins(5);

/// A backend with a replica that has one entry which the primary has not: who answers is seen by that.
async fn with_replica(change: impl FnOnce(&mut Settings)) -> (Fixture, Server) {
    let primary = Server::start().await;
    let replica = Server::start_with(&["--replicaof", "127.0.0.1", &primary.port().to_string()]).await;
    let url = replica.url();
    let it = Fixture::on(primary, |settings| {
        settings.reader_url = Some(url);
        change(settings);
    })
    .await;
    it.stored("1", "a").await;
    let there = || async { replica.admin("EXISTS", &[ENTRY]).await.as_u64() == Some(1) };
    eventually("the replica has it", there, |there| *there).await;
    replica.admin("REPLICAOF", &["NO", "ONE"]).await;
    it.publish(vec![key_target("1")]).await;
    eventually("the replica answers", || peek(&it), Option::is_some).await;
    (it, replica)
}

async fn peek(it: &Fixture) -> Option<crate::backend::Stored> {
    it.backend.peek(&[entry("1")]).await.unwrap().remove(0)
}

/// How many reads have reached it.
async fn reads(replica: &Server) -> u64 {
    let stats = replica.admin("INFO", &["commandstats"]).await.into_string().unwrap();
    let line = stats.lines().find_map(|line| line.strip_prefix("cmdstat_hmget:calls="));
    line.and_then(|line| line.split(',').next()?.parse().ok()).unwrap_or(0)
}

#[tokio::test]
async fn entries_are_peeked_at_on_the_replica_and_at_home_when_it_is_gone() {
    let (it, mut replica) = with_replica(|_| {}).await;
    replica.stop();
    eventually("the primary answers", || peek(&it), Option::is_none).await;
    replica.revive().await;
    let before = reads(&replica).await;
    let asked = || async {
        peek(&it).await;
        reads(&replica).await
    };
    eventually("the replica is read from again", asked, |now| before < *now).await;
}

#[tokio::test]
async fn of_all_reads_one_waits_for_a_replica_that_stands_still() {
    // Whoever waited for the replica itself would wait longer than any test lasts.
    let (it, replica) = with_replica(|settings| {
        (settings.command_timeout, settings.connect_timeout) = (NEVER, NEVER);
    })
    .await;
    let before = reads(&replica).await;
    replica.freeze();
    let all = async {
        for _ in 0..500 {
            assert!(peek(&it).await.is_none(), "the primary answers");
        }
    };
    timeout(LONG, all).await.expect("nobody waits for the replica");
    replica.resume();
    let late = || reads(&replica);
    // What was sent to it meanwhile is done before it answers this.
    assert!(late().await <= before + 1, "one read was sent to it at the most, and then none");
    let asked = || async {
        peek(&it).await;
        reads(&replica).await
    };
    eventually("the replica is read from again", asked, |now| before + 1 < *now).await;
}

#[tokio::test]
async fn a_replica_that_hears_nothing_from_its_primary_is_left_alone() {
    let (it, replica) = with_replica(|_| {}).await;
    let nowhere = super::server::free_port().to_string();
    replica.admin("REPLICAOF", &["127.0.0.1", &nowhere]).await;
    eventually("the primary answers", || peek(&it), Option::is_none).await;
    replica.admin("REPLICAOF", &["NO", "ONE"]).await;
    eventually("the replica answers", || peek(&it), Option::is_some).await;
}

#[tokio::test]
async fn a_reader_may_have_a_user_of_its_own() {
    let primary = Server::start().await;
    let replica = Server::start_with(&["--replicaof", "127.0.0.1", &primary.port().to_string()]).await;
    replica.admin("ACL", &["SETUSER", "reader", "on", ">p@ss", "+@all", "~*", "&*"]).await;
    replica.admin("ACL", &["SETUSER", "default", "-hmget"]).await;
    let url = replica.url().replace("://", "://reader:p%40ss@");
    let it = Fixture::on(primary, |settings| settings.reader_url = Some(url)).await;
    it.stored("1", "a").await;
    let asked = || async {
        peek(&it).await;
        reads(&replica).await
    };
    eventually("the replica is read from", asked, |now| 0 < *now).await;
}
