//! Deadlines that a client cannot put off. A task that is busy uses up its budget, and with none left its timers say nothing:
//! whoever sends faster than he is read would never be late.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use tokio::task::{Unconstrained, unconstrained};
use tokio::time::{Sleep, sleep};

/// A time that passes whatever else its task does.
pub(super) type Deadline = Pin<Box<Unconstrained<Sleep>>>;

/// After so long.
pub(super) fn deadline(after: Duration) -> Deadline {
    Box::pin(unconstrained(sleep(after)))
}

/// What comes of the work, if that is within the time. What is done at once needs no timer.
pub(super) async fn within<T>(limit: Duration, work: impl Future<Output = T>) -> Option<T> {
    let mut work = pin!(work);
    let mut late = None;
    poll_fn(|cx| {
        if let Poll::Ready(done) = work.as_mut().poll(cx) {
            return Poll::Ready(Some(done));
        }
        late.get_or_insert_with(|| deadline(limit)).as_mut().poll(cx).map(|()| None)
    })
    .await
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn work_that_is_always_busy_is_late_all_the_same() {
        let busy = async {
            loop {
                tokio::task::consume_budget().await;
            }
        };
        let late = timeout(Duration::from_secs(20), within(Duration::from_millis(50), busy)).await;
        assert_eq!(late, Ok(None::<()>));
        assert_eq!(within(Duration::from_secs(20), async { 7 }).await, Some(7));
    }
}
