//! Writes to an origin: the quarantine of those that go through, and the queues of those that are behind.

use std::sync::Arc;
use std::time::Duration;

use coherd::backend::{
    Along, Backend, BackendError, Durability, EntryId, FillRefusal, Filled, Found, Leave, Line, Look,
    Pending, Publication, Published, Put, Settled, Settlement, Signal, Survey, Take, Taken,
};
use coherd::model::{Event, Seq, Target};

use super::fixture::Fixture;
use super::kit::{
    Standing, ask, claim, entry, fill, hard, home, key, lease, load, look, peek, publication, publish,
    standing, store, tag, tagged, two, value,
};

const HOLD: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_mins(1);
const PARTITION: u16 = 3;

fn event_of(entry: &EntryId) -> Event {
    hard(Target::Key(entry.namespace.clone(), entry.key.clone()))
}

async fn along(backend: &Arc<dyn Backend>, along: Along) -> Published {
    let publication = Publication { along: Some(along.clone()), ..publication(event_of(along.entry())) };
    backend.publish(home(backend), publication).await.unwrap()
}

fn behind(key: &str, by: &str, put: Put) -> Along {
    Along::Pending {
        entry: entry(key),
        load: load(by),
        put,
        partition: PARTITION,
        backlog_max: 1000,
        wanted: Durability::Memory,
    }
}

async fn put(backend: &Arc<dyn Backend>, key: &str, text: &str) -> Seq {
    along(backend, behind(key, text, value(text))).await.token.seq
}

fn wish(worker: &str) -> Take {
    Take {
        partition: PARTITION,
        worker: worker.to_owned(),
        consumer: worker.to_owned(),
        lease: HOLD,
        pause_max: Duration::from_hours(1),
        idle: HOLD,
        adopt: true,
        max: 100,
    }
}

fn leave(worker: &str, to: Option<&str>) -> Leave {
    Leave { partition: PARTITION, worker: worker.to_owned(), to: to.map(|to| (to.to_owned(), HOLD)) }
}

async fn survey(backend: &Arc<dyn Backend>, worker: &str, beyond: u16) -> Survey {
    let look = Look { beyond, worker: worker.to_owned(), gone: HOLD };
    backend.survey(home(backend), look).await.unwrap()
}

async fn take(backend: &Arc<dyn Backend>, take: Take) -> Vec<Pending> {
    match backend.take_writes(home(backend), take).await.unwrap() {
        Taken::Own { writes, .. } => writes,
        other @ Taken::Other { .. } => panic!("{other:?}"),
    }
}

/// The value of a write that was taken, if it still waits.
async fn value_of(backend: &Arc<dyn Backend>, line: &Line) -> Option<String> {
    let envelope = backend.value_of_write(home(backend), line).await.unwrap()?;
    Some(std::str::from_utf8(&envelope).unwrap().to_owned())
}

async fn texts(backend: &Arc<dyn Backend>, writes: &[Pending]) -> Vec<String> {
    let mut texts = Vec::new();
    for write in writes {
        texts.push(value_of(backend, &write.line).await.expect("it waits still"));
    }
    texts
}

async fn settle(backend: &Arc<dyn Backend>, line: &Line, settled: Settled) -> Settlement {
    let settled =
        backend.settle_writes(home(backend), PARTITION, vec![(line.clone(), settled)]).await.unwrap();
    settled[0]
}

fn parked(pause: Duration, counts: bool) -> Settled {
    Settled::Parked { pause, counts, error: "no".to_owned() }
}

async fn begin(backend: &Arc<dyn Backend>, by: &str) -> Seq {
    let quarantine = Along::Quarantine { entry: entry("1"), load: load(by), hold: HOLD };
    along(backend, quarantine).await.token.seq
}

async fn end(backend: &Arc<dyn Backend>, by: &str, put: Option<Put>, written: Option<Seq>) -> bool {
    along(backend, Along::Ended { entry: entry("1"), load: load(by), put, written }).await.stored
}

pub(crate) async fn a_write_through_keeps_fills_out_until_its_value_is_stored<F: Fixture>() {
    let it = two::<F>().await;
    let old = lease(&it.a, &entry("1"), "reader").await;
    let seq = begin(&it.b, "w").await;
    assert_eq!(
        fill(&it.a, &entry("1"), "reader", old, value("old")).await,
        Filled::Refused(FillRefusal::LeaseLost)
    );
    let Found::Busy { stale: None, .. } = ask(&it.a, &entry("1"), claim("reader")).await else { panic!() };
    assert!(end(&it.b, "w", Some(value("new")), Some(seq)).await);
    let Found::Fresh(stored) = look(&it.a, &entry("1")).await else { panic!("not stored") };
    assert_eq!(&stored.envelope[..], b"new");
}

pub(crate) async fn of_two_writers_at_once_neither_leaves_its_value<F: Fixture>() {
    let it = two::<F>().await;
    for first_ends_first in [true, false] {
        let first = begin(&it.a, "first").await;
        let second = begin(&it.b, "second").await;
        let ends = [("first", first), ("second", second)];
        for at in if first_ends_first { [0, 1] } else { [1, 0] } {
            let (by, seq) = ends[at];
            assert!(!end(&it.a, by, Some(value(by)), Some(seq)).await, "{by}");
            assert_eq!(standing(&it.a, &entry("1")).await, Standing::Gone);
        }
    }
    // One alone leaves its own again.
    let seq = begin(&it.a, "third").await;
    assert!(end(&it.a, "third", Some(value("third")), Some(seq)).await);
}

pub(crate) async fn an_event_during_a_write_through_keeps_its_value_out<F: Fixture>() {
    let it = two::<F>().await;
    let seq = begin(&it.a, "w").await;
    publish(&it.b, hard(key("1"))).await;
    assert!(!end(&it.a, "w", Some(value("new")), Some(seq)).await);
    assert_eq!(standing(&it.a, &entry("1")).await, Standing::Gone);
}

pub(crate) async fn a_write_through_takes_the_place_of_an_older_pending_one_if_it_succeeds<F: Fixture>() {
    let it = two::<F>().await;
    let pending = put(&it.a, "1", "pending").await;
    let seq = begin(&it.b, "w").await;
    assert!(pending < seq);
    // Until the origin has the new one, everybody answers with the one that was acknowledged.
    assert_eq!(standing(&it.a, &entry("1")).await, Standing::Fresh);
    assert!(!end(&it.b, "w", None, None).await);
    assert_eq!(peek(&it.a, &entry("1")).await.unwrap().dirty, Some(pending));
    let seq = begin(&it.b, "w").await;
    assert!(end(&it.b, "w", Some(value("new")), Some(seq)).await);
    assert_eq!(peek(&it.a, &entry("1")).await.unwrap().dirty, None);
    assert_eq!(texts(&it.a, &take(&it.a, wish("a")).await).await, [""; 0]);

    // One that came later is newer.
    let seq = begin(&it.b, "w").await;
    let pending = put(&it.a, "1", "later").await;
    assert!(!end(&it.b, "w", Some(value("new")), Some(seq)).await);
    assert_eq!(peek(&it.a, &entry("1")).await.unwrap().dirty, Some(pending));
}

pub(crate) async fn a_write_behind_is_answered_by_all_until_the_origin_has_it<F: Fixture>() {
    let it = two::<F>().await;
    let old = lease(&it.b, &entry("1"), "reader").await;
    let seq = put(&it.a, "1", "new").await;
    assert_eq!(
        fill(&it.b, &entry("1"), "reader", old, value("old")).await,
        Filled::Refused(FillRefusal::LeaseLost)
    );
    let Found::Fresh(stored) = look(&it.b, &entry("1")).await else { panic!("not there") };
    assert_eq!((stored.dirty, &stored.envelope[..]), (Some(seq), &b"new"[..]));
    // An event about it waits.
    assert!(publish(&it.b, hard(key("1"))).await.deferred);
    assert!(!publish(&it.b, hard(key("2"))).await.deferred);
    assert_eq!(standing(&it.b, &entry("1")).await, Standing::Fresh);

    let writes = take(&it.a, wish("a")).await;
    assert_eq!(texts(&it.a, &writes).await, ["new"]);
    assert_eq!((writes[0].line.seq, writes[0].attempts), (seq, 0));
    assert_eq!(settle(&it.a, &writes[0].line, Settled::Flushed { event: false }).await, Settlement::Done);
    assert_eq!(standing(&it.b, &entry("1")).await, Standing::Gone, "the event that waited");
    assert_eq!(value_of(&it.b, &writes[0].line).await, None, "it is done with");
    assert_eq!(survey(&it.a, "a", 0).await.backlog.pending, 0);
}

pub(crate) async fn what_was_flushed_is_a_copy_like_any_other<F: Fixture>() {
    let it = two::<F>().await;
    along(&it.a, behind("1", "w", tagged("new", &["t"]))).await;
    let writes = take(&it.a, wish("a")).await;
    settle(&it.a, &writes[0].line, Settled::Flushed { event: false }).await;
    let Found::Fresh(stored) = look(&it.b, &entry("1")).await else { panic!("not there") };
    assert_eq!((stored.dirty, &stored.envelope[..]), (None, &b"new"[..]));
    publish(&it.b, hard(tag("t"))).await;
    assert_eq!(standing(&it.b, &entry("1")).await, Standing::Gone);

    // With an event of its own it is as new as that.
    let seq = put(&it.a, "2", "two").await;
    let writes = take(&it.a, wish("a")).await;
    settle(&it.a, &writes[0].line, Settled::Flushed { event: true }).await;
    let stored = peek(&it.b, &entry("2")).await.unwrap();
    assert!(seq < stored.token.seq && standing(&it.b, &entry("2")).await == Standing::Fresh);

    // What is not to be kept is gone.
    along(&it.a, behind("3", "w", Put { kept: Duration::ZERO, ..value("three") })).await;
    let writes = take(&it.a, wish("a")).await;
    settle(&it.a, &writes[0].line, Settled::Flushed { event: false }).await;
    assert_eq!(standing(&it.b, &entry("3")).await, Standing::Gone);
}

pub(crate) async fn a_newer_write_supersedes_an_older_one<F: Fixture>() {
    let it = two::<F>().await;
    put(&it.a, "1", "one").await;
    let first = take(&it.a, wish("a")).await;
    let second = put(&it.b, "1", "two").await;
    put(&it.b, "2", "other").await;
    // While the first is in hand: its end does not make the second clean.
    assert_eq!(value_of(&it.b, &first[0].line).await, None, "the newer one has its place");
    for settled in [Settled::Flushed { event: true }, Settled::Outdone, parked(PAUSE, true)] {
        assert_eq!(settle(&it.a, &first[0].line, settled).await, Settlement::Superseded);
    }
    assert_eq!(peek(&it.a, &entry("1")).await.unwrap().dirty, Some(second));
    put(&it.b, "1", "three").await;
    let Taken::Own { writes, superseded, more, due } =
        it.a.take_writes(home(&it.a), wish("a")).await.unwrap()
    else {
        panic!("another's")
    };
    assert_eq!(texts(&it.a, &writes).await, ["other", "three"]);
    assert_eq!((superseded, more, due), (1, false, None));
    assert_eq!(survey(&it.a, "a", 0).await.backlog.pending, 2);
}

pub(crate) async fn a_parked_write_waits_and_its_neighbours_do_not<F: Fixture>() {
    let it = two::<F>().await;
    put(&it.a, "1", "one").await;
    put(&it.a, "2", "two").await;
    let writes = take(&it.a, wish("a")).await;
    assert_eq!(settle(&it.a, &writes[0].line, parked(PAUSE, true)).await, Settlement::Done);
    settle(&it.a, &writes[1].line, Settled::Flushed { event: false }).await;
    put(&it.a, "3", "three").await;
    assert_eq!(texts(&it.a, &take(&it.a, wish("a")).await).await, ["three"]);
    let waiting = it.b.waiting_writes(home(&it.b), PARTITION, 10).await.unwrap();
    let one = waiting.iter().find(|it| it.line.entry == entry("1")).unwrap();
    assert_eq!((waiting.len(), one.attempts, one.error.as_deref()), (2, 1, Some("no")));
    assert!(one.due.is_some_and(|due| due <= PAUSE));

    // A newer write of the key waits with it, and is tried in its place.
    put(&it.b, "1", "newer").await;
    assert_eq!(texts(&it.a, &take(&it.a, wish("a")).await).await, [""; 0]);
    assert_eq!(survey(&it.a, "a", 0).await.backlog.pending, 2);
    let waiting = it.b.waiting_writes(home(&it.b), PARTITION, 10).await.unwrap();
    let one = waiting.iter().find(|it| it.line.entry == entry("1")).unwrap();
    assert!(one.due.is_some_and(|due| Duration::ZERO < due) && one.attempts == 0, "{one:?}");

    // Nobody parks for so long: the clock has gone back since.
    let impatient = Take { pause_max: PAUSE / 2, ..wish("a") };
    assert_eq!(texts(&it.a, &take(&it.a, impatient).await).await, ["newer"]);
}

pub(crate) async fn a_parked_write_comes_again_when_it_is_due<F: Fixture>() {
    let it = two::<F>().await;
    put(&it.a, "1", "one").await;
    let writes = take(&it.a, wish("a")).await;
    settle(&it.a, &writes[0].line, parked(Duration::ZERO, true)).await;
    put(&it.a, "1", "two").await;
    let again = take(&it.a, wish("a")).await;
    assert_eq!((texts(&it.a, &again).await[0].as_str(), again[0].attempts), ("two", 0));
    settle(&it.a, &again[0].line, parked(Duration::ZERO, false)).await;
    let again = take(&it.a, wish("a")).await;
    assert_eq!(again[0].attempts, 0, "the origin was not asked");
    settle(&it.a, &again[0].line, parked(Duration::ZERO, true)).await;
    let again = take(&it.a, wish("a")).await;
    assert_eq!(again[0].attempts, 1);
    // In hand it is not due, until whoever has it has had it for too long.
    assert_eq!(texts(&it.a, &take(&it.a, wish("a")).await).await, [""; 0]);
    settle(&it.a, &again[0].line, parked(Duration::ZERO, true)).await;
    let brief = Take { idle: Duration::ZERO, ..wish("a") };
    assert_eq!(texts(&it.a, &take(&it.a, brief).await).await, ["two"]);
    assert_eq!(texts(&it.a, &take(&it.a, wish("a")).await).await, ["two"]);
}

pub(crate) async fn what_a_dead_worker_took_is_taken_over<F: Fixture>() {
    let it = two::<F>().await;
    put(&it.a, "1", "one").await;
    let brief = Take { lease: Duration::from_millis(1), ..wish("dead") };
    assert_eq!(texts(&it.a, &take(&it.a, brief).await).await, ["one"]);
    let idle = Take { idle: Duration::ZERO, ..wish("b") };
    let writes = loop {
        match it.b.take_writes(home(&it.b), idle.clone()).await.unwrap() {
            Taken::Own { writes, .. } => break writes,
            Taken::Other { left } => assert!(left <= Duration::from_millis(1)),
        }
    };
    assert_eq!(texts(&it.a, &writes).await, ["one"]);
    // The dead one's word still counts if it comes: the write is at the origin.
    assert_eq!(settle(&it.a, &writes[0].line, Settled::Flushed { event: false }).await, Settlement::Done);
    assert_eq!(
        settle(&it.b, &writes[0].line, Settled::Flushed { event: false }).await,
        Settlement::Superseded
    );
}

pub(crate) async fn a_queue_has_one_owner_until_it_is_given_up<F: Fixture>() {
    let it = two::<F>().await;
    take(&it.a, wish("a")).await;
    let Taken::Other { left } = it.b.take_writes(home(&it.b), wish("b")).await.unwrap() else {
        panic!("two owners")
    };
    assert!(left <= HOLD && HOLD < left + Duration::from_secs(10));
    it.b.leave_writes(home(&it.b), leave("b", None)).await.unwrap();
    assert!(matches!(it.b.take_writes(home(&it.b), wish("b")).await.unwrap(), Taken::Other { .. }));
    let mut signals = it.b.subscribe().await.unwrap();
    it.a.leave_writes(home(&it.a), leave("a", None)).await.unwrap();
    assert_eq!(signals.next().await, Some(Signal::Work(home(&it.a), PARTITION)), "those who wait are told");
    take(&it.b, wish("b")).await;
}

pub(crate) async fn a_queue_is_handed_to_one_of_those_that_are_there<F: Fixture>() {
    let it = two::<F>().await;
    take(&it.a, wish("a")).await;
    assert_eq!(survey(&it.b, "b", 0).await.workers, ["b"]);
    assert_eq!(survey(&it.a, "a", 0).await.workers, ["a", "b"]);
    let mut signals = it.b.subscribe().await.unwrap();
    it.a.leave_writes(home(&it.a), leave("a", Some("b"))).await.unwrap();
    assert_eq!(signals.next().await, Some(Signal::Work(home(&it.a), PARTITION)), "it is told");
    assert!(matches!(it.a.take_writes(home(&it.a), wish("a")).await.unwrap(), Taken::Other { .. }));
    take(&it.b, wish("b")).await;
    it.b.leave_writes(home(&it.b), leave("b", None)).await.unwrap();
    assert_eq!(survey(&it.a, "a", 0).await.workers, ["a"], "whoever stops is not there");
    let hasty = Look { beyond: 0, worker: "c".to_owned(), gone: Duration::ZERO };
    assert_eq!(
        it.a.survey(home(&it.a), hasty).await.unwrap().workers,
        [""; 0],
        "nor who has not looked for long"
    );
    take(&it.a, wish("a")).await;
}

pub(crate) async fn a_worker_that_found_nothing_hears_of_the_next_write<F: Fixture>() {
    let it = two::<F>().await;
    let mut signals = it.a.subscribe().await.unwrap();
    take(&it.a, wish("a")).await;
    put(&it.b, "1", "one").await;
    put(&it.b, "2", "two").await;
    let mut told = 0;
    publish(&it.b, hard(tag("end"))).await;
    loop {
        match signals.next().await.unwrap() {
            Signal::Work(shard, partition) => {
                assert_eq!((shard, partition), (home(&it.a), PARTITION));
                told += 1;
            }
            Signal::Event { logged, .. } if logged.event.targets == [tag("end")] => break,
            _ => {}
        }
    }
    assert_eq!(told, 1, "once is enough");
}

pub(crate) async fn a_dead_write_is_dropped_with_an_event_and_kept_with_the_dead<F: Fixture>() {
    let it = two::<F>().await;
    let seq = put(&it.a, "1", "one").await;
    put(&it.a, "2", "two").await;
    let writes = take(&it.a, wish("a")).await;
    let dead = |max| Settled::Dead { max, pause: PAUSE, error: "never".to_owned() };
    let head = it.a.head(home(&it.a)).await.unwrap().seq;
    assert_eq!(settle(&it.a, &writes[0].line, dead(1)).await, Settlement::Done);
    assert_eq!(settle(&it.a, &writes[1].line, dead(1)).await, Settlement::Full);
    assert_eq!(it.a.head(home(&it.a)).await.unwrap().seq, head + 1);
    assert_eq!(standing(&it.b, &entry("1")).await, Standing::Gone);
    assert_eq!(standing(&it.b, &entry("2")).await, Standing::Fresh);
    let letters = it.b.dead_writes(home(&it.b), "", 10).await.unwrap();
    let letter = &letters[0];
    assert_eq!((letters.len(), letter.pending.line.seq, letter.error.as_str()), (1, seq, "never"));
    assert_eq!((&letter.envelope[..], letter.pending.attempts), (&b"one"[..], 1));
    assert_eq!(letter.pending.line.entry, entry("1"));
    assert_eq!(letter.pending.lineage, it.a.head(home(&it.a)).await.unwrap().lineage);
    assert!(it.b.dead_writes(home(&it.b), &letter.id, 10).await.unwrap().is_empty());
    let Survey { backlog, .. } = survey(&it.b, "b", 0).await;
    assert_eq!((backlog.pending, backlog.dead), (1, 1));
    assert_eq!(it.b.drop_dead(home(&it.b), std::slice::from_ref(&letter.id)).await.unwrap(), 1);
    assert_eq!(it.b.drop_dead(home(&it.b), std::slice::from_ref(&letter.id)).await.unwrap(), 0);
}

pub(crate) async fn what_the_origin_has_a_newer_one_of_is_dropped_with_an_event<F: Fixture>() {
    let it = two::<F>().await;
    let seq = put(&it.a, "1", "one").await;
    let writes = take(&it.a, wish("a")).await;
    assert_eq!(settle(&it.a, &writes[0].line, Settled::Outdone).await, Settlement::Done);
    assert_eq!(standing(&it.b, &entry("1")).await, Standing::Gone);
    assert!(seq < it.a.head(home(&it.a)).await.unwrap().seq);
}

pub(crate) async fn a_full_queue_takes_no_further_write<F: Fixture>() {
    let it = two::<F>().await;
    store(&it.a, &entry("3"), value("old")).await;
    for key in ["1", "2"] {
        put(&it.a, key, "v").await;
    }
    let head = it.a.head(home(&it.a)).await.unwrap();
    let Along::Pending { entry: at, load: by, put, partition, wanted, .. } = behind("3", "w", value("new"))
    else {
        unreachable!()
    };
    let full = Along::Pending { entry: at, load: by, put, partition, backlog_max: 2, wanted };
    let refused = Publication { along: Some(full), ..publication(hard(key("3"))) };
    assert!(matches!(it.a.publish(home(&it.a), refused).await, Err(BackendError::Full(2))));
    assert_eq!(it.a.head(home(&it.a)).await.unwrap(), head, "nothing took effect");
    assert_eq!(standing(&it.a, &entry("3")).await, Standing::Fresh);
}

pub(crate) async fn writes_outlive_a_lineage_and_queues_beyond_those_known_are_told_of<F: Fixture>() {
    let it = two::<F>().await;
    put(&it.a, "1", "one").await;
    it.fixture.end_lineage().await;
    assert_eq!(standing(&it.b, &entry("1")).await, Standing::Doubtful, "a newer one may have been lost");
    put(&it.a, "2", "two").await;
    assert_eq!(standing(&it.b, &entry("2")).await, Standing::Fresh);
    let Survey { backlog, beyond, .. } = survey(&it.b, "b", PARTITION).await;
    assert_eq!((backlog.pending, beyond), (2, vec![PARTITION]));
    assert!(backlog.oldest.is_some());
    assert_eq!(survey(&it.b, "b", PARTITION + 1).await.beyond, [0; 0]);
    let writes = take(&it.b, wish("b")).await;
    assert_eq!(texts(&it.a, &writes).await, ["one", "two"]);
    for write in &writes {
        assert_eq!(settle(&it.b, &write.line, Settled::Flushed { event: false }).await, Settlement::Done);
    }
    assert_eq!(standing(&it.a, &entry("1")).await, Standing::Gone, "of a lineage that ended");
    assert_eq!(standing(&it.a, &entry("2")).await, Standing::Fresh);
}

pub(crate) async fn no_more_is_taken_than_is_asked_for<F: Fixture>() {
    let it = two::<F>().await;
    for n in 0..20 {
        put(&it.a, &n.to_string(), "12345678").await;
    }
    let few = Take { max: 3, ..wish("a") };
    let Taken::Own { writes, more, .. } = it.a.take_writes(home(&it.a), few).await.unwrap() else { panic!() };
    assert_eq!((writes.len(), more), (3, true));
    assert_eq!(take(&it.a, wish("a")).await.len(), 17);
}
