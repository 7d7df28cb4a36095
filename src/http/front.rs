//! What every request goes through, whichever listener it came to: route, right, body, time, and the headers that
//! every response has.

use std::future::poll_fn;
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use hyper::header::{CONTENT_LENGTH, HOST, HeaderMap, HeaderName, HeaderValue};
use hyper::http::request::Parts;
use hyper::http::uri::Authority;
use hyper::{Method, Request, Response, StatusCode, Uri, Version};
use tracing::{debug, debug_span, error, field};

use super::audit;
use super::body::{self, Body};
use super::deadline::within;
use super::problem::{Code, Problem};
use super::reply::CACHE_STATUS;
use super::traced::Traced;
use super::{Settings, cache_status};
use crate::clock::Boot;
use crate::model::TraceId;
use crate::telemetry::trace::Tracer;

const INSTANCE: HeaderName = HeaderName::from_static("coherd-instance");

/// What answers the requests of a listener.
pub trait Desk: Send + Sync + 'static {
    /// What can be asked of it.
    type Route: Send + Sync;

    /// None of its answers is a stream that may go on for as long as the client listens.
    const WHOLE: bool = true;

    /// What is asked.
    fn route(&self, method: &Method, uri: &Uri) -> Result<Self::Route, Problem>;

    /// The route as telemetry names it: without what its places are filled with.
    fn template(&self, _route: &Self::Route) -> &'static str {
        ""
    }

    /// What begins the spans of its requests; `None`: they have none.
    fn tracer(&self) -> Option<&Tracer> {
        None
    }

    /// Whether the sender may ask it, before any of the body is read; and what it may take.
    fn admit(
        &self,
        route: &Self::Route,
        sender: Sender<'_>,
    ) -> impl Future<Output = Result<Allowance, Problem>> + Send;

    /// The body of an admitted request could not be read; the sender is told.
    fn unread(&self, _route: &Self::Route, _problem: &Problem) {}

    /// The answer.
    fn answer(
        &self,
        route: Self::Route,
        call: Call,
    ) -> impl Future<Output = Result<Response<Body>, Problem>> + Send;
}

/// Who sends a request, as far as its head tells.
#[derive(Clone, Copy, Debug)]
pub struct Sender<'a> {
    /// The request's method.
    pub method: &'a Method,
    /// The host and port that the request was sent to, by its own word.
    pub host: Option<&'a str>,
    /// The request's headers.
    pub headers: &'a HeaderMap,
    /// The other end of the connection.
    pub peer: IpAddr,
}

/// What a request may take, and what it is told in any case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// Bytes of the body; 0: it is not read.
    pub body_max: usize,
    /// Time to answer, once the body is there; `None`: the handler bounds itself.
    pub time: Option<Duration>,
    /// Headers of its answer, whatever that is.
    pub headers: Vec<(HeaderName, HeaderValue)>,
}

/// A request, all of it.
pub struct Call {
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, if the route has one.
    pub body: Bytes,
    /// The trace it is part of.
    pub trace: Option<TraceId>,
    /// When it arrived.
    pub arrived: Boot,
    /// The other end of its connection.
    pub peer: IpAddr,
}

/// What a connection's requests have in common.
pub(super) struct Front<D> {
    desk: Arc<D>,
    settings: Arc<Settings>,
    /// The other end.
    peer: IpAddr,
    instance: HeaderValue,
}

impl<D> Front<D> {
    pub(super) fn new(desk: Arc<D>, settings: Arc<Settings>, peer: IpAddr) -> Self {
        let instance = settings.instance_header();
        Self { desk, settings, peer, instance }
    }
}

/// Answers a request. Never fails: what goes wrong, a panic too, is an answer.
pub(super) async fn respond<D, B>(front: &Front<D>, arrived: Boot, request: Request<B>) -> Response<Body>
where
    D: Desk,
    B: hyper::body::Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send,
{
    let head = request.method() == Method::HEAD;
    let span = debug_span!("request", http.method = %request.method(), trace_id = field::Empty);
    let desk = &*front.desk;
    let traced = desk.tracer().and_then(|tracer| Traced::begin(tracer, desk, &request));
    let trace = traced.as_deref().map(Traced::id);
    let mut work = pin!(serve(front, arrived, request, trace));
    // Looked after where it is: every wrapper around it would move it once.
    let answering = poll_fn(|cx| {
        let _entered = span.enter();
        // What a handler leaves behind half done is its own: nothing of it is looked at after a panic.
        let polled = catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(cx)));
        polled.map_or_else(|panic| Poll::Ready(Err(panic)), |polled| polled.map(Ok))
    });
    let answered = match &traced {
        None => answering.await,
        Some(traced) => {
            span.record("trace_id", field::display(traced.id()));
            Box::pin(traced.around(answering)).await
        }
    };
    let mut response = match answered {
        Ok(Ok(response)) => response,
        Ok(Err(problem)) => problem.into_response(),
        Err(_panic) => {
            error!("a request handler panicked, the request is answered with 500");
            Problem::new(Code::Internal, "the request met a fault of this program").into_response()
        }
    };
    finish(&mut response, &front.instance, head);
    if let Some(traced) = traced {
        span.in_scope(|| debug!(http.status = response.status().as_u16(), "answered"));
        traced.end(&response);
    }
    response
}

async fn serve<D, B>(
    front: &Front<D>,
    arrived: Boot,
    request: Request<B>,
    trace: Option<TraceId>,
) -> Result<Response<Body>, Problem>
where
    D: Desk,
    B: hyper::body::Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send,
{
    let Front { desk, settings, peer, .. } = front;
    let peer = *peer;
    let (parts, body) = request.into_parts();
    let named = named_host(&parts)?;
    let route = desk.route(&parts.method, &parts.uri)?;
    let host = parts.uri.authority().map(Authority::as_str);
    let host = host.or_else(|| named.map(|value| value.to_str().unwrap_or("")));
    let sender = Sender { method: &parts.method, host, headers: &parts.headers, peer };
    let template = desk.template(&route);
    let audited = |problem: &Problem| audit::refused(problem, &parts.method, template, peer);
    let Allowance { body_max, time, headers } = desk.admit(&route, sender).await.inspect_err(audited)?;
    // Held until there is an answer: a handler keeps the body as long.
    let mut room = settings.rooms.enter();
    let body = match body_max {
        0 => Ok(Bytes::new()),
        max => Box::pin(body::read(body, max, settings.body_timeout, &mut room))
            .await
            .inspect_err(|problem| desk.unread(&route, problem)),
    };
    let answered = match body {
        Ok(body) => {
            let call = Call { headers: parts.headers, body, trace, arrived, peer };
            let answer = pin!(desk.answer(route, call));
            match time {
                None => answer.await,
                Some(time) => within(time, answer).await.unwrap_or_else(|| Err(too_slow(time))),
            }
        }
        Err(problem) => Err(problem),
    };
    let answered = answered.inspect_err(|problem| audit::refused(problem, &parts.method, template, peer));
    let mut response = answered.unwrap_or_else(Problem::into_response);
    if !headers.is_empty() {
        response.headers_mut().extend(headers);
    }
    Ok(response)
}

/// The host that a request names. One that names it twice, or not at all, may mean one thing to a proxy before this and
/// another here.
fn named_host(parts: &Parts) -> Result<Option<&HeaderValue>, Problem> {
    let mut hosts = parts.headers.get_all(HOST).iter();
    let host = hosts.next();
    if hosts.next().is_some() || (host.is_none() && parts.version == Version::HTTP_11) {
        return Err(Problem::new(Code::BadRequest, "the request has one `Host` header"));
    }
    Ok(host)
}

/// No answer within the time a request may take.
pub(super) fn too_slow(time: Duration) -> Problem {
    Problem::new(Code::Unavailable, format!("no answer within {}", humantime::format_duration(time)))
}

fn finish(response: &mut Response<Body>, instance: &HeaderValue, head: bool) {
    let length = response.body().len();
    let bodiless = matches!(response.status(), StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    let headers = response.headers_mut();
    headers.entry(CACHE_STATUS).or_insert(HeaderValue::from_static(cache_status::LOCAL));
    headers.insert(INSTANCE, instance.clone());
    if head {
        if let Some(length) = length.filter(|_| !bodiless) {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        }
        *response.body_mut() = Body::empty();
    }
}
