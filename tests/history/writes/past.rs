//! All writes of one object: which of them is later, what became of each, and what is wrong with that.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, HashSet};

use super::fates::{Delivery, Fate};
use super::reads::Bound;
use super::{Wrong, at_once};
use crate::history::verdict::{Promise, Writes};
use crate::history::written::Done;

/// One object.
#[derive(Debug, Default)]
pub(super) struct Past<'a> {
    /// In the order of their ends.
    pub(super) fates: Vec<Fate<'a>>,
    /// In the order in which the origin had done with them.
    pub(super) deliveries: Vec<Delivery<'a>>,
    /// Dead letters: ids and fences.
    pub(super) dead: Vec<(&'a str, Option<u64>)>,
    /// What the origin has in the end: the number of a write; `None`: nothing.
    pub(super) last: Option<u64>,
    /// What readers are bound by.
    pub(super) bound: Bound,
}

/// Of whatever has a rank: how readers are bound by it, and since when it is not pending.
#[derive(Clone, Copy)]
struct Above {
    stands: bool,
    resolved: Option<u64>,
    /// The earliest begin of a dead letter of this rank or above.
    dead: Option<u64>,
}

impl Past<'_> {
    /// Finds ranks and fates; what is wrong with them.
    pub(super) fn judge(&mut self, forgot: &[(u64, u64)], drained: bool, figures: &mut Writes) -> Vec<Wrong> {
        let mut wrong = Vec::new();
        let of = self.assign(&mut wrong);
        self.effects(&of, &mut wrong, figures);
        self.removals_at_once();
        self.real_time(&mut wrong);
        self.fates(forgot, drained, &mut wrong, figures);
        self.bound = Bound::new(&self.fates, forgot);
        wrong
    }

    /// Says of each delivery whose it is, and of each write its rank.
    fn assign(&mut self, wrong: &mut Vec<Wrong>) -> Vec<Option<usize>> {
        let numbers: HashMap<u64, usize> =
            self.fates.iter().enumerate().map(|(at, fate)| (fate.number, at)).collect();
        let removals: HashMap<u64, usize> = (self.fates.iter().enumerate())
            .filter(|(_, fate)| !fate.put)
            .filter_map(|(at, fate)| Some((fate.rank?, at)))
            .collect();
        let ids: HashMap<&str, usize> = (self.fates.iter().enumerate())
            .filter_map(|(at, fate)| Some((fate.accepted?.id.as_deref()?, at)))
            .collect();
        let mut of = Vec::with_capacity(self.deliveries.len());
        for delivery in &self.deliveries {
            let whose = match delivery.write {
                Some(number) => numbers.get(&number).copied(),
                None => delivery.seq.and_then(|seq| removals.get(&seq)).copied(),
            };
            if let (Some(whose), Some(seq)) = (whose, delivery.seq) {
                let fate = &mut self.fates[whose];
                let rank = *fate.rank.get_or_insert(seq);
                if rank != seq {
                    let text = format!("write {} was taken as {rank} and sent as {seq}", fate.number);
                    wrong.push((Promise::Order, delivery.place, text));
                }
            } else if let (None, Some(number)) = (whose, delivery.write) {
                let text = format!("write {number} is nobody's");
                wrong.push((Promise::Fabrication, delivery.place, text));
            }
            of.push(whose);
        }
        let ranks: HashMap<u64, usize> =
            self.fates.iter().enumerate().filter_map(|(at, fate)| Some((fate.rank?, at))).collect();
        for (id, seq) in &self.dead {
            let of_rank = seq.and_then(|seq| ranks.get(&seq));
            if let Some(whose) = ids.get(id).or(of_rank) {
                let fate = &mut self.fates[*whose];
                fate.dead = true;
                fate.rank = fate.rank.or(*seq);
            }
        }
        for fate in &mut self.fates {
            fate.most = fate.rank;
        }
        of
    }

    /// What took effect, in the order in which it did.
    fn effects(&mut self, of: &[Option<usize>], wrong: &mut Vec<Wrong>, figures: &mut Writes) {
        let mut top: Option<(Option<u64>, Option<&str>)> = None;
        // Whose a key is: a write, or a removal of that fence.
        let mut keys: HashMap<&str, (Option<u64>, Option<u64>)> = HashMap::new();
        let mut applied = HashSet::new();
        for (delivery, whose) in self.deliveries.iter().zip(of) {
            let rank = whose.and_then(|whose| self.fates[whose].rank).or(delivery.seq);
            let mut say = |promise, text| wrong.push((promise, delivery.place, text));
            let what = || match delivery.write {
                Some(number) => format!("write {number}"),
                None => "a removal".to_owned(),
            };
            if let Some(key) = delivery.key {
                let is = (delivery.write, delivery.seq);
                let was = *keys.entry(key).or_insert(is);
                if was != is {
                    say(Promise::Once, format!("{} came with the key of another, {was:?}", what()));
                }
            }
            if let Some(whose) = whose {
                self.fates[*whose].delivered(delivery.done, delivery.ended);
            }
            figures.repeated += u64::from(delivery.done == Done::Repeated);
            if delivery.done != Done::Applied {
                continue;
            }
            let again = delivery.key.is_some_and(|key| !applied.insert(key))
                || whose.is_some_and(|whose| self.fates[whose].applied != Some(delivery.ended));
            match top {
                Some((_, key)) if again && key != delivery.key => {
                    say(Promise::Once, format!("{} took effect again after another", what()));
                }
                Some((Some(top), _)) if rank.is_some_and(|rank| rank < top) => {
                    say(Promise::Order, format!("{}, {rank:?}, took effect after {top}", what()));
                }
                _ => {}
            }
            let highest = top.and_then(|(rank, _)| rank).max(rank);
            top = Some((highest, delivery.key));
            self.last = delivery.write;
        }
    }

    /// A removal that was answered when it was at the origin has no number there: it binds readers as the earliest that
    /// may be it, and is read as the latest.
    fn removals_at_once(&mut self) {
        let found: BTreeMap<u64, (u64, Option<u64>, Done)> = (self.deliveries.iter())
            .filter(|delivery| delivery.write.is_none())
            .filter(|delivery| !matches!(delivery.done, Done::Refused | Done::Failed))
            .map(|delivery| (delivery.started, (delivery.ended, delivery.seq, delivery.done)))
            .collect();
        for fate in self.fates.iter_mut().filter(|fate| at_once(fate.mode) && !fate.put) {
            if fate.accepted.is_none() {
                continue;
            }
            let within = found.range(fate.started..fate.ended).map(|(_, found)| *found);
            let within: Vec<_> = within.filter(|(ended, ..)| *ended <= fate.ended).collect();
            fate.most = within.iter().filter_map(|(_, seq, _)| *seq).max();
            if let Some((ended, seq, done)) = within.into_iter().min_by_key(|(_, seq, _)| *seq) {
                fate.rank = seq;
                fate.delivered(done, ended);
            }
        }
    }

    /// What was begun after something had been acknowledged comes after it.
    fn real_time(&self, wrong: &mut Vec<Wrong>) {
        let exact = |fate: &&Fate| fate.accepted.is_some() && fate.rank.is_some() && fate.most == fate.rank;
        let ranked = || self.fates.iter().filter(exact);
        let mut begun: Vec<&Fate> = ranked().collect();
        begun.sort_by_key(|fate| fate.started);
        let (mut ended, mut top) = (ranked().peekable(), None::<(u64, u64)>);
        for fate in begun {
            while let Some(before) = ended.next_if(|before| before.ended < fate.started) {
                top = top.max(before.rank.map(|rank| (rank, before.number)));
            }
            if let Some((rank, number)) = top.filter(|(rank, _)| fate.rank <= Some(*rank)) {
                let text = format!(
                    "write {} is {:?}, and write {number}, acknowledged before, is {rank}",
                    fate.number, fate.rank
                );
                wrong.push((Promise::Order, fate.place, text));
            }
        }
    }

    /// From the last to the first: at the origin, superseded, dead, forgotten, or lost.
    fn fates(&mut self, forgot: &[(u64, u64)], drained: bool, wrong: &mut Vec<Wrong>, figures: &mut Writes) {
        // What is known beside the clients' own: removals whose answer was lost, and dead letters likewise.
        let mut others: Vec<(u64, Above)> = (self.deliveries.iter())
            .filter(|delivery| delivery.done == Done::Applied)
            .filter_map(|delivery| {
                let resolved = Some(delivery.ended);
                Some((delivery.seq?, Above { stands: true, resolved, dead: None }))
            })
            .collect();
        let unknown = self.dead.iter().filter_map(|(_, seq)| *seq);
        let given_up = Above { stands: false, resolved: None, dead: Some(0) };
        others.extend(unknown.map(|seq| (seq, given_up)));
        // A dead letter goes with what the server forgets.
        let gone = |refused: u64| forgot.iter().any(|(_, until)| refused <= *until);
        let refused = self.deliveries.iter().filter(|it| it.done == Done::Refused && gone(it.ended));
        others.extend(refused.filter_map(|delivery| Some((delivery.seq?, given_up))));
        for fate in &mut self.fates {
            fate.given_up = fate.dead || fate.refused.is_some_and(gone);
        }
        let own: HashSet<u64> = self.fates.iter().filter_map(|fate| fate.rank).collect();
        others.retain(|(seq, _)| !own.contains(seq));
        others.sort_by_key(|(seq, _)| Reverse(*seq));

        let mut order: Vec<usize> =
            (0..self.fates.len()).filter(|at| self.fates[*at].rank.is_some()).collect();
        order.sort_by_key(|at| Reverse(self.fates[*at].rank));
        let (mut others, mut above) = (others.into_iter().peekable(), None::<Above>);
        for at in order {
            let rank = self.fates[at].rank;
            while let Some((_, other)) = others.next_if(|(seq, _)| rank < Some(*seq)) {
                above = Some(over(above, other));
            }
            let fate = &mut self.fates[at];
            // Whoever never answered and was never seen says nothing of others.
            if fate.accepted.is_none() && fate.known().is_none() && !fate.given_up {
                continue;
            }
            let died_above = above.and_then(|above| above.dead);
            fate.resolved =
                [fate.known(), above.and_then(|above| above.resolved)].into_iter().flatten().min();
            fate.stands = match (fate.given_up, fate.applied) {
                (true, _) => false,
                // A dead letter may have let readers see what was before, until this one came.
                (false, Some(applied)) => died_above.is_none_or(|begun| applied < begun),
                (false, None) => above.is_none_or(|above| above.stands),
            };
            let newer = above.is_some();
            let dead = fate.given_up.then_some(fate.started);
            let this = Above { stands: fate.stands, resolved: fate.resolved, dead };
            above = Some(over(above, this));
            if fate.accepted.is_some() {
                count(&*fate, newer, forgot, drained, wrong, figures);
            }
        }
        for fate in self.fates.iter().filter(|fate| fate.rank.is_none() && fate.accepted.is_some()) {
            count(fate, false, forgot, drained, wrong, figures);
        }
    }
}

/// What is above whatever comes below both.
fn over(above: Option<Above>, this: Above) -> Above {
    let earliest = |one: Option<u64>, other: Option<u64>| one.into_iter().chain(other).min();
    Above {
        stands: this.stands,
        resolved: earliest(above.and_then(|above| above.resolved), this.resolved),
        dead: earliest(above.and_then(|above| above.dead), this.dead),
    }
}

/// Counts what became of an acknowledged write; `newer`: there is a later one that was taken.
fn count(
    fate: &Fate,
    newer: bool,
    forgot: &[(u64, u64)],
    drained: bool,
    wrong: &mut Vec<Wrong>,
    figures: &mut Writes,
) {
    let mut lost = |text: &str| {
        let text = format!("write {} ({}) {text}", fate.number, fate.mode);
        wrong.push((Promise::Kept, fate.place, text));
    };
    if at_once(fate.mode) && fate.known().is_none_or(|known| fate.ended < known) {
        figures.lost += 1;
        return lost("was acknowledged before it was at the origin");
    }
    let figure = if fate.dead {
        &mut figures.dead
    } else if fate.applied.is_some() {
        &mut figures.applied
    } else if fate.superseded.is_some() {
        &mut figures.superseded
    } else if newer {
        &mut figures.coalesced
    } else if forgot.iter().any(|(_, ended)| fate.started <= *ended) {
        &mut figures.forgotten
    } else if drained {
        let had = fate.accepted.and_then(|accepted| accepted.durability.as_deref()).unwrap_or("nothing");
        lost(&format!(
            "was acknowledged when `{had}` had it, and is neither at the origin nor superseded nor a dead letter"
        ));
        &mut figures.lost
    } else {
        return;
    };
    *figure += 1;
}
