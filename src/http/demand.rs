//! What a reader demands by its headers.

use hyper::header::{CACHE_CONTROL, HeaderMap, HeaderName, HeaderValue};

use super::problem::{Code, Problem};
use crate::cache::Demand;
use crate::clock::Boot;
use crate::model::{CacheControl, LogId, TraceId};

const MIN_LOG_ID: HeaderName = HeaderName::from_static("coherd-min-log-id");
const CONSISTENCY: HeaderName = HeaderName::from_static("coherd-consistency");

/// What a read asks beyond the key.
pub(super) fn of(
    headers: &HeaderMap,
    trace: Option<TraceId>,
    arrived: Option<Boot>,
) -> Result<Demand, Problem> {
    let asked = cache_control(headers);
    Ok(Demand {
        min: min_log_id(headers)?,
        strict: strict(headers)?,
        no_cache: asked.no_cache,
        only_if_cached: asked.only_if_cached,
        max_age: asked.max_age,
        max_stale: asked.max_stale,
        trace,
        arrived,
    })
}

/// `Cache-Control` of a request.
pub(super) fn cache_control(headers: &HeaderMap) -> CacheControl {
    CacheControl::parse(headers.get_all(CACHE_CONTROL).iter().map(HeaderValue::as_bytes))
}

/// Every line of a header in one text, as HTTP lets lists be parted; `None` where there is none.
pub(super) fn joined(headers: &HeaderMap, name: &HeaderName) -> Result<Option<String>, Problem> {
    let mut lines = Vec::new();
    for value in headers.get_all(name) {
        lines.push(value.to_str().map_err(|_| bad(format!("`{name}` is not ASCII")))?);
    }
    Ok((!lines.is_empty()).then(|| lines.join(",")))
}

fn min_log_id(headers: &HeaderMap) -> Result<Option<LogId>, Problem> {
    let text = joined(headers, &MIN_LOG_ID)?;
    let id = text.map(|text| text.parse::<LogId>()).transpose();
    id.map_err(|error| bad(format!("`Coherd-Min-Log-Id`: {error}")))
}

fn strict(headers: &HeaderMap) -> Result<bool, Problem> {
    match joined(headers, &CONSISTENCY)?.as_deref() {
        None => Ok(false),
        Some("strict") => Ok(true),
        Some(_) => Err(bad("`Coherd-Consistency` is `strict` or left out")),
    }
}

fn bad(detail: impl Into<String>) -> Problem {
    Problem::new(Code::BadRequest, detail)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn a_read_says_what_it_demands() {
        let asked = |lines: &[(&'static str, &'static str)]| of(&headers(lines), None, None).unwrap();
        let secs = Duration::from_secs;
        let plain = Demand::default();
        assert_eq!(asked(&[]), plain);
        assert_eq!(asked(&[("cache-control", "No-Cache")]), Demand { no_cache: true, ..plain.clone() });
        let two = [("cache-control", "only-if-cached, unknown=1"), ("cache-control", "max-age=5")];
        let expected = Demand { only_if_cached: true, max_age: Some(secs(5)), ..plain.clone() };
        assert_eq!(asked(&two), expected);
        let stale = |text| asked(&[("cache-control", text)]).max_stale;
        assert_eq!((stale("max-stale"), stale("max-stale=30")), (Some(Duration::MAX), Some(secs(30))));
        let after = [("coherd-min-log-id", "7-0")];
        assert_eq!(asked(&after), Demand { min: Some(LogId::single(7)), ..plain.clone() });
        let parted = [("coherd-min-log-id", "7-0"), ("coherd-min-log-id", "9-0.3")];
        assert_eq!(asked(&parted).min.unwrap().to_string(), "7-0,9-0.3");
        assert_eq!(asked(&[("coherd-consistency", "strict")]), Demand { strict: true, ..plain });
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        for line in [("coherd-min-log-id", "seven"), ("coherd-min-log-id", ""), ("coherd-consistency", "lax")]
        {
            assert_eq!(
                of(&headers(&[line]), None, None).expect_err(line.1).code(),
                Code::BadRequest,
                "{line:?}"
            );
        }
        let mut odd = HeaderMap::new();
        odd.insert("coherd-min-log-id", HeaderValue::from_bytes(b"\xFF").unwrap());
        assert_eq!(of(&odd, None, None).unwrap_err().code(), Code::BadRequest);
    }
}
