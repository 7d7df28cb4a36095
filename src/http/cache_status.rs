//! `Cache-Status` (RFC 9211): which way an answer came, for people and for the caches downstream.

use std::time::Duration;

use hyper::header::HeaderValue;

use super::brief::Brief;
use crate::cache::{Answer, OriginError, Via};
use crate::model::Content;

/// For what is answered without looking for a value.
pub(super) const LOCAL: &str = "coherd";

/// How an answer came about.
pub(super) fn of_answer(answer: &Answer) -> HeaderValue {
    let negative = answer.entry.content == Content::Absent;
    let ttl = ttl(answer);
    let detached = answer.detached;
    let detail = |usual: &'static str| if detached { "detached" } else { usual };
    let hit = Brief::new("coherd; hit; ");
    let status = match answer.via {
        Via::L1 | Via::L2 if negative => hit.text("detail=").text(detail("negative")),
        Via::L1 => hit.text("ttl=").number(ttl).text("; detail=").text(detail("l1")),
        Via::L2 => hit.text("ttl=").number(ttl).text("; detail=").text(detail("l2")),
        // What a soft event made stale may have time left: it does not serve as fresh all the same.
        Via::Stale => hit.text("ttl=").number(ttl.min(0)).text("; detail=").text(detail("stale")),
        Via::PendingWrite => hit.text("detail=").text(detail("pending-write")),
        Via::Origin { stored: true } => {
            Brief::new("coherd; fwd=miss; stored; detail=").text(detail("origin"))
        }
        Via::Origin { stored: false } => Brief::new("coherd; fwd=miss; detail=").text(detail("origin")),
        Via::TooLarge => Brief::new("coherd; fwd=miss; detail=").text(detail("too-large")),
        Via::Collapsed if detached => Brief::new("coherd; fwd=miss; collapsed; detail=detached"),
        Via::Collapsed => Brief::new("coherd; fwd=miss; collapsed"),
        Via::Bypass => Brief::new("coherd; fwd=bypass; detail=detached"),
    };
    status.value()
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
    whole_seconds(answer.entry.lifetime.fresh) - whole_seconds(answer.age)
}

/// Rounded down.
pub(super) fn whole_seconds(time: Duration) -> i64 {
    i64::try_from(time.as_secs()).unwrap_or(i64::MAX)
}
