//! What is written can be read again.

use super::{
    Accepted, Acknowledged, Answer, Done, Floor, Happened, History, Mode, Outcome, Record, Versions, Way,
};

fn one_of_each() -> Vec<Happened> {
    let object = || "users/1".to_owned();
    let id = || "1-1".to_owned();
    let acknowledged = [
        Acknowledged::Unknown,
        Acknowledged::Durable,
        Acknowledged::Logged { id: id() },
        Acknowledged::Everywhere { id: id(), early: true },
    ];
    let outcomes = [
        Outcome::Value { version: 1, via: "l1".to_owned(), stale: false, available: false },
        Outcome::Absent { leased: true },
        Outcome::Refused { status: 503, code: "unavailable".to_owned() },
        Outcome::Failed { hung: false },
    ];
    let mut all = vec![
        Happened::Promise { max_staleness: 1, seed: 2 },
        Happened::Commit { object: object(), version: 1 },
        Happened::Load { object: object(), version: None },
        Happened::Logged { event: 1 },
        Happened::Store { instance: "inst-0".to_owned(), object: object(), version: 1, stored: None },
        Happened::Fault { fault: "kill".to_owned(), target: "inst-0".to_owned(), recovered: Some(1) },
        Happened::Settled,
        Happened::Written { space: "users".to_owned() },
        Happened::Delivered {
            object: object(),
            write: Some(1),
            seq: Some(2),
            idempotency_key: Some("key".to_owned()),
            done: Done::Applied,
        },
        Happened::Dead { object: object(), id: id(), seq: None },
        Happened::Forgot,
        Happened::Drained,
    ];
    let accepted =
        Accepted { log_id: id(), id: Some(id()), durability: Some("memory".to_owned()), everywhere: false };
    let answers = [Answer::Unknown { status: 0, code: String::new() }, Answer::Accepted(accepted)];
    all.extend(answers.map(|answer| Happened::Write {
        write: 1,
        object: object(),
        put: true,
        mode: Mode::Behind,
        instance: "inst-0".to_owned(),
        answer,
    }));
    all.extend(acknowledged.map(|acknowledged| Happened::Invalidate {
        event: 1,
        way: Way::Http,
        covers: Versions::from([(object(), 1)]),
        soft: false,
        acknowledged,
    }));
    all.extend(outcomes.map(|outcome| Happened::Read {
        instance: "inst-0".to_owned(),
        object: object(),
        floor: Floor::Event(1),
        outcome,
    }));
    all
}

#[test]
fn a_history_is_read_as_it_was_written() {
    let dir = tempfile::tempdir().expect("a temporary folder can be made");
    let file = dir.path().join("history.jsonl");
    let history = History::begin_in(&file);
    for happened in one_of_each() {
        history.record(history.now(), happened);
    }
    let written = history.finish();
    let lines = std::fs::read_to_string(&file).expect("the history is there");
    let read: Vec<Record> =
        lines.lines().map(|line| serde_json::from_str(line).expect("a line is a record")).collect();
    assert_eq!(read, written);
    assert_eq!(written.into_iter().map(|record| record.happened).collect::<Vec<_>>(), one_of_each());
}

#[test]
fn records_are_in_the_order_of_their_ends() {
    let history = History::begin();
    let first = history.now();
    let second = history.now();
    history.record(second, Happened::Settled);
    history.record(first, Happened::Settled);
    let written = history.finish();
    assert!(written.is_sorted_by_key(|record| record.ended), "{written:?}");
}
