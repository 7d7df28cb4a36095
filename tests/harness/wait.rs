//! Waiting on conditions, never on a guess at how long something takes.

use std::time::Duration;

use tokio::time::{Instant, sleep};

/// How long anything that should happen at once may take on a machine that is busy.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// Between two looks at a condition.
const PAUSE: Duration = Duration::from_millis(10);

/// What a condition says: a `bool`, or an `Option` with what was waited for.
pub(crate) trait Condition {
    /// What is known once it holds.
    type Met;

    /// That, if it holds.
    fn met(self) -> Option<Self::Met>;
}

impl Condition for bool {
    type Met = ();
    fn met(self) -> Option<()> {
        self.then_some(())
    }
}

impl<T> Condition for Option<T> {
    type Met = T;
    fn met(self) -> Option<T> {
        self
    }
}

/// Waits until `check` holds, and gives what it found.
///
/// # Panics
///
/// If it does not hold `within` that time: "`what` did not happen".
pub(crate) async fn eventually<C: Condition>(
    what: &str,
    within: Duration,
    mut check: impl AsyncFnMut() -> C,
) -> C::Met {
    let start = Instant::now();
    loop {
        if let Some(met) = check().await.met() {
            return met;
        }
        assert!(start.elapsed() < within, "`{what}` did not happen within {within:?}");
        sleep(PAUSE).await;
    }
}
