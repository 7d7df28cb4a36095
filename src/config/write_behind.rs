//! `[write_behind]`: the queue between a write's acknowledgement and the origin.

use std::time::Duration;

use super::declare::section;
use super::kind::{duration, int};

section! { at =>
    /// `[write_behind]`
    pub struct WriteBehind {
        /// Queues that are worked side by side; a key is always in the same one.
        partitions: u16 = at.or(8, int(1..=1024));
        /// Writes taken at once.
        batch: usize = at.or(64, int(1..=10_000));
        /// After a worker died, another has its work within this.
        takeover: Duration = at.or("10s", duration("100ms", "1h"));
        /// Pending writes; beyond it 503.
        backlog_max: u64 = at.or(1_000_000, int(1..=1_000_000_000));
        /// How a write that failed for a while is tried again.
        retry: Retry = at.table(Retry::read);
    }
}

section! { at =>
    /// `write_behind.retry`
    pub struct Retry {
        /// First pause.
        initial: Duration = at.or("100ms", duration("1ms", "1h"));
        /// Longest pause.
        max: Duration = at.or("30s", duration("1ms", "24h"));
        /// Then the write is a dead letter.
        attempts: u32 = at.or(10, int(1..=1_000_000));
    }
}
