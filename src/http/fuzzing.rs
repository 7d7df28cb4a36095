//! Requests from anywhere: see [`crate::fuzzing`].

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use bytes::Bytes;
use hyper::header::{AUTHORIZATION, HeaderMap};
use hyper::{Method, Response, StatusCode, Uri};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};
use tokio::runtime::Runtime;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::auth::Scope;
use super::body::{Body, Part};
use super::connection::{Stop, Tasks};
use super::front::{Allowance, Call, Sender};
use super::problem::Problem;
use super::routes::{BULK_KEYS_MAX, DataRoute, URI_BYTES_MAX};
use super::{
    Desk, Right, Settings, Tokens, bulk, cloudevents, conditional, connection, demand, invalidate, reply,
    routes, tags, writes,
};
use crate::clock::{Boot, Clock};
use crate::model::{Event, TAGS_MAX};

/// Longer than anything here takes: whoever is not done by then hangs.
const PATIENCE: Duration = Duration::from_secs(10);
/// Who sends.
const PEER: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// Bytes of a request's body.
const BODY_MAX: usize = 4096;

/// A method and a URI.
pub(crate) fn route(line: &str) {
    let Some((method, uri)) = line.split_once(' ') else { return };
    let (Ok(method), Ok(uri)) = (method.parse::<Method>(), uri.parse::<Uri>()) else { return };
    if let Err(problem) = routes::admin(&method, &uri) {
        refused(problem);
    }
    match routes::data(&method, &uri) {
        Err(problem) => refused(problem),
        Ok(DataRoute::Read(namespace, key)) => {
            let written = format!("/v1/cache/{namespace}/{}", utf8_percent_encode(&key, NON_ALPHANUMERIC));
            let again = routes::data(&method, &written.parse().expect("an encoded key is part of a URI"));
            assert_eq!(again.ok(), Some(DataRoute::Read(namespace, key)));
        }
        Ok(DataRoute::Bulk(_, keys)) => assert!((1..=BULK_KEYS_MAX).contains(&keys.len())),
        Ok(_) => {}
    }
    assert!(uri.path().len() <= URI_BYTES_MAX || routes::data(&method, &uri).is_err());
}

/// The body of a bulk read.
pub(crate) fn bulk_body(bytes: &[u8]) {
    let keys = match bulk::keys(bytes) {
        Ok(keys) => keys,
        Err(problem) => return refused(problem),
    };
    assert!((1..=BULK_KEYS_MAX).contains(&keys.len()));
    let texts: Vec<&str> = keys.iter().map(|key| &**key).collect();
    let written = serde_json::json!({ "keys": texts }).to_string();
    assert_eq!(bulk::keys(written.as_bytes()).ok().as_ref(), Some(&keys));
    let distinct = bulk::distinct(keys.clone());
    assert!(keys.iter().all(|key| distinct.contains(key)) && distinct.len() <= keys.len());
}

/// The headers of a request.
pub(crate) fn headers(headers: &HeaderMap) {
    if let Err(problem) = demand::of(headers, None, None) {
        refused(problem);
    }
    match tags::of_value(headers) {
        Ok(tags) => assert!(tags.len() <= TAGS_MAX),
        Err(problem) => refused(problem),
    }
    for etag in ["\"a\"", "W/\"a,b\""] {
        conditional::none_match_holds(headers, etag);
    }
    let call = Call {
        headers: headers.clone(),
        body: Bytes::from_static(b"value"),
        trace: None,
        arrived: Boot::NEVER,
        peer: std::net::Ipv4Addr::LOCALHOST.into(),
    };
    if let Err(problem) = writes::write(call) {
        refused(problem);
    }
    let allowed = TOKENS.check(headers, Right::Read, Scope::Nothing);
    let sent = headers.get(AUTHORIZATION).map(|value| value.as_bytes().to_ascii_lowercase());
    let known =
        sent.is_some_and(|value| value.starts_with(b"bearer ") && value.trim_ascii().ends_with(b"s3cret"));
    assert!(allowed.is_err() || known, "somebody came in without the token");
    if let Err(problem) = allowed {
        refused(problem);
    }
}

/// `POST /v1/invalidate`.
pub(crate) fn event(headers: HeaderMap, body: &[u8]) {
    let call = Call {
        headers,
        body: Bytes::copy_from_slice(body),
        trace: None,
        arrived: Boot::NEVER,
        peer: std::net::Ipv4Addr::LOCALHOST.into(),
    };
    for soft in [false, true] {
        match invalidate::event(&call, soft) {
            Ok(event) => assert!((1..=Event::TARGETS_MAX).contains(&event.targets.len())),
            Err(error) => refused(reply::form_refused(&error)),
        }
    }
}

/// All that a client sends over a connection: HTTP/1.1, HTTP/2 or neither. Whatever it is, the connection ends when the
/// client is done, and no answer says that the program is at fault.
pub(crate) fn connection(bytes: &[u8]) {
    let answered = RUNTIME.block_on(async {
        let (near, far) = duplex(64 * 1024);
        let spawner = RUNTIME.handle().clone();
        let tasks = Tasks {
            spawn: Arc::new(move |_, work| drop(spawner.spawn(work))),
            tracker: TaskTracker::new(),
            abort: CancellationToken::new(),
        };
        let stop = Stop::new(CancellationToken::new());
        let serving = connection::run(far, PEER, Arc::new(Echo), Arc::clone(&SETTINGS), tasks.clone(), stop);
        let (mut read, mut write) = tokio::io::split(near);
        let sending = async {
            // It may have been refused before its end.
            drop(write.write_all(bytes).await);
            drop(write.shutdown().await);
        };
        let mut answered = Vec::new();
        let all = async { tokio::join!(serving, sending, read.read_to_end(&mut answered)) };
        let ended = timeout(PATIENCE, all).await;
        tasks.tracker.close();
        assert!(
            ended.is_ok() && timeout(PATIENCE, tasks.tracker.wait()).await.is_ok(),
            "the connection hangs"
        );
        answered
    });
    let at_fault = b"HTTP/1.1 500";
    assert!(!answered.windows(at_fault.len()).any(|part| part == at_fault), "a handler panicked");
}

/// Every refusal is the client's fault, and can be sent.
fn refused(problem: Problem) {
    let response = problem.into_response();
    assert!(response.status().is_client_error(), "{}", response.status());
}

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be made")
});

static SETTINGS: LazyLock<Arc<Settings>> = LazyLock::new(|| {
    Arc::new(Settings {
        instance: "fuzzed".to_owned(),
        cluster: "main".to_owned(),
        header_timeout: PATIENCE,
        body_timeout: PATIENCE,
        request_timeout: PATIENCE,
        shutdown_grace: PATIENCE,
        max_body: BODY_MAX,
        rooms: super::Rooms::for_bodies_of(1 << 20),
        clock: Clock::Boottime,
        connections_max: 1,
    })
});

static TOKENS: LazyLock<Tokens> = LazyLock::new(|| {
    let mut tokens = Tokens::default();
    tokens.add("ours", b"s3cret", [Right::Read], []);
    tokens
});

/// Reads requests as the data listener does, and answers without a cache.
struct Echo;

impl Desk for Echo {
    type Route = DataRoute;

    fn route(&self, method: &Method, uri: &Uri) -> Result<DataRoute, Problem> {
        routes::data(method, uri)
    }

    async fn admit(&self, route: &DataRoute, sender: Sender<'_>) -> Result<Allowance, Problem> {
        if sender.headers.contains_key(AUTHORIZATION) {
            TOKENS.check(sender.headers, Right::Read, Scope::Nothing)?;
        }
        let body_max = match route {
            DataRoute::Put(..) | DataRoute::BulkPost(_) | DataRoute::Invalidate(_) | DataRoute::Events => {
                BODY_MAX
            }
            _ => 0,
        };
        Ok(Allowance { body_max, time: Some(PATIENCE), headers: Vec::new() })
    }

    async fn answer(&self, route: DataRoute, call: Call) -> Result<Response<Body>, Problem> {
        let part = match route {
            DataRoute::Read(_, key) => {
                demand::of(&call.headers, call.trace, None)?;
                if conditional::none_match_holds(&call.headers, "\"a\"") {
                    let mut response = Response::new(Body::empty());
                    *response.status_mut() = StatusCode::NOT_MODIFIED;
                    return Ok(response);
                }
                Part::Plain(key.to_string().into())
            }
            DataRoute::Put(..) => Part::Plain(writes::write(call)?.value.body),
            DataRoute::Bulk(_, keys) => Part::Base64(format!("{keys:?}").into()),
            DataRoute::BulkPost(_) => Part::Base64(format!("{:?}", bulk::keys(&call.body)?).into()),
            DataRoute::Invalidate(options) => {
                let event = invalidate::event(&call, options.soft);
                Part::Plain(format!("{:?}", event.map_err(|error| reply::form_refused(&error))?).into())
            }
            DataRoute::Events => Part::Plain(cloudevents::read(&call)?.into()),
            _ => return Ok(reply::no_content()),
        };
        Ok(Response::new(Body::parts(VecDeque::from([part]))))
    }
}
