//! Who may load what. Pure: time is an argument.

use std::time::Duration;

use super::expiring::Expiring;
use super::shard::after;
use crate::backend::{Claim, HOLD_MAX, LoadId, Token};
use crate::model::{Key, Namespace};

/// Most leases; beyond it the soonest to end are lost, as if they had expired.
const LEASES_MAX: usize = 1_000_000;

/// A write to the origin holds a lease of its own, under its name behind this mark.
const QUARANTINE: char = '!';
/// The same where another such write had not ended when it began.
const DISTURBED: char = '?';

/// The name under which a write holds a lease, when another's was there before or not.
pub(super) fn held_by(load: &LoadId, before: Option<&LoadId>) -> LoadId {
    let own = format!("{QUARANTINE}{}", load.0);
    let other = before.filter(|it| quarantine(it).is_some() && *it.0 != *own);
    LoadId(other.map_or_else(|| own.clone(), |_| format!("{DISTURBED}{}", load.0)).into())
}

/// The mark of a lease that a write holds.
fn quarantine(load: &LoadId) -> Option<char> {
    load.0.chars().next().filter(|first| matches!(*first, QUARANTINE | DISTURBED))
}

/// Per key and not per entry: an event names keys and does not know versions.
pub(super) type Place = (Namespace, Key);

/// The leases of one shard.
#[derive(Clone, Debug)]
pub(super) struct Leases(Expiring<Place, Lease>);

#[derive(Clone, Debug)]
struct Lease {
    load: LoadId,
    /// What was given out with it.
    token: Token,
    /// Somebody was told that it is taken.
    wanted: bool,
}

impl Leases {
    pub(super) fn new() -> Self {
        Self(Expiring::new(LEASES_MAX))
    }

    /// Takes the lease under `token`, or says how long another load has it still; that one is then wanted. A lease of
    /// another lineage is void.
    pub(super) fn claim(
        &mut self,
        now: u64,
        place: Place,
        claim: &Claim,
        token: &Token,
    ) -> Result<(), Duration> {
        let mut wanted = false;
        if let Some(taken) = self.0.get_mut(now, &place) {
            let again = taken.value.load == claim.load;
            let left = Duration::from_millis(taken.until - now);
            // As the scripts have it: nobody gives out a lease of twice the length, the clock has gone back since.
            let most = claim.lease.max(Duration::from_millis(1)) * 2;
            let lasts = left <= if quarantine(&taken.value.load).is_some() { HOLD_MAX } else { most };
            if !again && lasts && taken.value.token.lineage == token.lineage {
                taken.value.wanted = true;
                return Err(left);
            }
            // The load asks again, for the answer was lost or the lineage has ended: it has not begun to read, and who
            // waits for it still does.
            wanted = again && taken.value.wanted;
        }
        let lease = Lease { load: claim.load.clone(), token: token.clone(), wanted };
        self.0.insert(now, place, (lease, after(now, claim.lease)), 1);
        Ok(())
    }

    /// Gives it to a write that has just ended whatever lease there was, for as long as that may take.
    pub(super) fn hold(&mut self, now: u64, place: Place, load: LoadId, token: &Token, hold: Duration) {
        let until = after(now, hold.clamp(Duration::from_millis(1), HOLD_MAX));
        self.0.insert(now, place, (Lease { load, token: token.clone(), wanted: false }, until), 1);
    }

    /// The token that the load was given with it, if it still has it.
    pub(super) fn held(&self, now: u64, place: &Place, load: &LoadId) -> Option<&Token> {
        self.0.get(now, place).map(|item| &item.value).filter(|it| it.load == *load).map(|it| &it.token)
    }

    /// Who has it, and the token given out with it.
    pub(super) fn holder(&self, now: u64, place: &Place) -> Option<(&LoadId, &Token)> {
        self.0.get(now, place).map(|item| (&item.value.load, &item.value.token))
    }

    /// Who has it, and for how much longer.
    pub(super) fn left(&self, now: u64, place: &Place) -> Option<(LoadId, Duration)> {
        let item = self.0.get(now, place)?;
        Some((item.value.load.clone(), Duration::from_millis(item.until - now)))
    }

    /// Ends it, whoever has it, and says whether somebody waits for that.
    pub(super) fn end(&mut self, now: u64, place: &Place) -> bool {
        let wanted = self.0.get(now, place).is_some_and(|lease| lease.value.wanted);
        self.0.remove(place);
        wanted
    }
}
