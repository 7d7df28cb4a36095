//! The bulkhead: so many at once, a bounded queue before it, the most urgent first, and a typed refusal past a deadline.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use super::Urgency;

/// Waiting places per place inside.
const WAITING_PER_PLACE: usize = 16;
/// Waiting places at least, however few may be inside.
const WAITING_MIN: usize = 1024;
/// More than any head start.
const BEFORE_ALL: Duration = Duration::from_secs(10);

/// Lets at most `size` in at once. Who comes later waits, the most urgent first, up to its own deadline; the queue is
/// bounded too, so that a stalled system behind it costs a known amount of memory. Where it is full, the least urgent is
/// refused: whoever comes, or one that waits.
#[derive(Debug)]
pub struct Bulkhead(Arc<Hull>);

#[derive(Debug)]
struct Hull {
    size: usize,
    waiting_max: usize,
    built: Instant,
    line: Mutex<Line>,
}

#[derive(Debug)]
struct Line {
    /// Only while nobody waits: a place that becomes free goes to the first who does.
    free: usize,
    waiting: BTreeMap<Spot, oneshot::Sender<Place>>,
    arrivals: u64,
}

/// When somebody came, less its head start; then in order of arrival.
type Spot = (Duration, u64);

/// The right to be inside; dropping it lets the next one in.
#[derive(Debug)]
#[must_use = "dropping it gives the place up"]
pub struct Place(Arc<Hull>);

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
        Self::with_queue(size, size.saturating_mul(WAITING_PER_PLACE).max(WAITING_MIN))
    }

    fn with_queue(size: usize, waiting_max: usize) -> Self {
        let size = size.max(1);
        let line = Mutex::new(Line { free: size, waiting: BTreeMap::new(), arrivals: 0 });
        Self(Arc::new(Hull { size, waiting_max, built: Instant::now(), line }))
    }

    /// Enters, at once where there is room, else when its turn has come, until `deadline`.
    pub async fn enter(&self, deadline: Instant, urgency: Urgency) -> Result<Place, Refused> {
        let mut waiter = match self.line_up(urgency)? {
            Arrival::Inside(place) => return Ok(place),
            Arrival::Waiting(waiter) => waiter,
        };
        match timeout_at(deadline, &mut waiter.called).await {
            Ok(Ok(place)) => Ok(place),
            // One that is more urgent has taken the waiting place.
            Ok(Err(_)) => Err(Refused::QueueFull(self.0.waiting_max)),
            // Called at the very last moment: nobody else has that place.
            Err(_elapsed) => waiter.called.try_recv().map_err(|_| Refused::TimedOut),
        }
    }

    fn line_up(&self, urgency: Urgency) -> Result<Arrival<'_>, Refused> {
        let mut line = self.0.line();
        if 0 < line.free {
            line.free -= 1;
            return Ok(Arrival::Inside(Place(Arc::clone(&self.0))));
        }
        let came = Instant::now().duration_since(self.0.built) + BEFORE_ALL;
        let spot = (came.saturating_sub(urgency.head_start()), line.arrivals);
        line.arrivals += 1;
        if self.0.waiting_max <= line.waiting.len() {
            match line.waiting.last_entry() {
                Some(last) if spot < *last.key() => drop(last.remove()),
                _ => return Err(Refused::QueueFull(self.0.waiting_max)),
            }
        }
        let (call, called) = oneshot::channel();
        line.waiting.insert(spot, call);
        Ok(Arrival::Waiting(Waiter { hull: &self.0, spot, called }))
    }

    /// How many may be inside.
    pub fn size(&self) -> usize {
        self.0.size
    }

    /// How many are inside.
    pub fn in_use(&self) -> usize {
        self.0.size - self.0.line().free
    }

    /// How many wait.
    pub fn waiting(&self) -> usize {
        self.0.line().waiting.len()
    }
}

impl Hull {
    fn line(&self) -> MutexGuard<'_, Line> {
        // Nothing panics between two changes that belong together.
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let next = {
            let mut line = self.0.line();
            let next = line.waiting.pop_first();
            line.free += usize::from(next.is_none());
            next
        };
        if let Some((_, call)) = next {
            // One that has just gone leaves the place to the next: it is dropped again, right here.
            drop(call.send(Self(Arc::clone(&self.0))));
        }
    }
}

enum Arrival<'a> {
    Inside(Place),
    Waiting(Waiter<'a>),
}

/// Somebody who waits; gone from the line when it is dropped. A place that it was given and has not taken is dropped
/// with it.
struct Waiter<'a> {
    hull: &'a Hull,
    spot: Spot,
    called: oneshot::Receiver<Place>,
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        drop(self.hull.line().waiting.remove(&self.spot));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::FutureExt;
    use futures_util::stream::{FuturesUnordered, StreamExt};

    use super::*;

    const CALM: fn() -> Urgency = Urgency::default;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(5)
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_finds_no_place_is_refused_at_its_deadline() {
        let bulkhead = Bulkhead::new(1);
        let inside = bulkhead.enter(soon(), CALM()).await.unwrap();
        assert_eq!(bulkhead.enter(soon(), CALM()).await.unwrap_err(), Refused::TimedOut);
        assert_eq!((bulkhead.in_use(), bulkhead.waiting()), (1, 0));
        drop(inside);
        // A place that is free is had even past the deadline.
        let _inside = bulkhead.enter(Instant::now(), CALM()).await.unwrap();
        assert_eq!(bulkhead.in_use(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn the_queue_is_bounded() {
        let bulkhead = Bulkhead::with_queue(1, 2);
        let inside = bulkhead.enter(soon(), CALM()).await.unwrap();
        let mut first = Box::pin(bulkhead.enter(soon(), CALM()));
        let mut second = Box::pin(bulkhead.enter(soon(), CALM()));
        assert!(first.as_mut().now_or_never().is_none());
        assert!(second.as_mut().now_or_never().is_none());
        assert_eq!(bulkhead.waiting(), 2);
        assert_eq!(bulkhead.enter(soon(), CALM()).await.unwrap_err(), Refused::QueueFull(2));
        // One that gives up leaves its waiting place to another.
        drop(second);
        assert_eq!(bulkhead.waiting(), 1);
        assert!(bulkhead.enter(soon(), CALM()).now_or_never().is_none());
        drop(inside);
        assert!(first.await.is_ok());
        assert_eq!(bulkhead.waiting(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn places_are_given_in_order_of_arrival() {
        let bulkhead = Bulkhead::new(1);
        let inside = bulkhead.enter(soon(), CALM()).await.unwrap();
        let waiters: FuturesUnordered<_> = (0..10)
            .map(|n| {
                let mut entering = Box::pin(bulkhead.enter(soon(), CALM()));
                assert!(entering.as_mut().now_or_never().is_none());
                entering.map(move |place| (n, place.is_ok()))
            })
            .collect();
        drop(inside);
        let order: Vec<_> = waiters.collect().await;
        assert_eq!(order, (0..10).map(|n| (n, true)).collect::<Vec<_>>());
    }

    /// Who is inside, in order, when each goes at once: names with what they wait with.
    async fn order(bulkhead: &Bulkhead, waiting: &[(&'static str, u16, bool)]) -> Vec<&'static str> {
        let inside = bulkhead.enter(soon(), CALM()).await.unwrap();
        let waiters: FuturesUnordered<_> = waiting
            .iter()
            .map(|(name, heat, waited_for)| {
                let mut entering = Box::pin(bulkhead.enter(soon(), Urgency::of(*heat, *waited_for)));
                assert!(entering.as_mut().now_or_never().is_none());
                entering.map(move |_place| *name)
            })
            .collect();
        drop(inside);
        waiters.collect().await
    }

    #[tokio::test(start_paused = true)]
    async fn the_hottest_go_first_and_what_nobody_waits_for_last() {
        let waiting = [
            ("refresh", 9, false),
            ("cold", 0, true),
            ("warm", 9, true),
            ("hot", 999, true),
            ("warm too", 9, true),
        ];
        let bulkhead = Bulkhead::new(1);
        assert_eq!(order(&bulkhead, &waiting).await, ["hot", "warm", "warm too", "cold", "refresh"]);
        assert_eq!((bulkhead.in_use(), bulkhead.waiting()), (0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_waits_long_enough_is_overtaken_by_nobody() {
        let bulkhead = Bulkhead::new(1);
        let inside = bulkhead.enter(soon(), CALM()).await.unwrap();
        let mut cold = Box::pin(bulkhead.enter(soon(), CALM()));
        assert!(cold.as_mut().now_or_never().is_none());
        tokio::time::advance(Urgency::of(u16::MAX, true).head_start() + Duration::from_millis(1)).await;
        let mut hot = Box::pin(bulkhead.enter(soon(), Urgency::of(u16::MAX, true)));
        assert!(hot.as_mut().now_or_never().is_none());
        drop(inside);
        assert!(hot.as_mut().now_or_never().is_none());
        assert!(cold.now_or_never().is_some_and(|place| place.is_ok()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_queue_lets_the_least_urgent_go_for_one_that_is_more() {
        let bulkhead = Bulkhead::with_queue(1, 2);
        let inside = bulkhead.enter(soon(), CALM()).await.unwrap();
        let mut waiting: Vec<_> =
            [5, 0].map(|heat| Box::pin(bulkhead.enter(soon(), Urgency::of(heat, true)))).into();
        for entering in &mut waiting {
            assert!(entering.as_mut().now_or_never().is_none());
        }
        assert_eq!(bulkhead.enter(soon(), CALM()).await.unwrap_err(), Refused::QueueFull(2));
        let mut hot = Box::pin(bulkhead.enter(soon(), Urgency::of(99, true)));
        assert!(hot.as_mut().now_or_never().is_none());
        assert_eq!(waiting.pop().unwrap().await.unwrap_err(), Refused::QueueFull(2));
        drop(inside);
        drop(hot.await.unwrap());
        assert!(waiting.pop().unwrap().await.is_ok());
        assert_eq!((bulkhead.in_use(), bulkhead.waiting()), (0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_place_given_to_one_that_goes_away_at_that_moment_goes_to_the_next() {
        let bulkhead = Bulkhead::new(1);
        let inside = bulkhead.enter(soon(), CALM()).await.unwrap();
        let mut first = Box::pin(bulkhead.enter(soon(), CALM()));
        let mut second = Box::pin(bulkhead.enter(soon(), CALM()));
        assert!(first.as_mut().now_or_never().is_none());
        assert!(second.as_mut().now_or_never().is_none());
        drop(inside);
        // It has been called, and has not looked.
        drop(first);
        assert!(second.await.is_ok());
        assert_eq!(bulkhead.in_use(), 0);
    }

    #[test]
    fn the_queue_is_sixteen_times_the_size_or_1024() {
        assert_eq!(Bulkhead::new(0).size(), 1);
        assert_eq!(Bulkhead::new(1).0.waiting_max, 1024);
        assert_eq!(Bulkhead::new(1000).0.waiting_max, 16_000);
        assert_eq!(Bulkhead::new(usize::MAX).0.waiting_max, usize::MAX);
    }
}
