//! The inbox stream.

use super::*;
use crate::backend::InboxEntry;

const INBOX: &str = "coherd:{main}:inbox";

fn values(entries: &[InboxEntry]) -> Vec<String> {
    entries.iter().map(|entry| String::from_utf8_lossy(&entry.fields[0].1).into_owned()).collect()
}

async fn consumers(it: &Fixture) -> Vec<String> {
    let list = it.admin("XINFO", &["CONSUMERS", INBOX, "coherd"]).await.into_array();
    let name = |consumer: Value| {
        let consumer: std::collections::HashMap<String, Value> = consumer.convert().unwrap();
        consumer["name"].as_string().unwrap()
    };
    list.into_iter().map(name).collect()
}

#[tokio::test]
async fn entries_are_taken_once_and_gone_when_done() {
    let it = Fixture::start().await;
    it.admin("XADD", &[INBOX, "*", "ns", "users", "key", "1", "key", "2"]).await;
    it.admin("XADD", &[INBOX, "*", "tag", "t"]).await;
    let taken = it.backend.inbox("i", 10, Duration::ZERO).await.unwrap();
    let fields: Vec<_> = taken[0].fields.iter().map(|(name, value)| (&name[..], &value[..])).collect();
    assert_eq!(fields, [(&b"ns"[..], &b"users"[..]), (b"key", b"1"), (b"key", b"2")]);
    assert_eq!(taken.len(), 2);
    assert_eq!(it.backend.inbox("j", 10, Duration::ZERO).await.unwrap(), []);

    let ids: Vec<String> = taken.into_iter().map(|entry| entry.id).collect();
    it.backend.inbox_done(&ids).await.unwrap();
    assert_eq!(it.admin("XLEN", &[INBOX]).await.as_u64(), Some(0));
    assert_eq!(it.backend.inbox_adopt("j", 10, Duration::ZERO).await.unwrap(), []);
}

#[tokio::test]
async fn a_wait_ends_with_the_first_entry_and_blocks_nobody_else() {
    let it = Fixture::start_with(|settings| settings.pool = 1).await;
    it.backend.inbox("i", 1, Duration::ZERO).await.unwrap();
    let waiting = it.backend.inbox("i", 10, Duration::from_secs(1));
    let meanwhile = async {
        eventually(
            "somebody waits",
            || async { it.admin("INFO", &["clients"]).await.into_string().unwrap() },
            |info| info.contains("blocked_clients:1"),
        )
        .await;
        let head = tokio::time::Instant::now();
        it.backend.head(S0).await.unwrap();
        let took = head.elapsed();
        it.admin("XADD", &[INBOX, "*", "tag", "t"]).await;
        took
    };
    let (taken, took) = tokio::join!(waiting, meanwhile);
    assert_eq!(values(&taken.unwrap()), ["t"]);
    assert!(took < Duration::from_millis(800), "{took:?}");
    assert_eq!(it.backend.inbox("i", 10, Duration::from_millis(30)).await.unwrap(), []);
}

#[tokio::test]
async fn what_a_dead_member_took_is_adopted_and_its_name_forgotten() {
    let it = Fixture::start().await;
    for n in ["1", "2", "3"] {
        it.admin("XADD", &[INBOX, "*", "tag", n]).await;
    }
    assert_eq!(it.backend.inbox("dead", 10, Duration::ZERO).await.unwrap().len(), 3);
    it.backend.forget(S0, "dead", None).await.unwrap();
    assert_eq!(consumers(&it).await, ["dead"], "it still holds entries");
    assert_eq!(it.backend.inbox_adopt("heir", 10, Duration::from_mins(1)).await.unwrap(), []);
    let adopted = it.backend.inbox_adopt("heir", 2, Duration::ZERO).await.unwrap();
    assert_eq!(values(&adopted), ["1", "2"]);
    let adopted = it.backend.inbox_adopt("heir", 10, Duration::ZERO).await.unwrap();
    assert_eq!(values(&adopted), ["1", "2", "3"]);
    it.backend.forget(S0, "dead", None).await.unwrap();
    assert_eq!(consumers(&it).await, ["heir"]);
}

#[tokio::test]
async fn the_group_comes_back_after_the_stream_was_deleted() {
    let it = Fixture::start().await;
    it.backend.inbox("i", 10, Duration::ZERO).await.unwrap();
    it.admin("DEL", &[INBOX]).await;
    assert_eq!(it.backend.inbox_adopt("i", 10, Duration::ZERO).await.unwrap(), []);
    it.admin("XADD", &[INBOX, "*", "tag", "t"]).await;
    assert_eq!(values(&it.backend.inbox("i", 10, Duration::ZERO).await.unwrap()), ["t"]);
    // also under a reader that waits
    let waiting = it.backend.inbox("i", 10, Duration::from_secs(1));
    let deleting = async {
        eventually(
            "somebody waits",
            || async { it.admin("INFO", &["clients"]).await.into_string().unwrap() },
            |info| info.contains("blocked_clients:1"),
        )
        .await;
        it.admin("DEL", &[INBOX]).await;
    };
    let (taken, ()) = tokio::join!(waiting, deleting);
    assert_eq!(taken.unwrap(), []);
}

#[tokio::test]
async fn a_stalled_server_does_not_hold_a_waiter() {
    let it = Fixture::start_with(|settings| settings.command_timeout = Duration::from_millis(300)).await;
    it.backend.inbox("i", 10, Duration::ZERO).await.unwrap();
    it.server.freeze();
    let error = timeout(LONG, it.backend.inbox("i", 10, Duration::from_secs(1))).await.unwrap().unwrap_err();
    assert!(is_unavailable(&error), "{error}");
    it.server.resume();
    it.admin("XADD", &[INBOX, "*", "tag", "t"]).await;
    let taken = || async { it.backend.inbox("i", 10, Duration::ZERO).await.unwrap_or_default() };
    eventually("it is taken", taken, |taken| values(taken) == ["t"]).await;
}
