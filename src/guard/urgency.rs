//! Who goes first where not all can go at once: a head start over those who came before.

use std::time::Duration;

/// Head start for every doubling of the heat.
const PER_DOUBLING: Duration = Duration::from_millis(50);
/// Head start of what somebody waits for over what nobody does.
const WAITED_FOR: Duration = Duration::from_millis(500);

/// How much later than others something may come and still go before them. It is a time, not a class: whoever has
/// waited longer than the largest head start, a second and a third, is overtaken by nobody.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Urgency(Duration);

impl Urgency {
    /// Of a key that was read about `heat` times lately, with somebody waiting for it or not.
    pub fn of(heat: u16, waited_for: bool) -> Self {
        let doublings = u16::BITS - heat.leading_zeros();
        Self(PER_DOUBLING * doublings + if waited_for { WAITED_FOR } else { Duration::ZERO })
    }

    /// The head start.
    pub fn head_start(self) -> Duration {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heat_and_waiting_readers_give_a_head_start_that_is_bounded() {
        let ms = |heat, waited_for| Urgency::of(heat, waited_for).head_start().as_millis();
        assert_eq!((ms(0, false), ms(1, false), ms(2, false), ms(1000, false)), (0, 50, 100, 500));
        assert_eq!((ms(0, true), ms(u16::MAX, true)), (500, 1300));
        assert!(Urgency::of(7, true) < Urgency::of(8, true));
    }
}
