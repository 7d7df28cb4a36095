//! Writers: commit at the origin, publish, wait until nobody answers with anything older.

use super::config::Weakness;
use super::setting::{self, By, D};
use super::world::{Action, World};
use crate::backend::{Publication, Published};
use crate::clock::Boot;
use crate::coherence::core::{Decision, Part, Wait};
use crate::model::{Event, Seq, Shard};

/// Somebody who writes a few times, through one instance.
#[derive(Clone)]
pub(super) struct Writer {
    pub(super) on: usize,
    pub(super) left: u8,
    pub(super) at: Writing,
}

/// Where a write is.
#[derive(Clone)]
pub(super) enum Writing {
    Idle,
    /// The origin has it; its event is to be published, for the first time or again.
    Committed {
        version: u8,
        since: Boot,
        by: Option<By>,
    },
    /// The log has its event; the answer is on its way.
    Sent {
        version: u8,
        since: Boot,
        by: By,
        published: Published,
    },
    /// `wait=all`.
    Waiting {
        version: u8,
        seq: Seq,
        since: Boot,
        wait: Wait,
    },
}

impl Writer {
    pub(super) fn new(on: usize, left: u8) -> Self {
        Self { on, left, at: Writing::Idle }
    }

    /// It has no more to write, and has been answered.
    pub(super) fn has_ended(&self) -> bool {
        self.left == 0 && matches!(self.at, Writing::Idle)
    }

    /// The version whose event is to be published again.
    pub(super) fn retries(&self) -> Option<u8> {
        match self.at {
            Writing::Committed { version, by: Some(_), .. } => Some(version),
            _ => None,
        }
    }

    /// The answer is lost; the publisher tries again with the same `request_id`.
    pub(super) fn cut(&mut self) {
        if let Writing::Sent { version, since, by, .. } = self.at {
            self.at = Writing::Committed { version, since, by: Some(by) };
        }
    }
}

impl World {
    pub(super) fn possible_write(&mut self, w: usize, actions: &mut Vec<Action>) {
        let writer = &self.writers[w];
        let connected = self.instances[writer.on].connected;
        match writer.at {
            Writing::Idle if 0 < writer.left => actions.push(Action::Commit(w)),
            Writing::Committed { by: Some(by), .. } if connected => actions.push(Action::Publish(w, by)),
            Writing::Committed { by: None, .. } if connected => {
                actions.extend([Action::Publish(w, By::Key), Action::Publish(w, By::Tag)]);
            }
            Writing::Sent { .. } => actions.push(Action::Logged(w)),
            Writing::Idle | Writing::Committed { .. } | Writing::Waiting { .. } => {}
        }
    }

    pub(super) fn commit(&mut self, w: usize) {
        let since = self.time.now();
        self.origin += 1;
        let writer = &mut self.writers[w];
        writer.left -= 1;
        writer.at = Writing::Committed { version: self.origin, since, by: None };
    }

    /// A publication is taken the moment it is sent.
    pub(super) fn publish(&mut self, w: usize, by: By) {
        let Writing::Committed { version, since, .. } = self.writers[w].at else { return };
        let known = self.instances[self.writers[w].on].view.cursor();
        let publication = Publication {
            event: event(version, by),
            entries: if by == By::Key { vec![setting::entry().clone()] } else { Vec::new() },
            confirm: true,
            along: None,
            known,
            repeat_after: 0,
        };
        let server = self.server();
        let published = server.shard.publish(server.now, publication).expect("nothing is full");
        self.announce();
        self.met.push(if by == By::Key { "event of the key" } else { "event of the tag" });
        self.writers[w].at = Writing::Sent { version, since, by, published };
    }

    /// An event that names something else, and that nobody waits for.
    pub(super) fn publish_other(&mut self) {
        self.left.others -= 1;
        let publication = Publication {
            event: setting::event(By::Other, None),
            entries: Vec::new(),
            confirm: false,
            along: None,
            known: 0,
            repeat_after: 0,
        };
        let server = self.server();
        server.shard.publish(server.now, publication).expect("nothing is full");
        self.announce();
    }

    /// The publisher's own instance obeys before the publisher has its answer.
    pub(super) fn logged(&mut self, w: usize) {
        let answered = self.time.now();
        let Writing::Sent { version, since, by, published } = self.writers[w].at.clone() else { return };
        let instance = &self.instances[self.writers[w].on];
        let Published { token, members, repeated, .. } = published;
        if repeated {
            self.met.push("repeated publication");
        }
        if instance.view.lineage().as_ref() == Some(&token.lineage) {
            instance.view.mark(token.seq, &event(version, by));
        }
        let followed = instance.followed.as_ref().filter(|(lineage, _)| *lineage == token.lineage);
        let young = self.config.lacks(Weakness::YoungMembers);
        let followed_since = if young { Some(Boot::NEVER) } else { followed.map(|(_, since)| *since) };
        let part = Part { shard: Shard(0), seq: token.seq, lineage: token.lineage, members, followed_since };
        let from = if self.config.lacks(Weakness::LateFromStart) { since } else { answered };
        let wait = Wait::new(vec![part], from, D);
        self.writers[w].at = Writing::Waiting { version, seq: token.seq, since: from, wait };
    }

    /// Whoever may be answered is: later would only ask less of those who read meanwhile.
    pub(super) fn acknowledge(&mut self) {
        let now = self.time.same();
        for w in 0..self.writers.len() {
            let version = match &self.writers[w].at {
                Writing::Sent { version, .. } | Writing::Waiting { version, .. }
                    if self.config.lacks(Weakness::AckAtAppend) =>
                {
                    *version
                }
                Writing::Waiting { version, wait, .. } => {
                    let writer = &self.writers[w];
                    let own = &self.instances[writer.on];
                    let confirmed = |_: Shard, name: &str| {
                        let instance = &self.instances[other(writer.on)];
                        if name == own.name { own.view.cursor() } else { instance.confirmed }
                    };
                    match wait.decide(now, confirmed) {
                        Decision::Early => self.met.push("early acknowledgement"),
                        Decision::Late => self.met.push("late acknowledgement"),
                        Decision::Until(_) => continue,
                    }
                    *version
                }
                _ => continue,
            };
            self.writers[w].at = Writing::Idle;
            self.acknowledged = self.acknowledged.max(version);
        }
    }

    /// Events are still to be logged: it matters who is a member.
    pub(super) fn will_publish(&self) -> bool {
        self.writers.iter().any(|writer| 0 < writer.left) || !self.all_published()
    }

    /// A publisher has still to learn through this instance that its event is logged.
    pub(super) fn will_be_answered(&self, name: &str) -> bool {
        let waits = |writer: &Writer| !writer.has_ended() && !matches!(writer.at, Writing::Waiting { .. });
        let more = |writer: &Writer| 0 < writer.left || waits(writer);
        self.writers.iter().any(|writer| self.instances[writer.on].name == name && more(writer))
    }

    /// Nothing is to be published that the origin has.
    pub(super) fn all_published(&self) -> bool {
        self.writers.iter().all(|writer| !matches!(writer.at, Writing::Committed { .. }))
    }
}

/// The other instance.
pub(super) fn other(i: usize) -> usize {
    1 - i
}

/// One request id for each write.
fn event(version: u8, by: By) -> Event {
    setting::event(by, Some(request_id(version)))
}

pub(super) fn request_id(version: u8) -> String {
    format!("w{version}")
}
