//! The room's own terms as metric labels.

use super::answer::{Answer, GetError, Via};
use super::flight::{Landed, Outcome};
use crate::backend::FillRefusal;
use crate::model::Content;
use crate::telemetry::labels::{FillCause, RefreshOutcome, RequestResult};

pub(super) fn fill_cause(refusal: FillRefusal) -> FillCause {
    match refusal {
        FillRefusal::LeaseLost => FillCause::LeaseLost,
        FillRefusal::Lineage => FillCause::Lineage,
        FillRefusal::Stale => FillCause::Stale,
        FillRefusal::Dirty => FillCause::Dirty,
    }
}

pub(super) fn request_result(answer: &Answer) -> RequestResult {
    match answer.via {
        Via::L1 | Via::L2 if answer.entry.content == Content::Absent => RequestResult::Negative,
        Via::L1 => RequestResult::L1,
        Via::L2 | Via::PendingWrite => RequestResult::L2,
        Via::Stale => RequestResult::Stale,
        Via::Origin { .. } | Via::TooLarge => RequestResult::Miss,
        Via::Collapsed => RequestResult::Collapsed,
        Via::Bypass => RequestResult::Bypass,
    }
}

pub(super) fn request_result_of(answer: &Result<Answer, GetError>) -> RequestResult {
    match answer {
        Ok(answer) => request_result(answer),
        Err(GetError::Missing { .. } | GetError::NotCached) => RequestResult::Miss,
        Err(GetError::Origin(_) | GetError::Unavailable(_)) => RequestResult::Error,
    }
}

pub(super) fn refresh_outcome(outcome: &Outcome) -> RefreshOutcome {
    match outcome {
        Ok(Landed { via: Via::Origin { stored: true }, .. }) => RefreshOutcome::Stored,
        Ok(Landed { via: Via::Origin { stored: false } | Via::TooLarge | Via::Bypass, .. }) => {
            RefreshOutcome::Rejected
        }
        Ok(_) => RefreshOutcome::NotModified,
        Err(GetError::Unavailable(_)) => RefreshOutcome::Busy,
        Err(_) => RefreshOutcome::Failed,
    }
}
