//! A command as it is sent, and what comes back of it: the same words for the server and the model.

use std::time::Duration;

use bytes::Bytes;
use coherd::backend::{
    Beat, Dead, EntryId, Fill, Filled, Found, Head, InboxEntry, Leave, Line, LoadId, Logged, Look, Lookup,
    Member, Partition, Publication, Published, Settled, Settlement, Survey, Take, Taken, Token, Waiting,
};
use coherd::model::{CallerId, Namespace, Quota, Seq, Verdict};

use super::steps::UNIT;

/// Spelt out: sent again it is the very same.
#[derive(Clone, Debug)]
pub(crate) enum Command {
    Lookup(Lookup),
    Fill(Fill),
    Release(EntryId, LoadId),
    Publish(Publication),
    /// What FCALL takes, and what it means; `None`: nothing that it accepts.
    Fcall(Vec<Vec<u8>>, Option<Publication>),
    Beat(Beat),
    Confirm(String, Seq),
    Head,
    ReadLog(Seq, usize),
    Members,
    Forget(String, Option<u64>),
    Admit(Namespace, CallerId, Quota),
    InboxAdd,
    InboxTake(String, usize),
    InboxAdopt(String, usize, Duration),
    InboxDone(Vec<String>),
    Take(Take),
    Value(Line),
    Settle(Partition, Vec<(Line, Settled)>),
    Leave(Leave),
    Survey(Look),
    Waiting(Partition),
    Letters,
    DropDead(Vec<String>),
}

impl Command {
    /// Whether it is a door for events.
    pub(crate) fn publishes(&self) -> bool {
        matches!(self, Self::Publish(_) | Self::Fcall(_, Some(_)))
    }

    /// How many events it has logged, by its answer.
    pub(crate) fn logged(&self, answer: &Answer) -> u64 {
        match (self, answer) {
            (Self::Settle(_, settled), Answer::Settled(settlements)) => {
                let announced = |settled: &Settled| {
                    !matches!(settled, Settled::Flushed { event: false } | Settled::Parked { .. })
                };
                let logged = settled.iter().zip(settlements).filter(|((_, settled), settlement)| {
                    **settlement == Settlement::Done && announced(settled)
                });
                logged.count() as u64
            }
            (_, Answer::Full(_)) => 0,
            (_, Answer::Published(published)) => u64::from(!published.repeated),
            _ => u64::from(self.publishes()),
        }
    }

    /// The highest number that its sender says it has seen.
    pub(crate) fn known(&self) -> Seq {
        match self {
            Self::Publish(publication) => publication.known,
            Self::Beat(beat) => beat.known,
            _ => 0,
        }
    }
}

/// What came back.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Answer {
    Done,
    Found(Found),
    Filled(Filled),
    Published(Published),
    /// FCALL's.
    Id(String),
    Head(Head),
    Token(Token),
    Log(Vec<Logged>),
    Members(Vec<Member>),
    Taken(Vec<InboxEntry>),
    Verdict(Verdict),
    Queue(Taken),
    Value(Option<Bytes>),
    Settled(Vec<Settlement>),
    Survey(Survey),
    Waiting(Vec<Waiting>),
    Letters(Vec<Dead>),
    Count(u64),
    /// So many lines are too many for another.
    Full(u64),
    /// A refusal: nothing happened.
    Refused,
    /// The function is not there.
    NoFunction,
}

impl Answer {
    /// What is left of a lease counts in whole [`UNIT`]s: real time has passed between the two sides.
    pub(crate) fn found(found: Found) -> Self {
        Self::Found(match found {
            Found::Busy { left, stale } => Found::Busy { left: in_units(left), stale },
            other => other,
        })
    }

    /// So does what is left until a caller has regained a request.
    pub(crate) fn verdict(verdict: Verdict) -> Self {
        Self::Verdict(match verdict {
            Verdict::Refused { wait } => Verdict::Refused { wait: in_units(wait) },
            admitted @ Verdict::Admitted { .. } => admitted,
        })
    }

    /// The place in the log that it speaks of, if it does.
    pub(crate) fn token(&self) -> Option<&Token> {
        match self {
            Self::Found(Found::Fresh(stored)) => Some(&stored.token),
            Self::Found(Found::NotModified(token) | Found::Leased { token, .. }) | Self::Token(token) => {
                Some(token)
            }
            Self::Published(published) => Some(&published.token),
            Self::Head(head) => Some(&head.token),
            _ => None,
        }
    }
}

/// In whole [`UNIT`]s, rounded up.
pub(crate) fn in_units(left: Duration) -> Duration {
    let units = left.as_micros().div_ceil(UNIT.as_micros());
    UNIT * u32::try_from(units).unwrap()
}
