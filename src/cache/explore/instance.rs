//! An instance: the follower and the view of the product, its copy, its load, and what is on its way to it.

use std::collections::VecDeque;
use std::sync::Arc;

use super::config::Weakness;
use super::load::Load;
use super::setting::{self, D};
use super::world::{Action, World};
use crate::backend::memory::LEAP;
use crate::backend::{Head, Logged, Member};
use crate::cache::answer::Demand;
use crate::cache::copy::Copy;
use crate::cache::freshness::{Use, decide};
use crate::clock::Boot;
use crate::coherence::core::{Answer, Following, Heard, View};
use crate::model::{LineageId, Seq};

/// Events read from the log at once: more than are ever logged here.
const PAGE_MAX: usize = 100;

/// One instance.
#[derive(Clone)]
pub(super) struct Instance {
    pub(super) name: &'static str,
    pub(super) connected: bool,
    pub(super) following: Following,
    pub(super) view: View,
    /// The lineage followed and since when.
    pub(super) followed: Option<(LineageId, Boot)>,
    /// Announcements on their way.
    pub(super) announced: VecDeque<(LineageId, Logged)>,
    /// A heartbeat's answer on its way, and when it was sent.
    pub(super) answered: Option<(Boot, Head)>,
    /// A heartbeat knew of events that were not announced: the log is to be read.
    pub(super) read_due: bool,
    /// How far it has told publishers that it has come.
    pub(super) confirmed: Seq,
    /// L1.
    pub(super) copy: Option<Arc<Copy>>,
    /// The load under way.
    pub(super) load: Option<Load>,
}

impl Instance {
    pub(super) fn new(name: &'static str) -> Self {
        Self {
            name,
            connected: true,
            following: Following::default(),
            view: View::new(setting::SLOTS),
            followed: None,
            announced: VecDeque::new(),
            answered: None,
            read_due: false,
            confirmed: 0,
            copy: None,
            load: None,
        }
    }

    /// What a copy may be used for, as the read path decides it.
    pub(super) fn usable(&self, copy: &Copy, now: Boot) -> Option<Use> {
        let judgement = self.view.judge(copy.stamp?, &copy.slots, now, D);
        Some(decide(judgement, copy.age(now), &copy.entry.lifetime, &Demand::default(), false))
    }

    /// An event, or a leap over some, has reached the view.
    fn moved(&mut self, blind: bool) {
        if self.following.all_proven() {
            self.read_due = false;
        }
        if blind {
            self.copy = None;
        }
    }
}

impl World {
    /// What L1 answers a read with that begins now.
    pub(super) fn hit(&self, i: usize) -> Option<&Arc<Copy>> {
        let (instance, now) = (&self.instances[i], self.time.same());
        let copy = instance.copy.as_ref()?;
        let used = if self.config.lacks(Weakness::BlindL1) {
            instance.view.leased(now, D)
        } else {
            instance.usable(copy, now) == Some(Use::Fresh)
        };
        used.then_some(copy)
    }

    pub(super) fn possible_at(&mut self, i: usize, actions: &mut Vec<Action>) {
        let instance = &self.instances[i];
        let mut may = |when: bool, action: Action| {
            if when {
                actions.push(action);
            }
        };
        let connected = instance.connected;
        may(connected && instance.answered.is_none() && self.beat_tells(i), Action::Beat(i));
        may(instance.answered.is_some(), Action::Proof(i));
        may(!instance.announced.is_empty(), Action::Hear(i));
        may(!instance.announced.is_empty() && 0 < self.left.losses, Action::Lose(i));
        may(connected && instance.read_due, Action::ReadLog(i));
        may(connected && 0 < self.left.cuts, Action::Cut(i));
        may(!connected, Action::Connect(i));
        if instance.load.is_some() {
            self.possible_load(i, actions);
        }
    }

    /// Whether a heartbeat could tell anything: beside a live lease at the head of the log, its answer changes nothing
    /// whenever it arrives, for no other answer is between them.
    fn beat_tells(&self, i: usize) -> bool {
        let (instance, (lineage, head)) = (&self.instances[i], self.server.shard.place());
        let level = instance.view.leased(self.time.same(), D)
            && !instance.following.wants_head()
            && lineage.map(|(lineage, _)| lineage) == instance.view.lineage().as_ref()
            && instance.view.cursor() == head;
        let retried = self.writers.iter().any(|writer| writer.retries().is_some());
        let listed = |member: &Member| {
            member.instance == instance.name && (member.cursor == instance.view.cursor() || !retried)
        };
        let listed = !self.will_publish() || self.server.shard.each_member().any(listed);
        // While events are missing a further answer is only of use where their head is waited for.
        let of_use = instance.following.wants_head() || instance.following.all_proven();
        of_use && !(level && listed)
    }

    pub(super) fn proof(&mut self, i: usize) {
        let now = self.time.now();
        let Some((sent, head)) = self.instance(i).answered.take() else { return };
        let sent = if self.config.lacks(Weakness::LeaseFromAnswer) { now } else { sent };
        let blind = self.config.lacks(Weakness::BlindL1);
        let early = self.config.lacks(Weakness::ProofBeforeEvents);
        let instance = self.instance(i);
        match instance.following.head(&instance.view, sent, &head) {
            Answer::Proof | Answer::Early => {}
            Answer::Behind => {
                instance.read_due = true;
                if early {
                    instance.view.prove(sent);
                }
            }
            Answer::Skipped => {
                instance.moved(blind);
                self.met.push("events skipped");
            }
            Answer::Begun(_) => {
                instance.followed = Some((head.token.lineage, now));
                instance.moved(blind);
                self.met.push(if head.token.seq < LEAP { "lineage begun" } else { "lineage far ahead" });
            }
        }
    }

    pub(super) fn hear(&mut self, i: usize) {
        let now = self.time.now();
        let blind = self.config.lacks(Weakness::BlindL1);
        let hasty = self.config.lacks(Weakness::ConfirmBeforeApply);
        let instance = self.instance(i);
        let Some((lineage, logged)) = instance.announced.pop_front() else { return };
        match instance.following.announced(&instance.view, &lineage, &logged, now) {
            Heard::Applied => {
                instance.moved(blind);
                self.confirm(i, logged.seq);
            }
            Heard::Missing => {
                self.met.push("gap heard");
                if hasty {
                    return self.confirm(i, logged.seq);
                }
                self.catch_up(i, logged.seq);
            }
            Heard::Passed | Heard::Trimmed | Heard::Other => {}
        }
    }

    /// Reads the log from the cursor to its end, where an event `known` must be. Its answer arrives the moment it is
    /// asked for: any delay only leaves the view longer as it is.
    pub(super) fn catch_up(&mut self, i: usize, known: Seq) {
        let now = self.time.now();
        let blind = self.config.lacks(Weakness::BlindL1);
        let server = std::rc::Rc::clone(&self.server);
        let instance = self.instance(i);
        instance.read_due = false;
        let Some(after) = instance.following.reads_after(&instance.view) else { return };
        let (mut applied, mut ended) = (None, true);
        for logged in server.shard.read_log(after, PAGE_MAX) {
            match instance.following.read(&instance.view, &logged, now) {
                Heard::Applied => {
                    instance.moved(blind);
                    applied = Some(logged.seq);
                }
                Heard::Passed => {}
                Heard::Missing | Heard::Trimmed | Heard::Other => {
                    ended = false;
                    break;
                }
            }
        }
        if ended {
            instance.following.read_to_end(known, now);
        }
        if let Some(cursor) = applied {
            self.confirm(i, cursor);
        }
    }

    /// Publishers hear the moment it is said: later would only ask less of those who read meanwhile.
    fn confirm(&mut self, i: usize, cursor: Seq) {
        let instance = self.instance(i);
        instance.confirmed = instance.confirmed.max(cursor);
        let name = instance.name;
        let server = self.server();
        server.shard.confirm(name, cursor);
        server.shard.announcements();
    }
}
