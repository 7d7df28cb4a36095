//! A connection while there is something to say: the fast path or hyper on it, watched. One of HTTP/1 that has been quiet
//! for a moment is taken back from them, who keep buffers for it whether anything comes or not.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::FutureExt as _;
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::{http1, http2};
use hyper::service::{Service, service_fn};
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::Settings;
use super::connection::{Stop, Tasks};
use super::fast::{End, Fast};
use super::front::{Desk, Front};
use super::line::Line;
use super::linger::{LeftUnread, Lingering};
use super::rest::{Rest, Spoken};
use super::rewound::Rewound;
use super::stall::{Unstalled, Written};
use super::traffic::{Answering, Traffic};
use super::watch::{Seen, Watch, Watched};

/// Most bytes of a request's header.
const HEADER_BYTES_MAX: u32 = 64 * 1024;
/// Most requests at once on a connection of HTTP/2.
const STREAMS_MAX: u32 = 128;
/// Most bytes of an answer that wait on one of them for a client that reads slowly.
const SEND_BYTES_MAX: usize = 64 * 1024;

/// A stream, its client bounded.
type Io<T> = Lingering<Unstalled<Rewound<T>>>;

/// Answers requests of HTTP/1 until the client is quiet; `None`: the connection is over.
pub(super) async fn http1<T, D>(
    rest: Rest<T>,
    front: Front<D>,
    settings: &Settings,
    abort: &CancellationToken,
    stop: &Stop,
) -> Option<Rest<T>>
where
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    D: Desk,
{
    let (mut io, line, written) = begin(rest, front, settings, Spoken::Http1);
    let traffic = line.traffic.clone();
    let watch = Watch::new(settings, stop.clone(), abort.clone(), traffic.clone(), written.clone());
    let mut watched = Watched::from(watch);
    let at_rest = |io: Io<T>, read| {
        let (stream, read) = io.into_inner().into_inner().into_parts(read);
        Some(Rest::new(stream, read, traffic.since()))
    };
    if D::WHOLE {
        match fast(&mut io, &line, settings, &mut watched, &written).await {
            Passed::Over => {
                // One look is enough for the little there is to say.
                let _whatever_becomes_of_it =
                    poll_fn(|cx| Poll::Ready(Pin::new(&mut io).poll_shutdown(cx))).await;
                return None;
            }
            Passed::Rests(read) => return at_rest(io, read),
            Passed::Other(read) => io.get_mut().get_mut().put_back(read),
        }
    }
    let begun = traffic.begun();
    let service = service(Arc::clone(&line), settings);
    let mut connection = http1_builder().serve_connection(TokioIo::new(io), service);
    loop {
        let seen = tokio::select! {
            biased;
            // First, so that no request is answered as if it had not been seen.
            seen = watched.next() => seen?,
            ended = poll_fn(|cx| {
                let polled = Pin::new(&mut connection).poll(cx);
                traffic.look(&settings.clock);
                polled
            }) => return over(ended),
        };
        match seen {
            Seen::Told => line.told.store(true, Ordering::Relaxed),
            Seen::Closing => Pin::new(&mut connection).graceful_shutdown(),
            Seen::Resting => {
                // What there is to read or to write meanwhile comes first.
                let looked = poll_fn(|cx| Poll::Ready(Pin::new(&mut connection).poll(cx))).await;
                if let Poll::Ready(ended) = looked {
                    return over(ended);
                }
                traffic.look(&settings.clock);
                // What has begun to read its first request is not given back.
                if begun != traffic.begun() && traffic.rests() && !written.waits() && !written.closes() {
                    // Idle and with nothing left to write it ends at once, and says nothing of that to the client.
                    Pin::new(&mut connection).graceful_shutdown();
                    let parts = connection.without_shutdown().now_or_never()?.ok()?;
                    return at_rest(parts.io.into_inner(), parts.read_buf);
                }
            }
            Seen::Quiet => {
                Pin::new(&mut connection).graceful_shutdown();
                // One look to say so. The client may have sent half a header: nobody waits for the rest.
                let _whatever_becomes_of_it =
                    poll_fn(|cx| Poll::Ready(Pin::new(&mut connection).poll(cx))).await;
                return None;
            }
            Seen::Stuck => {
                debug!("a client stopped reading, its connection is closed");
                return None;
            }
            Seen::Cut => return None,
        }
    }
}

/// What comes after the fast path.
enum Passed {
    /// Nothing.
    Over,
    /// The client is quiet; this was read of what it says next.
    Rests(Bytes),
    /// A request that is not for it; this was read.
    Other(Bytes),
}

/// Answers requests as long as they are for the fast path.
async fn fast<T, D>(
    io: &mut Io<T>,
    line: &Line<D>,
    settings: &Settings,
    watched: &mut Watched,
    written: &Written,
) -> Passed
where
    T: AsyncRead + AsyncWrite + Unpin,
    D: Desk,
{
    let mut fast = Fast::default();
    let mut answering = Box::pin(fast.answer(io, line, &settings.clock));
    let mut look = |cx: &mut Context<'_>| {
        let polled = answering.as_mut().poll(cx);
        line.traffic.look(&settings.clock);
        polled
    };
    let end = loop {
        let seen = tokio::select! {
            biased;
            seen = watched.next() => seen,
            end = poll_fn(&mut look) => break Some(end),
        };
        match seen {
            Some(Seen::Told) => line.told.store(true, Ordering::Relaxed),
            // An answer that is under way says that it is the last.
            Some(Seen::Closing | Seen::Quiet) if !line.traffic.rests() => {}
            Some(Seen::Resting) => {
                // What there is to read or to write meanwhile comes first.
                if let Poll::Ready(end) = poll_fn(|cx| Poll::Ready(look(cx))).await {
                    break Some(end);
                }
                if line.traffic.rests() && !written.waits() {
                    break None;
                }
            }
            Some(Seen::Stuck) => {
                debug!("a client stopped reading, its connection is closed");
                return Passed::Over;
            }
            Some(Seen::Closing | Seen::Quiet | Seen::Cut) | None => return Passed::Over,
        }
    };
    drop(answering);
    match end {
        Some(End::Over) => Passed::Over,
        Some(End::Other) => Passed::Other(fast.into_read()),
        None => Passed::Rests(fast.into_read()),
    }
}

/// Answers requests of HTTP/2 until the connection is over.
pub(super) async fn http2<T, D>(
    rest: Rest<T>,
    front: Front<D>,
    settings: &Settings,
    tasks: Tasks,
    stop: &Stop,
) where
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    D: Desk,
{
    let (io, line, written) = begin(rest, front, settings, Spoken::Http2);
    let traffic = line.traffic.clone();
    let watch = Watch::new(settings, stop.clone(), tasks.abort.clone(), traffic.clone(), written);
    let mut watched = Watched::from(watch);
    let io = TokioIo::new(io);
    let connection = http2_builder(settings, tasks).serve_connection(io, service(line, settings));
    let mut connection = pin!(connection);
    loop {
        let seen = tokio::select! {
            biased;
            seen = watched.next() => seen,
            ended = poll_fn(|cx| {
                let polled = connection.as_mut().poll(cx);
                traffic.look(&settings.clock);
                polled
            }) => {
                let _over: Option<()> = over(ended);
                return;
            }
        };
        let Some(seen) = seen else { return };
        match seen {
            // It has a frame for it, and says which requests it still takes.
            Seen::Told | Seen::Closing | Seen::Quiet => connection.as_mut().graceful_shutdown(),
            Seen::Resting => {}
            Seen::Stuck => {
                debug!("a client stopped reading, its connection is closed");
                return;
            }
            Seen::Cut => return,
        }
    }
}

fn begin<T, D>(
    rest: Rest<T>,
    front: Front<D>,
    settings: &Settings,
    spoken: Spoken,
) -> (Io<T>, Arc<Line<D>>, Written)
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let (stream, read, since) = rest.into_parts();
    let (unread, written) = (LeftUnread::default(), Written::default());
    let io = Unstalled::new(Rewound::new(stream, read), settings.body_timeout, written.clone());
    let io = Lingering::new(io, unread.clone());
    let (traffic, told) = (Traffic::new(since, spoken), AtomicBool::new(false));
    (io, Arc::new(Line { front, traffic, unread, told }), written)
}

/// What answers a connection's requests.
fn service<D: Desk>(
    line: Arc<Line<D>>,
    settings: &Settings,
) -> impl Service<
    Request<Incoming>,
    Response = Response<Answering>,
    Error = Infallible,
    Future = impl Future<Output = Result<Response<Answering>, Infallible>> + Send + use<D>,
> + use<D> {
    let clock = settings.clock.clone();
    service_fn(move |request: Request<Incoming>| {
        let arrived = clock.now();
        let (line, busy) = (Arc::clone(&line), line.traffic.begin(arrived));
        async move {
            let with_body = !request.body().is_end_stream();
            let response = line.answer(arrived, request).await;
            // A refusal comes before the body, or in its middle.
            if with_body && !response.status().is_success() {
                line.unread.set();
            }
            Ok(response.map(|body| Answering::new(body, busy)))
        }
    })
}

fn over<R>(ended: hyper::Result<()>) -> Option<R> {
    if let Err(error) = ended {
        debug!(error = &error as &dyn std::error::Error, "a connection broke");
    }
    None
}

fn http1_builder() -> http1::Builder {
    let mut builder = http1::Builder::new();
    // No `pipeline_flush`: it holds answers back, without bound and each copied, for as long as requests lie there unread.
    builder
        // `Watch` has that limit: a timer that is set and stopped for every request costs more than the rest of its limits.
        .header_read_timeout(None)
        .max_buf_size(HEADER_BYTES_MAX as usize)
        // A client may close its side once it has asked, and still wants the answer.
        .half_close(true);
    builder
}

fn http2_builder(settings: &Settings, tasks: Tasks) -> http2::Builder<Tasks> {
    let mut builder = http2::Builder::new(tasks);
    builder
        // Without it the time-outs are silently off.
        .timer(TokioTimer::new())
        .max_header_list_size(HEADER_BYTES_MAX)
        .max_concurrent_streams(STREAMS_MAX)
        .max_send_buf_size(SEND_BYTES_MAX)
        .keep_alive_interval(settings.header_timeout)
        .keep_alive_timeout(settings.header_timeout);
    builder
}
