//! What a view says of copies, one thread at a time.

use std::time::Duration;

use super::{Slots, Standing, View};
use crate::backend::Token;
use crate::clock::Boot;
use crate::model::{Event, Hardness, Key, LineageId, Name, Namespace, Prefix, Seq, Tag, Target, covering};

const D: Duration = Duration::from_secs(2);

fn at(ms: u64) -> Boot {
    Boot::from_nanos(ms * 1_000_000)
}

fn lineage(text: &str) -> LineageId {
    LineageId::new(text)
}

fn token(lineage: &str, seq: Seq) -> Token {
    Token { lineage: LineageId::new(lineage), seq }
}

fn users(key: &str) -> (Namespace, Key) {
    (Namespace::new("users").unwrap(), Key::new(key).unwrap())
}

fn slots_of(key: &str, tags: &[&str]) -> Slots {
    let (ns, key) = users(key);
    let mut names = covering(&ns, &key);
    names.extend(tags.iter().map(|tag| Name::tag(&Tag::new(tag).unwrap())));
    Slots::of(&names)
}

fn soft(targets: Vec<Target>) -> Event {
    Event { hardness: Hardness::Soft, ..Event::hard(targets) }
}

fn followed() -> View {
    let view = View::new(1 << 12);
    view.begin(lineage("a"), 100);
    view.prove(at(1000));
    view
}

#[test]
fn nothing_is_leased_before_the_first_proof_and_after_max_staleness() {
    let view = View::new(16);
    view.begin(lineage("a"), 100);
    assert!(!view.leased(at(1), D));
    view.prove(at(1000));
    assert!(view.leased(at(2999), D));
    assert!(!view.leased(at(3000), D));
    // a late reply to an earlier heartbeat does not shorten the lease
    view.prove(at(500));
    assert!(view.leased(at(2999), D));
}

#[test]
fn every_kind_of_target_invalidates_what_it_covers_and_only_older_copies() {
    let (ns, key) = users("eu/7");
    let targets = [
        Target::Key(ns.clone(), key),
        Target::Prefix(ns.clone(), Prefix::new("eu/").unwrap()),
        Target::Prefix(ns.clone(), Prefix::new("e").unwrap()),
        Target::Namespace(ns),
        Target::Tag(Tag::new("team:7").unwrap()),
        Target::All,
    ];
    for target in targets {
        let view = followed();
        let slots = slots_of("eu/7", &["team:7"]);
        let stamp = |seq| view.stamp(&token("a", seq)).unwrap();
        view.mark(101, &Event::hard(vec![target.clone()]));
        assert_eq!(view.judge(stamp(100), &slots, at(1001), D).standing, Standing::Invalid, "{target:?}");
        assert_eq!(view.judge(stamp(101), &slots, at(1001), D).standing, Standing::Valid, "{target:?}");
    }
}

#[test]
fn other_keys_are_left_alone() {
    let view = followed();
    let (ns, key) = users("1");
    view.mark(101, &Event::hard(vec![Target::Key(ns, key)]));
    let stamp = view.stamp(&token("a", 100)).unwrap();
    assert!(view.judge(stamp, &slots_of("2", &[]), at(1001), D).valid());
}

#[test]
fn a_soft_event_makes_stale_and_a_hard_one_wins_over_it() {
    let view = followed();
    let (ns, key) = users("1");
    let slots = slots_of("1", &[]);
    let stamp = view.stamp(&token("a", 100)).unwrap();
    view.mark(101, &soft(vec![Target::Key(ns.clone(), key.clone())]));
    assert_eq!(view.judge(stamp, &slots, at(1001), D).standing, Standing::Soft);
    view.mark(102, &Event::hard(vec![Target::Key(ns, key)]));
    assert_eq!(view.judge(stamp, &slots, at(1001), D).standing, Standing::Invalid);
    let view = followed();
    view.mark(101, &soft(vec![Target::All]));
    assert_eq!(view.judge(stamp, &slots, at(1001), D).standing, Standing::Soft);
}

#[test]
fn another_lineage_invalidates_everything_even_with_smaller_numbers() {
    let view = followed();
    let old = view.stamp(&token("a", 5000)).unwrap();
    view.begin(lineage("b"), 10);
    view.prove(at(1001));
    assert_eq!(view.judge(old, &slots_of("1", &[]), at(1002), D).standing, Standing::Invalid);
    assert_eq!(view.stamp(&token("a", 5000)), None);
    let new = view.stamp(&token("b", 10)).unwrap();
    assert!(view.judge(new, &slots_of("1", &[]), at(1002), D).valid());
}

#[test]
fn a_new_lineage_ends_the_lease() {
    let view = followed();
    view.begin(lineage("b"), 200);
    assert!(!view.leased(at(1001), D));
}

#[test]
fn skipping_a_trimmed_part_asks_for_older_copies_again() {
    let view = followed();
    let stamp = |seq| view.stamp(&token("a", seq)).unwrap();
    view.skip(150);
    assert_eq!(view.cursor(), 150);
    assert_eq!(view.judge(stamp(149), &slots_of("1", &[]), at(1001), D).standing, Standing::Invalid);
    assert!(view.judge(stamp(150), &slots_of("1", &[]), at(1001), D).valid());
}
