//! Asking the origin, and what it brought.

use std::time::Duration;

use super::{Load, Purpose};
use crate::cache::copy::Copy;
use crate::guard::Urgency;
use crate::model::{Content, Keep, Name, Stated};
use crate::origin::{Fetched, OriginError, Validators};
use crate::telemetry::labels::OriginOutcome;
use crate::telemetry::trace;

/// What the origin brought, with the names that cover it beside the key's own.
pub(super) struct Brought {
    pub(super) content: Content,
    pub(super) names: Vec<Name>,
    pub(super) stated: Stated,
    pub(super) age: Duration,
    pub(super) keep: Keep,
}

impl Load {
    pub(super) async fn ask(&self, kept: Option<&Copy>) -> Result<Brought, OriginError> {
        let Some(origin) = &self.space.settings.origin else {
            return Err(OriginError::Failed("the namespace has no origin".to_owned()));
        };
        let held = kept.and_then(|copy| match &copy.entry.content {
            Content::Present(value) => Some(value),
            Content::Absent => None,
        });
        let validators = held.and_then(Validators::of);
        let urgency = Urgency::of(self.space.heat.of(&self.key), self.purpose != Purpose::Refresh);
        let began = self.now();
        let loading = origin.load(&self.key, validators.as_ref(), urgency);
        let fetched = trace::within(self.on_behalf.clone(), loading).await;
        let metrics = &self.space.metrics.origin;
        metrics.duration.observe(self.now().since(began).as_secs_f64());
        metrics.requests.of(origin_outcome(&fetched)).inc();
        let fetched = fetched?;
        self.space.setbacks.over(&self.key);
        match (fetched, kept, held) {
            (Fetched::Loaded(loaded), ..) => {
                let names = self.space.names(&self.key, &loaded.tags);
                Ok(Brought {
                    content: loaded.content,
                    names,
                    stated: loaded.lifetime,
                    age: loaded.age,
                    keep: loaded.keep,
                })
            }
            // What still stands is still covered by what covered it.
            (Fetched::NotModified { lifetime, age, keep }, Some(copy), Some(value)) => Ok(Brought {
                content: Content::Present(value.clone()),
                names: copy.names.to_vec(),
                stated: lifetime,
                age,
                keep,
            }),
            (Fetched::NotModified { .. }, ..) => {
                Err(OriginError::Failed("304 to an unconditional request".to_owned()))
            }
        }
    }

    /// Whether what was loaded may be kept in the tiers.
    pub(super) fn keeps(&self, loaded: &Brought) -> bool {
        let absent = loaded.content == Content::Absent;
        loaded.keep == Keep::Yes && !(absent && self.space.settings.negative_ttl.is_zero())
    }
}

fn origin_outcome(fetched: &Result<Fetched, OriginError>) -> OriginOutcome {
    match fetched {
        Ok(Fetched::Loaded(loaded)) if loaded.content == Content::Absent => OriginOutcome::Absent,
        Ok(Fetched::Loaded(_)) => OriginOutcome::Ok,
        Ok(Fetched::NotModified { .. }) => OriginOutcome::NotModified,
        Err(OriginError::TimedOut) => OriginOutcome::Timeout,
        Err(OriginError::Overloaded | OriginError::LeftAlone(_)) => OriginOutcome::Overloaded,
        Err(OriginError::Status(_) | OriginError::Failed(_) | OriginError::Unusable(_)) => {
            OriginOutcome::Error
        }
    }
}
