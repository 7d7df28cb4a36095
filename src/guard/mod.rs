//! What keeps a failing part from taking the rest along.

mod bulkhead;
mod callers;
mod jitter;
mod rate;
mod urgency;

pub use bulkhead::{Bulkhead, Place, Refused};
pub use jitter::share_of;
pub use rate::RateLimit;
pub use urgency::Urgency;
