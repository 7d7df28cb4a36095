//! What must hold in every state, whatever happens next.

use super::setting;
use super::world::World;
use crate::coherence::core::Standing;

impl World {
    /// Looks at what would be answered now, and at what would be answered for ever.
    pub(super) fn check(&mut self) {
        let violation = self.answered_now().or_else(|| self.answered_for_ever());
        self.violation = self.violation.or(violation);
    }

    fn answered_now(&self) -> Option<&'static str> {
        let old = |i| self.hit(i).is_some_and(|copy| setting::version(copy) < self.acknowledged);
        let violated = (0..self.instances.len()).any(old);
        violated.then_some("L1 answers a read that begins after an acknowledgement with older data")
    }

    /// Every event is logged: what a tier takes for valid by all that there is to know is what the origin has.
    fn answered_for_ever(&self) -> Option<&'static str> {
        // A server that no handshake has seen is asked for nothing.
        if !self.all_published() || self.server.begun_on != self.server.run {
            return None;
        }
        let old = |version: u8| version < self.origin;
        let server = &self.server;
        let entry = server.shard.entry(server.now, setting::entry()).map(setting::stored_version);
        let fresh = || server.shard.has_fresh(server.now, setting::entry(), setting::own_names());
        if entry.is_some_and(old) && fresh() {
            return Some("L2 takes for valid what is older than every event");
        }
        let (lineage, head) = server.shard.place();
        let caught_up = |instance: &super::instance::Instance| {
            !instance.following.wants_head()
                && lineage.is_some_and(|(current, _)| instance.view.lineage().as_ref() == Some(current))
                && instance.view.cursor() == head
        };
        let blind = self.config.lacks(super::config::Weakness::BlindL1);
        let now = self.time.same();
        let keeps = |instance: &super::instance::Instance| {
            instance.copy.as_ref().is_some_and(|copy| {
                let standing =
                    copy.stamp.map(|stamp| instance.view.judge(stamp, &copy.slots, now, setting::D).standing);
                old(setting::version(copy)) && (blind || standing == Some(Standing::Valid))
            })
        };
        let stale = self.instances.iter().any(|instance| caught_up(instance) && keeps(instance));
        stale.then_some("an instance that has seen every event takes for valid what is older")
    }
}
