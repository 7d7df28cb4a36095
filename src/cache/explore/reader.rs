//! Readers: L1, a seat on the instance's load, the joiner's rule, and what must hold of every answer.

use super::config::Weakness;
use super::load::{At, Load};
use super::setting;
use super::world::{Action, World};
use crate::backend::LoadId;
use crate::cache::answer::Demand;
use crate::cache::flight::Landed;
use crate::cache::freshness::Joiner;
use crate::cache::load::Purpose;
use crate::clock::Boot;

/// Somebody who reads again and again.
#[derive(Clone)]
pub(super) struct Reader {
    pub(super) on: usize,
    pub(super) at: Reading,
}

/// Where a read is.
#[derive(Clone, Copy)]
pub(super) enum Reading {
    Idle,
    /// It waits for the load of its instance.
    Seated(Seat),
}

/// A seat on a load.
#[derive(Clone, Copy)]
pub(super) struct Seat {
    /// When the read arrived.
    pub(super) since: Boot,
    /// The version that its answer must not be older than.
    pub(super) least: u8,
    /// It has started the load; else it joined it.
    pub(super) mine: bool,
}

impl Reader {
    pub(super) fn new(on: usize) -> Self {
        Self { on, at: Reading::Idle }
    }
}

impl World {
    pub(super) fn possible_read(&mut self, r: usize, actions: &mut Vec<Action>) {
        // A hit changes nothing; `check` asks what it would be answered with.
        if matches!(self.readers[r].at, Reading::Idle) && self.hit(self.readers[r].on).is_none() {
            actions.push(Action::Read(r));
        }
    }

    pub(super) fn read(&mut self, r: usize) {
        let (since, least) = (self.time.now(), self.acknowledged);
        self.board(r, since, least);
    }

    fn board(&mut self, r: usize, since: Boot, least: u8) {
        let on = self.readers[r].on;
        let mine = self.instances[on].load.is_none();
        if mine {
            self.loads += 1;
            let id = LoadId(self.loads.to_string().into());
            let instance = self.instance(on);
            instance.load = Some(Load { id, held: instance.copy.clone(), at: At::L2 });
        }
        self.readers[r].at = Reading::Seated(Seat { since, least, mine });
    }

    /// A load has ended: whoever started it has its answer, and whoever joined looks whether it may be used. Whoever
    /// would look later could only use it if it were valid then: as if it were found in L1.
    pub(super) fn landed(&mut self, i: usize, landed: &Landed) {
        let seated = |reader: &Reader| match reader.at {
            Reading::Seated(seat) if reader.on == i => Some(seat),
            Reading::Idle | Reading::Seated(_) => None,
        };
        let seats: Vec<Option<Seat>> = self.readers.iter().map(seated).collect();
        for (r, seat) in seats.into_iter().enumerate() {
            let Some(seat) = seat else { continue };
            let joins = !seat.mine && self.may_join(i, seat, landed);
            match (seat.mine, joins) {
                (true, _) => {}
                (_, true) => self.met.push("joiner answered"),
                (_, false) => self.met.push("joiner sent back"),
            }
            if seat.mine || joins {
                if setting::version(&landed.copy) < seat.least {
                    self.violation =
                        Some("a read that began after an acknowledgement was answered with older data");
                }
                self.readers[r].at = Reading::Idle;
            } else {
                self.board(r, seat.since, seat.least);
            }
        }
    }

    fn may_join(&mut self, i: usize, seat: Seat, landed: &Landed) -> bool {
        let now = self.time.now();
        let demand = Demand::default();
        let joiner = Joiner { arrived: seat.since, purpose: Purpose::Miss, demand: &demand };
        self.config.lacks(Weakness::UnfencedJoiners)
            || joiner.may_use(landed.via, landed.read_began, || self.instances[i].usable(&landed.copy, now))
    }
}
