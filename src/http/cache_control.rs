//! `Cache-Control` of requests: what a reader demands, and the times a writer sets.

use std::time::Duration;

use hyper::header::{CACHE_CONTROL, HeaderMap};

use super::problem::{Code, Problem};
use crate::cache::Demand;
use crate::model::{Lifetime, LogId};

/// Longest time that a header can say: RFC 9111 lets a cache take 2^31 for whatever is more.
const SECONDS_MAX: u64 = 1 << 31;

/// What a read asks by its headers.
pub(super) fn demand(headers: &HeaderMap) -> Result<Demand, Problem> {
    let mut demand = Demand { min: min_log_id(headers)?, strict: strict(headers)?, ..Demand::default() };
    for directive in directives(headers) {
        let (name, value) = directive?;
        match name.as_str() {
            "no-cache" => demand.no_cache = true,
            "only-if-cached" => demand.only_if_cached = true,
            "max-age" => demand.max_age = Some(seconds("max-age", value)?),
            "max-stale" => {
                demand.max_stale =
                    Some(value.map_or(Ok(Duration::MAX), |value| seconds("max-stale", Some(value)))?);
            }
            _ => {}
        }
    }
    Ok(demand)
}

/// The times that a write sets for its own value, if it sets any.
pub(super) fn lifetime(headers: &HeaderMap) -> Result<Option<Lifetime>, Problem> {
    let (mut fresh, mut revalidate, mut on_error) = (None, None, None);
    for directive in directives(headers) {
        let (name, value) = directive?;
        match name.as_str() {
            "max-age" => fresh = Some(seconds("max-age", value)?),
            "stale-while-revalidate" => revalidate = Some(seconds("stale-while-revalidate", value)?),
            "stale-if-error" => on_error = Some(seconds("stale-if-error", value)?),
            _ => {}
        }
    }
    match fresh {
        Some(fresh) => Ok(Some(Lifetime {
            fresh,
            stale_while_revalidate: revalidate.unwrap_or_default(),
            stale_if_error: on_error.unwrap_or_default(),
        })),
        None if revalidate.is_some() || on_error.is_some() => {
            Err(bad("`stale-while-revalidate` and `stale-if-error` go with `max-age`"))
        }
        None => Ok(None),
    }
}

/// Every line of a header in one text, as HTTP lets lists be parted; `None` where there is none.
pub(super) fn joined(headers: &HeaderMap, name: &str) -> Result<Option<String>, Problem> {
    let mut lines = Vec::new();
    for value in headers.get_all(name) {
        lines.push(value.to_str().map_err(|_| bad(format!("`{name}` is not ASCII")))?);
    }
    Ok((!lines.is_empty()).then(|| lines.join(",")))
}

fn min_log_id(headers: &HeaderMap) -> Result<Option<LogId>, Problem> {
    let text = joined(headers, "coherd-min-log-id")?;
    let id = text.map(|text| text.parse::<LogId>()).transpose();
    id.map_err(|error| bad(format!("`Coherd-Min-Log-Id`: {error}")))
}

fn strict(headers: &HeaderMap) -> Result<bool, Problem> {
    match joined(headers, "coherd-consistency")?.as_deref() {
        None => Ok(false),
        Some("strict") => Ok(true),
        Some(_) => Err(bad("`Coherd-Consistency` is `strict` or left out")),
    }
}

type Directive = (String, Option<String>);

/// Names in lower case, values without their quotes.
fn directives(headers: &HeaderMap) -> impl Iterator<Item = Result<Directive, Problem>> + '_ {
    let lines = headers
        .get_all(CACHE_CONTROL)
        .iter()
        .map(|value| value.to_str().map_err(|_| bad("`Cache-Control` is not ASCII")));
    lines.flat_map(|line| -> Vec<Result<Directive, Problem>> {
        match line {
            Err(problem) => vec![Err(problem)],
            Ok(line) => {
                line.split(',').map(str::trim).filter(|d| !d.is_empty()).map(|d| Ok(directive(d))).collect()
            }
        }
    })
}

fn directive(text: &str) -> Directive {
    match text.split_once('=') {
        None => (text.to_ascii_lowercase(), None),
        Some((name, value)) => {
            let value = value.trim();
            let value = value.strip_prefix('"').and_then(|v| v.strip_suffix('"')).unwrap_or(value);
            (name.trim().to_ascii_lowercase(), Some(value.to_owned()))
        }
    }
}

fn seconds(name: &str, value: Option<String>) -> Result<Duration, Problem> {
    let digits = value.filter(|value| !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit()));
    let digits = digits.ok_or_else(|| bad(format!("`{name}` of `Cache-Control` is a number of seconds")))?;
    Ok(Duration::from_secs(digits.parse::<u64>().map_or(SECONDS_MAX, |seconds| seconds.min(SECONDS_MAX))))
}

fn bad(detail: impl Into<String>) -> Problem {
    Problem::new(Code::BadRequest, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    fn asked(lines: &[(&'static str, &'static str)]) -> Demand {
        demand(&headers(lines)).unwrap()
    }

    #[test]
    fn a_read_says_what_it_demands() {
        let secs = Duration::from_secs;
        let plain = Demand::default();
        assert_eq!(asked(&[]), plain);
        assert_eq!(asked(&[("cache-control", "No-Cache")]), Demand { no_cache: true, ..plain.clone() });
        let two = [("cache-control", "only-if-cached, unknown=1"), ("cache-control", "max-age=5")];
        let expected = Demand { only_if_cached: true, max_age: Some(secs(5)), ..plain.clone() };
        assert_eq!(asked(&two), expected);
        let stale = |text| asked(&[("cache-control", text)]).max_stale;
        assert_eq!(stale("max-stale"), Some(Duration::MAX));
        assert_eq!(stale("max-stale = \"30\""), Some(secs(30)));
        assert_eq!(stale("max-stale=99999999999999999999999"), Some(secs(SECONDS_MAX)));
        assert_eq!(
            asked(&[("coherd-min-log-id", "7-0")]),
            Demand { min: Some(LogId::single(7)), ..plain.clone() }
        );
        let parted = [("coherd-min-log-id", "7-0"), ("coherd-min-log-id", "9-0.3")];
        assert_eq!(asked(&parted).min.unwrap().to_string(), "7-0,9-0.3");
        assert_eq!(asked(&[("coherd-consistency", "strict")]), Demand { strict: true, ..plain });
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        for line in [
            ("coherd-min-log-id", "seven"),
            ("coherd-min-log-id", ""),
            ("coherd-consistency", "lax"),
            ("cache-control", "max-age"),
            ("cache-control", "max-age=-1"),
            ("cache-control", "max-age=soon"),
            ("cache-control", "max-stale="),
        ] {
            assert_eq!(demand(&headers(&[line])).expect_err(line.1).code(), Code::BadRequest, "{line:?}");
        }
        let mut odd = HeaderMap::new();
        odd.insert("cache-control", hyper::header::HeaderValue::from_bytes(b"\xFF").unwrap());
        assert_eq!(demand(&odd).unwrap_err().code(), Code::BadRequest);
    }

    #[test]
    fn a_write_sets_all_its_times_or_none() {
        let of = |text| lifetime(&headers(&[("cache-control", text)]));
        assert_eq!(of("private").unwrap(), None);
        let set = of("max-age=60, stale-if-error=5").unwrap().unwrap();
        assert_eq!(
            (set.fresh.as_secs(), set.stale_while_revalidate.as_secs(), set.stale_if_error.as_secs()),
            (60, 0, 5)
        );
        assert_eq!(of("stale-if-error=5").unwrap_err().code(), Code::BadRequest);
    }
}
