//! `Cache-Status` (RFC 9211): which way an answer came, for people and for the caches downstream.

use crate::cache::{Answer, OriginError, Via};
use crate::model::Content;

/// For what is answered without looking for a value.
pub(super) const LOCAL: &str = "coherd";

/// How an answer came about.
pub(super) fn of_answer(answer: &Answer) -> String {
    let negative = answer.entry.content == Content::Absent;
    let ttl = ttl(answer);
    let detached = answer.detached;
    let detail = |usual: &'static str| if detached { "detached" } else { usual };
    match answer.via {
        Via::L1 | Via::L2 if negative => format!("coherd; hit; detail={}", detail("negative")),
        Via::L1 => format!("coherd; hit; ttl={ttl}; detail={}", detail("l1")),
        Via::L2 => format!("coherd; hit; ttl={ttl}; detail={}", detail("l2")),
        // What a soft event made stale may have time left: it does not serve as fresh all the same.
        Via::Stale => format!("coherd; hit; ttl={}; detail={}", ttl.min(0), detail("stale")),
        Via::PendingWrite => format!("coherd; hit; detail={}", detail("pending-write")),
        Via::Origin { stored: true } => format!("coherd; fwd=miss; stored; detail={}", detail("origin")),
        Via::Origin { stored: false } => format!("coherd; fwd=miss; detail={}", detail("origin")),
        Via::TooLarge => format!("coherd; fwd=miss; detail={}", detail("too-large")),
        Via::Collapsed if detached => "coherd; fwd=miss; collapsed; detail=detached".to_owned(),
        Via::Collapsed => "coherd; fwd=miss; collapsed".to_owned(),
        Via::Bypass => "coherd; fwd=bypass; detail=detached".to_owned(),
    }
}

/// How the origin failed.
pub(super) fn of_origin_error(error: &OriginError) -> String {
    match error {
        OriginError::Status(status) => format!("coherd; fwd=miss; fwd-status={status}; detail=origin"),
        OriginError::Failed(_) | OriginError::Unusable(_) | OriginError::TimedOut => {
            "coherd; fwd=miss; detail=origin".to_owned()
        }
        OriginError::Overloaded => "coherd; detail=overloaded".to_owned(),
        OriginError::LeftAlone(_) => "coherd; detail=breaker-open".to_owned(),
    }
}

/// The one word of a bulk read.
pub(super) fn word(answer: &Answer) -> &'static str {
    match answer.via {
        Via::L1 | Via::L2 if answer.entry.content == Content::Absent => "negative",
        Via::L1 => "l1",
        Via::L2 => "l2",
        Via::Stale => "stale",
        Via::Origin { .. } => "origin",
        Via::TooLarge => "too-large",
        Via::Collapsed => "collapsed",
        Via::Bypass => "bypass",
        Via::PendingWrite => "pending-write",
    }
}

/// What is left in whole seconds: `max-age` less `Age`, so that the headers agree. Negative once stale.
fn ttl(answer: &Answer) -> i64 {
    let seconds = |time: std::time::Duration| i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    seconds(answer.entry.lifetime.fresh) - seconds(answer.age)
}
