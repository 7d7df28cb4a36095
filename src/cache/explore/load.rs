//! A load, step by step as `cache::load` makes it: what is asked of the server, what of the origin, and what may happen
//! between. The decisions are the product's.
//!
//! An answer of the server arrives the moment it is asked for: what it says was so then, and whoever started the load
//! began before; whoever finds it later in L1, or joined, asks for its token then. The origin reads at any later moment,
//! and answers at any moment after that.

use std::sync::Arc;
use std::time::Duration;

use super::config::Weakness;
use super::setting;
use super::world::{Action, World};
use crate::backend::{Claim, Fill, FillRefusal, Filled, Found, LoadId, Lookup, Stored, Token};
use crate::cache::answer::Via;
use crate::cache::copy::Copy;
use crate::cache::flight::Landed;
use crate::cache::freshness::Use;
use crate::clock::Boot;
use crate::coherence::core::View;

/// The lease of a load: it ends by [`Action::Expire`].
const LEASE: Duration = Duration::from_secs(1 << 30);

/// A load under way.
#[derive(Clone)]
pub(super) struct Load {
    pub(super) id: LoadId,
    /// The copy that could not be answered.
    pub(super) held: Option<Arc<Copy>>,
    pub(super) at: At,
}

/// Where it is.
#[derive(Clone)]
pub(super) enum At {
    /// L2 is to be asked.
    L2,
    /// The origin is asked and has not read yet.
    Origin(Token),
    /// The origin has read this version at that moment; its answer is on its way. Without a token nothing is kept.
    Read(u8, Option<Token>, Boot),
}

impl World {
    pub(super) fn possible_load(&mut self, i: usize, actions: &mut Vec<Action>) {
        let Some(load) = &self.instances[i].load else { return };
        let other = |(holder, _): (&LoadId, _)| *holder != load.id;
        let busy = matches!(load.at, At::L2)
            && self.asks_server(i)
            && self.server.shard.lease(self.server.now, setting::entry()).is_some_and(other)
            && matches!(self.server.shard.clone().lookup(self.server.now, &wish(load)), Found::Busy { .. });
        actions.push(if busy { Action::GiveUp(i) } else { Action::Load(i) });
    }

    pub(super) fn load(&mut self, i: usize) {
        let now = self.time.now();
        let Some(Load { id, at, .. }) = self.instances[i].load.clone() else { return };
        match at {
            At::L2 if !self.asks_server(i) => self.past_the_copies(i),
            At::L2 => {
                if let Some(landed) = self.peek(i, now) {
                    self.met.push("plain read of L2");
                    return self.lands(i, &landed);
                }
                self.lookup(i, now);
            }
            At::Origin(token) => self.goes_to(i, At::Read(self.origin, Some(token), now)),
            At::Read(version, None, read_began) => {
                let copy = setting::copy(&self.instances[i].view, version, None, &id);
                self.lands(i, &Landed { copy, via: Via::Bypass, read_began });
            }
            At::Read(version, Some(token), read_began) => {
                let landed = self.fill(i, version, token, read_began, id);
                self.lands(i, &landed);
            }
        }
    }

    /// To the origin, keeping nothing.
    pub(super) fn past_the_copies(&mut self, i: usize) {
        let now = self.time.now();
        self.met.push("past the copies");
        self.goes_to(i, At::Read(self.origin, None, now));
    }

    fn asks_server(&self, i: usize) -> bool {
        let instance = &self.instances[i];
        instance.connected && instance.view.leased(self.time.same(), setting::D)
    }

    /// The plain read, judged by what this instance knows.
    fn peek(&self, i: usize, read_began: Boot) -> Option<Landed> {
        let stored = self.server.shard.peek(self.server.now, setting::entry())?;
        let copy = found(&self.instances[i].view, &stored);
        let used = self.instances[i].usable(&copy, self.time.same());
        (used == Some(Use::Fresh)).then_some(Landed { copy, via: Via::L2, read_began })
    }

    /// The script: an entry, or the lease.
    fn lookup(&mut self, i: usize, read_began: Boot) {
        let Some(load) = self.instances[i].load.clone() else { return };
        let server = self.server();
        let found = match server.shard.lookup(server.now, &wish(&load)) {
            Found::Fresh(stored) => {
                self.met.push("entry proven by the script");
                found(&self.instances[i].view, &stored)
            }
            Found::NotModified(token) => {
                self.met.push("copy proven by the script");
                let held = load.held.expect("only a load that holds a copy is told that it still stands");
                Arc::new(Copy { stamp: self.instances[i].view.stamp(&token), ..(*held).clone() })
            }
            Found::Leased { token, .. } if self.config.slow_origin => {
                return self.goes_to(i, At::Origin(token));
            }
            Found::Leased { token, .. } => {
                let now = self.time.now();
                return self.goes_to(i, At::Read(self.origin, Some(token), now));
            }
            Found::Busy { .. } | Found::Nothing { .. } | Found::Doubtful => return self.past_the_copies(i),
        };
        self.lands(i, &Landed { copy: found, via: Via::L2, read_began });
    }

    /// The origin's answer is here: it gets its stamp, and L2 is told.
    fn fill(&mut self, i: usize, version: u8, token: Token, read_began: Boot, load: LoadId) -> Landed {
        let at_end = self.config.lacks(Weakness::TokenAtEnd);
        let server = self.server();
        let token = if at_end { server.shard.head(server.now) } else { token };
        let copy = setting::copy(&self.instances[i].view, version, Some(&token), &load);
        let stored = self.instances[i].connected && {
            let fill = Fill {
                entry: setting::entry().clone(),
                load,
                token,
                covering: setting::own_names().to_vec(),
                put: setting::put(version),
                leased: !at_end,
            };
            let server = self.server();
            let filled = server.shard.fill(server.now, fill);
            server.shard.announcements();
            self.met.push(match filled {
                Filled::Stored => "fill stored",
                Filled::Refused(FillRefusal::LeaseLost) => "fill refused: lease lost",
                Filled::Refused(FillRefusal::Lineage) => "fill refused: lineage",
                Filled::Refused(FillRefusal::Stale) => "fill refused: stale",
                Filled::Refused(FillRefusal::Dirty) => "fill refused: dirty",
            });
            filled == Filled::Stored
        };
        Landed { copy, via: Via::Origin { stored }, read_began }
    }

    fn goes_to(&mut self, i: usize, at: At) {
        if let Some(load) = &mut self.instance(i).load {
            load.at = at;
        }
    }

    /// Into L1, and to whoever waits.
    fn lands(&mut self, i: usize, landed: &Landed) {
        let instance = self.instance(i);
        instance.load = None;
        let kept = matches!(landed.via, Via::L2 | Via::Origin { .. }) && landed.copy.stamp.is_some();
        if kept && instance.copy.as_ref().is_none_or(|held| landed.copy.replaces(held)) {
            instance.copy = Some(Arc::clone(&landed.copy));
        }
        self.landed(i, landed);
    }
}

fn found(view: &View, stored: &Stored) -> Arc<Copy> {
    setting::copy(view, setting::stored_version(stored), Some(&stored.token), &stored.load)
}

fn wish(load: &Load) -> Lookup {
    Lookup {
        entry: setting::entry().clone(),
        covering: setting::own_names().to_vec(),
        claim: Some(Claim { load: load.id.clone(), lease: LEASE, even_if_fresh: false, absent: None }),
        have: load.held.as_ref().map(|held| held.load.id()),
    }
}
