//! What may happen in a history, in words that mean something on whatever the history has led to.

use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::writes::{self, QueueVandal, WriteAsk};

/// Time passes in units of this; every lifetime is a multiple of it.
pub(crate) const UNIT: Duration = Duration::from_secs(5);

/// How many entries a history is about.
pub(crate) const ENTRIES: usize = 4;

/// One step.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// An instance, or another system, asks for something.
    Ask(Ask),
    /// The very same command as one before is carried out again: a retry, or a copy that was under way for long.
    Again(Index),
    /// So many [`UNIT`]s pass.
    Pass(u64),
    /// Somebody does what nobody should.
    Vandal(Vandal),
}

/// A command that is yet to be spelt out.
#[derive(Clone, Debug)]
pub(crate) enum Ask {
    Lookup {
        entry: usize,
        claim: Option<(Who, u64, bool, Option<TokenAs>)>,
        have: Option<Who>,
    },
    /// Ends one of the leases that were given out, held or not.
    FillLeased {
        lease: Index,
        put: PutAs,
    },
    /// Whatever somebody might take for a load's end.
    Fill {
        entry: usize,
        who: Who,
        token: TokenAs,
        put: PutAs,
        leased: bool,
    },
    Release {
        entry: usize,
        who: Who,
    },
    Publish {
        event: EventAs,
        drops: bool,
        confirm: bool,
        value: Option<(usize, Who, PutAs)>,
        known: SeqAs,
        after: SeqAs,
    },
    Fcall {
        event: EventAs,
    },
    FcallWrong {
        fault: usize,
    },
    Beat {
        instance: Who,
        cursor: SeqAs,
        beats: u64,
        known: SeqAs,
    },
    Confirm {
        instance: Who,
        cursor: SeqAs,
    },
    Head,
    ReadLog {
        after: SeqAs,
        max: usize,
    },
    Members,
    /// A request of a caller that may send one in each unit, and so many at once.
    Admit {
        caller: Who,
        burst: u32,
    },
    Forget {
        instance: Who,
        beats: Option<u64>,
    },
    InboxAdd,
    InboxTake {
        consumer: Who,
        max: usize,
    },
    InboxAdopt {
        consumer: Who,
        max: usize,
        idle: u64,
    },
    InboxDone {
        taken: Vec<Index>,
    },
    Write(WriteAsk),
}

/// One of three loads, instances or consumers.
pub(crate) type Who = u8;

/// A token.
#[derive(Clone, Debug)]
pub(crate) enum TokenAs {
    /// Where the log stands.
    Head,
    /// One that was given out.
    Seen(Index),
    /// One that nobody was given yet.
    Beyond,
}

/// A number.
#[derive(Clone, Debug)]
pub(crate) enum SeqAs {
    Zero,
    /// So many before the head.
    Before(u64),
    /// So many after it.
    After(u64),
    /// Ahead of the server's clock, as seen by somebody whose server's clock was set back since.
    Ahead,
}

/// A value to store.
#[derive(Clone, Debug)]
pub(crate) struct PutAs {
    /// Which of [`super::resolve::names`] cover it.
    pub(crate) names: Vec<usize>,
    pub(crate) fresh: u64,
    pub(crate) kept: u64,
}

/// An event.
#[derive(Clone, Debug)]
pub(crate) struct EventAs {
    /// Which of [`super::resolve::targets`].
    pub(crate) targets: Vec<usize>,
    pub(crate) soft: bool,
    pub(crate) request: Option<Who>,
}

/// What others do to the server.
#[derive(Clone, Debug)]
pub(crate) enum Vandal {
    FlushAll,
    DropCtl,
    JunkCtl,
    /// The control record loses its counter.
    MaimCtl,
    /// The control record is another server's.
    OtherServer,
    DropEntry(usize),
    JunkEntry(usize),
    /// A pending write, as write-behind makes it.
    SoilEntry(usize),
    DropLease(usize),
    JunkLease(usize),
    DropMembers,
    DropMember(Who),
    JunkMembers,
    Trim(usize),
    /// A foreign entry in the log, with an id before our next one, or after it.
    Foreign {
        ahead: bool,
    },
    DropLog,
    JunkLog,
    DropInbox,
    ScriptFlush,
    FunctionFlush,
    Queue(QueueVandal),
}

/// Any step; what should happen is likelier than what should not.
pub(crate) fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        60 => ask().prop_map(Step::Ask),
        10 => any::<Index>().prop_map(Step::Again),
        6 => select(vec![1_u64, 2, 13]).prop_map(Step::Pass),
        8 => vandal().prop_map(Step::Vandal),
    ]
}

/// A step of a history that is mostly about writes.
pub(crate) fn step_of_writes() -> impl Strategy<Value = Step> {
    prop_oneof![
        60 => writes::ask().prop_map(|ask| Step::Ask(Ask::Write(ask))),
        5 => ask().prop_map(Step::Ask),
        8 => any::<Index>().prop_map(Step::Again),
        6 => select(vec![1_u64, 2]).prop_map(Step::Pass),
        2 => writes::vandal().prop_map(|vandal| Step::Vandal(Vandal::Queue(vandal))),
        1 => vandal().prop_map(Step::Vandal),
    ]
}

fn ask() -> impl Strategy<Value = Ask> {
    let who = || 0..3_u8;
    let entry = || 0..ENTRIES;
    let claim = prop::option::weighted(
        0.8,
        (who(), 1..3_u64, prop::bool::weighted(0.2), prop::option::weighted(0.6, token())),
    );
    let value = prop::option::weighted(0.3, (entry(), who(), put()));
    let entries = prop_oneof![
        12 => (entry(), claim, prop::option::weighted(0.3, who()))
            .prop_map(|(entry, claim, have)| Ask::Lookup { entry, claim, have }),
        10 => (any::<Index>(), put()).prop_map(|(lease, put)| Ask::FillLeased { lease, put }),
        4 => (entry(), who(), token(), put(), any::<bool>())
            .prop_map(|(entry, who, token, put, leased)| Ask::Fill { entry, who, token, put, leased }),
        2 => (entry(), who()).prop_map(|(entry, who)| Ask::Release { entry, who }),
    ];
    let log = prop_oneof![
        8 => (event(), any::<bool>(), any::<bool>(), value, known(), cursor())
            .prop_map(|(event, drops, confirm, value, known, after)| {
                Ask::Publish { event, drops, confirm, value, known, after }
            }),
        4 => event().prop_map(|event| Ask::Fcall { event }),
        1 => any::<usize>().prop_map(|fault| Ask::FcallWrong { fault }),
        1 => Just(Ask::Head),
        1 => (cursor(), 0..5_usize).prop_map(|(after, max)| Ask::ReadLog { after, max }),
    ];
    let members = prop_oneof![
        4 => (who(), cursor(), 0..4_u64, known())
            .prop_map(|(instance, cursor, beats, known)| Ask::Beat { instance, cursor, beats, known }),
        2 => (who(), cursor()).prop_map(|(instance, cursor)| Ask::Confirm { instance, cursor }),
        4 => (who(), prop::option::of(0..4_u64)).prop_map(|(instance, beats)| Ask::Forget { instance, beats }),
        1 => Just(Ask::Members),
        3 => (0..2_u8, 1..4_u32).prop_map(|(caller, burst)| Ask::Admit { caller, burst }),
    ];
    let inbox = prop_oneof![
        Just(Ask::InboxAdd),
        (who(), 1..3_usize).prop_map(|(consumer, max)| Ask::InboxTake { consumer, max }),
        (who(), 1..3_usize, 0..3_u64).prop_map(|(consumer, max, idle)| Ask::InboxAdopt {
            consumer,
            max,
            idle
        }),
        prop::collection::vec(any::<Index>(), 1..3).prop_map(|taken| Ask::InboxDone { taken }),
    ];
    prop_oneof![
        10 => entries,
        6 => log,
        5 => members,
        2 => inbox,
        8 => writes::ask().prop_map(Ask::Write),
    ]
}

/// The place somebody has reached.
pub(super) fn cursor() -> impl Strategy<Value = SeqAs> {
    prop_oneof![Just(SeqAs::Zero), (0..4_u64).prop_map(SeqAs::Before), (1..3_u64).prop_map(SeqAs::After)]
}

/// The highest number that somebody has seen.
pub(super) fn known() -> impl Strategy<Value = SeqAs> {
    prop_oneof![
        // Rare: afterwards the numbers are ahead of the clock, and another server is needed.
        40 => Just(SeqAs::Zero),
        18 => (0..3_u64).prop_map(SeqAs::Before),
        1 => (1..3_u64).prop_map(SeqAs::After),
        1 => Just(SeqAs::Ahead),
    ]
}

fn token() -> impl Strategy<Value = TokenAs> {
    prop_oneof![3 => Just(TokenAs::Head), 3 => any::<Index>().prop_map(TokenAs::Seen), 1 => Just(TokenAs::Beyond)]
}

/// Any value.
pub(super) fn put() -> impl Strategy<Value = PutAs> {
    let names = prop::collection::vec(any::<usize>(), 0..3);
    (names, 0..3_u64, 0..4_u64).prop_map(|(names, fresh, kept)| PutAs { names, fresh, kept })
}

/// Any event.
pub(super) fn event() -> impl Strategy<Value = EventAs> {
    let targets = prop::collection::vec(any::<usize>(), 1..5);
    (targets, any::<bool>(), prop::option::weighted(0.3, 0..2_u8))
        .prop_map(|(targets, soft, request)| EventAs { targets, soft, request })
}

fn vandal() -> impl Strategy<Value = Vandal> {
    let entry = || 0..ENTRIES;
    prop_oneof![
        1 => Just(Vandal::FlushAll),
        1 => Just(Vandal::DropCtl),
        1 => Just(Vandal::JunkCtl),
        1 => Just(Vandal::MaimCtl),
        1 => Just(Vandal::OtherServer),
        1 => entry().prop_map(Vandal::DropEntry),
        1 => entry().prop_map(Vandal::JunkEntry),
        3 => entry().prop_map(Vandal::SoilEntry),
        1 => entry().prop_map(Vandal::DropLease),
        1 => entry().prop_map(Vandal::JunkLease),
        1 => Just(Vandal::DropMembers),
        4 => (0..3_u8).prop_map(Vandal::DropMember),
        1 => Just(Vandal::JunkMembers),
        1 => (0..3_usize).prop_map(Vandal::Trim),
        2 => any::<bool>().prop_map(|ahead| Vandal::Foreign { ahead }),
        1 => Just(Vandal::DropLog),
        1 => Just(Vandal::JunkLog),
        1 => Just(Vandal::DropInbox),
        1 => Just(Vandal::ScriptFlush),
        1 => Just(Vandal::FunctionFlush),
        4 => writes::vandal().prop_map(Vandal::Queue),
    ]
}
