//! Where a piece of work belongs in a trace: `traceparent` of W3C Trace Context, level 1.

use std::fmt;

/// A trace, never zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TraceId(pub u128);

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// A piece of work within a trace, never zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SpanId(pub u64);

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// A span, as others are told of it. Prints as `traceparent` is spelt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TraceParent {
    /// The trace.
    pub trace: TraceId,
    /// The work that others are part of, or follow from.
    pub span: SpanId,
    /// Whoever began the trace keeps it.
    pub sampled: bool,
}

/// Bytes of version 00; later versions may have more behind a `-`.
const LENGTH: usize = 55;

impl TraceParent {
    /// Reads it; `None` for what is not one, which counts as not sent.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let (head, rest) = text.split_at_checked(LENGTH)?;
        let version = hex(head.get(..2)?)?;
        let later = version != 0 && rest.first() == Some(&b'-');
        if version == 0xFF || !(rest.is_empty() || later) {
            return None;
        }
        if [2, 35, 52].iter().any(|place| head[*place] != b'-') {
            return None;
        }
        let (trace, span) = (hex(&head[3..35])?, u64::try_from(hex(&head[36..52])?).ok()?);
        let sampled = hex(&head[53..])? & 1 == 1;
        (trace != 0 && span != 0).then_some(Self { trace: TraceId(trace), span: SpanId(span), sampled })
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{}-{}-{:02x}", self.trace, self.span, u8::from(self.sampled))
    }
}

/// At most 32 digits, in lower case as the standard has them.
fn hex(digits: &[u8]) -> Option<u128> {
    digits.iter().try_fold(0, |number, digit| {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u128::from(value))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn what_the_standard_shows_is_read_and_spelt_again() {
        let read = TraceParent::parse(SENT.as_bytes()).unwrap();
        assert_eq!(
            (read.trace.0, read.span.0),
            (0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736, 0x00f0_67aa_0ba9_02b7)
        );
        assert!(read.sampled);
        assert_eq!(read.to_string(), SENT);
        let other_flags = SENT.replace("-01", "-02");
        assert!(!TraceParent::parse(other_flags.as_bytes()).unwrap().sampled);
        let later = format!("cc{}-what the future holds", &SENT[2..]);
        assert_eq!(TraceParent::parse(later.as_bytes()), Some(read));
    }

    #[test]
    fn what_is_malformed_counts_as_not_sent() {
        for text in [
            "",
            "00",
            &SENT[..54],
            &format!("{SENT}-00"),
            &format!("{SENT}x"),
            &format!("cc{}.x", &SENT[2..]),
            &SENT.replace("00-4b", "ff-4b"),
            &SENT.to_uppercase(),
            &SENT.replace("-01", "_01"),
            &SENT.replace("-01", "-0x"),
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        ] {
            assert_eq!(TraceParent::parse(text.as_bytes()), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_not(bytes in any::<Vec<u8>>()) {
            TraceParent::parse(&bytes);
        }

        #[test]
        fn every_one_survives_its_spelling(trace in 1..=u128::MAX, span in 1..=u64::MAX, sampled: bool) {
            let parent = TraceParent { trace: TraceId(trace), span: SpanId(span), sampled };
            prop_assert_eq!(TraceParent::parse(parent.to_string().as_bytes()), Some(parent));
        }
    }
}
