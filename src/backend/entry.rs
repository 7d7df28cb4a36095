//! Entries of L2 and the leases to load them.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::model::{Key, LineageId, Name, Namespace, Seq};

/// Which entry of L2.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EntryId {
    /// The namespace.
    pub namespace: Namespace,
    /// The namespace's `version`: a bump starts afresh.
    pub version: u32,
    /// The key.
    pub key: Key,
}

/// Hexadecimal digits of a process's number.
const PROCESS_DIGITS: usize = 16;

/// Who loads: one per load, never per client or instance, so that a load that lost its lease cannot pass for another.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LoadId(pub Arc<str>);

impl LoadId {
    /// Between the name of the instance and what tells its loads from all others; no name holds it.
    const MARK: char = '~';

    /// The load of that number by this process; `process` is random.
    pub fn new(instance: &str, process: u64, number: u64) -> Self {
        Self(format!("{instance}{}{process:0PROCESS_DIGITS$x}{number:x}", Self::MARK).into())
    }

    /// What it has in common with all loads of its process, and its own number; `None` where it is of another form.
    pub fn split(&self) -> Option<(&str, &str)> {
        let process = self.0.rfind(Self::MARK)? + Self::MARK.len_utf8() + PROCESS_DIGITS;
        self.0.split_at_checked(process).filter(|(_, number)| !number.is_empty())
    }

    /// The `instance.id` of who loads, or writes: a write holds a lease under its name behind `!` or `?`, which no
    /// instance's begins with.
    pub fn instance(&self) -> Option<&str> {
        let (instance, _) = self.0.rsplit_once(Self::MARK)?;
        Some(instance.trim_start_matches(['!', '?']))
    }
}

/// A place in a shard's history: what a value is at least as new as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// The lineage it counts in.
    pub lineage: LineageId,
    /// The last event that the value has seen.
    pub seq: Seq,
}

/// An L2 entry as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// What it is at least as new as: as stored, or the head where the backend has just proven it valid.
    pub token: Token,
    /// Names that cover it beside the key's own: tags, `depends_on`.
    pub names: Vec<Name>,
    /// The load that stored it.
    pub load: LoadId,
    /// What [`super::wire`] made of the value.
    pub envelope: Bytes,
    /// A pending write: the entry is newer than the origin.
    pub dirty: Option<Seq>,
}

/// Asks for an entry and, where there is no valid fresh one, for the lease to load it.
#[derive(Clone, Debug)]
pub struct Lookup {
    /// Which.
    pub entry: EntryId,
    /// The key's own names: [`crate::model::covering`].
    pub covering: Vec<Name>,
    /// The lease wanted; `None` only looks.
    pub claim: Option<Claim>,
    /// The load behind the copy that the caller already holds: if the entry is still that one, it is not sent again.
    pub have: Option<LoadId>,
}

/// A wish to load.
#[derive(Clone, Debug)]
pub struct Claim {
    /// The load.
    pub load: LoadId,
    /// How long the lease lasts unless it is given up.
    pub lease: Duration,
    /// Load even beside a valid fresh entry: beside any (`no-cache`), or, where the lookup names the copy that the
    /// caller has, beside that one only (a refresh before the time).
    pub even_if_fresh: bool,
    /// A plain read has just found no entry, and the caller has reached this place in the log: the lease is to be had for
    /// less.
    pub absent: Option<Token>,
}

/// What a [`Lookup`] found.
#[derive(Clone, Debug, PartialEq)]
pub enum Found {
    /// A valid, fresh entry; its token is the head, for it was checked against every watermark just now.
    Fresh(Stored),
    /// The entry is the copy that the caller holds, valid as of this token.
    NotModified(Token),
    /// The lease is the caller's; what it loads from now on is as new as the token. Beside it, a copy that only time
    /// or a soft event made stale, with the token it was stored under.
    Leased {
        /// What the load will be as new as.
        token: Token,
        /// The stale copy.
        stale: Option<Stored>,
    },
    /// Another load holds the lease. A [`super::Signal::Wake`] comes when it ends.
    Busy {
        /// What is left of that lease.
        left: Duration,
        /// The stale copy.
        stale: Option<Stored>,
    },
    /// No valid fresh entry, and no lease was asked for.
    Nothing {
        /// The stale copy.
        stale: Option<Stored>,
    },
    /// A pending write that the server had before it came back with less than it once held: a newer one of the key may be
    /// among what was lost. Nobody is answered with it, and nobody loads over it, until its worker has brought it to its
    /// origin, or it is certain that nothing was lost.
    Doubtful,
}

/// Stores what a load brought, if the load still may.
#[derive(Clone, Debug)]
pub struct Fill {
    /// Which.
    pub entry: EntryId,
    /// The load; its lease ends with this, whatever the answer.
    pub load: LoadId,
    /// The token that came with the lease.
    pub token: Token,
    /// The key's own names.
    pub covering: Vec<Name>,
    /// What is stored.
    pub put: Put,
    /// The load holds the lease; else the token came from the head, and only newer events keep the value out.
    pub leased: bool,
}

/// A value on its way into L2.
#[derive(Clone, Debug)]
pub struct Put {
    /// Names that cover it beside the key's own.
    pub names: Vec<Name>,
    /// What [`super::wire`] made of it.
    pub envelope: Bytes,
    /// For how long it is fresh.
    pub fresh: Duration,
    /// For how long it is kept, fresh and stale.
    pub kept: Duration,
}

/// What became of a [`Fill`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filled {
    /// Stored.
    Stored,
    /// Refused: an old value was kept out.
    Refused(FillRefusal),
}

/// Why a fill was refused: the `cause` of `coherd_fills_rejected_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FillRefusal {
    /// The lease expired, or an event for the key voided it.
    LeaseLost,
    /// The shard began another lineage meanwhile.
    Lineage,
    /// An event newer than the token named a name that covers the entry.
    Stale,
    /// The entry holds a pending write.
    Dirty,
}
