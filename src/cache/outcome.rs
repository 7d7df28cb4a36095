//! The room's own terms as metric labels.

use super::answer::{Answer, GetError, Via};
use crate::backend::FillRefusal;
use crate::model::Content;
use crate::telemetry::labels::{FillCause, RequestResult};

pub(super) fn fill_cause(refusal: FillRefusal) -> FillCause {
    match refusal {
        FillRefusal::LeaseLost => FillCause::LeaseLost,
        FillRefusal::Lineage => FillCause::Lineage,
        FillRefusal::Stale => FillCause::Stale,
        FillRefusal::Dirty => FillCause::Dirty,
    }
}

pub(super) fn request_result(answer: &Result<Answer, GetError>) -> RequestResult {
    match answer {
        Ok(Answer { via: Via::L1 | Via::L2, entry, .. }) if entry.content == Content::Absent => {
            RequestResult::Negative
        }
        Ok(answer) => match answer.via {
            Via::L1 => RequestResult::L1,
            Via::L2 | Via::PendingWrite => RequestResult::L2,
            Via::Stale => RequestResult::Stale,
            Via::Origin { .. } | Via::TooLarge => RequestResult::Miss,
            Via::Collapsed => RequestResult::Collapsed,
            Via::Bypass => RequestResult::Bypass,
        },
        Err(GetError::Missing { .. } | GetError::NotCached) => RequestResult::Miss,
        Err(GetError::Origin(_) | GetError::Unavailable(_)) => RequestResult::Error,
    }
}
