//! RESP3 as a server sends it, read where it lies in a buffer: nothing is copied, and no tree is made of it.

/// What is no RESP3, or none that a server sends unasked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// What frames consist of, in the order in which it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// A message that nobody asked for: so many tokens of its own follow.
    Push(u64),
    /// The same of an array, a set, a map with its pairs.
    List(u64),
    /// Text, or what else is spelt: a number, a truth.
    Text(&'a [u8]),
    /// A refusal.
    Error(&'a [u8]),
    /// Nothing.
    Null,
}

impl<'a> Token<'a> {
    /// How many tokens belong to it.
    fn within(self) -> u64 {
        match self {
            Self::Push(count) | Self::List(count) => count,
            Self::Text(_) | Self::Error(_) | Self::Null => 0,
        }
    }

    /// What it says, where it is text.
    pub(super) fn text(self) -> Option<&'a [u8]> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }
}

/// The next token, and what follows it.
enum Next<'a> {
    Whole(Token<'a>, &'a [u8]),
    /// It is not all there. Of one that says how long it is: so many bytes.
    Part(Option<usize>),
}

fn next(bytes: &[u8]) -> Result<Next<'_>, Malformed> {
    let Some((kind, rest)) = bytes.split_first() else { return Ok(Next::Part(None)) };
    let Some(end) = rest.iter().position(|byte| *byte == b'\r') else { return Ok(Next::Part(None)) };
    let (line, rest) = rest.split_at(end);
    let rest = match rest {
        [b'\r', b'\n', rest @ ..] => rest,
        [b'\r'] => return Ok(Next::Part(None)),
        _ => return Err(Malformed),
    };
    let token = match kind {
        b'$' | b'=' | b'!' | b'*' if line == b"-1" => Token::Null,
        b'$' | b'=' | b'!' => {
            let length = usize::try_from(number(line)?).map_err(|_| Malformed)?;
            let all = (bytes.len() - rest.len()).checked_add(length).and_then(|it| it.checked_add(2));
            let Some((text, rest)) = rest.split_at_checked(length) else { return Ok(Next::Part(all)) };
            let Some((b"\r\n", rest)) = rest.split_at_checked(2) else {
                return if rest.len() < 2 { Ok(Next::Part(all)) } else { Err(Malformed) };
            };
            let token = match kind {
                b'!' => Token::Error(text),
                // three letters of its format and a colon
                b'=' => Token::Text(text.get(4..).ok_or(Malformed)?),
                _ => Token::Text(text),
            };
            return Ok(Next::Whole(token, rest));
        }
        b'>' => Token::Push(number(line)?),
        b'*' | b'~' => Token::List(number(line)?),
        b'%' => Token::List(number(line)?.checked_mul(2).ok_or(Malformed)?),
        // attributes, and then what has them
        b'|' => Token::List(number(line)?.checked_mul(2).and_then(|it| it.checked_add(1)).ok_or(Malformed)?),
        b'+' | b':' | b',' | b'(' | b'#' => Token::Text(line),
        b'-' => Token::Error(line),
        b'_' => Token::Null,
        _ => return Err(Malformed),
    };
    Ok(Next::Whole(token, rest))
}

fn number(digits: &[u8]) -> Result<u64, Malformed> {
    if digits.is_empty() || 10 < digits.len() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(Malformed);
    }
    Ok(digits.iter().fold(0, |number, digit| 10 * number + u64::from(digit - b'0')))
}

/// The tokens of a whole frame.
#[derive(Clone, Debug)]
pub(super) struct Frame<'a>(&'a [u8]);

impl<'a> Frame<'a> {
    /// Of bytes that a [`Scan`] has found to be one.
    pub(super) fn of(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// As it came.
    pub(super) fn bytes(&self) -> &'a [u8] {
        self.0
    }

    /// Whether it is a message, and no answer.
    pub(super) fn is_push(&self) -> bool {
        self.0.first() == Some(&b'>')
    }

    /// The rest of it that is text, token by token; `None` where one of them is not.
    pub(super) fn texts<const N: usize>(mut self) -> Option<[&'a [u8]; N]> {
        let mut texts: [&[u8]; N] = [b""; N];
        for text in &mut texts {
            *text = self.next()?.text()?;
        }
        Some(texts)
    }
}

impl<'a> Iterator for Frame<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        match next(self.0) {
            Ok(Next::Whole(token, rest)) => {
                self.0 = rest;
                Some(token)
            }
            Ok(Next::Part(_)) | Err(Malformed) => None,
        }
    }
}

/// Where the frame ends that a buffer begins with, found while it arrives: no token is looked at twice.
#[derive(Debug)]
pub(super) struct Scan {
    /// Bytes of whole tokens.
    at: usize,
    /// Tokens that are missing.
    missing: u64,
}

/// What is known of the frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// It has so many bytes.
    Whole(usize),
    /// More of it is to come: it has so many bytes at least.
    Part(usize),
}

impl Default for Scan {
    fn default() -> Self {
        Self { at: 0, missing: 1 }
    }
}

impl Scan {
    /// Looks on. `bytes` begin as they did before; a frame that is whole is not looked at again.
    pub(super) fn look(&mut self, bytes: &[u8]) -> Result<Found, Malformed> {
        while self.missing != 0 {
            let rest = bytes.get(self.at..).unwrap_or_default();
            match next(rest)? {
                Next::Whole(token, after) => {
                    self.at += rest.len() - after.len();
                    self.missing = (self.missing - 1).checked_add(token.within()).ok_or(Malformed)?;
                }
                Next::Part(bytes) => {
                    return Ok(Found::Part(self.at.saturating_add(bytes.unwrap_or(rest.len() + 1))));
                }
            }
        }
        let length = self.at;
        *self = Self::default();
        Ok(Found::Whole(length))
    }

    /// The token that is in part there is passed over, with everything before it: what comes behind it is looked at as if
    /// it were the beginning.
    pub(super) fn pass_over(&mut self) {
        self.at = 0;
        self.missing = self.missing.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAMES: &[(&[u8], usize)] = &[
        (b"+OK\r\n", 1),
        (b"-ERR no\r\n", 1),
        (b":-7\r\n", 1),
        (b"_\r\n", 1),
        (b"#t\r\n", 1),
        (b",1.5\r\n", 1),
        (b"(12345678901234567890\r\n", 1),
        (b"$0\r\n\r\n", 1),
        (b"$-1\r\n", 1),
        (b"*-1\r\n", 1),
        (b"$4\r\na\r\nb\r\n", 1),
        (b"=7\r\ntxt:a\r\n\r\n", 1),
        (b"!5\r\nERR x\r\n", 1),
        (b"*0\r\n", 1),
        (b"*2\r\n*1\r\n+a\r\n%1\r\n+k\r\n~2\r\n:1\r\n:2\r\n", 8),
        (b"|1\r\n+ttl\r\n:3\r\n$1\r\nx\r\n", 4),
        (b">3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$2\r\n\r\n\r\n", 4),
    ];

    #[test]
    fn a_frame_is_found_however_it_arrives() {
        let stream: Vec<u8> = FRAMES.iter().flat_map(|(frame, _)| *frame).copied().collect();
        for step in 1..9 {
            let (mut scan, mut begin, mut end, mut found) = (Scan::default(), 0, 0, Vec::new());
            while end < stream.len() {
                end = stream.len().min(end + step);
                while begin < end
                    && let Found::Whole(length) = scan.look(&stream[begin..end]).unwrap()
                {
                    found.push(&stream[begin..begin + length]);
                    begin += length;
                }
            }
            let frames: Vec<&[u8]> = FRAMES.iter().map(|(frame, _)| *frame).collect();
            assert_eq!(found, frames, "{step} bytes at once");
        }
    }

    #[test]
    fn its_tokens_are_those_that_were_sent() {
        for (frame, count) in FRAMES {
            assert_eq!(Frame::of(frame).count(), *count, "{frame:?}");
        }
        let texts = |frame: &'static [u8]| Frame::of(frame).filter_map(Token::text).collect::<Vec<_>>();
        assert_eq!(texts(b"*2\r\n$4\r\na\r\nb\r\n=7\r\ntxt:a\r\n\r\n"), [b"a\r\nb" as &[u8], b"a\r\n"]);
        assert_eq!(Frame::of(b"-NO way\r\n").next(), Some(Token::Error(b"NO way")));
        assert_eq!(Frame::of(b"$-1\r\n").next(), Some(Token::Null));
        assert_eq!(Frame::of(b"+a\r\n$1\r\nb\r\n").texts(), Some([b"a" as &[u8], b"b"]));
        assert_eq!(Frame::of(b"+a\r\n_\r\n").texts::<2>(), None);
    }

    #[test]
    fn what_is_to_come_is_known_as_early_as_can_be() {
        let look = |bytes: &[u8]| Scan::default().look(bytes).unwrap();
        assert_eq!(look(b"$1000\r\nx"), Found::Part(7 + 1000 + 2));
        assert_eq!(look(b">2\r\n+a\r\n$1000\r\n"), Found::Part(8 + 7 + 1000 + 2));
        assert_eq!(look(b">2\r\n+a\r\n$1000"), Found::Part(8 + 6));
    }

    #[test]
    fn a_token_that_is_passed_over_ends_where_it_says() {
        let mut scan = Scan::default();
        assert_eq!(scan.look(b">2\r\n$10\r\n01").unwrap(), Found::Part(4 + 5 + 10 + 2));
        scan.pass_over();
        assert_eq!(scan.look(b"+b\r\n+next\r\n").unwrap(), Found::Whole(4));
        assert_eq!(scan.look(b"+next\r\n").unwrap(), Found::Whole(7));
        assert_eq!(scan.look(b"$10\r\n01").unwrap(), Found::Part(5 + 10 + 2));
        scan.pass_over();
        assert_eq!(scan.look(b"+next\r\n").unwrap(), Found::Whole(0), "it was all there was of the frame");
    }

    #[test]
    fn what_is_none_is_told() {
        let frames: [&[u8]; 9] = [
            b"hello\r\n",
            b"$x\r\n",
            b"$\r\n",
            b"$-2\r\n",
            b"$99999999999\r\n",
            b"$1\r\nabc",
            b"+a\rb\r\n",
            b"=2\r\nab\r\n",
            b"$?\r\n",
        ];
        for frame in frames {
            assert_eq!(Scan::default().look(frame), Err(Malformed), "{frame:?}");
        }
        let deep = b"*9999999999\r\n".repeat(100);
        assert!(Scan::default().look(&deep).is_ok_and(|found| matches!(found, Found::Part(_))));
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_break_it(bytes: Vec<u8>, cut: usize) {
            let (mut whole, mut parts) = (Scan::default(), Scan::default());
            let once = whole.look(&bytes);
            let first = parts.look(&bytes[..cut % (bytes.len() + 1)]);
            if matches!(first, Ok(Found::Part(_))) {
                proptest::prop_assert_eq!(parts.look(&bytes), once);
            }
            if let Ok(Found::Whole(length)) = once {
                proptest::prop_assert!(length <= bytes.len());
                proptest::prop_assert!(Frame::of(&bytes[..length]).count() != 0);
            }
        }
    }
}
