//! One connection: HTTP/1.1 or HTTP/2 by what the client sends first, every wait on the client bounded.

use std::convert::Infallible;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;

use hyper::body::{Body as _, Incoming};
use hyper::header::{CONNECTION, HeaderValue};
use hyper::rt::Executor;
use hyper::service::service_fn;
use hyper::{Request, Response, Version};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::debug;

use super::deadline::deadline;
use super::front::{Desk, respond};
use super::linger::{LeftUnread, Lingering};
use super::stall::{Slow, Unstalled, Written};
use super::traffic::{Answering, Traffic};
use super::{Settings, Spawn};

/// Most bytes of a request's header.
const HEADER_BYTES_MAX: u32 = 64 * 1024;
/// Most requests at once on a connection of HTTP/2.
const STREAMS_MAX: u32 = 128;

/// Most bytes of an answer that wait on one of them for a client that reads slowly.
const SEND_BYTES_MAX: usize = 64 * 1024;

/// Where the work of connections runs: begun by the supervisor, counted, and ended together.
#[derive(Clone)]
pub(super) struct Tasks {
    pub(super) spawn: Spawn,
    pub(super) tracker: TaskTracker,
    /// Ends everything at once.
    pub(super) abort: CancellationToken,
}

impl Tasks {
    pub(super) fn start(&self, work: impl Future<Output = ()> + Send + 'static) {
        let abort = self.abort.clone();
        let work = async move {
            abort.run_until_cancelled_owned(work).await;
        };
        (self.spawn)("http.connection", Box::pin(self.tracker.track_future(work)));
    }
}

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Tasks {
    fn execute(&self, work: F) {
        self.start(work);
    }
}

/// The two steps in which a listener stops.
#[derive(Clone)]
pub(super) struct Stop {
    /// Clients are told to go elsewhere with their next request; whatever comes is still answered. What is quiet stays
    /// open: were it closed, a request could already be on its way there, and it would depend on its method whether the
    /// client may send it again.
    pub(super) told: CancellationToken,
    /// Requests under way are finished, and no more.
    pub(super) closing: CancellationToken,
}

impl Stop {
    /// The first step is taken elsewhere.
    pub(super) fn new(told: CancellationToken) -> Self {
        Self { told, closing: CancellationToken::new() }
    }
}

/// Serves a connection until it ends.
pub(super) async fn run<D: Desk>(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    peer: IpAddr,
    desk: Arc<D>,
    settings: Arc<Settings>,
    tasks: Tasks,
    stop: Stop,
) {
    let builder = builder(&settings, tasks);
    let quiet_max = settings.header_timeout;
    let traffic = Traffic::default();
    let (unread, written) = (LeftUnread::default(), Written::default());
    let io = Unstalled::new(stream, settings.body_timeout, written.clone());
    let io = Lingering::new(io, unread.clone());
    let io = TokioIo::new(io);
    let service = service_fn(|request: Request<Incoming>| {
        let (desk, settings, busy) = (Arc::clone(&desk), Arc::clone(&settings), traffic.begin());
        let (unread, told) = (unread.clone(), stop.told.clone());
        let http2 = request.version() == Version::HTTP_2;
        traffic.is_http2(http2);
        async move {
            let with_body = !request.body().is_end_stream();
            let mut response = respond(&*desk, &settings, peer, request).await;
            if !http2 && told.is_cancelled() {
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            // A refusal comes before the body, or in its middle.
            if with_body && !response.status().is_success() {
                unread.set();
            }
            Ok::<Response<_>, Infallible>(response.map(|body| Answering::new(body, busy)))
        }
    });
    let mut connection = pin!(builder.serve_connection(io, service));
    let (mut told, mut closing, mut over) = (false, false, false);
    let mut seen = 0;
    let mut quiet = deadline(quiet_max);
    let mut slow = Slow::new(written, settings.body_timeout);
    loop {
        tokio::select! {
            biased;
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    debug!(error = &*error, "a connection broke");
                }
                return;
            }
            () = stop.told.cancelled(), if !told => {
                told = true;
                // HTTP/2 has a frame for it, and says which requests it still takes.
                if traffic.http2() {
                    closing = true;
                    connection.as_mut().graceful_shutdown();
                }
            }
            () = stop.closing.cancelled(), if !closing => {
                closing = true;
                connection.as_mut().graceful_shutdown();
            }
            // Hyper's own time-out begins once it knows the protocol, and HTTP/2 has none.
            () = quiet.as_mut(), if !closing => {
                let (begun, ended) = traffic.requests();
                if begun == seen && ended == begun {
                    (closing, over) = (true, true);
                    connection.as_mut().graceful_shutdown();
                }
                seen = begun;
                quiet = deadline(quiet_max);
            }
            // A client of HTTP/2 can stop reading its answers and still take what is not an answer.
            takes = slow.next() => if !takes && (over || traffic.has_unread()) {
                debug!("a client stopped reading, its connection is closed");
                return;
            }
        }
    }
}

fn builder(settings: &Settings, tasks: Tasks) -> auto::Builder<Tasks> {
    let mut builder = auto::Builder::new(tasks);
    // Without the timer the time-outs are silently off. No `pipeline_flush`: it holds answers back, without bound and each
    // copied, for as long as requests lie there unread.
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(settings.header_timeout)
        .max_buf_size(HEADER_BYTES_MAX as usize)
        // A client may close its side once it has asked, and still wants the answer.
        .half_close(true);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(HEADER_BYTES_MAX)
        .max_concurrent_streams(STREAMS_MAX)
        .max_send_buf_size(SEND_BYTES_MAX)
        .keep_alive_interval(settings.header_timeout)
        .keep_alive_timeout(settings.header_timeout);
    builder
}
