//! What is explored: who takes part, which faults may happen, and what is weakened.

/// One exploration.
#[derive(Debug)]
pub(super) struct Config {
    /// The instance of each reader.
    pub(super) readers: &'static [usize],
    /// Each writer's instance, and how often it writes.
    pub(super) writers: &'static [(usize, u8)],
    /// Answers to heartbeats and to publications may arrive later than they are given.
    pub(super) slow_network: bool,
    /// The origin may read later than it is asked. Else it reads at once, which is the oldest that it can bring.
    pub(super) slow_origin: bool,
    /// The server's clock stands still: a lineage leaps above what is known of the one before. Else it begins at the
    /// clock's number.
    pub(super) clock_stands: bool,
    /// How often each fault may happen.
    pub(super) faults: Faults,
    /// What is taken out of the protocol.
    pub(super) weak: &'static [Weakness],
}

/// How often a fault may still happen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Faults {
    /// An instance loses its connection.
    pub(super) cuts: u8,
    /// An announcement is lost on the way.
    pub(super) losses: u8,
    /// The server loses everything.
    pub(super) flushes: u8,
    /// The server is ended, and comes back with what it had saved at an earlier moment.
    pub(super) restores: u8,
    /// The log is trimmed to nothing.
    pub(super) trims: u8,
    /// A load's lease runs out while it loads.
    pub(super) expiries: u8,
    /// No fault: somebody publishes an event that names something else.
    pub(super) others: u8,
}

impl Config {
    /// One write, no reader, no fault, answers that take no time.
    pub(super) const PLAIN: Self = Self {
        readers: &[],
        writers: &[(0, 1)],
        slow_network: false,
        slow_origin: false,
        clock_stands: false,
        faults: Faults::NONE,
        weak: &[],
    };
}

impl Faults {
    /// None.
    pub(super) const NONE: Self =
        Self { cuts: 0, losses: 0, flushes: 0, restores: 0, trims: 0, expiries: 0, others: 0 };
}

impl Config {
    /// Whether the protocol lacks something.
    pub(super) fn lacks(&self, weakness: Weakness) -> bool {
        self.weak.contains(&weakness)
    }
}

/// A part of the protocol that is left out around the core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Weakness {
    /// The token is taken when the origin has answered, not before it is asked.
    TokenAtEnd,
    /// L1 deletes copies on an event and does not ask for their tokens.
    BlindL1,
    /// Joiners use whatever the load brings.
    UnfencedJoiners,
    /// `wait=all` trusts the members of a lineage that has just begun.
    YoungMembers,
    /// No handshake compares the server with the one that the lineage was begun on.
    NoIdentity,
    /// A publisher is answered as soon as its event is logged.
    AckAtAppend,
    /// `wait=all` counts from when the publisher began, not from the log's answer.
    LateFromStart,
    /// The lease counts from the heartbeat's answer.
    LeaseFromAnswer,
    /// A heartbeat's answer is proof before its head is reached.
    ProofBeforeEvents,
    /// A member confirms an event when it hears of it, not when it has applied it and all before it.
    ConfirmBeforeApply,
}
