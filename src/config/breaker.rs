//! `breaker`: when a failing part is left alone for a while.

use std::time::Duration;

use super::declare::section;
use super::kind::{duration, int};

section! { at =>
    /// A circuit breaker's settings.
    pub struct Breaker {
        /// So many failures in a row open it.
        failures: u32 = at.or(5, int(1..=1_000_000));
        /// How long it stays open before one attempt is let through.
        open_for: Duration = at.or("5s", duration("1ms", "1h"));
    }
}
