//! What is broken when, drawn from a seed: the same seed gives the same schedule on every machine.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};

use super::Kind;

/// Faults at a time.
pub(crate) const LANES: usize = 2;
/// The second lane begins after this part of the run: until then each fault is alone, and what recovery from it takes is
/// its own.
const ALONE: u32 = 3;
/// From what was mended to what is broken next, in milliseconds.
const CALM: std::ops::Range<u64> = 100..1_500;
/// How long most faults last, in milliseconds: from much less than D to several times that.
const HOLD: std::ops::Range<u64> = 50..2_500;
/// How long a pause lasts that is to be much longer than D.
const LONG: Duration = Duration::from_secs(5);
/// The same, now and then in a run that is long enough for it.
const VERY_LONG: Duration = Duration::from_secs(30);
/// From when on a run is.
const LONG_RUN: Duration = Duration::from_mins(1);

/// One fault to come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Planned {
    /// Which.
    pub(crate) kind: Kind,
    /// So long after the one before it in its lane was mended and recovered from.
    pub(crate) after: Duration,
    /// For about so long.
    pub(crate) hold: Duration,
    /// What everything else about it is drawn from: whom it hits, and how.
    pub(crate) seed: u64,
}

impl Planned {
    /// What its details are drawn from.
    pub(crate) fn rng(&self) -> StdRng {
        StdRng::seed_from_u64(self.seed)
    }
}

/// Faults, one after the other in each lane, the lanes side by side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Schedule {
    /// The lanes.
    pub(crate) lanes: [Vec<Planned>; LANES],
}

impl Schedule {
    /// Draws faults of these kinds for a run of that length. Recovery takes time that nobody knows beforehand, so there
    /// are more than will be reached. Every kind comes once, over all lanes, before any comes again.
    ///
    /// # Panics
    ///
    /// If there are no kinds.
    pub(crate) fn draw(seed: u64, length: Duration, kinds: &[Kind]) -> Self {
        assert!(!kinds.is_empty(), "a schedule needs a kind of fault");
        let mut rng = StdRng::seed_from_u64(seed);
        let mut lanes: [Vec<Planned>; LANES] = Default::default();
        let mut lasts = [Duration::ZERO, length / ALONE];
        let mut pack = Vec::new();
        while let Some(lane) = (0..LANES).filter(|lane| lasts[*lane] < length).min_by_key(|lane| lasts[*lane])
        {
            if pack.is_empty() {
                pack = kinds.to_vec();
                rand::seq::SliceRandom::shuffle(&mut pack[..], &mut rng);
            }
            let kind = pack.pop().expect("the pack was filled");
            let calm = Duration::from_millis(rng.random_range(CALM));
            let hold = hold(kind, length, &mut rng);
            // What has passed of the run before a lane's first fault is a part of its calm.
            let after = if lanes[lane].is_empty() { lasts[lane] + calm } else { calm };
            lasts[lane] += calm + hold;
            lanes[lane].push(Planned { kind, after, hold, seed: rng.random() });
        }
        Self { lanes }
    }
}

fn hold(kind: Kind, length: Duration, rng: &mut StdRng) -> Duration {
    let drawn = Duration::from_millis(rng.random_range(HOLD));
    match kind {
        Kind::LongPause | Kind::ServerPause if LONG_RUN <= length => {
            *[LONG, LONG, LONG, LONG, VERY_LONG].choose(rng).expect("there are some")
        }
        Kind::LongPause => LONG.min(length / 4),
        _ => drawn,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTH: Duration = Duration::from_secs(50);

    #[test]
    fn a_seed_always_gives_the_same_schedule() {
        let drawn = Schedule::draw(7, LENGTH, Kind::ALL);
        assert_eq!(drawn, Schedule::draw(7, LENGTH, Kind::ALL));
        assert_ne!(drawn, Schedule::draw(8, LENGTH, Kind::ALL));
    }

    #[test]
    fn every_lane_is_filled_to_the_end_of_the_run() {
        for seed in 0..100 {
            for lane in Schedule::draw(seed, LENGTH, Kind::ALL).lanes {
                let lasts: Duration = lane.iter().map(|planned| planned.after + planned.hold).sum();
                assert!(LENGTH <= lasts, "{lasts:?} of {LENGTH:?}");
            }
        }
    }

    #[test]
    fn faults_are_alone_at_first_and_two_at_a_time_later() {
        let [first, second] = Schedule::draw(1, LENGTH, Kind::ALL).lanes;
        assert!(first[0].after < Duration::from_secs(2));
        assert!(LENGTH / ALONE < second[0].after && second[0].after < LENGTH / 2);
    }

    #[test]
    fn no_kind_comes_again_before_all_have_come() {
        let lanes = Schedule::draw(1, Duration::from_hours(1), Kind::ALL).lanes;
        let count = |kind| lanes.iter().flatten().filter(|planned| planned.kind == kind).count();
        let counts: Vec<_> = Kind::ALL.iter().map(|kind| count(*kind)).collect();
        let (least, most) = (counts.iter().min(), counts.iter().max());
        assert!(
            0 < counts[0] && most.zip(least).is_some_and(|(most, least)| most - least <= 1),
            "{counts:?}"
        );
    }

    #[test]
    fn only_what_was_asked_for_is_drawn() {
        let lanes = Schedule::draw(1, LENGTH, &[Kind::Kill, Kind::Cut]).lanes;
        assert!(lanes.iter().flatten().all(|planned| matches!(planned.kind, Kind::Kill | Kind::Cut)));
    }

    #[test]
    fn very_long_pauses_are_for_long_runs() {
        let longest = |length| {
            let lanes = Schedule::draw(3, length, &[Kind::LongPause]).lanes;
            lanes.into_iter().flatten().map(|planned| planned.hold).max()
        };
        assert_eq!(longest(LENGTH), Some(LONG));
        assert_eq!(longest(Duration::from_hours(1)), Some(VERY_LONG));
    }
}
