//! What the network does to a message, and the origin to a load: likelihoods drawn once for a seed.

use super::rng::Rng;
use super::world::MS;

/// How a seed's network behaves while it lasts. Likelihoods are in thousandths.
#[derive(Clone, Debug)]
pub(super) struct Weather {
    /// What a message usually takes at the most, in nanoseconds.
    usual: u64,
    /// A message is held up...
    slow: u64,
    /// ...for so long at the most.
    slow_max: u64,
    /// A request never arrives.
    lose_request: u64,
    /// A request takes effect, its reply never arrives.
    lose_reply: u64,
    /// The connection breaks in the middle of a reply.
    reset: u64,
    /// The server refuses.
    refuse: u64,
    /// An announcement never arrives and nobody is told.
    drop_signal: u64,
    /// The same, but the subscriber is told that something was lost.
    tell_lost: u64,
    /// An announcement arrives twice.
    repeat_signal: u64,
    /// An announcement does not wait for those before it.
    overtake: u64,
    /// The subscription ends with it.
    end_subscription: u64,
    /// The log cannot be read.
    log_fails: u64,
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It takes effect after `there` and is answered after `back`.
    Answered { there: u64, back: u64 },
    /// It takes effect, and nobody is told.
    Unanswered { there: u64 },
    /// The connection breaks instead of the answer.
    Reset { there: u64, back: u64 },
    /// It never arrives.
    Lost,
    /// The server says no.
    Refused { back: u64 },
}

/// What becomes of an announcement for one subscriber.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Carried {
    /// It arrives after so long, unless it has to wait for those before it; perhaps again after that.
    After { delay: u64, again: Option<u64>, overtakes: bool },
    /// It never does.
    Dropped,
    /// The subscriber hears that something was lost.
    Lost { delay: u64 },
    /// The subscription ends.
    Ended { delay: u64 },
}

impl Weather {
    /// Nothing is lost and nothing takes long.
    pub(super) fn calm() -> Self {
        Self {
            usual: 2 * MS,
            slow: 0,
            slow_max: 0,
            lose_request: 0,
            lose_reply: 0,
            reset: 0,
            refuse: 0,
            drop_signal: 0,
            tell_lost: 0,
            repeat_signal: 0,
            overtake: 0,
            end_subscription: 0,
            log_fails: 0,
        }
    }

    /// A seed's own: most have only some of the troubles.
    pub(super) fn drawn(draw: &mut Rng) -> Self {
        let mut often = |of: &[u64]| *draw.pick(of);
        Self {
            usual: often(&[2, 5, 30]) * MS,
            slow: often(&[0, 10, 50, 150]),
            slow_max: often(&[100, 500, 1500, 4000]) * MS,
            lose_request: often(&[0, 0, 5, 30]),
            lose_reply: often(&[0, 0, 5, 50]),
            reset: often(&[0, 0, 5, 20]),
            refuse: often(&[0, 0, 0, 20]),
            drop_signal: often(&[0, 0, 30, 300]),
            tell_lost: often(&[0, 0, 30]),
            repeat_signal: often(&[0, 30, 200]),
            overtake: often(&[0, 0, 100, 500]),
            end_subscription: often(&[0, 0, 5, 30]),
            log_fails: often(&[0, 0, 50, 300]),
        }
    }

    /// How long a message takes.
    pub(super) fn delay(&self, draw: &mut Rng) -> u64 {
        if draw.per_mille(self.slow) { draw.below(self.slow_max) } else { draw.below(self.usual) }
    }

    /// What becomes of a request. One that is `prompt` takes effect at once or never.
    pub(super) fn fate(&self, draw: &mut Rng, prompt: bool) -> Fate {
        let there = if prompt { draw.below(self.usual) } else { self.delay(draw) };
        let back = self.delay(draw);
        if draw.per_mille(self.lose_request) {
            Fate::Lost
        } else if draw.per_mille(self.lose_reply) {
            Fate::Unanswered { there }
        } else if draw.per_mille(self.reset) {
            Fate::Reset { there, back }
        } else if draw.per_mille(self.refuse) {
            Fate::Refused { back: there + back }
        } else {
            Fate::Answered { there, back }
        }
    }

    /// Whether reading the log fails.
    pub(super) fn log_fails(&self, draw: &mut Rng) -> bool {
        draw.per_mille(self.log_fails)
    }

    /// What becomes of an announcement.
    pub(super) fn carried(&self, draw: &mut Rng) -> Carried {
        let delay = self.delay(draw);
        let again = draw.per_mille(self.repeat_signal).then(|| self.delay(draw));
        let overtakes = draw.per_mille(self.overtake);
        if draw.per_mille(self.drop_signal) {
            Carried::Dropped
        } else if draw.per_mille(self.tell_lost) {
            Carried::Lost { delay }
        } else if draw.per_mille(self.end_subscription) {
            Carried::Ended { delay }
        } else {
            Carried::After { delay, again, overtakes }
        }
    }
}
