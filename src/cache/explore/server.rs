//! The server: the reference model of the scripts, what it saved, and which run of the server it is.

use crate::backend::memory::{Limits, ShardState};
use crate::clock::Boot;
use crate::model::Shard;

/// A server, with the identity that a handshake compares.
#[derive(Clone)]
pub(super) struct Server {
    pub(super) shard: ShardState,
    /// This run.
    pub(super) run: u8,
    /// The run that the lineage was begun on, as the shard's control record says.
    pub(super) begun_on: u8,
    pub(super) saved: Option<Box<(ShardState, u8)>>,
    /// The server's clock in milliseconds. It only moves between lineages, if at all: their numbers follow it.
    pub(super) now: u64,
    clock_stands: bool,
}

impl Server {
    pub(super) fn new(clock_stands: bool) -> Self {
        let shard = ShardState::new(Shard(0), Limits::default(), 1);
        Self { shard, run: 0, begun_on: 0, saved: None, now: 1, clock_stands }
    }

    /// What a connection does first: a lineage of another run ends.
    pub(super) fn handshake(&mut self) {
        if self.begun_on != self.run {
            self.shard.end_lineage();
            self.begun_on = self.run;
        }
    }

    /// FLUSHALL. The next script begins a lineage, on this run.
    pub(super) fn flush(&mut self) {
        self.shard.flush();
        self.begun_on = self.run;
        self.now += u64::from(!self.clock_stands);
    }

    pub(super) fn save(&mut self) {
        self.saved = Some(Box::new((self.shard.clone(), self.begun_on)));
    }

    /// Another run, with what was saved.
    pub(super) fn restore(&mut self) {
        let (shard, begun_on) = *self.saved.take().expect("restored only after a save");
        self.shard.restore(&shard);
        self.begun_on = begun_on;
        self.run += 1;
        self.now += u64::from(!self.clock_stands);
    }
}

/// Time of all instances. It moves in steps, each as long as a publisher waits for leases to run out: what was sent in
/// an earlier step is no proof any more. Within a step moments have an order and no length.
#[derive(Clone, Copy)]
pub(super) struct Time {
    step: u64,
    moment: u64,
}

/// D with the drift and the slack that [`crate::coherence::core::Wait`] allows for, and as much as moments take.
const STEP_NS: u64 = 2_052_000_000 + MOMENTS_MAX;
const MOMENTS_MAX: u64 = 1_000_000;

impl Time {
    pub(super) fn new() -> Self {
        Self { step: 10, moment: 0 }
    }

    /// Now: later than whatever was asked before.
    pub(super) fn now(&mut self) -> Boot {
        self.moment += 1;
        assert!(self.moment < MOMENTS_MAX, "a step has too many moments");
        self.same()
    }

    /// The moment last asked for.
    pub(super) fn same(self) -> Boot {
        Boot::from_nanos(self.step * STEP_NS + self.moment)
    }

    /// Every lease ends.
    pub(super) fn pass(&mut self) {
        self.step += 1;
    }

    /// Whether a moment belongs to an earlier step.
    pub(super) fn past(self, at: Boot) -> bool {
        at.as_nanos() / STEP_NS < self.step
    }
}
