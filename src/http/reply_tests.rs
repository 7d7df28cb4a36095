//! Tables: every way an answer comes × value or absence × what the client has.

use std::time::Duration;

use bytes::Bytes;
use hyper::header::IF_NONE_MATCH;

use super::*;
use crate::cache::{BackendError, Entry, LeaseGrant, LoadId, Via};
use crate::model::{Lifetime, LogId};

fn answer(via: Via, content: Content) -> Answer {
    let lifetime = Lifetime { fresh: Duration::from_millis(60_500), ..Lifetime::default() };
    let age = if via == Via::Stale { 72_900 } else { 19_900 };
    Answer {
        entry: Arc::new(Entry::new(content, lifetime)),
        age: Duration::from_millis(age),
        via,
        detached: false,
    }
}

fn value() -> Content {
    Content::Present(Value {
        body: Bytes::from_static(b"{\"a\":1}"),
        content_type: Some("application/json".into()),
        etag: Some("\"v1\"".into()),
        last_modified: Some("Tue, 14 Nov 2023 22:13:20 GMT".into()),
    })
}

fn asked(if_none_match: Option<&'static str>) -> HeaderMap {
    if_none_match.map(|text| (IF_NONE_MATCH, HeaderValue::from_static(text))).into_iter().collect()
}

/// Each way with what `Cache-Status` says of a value and of an absence.
const WAYS: [(Via, &str, &str); 9] = [
    (Via::L1, "coherd; hit; ttl=41; detail=l1", "coherd; hit; detail=negative"),
    (Via::L2, "coherd; hit; ttl=41; detail=l2", "coherd; hit; detail=negative"),
    (Via::Stale, "coherd; hit; ttl=-12; detail=stale", "coherd; hit; ttl=-12; detail=stale"),
    (
        Via::Origin { stored: true },
        "coherd; fwd=miss; stored; detail=origin",
        "coherd; fwd=miss; stored; detail=origin",
    ),
    (Via::Origin { stored: false }, "coherd; fwd=miss; detail=origin", "coherd; fwd=miss; detail=origin"),
    (Via::TooLarge, "coherd; fwd=miss; detail=too-large", "coherd; fwd=miss; detail=too-large"),
    (Via::Collapsed, "coherd; fwd=miss; collapsed", "coherd; fwd=miss; collapsed"),
    (Via::Bypass, "coherd; fwd=bypass; detail=detached", "coherd; fwd=bypass; detail=detached"),
    (Via::PendingWrite, "coherd; hit; detail=pending-write", "coherd; hit; detail=pending-write"),
];

#[test]
fn every_way_says_where_the_answer_came_from() {
    for (via, present, absent) in WAYS {
        for (if_none_match, status) in
            [(None, 200), (Some("\"v0\""), 200), (Some("\"v1\""), 304), (Some("*"), 304)]
        {
            let response = read(Ok(answer(via, value())), asked(if_none_match)).unwrap();
            assert_eq!(response.status(), status, "{via:?} {if_none_match:?}");
            let headers = response.headers();
            assert_eq!(headers["cache-status"], present);
            assert_eq!(headers["cache-control"], "max-age=60");
            assert_eq!(headers["age"], if via == Via::Stale { "72" } else { "19" });
            assert_eq!(headers["etag"], "\"v1\"");
            assert_eq!(headers["last-modified"], "Tue, 14 Nov 2023 22:13:20 GMT");
            assert_eq!(headers.contains_key("content-type"), status == 200);
            let body = response.into_body().whole().unwrap();
            assert_eq!(body, if status == 200 { &b"{\"a\":1}"[..] } else { b"" });
        }
        let response = read(Ok(answer(via, Content::Absent)), asked(Some("*"))).unwrap();
        assert_eq!(response.status(), 404, "{via:?}");
        assert_eq!(response.headers()["cache-status"], absent);
        assert_eq!(response.headers()["cache-control"], "max-age=60");
    }
}

#[test]
fn an_instance_that_is_cut_off_says_so_whatever_the_way() {
    for (via, ..) in WAYS {
        for content in [value(), Content::Absent] {
            let answer = Answer { detached: true, ..answer(via, content) };
            let response = read(Ok(answer), HeaderMap::new()).unwrap();
            let status = response.headers()["cache-status"].to_str().unwrap();
            assert!(
                status.starts_with("coherd; ") && status.ends_with("; detail=detached"),
                "{via:?}: {status}"
            );
        }
    }
}

#[test]
fn a_copy_that_an_event_made_stale_has_no_time_left() {
    let answer = Answer { age: Duration::from_secs(1), ..answer(Via::Stale, value()) };
    let response = read(Ok(answer), HeaderMap::new()).unwrap();
    assert_eq!(response.headers()["cache-status"], "coherd; hit; ttl=0; detail=stale");
}

#[test]
fn a_value_without_etag_is_never_not_modified_and_bad_headers_of_an_origin_are_left_out() {
    let odd = Value { content_type: Some("text\n".into()), body: "x".into(), ..Value::default() };
    let response = read(Ok(answer(Via::L1, Content::Present(odd))), asked(Some("*"))).unwrap();
    assert_eq!(response.status(), 200);
    assert!(!response.headers().contains_key("content-type"));
}

#[test]
fn every_read_that_fails_has_status_code_and_cache_status() {
    let lease = LeaseGrant { token: "t0ken".into(), load: LoadId("l".into()) };
    for (error, status, code, cache_status) in [
        (GetError::Missing { lease: None }, 404, Code::NotFound, "coherd; fwd=miss"),
        (GetError::Missing { lease: Some(lease) }, 404, Code::NotFound, "coherd; fwd=miss; detail=lease"),
        (GetError::NotCached, 504, Code::NotCached, "coherd; detail=not-cached"),
        (GetError::Unavailable("cut off".into()), 503, Code::Unavailable, "coherd; detail=unavailable"),
        (
            GetError::Origin(OriginError::Status(500)),
            502,
            Code::OriginFailed,
            "coherd; fwd=miss; fwd-status=500; detail=origin",
        ),
        (
            GetError::Origin(OriginError::Failed("reset".into())),
            502,
            Code::OriginFailed,
            "coherd; fwd=miss; detail=origin",
        ),
        (
            GetError::Origin(OriginError::TimedOut),
            504,
            Code::OriginTimeout,
            "coherd; fwd=miss; detail=origin",
        ),
        (
            GetError::Origin(OriginError::Unusable("too long".into())),
            502,
            Code::OriginFailed,
            "coherd; fwd=miss; detail=origin",
        ),
        (GetError::Origin(OriginError::Overloaded), 503, Code::Overloaded, "coherd; detail=overloaded"),
        (
            GetError::Origin(LeftAlone { retry_after: Duration::from_secs(5) }.into()),
            503,
            Code::Unavailable,
            "coherd; detail=breaker-open",
        ),
    ] {
        let has_lease = matches!(error, GetError::Missing { lease: Some(_) });
        let problem = read(Err(error), HeaderMap::new()).unwrap_err();
        assert_eq!(problem.code(), code);
        let response = problem.into_response();
        assert_eq!(response.status(), status);
        assert_eq!(response.headers()["cache-status"], cache_status);
        assert_eq!(response.headers()["cache-control"], "no-store");
        assert_eq!(response.headers().contains_key("retry-after"), status == 503);
        assert_eq!(response.headers().get("coherd-lease").is_some_and(|token| token == "t0ken"), has_lease);
    }
}

#[test]
fn who_comes_back_when_told_to_finds_the_breaker_trying() {
    let retry_after = Duration::from_millis(3100);
    let left_alone = || LeftAlone { retry_after };
    for problem in [
        get_refused(&OriginError::from(left_alone()).into()),
        put_refused(&BackendError::from(left_alone()).into()),
        publish_refused(&BackendError::from(left_alone()).into()),
    ] {
        let response = problem.into_response();
        let said: Vec<_> = response.headers().get_all("retry-after").iter().collect();
        assert_eq!(said, ["4"]);
    }
}

#[test]
fn every_write_has_its_answer() {
    let changed = logged(&LogId::single(7));
    assert_eq!(
        (changed.status().as_u16(), &changed.headers()["coherd-log-id"]),
        (200, &HeaderValue::from_static("7-0"))
    );
    assert_eq!(changed.into_body().whole().unwrap(), br#"{"id":"7-0"}"#);
    assert_eq!(deferred(&LogId::single(7)).status(), 202);
    for (error, code) in [
        (PutError::LeaseLost, Code::LeaseLost),
        (PutError::Off, Code::WriteOff),
        (PutError::TooLarge(9), Code::TooLarge),
        (PutError::Backend(BackendError::TimedOut), Code::Unavailable),
    ] {
        assert_eq!(put_refused(&error).code(), code);
    }
    let boundary = PublishError::NotOnBoundary("eu".into());
    assert_eq!(publish_refused(&boundary).code(), Code::BadRequest);
    assert_eq!(publish_refused(&PublishError::Backend(BackendError::TimedOut)).code(), Code::Unavailable);
}

#[test]
fn a_wait_is_rounded_up() {
    for (millis, seconds) in [(0, 0), (1, 1), (1000, 1), (1001, 2)] {
        assert_eq!(in_seconds(Duration::from_millis(millis)), seconds);
    }
}
