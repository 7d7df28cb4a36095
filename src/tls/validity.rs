//! From when until when a certificate counts: the few bytes of its X.509 structure that say so.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// DER's tags on the way to the two times.
const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const VERSION: u8 = 0xA0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// As [`days_since_1970`] counts them.
const DAYS_BEFORE_1970: u64 = 719_468;

/// The two times of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// Its first second.
    pub from: SystemTime,
    /// Its last.
    pub until: SystemTime,
}

impl Validity {
    /// What a certificate says (RFC 5280, section 4.1): `None` if it is none, or says a time that no clock here shows.
    pub fn of(certificate: &[u8]) -> Option<Self> {
        let (certificate, _) = element(certificate, SEQUENCE)?;
        let (mut rest, _) = element(certificate, SEQUENCE)?;
        if let Some((_, after)) = element(rest, VERSION) {
            rest = after;
        }
        for before in [INTEGER, SEQUENCE, SEQUENCE] {
            rest = element(rest, before)?.1;
        }
        let (times, _) = element(rest, SEQUENCE)?;
        let (from, rest) = time(times)?;
        let (until, _) = time(rest)?;
        Some(Self { from, until })
    }

    /// How long it has still to go; `None` once it is over.
    pub fn left(&self, now: SystemTime) -> Option<Duration> {
        self.until.duration_since(now).ok()
    }

    /// How long it is from its first second to its last.
    pub fn whole(&self) -> Duration {
        self.until.duration_since(self.from).unwrap_or_default()
    }
}

/// The content of the element that `der` begins with, if it has that tag, and what follows it.
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (found, rest) = der.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = match usize::from(*first) {
        short @ 0..0x80 => (short, rest),
        // More than three bytes of length are no certificate's.
        long => {
            let (bytes, rest) = rest.split_at_checked(long & 0x7F).filter(|(bytes, _)| bytes.len() <= 3)?;
            (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
        }
    };
    let (content, rest) = rest.split_at_checked(length)?;
    (*found == tag).then_some((content, rest))
}

/// `YYMMDDhhmmssZ`, where 50 is 1950, or with four digits of the year; and what follows.
fn time(der: &[u8]) -> Option<(SystemTime, &[u8])> {
    let (text, rest, years) = match (element(der, UTC_TIME), element(der, GENERALIZED_TIME)) {
        (Some((text, rest)), _) => (text, rest, 2),
        (None, Some((text, rest))) => (text, rest, 4),
        (None, None) => return None,
    };
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    if text.len() != years + 10 || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number = |at: usize, digits: usize| text.get(at..at + digits)?.parse::<u64>().ok();
    let year = match (number(0, years)?, years) {
        (year @ 0..50, 2) => 2000 + year,
        (year, 2) => 1900 + year,
        (year, _) => year,
    };
    let part = |index: usize| number(years + 2 * index, 2);
    let (month, day) = (part(0)?, part(1)?);
    let seconds = part(2)? * 3600 + part(3)? * 60 + part(4)?;
    let days = days_since_1970(year, month, day)?;
    UNIX_EPOCH.checked_add(Duration::from_secs(days * 86_400 + seconds)).map(|time| (time, rest))
}

/// `None` before 1970, and for no month or day.
fn days_since_1970(year: u64, month: u64, day: u64) -> Option<u64> {
    if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // The year begins in March, so that the leap day is its last.
    let year = if month <= 2 { year - 1 } else { year };
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let until = |year: u64| year * 365 + year / 4 - year / 100 + year / 400;
    (until(year) + of_year).checked_sub(DAYS_BEFORE_1970)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A certificate's beginning with these two times, each with its tag.
    fn certificate(version: bool, times: &[(u8, &str)]) -> Vec<u8> {
        let wrap = |tag: u8, content: &[u8]| {
            let length = u8::try_from(content.len()).unwrap();
            let long = (0x80 <= length).then_some(0x81);
            [tag].into_iter().chain(long).chain([length]).chain(content.iter().copied()).collect::<Vec<_>>()
        };
        let times: Vec<u8> = times.iter().flat_map(|(tag, text)| wrap(*tag, text.as_bytes())).collect();
        let mut inner = if version { wrap(VERSION, &wrap(INTEGER, &[2])) } else { Vec::new() };
        inner.extend(wrap(INTEGER, &[7; 20]));
        // The algorithm, and an issuer that needs a long length.
        inner.extend([wrap(SEQUENCE, &[5, 0]), wrap(SEQUENCE, &[1; 130]), wrap(SEQUENCE, &times)].concat());
        let inner = [&[SEQUENCE, 0x82, 0, u8::try_from(inner.len()).unwrap()], &inner[..]].concat();
        [&[SEQUENCE, 0x82, 0, u8::try_from(inner.len()).unwrap()], &inner[..]].concat()
    }

    fn unix(time: SystemTime) -> u64 {
        time.duration_since(UNIX_EPOCH).unwrap().as_secs()
    }

    #[test]
    fn both_spellings_of_time_are_read() {
        for version in [true, false] {
            let der =
                certificate(version, &[(UTC_TIME, "700101000000Z"), (GENERALIZED_TIME, "20500101000000Z")]);
            let validity = Validity::of(&der).unwrap();
            assert_eq!((unix(validity.from), unix(validity.until)), (0, 2_524_608_000));
            let der = certificate(version, &[(UTC_TIME, "240229235959Z"), (UTC_TIME, "491231235959Z")]);
            let validity = Validity::of(&der).unwrap();
            assert_eq!((unix(validity.from), unix(validity.until)), (1_709_251_199, 2_524_607_999));
            assert_eq!(validity.left(validity.until), Some(Duration::ZERO));
            assert_eq!(validity.left(validity.until + Duration::from_secs(1)), None);
        }
    }

    #[test]
    fn what_is_no_certificate_says_no_time_and_harms_nobody() {
        let good = certificate(true, &[(UTC_TIME, "240101000000Z"), (UTC_TIME, "250101000000Z")]);
        for end in 0..good.len() {
            assert_eq!(Validity::of(&good[..end]), None, "{end}");
        }
        for (at, byte) in (0..good.len()).flat_map(|at| [0, 0x7F, 0x80, 0x84, 0xFF].map(|byte| (at, byte))) {
            let mut bad = good.clone();
            bad[at] = byte;
            let _either_way = Validity::of(&bad);
        }
        for text in [
            "2401010000Z",
            "240101000000",
            "24010100000xZ",
            "241301000000Z",
            "240100000000Z",
            "690101000000Z",
        ] {
            assert_eq!(
                Validity::of(&certificate(true, &[(UTC_TIME, text), (UTC_TIME, "250101000000Z")])),
                None,
                "{text}"
            );
        }
    }
}
