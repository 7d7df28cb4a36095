//! What only this backend has: a clock that tests pause, connections that are cut, shards without a cluster.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use super::{Limits, Memory, Store};
use crate::backend::{
    Backend, BackendError, Claim, EntryId, Fill, Filled, Found, LinkState, LoadId, Lookup, Publication, Put,
    Signal,
};
use crate::clock::Clock;
use crate::model::{Event, Key, Namespace, Shard, ShardCount, Target, covering};

const EPOCH_MS: u64 = 1_763_715_600_000;

fn store(shards: u16) -> Arc<Store> {
    Store::new(ShardCount::new(shards), Limits::default(), Clock::tokio(), EPOCH_MS)
}

fn entry(key: &str) -> EntryId {
    EntryId { namespace: Namespace::new("users").unwrap(), version: 1, key: Key::new(key).unwrap() }
}

fn key_event(entry: &EntryId) -> Publication {
    let target = Target::Key(entry.namespace.clone(), entry.key.clone());
    Publication {
        event: Event::hard(vec![target]),
        entries: vec![entry.clone()],
        confirm: false,
        along: None,
        known: 0,
        repeat_after: 0,
    }
}

async fn load(memory: &Memory, entry: &EntryId, fresh: Duration) {
    let load = LoadId("l".into());
    let covering = covering(&entry.namespace, &entry.key);
    let claim =
        Claim { load: load.clone(), lease: Duration::from_secs(1), even_if_fresh: false, absent: None };
    let lookup = Lookup { entry: entry.clone(), covering: covering.clone(), claim: Some(claim), have: None };
    let Found::Leased { token, .. } = memory.lookup(lookup).await.unwrap() else { panic!("no lease") };
    let put = Put { names: Vec::new(), envelope: Bytes::new(), fresh, kept: fresh };
    let fill = Fill { entry: entry.clone(), load, token, covering, put, leased: true };
    assert_eq!(memory.fill(fill).await.unwrap(), Filled::Stored);
}

#[tokio::test(start_paused = true)]
async fn time_is_the_clocks_from_the_epoch_given() {
    let memory = Memory::join(&store(1));
    assert_eq!(memory.head(Shard(0)).await.unwrap().seq, EPOCH_MS * 128);
    load(&memory, &entry("1"), Duration::from_hours(1)).await;
    tokio::time::advance(Duration::from_millis(3_599_999)).await;
    assert!(memory.peek(&[entry("1")]).await.unwrap()[0].is_some());
    tokio::time::advance(Duration::from_millis(1)).await;
    assert!(memory.peek(&[entry("1")]).await.unwrap()[0].is_none());
    memory.publish(Shard(0), key_event(&entry("1"))).await.unwrap();
    assert_eq!(memory.read_log(Shard(0), 0, 1).await.unwrap()[0].at_us, (EPOCH_MS + 3_600_000) * 1000);
}

#[tokio::test]
async fn a_cut_connection_answers_nothing_until_it_is_mended() {
    let store = store(1);
    let (memory, other) = (Memory::join(&store), Memory::join(&store));
    let mut subscription = memory.subscribe().await.unwrap();
    other.publish(Shard(0), key_event(&entry("1"))).await.unwrap();

    memory.cut(true);
    assert_eq!(subscription.next().await, None);
    assert!(matches!(*memory.link().borrow(), LinkState::Down(_)));
    assert!(matches!(memory.head(Shard(0)).await, Err(BackendError::Unavailable(_))));
    assert!(matches!(memory.peek(&[entry("1")]).await, Err(BackendError::Unavailable(_))));
    assert!(memory.subscribe().await.is_err());
    let event = key_event(&entry("1"));
    assert!(memory.publish(Shard(0), event).await.is_err());
    assert!(other.head(Shard(0)).await.is_ok());

    memory.cut(false);
    assert!(matches!(*memory.link().borrow(), LinkState::Up { generation: 2, .. }));
    assert_eq!(memory.head(Shard(0)).await.unwrap(), other.head(Shard(0)).await.unwrap());
    assert_eq!(other.read_log(Shard(0), 0, 9).await.unwrap().len(), 1);
    assert_eq!(subscription.next().await, None, "the connection it was on is gone");
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_cut_is_not_made_again() {
    let memory = Memory::join(&store(1));
    let stop = CancellationToken::new();
    let test = async {
        memory.cut(true);
        memory.distrust(Shard(0), "twice");
        // With the clock paused this returns once nothing else can run.
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert!(memory.head(Shard(0)).await.is_err());
        memory.cut(false);
        assert!(memory.head(Shard(0)).await.is_ok());
        stop.cancel();
    };
    let (kept, ()) = tokio::join!(memory.keep_connected(stop.clone()), test);
    kept.unwrap();
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_the_inbox_hears_that_the_connection_ended() {
    let memory = Memory::join(&store(1));
    let cut = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        memory.cut(true);
    };
    let (taken, ()) = tokio::join!(memory.inbox("a", 10, Duration::MAX), cut);
    assert!(matches!(taken, Err(BackendError::Unavailable(_))));
}

#[tokio::test]
async fn a_subscriber_that_lags_too_far_hears_that_signals_were_lost() {
    let store = store(1);
    let mut subscription = Memory::join(&store).subscribe().await.unwrap();
    for _ in 0..=super::store::SIGNALS_MAX {
        store.inbox_publish(Bytes::new());
    }
    store.inbox_publish(Bytes::from_static(b"last"));
    assert_eq!(subscription.next().await, Some(Signal::Lost));
    let mut heard = 0;
    loop {
        let signal = subscription.next().await;
        heard += 1;
        if signal == Some(Signal::Inbox(Bytes::from_static(b"last"))) {
            break;
        }
        assert_eq!(signal, Some(Signal::Inbox(Bytes::new())));
    }
    assert_eq!(heard, super::store::SIGNALS_MAX);
}

#[tokio::test]
async fn keys_are_spread_over_shards_that_know_nothing_of_each_other() {
    let memory = Memory::join(&store(16));
    let entries: Vec<EntryId> = (0..40).map(|n| entry(&n.to_string())).collect();
    for entry in &entries {
        load(&memory, entry, Duration::from_secs(60)).await;
    }
    let found = memory.peek(&entries).await.unwrap();
    assert!(found.iter().all(Option::is_some));

    let home = memory.shards().of("users", "0");
    let away = Shard((home.0 + 1) % 16);
    let before = memory.head(away).await.unwrap();
    memory.publish(home, key_event(&entries[0])).await.unwrap();
    assert_eq!(memory.head(away).await.unwrap(), before);

    let strayed = memory.publish(away, key_event(&entries[0])).await;
    assert!(matches!(strayed, Err(BackendError::Refused(why)) if why.contains("users/0")));
    assert!(matches!(memory.head(Shard(16)).await, Err(BackendError::Refused(_))));
}
