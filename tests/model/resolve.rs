//! From what a history says to the command that is sent: which entries, names and targets there are, and which tokens
//! and numbers are meant.

use std::time::Duration;

use bytes::Bytes;
use coherd::backend::{
    Along, Beat, Claim, EntryId, Fill, Line, LoadId, Lookup, Member, Partition, Publication, Put, Token,
};
use coherd::model::{
    CallerId, Event, Hardness, Key, Name, Namespace, Prefix, Provenance, Quota, Seq, Tag, Target, covering,
};
use proptest::sample::Index;

use super::command::Command;
use super::steps::{Ask, ENTRIES, EventAs, PutAs, SeqAs, TokenAs, UNIT, Who};

/// What a history has led to, as far as commands speak of it.
#[derive(Debug, Default)]
pub(crate) struct Past {
    /// Where the log stands, if there is a lineage.
    pub(crate) head: Option<Token>,
    /// Tokens that were given out.
    pub(crate) tokens: Vec<Token>,
    /// Leases that were given out.
    pub(crate) leases: Vec<(EntryId, LoadId, Token)>,
    /// Entries of the inbox that were taken.
    pub(crate) taken: Vec<String>,
    /// Quarantines that were begun, and the numbers of their writes.
    pub(crate) held: Vec<(EntryId, LoadId, Seq)>,
    /// Lines that were taken, and their queues.
    pub(crate) lines: Vec<(Partition, Line)>,
    /// Ids of dead letters.
    pub(crate) letters: Vec<String>,
    /// The server's clock, in milliseconds.
    pub(crate) now: u64,
}

impl Past {
    /// The command, if there is anything for it to speak of.
    pub(crate) fn resolve(&self, ask: Ask) -> Option<Command> {
        Some(match ask {
            Ask::Lookup { entry, claim, have } => {
                let claim = claim.map(|(who, units, even_if_fresh, absent)| Claim {
                    load: load(who),
                    lease: UNIT * u32::try_from(units).unwrap(),
                    even_if_fresh,
                    absent: absent.and_then(|token| self.token(&token)),
                });
                Command::Lookup(question(&entry_of(entry), claim, have.map(load)))
            }
            Ask::FillLeased { lease, put } => {
                let (entry, load, token) = chosen(lease, &self.leases)?;
                fill(entry, load, token, &put, true)
            }
            Ask::Fill { entry, who, token, put, leased } => {
                fill(entry_of(entry), load(who), self.token(&token)?, &put, leased)
            }
            Ask::Release { entry, who } => Command::Release(entry_of(entry), load(who)),
            Ask::Publish { event, drops, confirm, value, known, after } => {
                let event = event_of(&event);
                Command::Publish(Publication {
                    entries: if drops { entries_of(&event) } else { Vec::new() },
                    event,
                    confirm,
                    along: value.map(|(entry, who, put)| Along::Value {
                        entry: entry_of(entry),
                        load: load(who),
                        put: put_of(&put),
                    }),
                    known: self.seq(&known),
                    repeat_after: self.seq(&after),
                })
            }
            Ask::Fcall { event } => fcall(event_of(&event)),
            Ask::FcallWrong { fault } => {
                let mut faults = super::wrong::calls();
                let fault = fault % faults.len();
                Command::Fcall(faults.swap_remove(fault), None)
            }
            Ask::Beat { instance, cursor, beats, known } => {
                let max_staleness = Duration::from_secs(1 + beats);
                let member =
                    Member { instance: named(instance), cursor: self.seq(&cursor), max_staleness, beats };
                Command::Beat(Beat { member, known: self.seq(&known) })
            }
            Ask::Confirm { instance, cursor } => Command::Confirm(named(instance), self.seq(&cursor)),
            Ask::Head => Command::Head,
            Ask::ReadLog { after, max } => Command::ReadLog(self.seq(&after), max),
            Ask::Members => Command::Members,
            Ask::Admit { caller, burst } => {
                Command::Admit(space("u"), CallerId::of(&[caller]), Quota::new(1, UNIT, burst).unwrap())
            }
            Ask::Forget { instance, beats } => Command::Forget(named(instance), beats),
            Ask::InboxAdd => Command::InboxAdd,
            Ask::InboxTake { consumer, max } => Command::InboxTake(named(consumer), max),
            Ask::InboxAdopt { consumer, max, idle } => {
                Command::InboxAdopt(named(consumer), max, UNIT * u32::try_from(idle).unwrap())
            }
            Ask::InboxDone { taken } => Command::InboxDone(
                taken.iter().map(|index| chosen(*index, &self.taken)).collect::<Option<Vec<_>>>()?,
            ),
            Ask::Write(ask) => self.resolve_write(ask)?,
        })
    }

    fn token(&self, token: &TokenAs) -> Option<Token> {
        match token {
            TokenAs::Head => self.head.clone(),
            TokenAs::Seen(index) => chosen(*index, &self.tokens),
            TokenAs::Beyond => self.head.clone().map(|head| Token { seq: head.seq + 1, ..head }),
        }
    }

    /// A number.
    pub(super) fn seq(&self, seq: &SeqAs) -> Seq {
        let head = self.head.as_ref().map_or(0, |head| head.seq);
        match seq {
            SeqAs::Zero => 0,
            SeqAs::Before(by) => head.saturating_sub(*by),
            SeqAs::After(by) => head + by,
            SeqAs::Ahead => self.now * 128 + 2_000,
        }
    }
}

/// All entries of a history.
pub(crate) fn entries() -> Vec<EntryId> {
    (0..ENTRIES).map(entry_of).collect()
}

/// A look at an entry.
pub(crate) fn question(entry: &EntryId, claim: Option<Claim>, have: Option<LoadId>) -> Lookup {
    Lookup { entry: entry.clone(), covering: covering(&entry.namespace, &entry.key), claim, have }
}

/// An instance, a consumer.
pub(crate) fn named(who: Who) -> String {
    format!("i{who}")
}

pub(crate) fn entry_of(number: usize) -> EntryId {
    let (namespace, version, key) = match number {
        0 => ("u", 1, "a/1"),
        1 => ("u", 2, "a/1"),
        2 => ("u", 1, "x"),
        _ => ("v", 1, "a:ü|{q}"),
    };
    EntryId { namespace: space(namespace), version, key: Key::new(key).unwrap() }
}

/// Names that a value may be covered by, beside its key's own.
fn names() -> Vec<Name> {
    let tag = |text| Name::tag(&Tag::new(text).unwrap());
    vec![tag("t1"), tag("t2"), Name::key(&space("u"), &Key::new("x").unwrap()), Name::namespace(&space("u"))]
}

/// What events are about.
fn targets() -> Vec<Target> {
    let key = |namespace, key: &str| Target::Key(space(namespace), Key::new(key).unwrap());
    let prefix = |namespace, text: &str| Target::Prefix(space(namespace), Prefix::new(text).unwrap());
    let tag = |text| Target::Tag(Tag::new(text).unwrap());
    vec![
        key("u", "a/1"),
        key("u", "x"),
        key("v", "a:ü|{q}"),
        key("w", "nobody's"),
        prefix("u", "a/"),
        prefix("u", "a/1x"),
        prefix("u", "zz"),
        prefix("v", "a:"),
        prefix("v", "1/2/3/4/5/6/7/8/9/"),
        tag("t1"),
        tag("t2"),
        tag("t3"),
        Target::Namespace(space("u")),
        Target::Namespace(space("v")),
        Target::All,
    ]
}

/// An event.
pub(super) fn event_of(event: &EventAs) -> Event {
    let all = targets();
    Event {
        targets: event.targets.iter().map(|target| all[target % all.len()].clone()).collect(),
        hardness: if event.soft { Hardness::Soft } else { Hardness::Hard },
        provenance: Provenance { source: "ä source".to_owned(), ..Provenance::default() },
        request_id: event.request.map(|who| format!("r{who}")),
    }
}

/// The entries, of either version, of the keys that an event names.
pub(super) fn entries_of(event: &Event) -> Vec<EntryId> {
    let keys = event.targets.iter().filter_map(|target| match target {
        Target::Key(namespace, key) => Some((namespace, key)),
        _ => None,
    });
    let versions = |(namespace, key): (&Namespace, &Key)| {
        [1, 2].map(|version| EntryId { namespace: namespace.clone(), version, key: key.clone() })
    };
    keys.flat_map(versions).collect()
}

/// An FCALL. Once a namespace is given there is no way back to the whole cluster, so that comes first.
fn fcall(mut event: Event) -> Command {
    event.targets.sort_by_key(|target| *target != Target::All);
    let mut words = vec!["1", "coherd:{main}:ctl"];
    for target in &event.targets {
        match target {
            Target::Key(namespace, key) => words.extend(["ns", namespace, "key", key]),
            Target::Prefix(namespace, prefix) => words.extend(["ns", namespace, "prefix", prefix]),
            Target::Namespace(namespace) => words.extend(["ns", namespace, "all", "1"]),
            Target::Tag(tag) => words.extend(["tag", tag]),
            Target::All => words.extend(["all", "true"]),
        }
    }
    words.extend(["soft", if event.hardness == Hardness::Soft { "1" } else { "0" }]);
    words.extend(["src", &event.provenance.source, "why", &event.provenance.reason]);
    words.extend(event.request_id.iter().flat_map(|id| ["request_id", id]));
    let words = words.into_iter().map(|word| word.as_bytes().to_vec()).collect();
    let publication =
        Publication { event, entries: Vec::new(), confirm: false, along: None, known: 0, repeat_after: 0 };
    Command::Fcall(words, Some(publication))
}

fn fill(entry: EntryId, load: LoadId, token: Token, put: &PutAs, leased: bool) -> Command {
    let covering = covering(&entry.namespace, &entry.key);
    Command::Fill(Fill { entry, load, token, covering, put: put_of(put), leased })
}

/// A value.
pub(super) fn put_of(put: &PutAs) -> Put {
    let all = names();
    Put {
        names: put.names.iter().map(|name| all[name % all.len()].clone()).collect(),
        envelope: Bytes::from(format!("{put:?}\0\u{fffd}")),
        fresh: UNIT * u32::try_from(put.fresh).unwrap(),
        kept: UNIT * u32::try_from(put.kept).unwrap(),
    }
}

/// A load.
pub(super) fn load(who: Who) -> LoadId {
    LoadId(format!("l|{who}").into())
}

fn space(text: &str) -> Namespace {
    Namespace::new(text).unwrap()
}

fn chosen<T: Clone>(index: Index, of: &[T]) -> Option<T> {
    (!of.is_empty()).then(|| index.get(of).clone())
}
