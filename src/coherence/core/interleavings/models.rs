//! What runs at the same time, and what must never come of it.
//!
//! A copy stands at event 100; event 101 names its key. Leases last 2 s.

use std::time::Duration;

use loom::sync::Arc;
use loom::thread;

use super::view::{Slots, Stamp, View};
use crate::backend::Token;
use crate::clock::Boot;
use crate::model::{Event, Key, LineageId, Name, Namespace, Seq, Target};

const D: Duration = Duration::from_secs(2);

/// How event 101 and the proof of it reach the view.
type Applies = fn(&View, &Event, Boot);

/// How a read judges a copy: may it be answered?
type Judges = fn(&View, Stamp, &Slots, Boot) -> bool;

/// Marks, cursor, proof: the order of the follower.
pub(in super::super) fn in_order(view: &View, event: &Event, sent: Boot) {
    view.mark(101, event);
    view.advance(101);
    view.prove(sent);
}

/// The proof too early.
pub(in super::super) fn proven_first(view: &View, event: &Event, sent: Boot) {
    view.prove(sent);
    view.mark(101, event);
    view.advance(101);
}

/// The cursor too early.
pub(in super::super) fn advanced_first(view: &View, event: &Event, sent: Boot) {
    view.advance(101);
    view.mark(101, event);
    view.prove(sent);
}

/// The lease, then the watermarks: the order of a hit.
pub(in super::super) fn judged(view: &View, stamp: Stamp, slots: &Slots, now: Boot) -> bool {
    view.judge(stamp, slots, now, D).valid()
}

/// The watermarks too early.
pub(in super::super) fn standing_first(view: &View, stamp: Stamp, slots: &Slots, now: Boot) -> bool {
    let before = view.judge(stamp, slots, now, D);
    let leased = view.leased(now, D);
    super::view::Judgement { leased, ..before }.valid()
}

/// The publisher has its late answer, for the lease that missed the event is over: no read from now on may find the copy
/// valid. Meanwhile the follower catches up and has its lease renewed.
pub(in super::super) fn read_beside_a_renewal(apply: Applies, judge: Judges) {
    loom::model(move || {
        let view = followed(at(1000));
        let (copy, slots) = copy(&view);
        let follower = Arc::clone(&view);
        let renewal = thread::spawn(move || apply(&follower, &event(), at(4000)));
        assert!(!judge(&view, copy, &slots, at(5000)), "answered with older data");
        renewal.join().unwrap();
    });
}

/// Whoever sees the cursor at the event may act on it: confirm it to a publisher, answer a strict read.
pub(in super::super) fn read_behind_the_cursor(apply: Applies) {
    loom::model(move || {
        let view = followed(at(1000));
        let (copy, slots) = copy(&view);
        let follower = Arc::clone(&view);
        let applying = thread::spawn(move || apply(&follower, &event(), at(1000)));
        if 101 <= view.cursor() {
            assert!(!judged(&view, copy, &slots, at(1001)), "answered with older data");
        }
        applying.join().unwrap();
    });
}

/// Nobody knows what the skipped events named.
pub(in super::super) fn read_beside_a_skip() {
    loom::model(|| {
        let view = followed(at(1000));
        let (copy, slots) = copy(&view);
        let follower = Arc::clone(&view);
        let skipping = thread::spawn(move || {
            follower.skip(150);
            follower.prove(at(4000));
        });
        assert!(!judged(&view, copy, &slots, at(5000)), "answered with older data");
        skipping.join().unwrap();
    });
}

/// The lease is over, and the next one is of another lineage, whose numbers may be smaller.
pub(in super::super) fn read_beside_a_beginning() {
    loom::model(|| {
        let view = followed(at(1000));
        let (copy, slots) = copy(&view);
        let follower = Arc::clone(&view);
        let beginning = thread::spawn(move || {
            follower.begin(LineageId::new("b"), 50);
            follower.prove(at(4000));
        });
        assert!(!judged(&view, copy, &slots, at(5000)), "answered with older data");
        beginning.join().unwrap();
    });
}

/// This instance has confirmed an event that named everything; another history with smaller numbers begins under its
/// lease.
pub(in super::super) fn invalid_copy_beside_a_beginning() {
    loom::model(|| {
        let view = followed(at(1000));
        let (copy, slots) = copy(&view);
        view.mark(101, &Event::hard(vec![Target::All]));
        view.advance(101);
        let follower = Arc::clone(&view);
        let beginning = thread::spawn(move || {
            follower.begin(LineageId::new("b"), 50);
            follower.prove(at(1500));
        });
        assert!(!judged(&view, copy, &slots, at(1501)), "answered with older data");
        beginning.join().unwrap();
    });
}

/// A load took its token in a lineage that the follower then begins at a later event: what lies between was never marked.
pub(in super::super) fn early_token_beside_a_beginning() {
    loom::model(|| {
        let view = followed(at(1000));
        let (_, slots) = copy(&view);
        let follower = Arc::clone(&view);
        let beginning = thread::spawn(move || {
            follower.begin(LineageId::new("b"), 210);
            follower.prove(at(1500));
        });
        if let Some(stamp) = view.stamp(&Token { lineage: LineageId::new("b"), seq: 205 }) {
            assert!(!judged(&view, stamp, &slots, at(1501)), "answered with older data");
        }
        beginning.join().unwrap();
    });
}

/// A view at event 100, proven by a heartbeat that was sent at a moment.
fn followed(sent: Boot) -> Arc<View> {
    let view = View::new(2);
    view.begin(LineageId::new("a"), 90);
    view.advance(100);
    view.prove(sent);
    Arc::new(view)
}

fn copy(view: &View) -> (Stamp, Slots) {
    let seq: Seq = 100;
    let stamp = view.stamp(&Token { lineage: LineageId::new("a"), seq }).unwrap();
    let (namespace, key) = key();
    (stamp, Slots::of(&[Name::key(&namespace, &key)]))
}

fn event() -> Event {
    let (namespace, key) = key();
    Event::hard(vec![Target::Key(namespace, key)])
}

fn key() -> (Namespace, Key) {
    (Namespace::new("users").unwrap(), Key::new("1").unwrap())
}

fn at(ms: u64) -> Boot {
    Boot::from_nanos(ms * 1_000_000)
}
