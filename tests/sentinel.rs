//! Who the primary is, as sentinels say: any one of them is enough, and none is believed that is alone with it.

#![expect(clippy::unwrap_used, reason = "an operation that fails fails its test")]

use std::sync::Arc;
use std::time::Duration;

use coherd::backend::valkey::{Settings as ValkeySettings, Valkey};
use coherd::backend::{Backend, LinkState};
use coherd::model::{Shard, ShardCount};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::conformance::fixture::Settings;
use crate::conformance::valkey::valkey;
use crate::harness::resp::Reply;
use crate::harness::sentinel::Watched;
use crate::harness::server::Options;
use crate::harness::task::{Task, spawn};
use crate::harness::wait::{SOON, eventually};

const DOWN_AFTER: Duration = Duration::from_secs(2);

/// A backend whose connection is kept, not waited for.
pub(crate) fn kept(settings: ValkeySettings) -> (Arc<Valkey>, Task) {
    let backend = Valkey::new(settings).unwrap();
    let keeper = Arc::clone(&backend);
    let task = spawn(async move { keeper.keep_connected(CancellationToken::new()).await.unwrap() });
    (backend, task)
}

/// Waits for a state of its connection.
pub(crate) async fn state(backend: &Valkey, wanted: impl Fn(&LinkState) -> bool) -> LinkState {
    let mut link = backend.link();
    let state = timeout(SOON, link.wait_for(|state| wanted(state))).await;
    let state = state.unwrap_or_else(|_| panic!("it stays at {:?}", backend.link().borrow()));
    state.unwrap().clone()
}

fn up(state: &LinkState) -> bool {
    matches!(state, LinkState::Up { .. })
}

#[tokio::test]
async fn one_sentinel_of_three_is_enough_and_one_that_stands_still_is_not_waited_for() {
    let mut watched = Watched::start(Options::default(), DOWN_AFTER).await;
    let settings = valkey(&watched.url(), ShardCount::ONE, Settings::default());
    watched.sentinels[0].kill().await;
    watched.sentinels[1].pause();
    let (backend, _task) = kept(settings);
    state(&backend, up).await;
    backend.head(Shard(0)).await.unwrap();
}

#[tokio::test]
async fn passwords_are_for_servers_and_for_sentinels_that_ask() {
    let mut watched = Watched::start(Options::default().password("hunter2"), DOWN_AFTER).await;
    let settings = ValkeySettings {
        password: Some("hunter2".to_owned()),
        ..valkey(&watched.url(), ShardCount::ONE, Settings::default())
    };
    let (backend, _task) = kept(settings.clone());
    state(&backend, up).await;
    // From now on that one wants it, too, and the others are gone.
    let answer = watched.sentinels[2].ask(&["CONFIG", "SET", "requirepass", "hunter2"]).await;
    if !matches!(answer, Some(Reply::Text(_))) {
        let acl = ["ACL", "SETUSER", "default", "resetpass", ">hunter2"];
        assert!(matches!(watched.sentinels[2].ask(&acl).await, Some(Reply::Text(_))), "{answer:?}");
    }
    watched.sentinels[0].kill().await;
    watched.sentinels[1].kill().await;
    let (backend, _task) = kept(settings);
    state(&backend, up).await;
}

#[tokio::test]
async fn a_name_that_no_sentinel_knows_is_refused_with_what_to_look_at() {
    let watched = Watched::start(Options::default(), DOWN_AFTER).await;
    let url = watched.url().replace("service=main", "service=mian");
    let (backend, _task) = kept(valkey(&url, ShardCount::ONE, Settings::default()));
    let LinkState::Refused(why) = state(&backend, |state| matches!(state, LinkState::Refused(_))).await
    else {
        unreachable!("waited for it");
    };
    assert!(why.contains("`mian`") && why.contains("backend.url"), "{why}");
}

#[tokio::test]
async fn a_sentinel_that_slept_over_a_failover_is_not_believed() {
    let mut watched = Watched::start(Options::default(), DOWN_AFTER).await;
    let first = watched.primary_but(None).await;
    let (backend, _task) = kept(valkey(&watched.url(), ShardCount::ONE, Settings::default()));
    state(&backend, up).await;
    // It comes back with what it knew before, and nobody tells it better.
    watched.sentinels[0].kill().await;
    let old = watched.take(first);
    old.pause();
    let awake = [watched.sentinels[1].addr(), watched.sentinels[2].addr()];
    watched.primary_of(&awake, Some(first)).await;
    let replaced = |state: &LinkState| matches!(state, LinkState::Up { generation, .. } if 1 < *generation);
    state(&backend, replaced).await;
    let LinkState::Up { generation, .. } = backend.link().borrow().clone() else { panic!("it is up") };
    for sentinel in &mut watched.sentinels[1..] {
        sentinel.pause();
    }
    old.resume();
    watched.sentinels[0].restart();
    eventually("the old primary is a primary", SOON, async || {
        old.info("role").await.as_deref() == Some("master")
    })
    .await;
    let named = watched.primary_of(&[watched.sentinels[0].addr()], None).await;
    assert_eq!(named, first);
    // By then it has been asked several times.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    backend.head(Shard(0)).await.unwrap();
    assert!(
        matches!(*backend.link().borrow(), LinkState::Up { generation: now, .. } if now == generation),
        "the primary in use is not left for an older one"
    );
}
