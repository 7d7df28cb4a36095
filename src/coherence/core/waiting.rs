//! `wait=all`: when may a publisher be told that nobody answers with anything older?
//!
//! Either every member has confirmed (early), or every lease that could miss the event has run out (late). Membership
//! only makes the common case fast; the late way needs none of it.

use std::sync::Arc;
use std::time::Duration;

use crate::backend::Member;
use crate::clock::Boot;
use crate::model::{LineageId, Seq, Shard};
use crate::mutants;

/// Clock rates of two machines differ by less than this share.
const DRIFT: f64 = 0.001;
/// Beside the drift: the granularity of clocks and timers.
const SLACK: Duration = Duration::from_millis(50);

/// An event in one shard.
#[derive(Clone, Debug)]
pub struct Part {
    /// Where.
    pub shard: Shard,
    /// Its number there.
    pub seq: Seq,
    /// The lineage it was logged in.
    pub lineage: LineageId,
    /// The members of that moment.
    pub members: Arc<[Member]>,
    /// Since when the publisher has followed that lineage; `None` if it follows another. Members are recorded per
    /// lineage: right after one began, an instance with a lease from before it is not among them.
    pub followed_since: Option<Boot>,
}

/// A publisher that waits.
#[derive(Clone, Debug)]
pub struct Wait {
    parts: Vec<Part>,
    /// When the log's answer was here: later than the event, whatever the network did. Counting from the sending of
    /// the event would be wrong: a heartbeat may be sent and answered before a slow event gets there.
    answered: Boot,
    longest: Duration,
}

/// Whether it may be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// All members confirmed.
    Early,
    /// Time has.
    Late,
    /// Neither; not before this moment without news of confirmations.
    Until(Boot),
}

impl Wait {
    /// Waits for an event whose answer came at `answered`; `longest` is the longest `max_staleness` known of any
    /// instance, the publisher's own among them.
    pub fn new(parts: Vec<Part>, answered: Boot, longest: Duration) -> Self {
        let of_members = parts.iter().flat_map(|part| &*part.members).map(|member| member.max_staleness);
        let longest = of_members.fold(longest, Duration::max);
        Self { parts, answered, longest }
    }

    /// Decides at `now`; `confirmed` says up to which event a member has confirmed since.
    pub fn decide(&self, now: Boot, confirmed: impl Fn(Shard, &str) -> Seq) -> Decision {
        if mutants::ACK_AT_APPEND {
            return Decision::Early;
        }
        if self.parts.iter().all(|part| self.may_be_early(part) && missing(part, &confirmed).next().is_none())
        {
            return Decision::Early;
        }
        let late = self.late();
        if late <= now { Decision::Late } else { Decision::Until(late) }
    }

    /// When every lease that could miss the event has run out.
    pub fn late(&self) -> Boot {
        self.answered + self.lease()
    }

    /// The longest that a lease of any member lasts by this machine's clock.
    fn lease(&self) -> Duration {
        self.longest.mul_f64(1.0 + DRIFT) + SLACK
    }

    /// Members by whether they have confirmed in every shard: `(applied, missing)`, sorted.
    pub fn tally(&self, confirmed: impl Fn(Shard, &str) -> Seq) -> (Vec<String>, Vec<String>) {
        let members = self.parts.iter().flat_map(|part| &*part.members).map(|member| member.instance.clone());
        let mut members: Vec<String> = members.collect();
        members.sort();
        members.dedup();
        let lacks =
            |name: &String| self.parts.iter().any(|part| missing(part, &confirmed).any(|it| it == name));
        members.into_iter().partition(|name| !lacks(name))
    }

    fn may_be_early(&self, part: &Part) -> bool {
        mutants::NEW_MEMBERS_TRUSTED
            || part.followed_since.is_some_and(|since| self.lease() < self.answered.since(since))
    }
}

fn missing<'a>(part: &'a Part, confirmed: &'a impl Fn(Shard, &str) -> Seq) -> impl Iterator<Item = &'a str> {
    let behind = |member: &&Member| member.cursor.max(confirmed(part.shard, &member.instance)) < part.seq;
    part.members.iter().filter(behind).map(|member| member.instance.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    const D: Duration = Duration::from_secs(2);

    fn at(ms: u64) -> Boot {
        Boot::from_nanos(ms * 1_000_000)
    }

    fn member(instance: &str, cursor: Seq) -> Member {
        Member { instance: instance.to_owned(), cursor, max_staleness: D, beats: 1 }
    }

    fn part(members: Vec<Member>, followed_since: Option<Boot>) -> Part {
        Part {
            shard: Shard(0),
            seq: 7,
            lineage: LineageId::new("a"),
            members: members.into(),
            followed_since,
        }
    }

    fn wait(parts: Vec<Part>) -> Wait {
        Wait::new(parts, at(10_000), D)
    }

    #[test]
    fn early_once_every_member_has_confirmed() {
        let wait = wait(vec![part(vec![member("i1", 7), member("i2", 6)], Some(at(0)))]);
        assert!(matches!(wait.decide(at(10_000), |_, _| 0), Decision::Until(_)));
        assert_eq!(wait.decide(at(10_000), |_, name| if name == "i2" { 8 } else { 0 }), Decision::Early);
        assert_eq!(wait.tally(|_, _| 0), (vec!["i1".to_owned()], vec!["i2".to_owned()]));
    }

    #[test]
    fn never_early_on_a_young_or_another_lineage() {
        // the last is older than `max_staleness` by this clock, and not by one that is slower by the drift allowed
        for since in [Some(at(8_500)), Some(at(8_000)), None, Some(at(7_949))] {
            let wait = wait(vec![part(vec![], since)]);
            assert!(matches!(wait.decide(at(10_000), |_, _| 99), Decision::Until(_)), "{since:?}");
        }
    }

    #[test]
    fn late_counts_from_the_answer_with_drift_and_slack() {
        let wait = wait(vec![part(vec![member("i1", 0)], Some(at(0)))]);
        assert_eq!(wait.decide(at(12_051), |_, _| 0), Decision::Until(at(12_052)));
        assert_eq!(wait.decide(at(12_052), |_, _| 0), Decision::Late);
    }

    #[test]
    fn the_longest_staleness_of_any_member_counts() {
        let slow = Member { max_staleness: Duration::from_secs(30), ..member("i1", 0) };
        let wait = wait(vec![part(vec![slow], Some(at(0)))]);
        assert_eq!(wait.late(), at(40_080));
    }

    #[test]
    fn every_shard_counts() {
        let parts = vec![
            part(vec![member("i1", 7)], Some(at(0))),
            Part { shard: Shard(1), ..part(vec![member("i1", 3)], Some(at(0))) },
        ];
        let wait = wait(parts);
        assert!(matches!(wait.decide(at(10_000), |_, _| 0), Decision::Until(_)));
        let second = |shard: Shard, _: &str| if shard == Shard(1) { 7 } else { 0 };
        assert_eq!(wait.decide(at(10_000), second), Decision::Early);
    }
}
