//! What tells one state from another, and nothing else: two states with the same fingerprint have the same future.
//!
//! Lineages, nonces and loads are called by the order in which they are met here; moments by whether a lease from then
//! still lives, and by their order where the product compares them. What can never be read again is left out.

use xxhash_rust::xxh3::xxh3_128;

use super::config::Weakness;
use super::instance::Instance;
use super::load::{At, Load};
use super::reader::{Reader, Reading, Seat};
use super::server::Server;
use super::setting;
use super::world::{NAMES, World};
use super::writer::{Writer, Writing, other, request_id};
use crate::backend::memory::ShardState;
use crate::backend::{Head, LoadId, Logged, Stored, Token};
use crate::cache::copy::Copy;
use crate::clock::Boot;
use crate::coherence::core::{Decision, Standing, View};
use crate::model::{LineageId, Nonce, Seq};

/// Bytes that say everything, and the names given so far.
#[derive(Default)]
pub(super) struct Fingerprint {
    bytes: Vec<u8>,
    lineages: Vec<LineageId>,
    nonces: Vec<Nonce>,
    loads: Vec<LoadId>,
    /// Two events of one lineage may have the same number.
    forks: bool,
}

fn called<T: Clone + PartialEq>(known: &mut Vec<T>, it: &T) -> u8 {
    let place = known.iter().position(|known| known == it).unwrap_or_else(|| {
        known.push(it.clone());
        known.len() - 1
    });
    u8::try_from(place).expect("so many names are never met")
}

impl Fingerprint {
    pub(super) fn of(&mut self, world: &World) -> u128 {
        self.forks = world.config.lacks(Weakness::NoIdentity);
        self.bytes.clear();
        self.lineages.clear();
        self.nonces.clear();
        self.loads.clear();
        self.world(world);
        xxh3_128(&self.bytes)
    }

    fn world(&mut self, world: &World) {
        let left = world.left;
        self.bytes.extend_from_slice(&[
            world.origin,
            world.acknowledged,
            left.cuts,
            left.losses,
            left.flushes,
        ]);
        self.bytes.extend_from_slice(&[left.restores, left.trims, left.expiries, left.others]);
        self.server(world, &world.server);
        for i in 0..world.instances.len() {
            if world.takes_part(i) {
                self.instance(world, i);
            }
        }
        self.writers(world);
    }

    fn server(&mut self, world: &World, server: &Server) {
        self.flag(server.begun_on == server.run);
        self.shard(world, server, &server.shard);
        self.flag(server.saved.is_some());
        if let (Some(saved), true) = (&server.saved, 0 < world.left.restores) {
            let (shard, begun_on) = &**saved;
            self.flag(*begun_on == server.run);
            self.shard(world, server, shard);
        }
    }

    fn shard(&mut self, world: &World, server: &Server, shard: &ShardState) {
        let (lineage, seq) = shard.place();
        self.flag(lineage.is_some());
        if let Some((lineage, nonce)) = lineage {
            self.lineage(lineage);
            self.nonce(nonce);
        }
        self.seq(seq);
        for name in setting::own_names().iter().take(1).chain(setting::tag_names()) {
            self.seq(shard.mark_of(name));
        }
        self.each(shard.log(), Self::logged);
        let stored = shard.entry(server.now, setting::entry());
        self.flag(stored.is_some());
        if let Some(stored) = stored {
            self.stored(stored);
        }
        let lease = shard.lease(server.now, setting::entry());
        self.flag(lease.is_some());
        if let Some((load, token)) = lease {
            self.load_id(load);
            self.token(token);
        }
        // How far a member has come matters to a publication that is repeated; all others are beyond.
        let retried: Vec<u8> = world.writers.iter().filter_map(Writer::retries).collect();
        let members = shard.each_member().filter(|_| world.will_publish());
        self.each(members, |it, member| {
            it.bytes.extend_from_slice(member.instance.as_bytes());
            it.seq(if retried.is_empty() { 0 } else { member.cursor });
        });
        self.each(retried, |it, version| it.maybe_token(shard.request(server.now, &request_id(version))));
    }

    fn instance(&mut self, world: &World, i: usize) {
        let instance = &*world.instances[i];
        self.flag(instance.connected);
        self.flag(instance.read_due);
        self.follower(world, instance);
        self.each(&instance.announced, |it, (lineage, logged)| {
            it.lineage(lineage);
            it.logged(logged);
        });
        self.flag(instance.answered.is_some());
        if let Some((sent, Head { token, nonce, .. })) = &instance.answered {
            self.flag(world.time.past(*sent));
            self.flag(instance.following.wanted().is_some_and(|(since, _)| since <= *sent));
            self.token(token);
            self.nonce(nonce);
        }
        let copy = instance.copy.as_ref().filter(|copy| matters(world, instance, copy));
        self.flag(copy.is_some());
        if let Some(copy) = copy {
            self.copy(&instance.view, copy);
        }
        self.flag(instance.load.is_some());
        if let Some(load) = &instance.load {
            self.load(world, &instance.view, load);
        }
        self.readers(world, i);
    }

    fn follower(&mut self, world: &World, instance: &Instance) {
        self.seq(instance.following.cursor());
        if self.forks {
            self.each(instance.following.nonces(), Self::nonce);
        }
        self.each(instance.following.unproven(), |it, (seq, sent)| {
            it.seq(seq);
            it.flag(world.time.past(sent));
        });
        match instance.following.wanted() {
            Some((_, skip)) => self.bytes.push(1 + u8::from(skip)),
            None => self.bytes.push(0),
        }
        let view = &instance.view;
        self.flag(view.lineage().is_some());
        if let Some(lineage) = view.lineage() {
            self.lineage(&lineage);
        }
        self.flag(view.leased(world.time.same(), setting::D));
        let [cursor, floor, marks @ ..] = &view.numbers()[..] else { return };
        self.seq(*cursor);
        self.seq(*floor);
        // What the floor already says.
        for mark in marks {
            self.seq(if mark <= floor { 0 } else { *mark });
        }
        let past = instance.followed.as_ref().is_some_and(|(_, since)| world.time.past(*since));
        self.flag(past || !world.will_be_answered(instance.name));
    }

    /// Readers of one instance that are in the same place are the same.
    fn readers(&mut self, world: &World, i: usize) {
        let began = world.instances[i].load.as_ref().and_then(|load| match load.at {
            At::L2 | At::Origin(_) => None,
            At::Read(_, _, began) => Some(began),
        });
        let place = |reader: &Reader| match reader.at {
            Reading::Idle => [0; 4],
            Reading::Seated(Seat { since, least, mine }) => {
                [1, least, u8::from(mine), u8::from(began.is_some_and(|began| since < began))]
            }
        };
        let mut readers: Vec<[u8; 4]> =
            world.readers.iter().filter(|reader| reader.on == i).map(place).collect();
        readers.sort_unstable();
        self.bytes.extend_from_slice(readers.as_flattened());
    }

    fn load(&mut self, world: &World, view: &View, load: &Load) {
        self.load_id(&load.id);
        // The script could answer that the copy is the one it has.
        let held = load.held.as_ref().filter(|held| matches!(load.at, At::L2) && in_l2(world, held));
        self.flag(held.is_some());
        if let Some(held) = held {
            self.copy(view, held);
        }
        match &load.at {
            At::L2 => self.bytes.push(0),
            At::Origin(token) => {
                self.bytes.push(1);
                self.token(token);
            }
            At::Read(version, token, _) => {
                self.bytes.extend_from_slice(&[2, *version]);
                self.maybe_token(token.as_ref());
            }
        }
    }

    fn writers(&mut self, world: &World) {
        for writer in &world.writers {
            self.bytes.push(writer.left);
            // When a write began is asked for by one weakness only.
            let from_start = world.config.lacks(Weakness::LateFromStart);
            let began = |since: &Boot| from_start && world.time.past(*since);
            let confirmed = world.instances[other(writer.on)].confirmed;
            match &writer.at {
                Writing::Idle => self.bytes.push(0),
                Writing::Committed { version, since, by } => {
                    self.bytes.extend_from_slice(&[1, *version, by.map_or(0, |by| 1 + by as u8)]);
                    self.flag(began(since));
                    self.seq(by.map_or(0, |_| confirmed));
                }
                Writing::Sent { version, since, by, published } => {
                    self.bytes.extend_from_slice(&[2, *version, *by as u8]);
                    self.flag(began(since));
                    self.flag(published.token.seq <= confirmed);
                    self.token(&published.token);
                    self.each(published.members.iter(), |it, member| {
                        it.bytes.extend_from_slice(member.instance.as_bytes());
                        it.flag(published.token.seq <= member.cursor);
                    });
                }
                Writing::Waiting { version, seq, since, wait } => {
                    self.bytes.extend_from_slice(&[3, *version]);
                    self.seq(*seq);
                    self.flag(world.time.past(*since));
                    self.flag(*seq <= confirmed);
                    let early =
                        |confirmed| matches!(wait.decide(Boot::NEVER, |_, _| confirmed), Decision::Early);
                    // Whether all have to confirm, or none, or that is not enough.
                    self.flag(early(0));
                    self.flag(early(Seq::MAX));
                    for name in NAMES {
                        let of = |_, member: &str| if member == name { 0 } else { Seq::MAX };
                        self.flag(matches!(wait.decide(Boot::NEVER, of), Decision::Early));
                    }
                }
            }
        }
    }

    fn copy(&mut self, view: &View, copy: &Copy) {
        self.bytes.push(setting::version(copy));
        self.load_id(&copy.load.id());
        let current = view.lineage().and_then(|lineage| view.stamp(&Token { lineage, seq: 0 }));
        match copy.stamp {
            Some(stamp) if current.is_some_and(|current| stamp.same_history(current)) => {
                self.bytes.push(2);
                self.seq(stamp.seq());
            }
            Some(_) => self.bytes.push(1),
            None => self.bytes.push(0),
        }
    }

    fn stored(&mut self, stored: &Stored) {
        self.bytes.push(setting::stored_version(stored));
        self.load_id(&stored.load);
        self.token(&stored.token);
    }

    fn logged(&mut self, logged: &Logged) {
        self.seq(logged.seq);
        self.nonce(&logged.previous);
        self.nonce(&logged.nonce);
        self.bytes.push(setting::named(&logged.event));
    }

    /// All of them, and how many there are.
    fn each<T>(&mut self, them: impl IntoIterator<Item = T>, mut one: impl FnMut(&mut Self, T)) {
        let at = self.bytes.len();
        self.bytes.push(0);
        for it in them {
            one(self, it);
            self.bytes[at] += 1;
        }
    }

    fn maybe_token(&mut self, token: Option<&Token>) {
        self.flag(token.is_some());
        if let Some(token) = token {
            self.token(token);
        }
    }

    fn token(&mut self, token: &Token) {
        self.lineage(&token.lineage);
        self.seq(token.seq);
    }

    fn seq(&mut self, seq: Seq) {
        let number = u32::try_from(seq).expect("numbers begin small here");
        self.bytes.extend_from_slice(&number.to_le_bytes());
    }

    fn flag(&mut self, flag: bool) {
        self.bytes.push(u8::from(flag));
    }

    fn lineage(&mut self, lineage: &LineageId) {
        let name = called(&mut self.lineages, lineage);
        self.bytes.push(name);
    }

    /// Where there are no forks a number says which event it is.
    fn nonce(&mut self, nonce: &Nonce) {
        if !self.forks {
            return;
        }
        let name = called(&mut self.nonces, nonce);
        self.bytes.push(name);
    }

    fn load_id(&mut self, load: &LoadId) {
        let name = called(&mut self.loads, load);
        self.bytes.push(name);
    }
}

/// A copy that is invalid for good can only come back as the one that L2 still has.
fn matters(world: &World, instance: &Instance, copy: &Copy) -> bool {
    let now = world.time.same();
    let standing = copy.stamp.map(|stamp| instance.view.judge(stamp, &copy.slots, now, setting::D).standing);
    standing.is_some_and(|standing| standing != Standing::Invalid)
        || world.config.weak.contains(&Weakness::BlindL1)
        || in_l2(world, copy)
}

fn in_l2(world: &World, copy: &Copy) -> bool {
    let server = &world.server;
    let has = |shard: &ShardState| {
        shard.entry(server.now, setting::entry()).is_some_and(|stored| copy.load.is(&stored.load))
    };
    has(&server.shard) || server.saved.as_ref().is_some_and(|saved| has(&saved.0))
}
