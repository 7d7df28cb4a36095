//! The room's own terms as metric labels.

use super::core::{Gap, Leap};
use super::form::FormError;
use super::{Door, Path, WaitMode};
use crate::model::{Event, Target};
use crate::telemetry::CoherenceMetrics;
use crate::telemetry::labels::{
    EventPath, EventSource, GapCause, Label as _, RejectReason, ResyncCause, TargetKind, WaitEnd,
};

/// What an event from outside is counted under when it is refused.
pub(super) fn reason(error: &FormError) -> RejectReason {
    match error {
        FormError::TooLarge(_) => RejectReason::TooLarge,
        FormError::Malformed(_) => RejectReason::Malformed,
        FormError::UnknownField(_) => RejectReason::UnknownField,
        FormError::NoTarget => RejectReason::NoTarget,
        FormError::TooManyTargets => RejectReason::TooManyTargets,
        FormError::NoNamespace | FormError::BadNamespace(_) => RejectReason::BadNamespace,
        FormError::BadKey(_) => RejectReason::BadKey,
        FormError::BadPrefix(_) => RejectReason::BadPrefix,
        FormError::BadTag(_) => RejectReason::BadTag,
        FormError::BadRequestId => RejectReason::BadRequestId,
    }
}

impl Door {
    fn source(self) -> EventSource {
        match self {
            Self::Http => EventSource::Http,
            Self::Purge => EventSource::Purge,
            Self::Inbox => EventSource::Inbox,
            Self::Pubsub => EventSource::Pubsub,
            Self::Write => EventSource::Write,
            Self::CloudEvents => EventSource::CloudEvents,
            Self::Postgres => EventSource::Postgres,
            Self::Debezium => EventSource::Debezium,
        }
    }

    /// Its name in metrics and traces.
    pub fn label(self) -> &'static str {
        self.source().as_str()
    }
}

/// Counting in the room's terms.
pub(super) trait Meter {
    /// An event was logged here.
    fn count_published(&self, door: Door);
    /// So many calls of the function logged an event: this instance was told, and no other is.
    fn count_called(&self, calls: u64);
    /// An event was applied here.
    fn count_applied(&self, event: &Event, path: Path);
    /// Events were or may have been missed.
    fn count_gap(&self, gap: Gap);
    /// Everything held became invalid.
    fn count_resync(&self, leap: Leap);
    /// An event from outside was dropped.
    fn count_rejected(&self, reason: RejectReason);
    /// A publisher waited for so long.
    fn observe_wait(&self, mode: WaitMode, seconds: f64);
}

impl Meter for CoherenceMetrics {
    fn count_published(&self, door: Door) {
        self.published.of(door.source()).inc();
    }

    fn count_called(&self, calls: u64) {
        self.published.of(EventSource::Fcall).inc_by(calls);
    }

    fn count_applied(&self, event: &Event, path: Path) {
        let path = match path {
            Path::Pubsub => EventPath::Pubsub,
            Path::Stream => EventPath::Stream,
        };
        for target in &event.targets {
            let kind = match target {
                Target::Key(..) => TargetKind::Key,
                Target::Prefix(..) => TargetKind::Prefix,
                Target::Namespace(_) => TargetKind::Namespace,
                Target::Tag(_) => TargetKind::Tag,
                Target::All => TargetKind::All,
            };
            self.applied.of(kind).of(path).inc();
        }
    }

    fn count_gap(&self, gap: Gap) {
        let cause = match gap {
            Gap::Sequence => GapCause::Sequence,
            Gap::Lagged => GapCause::Lagged,
            Gap::Reconnect => GapCause::Reconnect,
            Gap::Heartbeat => GapCause::Heartbeat,
            Gap::Trimmed => GapCause::Trimmed,
        };
        self.gaps.of(cause).inc();
    }

    fn count_resync(&self, leap: Leap) {
        let cause = match leap {
            // Nothing was held yet.
            Leap::Start => return,
            Leap::Lineage => ResyncCause::Lineage,
            Leap::Fork => ResyncCause::Fork,
        };
        self.resyncs.of(cause).inc();
    }

    fn count_rejected(&self, reason: RejectReason) {
        self.events_rejected.of(reason).inc();
    }

    fn observe_wait(&self, mode: WaitMode, seconds: f64) {
        let end = match mode {
            WaitMode::Early => WaitEnd::Early,
            WaitMode::Late => WaitEnd::Late,
            WaitMode::TimedOut => WaitEnd::TimedOut,
        };
        self.wait_all.of(end).observe(seconds);
    }
}
