//! The system of record: what a miss asks. It does not know who calls.

mod gate;
pub mod http;
pub mod sql;
mod write;

use std::error::Error as StdError;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::guard::{LeftAlone, Urgency};
use crate::model::{Content, Keep, Key, Loaded, Stated, Tag, Value, etag_of};

pub use write::{Applied, Change, Fence, WriteError};

/// How many times `max_value` a value may have to be passed on at all.
const PASSED_ON_FACTOR: usize = 16;
/// The most bytes of a value over `max_value` that are passed on.
const PASSED_ON_MAX: usize = 64 << 20;

/// What the copy at hand was validated by: a conditional load asks only whether it still stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Validators {
    /// The copy's `ETag`, if the origin gave one.
    pub etag: Option<Arc<str>>,
    /// The copy's `Last-Modified`.
    pub last_modified: Option<Arc<str>>,
}

impl Validators {
    /// What `value` can be validated by; `None` if the origin gave it nothing. An `ETag` that was made here from the
    /// bytes is left out: no origin knows it, and it would hide `Last-Modified`.
    pub fn of(value: &Value) -> Option<Self> {
        let own = |etag: &&Arc<str>| **etag != etag_of(&value.body);
        let validators = Self {
            etag: value.etag.as_ref().filter(own).cloned(),
            last_modified: value.last_modified.clone(),
        };
        (validators != Self::default()).then_some(validators)
    }
}

/// What the origin answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fetched {
    /// A value, or that there is none.
    Loaded(Loaded),
    /// The copy at hand still stands (304), with its tags.
    NotModified {
        /// What the answer says of its lifetime from now on.
        lifetime: Stated,
        /// Age it already had, by the origin's `Age` header.
        age: Duration,
        /// Whether it may be kept on.
        keep: Keep,
    },
}

/// Why a load brought nothing.
#[derive(Clone, Debug, thiserror::Error)]
pub enum OriginError {
    /// It answered with a status that is neither a value nor an absence.
    #[error("the origin answered {0}")]
    Status(u16),
    /// It could not be reached, broke off, or said something that is not understood.
    #[error("the origin failed: {0}")]
    Failed(String),
    /// No answer within `origin.timeout`, retries included.
    #[error("the origin did not answer within its time-out")]
    TimedOut,
    /// It works, but what it says of this key cannot be used, or no question can be made of the key.
    #[error("the origin's answer cannot be used: {0}")]
    Unusable(String),
    /// `origin.max_concurrency` loads are under way and none ended within `origin.timeout`.
    #[error("the origin's concurrency limit is reached")]
    Overloaded,
    /// Its breaker is open: it was not asked.
    #[error("the origin is not asked: {0}")]
    LeftAlone(#[from] LeftAlone),
}

/// A system of record.
#[async_trait]
pub trait Origin: Send + Sync + 'static {
    /// Loads a key. The hard time-out, the retries, the breaker and the concurrency limit, which the more urgent pass
    /// first, are within.
    async fn load(
        &self,
        key: &Key,
        held: Option<&Validators>,
        urgency: Urgency,
    ) -> Result<Fetched, OriginError>;

    /// Changes a key, in one attempt. The hard time-out, the breaker and the concurrency limit, shared with the loads,
    /// are within. What ran out of time may still arrive there.
    async fn write(
        &self,
        _key: &Key,
        _change: &Change,
        _fence: &Fence,
        _urgency: Urgency,
    ) -> Result<Applied, WriteError> {
        Err(WriteError::Refused("it cannot be written".to_owned()))
    }

    /// Whether a key can be removed where it can be written.
    fn removes(&self) -> bool {
        true
    }

    /// Why nobody is let through to it now; `None` where somebody is.
    fn left_alone(&self) -> Option<LeftAlone> {
        None
    }

    /// Gives back what has not been used for long; called now and then.
    fn tidy(&self) {}
}

/// An absence.
fn absent(tags: Vec<Tag>, keep: Keep) -> Fetched {
    Fetched::Loaded(Loaded {
        content: Content::Absent,
        tags,
        lifetime: Stated::default(),
        age: Duration::ZERO,
        keep,
    })
}

/// The most bytes that are read of a value when `max_value` are stored: 16 times as many, up to 64 MiB, but never
/// fewer than are stored. What lies between is passed on; beyond, the load fails, for memory has a bound.
fn passed_on_max(max_value: usize) -> usize {
    max_value.saturating_mul(PASSED_ON_FACTOR).min(PASSED_ON_MAX).max(max_value)
}

fn over_limit(limit: usize) -> OriginError {
    OriginError::Unusable(format!("the value is over the limit of {limit} bytes"))
}

/// The error and what it came from, in one line.
fn chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let said = cause.to_string();
        // Many repeat their source's message in their own.
        if !text.ends_with(&said) {
            write!(text, ": {said}").expect("a string takes all");
        }
        source = cause.source();
    }
    text
}

/// A breaker that never opens.
#[cfg(test)]
fn patient() -> Arc<crate::guard::Breaker> {
    let (target, forever) = ("origin".to_owned(), Duration::MAX);
    let settings = crate::guard::BreakerSettings {
        target,
        failures: u32::MAX,
        open_for: Duration::ZERO,
        probe_max: forever,
    };
    Arc::new(crate::guard::Breaker::new(settings))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_origin_gave_validates() {
        let made = Value { body: "v".into(), etag: Some(etag_of(b"v")), ..Value::default() };
        assert_eq!(Validators::of(&made), None);
        assert_eq!(Validators::of(&Value::default()), None);
        let dated = Value { last_modified: Some("yesterday".into()), ..made };
        let validators = Validators::of(&dated).unwrap();
        assert_eq!((validators.etag, validators.last_modified.as_deref()), (None, Some("yesterday")));
        let given = Value { etag: Some("\"7\"".into()), ..dated };
        assert_eq!(Validators::of(&given).unwrap().etag.as_deref(), Some("\"7\""));
    }

    #[test]
    fn what_is_passed_on_is_bounded() {
        assert_eq!(passed_on_max(1 << 20), 16 << 20);
        assert_eq!(passed_on_max(32 << 20), 64 << 20);
        assert_eq!(passed_on_max(1 << 30), 1 << 30);
        assert_eq!(passed_on_max(usize::MAX), usize::MAX);
    }
}
