//! What the origin knows of one key, and how it behaves when asked for it.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use hyper::StatusCode;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use crate::harness::wait::SOON;

/// Reads of a key whose times are remembered.
const ARRIVALS_MAX: usize = 64;
/// Changes of a key that a replica may be behind by.
const PAST_MAX: usize = 16;

/// A fault in place of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// An error status, with a body that says so.
    Status(u16),
    /// No answer, ever; the connection stays open.
    Hang,
    /// The connection is closed without an answer.
    Close,
    /// The connection is closed in the middle of the body; a write has taken effect before.
    Truncate,
    /// The answer comes so much later; a write has taken effect before.
    AnswerLate(Duration),
    /// Everything happens so much later, whether anybody waits for it or not.
    LandLate(Duration),
}

/// How the origin behaves when it is asked for a key.
#[derive(Clone, Debug, Default)]
pub(crate) struct Behaviour {
    /// Between reading the version and answering.
    pub(crate) delay: Duration,
    /// At random up to so much longer: most requests far less, few nearly all of it.
    pub(crate) jitter: Duration,
    /// Every request meets this.
    pub(crate) fault: Option<Fault>,
    /// Writes meet this in its place.
    pub(crate) writes: Option<Fault>,
    /// 304 to an `If-None-Match` that names the present version.
    pub(crate) conditional: bool,
    /// Values are validated by a date alone: `Last-Modified` and 304 to an `If-Modified-Since` that names it, as RFC 9110
    /// has it: not beside an `If-None-Match`.
    pub(crate) dated: bool,
    /// Reads are answered by a replica that is behind by so much.
    pub(crate) lag: Duration,
    /// Headers added to each value.
    pub(crate) headers: Vec<(String, String)>,
}

impl Behaviour {
    /// Adds a header to each value.
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }
}

/// A write that the origin has been sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Write {
    /// What it puts; `None` removes.
    pub(crate) body: Option<Bytes>,
    /// `Coherd-Write-Seq`, the fence.
    pub(crate) seq: Option<u64>,
    /// `Idempotency-Key`.
    pub(crate) idempotency_key: Option<String>,
    /// What became of it.
    pub(crate) effect: Effect,
}

/// What a write has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// It took effect.
    Applied,
    /// It was the last to take effect already.
    Repeated,
    /// None: a write with a higher fence was there before it.
    Superseded,
    /// None: it was told that it never will.
    Refused,
    /// None: it met an error that passes, or got no answer.
    Failed,
}

impl Effect {
    /// Of a write that is answered with an error.
    pub(super) fn of_status(status: u16) -> Self {
        if (400..500).contains(&status) && ![408, 425, 429].contains(&status) {
            Self::Refused
        } else {
            Self::Failed
        }
    }
}

/// A value of a key.
#[derive(Clone, Debug)]
pub(super) struct Value {
    pub(super) version: u64,
    /// What a `PUT` brought; else a JSON object of the key and the version.
    pub(super) body: Option<Bytes>,
}

/// One key.
#[derive(Debug, Default)]
pub(super) struct Register {
    pub(super) value: Option<Value>,
    /// What readers get in its place, while they ask a replica that stands still.
    pub(super) replica: Option<Value>,
    /// Values of before, and until when each was one: what a replica that lags still has.
    past: VecDeque<(Instant, Option<Value>)>,
    /// The last version there was, so that a key that comes back does not come back as an old one.
    last: u64,
    fence: u64,
    /// Whose write took effect last.
    key: Option<String>,
    pub(super) behaviour: Option<Behaviour>,
    /// Of every value, whatever the behaviour.
    pub(super) headers: Vec<(String, String)>,
    /// Readers ask a replica that is behind by so much, whatever the behaviour.
    pub(super) lag: Duration,
    pub(super) faults: VecDeque<Fault>,
    pub(super) gate: Option<Gate>,
    /// Holds writes alone, before their effect and behind it.
    pub(super) write_gate: Option<Gate>,
    pub(super) answer_gate: Option<Gate>,
    pub(super) reads: u64,
    /// When the first of them came.
    pub(super) arrivals: Vec<Instant>,
    pub(super) not_modified: u64,
    pub(super) writes: Vec<Write>,
}

impl Register {
    /// A read has come.
    pub(super) fn arrived(&mut self) {
        self.reads += 1;
        if self.arrivals.len() < ARRIVALS_MAX {
            self.arrivals.push(Instant::now());
        }
    }

    pub(super) fn set(&mut self, version: u64) {
        self.last = version;
        if self.past.len() == PAST_MAX {
            self.past.pop_front();
        }
        self.past.push_back((Instant::now(), self.value.take()));
        self.value = Some(Value { version, body: None });
    }

    /// What a replica has that is behind by `lag`.
    pub(super) fn seen_by_replica(&self, lag: Duration) -> Option<Value> {
        let unseen = self.past.iter().find(|(until, _)| until.elapsed() < lag);
        unseen.map_or_else(|| self.value.clone(), |(_, before)| before.clone())
    }

    pub(super) fn bump(&mut self) -> u64 {
        self.set(self.last + 1);
        self.last
    }

    /// Takes a write unless its fence is older than one already taken: what it has done and what is answered. A removal
    /// leaves its fence.
    pub(super) fn write(&mut self, write: &Write) -> (Effect, StatusCode) {
        let existed = self.value.is_some();
        if write.seq.is_some_and(|seq| seq < self.fence) {
            return (Effect::Superseded, StatusCode::PRECONDITION_FAILED);
        }
        let again = write.idempotency_key.is_some() && write.idempotency_key == self.key;
        if !again {
            self.fence = write.seq.unwrap_or(self.fence);
            self.key.clone_from(&write.idempotency_key);
            self.last += 1;
            let version = self.last;
            self.value = write.body.clone().map(|body| Value { version, body: Some(body) });
        }
        let removes_nothing = write.body.is_none() && !existed;
        let status = if removes_nothing { StatusCode::NOT_FOUND } else { StatusCode::NO_CONTENT };
        (if again { Effect::Repeated } else { Effect::Applied }, status)
    }
}

/// Holds requests for a key after they have read (or brought) what they came for, until it is released.
#[derive(Clone, Debug)]
pub(crate) struct Gate {
    arrived: watch::Sender<usize>,
    /// How many may go on.
    released: watch::Sender<usize>,
}

impl Gate {
    pub(super) fn new() -> Self {
        Self { arrived: watch::Sender::new(0), released: watch::Sender::new(0) }
    }

    /// Waits until `count` requests stand, or have stood, at the gate.
    ///
    /// # Panics
    ///
    /// If they do not come.
    pub(crate) async fn arrived(&self, count: usize) {
        let mut arrived = self.arrived.subscribe();
        let all = timeout(SOON, arrived.wait_for(|now| count <= *now)).await.is_ok();
        assert!(all, "{} of {count} requests arrived at the gate within {SOON:?}", *self.arrived.borrow());
    }

    /// How many have come so far.
    pub(crate) fn count(&self) -> usize {
        *self.arrived.borrow()
    }

    /// Lets the first `count` that came go on, those released before included.
    pub(crate) fn release_first(&self, count: usize) {
        self.released.send_modify(|released| *released = count.max(*released));
    }

    /// Lets all go on, those to come too.
    pub(crate) fn release(&self) {
        self.release_first(usize::MAX);
    }

    pub(super) async fn pass(&self) {
        let mut released = self.released.subscribe();
        let mut place = 0;
        self.arrived.send_modify(|arrived| {
            *arrived += 1;
            place = *arrived;
        });
        // Fails only if the gate is gone, which it is not while it is borrowed here.
        released.wait_for(|released| place <= *released).await.ok();
    }
}
