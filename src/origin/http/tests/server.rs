//! A real HTTP server on loopback whose answers the test writes.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use futures_util::stream;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;

pub(super) type Body = BoxBody<Bytes, io::Error>;

#[derive(Default)]
struct Counts {
    requests: AtomicUsize,
    connections: AtomicUsize,
}

pub(super) struct Server {
    pub(super) address: SocketAddr,
    counts: Arc<Counts>,
    _accepting: AbortOnDropHandle<()>,
}

impl Server {
    /// Answers each request by `answer`, which is told how many came before.
    pub(super) async fn start<F>(
        answer: impl Fn(usize, Request<Incoming>) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Response<Body>> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let counts = Arc::new(Counts::default());
        let accepting = accept(listener, Arc::clone(&counts), Arc::new(answer));
        #[expect(clippy::disallowed_methods, reason = "a test's own server, ended with it")]
        let accepting = AbortOnDropHandle::new(tokio::spawn(accepting));
        Self { address, counts, _accepting: accepting }
    }

    pub(super) fn requests(&self) -> usize {
        self.counts.requests.load(Ordering::SeqCst)
    }

    pub(super) fn connections(&self) -> usize {
        self.counts.connections.load(Ordering::SeqCst)
    }
}

async fn accept<F>(
    listener: TcpListener,
    counts: Arc<Counts>,
    answer: Arc<impl Fn(usize, Request<Incoming>) -> F + Send + Sync + 'static>,
) where
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let mut connections = JoinSet::new();
    while let Ok((stream, _peer)) = listener.accept().await {
        counts.connections.fetch_add(1, Ordering::SeqCst);
        let (counts, answer) = (Arc::clone(&counts), Arc::clone(&answer));
        let service = service_fn(move |request| {
            let answered = answer(counts.requests.fetch_add(1, Ordering::SeqCst), request);
            async { Ok::<_, io::Error>(answered.await) }
        });
        connections.spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

/// An answer with its length stated.
pub(super) fn answer(status: u16, headers: &[(&str, &str)], body: &'static str) -> Response<Body> {
    with(status, headers, Full::from(body).map_err(io::Error::other).boxed())
}

/// An answer in chunks, its length not stated; an error breaks the connection off.
pub(super) fn chunked(chunks: Vec<Result<&'static str, io::Error>>) -> Response<Body> {
    let frames = chunks.into_iter().map(|chunk| chunk.map(|text| Frame::data(Bytes::from(text))));
    with(200, &[], BodyExt::boxed(StreamBody::new(stream::iter(frames))))
}

/// An answer with this body.
pub(super) fn with(status: u16, headers: &[(&str, &str)], body: Body) -> Response<Body> {
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(*name, *value);
    }
    response.body(body).unwrap()
}
