//! Whether a copy may be answered, apart from how it is fetched: pure, so that every case fits a table.

use std::time::Duration;

use super::answer::{Demand, Via};
use super::load::Purpose;
use crate::clock::Boot;
use crate::coherence::core::{Judgement, Standing};
use crate::model::Lifetime;

/// What a copy may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    /// Answer it.
    Fresh,
    /// Answer it although the instance cannot prove that it is valid: the namespace prefers an answer, and says so.
    Unproven,
    /// Answer it, and have it refreshed.
    Stale,
    /// Answer it only if a load fails.
    OnError,
    /// Do not answer it.
    No,
}

/// Decides for a copy of `age` with `lifetime`. `available` is the namespace's `coherence = "available"`.
pub(super) fn decide(
    judgement: Judgement,
    age: Duration,
    lifetime: &Lifetime,
    demand: &Demand,
    available: bool,
) -> Use {
    if demand.no_cache || demand.max_age.is_some_and(|max| max < age) {
        return Use::No;
    }
    let fresh = age < lifetime.fresh;
    if !judgement.leased {
        let unproven = available && !demand.proof() && judgement.standing == Standing::Valid && fresh;
        return if unproven { Use::Unproven } else { Use::No };
    }
    match judgement.standing {
        Standing::Invalid => Use::No,
        Standing::Valid if fresh => Use::Fresh,
        // What a soft event made stale is older data to a reader that asks for nothing older than an event.
        Standing::Soft if demand.proof() => Use::No,
        Standing::Valid | Standing::Soft => {
            // A soft event ends the fresh time now; the stale windows begin.
            let stale_for = age.saturating_sub(lifetime.fresh);
            let asked = demand.max_stale.is_some_and(|max| stale_for <= max && age < lifetime.kept());
            if stale_for < lifetime.stale_while_revalidate || asked {
                Use::Stale
            } else if stale_for < lifetime.stale_if_error {
                Use::OnError
            } else {
                Use::No
            }
        }
    }
}

/// A reader who joined a load that was under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Joiner<'a> {
    pub(super) arrived: Boot,
    pub(super) purpose: Purpose,
    pub(super) demand: &'a Demand,
}

impl Joiner<'_> {
    /// The joiner's rule: whether what the load brought is as good as if it had been made for this reader. Nothing of
    /// it was read before `read_began`; `used` says what its copy may be used for now, without the namespace's
    /// `available`, and `None` where nothing is known of it.
    pub(super) fn may_use(&self, via: Via, read_began: Boot, used: impl FnOnce() -> Option<Use>) -> bool {
        let loaded = matches!(via, Via::Origin { .. } | Via::TooLarge | Via::Bypass);
        // The same moment does not say which came first.
        if self.arrived < read_began {
            // An entry read plainly was judged by what this instance had applied then: not enough for a reader who
            // waited for an event meanwhile.
            if loaded || (self.purpose == Purpose::Miss && !self.demand.proof()) {
                return true;
            }
        }
        self.purpose == Purpose::Miss
            && used().is_some_and(|used| match used {
                Use::Fresh => true,
                Use::Stale | Use::OnError => via == Via::Stale,
                Use::Unproven | Use::No => false,
            })
    }
}

impl Demand {
    /// The reader names an event, or asks for everything logged so far.
    pub(super) fn proof(&self) -> bool {
        self.strict || self.min.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::LogId;

    const VALID: Judgement = Judgement { leased: true, standing: Standing::Valid };
    const SOFT: Judgement = Judgement { leased: true, standing: Standing::Soft };
    const INVALID: Judgement = Judgement { leased: true, standing: Standing::Invalid };
    const CUT_OFF: Judgement = Judgement { leased: false, standing: Standing::Valid };

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn life(fresh: u64, revalidate: u64, error: u64) -> Lifetime {
        Lifetime { fresh: s(fresh), stale_while_revalidate: s(revalidate), stale_if_error: s(error) }
    }

    fn plain() -> Demand {
        Demand::default()
    }

    #[test]
    fn time_and_events_decide_together() {
        let table = [
            (VALID, 5, life(10, 0, 0), Use::Fresh),
            (VALID, 10, life(10, 0, 0), Use::No),
            (VALID, 12, life(10, 5, 0), Use::Stale),
            (VALID, 12, life(10, 0, 5), Use::OnError),
            (VALID, 16, life(10, 5, 0), Use::No),
            (SOFT, 5, life(10, 5, 0), Use::Stale),
            (SOFT, 5, life(10, 0, 5), Use::OnError),
            (SOFT, 5, life(10, 0, 0), Use::No),
            (INVALID, 5, life(10, 50, 50), Use::No),
            (CUT_OFF, 5, life(10, 50, 50), Use::No),
        ];
        for (judgement, age, lifetime, expected) in table {
            let used = decide(judgement, s(age), &lifetime, &plain(), false);
            assert_eq!(used, expected, "{judgement:?} {age} {lifetime:?}");
        }
    }

    #[test]
    fn available_answers_unproven_copies_up_to_their_ttl() {
        assert_eq!(decide(CUT_OFF, s(5), &life(10, 5, 5), &plain(), true), Use::Unproven);
        assert_eq!(decide(CUT_OFF, s(10), &life(10, 5, 5), &plain(), true), Use::No);
        let hit = Judgement { leased: false, standing: Standing::Invalid };
        assert_eq!(decide(hit, s(5), &life(10, 5, 5), &plain(), true), Use::No);
        let strict = Demand { strict: true, ..plain() };
        assert_eq!(decide(CUT_OFF, s(5), &life(10, 5, 5), &strict, true), Use::No);
    }

    #[test]
    fn the_reader_can_ask_for_more_or_less() {
        let young = Demand { max_age: Some(s(3)), ..plain() };
        assert_eq!(decide(VALID, s(3), &life(10, 0, 0), &young, false), Use::Fresh);
        assert_eq!(decide(VALID, s(4), &life(10, 0, 0), &young, false), Use::No);
        let old = Demand { max_stale: Some(s(5)), ..plain() };
        assert_eq!(decide(VALID, s(14), &life(10, 0, 60), &old, false), Use::Stale);
        assert_eq!(decide(VALID, s(16), &life(10, 0, 60), &old, false), Use::OnError);
        // max-stale reaches no further than the copy is kept
        assert_eq!(decide(VALID, s(14), &life(10, 0, 3), &old, false), Use::No);
        let afresh = Demand { no_cache: true, ..plain() };
        assert_eq!(decide(VALID, s(1), &life(10, 0, 0), &afresh, false), Use::No);
    }

    #[test]
    fn a_soft_event_counts_for_readers_that_name_an_event() {
        let since = Demand { min: Some(LogId::single(7)), ..plain() };
        assert_eq!(decide(SOFT, s(1), &life(10, 5, 5), &since, false), Use::No);
        assert_eq!(decide(VALID, s(11), &life(10, 5, 5), &since, false), Use::Stale);
    }
}
