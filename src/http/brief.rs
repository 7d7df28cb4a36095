//! Short texts for headers, put together without an allocation of their own.

use hyper::header::HeaderValue;

/// Longer than any that is written here; what is beyond is left out.
const BYTES_MAX: usize = 96;
/// Digits of the largest number.
const DIGITS_MAX: usize = 20;

/// A text of visible ASCII that is being written.
pub(super) struct Brief {
    bytes: [u8; BYTES_MAX],
    len: usize,
}

impl Brief {
    /// One that begins so.
    pub(super) fn new(text: &str) -> Self {
        Self { bytes: [0; BYTES_MAX], len: 0 }.text(text)
    }

    /// Goes on with that.
    pub(super) fn text(mut self, text: &str) -> Self {
        self.push(text.as_bytes());
        self
    }

    /// Goes on with that number.
    pub(super) fn number(mut self, number: i64) -> Self {
        if number < 0 {
            self.push(b"-");
        }
        let mut digits = [b'0'; DIGITS_MAX];
        let (mut at, mut rest) = (DIGITS_MAX, number.unsigned_abs());
        loop {
            at -= 1;
            // A remainder of ten is a digit.
            digits[at] = b'0' + u8::try_from(rest % 10).unwrap_or(0);
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        self.push(&digits[at..]);
        self
    }

    /// As a header; empty where it holds what no header can.
    pub(super) fn value(&self) -> HeaderValue {
        HeaderValue::from_bytes(&self.bytes[..self.len]).unwrap_or(HeaderValue::from_static(""))
    }

    fn push(&mut self, bytes: &[u8]) {
        let (_, room) = self.bytes.split_at_mut(self.len);
        let fits = bytes.len().min(room.len());
        room[..fits].copy_from_slice(&bytes[..fits]);
        self.len += fits;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_as_formatted() {
        for number in [0, 7, -1, 10, 3600, -12, i64::MAX, i64::MIN] {
            let value = Brief::new("a=").number(number).text("; b").value();
            assert_eq!(value, format!("a={number}; b"));
        }
    }

    #[test]
    fn what_is_too_long_is_cut_and_what_is_no_header_is_empty() {
        let long = "x".repeat(BYTES_MAX + 1);
        assert_eq!(Brief::new(&long).number(7).value(), &long[1..]);
        assert_eq!(Brief::new("a\nb").value(), "");
    }
}
