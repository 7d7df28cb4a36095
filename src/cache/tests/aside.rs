//! Cache-aside: leases given out, kept and lost.

use super::*;
use crate::cache::{PutError, Write, Written};

async fn cluster(count: usize) -> Cluster {
    Cluster::with(count, |it| it.origin = None).await
}

fn write(version: u64, lease: Option<String>) -> Write {
    let value = Value { body: version.to_string().into(), ..Value::default() };
    Write { value, lease, ..Write::default() }
}

async fn lease(node: &Node, text: &str) -> String {
    match node.ask(text, Demand::default()).await {
        Err(GetError::Missing { lease: Some(lease) }) => lease.token,
        other => panic!("no lease but {other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_who_misses_loads_and_the_others_get_what_it_stores() {
    let cluster = cluster(2).await;
    let lease = lease(cluster.node(0), "1").await;
    let waiting = [cluster.node(0).reading("1"), cluster.node(1).reading("1")];
    sleep(Duration::from_millis(50)).await;
    let stored = cluster.node(0).cache.put("users", &key("1"), write(5, Some(lease.clone()))).await;
    assert!(matches!(stored, Ok(Written::Leased)));
    for reader in waiting {
        assert_eq!(reader.await.unwrap(), 5);
    }
    let again = cluster.node(0).cache.put("users", &key("1"), write(6, Some(lease))).await;
    assert!(matches!(again, Err(PutError::LeaseLost)), "a lease is good for one store");
}

#[tokio::test(start_paused = true)]
async fn a_lease_is_lost_with_an_invalidation_and_nothing_is_stored() {
    let cluster = cluster(2).await;
    let old = lease(cluster.node(0), "1").await;
    cluster.node(1).purge("1").await;
    let refused = cluster.node(0).cache.put("users", &key("1"), write(1, Some(old))).await;
    assert!(matches!(refused, Err(PutError::LeaseLost)));
    let new = lease(cluster.node(0), "1").await;
    cluster.node(0).cache.put("users", &key("1"), write(2, Some(new))).await.unwrap();
    assert_eq!(cluster.node(1).get("1").await, 2);
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_is_not_used_goes_to_the_next() {
    let cluster = cluster(2).await;
    lease(cluster.node(0), "1").await;
    let began = tokio::time::Instant::now();
    lease(cluster.node(1), "1").await;
    assert!(Duration::from_secs(4) < began.elapsed(), "only once the first has run out");
}

#[tokio::test(start_paused = true)]
async fn a_write_without_a_lease_is_a_change_that_everyone_sees() {
    let cluster = cluster(2).await;
    for version in 1..=3 {
        let written = cluster.node(0).cache.put("users", &key("1"), write(version, None)).await.unwrap();
        let Written::Changed(receipt) = written else { panic!("not a change") };
        let since = Demand { min: Some(receipt.id), ..Demand::default() };
        assert_eq!(super::version(&cluster.node(1).ask("1", since).await.unwrap()), version);
    }
    let receipt = cluster.node(1).cache.delete("users", &key("1"), false).await.unwrap();
    let since = Demand { min: Some(receipt.id), ..Demand::default() };
    assert!(matches!(cluster.node(0).ask("1", since).await, Err(GetError::Missing { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_forged_token_stores_nothing() {
    let cluster = cluster(1).await;
    let lease = lease(cluster.node(0), "1").await;
    let (load, rest) = lease.split_once('.').unwrap();
    let (lineage, seq) = rest.split_once('.').unwrap();
    let newer = format!("{load}.{lineage}.{}", seq.parse::<u64>().unwrap() + 1000);
    for forged in [newer, "x".to_owned(), format!("{load}0.{lineage}.{seq}")] {
        let refused = cluster.node(0).cache.put("users", &key("1"), write(1, Some(forged.clone()))).await;
        assert!(matches!(refused, Err(PutError::LeaseLost)), "{forged}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_names_an_event_and_waits_for_a_lease_gets_nothing_older_either() {
    let cluster = cluster(2).await;
    cluster.node(0).cache.put("users", &key("1"), write(1, None)).await.unwrap();
    assert_eq!(cluster.node(1).get("1").await, 1);
    cluster.node(1).memory.deafen(true);
    let receipt = cluster.node(0).cache.delete("users", &key("1"), false).await.unwrap();
    let lease = lease(cluster.node(0), "1").await;
    let since = Demand { min: Some(receipt.id), ..Demand::default() };
    let storing = async {
        sleep(Duration::from_millis(400)).await;
        cluster.node(0).cache.put("users", &key("1"), write(2, Some(lease))).await.unwrap();
    };
    let (answer, ()) = tokio::join!(cluster.node(1).ask("1", since), storing);
    assert_eq!(super::version(&answer.unwrap()), 2, "its own copy is older than the event");
}

#[tokio::test(start_paused = true)]
async fn a_reader_of_max_age_gets_a_lease_where_the_value_is_older() {
    let cluster = cluster(1).await;
    cluster.node(0).cache.put("users", &key("1"), write(1, None)).await.unwrap();
    let young = || Demand { max_age: Some(Duration::from_secs(10)), ..Demand::default() };
    assert_eq!(super::version(&cluster.node(0).ask("1", young()).await.unwrap()), 1);
    sleep(Duration::from_secs(11)).await;
    let answer = cluster.node(0).ask("1", young()).await;
    assert!(matches!(answer, Err(GetError::Missing { lease: Some(_) })), "{answer:?}");
}
