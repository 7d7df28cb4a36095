//! What the tests of commands stand on: an HTTP server on loopback, and an output that can be read.

use std::convert::Infallible;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use clap::Parser as _;
use futures_util::stream::{self, StreamExt as _};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use super::print::Print;
use super::{ClientCommand, Exit};
use crate::backend::memory::{Limits, Memory, Store};
use crate::clock::Clock;
use crate::model::ShardCount;

/// Longer than anything here takes.
const TOO_LONG: Duration = Duration::from_secs(30);

pub(super) type Reply = Response<BoxBody<Bytes, Infallible>>;

/// Answers by a function of the request and its body.
pub(super) struct Server {
    url: String,
    _accepting: AbortOnDropHandle<()>,
}

impl Server {
    pub(super) async fn start(answer: impl Fn(Request<Bytes>) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let accepting = accept(listener, Arc::new(answer));
        #[expect(clippy::disallowed_methods, reason = "a test's own server, ended with it")]
        let accepting = AbortOnDropHandle::new(tokio::spawn(accepting));
        Self { url, _accepting: accepting }
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }
}

async fn accept(
    listener: TcpListener,
    answer: Arc<impl Fn(Request<Bytes>) -> Reply + Send + Sync + 'static>,
) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _peer)) = listener.accept().await {
        let answer = Arc::clone(&answer);
        let service = service_fn(move |request: Request<hyper::body::Incoming>| {
            let answer = Arc::clone(&answer);
            async move {
                let (head, body) = request.into_parts();
                let body = body.collect().await.map(http_body_util::Collected::to_bytes)?;
                Ok::<_, hyper::Error>(answer(Request::from_parts(head, body)))
            }
        });
        connections.spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

/// A whole answer.
pub(super) fn text(status: u16, body: impl Into<String>) -> Reply {
    let body = Full::from(body.into()).boxed();
    Response::builder().status(status).body(body).unwrap()
}

/// An answer that sends these pieces and then nothing more, without ending; or ends.
pub(super) fn pieces(pieces: &[&'static str], ends: bool) -> Reply {
    let frames: Vec<_> =
        pieces.iter().map(|piece| Ok(Frame::data(Bytes::from_static(piece.as_bytes())))).collect();
    let frames = stream::iter(frames);
    let body = if ends {
        BodyExt::boxed(StreamBody::new(frames))
    } else {
        BodyExt::boxed(StreamBody::new(frames.chain(stream::pending())))
    };
    Response::new(body)
}

/// An output in memory. Clones share it.
#[derive(Clone, Default)]
pub(super) struct Captured {
    out: Arc<Mutex<Vec<u8>>>,
    err: Arc<Mutex<Vec<u8>>>,
    written: Arc<Notify>,
}

/// One of the two.
pub(super) struct Half {
    to: Arc<Mutex<Vec<u8>>>,
    written: Arc<Notify>,
}

impl Captured {
    pub(super) fn print(&self) -> Print {
        Print::new(self.half(&self.out), self.half(&self.err))
    }

    /// Only stderr.
    pub(super) fn half_err(&self) -> Half {
        self.half(&self.err)
    }

    fn half(&self, to: &Arc<Mutex<Vec<u8>>>) -> Half {
        Half { to: Arc::clone(to), written: Arc::clone(&self.written) }
    }

    pub(super) fn out(&self) -> String {
        String::from_utf8_lossy(&self.out.lock().unwrap()).into_owned()
    }

    pub(super) fn err(&self) -> String {
        String::from_utf8_lossy(&self.err.lock().unwrap()).into_owned()
    }

    /// Waits until so many lines are on stdout.
    pub(super) async fn lines(&self, count: usize) {
        self.until(|captured| count <= captured.out().lines().count()).await;
    }

    /// Waits until this is on stderr.
    pub(super) async fn said(&self, text: &str) {
        self.until(|captured| captured.err().contains(text)).await;
    }

    async fn until(&self, enough: impl Fn(&Self) -> bool) {
        let waiting = async {
            loop {
                let written = self.written.notified();
                if enough(self) {
                    return;
                }
                written.await;
            }
        };
        let waited = timeout(TOO_LONG, waiting).await;
        waited.unwrap_or_else(|_| panic!("only {:?} and {:?} came", self.out(), self.err()));
    }
}

impl Write for Half {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.to.lock().unwrap().extend_from_slice(bytes);
        self.written.notify_waiters();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// An embedded store.
pub(super) fn store(shards: ShardCount) -> Arc<Store> {
    Store::new(shards, Limits::default(), Clock::Boottime, 1_700_000_000_000)
}

/// An embedded backend.
pub(super) fn memory(shards: ShardCount) -> Memory {
    Memory::join(&store(shards))
}

/// A command line of nothing but the commands here.
#[derive(Debug, clap::Parser)]
pub(super) struct Cli {
    #[command(subcommand)]
    command: ClientCommand,
}

/// Runs a command line as the binary does.
pub(super) async fn run(line: &[&str], captured: &Captured) -> Exit {
    match Cli::try_parse_from(["coherd"].iter().chain(line)) {
        Ok(cli) => cli.command.run_on(&mut captured.print()).await,
        Err(error) => {
            captured.half_err().write_all(error.to_string().as_bytes()).unwrap();
            Exit::Usage
        }
    }
}
