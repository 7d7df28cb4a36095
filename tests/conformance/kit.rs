//! The words of the cases: short ways to ask a backend, and to wait for what it does.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use coherd::backend::{
    Backend, Beat, Claim, EntryId, Fill, Filled, Found, LoadId, Lookup, Member, Publication, Published, Put,
    Signal, Stored, Subscription, Token,
};
use coherd::model::{
    Event, Hardness, Key, Name, Namespace, Prefix, Seq, Shard, ShardCount, Tag, Target, covering,
};
use tokio::time::{Instant, sleep, timeout};

use super::fixture::{Fixture, Settings};

/// Where there are several shards, so many of them.
pub(crate) const SHARDS: u16 = 4;
/// And that is where all keys of the cases are: not the first, which is special.
const HOME: Shard = Shard(2);
/// Longer than anything that is expected to happen may take.
pub(crate) const SOON: Duration = Duration::from_secs(20);
/// A time that passes within a test.
pub(crate) const SHORT: Duration = Duration::from_millis(60);
/// A time that does not pass within a test.
pub(crate) const LONG: Duration = Duration::from_secs(600);

/// A store with a lineage, and two instances of it.
pub(crate) struct Two<F> {
    pub(crate) fixture: F,
    pub(crate) a: Arc<dyn Backend>,
    pub(crate) b: Arc<dyn Backend>,
}

/// An empty store where both instances have sent a heartbeat.
pub(crate) async fn two<F: Fixture>() -> Two<F> {
    two_with(Settings::default()).await
}

/// The same with settings.
pub(crate) async fn two_with<F: Fixture>(settings: Settings) -> Two<F> {
    let fixture = F::start(settings).await;
    let [a, b] = fixture.instances();
    let it = Two { fixture, a, b };
    it.beat(0).await;
    it
}

impl<F: Fixture> Two<F> {
    /// A heartbeat of both, who have seen everything up to `known`.
    async fn beat(&self, known: Seq) {
        for (instance, backend) in [("a", &self.a), ("b", &self.b)] {
            backend.beat(home(backend), Beat { member: member(instance, 1), known }).await.unwrap();
        }
    }

    /// The lineage ends and another begins; entries and leases are still there.
    pub(crate) async fn begin_another_lineage(&self) {
        self.fixture.end_lineage().await;
        self.beat(0).await;
    }

    /// The store loses everything; then come the heartbeats.
    pub(crate) async fn lose(&self, known: Seq) {
        self.fixture.flush_all().await;
        self.beat(known).await;
    }
}

/// The shard that the cases are about.
pub(crate) fn home(backend: &Arc<dyn Backend>) -> Shard {
    if backend.shards() == ShardCount::ONE { Shard(0) } else { HOME }
}

/// A key of the shard that the cases are about, which begins with `text`.
fn at_home(namespace: &str, text: &str) -> Key {
    let keys = (0_u32..).map(|n| if n == 0 { text.to_owned() } else { format!("{text}~{n}") });
    let mut homely = keys.filter(|key| ShardCount::new(SHARDS).of(namespace, key) == HOME);
    Key::new(&homely.next().expect("every shard has keys")).unwrap()
}

/// A member that has confirmed nothing.
pub(crate) fn member(instance: &str, beats: u64) -> Member {
    Member { instance: instance.to_owned(), cursor: 0, max_staleness: Duration::from_secs(2), beats }
}

/// A load's id.
pub(crate) fn load(name: &str) -> LoadId {
    LoadId(name.into())
}

/// `users`.
pub(crate) fn users() -> Namespace {
    Namespace::new("users").unwrap()
}

/// The entry of a key in `users`.
pub(crate) fn entry(key: &str) -> EntryId {
    entry_in("users", key)
}

/// The entry of a key.
pub(crate) fn entry_in(namespace: &str, key: &str) -> EntryId {
    EntryId { namespace: Namespace::new(namespace).unwrap(), version: 1, key: at_home(namespace, key) }
}

/// A key in `users` as a target.
pub(crate) fn key(key: &str) -> Target {
    Target::Key(users(), at_home("users", key))
}

/// A prefix in `users` as a target.
pub(crate) fn prefix(prefix: &str) -> Target {
    Target::Prefix(users(), Prefix::new(prefix).unwrap())
}

/// A tag as a target.
pub(crate) fn tag(tag: &str) -> Target {
    Target::Tag(Tag::new(tag).unwrap())
}

/// A tag's name.
pub(crate) fn tag_name(tag: &str) -> Name {
    Name::tag(&Tag::new(tag).unwrap())
}

/// A hard event.
pub(crate) fn hard(target: Target) -> Event {
    Event::hard(vec![target])
}

/// A soft event.
pub(crate) fn soft(target: Target) -> Event {
    Event { hardness: Hardness::Soft, ..hard(target) }
}

/// What an event is published with; the entries of its keys in version 1 are dropped with it.
pub(crate) fn publication(event: Event) -> Publication {
    let entries = event.targets.iter().filter_map(|target| match target {
        Target::Key(namespace, key) => {
            Some(EntryId { namespace: namespace.clone(), version: 1, key: key.clone() })
        }
        _ => None,
    });
    let entries = entries.collect();
    Publication { event, entries, confirm: false, along: None, known: 0, repeat_after: 0 }
}

/// A value that stays fresh, covered by nothing but its key.
pub(crate) fn value(text: &str) -> Put {
    Put { names: Vec::new(), envelope: Bytes::copy_from_slice(text.as_bytes()), fresh: LONG, kept: 2 * LONG }
}

/// The same with tags.
pub(crate) fn tagged(text: &str, tags: &[&str]) -> Put {
    Put { names: tags.iter().map(|tag| tag_name(tag)).collect(), ..value(text) }
}

/// A wish for a lease that does not expire within a test.
pub(crate) fn claim(by: &str) -> Claim {
    Claim { load: load(by), lease: LONG, even_if_fresh: false, absent: None }
}

/// A question about an entry.
pub(crate) fn question(entry: &EntryId, claim: Option<Claim>) -> Lookup {
    Lookup { entry: entry.clone(), covering: covering(&entry.namespace, &entry.key), claim, have: None }
}

/// What is there, without asking for the lease.
pub(crate) async fn look(backend: &Arc<dyn Backend>, entry: &EntryId) -> Found {
    backend.lookup(question(entry, None)).await.unwrap()
}

/// What is there, or the lease.
pub(crate) async fn ask(backend: &Arc<dyn Backend>, entry: &EntryId, claim: Claim) -> Found {
    backend.lookup(question(entry, Some(claim))).await.unwrap()
}

/// The lease and its token.
///
/// # Panics
///
/// If it is not to be had.
pub(crate) async fn lease(backend: &Arc<dyn Backend>, entry: &EntryId, by: &str) -> Token {
    match ask(backend, entry, claim(by)).await {
        Found::Leased { token, .. } => token,
        other => panic!("no lease for {entry:?}: {other:?}"),
    }
}

/// Ends a load.
pub(crate) async fn fill(
    backend: &Arc<dyn Backend>,
    entry: &EntryId,
    by: &str,
    token: Token,
    put: Put,
) -> Filled {
    let covering = covering(&entry.namespace, &entry.key);
    let fill = Fill { entry: entry.clone(), load: load(by), token, covering, put, leased: true };
    backend.fill(fill).await.unwrap()
}

/// Ends a load that has no lease and read its token from the head.
pub(crate) async fn fill_unleased(
    backend: &Arc<dyn Backend>,
    entry: &EntryId,
    by: &str,
    token: Token,
    put: Put,
) -> Filled {
    let covering = covering(&entry.namespace, &entry.key);
    let fill = Fill { entry: entry.clone(), load: load(by), token, covering, put, leased: false };
    backend.fill(fill).await.unwrap()
}

/// A whole load, stored under the token given back.
pub(crate) async fn store(backend: &Arc<dyn Backend>, entry: &EntryId, put: Put) -> Token {
    let token = lease(backend, entry, "stored").await;
    assert_eq!(fill(backend, entry, "stored", token.clone(), put).await, Filled::Stored);
    token
}

/// Publishes an event.
pub(crate) async fn publish(backend: &Arc<dyn Backend>, event: Event) -> Published {
    backend.publish(home(backend), publication(event)).await.unwrap()
}

/// The entry as it is stored.
pub(crate) async fn peek(backend: &Arc<dyn Backend>, entry: &EntryId) -> Option<Stored> {
    let mut answers = backend.peek(std::slice::from_ref(entry)).await.unwrap();
    assert_eq!(answers.len(), 1);
    answers.remove(0)
}

/// What an entry is good for, in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    Fresh,
    Stale,
    Gone,
    Doubtful,
}

/// What the entry is good for.
///
/// # Panics
///
/// If the answer is none that a look without a claim may have.
pub(crate) async fn standing(backend: &Arc<dyn Backend>, entry: &EntryId) -> Standing {
    match look(backend, entry).await {
        Found::Fresh(_) => Standing::Fresh,
        Found::Nothing { stale: Some(_) } => Standing::Stale,
        Found::Nothing { stale: None } => Standing::Gone,
        Found::Doubtful => Standing::Doubtful,
        other => panic!("{other:?} was not asked for"),
    }
}

/// The last event's number.
pub(crate) async fn head(backend: &Arc<dyn Backend>) -> Seq {
    backend.head(home(backend)).await.unwrap().seq
}

/// Asks until the answer is the one wanted.
///
/// # Panics
///
/// If that takes longer than [`SOON`].
pub(crate) async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(start.elapsed() < SOON, "`{what}` did not happen");
        sleep(Duration::from_millis(5)).await;
    }
}

/// A subscription that is listened to.
pub(crate) struct Ears(Box<dyn Subscription>);

impl Ears {
    /// Subscribes.
    pub(crate) async fn of(backend: &Arc<dyn Backend>) -> Self {
        Self(backend.subscribe().await.unwrap())
    }

    /// The next signal, `None` at the end.
    ///
    /// # Panics
    ///
    /// If none comes.
    pub(crate) async fn next(&mut self) -> Option<Signal> {
        timeout(SOON, self.0.next()).await.expect("no signal came")
    }

    /// Everything up to the wake-up for `last`, which must come.
    pub(crate) async fn wakes_until(&mut self, last: &EntryId) -> Vec<(String, bool)> {
        let mut heard = Vec::new();
        loop {
            if let Signal::Wake { namespace, key, filled } =
                self.next().await.expect("the subscription ended")
            {
                let end = namespace == last.namespace && key == last.key;
                heard.push((key.to_string(), filled));
                if end {
                    return heard;
                }
            }
        }
    }
}
