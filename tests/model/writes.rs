//! Writes in a history: what may be asked about them and of their queues, spelt out, and what others do to the queues.

use std::time::Duration;

use coherd::backend::{
    Along, Durability, EntryId, Leave, Line, LoadId, Look, Partition, Publication, Settled, Take,
};
use coherd::model::{Seq, Target};
use proptest::prelude::*;
use proptest::sample::Index;

use super::command::Command;
use super::resolve::{Past, entries_of, entry_of, event_of, load, named, put_of};
use super::steps::{ENTRIES, EventAs, PutAs, SeqAs, UNIT, Who, cursor, event, known, put};

/// How many queues a history is about.
pub(crate) const PARTITIONS: Partition = 2;
/// Of the lines that were taken, those that are likely to be there still.
const RECENT: usize = 6;

/// What may be asked.
#[derive(Clone, Debug)]
pub(crate) enum WriteAsk {
    /// An event about an entry's key, and what goes along with it.
    Publish {
        entry: usize,
        along: AlongAs,
        event: EventAs,
        drops: bool,
        known: SeqAs,
        after: SeqAs,
    },
    /// The end of one of the quarantines that were begun, held or not.
    End {
        held: Index,
        put: Option<PutAs>,
        written: bool,
    },
    Take {
        partition: Partition,
        worker: Who,
        consumer: Who,
        lease: u64,
        pause_max: u64,
        idle: u64,
        adopt: bool,
        max: usize,
    },
    /// The value of one of the lines that were taken.
    Value {
        line: Index,
    },
    /// What became of one or two of the lines that were taken.
    Settle {
        lines: Vec<(Index, SettledAs)>,
    },
    Leave {
        partition: Partition,
        worker: Who,
        to: Option<(Who, u64)>,
    },
    Look {
        worker: Who,
        gone: u64,
    },
    DropDead {
        letters: Vec<Index>,
    },
}

/// What goes along with an event.
#[derive(Clone, Debug)]
pub(crate) enum AlongAs {
    Quarantine { who: Who, hold: u64 },
    Ended { who: Who, put: Option<PutAs>, written: Option<SeqAs> },
    Pending { who: Who, put: PutAs, partition: Partition, backlog_max: u64 },
}

/// What became of a write.
#[derive(Clone, Debug)]
pub(crate) enum SettledAs {
    Flushed { event: bool },
    Outdone,
    Parked { pause: u64, counts: bool },
    Dead { max: u64, pause: u64 },
}

/// What others do to the queues.
#[derive(Clone, Debug)]
pub(crate) enum QueueVandal {
    DropQueue(Partition),
    JunkQueue(Partition),
    DropGroup(Partition),
    DropParked(Partition),
    JunkParked(Partition),
    DropOwner(Partition),
    JunkOwner(Partition),
    DropLetters,
    JunkLetters,
    DropWorkers,
    JunkWorkers,
}

impl Past {
    /// The command, if there is anything for it to speak of.
    pub(crate) fn resolve_write(&self, ask: WriteAsk) -> Option<Command> {
        Some(match ask {
            WriteAsk::Publish { entry, along, event, drops, known, after } => {
                let (entry, mut event) = (entry_of(entry), event_of(&event));
                event.targets.insert(0, Target::Key(entry.namespace.clone(), entry.key.clone()));
                let entries = if drops { entries_of(&event) } else { Vec::new() };
                let along = Some(self.along(along, entry));
                let (known, repeat_after) = (self.seq(&known), self.seq(&after));
                Command::Publish(Publication { event, entries, confirm: false, along, known, repeat_after })
            }
            WriteAsk::End { held, put, written } => {
                let (entry, load, seq) = chosen(held, &self.held)?;
                let event =
                    coherd::model::Event::hard(vec![Target::Key(entry.namespace.clone(), entry.key.clone())]);
                let entries = entries_of(&event);
                let along = Some(ended(entry, load, put, written.then_some(seq)));
                Command::Publish(Publication {
                    event,
                    entries,
                    confirm: false,
                    along,
                    known: 0,
                    repeat_after: 0,
                })
            }
            WriteAsk::Take { partition, worker, consumer, lease, pause_max, idle, adopt, max } => {
                Command::Take(Take {
                    partition,
                    worker: named(worker),
                    consumer: named(consumer),
                    lease: units(lease),
                    pause_max: units(pause_max),
                    idle: units(idle),
                    adopt,
                    max,
                })
            }
            WriteAsk::Value { line } => Command::Value(chosen(line, self.recent_lines())?.1),
            WriteAsk::Settle { lines } => {
                let recent = self.recent_lines();
                let settled = lines.into_iter().map(|(index, settled)| {
                    let (partition, line) = chosen(index, recent)?;
                    Some((partition, (line, settled_of(&settled))))
                });
                let settled: Vec<(Partition, (Line, Settled))> = settled.collect::<Option<_>>()?;
                // A worker speaks of the lines of its own queue.
                let partition = settled.first()?.0;
                let own = settled.into_iter().filter(|(of, _)| *of == partition).map(|(_, settled)| settled);
                Command::Settle(partition, own.collect())
            }
            WriteAsk::Leave { partition, worker, to } => {
                let to = to.map(|(to, lease)| (named(to), units(lease)));
                Command::Leave(Leave { partition, worker: named(worker), to })
            }
            WriteAsk::Look { worker, gone } => {
                Command::Survey(Look { beyond: 1, worker: named(worker), gone: units(gone) })
            }
            WriteAsk::DropDead { letters } => Command::DropDead(
                letters.iter().map(|index| chosen(*index, &self.letters)).collect::<Option<_>>()?,
            ),
        })
    }

    fn recent_lines(&self) -> &[(Partition, Line)] {
        &self.lines[self.lines.len().saturating_sub(RECENT)..]
    }

    fn along(&self, along: AlongAs, entry: EntryId) -> Along {
        match along {
            AlongAs::Quarantine { who, hold } => {
                Along::Quarantine { entry, load: load(who), hold: units(hold) }
            }
            AlongAs::Ended { who, put, written } => {
                ended(entry, load(who), put, written.map(|written| self.seq(&written)))
            }
            AlongAs::Pending { who, put, partition, backlog_max } => Along::Pending {
                entry,
                load: load(who),
                put: put_of(&put),
                partition,
                backlog_max,
                wanted: Durability::Memory,
            },
        }
    }
}

fn ended(entry: EntryId, load: LoadId, put: Option<PutAs>, written: Option<Seq>) -> Along {
    Along::Ended { entry, load, put: put.map(|put| put_of(&put)), written }
}

fn settled_of(settled: &SettledAs) -> Settled {
    let error = format!("{settled:?}");
    match *settled {
        SettledAs::Flushed { event } => Settled::Flushed { event },
        SettledAs::Outdone => Settled::Outdone,
        SettledAs::Parked { pause, counts } => Settled::Parked { pause: units(pause), counts, error },
        SettledAs::Dead { max, pause } => Settled::Dead { max, pause: units(pause), error },
    }
}

/// Any of them.
pub(crate) fn ask() -> impl Strategy<Value = WriteAsk> {
    let along = prop_oneof![
        2 => (who(), 1..4_u64).prop_map(|(who, hold)| AlongAs::Quarantine { who, hold }),
        1 => (who(), prop::option::of(put()), prop::option::of(cursor()))
            .prop_map(|(who, put, written)| AlongAs::Ended { who, put, written }),
        5 => (who(), put(), partition(), prop_oneof![9 => Just(100_u64), 1 => 0..4_u64]).prop_map(
            |(who, put, partition, backlog_max)| AlongAs::Pending { who, put, partition, backlog_max }
        ),
    ];
    let settle = prop::collection::vec((any::<Index>(), settled()), 1..3);
    prop_oneof![
        10 => (0..ENTRIES, along, few_targets(), any::<bool>(), known(), cursor())
            .prop_map(|(entry, along, event, drops, known, after)| {
                WriteAsk::Publish { entry, along, event, drops, known, after }
            }),
        2 => (any::<Index>(), prop::option::weighted(0.8, put()), any::<bool>())
            .prop_map(|(held, put, written)| WriteAsk::End { held, put, written }),
        9 => take(),
        3 => any::<Index>().prop_map(|line| WriteAsk::Value { line }),
        9 => settle.prop_map(|lines| WriteAsk::Settle { lines }),
        1 => (partition(), who(), prop::option::of((who(), 1..4_u64)))
            .prop_map(|(partition, worker, to)| WriteAsk::Leave { partition, worker, to }),
        1 => (who(), 1..4_u64).prop_map(|(worker, gone)| WriteAsk::Look { worker, gone }),
        1 => prop::collection::vec(any::<Index>(), 1..3).prop_map(|letters| WriteAsk::DropDead { letters }),
    ]
}

fn take() -> impl Strategy<Value = WriteAsk> {
    let max = prop_oneof![3 => Just(100_usize), 2 => 0..4_usize];
    // Mostly the same worker: another one has to wait for the end of its lease.
    let worker = prop_oneof![4 => Just(0), 1 => who()];
    let pause_max = prop_oneof![1 => 2..4_u64, 2 => Just(1000)];
    let times = (1..4_u64, pause_max, 0..3_u64);
    (partition(), worker, who(), times, any::<bool>(), max).prop_map(
        |(partition, worker, consumer, (lease, pause_max, idle), adopt, max)| WriteAsk::Take {
            partition,
            worker,
            consumer,
            lease,
            pause_max,
            idle,
            adopt,
            max,
        },
    )
}

fn settled() -> impl Strategy<Value = SettledAs> {
    prop_oneof![
        3 => any::<bool>().prop_map(|event| SettledAs::Flushed { event }),
        1 => Just(SettledAs::Outdone),
        4 => (0..3_u64, any::<bool>()).prop_map(|(pause, counts)| SettledAs::Parked { pause, counts }),
        2 => (0..4_u64, 0..3_u64).prop_map(|(max, pause)| SettledAs::Dead { max, pause }),
    ]
}

/// An event that is about little else.
fn few_targets() -> impl Strategy<Value = EventAs> {
    (event(), prop::bool::weighted(0.8), prop::bool::weighted(0.1)).prop_map(|(event, alone, soft)| {
        let targets = if alone { Vec::new() } else { event.targets };
        EventAs { targets, soft, ..event }
    })
}

/// Any harm that is done to the queues.
pub(crate) fn vandal() -> impl Strategy<Value = QueueVandal> {
    prop_oneof![
        partition().prop_map(QueueVandal::DropQueue),
        partition().prop_map(QueueVandal::JunkQueue),
        partition().prop_map(QueueVandal::DropGroup),
        partition().prop_map(QueueVandal::DropParked),
        partition().prop_map(QueueVandal::JunkParked),
        partition().prop_map(QueueVandal::DropOwner),
        partition().prop_map(QueueVandal::JunkOwner),
        Just(QueueVandal::DropLetters),
        Just(QueueVandal::JunkLetters),
        Just(QueueVandal::DropWorkers),
        Just(QueueVandal::JunkWorkers),
    ]
}

fn partition() -> impl Strategy<Value = Partition> {
    prop_oneof![4 => Just(0), 1 => 0..PARTITIONS]
}

fn who() -> std::ops::Range<Who> {
    0..3
}

fn units(count: u64) -> Duration {
    UNIT * u32::try_from(count).unwrap()
}

fn chosen<T: Clone>(index: Index, of: &[T]) -> Option<T> {
    (!of.is_empty()).then(|| index.get(of).clone())
}
