//! The checker finds each kind of bad history of writes, and lets the good one beside it pass.

use crate::history::{
    Accepted, Answer, Done, Floor, Happened, Mode, Outcome, Promise, Record, Verdict, Writes, check,
};

/// D of these histories.
const D: u64 = 1_000;
const OBJECT: &str = "jobs/1";

/// A history made by hand: a write has its number as its fence too, a removal likewise. Times are in nanoseconds.
struct Made(Vec<Record>);

impl Made {
    fn new() -> Self {
        let promise = Happened::Promise { max_staleness: D, seed: 0 };
        Self(Vec::new()).at(0, 0, promise).at(0, 0, Happened::Written { space: "jobs".to_owned() })
    }

    fn at(mut self, started: u64, ended: u64, happened: Happened) -> Self {
        self.0.push(Record { started, ended, happened });
        self
    }

    fn wrote(self, started: u64, ended: u64, write: u64, put: bool, mode: Mode, answer: Answer) -> Self {
        let (object, instance) = (OBJECT.to_owned(), "inst-0".to_owned());
        self.at(started, ended, Happened::Write { write, object, put, mode, instance, answer })
    }

    /// A `PUT` that is answered 202 ten after it began.
    fn behind(self, started: u64, write: u64) -> Self {
        self.wrote(started, started + 10, write, true, Mode::Behind, accepted(write))
    }

    /// A `DELETE` that is answered 202.
    fn removed(self, started: u64, write: u64) -> Self {
        self.wrote(started, started + 10, write, false, Mode::Behind, accepted(write))
    }

    fn unknown(self, started: u64, write: u64, mode: Mode) -> Self {
        let answer = Answer::Unknown { status: 0, code: String::new() };
        self.wrote(started, started + 10, write, true, mode, answer)
    }

    fn delivered(self, at: u64, write: u64, done: Done) -> Self {
        self.sent(at, Some(write), Some(write), done)
    }

    fn sent(self, at: u64, write: Option<u64>, seq: Option<u64>, done: Done) -> Self {
        let key = format!("key-{}", write.or(seq).unwrap_or(0));
        let (object, idempotency_key) = (OBJECT.to_owned(), Some(key));
        self.at(at, at, Happened::Delivered { object, write, seq, idempotency_key, done })
    }

    fn dead(self, at: u64, write: u64) -> Self {
        let (object, id) = (OBJECT.to_owned(), format!("write-{write}"));
        self.at(at, at, Happened::Dead { object, id, seq: Some(write) })
    }

    fn forgot(self, started: u64, ended: u64) -> Self {
        self.at(started, ended, Happened::Forgot)
    }

    fn drained(self, at: u64) -> Self {
        self.at(at, at, Happened::Drained)
    }

    fn read(self, started: u64, write: u64) -> Self {
        self.outcome(started, Floor::None, value(write))
    }

    fn absent(self, started: u64) -> Self {
        self.outcome(started, Floor::Strict, Outcome::Absent { leased: false })
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

    fn writes(&self) -> Writes {
        self.verdict().figures.writes
    }
}

fn accepted(write: u64) -> Answer {
    let (log_id, id) = (format!("{write}-0"), Some(format!("write-{write}")));
    Answer::Accepted(Accepted { log_id, id, durability: Some("memory".to_owned()), everywhere: false })
}

/// What `through` and `invalidate` answer: the log id is that of the end.
fn done(log_id: u64) -> Answer {
    Answer::Accepted(Accepted {
        log_id: format!("{log_id}-0"),
        id: None,
        durability: None,
        everywhere: false,
    })
}

fn value(write: u64) -> Outcome {
    Outcome::Value { version: write, via: "l1".to_owned(), stale: false, available: false }
}

#[test]
fn what_was_acknowledged_is_at_the_origin_in_the_end() {
    let taken = || Made::new().behind(100, 1);
    assert_eq!(taken().delivered(200, 1, Done::Applied).drained(300).broken(), []);
    assert_eq!(taken().drained(300).broken(), [Promise::Kept]);
    assert_eq!(taken().delivered(200, 1, Done::Failed).drained(300).broken(), [Promise::Kept]);
    assert_eq!(taken().broken(), [], "it may still be on its way");
}

#[test]
fn a_newer_write_takes_the_place_of_an_older_one_but_not_of_itself_and_not_before_it() {
    let two = || Made::new().behind(100, 1).behind(120, 2);
    assert_eq!(two().delivered(200, 2, Done::Applied).drained(300).broken(), []);
    assert_eq!(two().delivered(200, 1, Done::Applied).drained(300).broken(), [Promise::Kept]);
    let late = two().delivered(200, 2, Done::Applied).delivered(210, 1, Done::Superseded).drained(300);
    assert_eq!(late.broken(), []);
    let (coalesced, superseded) = (two().delivered(200, 2, Done::Applied).writes().coalesced, late.writes());
    assert_eq!((coalesced, superseded.coalesced, superseded.superseded), (1, 0, 1));
}

#[test]
fn a_write_whose_answer_was_lost_may_be_there_or_not() {
    let unknown = || Made::new().behind(100, 1).unknown(120, 2, Mode::Behind);
    assert_eq!(unknown().delivered(200, 1, Done::Applied).drained(300).broken(), []);
    assert_eq!(unknown().delivered(200, 2, Done::Applied).drained(300).broken(), []);
    assert_eq!(unknown().drained(300).broken(), [Promise::Kept], "it is no reason for another to be gone");
}

#[test]
fn a_dead_letter_is_no_lost_write_and_binds_no_reader() {
    let refused = || Made::new().behind(100, 1).behind(120, 2).delivered(200, 2, Done::Refused).dead(300, 2);
    let read = refused().drained(310).absent(320);
    assert_eq!(read.broken(), [], "what only a dead letter superseded is given up too");
    assert_eq!(read.writes().dead, 1);
    let applied = Made::new().behind(100, 1).delivered(115, 1, Done::Applied).behind(120, 2).dead(300, 2);
    assert_eq!(applied.drained(310).absent(320).broken(), [Promise::Strict]);
}

#[test]
fn a_dead_letter_whose_answer_was_lost_supersedes_as_well() {
    let both = Made::new().behind(100, 1).unknown(120, 2, Mode::Behind).delivered(200, 2, Done::Refused);
    assert_eq!(both.dead(300, 2).drained(310).broken(), []);
}

#[test]
fn writes_take_effect_in_the_order_in_which_they_were_taken() {
    let two = || Made::new().behind(100, 1).behind(120, 2);
    let good = two().delivered(200, 1, Done::Applied).delivered(210, 2, Done::Applied).drained(300);
    assert_eq!(good.broken(), []);
    let bad = two().delivered(200, 2, Done::Applied).delivered(210, 1, Done::Applied).drained(300);
    assert_eq!(bad.broken(), [Promise::Order]);
    // Without a fence it is known by what the client was told.
    let unfenced = two().sent(200, Some(2), None, Done::Applied).sent(210, Some(1), None, Done::Applied);
    assert_eq!(unfenced.broken(), [Promise::Order]);
}

#[test]
fn a_removal_is_in_the_order_too() {
    let two = || Made::new().removed(100, 1).behind(120, 2);
    let good = two().sent(200, None, Some(1), Done::Applied).delivered(210, 2, Done::Applied).drained(300);
    assert_eq!(good.broken(), []);
    let bad = two().delivered(200, 2, Done::Applied).sent(210, None, Some(1), Done::Applied).drained(300);
    assert_eq!(bad.broken(), [Promise::Order]);
    assert_eq!(Made::new().removed(100, 1).drained(300).broken(), [Promise::Kept]);
}

#[test]
fn no_write_takes_effect_again_after_another() {
    let one = || Made::new().behind(100, 1).behind(120, 2).delivered(200, 1, Done::Applied);
    let repeated = one().delivered(205, 1, Done::Repeated).delivered(210, 2, Done::Applied).drained(300);
    assert_eq!((repeated.broken(), repeated.writes().repeated), (vec![], 1));
    let again = one().delivered(210, 2, Done::Applied).delivered(220, 1, Done::Applied).drained(300);
    assert_eq!(again.broken(), [Promise::Once]);
    let of_another = one().at(
        210,
        210,
        Happened::Delivered {
            object: OBJECT.to_owned(),
            write: Some(2),
            seq: Some(2),
            idempotency_key: Some("key-1".to_owned()),
            done: Done::Applied,
        },
    );
    assert_eq!(of_another.broken(), [Promise::Once]);
}

#[test]
fn a_fence_is_that_of_the_acknowledgement_and_grows() {
    let other = Made::new().behind(100, 1).sent(200, Some(1), Some(7), Done::Applied);
    assert_eq!(other.broken(), [Promise::Order]);
    let back = Made::new().behind(100, 2).behind(120, 1).delivered(200, 2, Done::Applied);
    assert_eq!(back.broken(), [Promise::Order], "it was begun after the other was acknowledged");
    // Side by side either may be the later one.
    let beside = Made::new().behind(100, 2).behind(105, 1).delivered(200, 2, Done::Applied);
    assert_eq!(beside.drained(300).broken(), []);
}

#[test]
fn whoever_names_a_write_reads_nothing_older_at_once_and_all_others_after_d() {
    let two = || Made::new().behind(100, 1).behind(120, 2);
    assert_eq!(two().outcome(131, Floor::Write(2), value(2)).broken(), []);
    assert_eq!(two().outcome(131, Floor::Write(2), value(1)).broken(), [Promise::OwnWrites]);
    assert_eq!(two().outcome(131, Floor::Strict, value(1)).broken(), [Promise::Strict]);
    assert_eq!(two().read(130 + D, 1).broken(), []);
    assert_eq!(two().read(131 + D, 1).broken(), [Promise::Staleness]);
    assert_eq!(two().read(131 + D, 2).broken(), []);
    assert_eq!(two().read(131, 3).broken(), [Promise::Fabrication]);
}

#[test]
fn after_a_removal_there_is_nothing_and_before_it_there_is_something() {
    let taken = || Made::new().behind(100, 1);
    assert_eq!(taken().absent(111).broken(), [Promise::Strict]);
    assert_eq!(taken().removed(120, 2).absent(131).broken(), []);
    let read = taken().removed(120, 2).outcome(131, Floor::Strict, value(1));
    assert_eq!(read.broken(), [Promise::Strict]);
}

#[test]
fn what_the_server_forgot_is_not_asked_for_and_what_was_written_before_is() {
    let gone = Made::new().behind(100, 1).forgot(200, 210).outcome(220, Floor::Strict, value(1)).absent(230);
    let gone = gone.drained(300);
    assert_eq!((gone.broken(), gone.writes().forgotten), (vec![], 1));
    let written = || Made::new().behind(100, 1).delivered(150, 1, Done::Applied).forgot(200, 210);
    assert_eq!(written().absent(230).broken(), [Promise::Strict]);
    let after = || Made::new().behind(100, 1).forgot(200, 210).behind(220, 2);
    assert_eq!(after().drained(300).broken(), [Promise::Kept], "it was taken later");
    assert_eq!(after().absent(240).broken(), [Promise::Strict]);
}

#[test]
fn a_dead_letter_may_be_forgotten_too() {
    let refused = || Made::new().behind(100, 1).delivered(150, 1, Done::Refused);
    assert_eq!(refused().absent(160).forgot(200, 210).broken(), []);
    let gone = refused().forgot(200, 210).drained(300);
    assert_eq!((gone.broken(), gone.writes().forgotten), (vec![], 1));
    assert_eq!(refused().drained(300).broken(), [Promise::Kept]);
}

#[test]
fn what_is_answered_200_is_at_the_origin_before() {
    for mode in [Mode::Through, Mode::Invalidate] {
        let wrote = |made: Made| made.wrote(100, 200, 1, true, mode, done(9));
        assert_eq!(wrote(Made::new().sent(150, Some(1), Some(5), Done::Applied)).broken(), []);
        assert_eq!(wrote(Made::new().sent(150, Some(1), Some(5), Done::Superseded)).broken(), []);
        assert_eq!(wrote(Made::new()).broken(), [Promise::Kept]);
        let removed = |made: Made| made.wrote(100, 200, 1, false, mode, done(9));
        assert_eq!(removed(Made::new().sent(150, None, Some(5), Done::Applied)).broken(), []);
        assert_eq!(removed(Made::new().sent(50, None, Some(5), Done::Applied)).broken(), [Promise::Kept]);
    }
}

#[test]
fn of_two_removals_side_by_side_either_may_be_the_last() {
    let sent = Made::new()
        .sent(110, None, Some(5), Done::Applied)
        .sent(120, Some(1), Some(6), Done::Applied)
        .sent(130, None, Some(7), Done::Applied);
    let wrote = |made: Made, write, put| made.wrote(100, 150, write, put, Mode::Invalidate, done(9));
    let all = wrote(wrote(wrote(sent, 2, false), 3, false), 1, true);
    assert_eq!(all.absent(151 + D).broken(), []);
}

#[test]
fn of_two_writers_the_loser_is_in_no_cache() {
    let two = || {
        let sent = Made::new().sent(110, Some(2), Some(6), Done::Applied).sent(
            120,
            Some(1),
            Some(5),
            Done::Superseded,
        );
        sent.wrote(100, 150, 1, true, Mode::Through, done(8)).wrote(100, 160, 2, true, Mode::Through, done(9))
    };
    assert_eq!(two().read(161 + D, 2).broken(), []);
    assert_eq!(two().read(161 + D, 1).broken(), [Promise::Staleness]);
    assert_eq!(two().outcome(161, Floor::Write(1), value(2)).broken(), []);
}

#[test]
fn when_all_is_quiet_everybody_answers_as_the_origin_does() {
    let quiet = || {
        let unknown = Made::new().unknown(100, 1, Mode::Through).sent(115, Some(1), Some(5), Done::Applied);
        unknown.at(500, 500, Happened::Settled)
    };
    assert_eq!(quiet().read(600, 1).broken(), []);
    assert_eq!(quiet().absent(600).broken(), [Promise::Convergence]);
    let failed = || quiet().outcome(600, Floor::None, Outcome::Failed { hung: true });
    assert_eq!(failed().broken(), [Promise::Convergence]);
    assert_eq!(failed().read(620, 1).broken(), []);
}

#[test]
fn figures_are_those_of_the_history() {
    let made = Made::new().behind(100, 1).behind(120, 2).unknown(140, 3, Mode::Through);
    let made = made.delivered(200, 2, Done::Applied).at(300, 420, Happened::Drained);
    let writes = made.writes();
    assert_eq!(writes.asked[&Mode::Behind], (2, 2));
    assert_eq!(writes.asked[&Mode::Through], (1, 0));
    assert_eq!((writes.applied, writes.coalesced, writes.lost), (1, 1, 0));
    assert_eq!(writes.drained.quantile(1000), 120);
}
