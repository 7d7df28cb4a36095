//! How long a reader waits for a load: to its end, or only until a stale copy may be answered in its place: at once where
//! the namespace says so, after `origin.soft_timeout` where it is for errors only.

use std::pin::pin;
use std::sync::Arc;

use tokio::time::sleep;

use super::answer::{Answer, GetError, Via};
use super::copy::Copy;
use super::flight::{Landed, Seat, lost};
use super::freshness::{Use, decide};
use super::reader::{Reached, Read, Reader};

/// What ended the wait.
pub(super) enum Arrival {
    /// The load has.
    Landed(Landed),
    /// A stale copy is answered; the load goes on.
    Stale(Answer),
}

impl Reader {
    /// Waits for a load, with the copy in hand that could not be answered at once. The copies that the load comes upon
    /// count like that one.
    pub(super) async fn wait(
        &self,
        read: &Read<'_>,
        reached: &Reached,
        held: Option<&Copy>,
        mut seat: Seat,
    ) -> Result<Arrival, GetError> {
        let soft = read.space.settings.soft_timeout;
        let mut patience = pin!(sleep(soft.saturating_sub(self.now().since(read.arrived))));
        let mut patient = true;
        loop {
            let flying = seat.flying.borrow_and_update().clone();
            let found = flying.stale.as_ref().filter(|_| *reached == Reached::Yes).map(|found| &*found.copy);
            let stale =
                |wanted| [held, found].into_iter().flatten().find_map(|it| self.stale(read, it, wanted));
            match flying.ended {
                Some(Ok(landed)) => return Ok(Arrival::Landed(landed)),
                // A refresh that gave way to another instance's says nothing to those who joined it.
                Some(Err(error @ GetError::Unavailable(_))) if !seat.mine => return Err(error),
                Some(Err(error)) => return stale(Use::OnError).map(Arrival::Stale).ok_or(error),
                None => {}
            }
            if let Some(answer) = stale(if patient { Use::Stale } else { Use::OnError }) {
                return Ok(Arrival::Stale(answer));
            }
            tokio::select! {
                biased;
                changed = seat.flying.changed() => changed.map_err(|_| lost())?,
                // From here on a stale copy is better than none, whether it is here already or still to be found.
                () = &mut patience, if patient && !soft.is_zero() => patient = false,
            }
        }
    }

    /// The answer that a stale copy makes, if this reader may have it: at once, or when the origin fails.
    fn stale(&self, read: &Read<'_>, copy: &Copy, wanted: Use) -> Option<Answer> {
        let now = self.now();
        let judgement = self.judge(read.space, read.shard, copy, now)?;
        let age = copy.age(now);
        let used = decide(judgement, age, &copy.entry.lifetime, read.demand, false);
        let answer = || Answer { entry: Arc::clone(&copy.entry), age, via: Via::Stale, detached: false };
        (used == Use::Stale || used == wanted).then(answer)
    }
}
