//! The checker finds each kind of bad history, and lets the good one beside it pass.

use super::{
    Acknowledged, Durations, Floor, Happened, Outcome, Promise, Record, Verdict, Versions, Way, check,
};

/// D of these histories.
const D: u64 = 1_000;
const OBJECT: &str = "users/1";

/// A history made by hand. Times are in nanoseconds.
struct Made(Vec<Record>);

impl Made {
    fn new() -> Self {
        Self(vec![Record { started: 0, ended: 0, happened: Happened::Promise { max_staleness: D, seed: 0 } }])
    }

    fn at(mut self, started: u64, ended: u64, happened: Happened) -> Self {
        self.0.push(Record { started, ended, happened });
        self
    }

    fn commit(self, at: u64, version: u64) -> Self {
        self.at(at, at, Happened::Commit { object: OBJECT.to_owned(), version })
    }

    /// An event for `version` whose call took from `started` to `ended`.
    fn event(self, started: u64, ended: u64, version: u64, acknowledged: Acknowledged) -> Self {
        self.sent(started, ended, version, acknowledged, false)
    }

    fn soft(self, started: u64, ended: u64, version: u64) -> Self {
        self.sent(started, ended, version, logged(), true)
    }

    fn sent(self, started: u64, ended: u64, version: u64, acknowledged: Acknowledged, soft: bool) -> Self {
        let covers = Versions::from([(OBJECT.to_owned(), version)]);
        self.at(
            started,
            ended,
            Happened::Invalidate { event: version, way: Way::Http, covers, soft, acknowledged },
        )
    }

    fn read(self, started: u64, version: u64) -> Self {
        self.outcome(started, Floor::None, value(version))
    }

    fn outcome(self, started: u64, floor: Floor, outcome: Outcome) -> Self {
        let (instance, object) = ("inst-0".to_owned(), OBJECT.to_owned());
        self.at(started, started + 1, Happened::Read { instance, object, floor, outcome })
    }

    fn verdict(&self) -> Verdict {
        check(&self.0)
    }

    fn broken(&self) -> Vec<Promise> {
        self.verdict().violations.into_iter().map(|violation| violation.promise).collect()
    }
}

fn logged() -> Acknowledged {
    Acknowledged::Logged { id: "1-1".to_owned() }
}

fn everywhere() -> Acknowledged {
    Acknowledged::Everywhere { id: "1-1".to_owned(), early: true }
}

fn value(version: u64) -> Outcome {
    Outcome::Value { version, via: "l1".to_owned(), stale: false, available: false }
}

fn stale(version: u64) -> Outcome {
    Outcome::Value { version, via: "l1".to_owned(), stale: true, available: false }
}

fn available(version: u64) -> Outcome {
    Outcome::Value { version, via: "detached".to_owned(), stale: true, available: true }
}

/// Version 2 follows version 1 and is acknowledged at 200.
fn changed(acknowledged: Acknowledged) -> Made {
    Made::new().commit(10, 1).read(20, 1).commit(100, 2).event(110, 200, 2, acknowledged)
}

#[test]
fn an_old_value_may_be_read_for_d_and_no_longer() {
    assert_eq!(changed(logged()).read(200 + D, 1).broken(), []);
    assert_eq!(changed(logged()).read(201 + D, 1).broken(), [Promise::Staleness]);
    assert_eq!(changed(logged()).read(201 + D, 2).broken(), []);
}

#[test]
fn an_old_value_is_never_read_again_however_late() {
    let bad = changed(logged()).read(300, 2).read(100 * D, 1);
    assert_eq!(bad.broken(), [Promise::Staleness]);
}

#[test]
fn an_event_that_nobody_acknowledged_binds_nobody_unless_the_log_was_seen_to_hold_it() {
    for unbound in [Acknowledged::Unknown, Acknowledged::Durable] {
        assert_eq!(changed(unbound.clone()).read(100 * D, 1).broken(), []);
        let seen = |at: u64| changed(unbound.clone()).at(400, 400, Happened::Logged { event: 2 }).read(at, 1);
        assert_eq!(seen(400 + D).broken(), []);
        assert_eq!(seen(401 + D).broken(), [Promise::Staleness]);
    }
}

#[test]
fn after_wait_all_nothing_older_is_read_at_once() {
    assert_eq!(changed(everywhere()).read(199, 1).broken(), []);
    assert_eq!(changed(everywhere()).read(201, 1).broken(), [Promise::Everywhere]);
}

#[test]
fn what_an_origin_that_lags_may_hide_is_due_by_d_and_the_lag_later() {
    const LAG: u64 = 50;
    let lags = |space: &str| Happened::Lag { space: space.to_owned(), nanos: LAG };
    let read = |space, started, floor| {
        let mut history = changed(everywhere());
        history.0.insert(1, Record { started: 0, ended: 0, happened: lags(space) });
        history.outcome(started, floor, value(1)).broken()
    };
    assert_eq!(read("users", 200 + D + LAG, Floor::None), []);
    assert_eq!(read("users", 200 + D + LAG, Floor::Strict), []);
    assert_eq!(read("users", 109 + D + LAG, Floor::Event(2)), []);
    assert_eq!(read("users", 110 + D + LAG, Floor::Event(2)), [Promise::OwnWrites]);
    assert_eq!(read("users", 201 + D + LAG, Floor::Strict), [Promise::Everywhere, Promise::Strict]);
    let late = read("users", 201 + 2 * D + LAG, Floor::None);
    assert_eq!(late, [Promise::Staleness, Promise::Everywhere]);
    assert_eq!(read("accounts", 201, Floor::None), [Promise::Everywhere], "of another namespace");
}

#[test]
fn whoever_names_an_event_reads_nothing_older() {
    let naming = |floor| changed(logged()).outcome(205, floor, value(1)).broken();
    assert_eq!(naming(Floor::None), []);
    assert_eq!(naming(Floor::Event(2)), [Promise::OwnWrites]);
    let other = changed(logged()).commit(300, 3).event(310, 320, 3, logged());
    // What was logged before the event that is named is below it, though another event named it.
    assert_eq!(other.outcome(330, Floor::Event(3), value(1)).broken(), [Promise::OwnWrites]);
}

#[test]
fn a_strict_read_has_seen_all_that_was_logged_before_it() {
    assert_eq!(changed(logged()).outcome(199, Floor::Strict, value(1)).broken(), []);
    assert_eq!(changed(logged()).outcome(201, Floor::Strict, value(1)).broken(), [Promise::Strict]);
}

#[test]
fn a_soft_event_lets_pass_what_is_marked_as_stale_and_a_hard_one_nothing() {
    let soft = || Made::new().commit(10, 1).commit(100, 2).soft(110, 200, 2);
    assert_eq!(soft().outcome(201 + D, Floor::None, stale(1)).broken(), []);
    assert_eq!(soft().outcome(201 + D, Floor::None, value(1)).broken(), [Promise::Staleness]);
    assert_eq!(soft().outcome(300, Floor::Event(2), stale(1)).broken(), []);
    assert_eq!(soft().outcome(300, Floor::Event(2), value(1)).broken(), [Promise::OwnWrites]);
    let hard = changed(logged()).outcome(201 + D, Floor::None, stale(1));
    assert_eq!(hard.broken(), [Promise::Staleness]);
}

#[test]
fn an_available_instance_gives_up_the_bound_but_not_what_a_reader_asks_for() {
    let read = |floor| changed(everywhere()).outcome(100 * D, floor, available(1)).broken();
    assert_eq!(read(Floor::None), []);
    assert_eq!(read(Floor::Event(2)), [Promise::OwnWrites]);
    assert_eq!(read(Floor::Strict), [Promise::Strict]);
}

#[test]
fn what_nobody_wrote_cannot_be_read() {
    assert_eq!(Made::new().commit(10, 1).read(20, 7).broken(), [Promise::Fabrication]);
    assert_eq!(Made::new().read(5, 1).commit(10, 1).broken(), [Promise::Fabrication]);
    // A commit under way may be seen before it is over.
    let seen = Made::new().read(10, 1).at(9, 50, Happened::Commit { object: OBJECT.to_owned(), version: 1 });
    assert_eq!(seen.broken(), []);
}

#[test]
fn an_object_that_exists_cannot_be_absent_longer_than_an_old_value_may_be_read() {
    let absent = |leased| Outcome::Absent { leased };
    let created = || Made::new().commit(10, 1).event(20, 30, 1, logged());
    assert_eq!(created().outcome(20 + D, Floor::None, absent(false)).broken(), []);
    assert_eq!(created().outcome(31 + D, Floor::None, absent(false)).broken(), [Promise::Staleness]);
    assert_eq!(created().outcome(31 + D, Floor::None, absent(true)).broken(), []);
}

#[test]
fn when_all_is_quiet_everybody_answers_with_the_last_version() {
    let quiet = || changed(Acknowledged::Unknown).at(500, 500, Happened::Settled);
    assert_eq!(quiet().read(600, 2).broken(), []);
    assert_eq!(quiet().read(600, 1).broken(), [Promise::Convergence]);
    let refused = Outcome::Refused { status: 503, code: "unavailable".to_owned() };
    for silent in [refused, Outcome::Failed { hung: true }] {
        let unanswered = || quiet().outcome(600, Floor::None, silent.clone());
        assert_eq!(unanswered().broken(), [Promise::Convergence]);
        assert_eq!(unanswered().outcome(620, Floor::None, silent.clone()).broken(), [Promise::Convergence]);
        assert_eq!(unanswered().read(620, 2).broken(), [], "it was slow, and has answered");
        assert_eq!(unanswered().read(620, 1).broken(), [Promise::Convergence]);
        assert_eq!(
            quiet().read(590, 2).outcome(600, Floor::None, silent.clone()).broken(),
            [Promise::Convergence]
        );
        assert_eq!(changed(logged()).outcome(600, Floor::None, silent).broken(), []);
    }
}

#[test]
fn one_read_that_breaks_two_promises_counts_for_both() {
    let bad = changed(everywhere()).outcome(201 + D, Floor::Strict, value(1));
    assert_eq!(bad.broken(), [Promise::Staleness, Promise::Everywhere, Promise::Strict]);
}

#[test]
fn figures_are_those_of_the_history() {
    let load = || Happened::Load { object: OBJECT.to_owned(), version: Some(2) };
    let fault =
        |recovered| Happened::Fault { fault: "kill".to_owned(), target: "inst-0".to_owned(), recovered };
    let refused = Outcome::Refused { status: 503, code: "overloaded".to_owned() };
    let verdict = changed(everywhere())
        .read(150, 1)
        .at(190, 220, load())
        .at(190, 220, load())
        .at(220, 230, fault(Some(40)))
        .at(220, 230, fault(None))
        .outcome(250, Floor::None, refused)
        .outcome(260, Floor::None, Outcome::Failed { hung: true })
        .read(270, 2);
    // The read at 150 is recorded after the event that ended at 200: put the records into order.
    let mut records = verdict.0;
    records.sort_by_key(|record| record.ended);
    let Verdict { violations, figures } = check(&records);
    assert_eq!(violations, []);
    assert_eq!((figures.reads.all, figures.reads.hung, figures.reads.bound), (5, 1, 1));
    assert_eq!(figures.reads.refused["overloaded"], 1);
    assert_eq!((figures.early.count(), figures.early.quantile(500)), (1, 90));
    assert_eq!((figures.loads.all, figures.loads.versions, figures.loads.most), (2, 1, 2));
    assert_eq!((figures.faults["kill"].struck, figures.faults["kill"].unseen), (2, 1));
    assert_eq!(figures.faults["kill"].recovery.quantile(1000), 40);
    assert_eq!(figures.events[&Way::Http].acknowledged, 1);
}

#[test]
fn reads_that_are_late_within_the_bound_are_counted_with_their_age() {
    let verdict = changed(logged()).read(300, 1).read(700, 1).read(800, 2).verdict();
    assert_eq!(verdict.violations, []);
    let stale = &verdict.figures.stale;
    assert_eq!((stale.count(), stale.quantile(500), stale.quantile(1000)), (2, 100, 500));
}

#[test]
fn a_violation_is_explained_by_what_happened_to_its_object() {
    let bad = changed(logged()).at(250, 250, Happened::Commit { object: "users/2".to_owned(), version: 9 });
    let bad = bad.read(201 + D, 1).read(300 + D, 2);
    let verdict = bad.verdict();
    assert_eq!(Promise::ALL.map(|promise| verdict.broken(promise)), [0, 1, 0, 0, 0, 0, 0, 0, 0]);
    let text = verdict.violations[0].explain(&bad.0);
    assert!(text.starts_with("P1 bounded staleness: version 1, 1ns after 2 was due of users/1"), "{text}");
    assert!(text.contains("Invalidate") && !text.contains("users/2"), "{text}");
    assert!(!text.contains("started: 1300"), "what came later explains nothing: {text}");
}

#[test]
fn quantiles_are_those_of_all_runs_together() {
    let mut some = Durations::default();
    (1..=60).for_each(|nanos| some.push(nanos));
    let mut others = Durations::default();
    (61..=100).for_each(|nanos| others.push(nanos));
    some.merge(&others);
    assert_eq!([0, 500, 990, 999, 1000].map(|per_mille| some.quantile(per_mille)), [1, 50, 99, 100, 100]);
    assert_eq!(Durations::default().quantile(500), 0);
}

#[test]
#[should_panic(expected = "in the order of their ends")]
fn a_history_out_of_order_is_none() {
    Made::new().commit(10, 1).commit(5, 2).verdict();
}
