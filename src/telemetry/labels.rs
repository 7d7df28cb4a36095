//! The closed sets of label values: a metric's child is found by an enum, never by a string.

/// A label whose values are known when the process starts.
pub trait Label: Copy + 'static {
    /// The label's name.
    const NAME: &'static str;
    /// Every value, in the order of [`Label::index`].
    const ALL: &'static [Self];

    /// The value as it is scraped.
    fn as_str(self) -> &'static str;

    /// Its place in [`Label::ALL`].
    fn index(self) -> usize;
}

macro_rules! labels {
    ($($(#[$doc:meta])* $name:ident($label:literal) { $($(#[$value_doc:meta])* $value:ident = $text:literal,)+ })+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name {
            $($(#[$value_doc])* $value,)+
        }

        impl Label for $name {
            const NAME: &'static str = $label;
            const ALL: &'static [Self] = &[$(Self::$value,)+];

            fn as_str(self) -> &'static str {
                match self {
                    $(Self::$value => $text,)+
                }
            }

            fn index(self) -> usize {
                self as usize
            }
        }
    )+};
}

labels! {
    /// Which way a request was answered.
    RequestResult("result") {
        /// From this process.
        L1 = "l1",
        /// From Valkey.
        L2 = "l2",
        /// From a stale copy.
        Stale = "stale",
        /// From a copy that says that there is none.
        Negative = "negative",
        /// Loaded for this request.
        Miss = "miss",
        /// By a load that was under way for another request.
        Collapsed = "collapsed",
        /// Past all copies.
        Bypass = "bypass",
        /// Not let in: a limit, a missing right, a bad request.
        Rejected = "rejected",
        /// No answer.
        Error = "error",
    }

    /// Why L1 no longer holds an entry.
    EvictionCause("cause") {
        /// Another needed the room.
        Size = "size",
        /// Its time was over.
        Expired = "expired",
        /// A newer copy took its place.
        Replaced = "replaced",
        /// An event named it.
        Explicit = "explicit",
    }

    /// What the origin answered.
    OriginOutcome("outcome") {
        /// A value.
        Ok = "ok",
        /// That there is none.
        Absent = "absent",
        /// That the copy at hand still stands.
        NotModified = "not_modified",
        /// A refusal, nonsense, or nothing.
        Error = "error",
        /// Nothing in time.
        Timeout = "timeout",
        /// It was not asked: its concurrency limit was reached, or its breaker open.
        Overloaded = "overloaded",
    }

    /// An operation of the shared backend.
    BackendOp("op") {
        /// Reads entries unchecked.
        Peek = "peek",
        /// Finds an entry or takes its lease.
        Lookup = "lookup",
        /// Stores what a load brought.
        Fill = "fill",
        /// Ends a lease without a value.
        Release = "release",
        /// Logs an event.
        Publish = "publish",
        /// A heartbeat.
        Beat = "beat",
        /// Says how far a member has come.
        Confirm = "confirm",
        /// A read barrier.
        Head = "head",
        /// Reads events.
        ReadLog = "read_log",
        /// Lists members.
        Members = "members",
        /// Forgets a member.
        Forget = "forget",
        /// Subscribes to announcements.
        Subscribe = "subscribe",
        /// Counts a request against a limit.
        Admit = "admit",
        /// Takes a lock.
        Lock = "lock",
        /// Holds a lock for longer.
        Extend = "extend",
        /// Gives a lock up.
        Unlock = "unlock",
        /// Keeps the hottest keys, or reads them.
        Hot = "hot",
        /// Takes, adopts or finishes entries of the inbox.
        Inbox = "inbox",
        /// Takes writes that are behind, or reads the value of one.
        TakeWrites = "take_writes",
        /// Says what became of them.
        SettleWrites = "settle_writes",
        /// Looks at what is behind, and at the dead letters.
        Backlog = "backlog",
    }

    /// The door an event came through.
    EventSource("source") {
        /// `POST /v1/invalidate`.
        Http = "http",
        /// `PURGE`.
        Purge = "purge",
        /// The function `coherd_invalidate`.
        Fcall = "fcall",
        /// The inbox stream.
        Inbox = "inbox",
        /// The inbox channel.
        Pubsub = "pubsub",
        /// A write through coherd.
        Write = "write",
        /// A foreign write to an L2 key.
        Tracking = "tracking",
        /// `POST /v1/events`.
        CloudEvents = "cloudevents",
        /// An outbox in PostgreSQL.
        Postgres = "postgres",
        /// Streams that Debezium Server fills.
        Debezium = "debezium",
    }

    /// What an event names.
    TargetKind("kind") {
        /// One key.
        Key = "key",
        /// A tag.
        Tag = "tag",
        /// A prefix.
        Prefix = "prefix",
        /// A namespace.
        Namespace = "namespace",
        /// Everything.
        All = "all",
    }

    /// By which way an applied event came.
    EventPath("path") {
        /// Read from the log.
        Stream = "stream",
        /// Announced.
        Pubsub = "pubsub",
        /// The server's own notice of a foreign write.
        Tracking = "tracking",
    }

    /// Why L2 refused a fill.
    FillCause("cause") {
        /// The lease expired or was voided.
        LeaseLost = "lease_lost",
        /// Another lineage began meanwhile.
        Lineage = "lineage",
        /// A newer event covers the entry.
        Stale = "stale",
        /// The entry holds a pending write.
        Dirty = "dirty",
    }

    /// What showed that events were missed.
    GapCause("cause") {
        /// A number that was not the next.
        Sequence = "sequence",
        /// The receiver fell behind.
        Lagged = "lagged",
        /// The connection was made anew.
        Reconnect = "reconnect",
        /// A heartbeat's head was ahead of the cursor.
        Heartbeat = "heartbeat",
        /// The log no longer held what came next.
        Trimmed = "trimmed",
    }

    /// Why all of L1 was given up.
    ResyncCause("cause") {
        /// The shard began another lineage.
        Lineage = "lineage",
        /// The chain of nonces broke: another history under the same numbers.
        Fork = "fork",
    }

    /// How a wait for all members ended.
    WaitEnd("mode") {
        /// All confirmed.
        Early = "early",
        /// Time did.
        Late = "late",
        /// The caller's time-out came first.
        TimedOut = "timed_out",
    }

    /// How a wait for another load's lease ended.
    LeaseWait("outcome") {
        /// Its end was announced.
        Woken = "woken",
        /// It ran out.
        Expired = "expired",
        /// The waiter's own time was over.
        TimedOut = "timed_out",
    }

    /// Why an event from outside was dropped.
    RejectReason("reason") {
        /// Neither of the known forms.
        Malformed = "malformed",
        /// The whole is too long.
        TooLarge = "too_large",
        /// A field that events do not have.
        UnknownField = "unknown_field",
        /// It names nothing.
        NoTarget = "no_target",
        /// More than 1,000 targets.
        TooManyTargets = "too_many_targets",
        /// A namespace that cannot be one, or none where one is needed.
        BadNamespace = "bad_namespace",
        /// A key that cannot be one.
        BadKey = "bad_key",
        /// A prefix that cannot be one.
        BadPrefix = "bad_prefix",
        /// A tag that cannot be one.
        BadTag = "bad_tag",
        /// A request id that cannot be one.
        BadRequestId = "bad_request_id",
        /// Heard on the inbox channel faster than it could be logged.
        Overloaded = "overloaded",
        /// Heard on the inbox channel while the log could not be reached.
        Unavailable = "unavailable",
    }

    /// What became of a refresh.
    RefreshOutcome("outcome") {
        /// A new value was stored.
        Stored = "stored",
        /// The copy still stands.
        NotModified = "not_modified",
        /// The fill was refused.
        Rejected = "rejected",
        /// Another load holds the lease.
        Busy = "busy",
        /// The load failed.
        Failed = "failed",
        /// The queue was full.
        Dropped = "dropped",
    }

    /// What became of a pending write.
    WriteOutcome("outcome") {
        /// The origin has it.
        Applied = "applied",
        /// A later write to the same key took its place.
        Superseded = "superseded",
        /// It failed and is tried again.
        Retried = "retried",
        /// It went to the dead letters.
        Dead = "dead",
    }

    /// What the coherence monitor found.
    CheckResult("result") {
        /// Nothing older was or would be answered, and the origin, if it was asked, says the same.
        Ok = "ok",
        /// An answer was older than an event of before it, by less than `max_staleness`: what is promised.
        StaleInBound = "stale_in_bound",
        /// One was older by more, or a copy that an event has named would be answered still: a promise is broken.
        Violation = "violation",
        /// The origin says something else than a copy that no event has named: it was changed without an event, or the
        /// copy was tampered with.
        OriginDiffers = "origin_differs",
        /// Nothing could be said: cut off, another history, a log that is too long, a change meanwhile.
        Inconclusive = "inconclusive",
    }

    /// Whether a breaker lets calls through; scraped as its index.
    BreakerState("state") {
        /// All of them: 0.
        Closed = "closed",
        /// One, to try: 1.
        HalfOpen = "half_open",
        /// None: 2.
        Open = "open",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_order<L: Label>() {
        for (place, label) in L::ALL.iter().enumerate() {
            assert_eq!(place, label.index(), "{}", label.as_str());
        }
    }

    #[test]
    fn an_index_finds_the_label_again() {
        in_order::<RequestResult>();
        in_order::<BackendOp>();
        in_order::<BreakerState>();
    }
}
