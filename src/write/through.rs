//! Writes through: the key is in quarantine from before the origin is asked until what it took is stored.
//!
//! The work goes on when whoever asked has gone: a write that is at the origin must be announced.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tracing::{debug, warn};

use super::{Ask, Done, HOLD_SLACK, Mode, Shared, Slot, WriteError, fence};
use crate::backend::{Along, BackendError};
use crate::cache::Draft;
use crate::coherence::Receipt;
use crate::guard::Urgency;
use crate::model::{Key, Namespace};
use crate::origin::{self, Applied, Fence, OriginError};
use crate::supervisor::Stage;
use crate::telemetry::trace;

/// Between two attempts to announce what is at the origin.
const AGAIN: Duration = Duration::from_millis(100);
/// Before another attempt at the origin.
const PAUSE: Duration = Duration::from_millis(50);

/// Writes to the origin and answers once it is there and announced.
pub(super) async fn write(
    shared: &Arc<Shared>,
    mode: Mode,
    namespace: &Namespace,
    key: &Key,
    ask: Ask,
) -> Result<Done, WriteError> {
    let draft = shared.cache.draft(namespace, key, &ask.change, ask.lifetime, &ask.tags)?;
    let through = Through {
        shared: Arc::clone(shared),
        namespace: namespace.clone(),
        key: key.clone(),
        stores: mode == Mode::Through && !draft.put.kept.is_zero(),
        draft,
        ask,
    };
    let through = trace::within(trace::current(), through.run());
    let work = shared.supervisor.spawn(Stage::Write, "write.through", through);
    work.await.unwrap_or(Err(WriteError::Stopping))
}

struct Through {
    shared: Arc<Shared>,
    namespace: Namespace,
    key: Key,
    ask: Ask,
    draft: Draft,
    stores: bool,
}

impl Through {
    async fn run(self) -> Result<Done, WriteError> {
        let slot = self.shared.slot(&self.namespace).ok_or(WriteError::Off)?;
        let shard = self.shared.coherence.shard_of(&self.namespace, &self.key);
        let hold = slot.of.timeout.saturating_mul(slot.of.retries.saturating_add(1)) + HOLD_SLACK;
        let ends = Instant::now() + hold;
        let quarantine =
            Along::Quarantine { entry: self.draft.entry.clone(), load: self.draft.load.clone(), hold };
        let begun = self.shared.publish(&self.namespace, &self.key, quarantine, false).await?;
        let Some(token) = begun.token(shard) else {
            return Err(BackendError::Protocol("the write has no number".to_owned()).into());
        };
        let fence = fence(shard, &token.lineage, token.seq);
        let applied = self.at_the_origin(slot, &fence).await;
        // Whatever is not known to have failed may be there.
        let receipt = self.announce(&applied, token.seq, ends).await;
        applied?;
        let receipt = receipt?;
        if receipt.stored
            && let Some(token) = receipt.token(shard)
        {
            self.shared.cache.keep_written(&self.namespace, &self.key, self.draft, &token);
        }
        Ok(Done { receipt, behind: None })
    }

    async fn at_the_origin(&self, slot: &Slot, fence: &Fence) -> Result<Applied, origin::WriteError> {
        let mut left = slot.of.retries;
        loop {
            let error =
                match slot.of.origin.write(&self.key, &self.ask.change, fence, Urgency::of(0, true)).await {
                    Ok(applied) => return Ok(applied),
                    Err(error) => error,
                };
            let again = matches!(
                error,
                origin::WriteError::Failed { error: OriginError::Failed(_) | OriginError::Status(_), .. }
            );
            if !again || left == 0 {
                return Err(error);
            }
            left -= 1;
            debug!(entry.key = %self.key, error = %error, "a write failed, trying again");
            sleep(PAUSE).await;
        }
    }

    /// Ends the quarantine, with what the origin took or with nothing but the event. What is there and not announced
    /// would be the end of the promise: it is tried for as long as the quarantine lasts.
    async fn announce(
        &self,
        applied: &Result<Applied, origin::WriteError>,
        seq: u64,
        ends: Instant,
    ) -> Result<Receipt, BackendError> {
        let stores = self.stores && matches!(applied, Ok(Applied::Done));
        loop {
            let ended = Along::Ended {
                entry: self.draft.entry.clone(),
                load: self.draft.load.clone(),
                put: stores.then(|| self.draft.put.clone()),
                written: applied.is_ok().then_some(seq),
            };
            match self.shared.publish(&self.namespace, &self.key, ended, self.ask.confirm).await {
                Ok(receipt) => return Ok(receipt),
                Err(error) if ends <= Instant::now() => {
                    warn!(error = %error, "a write to the origin was not announced, its copies were dropped before it");
                    return Err(error);
                }
                Err(_) => sleep(AGAIN).await,
            }
        }
    }
}
