//! What keeps a failing part from taking the rest along.

mod bulkhead;

pub use bulkhead::{Bulkhead, Place, Refused};
