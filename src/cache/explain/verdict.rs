//! What a plain GET would be answered with now, and why: the read path's rules over what is known, without a step of it.

use std::time::Duration;

use serde::Serialize;

use super::Proven;
use crate::cache::freshness::Use;
use crate::guard::LeftAlone;

/// What a GET would do.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// Where the answer would come from: `l1`, `l2`, `stale`, `pending_write`, `origin`, `wait` (for a load that is under
    /// way), `lease` (404: the application is to load), `unavailable` (503).
    pub from: &'static str,
    /// Why.
    pub why: String,
}

/// Who can load.
#[derive(Clone, Copy, Debug)]
pub(super) enum Loader {
    /// The origin.
    Origin,
    /// The origin, whose breaker lets nobody through.
    LeftAlone(LeftAlone),
    /// The application alone.
    Application,
}

/// What decides.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is true or not, whatever the others are")]
pub(super) struct Facts {
    /// The instance may trust its copies.
    pub(super) leased: bool,
    /// What the copy in L1 may be used for; `None`: there is none, or nothing is known of it.
    pub(super) l1: Option<Use>,
    /// What L2's entry may be used for, by what this instance has applied.
    pub(super) l2: Option<Use>,
    /// That is a write that the origin does not have yet.
    pub(super) dirty: bool,
    /// Cut off, there may be such writes that nobody knows of, and the namespace prefers no answer.
    pub(super) behind: bool,
    /// What L2 says of it; `None`: it did not answer.
    pub(super) proven: Option<Proven>,
    /// Another load has the lease.
    pub(super) busy: bool,
    /// A load has just failed, and stale copies are answered without another.
    pub(super) resting: bool,
    /// Who can load.
    pub(super) loader: Loader,
    /// `origin.soft_timeout`.
    pub(super) soft_timeout: Duration,
}

impl Facts {
    pub(super) fn verdict(&self) -> Verdict {
        let say = |from, why: &str| Verdict { from, why: why.to_owned() };
        match self.l1 {
            Some(Use::Fresh) => return say("l1", "the copy in L1 is valid and fresh"),
            Some(Use::Unproven) => {
                return say(
                    "l1",
                    "the copy in L1 is fresh; the instance is cut off from the log, and the namespace prefers an answer",
                );
            }
            Some(Use::Stale) => {
                return say("stale", "the copy in L1 is stale, and answered while it is refreshed");
            }
            Some(Use::OnError) if self.resting => {
                return say(
                    "stale",
                    "the origin has just failed, and the stale copy in L1 is answered meanwhile",
                );
            }
            Some(Use::OnError | Use::No) | None => {}
        }
        self.past_l1()
    }

    fn past_l1(&self) -> Verdict {
        let say = |from, why: String| Verdict { from, why };
        let l1 = match self.l1 {
            Some(Use::OnError) => "the copy in L1 is for a failing origin only",
            Some(_) => "the copy in L1 may not be answered",
            None => "there is no copy in L1",
        };
        if !self.leased {
            let cut_off = "the instance is cut off from the log";
            return match self.loader {
                Loader::Application => {
                    say("unavailable", format!("{cut_off}, and only the application can load"))
                }
                Loader::LeftAlone(why) => {
                    say("unavailable", format!("{cut_off}, and the origin is not asked: {why}"))
                }
                Loader::Origin if self.behind => {
                    let why = "nobody knows which writes the origin does not have yet";
                    say("unavailable", format!("{cut_off}, and {why}"))
                }
                Loader::Origin => say("origin", format!("{cut_off}: past all copies")),
            };
        }
        if self.dirty && self.proven == Some(Proven::Fresh) {
            return say("pending_write", format!("{l1}; L2 holds a write that the origin does not have yet"));
        }
        if self.proven == Some(Proven::Doubtful) {
            let why = "L2 came back with less than it held, and a write is pending that may be outdated";
            return say("unavailable", format!("{l1}; {why}"));
        }
        if self.proven == Some(Proven::Fresh) {
            return say("l2", format!("{l1}; the entry in L2 is valid and fresh"));
        }
        let stale = matches!(self.l2, Some(Use::Stale)) && self.proven == Some(Proven::Stale);
        let on_error = [self.l1, self.l2].contains(&Some(Use::OnError));
        let l2 = match (self.proven, stale) {
            (None, _) => "L2 does not answer",
            (Some(_), true) => "the entry in L2 is stale",
            (Some(Proven::Stale), false) => "the entry in L2 is stale and for a failing origin only",
            (Some(_), false) => "L2 has none that may be answered",
        };
        let why = format!("{l1}; {l2}");
        if matches!(self.loader, Loader::Application) {
            return match self.proven {
                None => say("unavailable", why),
                Some(_) if self.busy => say("wait", format!("{why}; another has the lease to load it")),
                Some(_) => say("lease", format!("{why}; the application is to load it")),
            };
        }
        if stale {
            return say("stale", format!("{why}, and answered while it is loaded anew"));
        }
        if self.resting && on_error {
            return say("stale", format!("{why}; the origin has just failed"));
        }
        if let Loader::LeftAlone(left_alone) = self.loader {
            let from = if on_error { "stale" } else { "unavailable" };
            return say(from, format!("{why}; the origin is not asked: {left_alone}"));
        }
        let soft = if on_error && !self.soft_timeout.is_zero() {
            format!("; a stale copy after {}", humantime::format_duration(self.soft_timeout))
        } else if on_error {
            "; a stale copy if it fails".to_owned()
        } else {
            String::new()
        };
        if self.busy && self.proven.is_some() {
            return say("wait", format!("{why}; another load is under way{soft}"));
        }
        say("origin", format!("{why}{soft}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING: Facts = Facts {
        leased: true,
        l1: None,
        l2: None,
        dirty: false,
        behind: false,
        proven: Some(Proven::No),
        busy: false,
        resting: false,
        loader: Loader::Origin,
        soft_timeout: Duration::ZERO,
    };

    #[test]
    fn every_way_has_its_reason() {
        let left_alone = Loader::LeftAlone(LeftAlone { retry_after: Duration::from_secs(3) });
        let aside = Facts { loader: Loader::Application, ..NOTHING };
        let cut_off = Facts { leased: false, ..NOTHING };
        let on_error = Facts { l1: Some(Use::OnError), ..NOTHING };
        let soft = Facts { soft_timeout: Duration::from_millis(300), ..on_error };
        let in_l2 = Facts { l2: Some(Use::Stale), proven: Some(Proven::Stale), ..NOTHING };
        let table = [
            (Facts { l1: Some(Use::Fresh), ..NOTHING }, "l1", "valid and fresh"),
            (
                Facts { dirty: true, proven: Some(Proven::Fresh), ..NOTHING },
                "pending_write",
                "does not have yet",
            ),
            (Facts { behind: true, ..cut_off }, "unavailable", "nobody knows which writes"),
            (Facts { l1: Some(Use::Unproven), ..cut_off }, "l1", "prefers an answer"),
            (Facts { l1: Some(Use::Stale), ..NOTHING }, "stale", "while it is refreshed"),
            (Facts { resting: true, ..on_error }, "stale", "has just failed"),
            (Facts { loader: left_alone, ..on_error }, "stale", "left alone for 3000 ms"),
            (
                on_error,
                "origin",
                "L1 is for a failing origin only; L2 has none that may be answered; a stale copy if",
            ),
            (soft, "origin", "a stale copy after 300ms"),
            (Facts { busy: true, ..soft }, "wait", "another load is under way; a stale copy after 300ms"),
            (
                Facts { l1: Some(Use::No), proven: Some(Proven::Fresh), ..NOTHING },
                "l2",
                "L1 may not be answered; the entry",
            ),
            (in_l2, "stale", "while it is loaded anew"),
            (NOTHING, "origin", "no copy in L1; L2 has none"),
            (Facts { proven: None, ..NOTHING }, "origin", "L2 does not answer"),
            (Facts { loader: left_alone, ..NOTHING }, "unavailable", "the origin is not asked"),
            (cut_off, "origin", "past all copies"),
            (Facts { loader: left_alone, ..cut_off }, "unavailable", "cut off"),
            (Facts { loader: Loader::Application, ..cut_off }, "unavailable", "only the application"),
            (aside, "lease", "the application is to load"),
            (Facts { busy: true, ..aside }, "wait", "another has the lease"),
            (Facts { proven: None, ..aside }, "unavailable", "L2 does not answer"),
        ];
        for (facts, from, why) in table {
            let verdict = facts.verdict();
            assert!(verdict.from == from && verdict.why.contains(why), "{facts:?}: {verdict:?}");
        }
    }
}
