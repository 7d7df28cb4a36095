//! The catalogue: every way in which a world may be broken, by name.

use std::fmt;
use std::str::FromStr;

/// What a world must have for a fault to mean what its name says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// A server with an append-only file.
    AppendOnly,
    /// Processes whose wall clock can be stepped: [`World::clocks`](crate::chaos::world::World).
    Clocks,
    /// At least two instances.
    Company,
    /// A cluster of servers.
    Ring,
}

impl Kind {
    /// The server loses what it had taken: what was pending there is gone, or is there again.
    pub(crate) fn forgets(self) -> bool {
        matches!(
            self,
            Self::FlushAll
                | Self::Forget
                | Self::FlushDb
                | Self::ServerOldDump
                | Self::ServerRewound
                | Self::ServerEmpty
                | Self::Promote
                | Self::Isolate
                | Self::PrimaryKilled
        )
    }

    /// It breaks no server and no wire: what the instances share may as well be a cluster.
    pub(crate) fn is_of_instances(self) -> bool {
        matches!(
            self,
            Self::Kill
                | Self::KillInLoad
                | Self::KillInWait
                | Self::Pause
                | Self::LongPause
                | Self::RollingRestart
        )
    }
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $name:literal $(needs $($need:ident)+)?;)*) => {
        /// A fault.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub(crate) enum Kind {
            $($(#[$doc])* $kind,)*
        }

        impl Kind {
            /// All of them.
            pub(crate) const ALL: &[Self] = &[$(Self::$kind),*];

            /// Its name, as in `FAULTS=`.
            pub(crate) fn name(self) -> &'static str {
                match self {
                    $(Self::$kind => $name,)*
                }
            }

            /// What the world must have.
            pub(crate) fn needs(self) -> &'static [Need] {
                match self {
                    $(Self::$kind => &[$($(Need::$need),+)?],)*
                }
            }
        }
    };
}

kinds! {
    /// An instance is killed at whatever it is doing, and started again.
    Kill = "kill";
    /// An instance is killed while a load of its stands at the origin.
    KillInLoad = "kill-in-load";
    /// An instance is killed while a publisher waits for it with `wait=all`.
    KillInWait = "kill-in-wait" needs Company;
    /// The instance that brings writes to the origin is killed when they are there and it does not know yet.
    KillInFlush = "kill-in-flush";
    /// An instance stands still, for about D.
    Pause = "pause";
    /// An instance stands still, for much longer than D.
    LongPause = "long-pause";
    /// Every instance ends in order and is started again, one after the other.
    RollingRestart = "rolling-restart";

    /// An instance's wire is cut: connections end, new ones are refused.
    Cut = "cut";
    /// An instance's wire is slow, one way or both.
    Delay = "delay";
    /// An instance's wire carries nothing, and no connection ends: half-open.
    Stall = "stall";
    /// Nothing that the instance sends arrives.
    Unheard = "unheard";
    /// Nothing that is sent to the instance arrives.
    Deaf = "deaf";
    /// An instance's wire is slow for a while, and then carries nothing.
    Choke = "choke";
    /// Connections are reset in the middle of what the server sends, again and again.
    Reset = "reset";
    /// The server ends every subscription, again and again.
    KillPubsub = "kill-pubsub";
    /// The server ends every connection that is no subscription, again and again.
    KillNormal = "kill-normal";
    /// One wire carries nothing while so much is published that the server ends its subscription.
    BufferOverflow = "buffer-overflow";

    /// FLUSHALL.
    FlushAll = "flushall";
    /// FLUSHALL while an instance is cut off.
    Forget = "forget" needs Company;
    /// FLUSHDB.
    FlushDb = "flushdb";
    /// The log is trimmed to nothing.
    TrimLog = "trim-log";
    /// The control record is deleted.
    DeleteCtl = "delete-ctl";
    /// Somebody else writes an entry to the log, under a number between the last one and those to come.
    ForeignEntry = "foreign-entry";
    /// Somebody else writes an entry to the log under the highest number there is: nothing fits behind it.
    PoisonLog = "poison-log";
    /// SCRIPT FLUSH.
    FlushScripts = "flush-scripts";
    /// FUNCTION FLUSH.
    FlushFunctions = "flush-functions";
    /// The server has reached its memory limit and refuses whatever would need more.
    MemoryFull = "memory-full";

    /// The server is killed and comes back with all it had.
    ServerKill = "server-kill" needs AppendOnly;
    /// The server is killed and comes back with what it had some time ago.
    ServerOldDump = "server-old-dump";
    /// As before, and others have published more than was lost before the instances find it again.
    ServerRewound = "server-rewound";
    /// The server is killed and comes back with nothing.
    ServerEmpty = "server-empty";
    /// The server stands still.
    ServerPause = "server-pause";
    /// A replica that was held back takes the place of the server: the end of the log is lost.
    Promote = "promote";
    /// As before, while one instance stays with the old primary, which refuses writes without its replica.
    Isolate = "isolate" needs Company;

    /// The slot of a shard moves to another server of the cluster.
    SlotMoved = "slot-moved" needs Ring;
    /// A primary of the cluster is killed, and its replica takes its place.
    PrimaryKilled = "primary-killed" needs Ring;

    /// The wall clock of an instance is an hour ahead or behind for a while.
    InstanceClock = "instance-clock" needs Clocks;
    /// The wall clock of the server is an hour ahead or behind for a while.
    ServerClock = "server-clock" needs Clocks;

    /// The origin is slow.
    OriginSlow = "origin-slow";
    /// The origin does not answer.
    OriginHangs = "origin-hangs";
    /// The origin answers with errors, ends connections, and breaks off its answers.
    OriginFails = "origin-fails";
    /// The origin takes writes and answers too late or not at all, or takes them when nobody waits any more.
    OriginLate = "origin-late";
    /// The origin answers with a version that was replaced a while ago.
    OriginLags = "origin-lags";

    /// Values of exactly `max_value`, and a byte more.
    LimitValues = "limit-values";
    /// A tag on very many entries is invalidated.
    ManyTagged = "many-tagged";
    /// Thousands of events a second.
    Storm = "storm";
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Kind {
    type Err = String;
    fn from_str(name: &str) -> Result<Self, String> {
        let known = Self::ALL.iter().find(|kind| kind.name() == name);
        known.copied().ok_or_else(|| {
            let names: Vec<_> = Self::ALL.iter().map(|kind| kind.name()).collect();
            format!("no fault is called `{name}`; there are {}", names.join(", "))
        })
    }
}
