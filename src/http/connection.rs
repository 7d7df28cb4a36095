//! One connection: HTTP/1.1 or HTTP/2 by what the client sends first, every wait on the client bounded.

use std::convert::Infallible;
use std::future::poll_fn;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
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

use super::front::{Desk, Front, respond};
use super::linger::{LeftUnread, Lingering};
use super::stall::{Unstalled, Written};
use super::traffic::{Answering, Traffic};
use super::watch::{Seen, Watch};
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
    /// Begins a connection, which looks at [`Self::abort`] itself.
    pub(super) fn start(&self, connection: impl Future<Output = ()> + Send + 'static) {
        (self.spawn)("http.connection", Box::pin(self.tracker.track_future(connection)));
    }
}

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Tasks {
    fn execute(&self, work: F) {
        let abort = self.abort.clone();
        self.start(async move {
            abort.run_until_cancelled_owned(work).await;
        });
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

/// What a connection's requests share.
struct Line<D> {
    front: Front<D>,
    unread: LeftUnread,
    /// [`Stop::told`] was seen.
    told: AtomicBool,
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
    let (builder, abort) = (builder(&settings, tasks.clone()), tasks.abort);
    let traffic = Traffic::new(settings.clock.now());
    let (unread, written) = (LeftUnread::default(), Written::default());
    let io = Unstalled::new(stream, settings.body_timeout, written.clone());
    let io = Lingering::new(io, unread.clone());
    let io = TokioIo::new(io);
    let watch = Watch::new(&settings, stop, abort, traffic.clone(), written);
    let clock = settings.clock.clone();
    let line =
        Arc::new(Line { front: Front::new(desk, settings, peer), unread, told: AtomicBool::new(false) });
    let service = service_fn(|request: Request<Incoming>| {
        let arrived = clock.now();
        let (line, busy) = (Arc::clone(&line), traffic.begin(arrived));
        let http2 = request.version() == Version::HTTP_2;
        traffic.is_http2(http2);
        async move {
            let with_body = !request.body().is_end_stream();
            let mut response = respond(&line.front, arrived, request).await;
            if !http2 && line.told.load(Ordering::Relaxed) {
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            // A refusal comes before the body, or in its middle.
            if with_body && !response.status().is_success() {
                line.unread.set();
            }
            Ok::<Response<_>, Infallible>(response.map(|body| Answering::new(body, busy)))
        }
    });
    let mut connection = pin!(builder.serve_connection(io, service));
    // Woken by itself alone: what is watched changes seldom, and a request is not to pay for the look.
    let mut watched = FuturesUnordered::from_iter([watch.next()]);
    loop {
        let seen = tokio::select! {
            biased;
            // First, so that no request is answered as if it had not been seen.
            seen = watched.next() => seen,
            ended = poll_fn(|cx| {
                let polled = connection.as_mut().poll(cx);
                traffic.look(&clock);
                polled
            }) => {
                if let Err(error) = ended {
                    debug!(error = &*error, "a connection broke");
                }
                return;
            }
        };
        let Some((seen, watch)) = seen else { return };
        match seen {
            Seen::Told => {
                line.told.store(true, Ordering::Relaxed);
                // It has a frame for it, and says which requests it still takes.
                if traffic.http2() {
                    connection.as_mut().graceful_shutdown();
                }
            }
            Seen::Closing => connection.as_mut().graceful_shutdown(),
            Seen::Quiet => {
                connection.as_mut().graceful_shutdown();
                // One look to say so. A client of HTTP/1 may have sent half a header: nobody waits for the rest.
                if !traffic.http2() {
                    let _whatever_becomes_of_it =
                        poll_fn(|cx| Poll::Ready(connection.as_mut().poll(cx))).await;
                    return;
                }
            }
            Seen::Stuck => {
                debug!("a client stopped reading, its connection is closed");
                return;
            }
            Seen::Cut => return,
        }
        watched.push(watch.next());
    }
}

fn builder(settings: &Settings, tasks: Tasks) -> auto::Builder<Tasks> {
    let mut builder = auto::Builder::new(tasks);
    // No `pipeline_flush`: it holds answers back, without bound and each copied, for as long as requests lie there unread.
    builder
        .http1()
        // `Watch` has that limit: a timer that is set and stopped for every request costs more than the rest of its limits.
        .header_read_timeout(None)
        .max_buf_size(HEADER_BYTES_MAX as usize)
        // A client may close its side once it has asked, and still wants the answer.
        .half_close(true);
    // Without the timer the time-outs are silently off.
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
