//! The inbox stream: each entry is taken by one instance, and by another if that one does not finish it.

use std::time::Duration;

use coherd::backend::InboxEntry;

use super::fixture::Fixture;
use super::kit::{LONG, SHORT, SOON, Two, eventually, two};

/// Fields as texts.
fn texts(entry: &InboxEntry) -> Vec<(&str, &str)> {
    let text = |bytes| std::str::from_utf8(bytes).unwrap();
    entry.fields.iter().map(|(name, value)| (text(name), text(value))).collect()
}

/// Adds an entry and takes it for `a`.
async fn taken<F: Fixture>(it: &Two<F>, key: &str) -> String {
    it.fixture.inbox_add(&[("key", key)]).await;
    let mut taken = it.a.inbox("a", 10, SOON).await.unwrap();
    assert_eq!(taken.len(), 1);
    taken.remove(0).id
}

fn ids(entries: &[InboxEntry]) -> Vec<&str> {
    entries.iter().map(|entry| &*entry.id).collect()
}

pub(crate) async fn an_entry_is_taken_once_with_its_fields_as_they_came<F: Fixture>() {
    let it = two::<F>().await;
    let fields = [("ns", "users"), ("tag", "b"), ("tag", "a"), ("key", "ü\n"), ("", ""), ("tag", "a")];
    it.fixture.inbox_add(&fields).await;
    it.fixture.inbox_add(&[("all", "1")]).await;
    let entries = it.a.inbox("a", 10, SOON).await.unwrap();
    assert_eq!(entries.iter().map(texts).collect::<Vec<_>>(), [&fields[..], &[("all", "1")]]);
    assert_ne!(entries[0].id, entries[1].id);
    for (backend, consumer) in [(&it.a, "a"), (&it.b, "b")] {
        assert_eq!(backend.inbox(consumer, 10, SHORT).await.unwrap(), []);
    }
}

pub(crate) async fn at_most_as_many_entries_as_asked_for_are_taken<F: Fixture>() {
    let it = two::<F>().await;
    for n in ["1", "2", "3", "4", "5"] {
        it.fixture.inbox_add(&[("key", n)]).await;
    }
    let (first, second) = (it.a.inbox("a", 2, SOON).await.unwrap(), it.b.inbox("b", 10, SOON).await.unwrap());
    let keys =
        |entries: &[InboxEntry]| entries.iter().map(|it| texts(it)[0].1.to_owned()).collect::<Vec<_>>();
    assert_eq!(
        (keys(&first), keys(&second)),
        (vec!["1".to_owned(), "2".to_owned()], vec!["3".to_owned(), "4".to_owned(), "5".to_owned()])
    );
    assert_eq!(it.b.inbox_adopt("b", 4, Duration::ZERO).await.unwrap().len(), 4);
}

pub(crate) async fn who_waits_gets_the_first_entry_when_it_comes<F: Fixture>() {
    let it = two::<F>().await;
    let add = async {
        // The wait is under way by then, or the entry is there before it: both must do.
        tokio::task::yield_now().await;
        it.fixture.inbox_add(&[("key", "1")]).await;
    };
    let (entries, ()) = tokio::join!(it.a.inbox("a", 10, SOON), add);
    assert_eq!(texts(&entries.unwrap()[0]), [("key", "1")]);
}

pub(crate) async fn without_an_entry_the_wait_ends_empty<F: Fixture>() {
    let it = two::<F>().await;
    let start = tokio::time::Instant::now();
    assert_eq!(it.a.inbox("a", 10, SHORT).await.unwrap(), []);
    let took = start.elapsed();
    assert!(SHORT <= took + Duration::from_millis(5) && took < SOON, "{took:?}");
    assert_eq!(it.a.inbox_adopt("a", 10, Duration::ZERO).await.unwrap(), []);
}

pub(crate) async fn an_unfinished_entry_is_adopted_when_it_was_idle_long_enough<F: Fixture>() {
    let it = two::<F>().await;
    let id = taken(&it, "1").await;
    assert_eq!(it.b.inbox_adopt("b", 10, LONG).await.unwrap(), []);
    let adopted = eventually("the entry is idle long enough", async || {
        let adopted = it.b.inbox_adopt("b", 10, SHORT).await.unwrap();
        (!adopted.is_empty()).then_some(adopted)
    })
    .await;
    assert_eq!((ids(&adopted), texts(&adopted[0])), (vec![&*id], vec![("key", "1")]));
    // It has a new owner, and its time begins anew.
    assert_eq!(it.a.inbox_adopt("a", 10, LONG).await.unwrap(), []);
    it.b.inbox_done(&[id]).await.unwrap();
    assert_eq!(it.a.inbox_adopt("a", 10, Duration::ZERO).await.unwrap(), []);
}

pub(crate) async fn a_finished_entry_is_never_seen_again<F: Fixture>() {
    let it = two::<F>().await;
    let done = taken(&it, "1").await;
    let open = taken(&it, "2").await;
    it.a.inbox_done(&[done.clone(), "1-1".to_owned()]).await.unwrap();
    it.a.inbox_done(&[done]).await.unwrap();
    it.a.inbox_done(&[]).await.unwrap();
    let adopted = it.b.inbox_adopt("b", 10, Duration::ZERO).await.unwrap();
    assert_eq!(ids(&adopted), [&*open]);
    assert_eq!(it.a.inbox("a", 10, SHORT).await.unwrap(), []);
}

pub(crate) async fn the_inbox_goes_on_after_the_store_was_lost<F: Fixture>() {
    let it = two::<F>().await;
    taken(&it, "1").await;
    it.lose(0).await;
    it.fixture.inbox_add(&[("key", "2")]).await;
    let entries = eventually("the entry is taken", async || {
        // A server has lost its consumer group with the rest, and may say so once.
        it.b.inbox("b", 10, SHORT).await.ok().filter(|entries| !entries.is_empty())
    })
    .await;
    assert_eq!(entries.iter().map(texts).collect::<Vec<_>>(), [[("key", "2")]]);
    assert_eq!(it.a.inbox_adopt("a", 10, Duration::ZERO).await.unwrap(), entries);
}
