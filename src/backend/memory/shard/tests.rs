//! What the conformance suite cannot see from outside: time-outs of a minute, pending writes, bounds; and the rule of
//! validity against a history that forgets nothing.

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::backend::{Claim, Publication, Published};
use crate::model::{Event, Prefix, Tag, Target, covering, widen};

const NOW: u64 = 1_763_715_600_000;

fn shard(limits: Limits) -> ShardState {
    ShardState::new(Shard(0), limits, 7)
}

fn entry(key: &str) -> EntryId {
    EntryId { namespace: Namespace::new("users").unwrap(), version: 1, key: Key::new(key).unwrap() }
}

fn names(entry: &EntryId) -> Vec<Name> {
    covering(&entry.namespace, &entry.key)
}

fn load(name: &str) -> LoadId {
    LoadId(name.into())
}

fn put(size: usize, kept: Duration) -> Put {
    Put { names: Vec::new(), envelope: Bytes::from(vec![0; size]), fresh: kept, kept }
}

fn publication(event: Event) -> Publication {
    Publication { event, entries: Vec::new(), confirm: false, along: None, known: 0, repeat_after: 0 }
}

fn key_event(entry: &EntryId) -> Event {
    Event::hard(vec![Target::Key(entry.namespace.clone(), entry.key.clone())])
}

fn ask(entry: &EntryId, claim: Option<&str>) -> Lookup {
    let claim = claim.map(|name| Claim {
        load: load(name),
        lease: Duration::from_secs(10),
        even_if_fresh: false,
        absent: None,
    });
    Lookup { entry: entry.clone(), covering: names(entry), claim, have: None }
}

fn lease(state: &mut ShardState, now: u64, entry: &EntryId, by: &str) -> Token {
    match state.lookup(now, &ask(entry, Some(by))) {
        Found::Leased { token, .. } => token,
        other => panic!("no lease: {other:?}"),
    }
}

fn fill(state: &mut ShardState, now: u64, entry: &EntryId, by: &str, token: Token, put: Put) -> Filled {
    let fill =
        Fill { entry: entry.clone(), load: load(by), token, covering: names(entry), put, leased: true };
    state.fill(now, fill)
}

#[test]
fn a_lineage_starts_above_the_time_and_everything_known_and_counted() {
    let mut state = shard(Limits::default());
    assert_eq!(state.head(NOW).seq, NOW * 128);

    let known = NOW * 200;
    state.flush();
    let all = publication(Event::hard(vec![Target::All]));
    let published = state.publish(NOW, Publication { known, ..all }).unwrap();
    assert_eq!(published.token.seq, known + LEAP + 1);

    state.flush();
    assert_eq!(state.head(NOW).seq, known + LEAP * 2 + 1);
}

#[test]
fn lineages_and_nonces_are_never_the_same_twice() {
    let mut state = shard(Limits::default());
    let mut seen = std::collections::HashSet::new();
    for _ in 0..100 {
        state.flush();
        let member = Member { instance: "a".to_owned(), cursor: 0, max_staleness: Duration::ZERO, beats: 0 };
        let head = state.beat(NOW, Beat { member, known: 0 });
        state.publish(NOW, publication(Event::hard(vec![Target::All]))).unwrap();
        let logged = state.read_log(0, 9).remove(0);
        assert_eq!(logged.previous, head.nonce);
        for id in [head.token.lineage.as_str(), head.nonce.as_str(), logged.nonce.as_str()] {
            assert_eq!(id.len(), 16);
            assert!(seen.insert(id.to_owned()), "{id} twice");
        }
    }
}

#[test]
fn a_request_id_is_remembered_for_a_minute() {
    let mut state = shard(Limits::default());
    let event = Event { request_id: Some("r".to_owned()), ..Event::hard(vec![Target::All]) };
    let mut at = |now| state.publish(now, publication(event.clone())).unwrap();
    let first = at(NOW);
    assert_eq!(at(NOW + 59_999), Published { repeated: true, ..first.clone() });
    let second = at(NOW + 60_000);
    assert_eq!((second.repeated, second.token.seq), (false, first.token.seq + 1));
}

#[test]
fn the_log_keeps_exactly_its_maximum() {
    let mut state = shard(Limits { log_max_events: 3, ..Limits::default() });
    for _ in 0..5 {
        state.publish(NOW, publication(Event::hard(vec![Target::All]))).unwrap();
    }
    let head = state.head(NOW).seq;
    let seqs: Vec<Seq> = state.read_log(0, 9).iter().map(|logged| logged.seq).collect();
    assert_eq!(seqs, [head - 2, head - 1, head]);
}

#[test]
fn entries_beyond_the_bound_go_soonest_to_expire_first() {
    let mut state = shard(Limits { entry_bytes_max: 4000, ..Limits::default() });
    for (key, seconds) in [("long", 300), ("short", 100), ("middle", 200)] {
        let entry = entry(key);
        let token = lease(&mut state, NOW, &entry, "l");
        let put = put(1000, Duration::from_secs(seconds));
        assert_eq!(fill(&mut state, NOW, &entry, "l", token, put), Filled::Stored);
    }
    assert!(state.peek(NOW, &entry("short")).is_none());
    assert!(state.peek(NOW, &entry("middle")).is_some() && state.peek(NOW, &entry("long")).is_some());
}

#[test]
fn a_lease_ends_at_its_time_and_is_then_nobodys() {
    let mut state = shard(Limits::default());
    let entry = entry("1");
    let token = lease(&mut state, NOW, &entry, "a");
    let busy = state.lookup(NOW + 9_999, &ask(&entry, Some("b")));
    assert_eq!(busy, Found::Busy { left: Duration::from_millis(1), stale: None });
    let late = fill(&mut state, NOW + 10_000, &entry, "a", token, put(1, Duration::from_secs(1)));
    assert_eq!(late, Filled::Refused(FillRefusal::LeaseLost));
    lease(&mut state, NOW + 10_000, &entry, "b");
}

/// A shard with a pending write under `entry`.
fn dirty(entry: &EntryId) -> ShardState {
    let mut state = shard(Limits::default());
    let token = state.publish(NOW, publication(key_event(entry))).unwrap().token;
    let stored =
        Stored { dirty: Some(token.seq), token, names: Vec::new(), load: load("w"), envelope: Bytes::new() };
    state.entries.insert(NOW, place(entry), (Kept { stored, fresh_until: NOW, behind: None }, FOREVER), 1);
    state
}

#[test]
fn a_pending_write_is_answered_and_kept_whatever_is_said_of_it() {
    let entry = entry("1");
    let mut state = dirty(&entry);
    state
        .publish(NOW, Publication { entries: vec![entry.clone()], ..publication(key_event(&entry)) })
        .unwrap();
    let mut lookup = ask(&entry, Some("a"));
    lookup.claim.as_mut().unwrap().even_if_fresh = true;
    for now in [NOW, NOW + 1_000_000_000] {
        let Found::Fresh(stored) = state.lookup(now, &lookup) else { panic!("not answered") };
        assert!(stored.dirty.is_some());
        assert_eq!(stored.token, state.head(now));
    }
    lookup.have = Some(load("w"));
    assert_eq!(state.lookup(NOW, &lookup), Found::NotModified(state.head(NOW)));
}

#[test]
fn a_load_never_replaces_a_pending_write() {
    let entry = entry("1");
    let mut state = dirty(&entry);
    let token = state.head(NOW);
    let claim = Claim { load: load("a"), lease: Duration::from_secs(1), even_if_fresh: false, absent: None };
    state.leases.claim(NOW, lease_place(&entry), &claim, &token).unwrap();
    let filled = fill(&mut state, NOW, &entry, "a", token, put(1, Duration::from_secs(1)));
    assert_eq!(filled, Filled::Refused(FillRefusal::Dirty));
    assert!(state.peek(NOW, &entry).is_some_and(|stored| stored.dirty.is_some()));
}

const KEYS: [&str; 4] = ["eu/1", "eu/2", "us/1", "plain"];

/// One step of a random history.
#[derive(Clone, Debug)]
enum Step {
    Publish { target: Target, soft: bool },
    Begin { key: usize },
    End { key: usize, tags: Vec<u8> },
}

fn steps() -> impl Strategy<Value = Step> {
    let namespace = || Namespace::new("users").unwrap();
    let key = || 0..KEYS.len();
    let tag = |n: u8| Tag::new(&format!("t{n}")).unwrap();
    let target = prop_oneof![
        4 => key().prop_map(move |key| Target::Key(namespace(), Key::new(KEYS[key]).unwrap())),
        4 => (0..4_u8).prop_map(move |n| Target::Tag(tag(n))),
        2 => prop::sample::select(vec!["eu/", "eu/1", "us/", "pl"])
            .prop_map(move |prefix| Target::Prefix(namespace(), Prefix::new(prefix).unwrap())),
        1 => Just(Target::Namespace(namespace())),
        1 => Just(Target::All),
    ];
    prop_oneof![
        (target, any::<bool>()).prop_map(|(target, soft)| Step::Publish { target, soft }),
        key().prop_map(|key| Step::Begin { key }),
        (key(), prop::collection::vec(0..4_u8, 0..3)).prop_map(|(key, tags)| Step::End { key, tags }),
    ]
}

/// Whether `target` is about a value of `key` with `tags`: by the words of the contract, not by names.
fn concerns(target: &Target, key: &str, tags: &[u8]) -> bool {
    match target {
        Target::Key(_, named) => **named == *key,
        Target::Tag(tag) => tags.iter().any(|n| **tag == format!("t{n}")),
        Target::Prefix(_, prefix) => widen(prefix).is_none_or(|prefix| key.starts_with(prefix)),
        Target::Namespace(_) | Target::All => true,
    }
}

/// Runs a history; after each step every entry's standing is compared with what the whole history says.
fn check(steps: Vec<Step>, watermarks_max: usize, exact: bool) -> Result<(), TestCaseError> {
    let mut state = shard(Limits { watermarks_max, ..Limits::default() });
    let mut history: Vec<(Seq, Target, bool)> = Vec::new();
    let mut begun: [Option<Token>; KEYS.len()] = Default::default();
    let mut held: [Option<(Seq, Vec<u8>)>; KEYS.len()] = Default::default();
    for step in steps {
        match step {
            Step::Publish { target, soft } => {
                let mut event = Event::hard(vec![target.clone()]);
                if soft {
                    event.hardness = Hardness::Soft;
                }
                let token = state.publish(NOW, publication(event)).unwrap().token;
                history.push((token.seq, target, soft));
            }
            Step::Begin { key } => {
                let mut lookup = ask(&entry(KEYS[key]), Some("l"));
                lookup.claim.as_mut().unwrap().even_if_fresh = true;
                if let Found::Leased { token, .. } = state.lookup(NOW, &lookup) {
                    begun[key] = Some(token);
                }
            }
            Step::End { key, tags } => {
                let Some(token) = begun[key].take() else { continue };
                let mut put = put(1, Duration::from_hours(1));
                put.names = tags.iter().map(|n| Name::tag(&Tag::new(&format!("t{n}")).unwrap())).collect();
                let seq = token.seq;
                let filled = fill(&mut state, NOW, &entry(KEYS[key]), "l", token, put);
                let late =
                    history.iter().any(|(at, target, _)| seq < *at && concerns(target, KEYS[key], &tags));
                prop_assert!(!(late && filled == Filled::Stored), "an old value was stored");
                prop_assert!(!exact || late || filled == Filled::Stored, "a good value was refused");
                if filled == Filled::Stored {
                    held[key] = Some((seq, tags));
                }
            }
        }
        for (key, held) in KEYS.iter().zip(&held) {
            let Some((seq, tags)) = held else { continue };
            let named = |soft| {
                history.iter().any(|(at, target, of)| seq < at && *of == soft && concerns(target, key, tags))
            };
            let found = state.lookup(NOW, &ask(&entry(key), None));
            let good = match &found {
                Found::Fresh(_) => !named(false) && !named(true),
                Found::Nothing { stale: Some(_) } => !named(false) && (!exact || named(true)),
                Found::Nothing { stale: None } => !exact || named(false),
                _ => false,
            };
            prop_assert!(good, "{key} stored at {seq}: {found:?}");
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_entry_stands_exactly_as_the_history_says(steps in prop::collection::vec(steps(), 1..60)) {
        check(steps, 1000, true)?;
    }

    #[test]
    fn forgotten_watermarks_only_ever_invalidate_too_much(steps in prop::collection::vec(steps(), 1..60)) {
        check(steps, 2, false)?;
    }
}
