//! The bulkhead: so many at once, a bounded queue before it, and a typed refusal past a deadline.

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout_at};

/// Waiting places per place inside.
const WAITING_PER_PLACE: usize = 16;
/// Waiting places at least, however few may be inside.
const WAITING_MIN: usize = 1024;

/// Lets at most `size` in at once. Who comes later waits in order of arrival, up to its own deadline; the queue is
/// bounded too, so that a stalled system behind it costs a known amount of memory.
#[derive(Debug)]
pub struct Bulkhead {
    size: usize,
    places: Semaphore,
    waiting_max: usize,
    queue: Semaphore,
}

/// The right to be inside; dropping it lets the next one in.
#[derive(Debug)]
#[must_use = "dropping it gives the place up"]
pub struct Place<'a> {
    _permit: SemaphorePermit<'a>,
}

/// Why nobody was let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The queue is full.
    #[error("{0} are waiting already")]
    QueueFull(usize),
    /// No place became free before the deadline.
    #[error("no place became free in time")]
    TimedOut,
}

impl Bulkhead {
    /// At most `size` at once, with 16 times as many waiting, but at least 1024. 0 is taken as 1.
    pub fn new(size: usize) -> Self {
        let size = size.clamp(1, Semaphore::MAX_PERMITS);
        let waiting = size.saturating_mul(WAITING_PER_PLACE).clamp(WAITING_MIN, Semaphore::MAX_PERMITS);
        Self::with_queue(size, waiting)
    }

    fn with_queue(size: usize, waiting_max: usize) -> Self {
        Self { size, places: Semaphore::new(size), waiting_max, queue: Semaphore::new(waiting_max) }
    }

    /// Enters, at once where there is room, else in order of arrival until `deadline`.
    pub async fn enter(&self, deadline: Instant) -> Result<Place<'_>, Refused> {
        // Never overtakes: a freed permit goes to the first waiter, so there is none to take while anybody waits.
        if let Ok(permit) = self.places.try_acquire() {
            return Ok(Place { _permit: permit });
        }
        let _waiting = self.queue.try_acquire().map_err(|_| Refused::QueueFull(self.waiting_max))?;
        match timeout_at(deadline, self.places.acquire()).await {
            Ok(permit) => Ok(Place { _permit: permit.expect("the semaphore is never closed") }),
            Err(_elapsed) => Err(Refused::TimedOut),
        }
    }

    /// How many may be inside.
    pub fn size(&self) -> usize {
        self.size
    }

    /// How many are inside.
    pub fn in_use(&self) -> usize {
        self.size - self.places.available_permits()
    }

    /// How many wait.
    pub fn waiting(&self) -> usize {
        self.waiting_max - self.queue.available_permits()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::FutureExt;
    use futures_util::stream::{FuturesUnordered, StreamExt};

    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(5)
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_finds_no_place_is_refused_at_its_deadline() {
        let bulkhead = Bulkhead::new(1);
        let inside = bulkhead.enter(soon()).await.unwrap();
        assert_eq!(bulkhead.enter(soon()).await.unwrap_err(), Refused::TimedOut);
        assert_eq!((bulkhead.in_use(), bulkhead.waiting()), (1, 0));
        drop(inside);
        // A place that is free is had even past the deadline.
        let _inside = bulkhead.enter(Instant::now()).await.unwrap();
        assert_eq!(bulkhead.in_use(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn the_queue_is_bounded() {
        let bulkhead = Bulkhead::with_queue(1, 2);
        let inside = bulkhead.enter(soon()).await.unwrap();
        let mut first = Box::pin(bulkhead.enter(soon()));
        let mut second = Box::pin(bulkhead.enter(soon()));
        assert!(first.as_mut().now_or_never().is_none());
        assert!(second.as_mut().now_or_never().is_none());
        assert_eq!(bulkhead.waiting(), 2);
        assert_eq!(bulkhead.enter(soon()).await.unwrap_err(), Refused::QueueFull(2));
        // One that gives up leaves its waiting place to another.
        drop(second);
        assert_eq!(bulkhead.waiting(), 1);
        assert!(bulkhead.enter(soon()).now_or_never().is_none());
        drop(inside);
        assert!(first.await.is_ok());
        assert_eq!(bulkhead.waiting(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn places_are_given_in_order_of_arrival() {
        let bulkhead = Bulkhead::new(1);
        let inside = bulkhead.enter(soon()).await.unwrap();
        let waiters: FuturesUnordered<_> = (0..10)
            .map(|n| {
                let mut entering = Box::pin(bulkhead.enter(soon()));
                assert!(entering.as_mut().now_or_never().is_none());
                entering.map(move |place| (n, place.is_ok()))
            })
            .collect();
        drop(inside);
        let order: Vec<_> = waiters.collect().await;
        assert_eq!(order, (0..10).map(|n| (n, true)).collect::<Vec<_>>());
    }

    #[test]
    fn the_queue_is_sixteen_times_the_size_or_1024() {
        assert_eq!(Bulkhead::new(0).size(), 1);
        assert_eq!(Bulkhead::new(1).waiting_max, 1024);
        assert_eq!(Bulkhead::new(1000).waiting_max, 16_000);
        assert_eq!(Bulkhead::new(usize::MAX).size(), Semaphore::MAX_PERMITS);
    }
}
