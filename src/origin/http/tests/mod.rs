//! Loads against a real server.

mod pool;
mod server;
mod write;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::join_all;
use futures_util::stream::{self, StreamExt};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use tokio::sync::{Semaphore, watch};

use self::server::{Server, answer, chunked, with};
use super::*;
use crate::model::{Namespace, Stated, etag_of};
use crate::origin::patient;
use crate::tls::Roots;

fn settings(server: &Server) -> HttpSettings {
    settings_of(server.address)
}

fn settings_of(address: SocketAddr) -> HttpSettings {
    HttpSettings {
        namespace: Namespace::new("users").unwrap(),
        url: format!("http://{address}/{{namespace}}/{{key}}"),
        timeout: Duration::from_secs(30),
        retries: 0,
        max_concurrency: 8,
        breaker: patient(),
        honour_cache_control: true,
        headers: Vec::new(),
        max_value: 10,
        ttl_max: Duration::from_hours(1),
        roots: Roots::empty(),
        user_agent: "coherd/test".to_owned(),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "made for it")]
fn origin(settings: HttpSettings) -> HttpOrigin {
    HttpOrigin::new(&settings).unwrap()
}

async fn load(origin: &HttpOrigin, key: &str) -> Result<Fetched, OriginError> {
    origin.load(&Key::new(key).unwrap(), None, Urgency::default()).await
}

/// The body of a value that was loaded, and whether it may be kept.
fn value(fetched: Result<Fetched, OriginError>) -> (Bytes, Keep) {
    match fetched {
        Ok(Fetched::Loaded(Loaded { content: Content::Present(value), keep, .. })) => (value.body, keep),
        other => panic!("{other:?}"),
    }
}

fn failure(fetched: Result<Fetched, OriginError>) -> String {
    match fetched {
        Err(OriginError::Failed(why) | OriginError::Unusable(why)) => why,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_value_brings_what_its_header_says() {
    let server = Server::start(async |_, request| {
        let seen = |name: &str| request.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        assert_eq!((request.method().as_str(), request.uri().path()), ("GET", "/users/eu/a%20b"));
        assert_eq!(seen("user-agent").as_deref(), Some("coherd/test"));
        assert_eq!(seen("accept-encoding").as_deref(), Some("identity"));
        assert_eq!(seen("x-key").as_deref(), Some("secret"));
        assert_eq!(seen("authorization").as_deref(), Some("Basic YW5uOnB3"));
        assert_eq!(seen("if-none-match"), None);
        let headers = [
            ("content-type", "text/plain"),
            ("etag", "\"7\""),
            ("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT"),
            ("cache-control", "max-age=60, stale-if-error=5"),
            ("age", "3"),
            ("surrogate-key", "team:7 a"),
        ];
        answer(200, &headers, "v")
    })
    .await;
    let url = format!("http://ann:pw@{}/{{namespace}}/{{key}}", server.address);
    let headers = vec![("X-Key".to_owned(), "secret".to_owned())];
    let fetched = load(&origin(HttpSettings { url, headers, ..settings(&server) }), "eu/a b").await;
    let Ok(Fetched::Loaded(loaded)) = fetched else { panic!("{fetched:?}") };
    let Content::Present(value) = loaded.content else { panic!("absent") };
    assert_eq!(value.body, "v");
    assert_eq!(value.content_type.as_deref(), Some("text/plain"));
    assert_eq!(value.etag.as_deref(), Some("\"7\""));
    assert_eq!(value.last_modified.as_deref(), Some("Sun, 06 Nov 1994 08:49:37 GMT"));
    assert_eq!(loaded.lifetime.fresh, Some(Duration::from_mins(1)));
    assert_eq!(loaded.lifetime.stale_if_error, Some(Duration::from_secs(5)));
    assert_eq!(loaded.lifetime.stale_while_revalidate, None);
    assert_eq!((loaded.age, loaded.keep), (Duration::from_secs(3), Keep::Yes));
    assert_eq!(loaded.tags.iter().map(|tag| &**tag).collect::<Vec<_>>(), ["team:7", "a"]);
    let memory = value.body.try_into_mut().map(|body| body.capacity());
    assert_eq!(memory, Ok(1), "kept, it would keep the connection's buffers");
}

#[tokio::test]
async fn each_status_has_its_outcome_and_its_number_of_attempts() {
    let server = Server::start(async |_, request| {
        let status = request.uri().path().rsplit('/').next().unwrap().parse().unwrap();
        let headers = [("location", "/users/200"), ("cache-control", "no-store, max-age=9")];
        answer(status, &headers, if matches!(status, 204 | 205 | 304) { "" } else { "body" })
    })
    .await;
    let origin = origin(HttpSettings { retries: 2, ..settings(&server) });
    let mut before = 0;
    for (status, attempts) in [
        (200, 1),
        (203, 1),
        (204, 1),
        (206, 1),
        (301, 1),
        (304, 1),
        (401, 1),
        (403, 1),
        (404, 1),
        (410, 1),
        (408, 3),
        (429, 3),
        (500, 3),
        (501, 1),
        (503, 3),
    ] {
        let fetched = load(&origin, &status.to_string()).await;
        match status {
            200 | 203 => assert_eq!(value(fetched), ("body".into(), Keep::NoStore)),
            204 => assert_eq!(value(fetched), (Bytes::new(), Keep::NoStore)),
            404 | 410 => assert_eq!(fetched.unwrap(), absent(Vec::new(), Keep::NoStore)),
            _ => assert!(matches!(fetched, Err(OriginError::Status(said)) if said == status), "{fetched:?}"),
        }
        assert_eq!(server.requests() - before, attempts, "{status}");
        before = server.requests();
    }
}

#[tokio::test]
async fn a_body_that_nobody_wants_is_read_while_it_is_short_and_left_when_it_is_not() {
    let server = Server::start(async |_, request| {
        let piece = |()| Ok(Frame::data(Bytes::from_static(&[0; 4096])));
        let pieces = stream::repeat(()).map(piece);
        match request.uri().path() {
            "/users/short" => with(404, &[], BodyExt::boxed(StreamBody::new(pieces.take(10)))),
            "/users/endless" => with(404, &[], BodyExt::boxed(StreamBody::new(pieces))),
            _ => with(404, &[], BodyExt::boxed(StreamBody::new(stream::pending()))),
        }
    })
    .await;
    let origin = origin(settings(&server));
    for (key, connections) in [("short", 1), ("short", 1), ("endless", 1), ("hanging", 2), ("short", 3)] {
        assert_eq!(load(&origin, key).await.unwrap(), absent(Vec::new(), Keep::Yes), "{key}");
        assert_eq!(server.connections(), connections, "{key}");
    }
}

#[tokio::test]
async fn an_attempt_that_fails_is_followed_by_another() {
    let server = Server::start(async |before, _| match before {
        0 => answer(503, &[], ""),
        1 => chunked(vec![Ok("ha"), Err(io::Error::other("broken off"))]),
        _ => answer(200, &[], "whole"),
    })
    .await;
    let origin = origin(HttpSettings { retries: 2, ..settings(&server) });
    assert_eq!(value(load(&origin, "k").await), ("whole".into(), Keep::Yes));
    assert_eq!(server.requests(), 3);
}

#[tokio::test]
async fn a_connection_that_breaks_midway_is_a_failure_and_never_half_a_value() {
    let server = Server::start(async |_, request| {
        let frames = [Ok(Frame::data(Bytes::from("ha"))), Err(io::Error::other("broken off"))];
        let body = BodyExt::boxed(StreamBody::new(stream::iter(frames)));
        let length = [("content-length", "5")];
        with(200, if request.uri().path() == "/users/chunked" { &[] } else { &length }, body)
    })
    .await;
    let origin = origin(settings(&server));
    for key in ["chunked", "length"] {
        let why = failure(load(&origin, key).await);
        assert!(why.starts_with(&server.address.to_string()), "{why}");
    }
}

#[tokio::test]
async fn an_origin_that_hangs_is_given_up() {
    let server = Server::start(async |_, request| {
        if request.uri().path() == "/users/body" {
            let frames = stream::once(async { Ok(Frame::data(Bytes::from("ha"))) }).chain(stream::pending());
            return with(200, &[], BodyExt::boxed(StreamBody::new(frames)));
        }
        std::future::pending().await
    })
    .await;
    let origin =
        origin(HttpSettings { timeout: Duration::from_millis(200), retries: 5, ..settings(&server) });
    for key in ["head", "body"] {
        assert!(matches!(load(&origin, key).await, Err(OriginError::TimedOut)), "{key}");
    }
    assert_eq!(server.requests(), 2);
    assert_eq!((origin.bulkhead().in_use(), origin.bulkhead().waiting()), (0, 0));
}

#[tokio::test]
async fn a_pause_that_would_outlast_the_time_out_ends_in_the_error_that_is_known() {
    let server = Server::start(async |_, _| answer(503, &[], "")).await;
    let origin =
        origin(HttpSettings { timeout: Duration::from_millis(400), retries: u32::MAX, ..settings(&server) });
    assert!(matches!(load(&origin, "k").await, Err(OriginError::Status(503))));
    assert!(1 < server.requests());
}

#[tokio::test]
async fn no_more_than_the_limit_are_at_the_origin_at_once() {
    const LIMIT: usize = 3;
    let (inside, mut seen) = watch::channel(0usize);
    let (open, high) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicUsize::new(0)));
    let server = {
        let (open, high) = (Arc::clone(&open), Arc::clone(&high));
        Server::start(move |_, _| {
            let (inside, open, high) = (inside.clone(), Arc::clone(&open), Arc::clone(&high));
            async move {
                inside.send_modify(|n| *n += 1);
                high.fetch_max(*inside.borrow(), Ordering::SeqCst);
                open.acquire().await.unwrap().forget();
                inside.send_modify(|n| *n -= 1);
                answer(200, &[], "v")
            }
        })
        .await
    };
    let origin = origin(HttpSettings { max_concurrency: LIMIT, ..settings(&server) });
    let loads = join_all((0..12).map(|n| {
        let origin = &origin;
        async move { load(origin, &n.to_string()).await }
    }));
    let opened = async {
        seen.wait_for(|n| LIMIT <= *n).await.unwrap();
        assert_eq!((origin.bulkhead().in_use(), origin.bulkhead().waiting()), (LIMIT, 12 - LIMIT));
        open.add_permits(12);
    };
    let (loaded, ()) = tokio::join!(loads, opened);
    assert!(loaded.iter().all(Result::is_ok));
    assert_eq!(high.load(Ordering::SeqCst), LIMIT);
    assert_eq!(server.requests(), 12);
}

#[tokio::test]
async fn a_load_that_finds_no_place_in_time_never_reaches_the_origin() {
    let server = Server::start(async |_, _| answer(200, &[], "v")).await;
    let origin =
        origin(HttpSettings { timeout: Duration::from_millis(50), max_concurrency: 1, ..settings(&server) });
    let place = origin.bulkhead().enter(Instant::now(), Urgency::default()).await.unwrap();
    assert!(matches!(load(&origin, "k").await, Err(OriginError::Overloaded)));
    assert_eq!(server.requests(), 0);
    drop(place);
}

#[tokio::test]
async fn a_value_over_the_limit_is_passed_on_and_beyond_the_hard_one_refused() {
    let server = Server::start(async |_, request| match request.uri().path() {
        "/users/10" => answer(200, &[], "0123456789"),
        "/users/11" => answer(200, &[("cache-control", "no-store")], "0123456789a"),
        "/users/160" => chunked((0..16).map(|_| Ok("0123456789")).collect()),
        "/users/170" => chunked((0..17).map(|_| Ok("0123456789")).collect()),
        _ => with(200, &[("content-length", "161")], BodyExt::boxed(StreamBody::new(stream::pending()))),
    })
    .await;
    let origin = origin(HttpSettings { retries: 3, ..settings(&server) });
    assert_eq!(value(load(&origin, "10").await), ("0123456789".into(), Keep::Yes));
    assert_eq!(value(load(&origin, "11").await), ("0123456789a".into(), Keep::TooLarge));
    assert_eq!(value(load(&origin, "160").await), ("0123456789".repeat(16).into(), Keep::TooLarge));
    for key in ["170", "stated"] {
        assert_eq!(failure(load(&origin, key).await), "the value is over the limit of 160 bytes", "{key}");
    }
    assert_eq!(server.requests(), 5);
}

#[tokio::test]
async fn a_copy_that_still_stands_is_not_sent_again() {
    let server = Server::start(async |_, request| {
        let asked = |name: &str| request.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        match (asked("if-none-match").as_deref(), asked("if-modified-since").as_deref()) {
            (Some("\"7\""), None) | (None, Some("Sun, 06 Nov 1994 08:49:37 GMT")) => {
                answer(304, &[("cache-control", "max-age=60"), ("age", "2")], "")
            }
            (None, None) => answer(200, &[], "plain"),
            _ => answer(200, &[], "newer"),
        }
    })
    .await;
    let stands = Fetched::NotModified {
        lifetime: Stated { fresh: Some(Duration::from_mins(1)), ..Stated::default() },
        age: Duration::from_secs(2),
        keep: Keep::Yes,
    };
    let key = Key::new("k").unwrap();
    let etag = |etag: &str| Validators { etag: Some(etag.into()), last_modified: None };
    let dated = Validators { etag: None, last_modified: Some("Sun, 06 Nov 1994 08:49:37 GMT".into()) };
    let honouring = origin(settings(&server));
    assert_eq!(honouring.load(&key, Some(&etag("\"7\"")), Urgency::default()).await.unwrap(), stands);
    assert_eq!(honouring.load(&key, Some(&dated), Urgency::default()).await.unwrap(), stands);
    assert_eq!(value(honouring.load(&key, Some(&etag("\"6\"")), Urgency::default()).await).0, "newer");
    assert_eq!(value(honouring.load(&key, Some(&etag("\n")), Urgency::default()).await).0, "plain");

    let ignoring = origin(HttpSettings { honour_cache_control: false, ..settings(&server) });
    assert_eq!(value(ignoring.load(&key, Some(&etag("\"7\"")), Urgency::default()).await).0, "plain");
}

#[tokio::test]
async fn a_value_without_an_etag_gets_one_of_its_bytes() {
    let server = Server::start(async |_, _| answer(200, &[], "v")).await;
    let Ok(Fetched::Loaded(loaded)) = load(&origin(settings(&server)), "k").await else { panic!("no value") };
    let Content::Present(value) = loaded.content else { panic!("absent") };
    assert_eq!(value.etag, Some(etag_of(b"v")));
}

#[tokio::test]
async fn a_coding_that_was_not_asked_for_is_a_failure() {
    let server = Server::start(async |_, _| answer(200, &[("content-encoding", "gzip")], "v")).await;
    let why = failure(load(&origin(settings(&server)), "k").await);
    assert_eq!(why, "content coding `gzip` was not asked for");
}

#[tokio::test]
async fn a_key_that_leads_out_of_the_template_is_absent_and_not_asked_for() {
    let server = Server::start(async |_, _| answer(200, &[], "secret")).await;
    let fetched = load(&origin(settings(&server)), "../admin").await.unwrap();
    assert_eq!(fetched, absent(Vec::new(), Keep::Yes));
    assert_eq!(server.requests(), 0);
}

#[tokio::test]
async fn an_origin_that_is_not_there_is_a_failure_that_names_only_its_host() {
    let gone = Server::start(async |_, _| answer(200, &[], "v")).await.address;
    let plain = Server::start(async |_, _| answer(200, &[], "v")).await;
    for (scheme, address) in [("http", gone), ("https", plain.address)] {
        let url = format!("{scheme}://ann:password@{address}/token/{{key}}?api_key=token");
        let why = failure(load(&origin(HttpSettings { url, retries: 1, ..settings(&plain) }), "k").await);
        assert!(why.starts_with(&format!("{address}: ")), "{why}");
        assert!(!why.contains("password") && !why.contains("token"), "{why}");
    }
    assert_eq!(plain.connections(), 2);
}

#[tokio::test]
async fn settings_that_make_no_origin_name_their_key() {
    let server = Server::start(async |_, _| answer(200, &[], "v")).await;
    let refused = |settings: HttpSettings| HttpOrigin::new(&settings).map(|_| ()).unwrap_err();
    let header = |name: &str, value: &str| HttpSettings {
        headers: vec![(name.to_owned(), value.to_owned())],
        ..settings(&server)
    };
    assert_eq!(refused(header("bad name", "x")), HttpSettingsError::Header("bad name".to_owned()));
    assert_eq!(refused(header("x", "secret\n")), HttpSettingsError::Header("x".to_owned()));
    assert_eq!(refused(header("Range", "x")), HttpSettingsError::ReservedHeader("Range".to_owned()));
    let user_agent = "a\nb".to_owned();
    assert_eq!(refused(HttpSettings { user_agent, ..settings(&server) }), HttpSettingsError::UserAgent);
    let url = "http://h/".to_owned();
    let error = refused(HttpSettings { url, ..settings(&server) });
    assert_eq!(error.to_string(), "`url`: `{key}` is missing");
}
