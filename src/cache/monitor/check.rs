//! One check: what the log, the copies and the origin say of an answer or an event.

use std::sync::Arc;
use std::time::Duration;

use tracing::{debug, error, warn};

use super::log::{Verdict, verdict};
use super::{Sighting, Subject};
use crate::backend::Logged;
use crate::cache::copy::Copy;
use crate::cache::freshness::Use;
use crate::cache::load::Purpose;
use crate::cache::reader::Reader;
use crate::cache::space::Space;
use crate::coherence::Firsts;
use crate::guard::Urgency;
use crate::model::{Content, Hardness, Key, Name, Shard, Target, covering};
use crate::origin::Fetched;
use crate::telemetry::Throttle;
use crate::telemetry::labels::CheckResult;

static VIOLATIONS: Throttle = Throttle::new();
static DIFFERENCES: Throttle = Throttle::new();

impl Reader {
    /// What is found, and whether the origin was asked. It is asked only if it may be.
    pub(super) async fn look_at(self: &Arc<Self>, subject: &Subject, ask: bool) -> (CheckResult, bool) {
        let (result, space, key) = match subject {
            Subject::Answer(sighting) => {
                (self.answer_held(sighting, ask).await, Some(&sighting.space), Some(&sighting.key))
            }
            Subject::Event(shard, logged) => match self.key_of(logged) {
                Some((space, key)) => {
                    (self.event_held(*shard, logged, space, key).await, Some(space), Some(key))
                }
                // What it names are no keys that could be looked for one by one.
                None => (CheckResult::Inconclusive, None, None),
            },
        };
        if result == CheckResult::Violation
            && let Some(suppressed) = VIOLATIONS.pass()
        {
            let namespace = space.map_or("", |space| space.name());
            error!(
                namespace,
                suppressed, "the coherence monitor found a copy that is older than was promised"
            );
            debug!(entry.key = key.map_or("", |key| &**key), "it was of this key");
        }
        match (result, space, key) {
            (CheckResult::Ok, Some(space), Some(key)) if ask => self.origin_agrees(space, key).await,
            _ => (result, false),
        }
    }

    /// An answer against the log: which is read where the watermarks know of an event, and else now and then all the same,
    /// for they may be wrong.
    async fn answer_held(&self, sighting: &Sighting, thorough: bool) -> CheckResult {
        let Sighting { space, key, shard, copy, arrived } = sighting;
        let Some(stamp) = copy.stamp else { return CheckResult::Inconclusive };
        // Another history since: its numbers say nothing of these.
        let position = self.coherence.position(*shard);
        if position.is_none_or(|it| !it.same_history(stamp))
            || !self.coherence.leased(*shard, space.settings.max_staleness)
        {
            return CheckResult::Inconclusive;
        }
        let names: Vec<Name> =
            covering(space.name(), key).into_iter().chain(copy.names.iter().cloned()).collect();
        let suspected = self.coherence.may_be_named_after(*shard, &names, stamp.seq());
        if !suspected && !thorough {
            return CheckResult::Ok;
        }
        let first = self.coherence.first_after(*shard, &names, stamp.seq()).await;
        let came_us = self.coherence.server_us(*shard, *arrived);
        match first {
            Ok(Firsts::None) => CheckResult::Ok,
            Ok(Firsts::Event(logged)) => match verdict(logged.at_us, came_us, space.settings.max_staleness) {
                Verdict::Later => CheckResult::Ok,
                Verdict::Within => CheckResult::StaleInBound,
                Verdict::Beyond => CheckResult::Violation,
            },
            Ok(Firsts::Unknown) if !suspected => CheckResult::Ok,
            Ok(Firsts::Unknown) | Err(_) => CheckResult::Inconclusive,
        }
    }

    /// An event against the copies that would be answered now.
    async fn event_held(
        self: &Arc<Self>,
        shard: Shard,
        logged: &Logged,
        space: &Arc<Space>,
        key: &Key,
    ) -> CheckResult {
        let Some(position) = self.coherence.position(shard) else { return CheckResult::Inconclusive };
        if position.seq() < logged.seq || logged.event.hardness == Hardness::Soft {
            return CheckResult::Inconclusive;
        }
        match self.answerable(space, key).await {
            Ok(Some(copy)) => match copy.stamp {
                Some(stamp) if !stamp.same_history(position) => CheckResult::Inconclusive,
                // A pending write stands until the origin has it, whatever names its key.
                Some(stamp) if stamp.seq() < logged.seq && !copy.dirty => CheckResult::Violation,
                _ => CheckResult::Ok,
            },
            Ok(None) => CheckResult::Ok,
            Err(()) => CheckResult::Inconclusive,
        }
    }

    /// The first of an event's keys in a namespace of this instance.
    fn key_of<'a>(&'a self, logged: &'a Logged) -> Option<(&'a Arc<Space>, &'a Key)> {
        logged.event.targets.iter().find_map(|target| match target {
            Target::Key(namespace, key) => Some((self.spaces.get(&**namespace)?, key)),
            _ => None,
        })
    }

    /// The copy that a reader would be answered with now, from either tier; nothing is kept of what is found.
    async fn answerable(self: &Arc<Self>, space: &Arc<Space>, key: &Key) -> Result<Option<Arc<Copy>>, ()> {
        let load = self.load(space, key, Purpose::Miss, None);
        let fresh = |copy: &Arc<Copy>| load.usable(copy) == Some(Use::Fresh);
        if let Some(copy) = space.l1.get(key).filter(fresh) {
            return Ok(Some(copy));
        }
        let found = self.backend.peek(&[space.entry(key)]).await.map_err(|_| ())?;
        let stored = found.into_iter().next().flatten();
        Ok(stored.and_then(|stored| load.copy(&stored, self.now())).filter(fresh))
    }

    /// The copy, the origin, the copy again.
    async fn origin_agrees(self: &Arc<Self>, space: &Arc<Space>, key: &Key) -> (CheckResult, bool) {
        let Some(origin) = space.settings.origin.as_ref().filter(|origin| origin.left_alone().is_none())
        else {
            return (CheckResult::Ok, false);
        };
        let Ok(Some(before)) = self.answerable(space, key).await else { return (CheckResult::Ok, false) };
        // Nobody says that these are what the origin has.
        if before.dirty || before.unseen.is_some() {
            return (CheckResult::Ok, false);
        }
        let said = match origin.load(key, None, Urgency::of(0, false)).await {
            Ok(Fetched::Loaded(loaded)) => loaded.content,
            Ok(Fetched::NotModified { .. }) | Err(_) => return (CheckResult::Inconclusive, true),
        };
        let agree = match (&said, &before.entry.content) {
            (Content::Present(said), Content::Present(held)) => said.body == held.body,
            (Content::Absent, Content::Absent) => true,
            _ => false,
        };
        if agree {
            return (CheckResult::Ok, true);
        }
        // An event that is on its way, or a load that was faster: the origin was asked too late to tell.
        tokio::time::sleep(ON_ITS_WAY).await;
        let after = self.answerable(space, key).await.ok().flatten();
        if after.is_none_or(|after| after.load != before.load || after.stamp != before.stamp) {
            return (CheckResult::Inconclusive, true);
        }
        if let Some(suppressed) = DIFFERENCES.pass() {
            let namespace = &**space.name();
            warn!(
                namespace,
                suppressed, "the origin says something else than a copy that no event has named"
            );
            debug!(entry.key = &**key, "it was of this key");
        }
        (CheckResult::OriginDiffers, true)
    }
}

/// How long the event of a change may take to get here.
const ON_ITS_WAY: Duration = Duration::from_millis(500);
