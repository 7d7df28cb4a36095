//! What keeps a failing part from taking the rest along.

mod breaker;
mod bulkhead;
mod callers;
mod jitter;
mod rate;
mod urgency;

pub use breaker::{Breaker, BreakerSettings, LeftAlone, Pass, Phase};
pub use bulkhead::{Bulkhead, Place, Refused};
pub use jitter::share_of;
pub use rate::RateLimit;
pub use urgency::Urgency;
