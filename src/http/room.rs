//! Room for the bodies of requests: how many bytes of them are held at once, on both listeners together. Each body has a
//! limit of its own, but ten thousand connections may each send one.

use std::sync::Arc;

use tokio::sync::{Semaphore, SemaphorePermit};

use super::problem::{Code, Problem};

/// What is counted, in bytes: a little body takes one of these.
const UNIT: usize = 1 << 10;
/// The least room there is.
const BYTES_MIN: usize = 256 << 20;
/// Bodies of the largest size that find room at once.
const LARGEST: usize = 4;

/// All of it. Clones share it.
#[derive(Clone, Debug)]
pub struct Rooms(Arc<Semaphore>);

impl Rooms {
    /// For bodies of `max_body` bytes at the most: 256 MiB, or four of them if that is more.
    pub fn for_bodies_of(max_body: usize) -> Self {
        Self::of_bytes(BYTES_MIN.max(LARGEST.saturating_mul(max_body)))
    }

    /// So much.
    pub(super) fn of_bytes(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new((bytes / UNIT).min(Semaphore::MAX_PERMITS))))
    }

    /// For a body of which nothing is there yet.
    pub(super) fn enter(&self) -> Room<'_> {
        Room { rooms: self, held: None }
    }
}

/// What one body has of it; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Room<'a> {
    rooms: &'a Rooms,
    held: Option<SemaphorePermit<'a>>,
}

impl Room<'_> {
    /// Takes as much as a body of so many bytes needs, without waiting: whoever waited would hold what it has.
    pub(super) fn hold(&mut self, bytes: usize) -> Result<(), Problem> {
        let held = self.held.as_ref().map_or(0, SemaphorePermit::num_permits);
        let missing = bytes.div_ceil(UNIT).saturating_sub(held);
        if missing == 0 {
            return Ok(());
        }
        let more =
            u32::try_from(missing).ok().and_then(|missing| self.rooms.0.try_acquire_many(missing).ok());
        let more = more.ok_or_else(|| Problem::new(Code::Overloaded, "too many bodies are being read"))?;
        match &mut self.held {
            Some(held) => held.merge(more),
            none => *none = Some(more),
        }
        Ok(())
    }
}
