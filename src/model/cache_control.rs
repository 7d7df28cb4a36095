//! `Cache-Control` (RFC 9111, RFC 5861), as answers, reads and writes carry it.

use std::time::Duration;

use super::entry::Stated;

/// The largest time that is told apart, in seconds: RFC 9111 §1.2.2.
const DELTA_SECONDS_MAX: u64 = 1 << 31;

/// What a `Cache-Control` field says. Unknown directives are passed over. A time that cannot be read counts as zero,
/// and of a repeated one the shortest counts: a broken field never makes a copy live longer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a directive of its own")]
pub struct CacheControl {
    /// `no-store`.
    pub no_store: bool,
    /// `no-cache`, with or without field names.
    pub no_cache: bool,
    /// `private`, with or without field names.
    pub private: bool,
    /// `must-revalidate` or `proxy-revalidate`.
    pub must_revalidate: bool,
    /// `only-if-cached`.
    pub only_if_cached: bool,
    /// `max-age`.
    pub max_age: Option<Duration>,
    /// `s-maxage`.
    pub s_maxage: Option<Duration>,
    /// `max-stale`; without a value [`Duration::MAX`].
    pub max_stale: Option<Duration>,
    /// `stale-while-revalidate`.
    pub stale_while_revalidate: Option<Duration>,
    /// `stale-if-error`.
    pub stale_if_error: Option<Duration>,
}

impl CacheControl {
    /// Reads the field's lines, in order. Never fails.
    pub fn parse<'a>(lines: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut read = Self::default();
        for member in lines.into_iter().flat_map(members) {
            let (name, value) = match member.iter().position(|b| *b == b'=') {
                Some(at) => (member[..at].trim_ascii(), Some(unquoted(member[at + 1..].trim_ascii()))),
                None => (member, None),
            };
            read.directive(name, value);
        }
        read
    }

    fn directive(&mut self, name: &[u8], value: Option<&[u8]>) {
        let seconds = || value.and_then(delta_seconds).unwrap_or(Duration::ZERO);
        match name.to_ascii_lowercase().as_slice() {
            b"no-store" => self.no_store = true,
            b"no-cache" => self.no_cache = true,
            b"private" => self.private = true,
            b"must-revalidate" | b"proxy-revalidate" => self.must_revalidate = true,
            b"only-if-cached" => self.only_if_cached = true,
            b"max-age" => shorten(&mut self.max_age, seconds()),
            b"s-maxage" => shorten(&mut self.s_maxage, seconds()),
            b"max-stale" => shorten(&mut self.max_stale, value.map_or(Duration::MAX, |_| seconds())),
            b"stale-while-revalidate" => shorten(&mut self.stale_while_revalidate, seconds()),
            b"stale-if-error" => shorten(&mut self.stale_if_error, seconds()),
            _ => {}
        }
    }

    /// Whether an answer with it may be kept by a cache that several share.
    pub fn may_store(&self) -> bool {
        !self.no_store && !self.private
    }

    /// The lifetime it states: `s-maxage` before `max-age`, and no time at all under `no-cache`. `must-revalidate`
    /// and `proxy-revalidate` close the stale windows; `s-maxage`, which by RFC 9111 implies the latter, does not,
    /// as on the CDNs that answers with both `s-maxage` and `stale-while-revalidate` are written for.
    pub fn stated(&self) -> Stated {
        const NONE: Option<Duration> = Some(Duration::ZERO);
        if self.no_cache {
            return Stated { fresh: NONE, stale_while_revalidate: NONE, stale_if_error: NONE };
        }
        let window = |stated| if self.must_revalidate { NONE } else { stated };
        Stated {
            fresh: self.s_maxage.or(self.max_age),
            stale_while_revalidate: window(self.stale_while_revalidate),
            stale_if_error: window(self.stale_if_error),
        }
    }
}

/// A count of seconds such as `Age` holds; beyond 2³¹ it stays there. `None` unless it is all digits.
pub fn delta_seconds(text: &[u8]) -> Option<Duration> {
    if text.is_empty() {
        return None;
    }
    let digit = |b: &u8| b.is_ascii_digit().then(|| u64::from(b - b'0'));
    text.iter()
        .try_fold(0u64, |sum, b| Some((sum * 10 + digit(b)?).min(DELTA_SECONDS_MAX)))
        .map(Duration::from_secs)
}

fn shorten(time: &mut Option<Duration>, stated: Duration) {
    *time = Some(time.map_or(stated, |before| before.min(stated)));
}

/// The members of a comma-separated list; commas within quotes do not part.
fn members(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(line);
    // A quote that is never closed is no quote, nor is any after it: what follows still counts, and looking for the
    // end happens once.
    let mut quotes = true;
    std::iter::from_fn(move || {
        let text = rest?;
        let mut at = 0;
        while at < text.len() && text[at] != b',' {
            at = match text[at] {
                b'"' if quotes => quoted_end(text, at).unwrap_or_else(|| {
                    quotes = false;
                    at + 1
                }),
                _ => at + 1,
            };
        }
        rest = text.get(at + 1..);
        Some(text[..at].trim_ascii())
    })
}

/// Where the text goes on after the quoted string that opens at `open`.
fn quoted_end(text: &[u8], open: usize) -> Option<usize> {
    let mut at = open + 1;
    while at < text.len() {
        match text[at] {
            b'"' => return Some(at + 1),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    None
}

fn unquoted(value: &[u8]) -> &[u8] {
    value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\"")).unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(line: &str) -> CacheControl {
        CacheControl::parse([line.as_bytes()])
    }

    #[expect(clippy::unnecessary_wraps, reason = "to be compared with what may be unstated")]
    fn secs(n: u64) -> Option<Duration> {
        Some(Duration::from_secs(n))
    }

    #[test]
    fn times_are_read_in_every_spelling_and_garbage_is_zero() {
        let cases = [
            ("max-age=60", secs(60)),
            ("Max-Age=60", secs(60)),
            ("max-age=\"60\"", secs(60)),
            (" public ,, max-age = 60 , immutable", secs(60)),
            ("max-age=60, max-age=10", secs(10)),
            ("max-age=10, max-age=60", secs(10)),
            ("max-age=99999999999999999999999", secs(1 << 31)),
            ("max-age=-1", secs(0)),
            ("max-age=1.5", secs(0)),
            ("max-age=", secs(0)),
            ("max-age", secs(0)),
            ("max-age=\"60", secs(0)),
            ("x=\"max-age=9, a\", max-age=7", secs(7)),
            ("x=\"a\\\", max-age=9\", max-age=7", secs(7)),
            ("x-max-age=9", None),
            ("", None),
        ];
        for (line, expected) in cases {
            assert_eq!(parse(line).max_age, expected, "{line}");
        }
        assert_eq!(CacheControl::parse([b"max-age=9".as_slice(), b"no-store"]).max_age, secs(9));
    }

    #[test]
    fn a_directive_behind_an_open_quote_still_counts() {
        assert!(parse("private=\"set-cookie, no-store").no_store);
        // Every quote after the first is escaped: the end is looked for once, not once for each.
        assert!(parse(&format!("x=\"{}, no-store", "\\\"".repeat(100_000))).no_store);
    }

    #[test]
    fn what_a_reader_asks() {
        let asked = parse("no-cache, only-if-cached, max-stale");
        assert!(asked.no_cache && asked.only_if_cached);
        assert_eq!(asked.max_stale, Some(Duration::MAX));
        assert_eq!(parse("max-stale, max-stale=5").max_stale, secs(5));
        assert_eq!(parse("max-stale=x").max_stale, secs(0));
    }

    #[test]
    fn what_an_answer_states() {
        let stated = |line: &str| {
            let stated = parse(line).stated();
            (stated.fresh, stated.stale_while_revalidate, stated.stale_if_error)
        };
        let windows = "stale-while-revalidate=5, stale-if-error=6";
        assert_eq!(stated(""), (None, None, None));
        assert_eq!(stated("max-age=60, s-maxage=10"), (secs(10), None, None));
        assert_eq!(stated(&format!("s-maxage=10, {windows}")), (secs(10), secs(5), secs(6)));
        assert_eq!(stated(&format!("max-age=9, must-revalidate, {windows}")), (secs(9), secs(0), secs(0)));
        assert_eq!(stated(&format!("max-age=9, proxy-revalidate, {windows}")), (secs(9), secs(0), secs(0)));
        assert_eq!(stated(&format!("max-age=9, no-cache, {windows}")), (secs(0), secs(0), secs(0)));
        assert_eq!(stated("no-cache=\"set-cookie\""), (secs(0), secs(0), secs(0)));
    }

    #[test]
    fn what_may_be_stored() {
        assert!(parse("max-age=1").may_store());
        for line in ["no-store", "NO-STORE", "private", "private=\"x\"", "max-age=1, private"] {
            assert!(!parse(line).may_store(), "{line}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(lines in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..64), 0..4)) {
            let read = CacheControl::parse(lines.iter().map(Vec::as_slice));
            prop_assert!(read.max_age.is_none_or(|age| age.as_secs() <= DELTA_SECONDS_MAX));
        }

        #[test]
        fn near_misses_are_read(line in "([a-z=\",\\\\ 0-9-]|max-age|max-stale|no-store){0,24}") {
            let read = parse(&format!("{}, no-store", line.replace('"', "")));
            prop_assert!(read.no_store);
            parse(&line);
        }

        #[test]
        fn every_count_of_seconds_is_read(n in any::<u64>()) {
            prop_assert_eq!(delta_seconds(n.to_string().as_bytes()), secs(n.min(DELTA_SECONDS_MAX)));
        }
    }
}
