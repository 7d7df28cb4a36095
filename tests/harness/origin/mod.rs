//! A real HTTP origin: versioned registers, and every way in which a system of record can be late, wrong or gone.
//!
//! A request reads its version when it arrives and may answer much later: the race with an invalidation is forced, not
//! left to luck.

mod register;
mod writes;

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use futures_util::stream;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{CONTENT_TYPE, ETAG, HeaderMap, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use percent_encoding::percent_decode_str;
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep};

use super::task::{Task, spawn};
use register::{Register, Value};

pub(crate) use register::{Behaviour, Effect, Fault, Gate, Write};

/// Requests whose order is remembered.
const ORDER_MAX: usize = 100_000;

/// What an origin is asked to do while it answers.
#[derive(Debug, Default)]
struct State {
    registers: HashMap<String, Register>,
    /// For keys without a behaviour of their own.
    behaviour: Behaviour,
    requests: u64,
    order: Vec<String>,
    in_flight: usize,
    peak: usize,
    /// Writes in its hands: they go on when their clients have gone.
    writing: Vec<Task>,
}

impl State {
    fn register(&mut self, key: &str) -> &mut Register {
        self.registers.entry(key.to_owned()).or_default()
    }

    /// A request for this key has come: how it is met, unless the key has a behaviour of its own.
    fn came(&mut self, key: &str) -> Behaviour {
        if self.order.len() < ORDER_MAX {
            self.order.push(key.to_owned());
        }
        self.behaviour.clone()
    }
}

/// Somebody who is told of every request.
pub(crate) trait Watch: Send + Sync + 'static {
    /// A request has arrived, and if it is a read it is about to take its version: the moment, as the watcher tells it.
    fn arrived(&self) -> u64;

    /// What became of the write that arrived then is decided now. One call at a time.
    fn wrote(&self, arrived: u64, key: &str, write: &Write);

    /// The read that arrived then is over, answered or not; that is the version it took.
    fn read(&self, arrived: u64, key: &str, version: Option<u64>);
}

#[derive(Clone, Default)]
struct Shared {
    state: Arc<Mutex<State>>,
    watch: Option<Arc<dyn Watch>>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A running origin. Gone, with its connections, when it is dropped.
pub(crate) struct Origin {
    addr: SocketAddr,
    shared: Shared,
    _acceptor: Task,
}

impl Origin {
    /// Starts one that knows no key.
    pub(crate) async fn start() -> Self {
        Self::watched(None).await
    }

    /// As [`Self::start`], with somebody who is told of every request.
    pub(crate) async fn watched(watch: Option<Arc<dyn Watch>>) -> Self {
        let listener =
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port can be listened on");
        let addr = listener.local_addr().expect("a listener has an address");
        let shared = Shared { watch, ..Shared::default() };
        let acceptor = spawn(accept(listener, shared.clone()));
        Self { addr, shared, _acceptor: acceptor }
    }

    /// The template of its URLs: `origin.url` of a namespace.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/{{key}}", self.addr)
    }

    /// From now on the key has this version.
    pub(crate) fn set(&self, key: &str, version: u64) {
        self.shared.lock().register(key).set(version);
    }

    /// From now on the key has the next version, which is given.
    pub(crate) fn bump(&self, key: &str) -> u64 {
        self.shared.lock().register(key).bump()
    }

    /// From now on there is no such key.
    pub(crate) fn remove(&self, key: &str) {
        self.shared.lock().register(key).value = None;
    }

    /// The key's version, if it has one.
    pub(crate) fn version(&self, key: &str) -> Option<u64> {
        self.shared.lock().register(key).value.as_ref().map(|value| value.version)
    }

    /// Readers of this key get what it is now, whatever it becomes: their replica stands still.
    pub(crate) fn fall_behind(&self, key: &str) {
        let mut state = self.shared.lock();
        let register = state.register(key);
        register.replica = register.value.clone();
    }

    /// The replica of [`Self::fall_behind`] has everything again.
    pub(crate) fn catch_up(&self, key: &str) {
        self.shared.lock().register(key).replica = None;
    }

    /// How it behaves for this key.
    pub(crate) fn behave(&self, key: &str, behaviour: Behaviour) {
        self.shared.lock().register(key).behaviour = Some(behaviour);
    }

    /// Headers that every value of this key has, beside those of a behaviour.
    pub(crate) fn describe(&self, key: &str, headers: &[(&str, &str)]) {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        self.shared.lock().register(key).headers = headers.collect();
    }

    /// Reads of this key are answered by a replica that is behind by so much, or by as much as a behaviour says.
    pub(crate) fn lag(&self, key: &str, lag: Duration) {
        self.shared.lock().register(key).lag = lag;
    }

    /// How it behaves for keys without a behaviour of their own.
    pub(crate) fn behave_always(&self, behaviour: Behaviour) {
        self.shared.lock().behaviour = behaviour;
    }

    /// The next requests for this key meet these, in turn; those after them behave as before.
    pub(crate) fn fail_next(&self, key: &str, faults: &[Fault]) {
        self.shared.lock().register(key).faults.extend(faults);
    }

    /// Holds the requests for this key that come from now on: a read has its version already, a write has no effect yet.
    pub(crate) fn hold(&self, key: &str) -> Gate {
        let gate = Gate::new();
        self.shared.lock().register(key).gate = Some(gate.clone());
        gate
    }

    /// As [`Self::hold`], writes alone. They go on to have their effect when their clients have gone.
    pub(crate) fn hold_writes(&self, key: &str) -> Gate {
        let gate = Gate::new();
        self.shared.lock().register(key).write_gate = Some(gate.clone());
        gate
    }

    /// Holds the answers to writes of this key: they have had their effect.
    pub(crate) fn hold_answers(&self, key: &str) -> Gate {
        let gate = Gate::new();
        self.shared.lock().register(key).answer_gate = Some(gate.clone());
        gate
    }

    /// How many writes are in its hands, whether anybody waits for them or not.
    pub(crate) fn writing(&self) -> usize {
        let mut state = self.shared.lock();
        state.writing.retain(|task| !task.is_finished());
        state.writing.len()
    }

    /// How often this key was read, whatever came of it.
    pub(crate) fn reads(&self, key: &str) -> u64 {
        self.shared.lock().register(key).reads
    }

    /// When the first reads of this key came.
    pub(crate) fn arrivals(&self, key: &str) -> Vec<Instant> {
        self.shared.lock().register(key).arrivals.clone()
    }

    /// How many of those were answered 304.
    pub(crate) fn not_modified(&self, key: &str) -> u64 {
        self.shared.lock().register(key).not_modified
    }

    /// The writes to this key, in the order in which it was decided what becomes of them.
    pub(crate) fn writes(&self, key: &str) -> Vec<Write> {
        self.shared.lock().register(key).writes.clone()
    }

    /// Requests of all kinds for all keys.
    pub(crate) fn requests(&self) -> u64 {
        self.shared.lock().requests
    }

    /// The keys of the first requests, in the order in which they came.
    pub(crate) fn order(&self) -> Vec<String> {
        self.shared.lock().order.clone()
    }

    /// How many requests were in its hands at the same time, at the most.
    pub(crate) fn peak(&self) -> usize {
        self.shared.lock().peak
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        // Out of the lock: what ends with them may want it.
        let writing = std::mem::take(&mut self.shared.lock().writing);
        drop(writing);
    }
}

/// A request in the origin's hands, until it is answered or its client has gone.
struct InFlight(Shared);

impl InFlight {
    fn new(shared: Shared) -> Self {
        let mut state = shared.lock();
        state.requests += 1;
        state.in_flight += 1;
        state.peak = state.peak.max(state.in_flight);
        drop(state);
        Self(shared)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.lock().in_flight -= 1;
    }
}

/// A read whose version is taken, until it is over.
struct Seen<'a> {
    watch: &'a dyn Watch,
    arrived: u64,
    key: &'a str,
    version: Option<u64>,
}

impl Drop for Seen<'_> {
    fn drop(&mut self) {
        self.watch.read(self.arrived, self.key, self.version);
    }
}

type Body = BoxBody<Bytes, io::Error>;

async fn accept(listener: TcpListener, shared: Shared) {
    // Dropped, and so aborted, with this task.
    let mut running = Vec::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let shared = shared.clone();
        running.retain(|task: &Task| !task.is_finished());
        running.push(spawn(async move {
            let service = service_fn(move |request| answer(request, shared.clone()));
            let server = auto::Builder::new(TokioExecutor::new());
            // An error is a client that went away, or a fault that a test has asked for.
            server.serve_connection(TokioIo::new(stream), service).await.ok();
        }));
    }
}

/// Answers one request; an error closes the connection.
async fn answer(request: Request<Incoming>, shared: Shared) -> io::Result<Response<Body>> {
    let _in_flight = InFlight::new(shared.clone());
    let (head, body) = request.into_parts();
    let path = head.uri.path().trim_start_matches('/');
    let key = percent_decode_str(path).decode_utf8_lossy().into_owned();
    let reads = head.method == Method::GET || head.method == Method::HEAD;
    let writes = head.method == Method::PUT || head.method == Method::DELETE;
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    if writes {
        let write = Write {
            body: (head.method == Method::PUT).then_some(body),
            seq: text(&head.headers, "coherd-write-seq").and_then(|seq| seq.parse().ok()),
            idempotency_key: text(&head.headers, "idempotency-key"),
            effect: Effect::Failed,
        };
        return writes::answer(key, write, shared).await;
    }

    // The moment of reading: everything after it may take as long as it likes.
    let watch = shared.watch.as_deref().filter(|_| reads).map(|watch| (watch, watch.arrived()));
    let (value, behaviour, fault, gate) = {
        let mut state = shared.lock();
        let general = state.came(&key);
        let register = state.register(&key);
        if reads {
            register.arrived();
        }
        let mut behaviour = register.behaviour.clone().unwrap_or(general);
        behaviour.headers.extend_from_slice(&register.headers);
        let fault = register.faults.pop_front().or(behaviour.fault);
        let seen =
            register.replica.clone().or_else(|| register.seen_by_replica(behaviour.lag.max(register.lag)));
        (seen, behaviour, fault, register.gate.clone())
    };
    let version = value.as_ref().map(|value| value.version);
    let _seen = watch.map(|(watch, arrived)| Seen { watch, arrived, key: &key, version });
    if let Some(gate) = gate {
        gate.pass().await;
    }
    sleep(behaviour.delay + behaviour.jitter.mul_f64(rand::random::<f64>().powi(4))).await;
    match fault {
        Some(Fault::Status(status)) => {
            return Ok(plain(StatusCode::from_u16(status).map_err(io::Error::other)?));
        }
        Some(Fault::Hang) => std::future::pending().await,
        Some(Fault::Close) => return Err(io::ErrorKind::ConnectionAborted.into()),
        Some(Fault::AnswerLate(late) | Fault::LandLate(late)) => sleep(late).await,
        Some(Fault::Truncate) | None => {}
    }
    if !reads {
        return Ok(plain(StatusCode::METHOD_NOT_ALLOWED));
    }
    let Some(value) = value else { return Ok(plain(StatusCode::NOT_FOUND)) };
    let tag = format!("\"v{}\"", value.version);
    let none_match = text(&head.headers, IF_NONE_MATCH.as_str());
    let unchanged = if behaviour.dated {
        none_match.is_none() && text(&head.headers, IF_MODIFIED_SINCE.as_str()) == Some(date(&value))
    } else {
        behaviour.conditional && none_match.is_some_and(|held| held.contains(&tag))
    };
    if unchanged {
        shared.lock().register(&key).not_modified += 1;
    }
    respond(&key, &value, &tag, &behaviour, unchanged, fault == Some(Fault::Truncate))
}

fn respond(
    key: &str,
    value: &Value,
    tag: &str,
    behaviour: &Behaviour,
    unchanged: bool,
    truncate: bool,
) -> io::Result<Response<Body>> {
    let response = Response::builder();
    let mut response = if behaviour.dated {
        response.header(LAST_MODIFIED, date(value))
    } else {
        response.header(ETAG, tag)
    };
    for (name, value) in &behaviour.headers {
        response = response.header(name, value);
    }
    if unchanged {
        return response.status(StatusCode::NOT_MODIFIED).body(full(Bytes::new())).map_err(io::Error::other);
    }
    let body = value.body.clone().unwrap_or_else(|| {
        Bytes::from(serde_json::json!({ "key": key, "version": value.version }).to_string())
    });
    response = response.header(CONTENT_TYPE, "application/json");
    let body = if truncate {
        response = response.header("content-length", body.len());
        let part = body.slice(..body.len() / 2);
        let frames = [Ok(Frame::data(part)), Err(io::ErrorKind::ConnectionAborted.into())];
        BodyExt::boxed(StreamBody::new(stream::iter(frames)))
    } else {
        full(body)
    };
    response.body(body).map_err(io::Error::other)
}

/// When the value was changed, as far as a date goes: a day for a version.
fn date(value: &Value) -> String {
    httpdate::fmt_http_date(
        UNIX_EPOCH + Duration::from_hours(24).saturating_mul(u32::try_from(value.version).unwrap_or(0)),
    )
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

fn plain(status: StatusCode) -> Response<Body> {
    let text = if status == StatusCode::NO_CONTENT { Bytes::new() } else { Bytes::from(status.to_string()) };
    let mut response = Response::new(full(text));
    *response.status_mut() = status;
    response
}

fn full(bytes: Bytes) -> Body {
    Full::new(bytes).map_err(|never: Infallible| match never {}).boxed()
}
