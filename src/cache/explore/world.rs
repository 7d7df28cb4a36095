//! A state of everything, and what may happen next.

use std::rc::Rc;

use super::config::{Config, Faults, Weakness};
use super::instance::Instance;
use super::reader::Reader;
use super::server::{Server, Time};
use super::setting::{self, By, D};
use super::writer::Writer;
use crate::backend::{Beat, LoadId, Member, Signal};

/// Instances.
pub(super) const INSTANCES: usize = 2;
pub(super) const NAMES: [&str; INSTANCES] = ["i0", "i1"];

/// One thing that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Every lease ends.
    TimePasses,
    /// A heartbeat is sent and taken; its answer is on its way.
    Beat(usize),
    /// The answer arrives.
    Proof(usize),
    /// The next announcement arrives.
    Hear(usize),
    /// The next announcement is lost.
    Lose(usize),
    /// The log is read.
    ReadLog(usize),
    /// The connection breaks; so do requests and answers on their way.
    Cut(usize),
    /// Connected anew, handshake first.
    Connect(usize),
    /// A read begins that L1 does not answer.
    Read(usize),
    /// The load of an instance goes on.
    Load(usize),
    /// It stops waiting for another's lease.
    GiveUp(usize),
    /// The origin has another version.
    Commit(usize),
    /// Its event is logged.
    Publish(usize, By),
    /// The log's answer arrives.
    Logged(usize),
    /// An event that names something else is logged.
    Other,
    /// The lease of a load ends.
    Expire,
    /// FLUSHALL.
    Flush,
    /// The server saves what it has.
    Save,
    /// The server is ended and comes back with what it saved.
    Restore,
    /// The log is trimmed.
    Trim,
}

/// Everything.
#[derive(Clone)]
pub(super) struct World {
    pub(super) config: &'static Config,
    pub(super) time: Time,
    pub(super) server: Rc<Server>,
    pub(super) instances: [Rc<Instance>; INSTANCES],
    pub(super) readers: Vec<Reader>,
    pub(super) writers: Vec<Writer>,
    /// The version that the origin has.
    pub(super) origin: u8,
    /// The newest version whose publisher was told that everybody answers with it.
    pub(super) acknowledged: u8,
    pub(super) left: Faults,
    /// How many loads there were: their ids.
    pub(super) loads: u32,
    /// What the last action came to, to show that an exploration met it.
    pub(super) met: Vec<&'static str>,
    /// What must not be.
    pub(super) violation: Option<&'static str>,
}

impl World {
    /// Two instances that have followed the log for long and hold nothing.
    pub(super) fn new(config: &'static Config) -> Self {
        let mut world = Self {
            config,
            time: Time::new(),
            server: Rc::new(Server::new(config.clock_stands)),
            instances: NAMES.map(|name| Rc::new(Instance::new(name))),
            readers: config.readers.iter().map(|on| Reader::new(*on)).collect(),
            writers: config.writers.iter().map(|(on, times)| Writer::new(*on, *times)).collect(),
            origin: 0,
            acknowledged: 0,
            left: config.faults,
            loads: 0,
            met: Vec::new(),
            violation: None,
        };
        for i in 0..INSTANCES {
            world.beat(i);
            world.proof(i);
        }
        world.time.pass();
        for i in 0..INSTANCES {
            world.beat(i);
            world.proof(i);
        }
        world
    }

    /// Does it.
    pub(super) fn act(&mut self, action: Action) {
        self.met.clear();
        match action {
            Action::TimePasses => self.time.pass(),
            Action::Beat(i) => {
                self.beat(i);
                if !self.config.slow_network {
                    self.proof(i);
                }
            }
            Action::Proof(i) => self.proof(i),
            Action::Hear(i) => self.hear(i),
            Action::Lose(i) => {
                self.left.losses -= 1;
                self.instance(i).announced.pop_front();
            }
            Action::ReadLog(i) => self.catch_up(i, 0),
            Action::Cut(i) => {
                self.left.cuts -= 1;
                self.cut(i);
            }
            Action::Connect(i) => self.connect(i),
            Action::Read(r) => self.read(r),
            Action::Load(i) => self.load(i),
            Action::GiveUp(i) => self.past_the_copies(i),
            Action::Commit(w) => self.commit(w),
            Action::Publish(w, by) => {
                self.publish(w, by);
                if !self.config.slow_network {
                    self.logged(w);
                }
            }
            Action::Logged(w) => self.logged(w),
            Action::Other => self.publish_other(),
            Action::Expire => self.expire(),
            Action::Flush => {
                self.left.flushes -= 1;
                self.server().flush();
            }
            Action::Save => self.server().save(),
            Action::Restore => {
                self.left.restores -= 1;
                self.server().restore();
                (0..INSTANCES).for_each(|i| self.cut(i));
            }
            Action::Trim => {
                self.left.trims -= 1;
                self.server().shard.trim_log(0);
            }
        }
        self.forget_repeats();
        self.forget_proofs();
        self.acknowledge();
        self.check();
    }

    /// What may happen now.
    pub(super) fn possible(&mut self, actions: &mut Vec<Action>) {
        actions.clear();
        actions.push(Action::TimePasses);
        for i in 0..INSTANCES {
            if self.takes_part(i) {
                self.possible_at(i, actions);
            }
        }
        for r in 0..self.readers.len() {
            self.possible_read(r, actions);
        }
        for w in 0..self.writers.len() {
            self.possible_write(w, actions);
        }
        let mut may = |when: bool, action: Action| {
            if when {
                actions.push(action);
            }
        };
        may(0 < self.left.others, Action::Other);
        may(self.lease_may_end(), Action::Expire);
        may(0 < self.left.flushes, Action::Flush);
        may(0 < self.left.restores && self.server.saved.is_none(), Action::Save);
        may(0 < self.left.restores && self.server.saved.is_some(), Action::Restore);
        may(0 < self.left.trims && self.server.shard.log().next().is_some(), Action::Trim);
    }

    /// Whether it may still answer anybody: readers, or a publisher.
    pub(super) fn takes_part(&self, i: usize) -> bool {
        let reads = self.readers.iter().any(|reader| reader.on == i);
        reads
            || self.writers.iter().any(|writer| writer.on == i && !writer.has_ended())
            || self.will_publish()
    }

    pub(super) fn server(&mut self) -> &mut Server {
        Rc::make_mut(&mut self.server)
    }

    pub(super) fn instance(&mut self, i: usize) -> &mut Instance {
        Rc::make_mut(&mut self.instances[i])
    }

    /// A heartbeat is taken the moment it is sent: any delay before that only shortens what it proves.
    fn beat(&mut self, i: usize) {
        let sent = self.time.now();
        let instance = &self.instances[i];
        let cursor = instance.view.cursor();
        let member = Member { instance: instance.name.to_owned(), cursor, max_staleness: D, beats: 0 };
        let server = self.server();
        let head = server.shard.beat(server.now, Beat { member, known: cursor });
        self.instance(i).answered = Some((sent, head));
    }

    fn connect(&mut self, i: usize) {
        if !self.config.lacks(Weakness::NoIdentity) {
            self.server().handshake();
        }
        self.instance(i).connected = true;
        self.catch_up(i, 0);
    }

    fn cut(&mut self, i: usize) {
        let instance = self.instance(i);
        instance.connected = false;
        instance.announced.clear();
        instance.answered = None;
        self.writers.iter_mut().filter(|writer| writer.on == i).for_each(Writer::cut);
    }

    /// What the last step announced reaches the connections of those who are there.
    pub(super) fn announce(&mut self) {
        for signal in self.server().shard.announcements() {
            let Signal::Event { lineage, logged, .. } = signal else { continue };
            for i in 0..INSTANCES {
                if self.instances[i].connected {
                    self.instance(i).announced.push_back((lineage.clone(), logged.clone()));
                }
            }
        }
    }

    /// Where no lineage ever follows another, an announcement of what is applied changes nothing whenever it is heard.
    fn forget_repeats(&mut self) {
        if self.config.faults.flushes != 0 || self.config.faults.restores != 0 {
            return;
        }
        for i in 0..INSTANCES {
            let instance = &self.instances[i];
            let cursor = instance.view.cursor();
            if instance.announced.iter().any(|(_, logged)| logged.seq <= cursor) {
                self.instance(i).announced.retain(|(_, logged)| cursor < logged.seq);
            }
        }
    }

    /// An answer that would change nothing now changes nothing later either: no other comes before it.
    fn forget_proofs(&mut self) {
        for i in 0..INSTANCES {
            let instance = &self.instances[i];
            let Some((sent, head)) = &instance.answered else { continue };
            let reached = head.token.seq <= instance.view.cursor()
                && instance.view.lineage().as_ref() == Some(&head.token.lineage)
                && !instance.following.wants_head();
            let spent = self.time.past(*sent) || instance.view.leased(self.time.same(), D);
            if reached && spent && !self.config.lacks(Weakness::LeaseFromAnswer) {
                self.proof(i);
            }
        }
    }

    fn expire(&mut self) {
        if !self.orphaned() {
            self.left.expiries -= 1;
        }
        let now = self.server.now;
        let load = self.server.shard.lease(now, setting::entry()).map(|(load, _)| load.clone());
        if let Some(load) = load {
            self.server().shard.release(now, setting::entry(), &load);
            self.server().shard.announcements();
        }
    }

    fn lease_may_end(&self) -> bool {
        let leased = self.server.shard.lease(self.server.now, setting::entry()).is_some();
        leased && (0 < self.left.expiries || self.orphaned())
    }

    /// The load that holds the lease has ended without it.
    fn orphaned(&self) -> bool {
        let lease = self.server.shard.lease(self.server.now, setting::entry());
        let flies =
            |instance: &Rc<Instance>, id: &LoadId| instance.load.as_ref().is_some_and(|load| load.id == *id);
        lease.is_some_and(|(id, _)| !self.instances.iter().any(|instance| flies(instance, id)))
    }
}
