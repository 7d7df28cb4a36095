//! The bare counterparts: what one would write by hand for one path and nothing else, on the runtime that coherd has.
//!
//! `reference KIND LISTEN VALKEY ORIGIN`, each a process of its own.

mod aside;
mod memory;
pub(crate) mod publisher;
mod queue;
mod relay;

use std::convert::Infallible;
use std::net::SocketAddr;

use bytes::Bytes;
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use crate::fault::Fault;
use crate::plan::VALUE_BYTES;

/// What a counterpart does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Answers every request with the same bytes. As an origin, too.
    Memory,
    /// Answers with what moka has for the path.
    Moka,
    /// Answers with what GET finds for the path; if nothing, asks the origin and does SET.
    Aside,
    /// Does PUBLISH with the body of a POST, and answers a GET with everything it hears from SUBSCRIBE.
    Relay,
    /// Does XADD and PUBLISH with the body of a POST.
    Publisher,
    /// Does XADD with the body of a PUT, and brings what XREADGROUP finds to the origin.
    Queue,
}

impl Kind {
    const ALL: [Self; 6] = [Self::Memory, Self::Moka, Self::Aside, Self::Relay, Self::Publisher, Self::Queue];

    /// As an argument.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Moka => "moka",
            Self::Aside => "aside",
            Self::Relay => "relay",
            Self::Publisher => "publisher",
            Self::Queue => "queue",
        }
    }
}

/// Where a counterpart listens, and what it has behind it.
#[derive(Clone, Copy, Debug)]
struct Place {
    listen: SocketAddr,
    valkey: SocketAddr,
    origin: SocketAddr,
}

/// `reference KIND LISTEN VALKEY ORIGIN`: serves until it is killed.
pub(crate) fn run(mut args: impl Iterator<Item = String>) -> Result<(), Fault> {
    let name = args.next().ok_or("no kind")?;
    let kind = Kind::ALL.into_iter().find(|kind| kind.name() == name).ok_or("no such kind")?;
    let mut addr = || Ok::<_, Fault>(args.next().ok_or("no address")?.parse::<SocketAddr>()?);
    let place = Place { listen: addr()?, valkey: addr()?, origin: addr()? };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        match kind {
            Kind::Memory => memory::same(place).await,
            Kind::Moka => memory::moka(place).await,
            Kind::Aside => aside::serve(place).await,
            Kind::Relay => relay::serve(place).await,
            Kind::Publisher => publisher::serve(place).await,
            Kind::Queue => queue::serve(place).await,
        }
    })
}

/// Accepts for ever, and answers every request by `answer`.
#[expect(clippy::disallowed_methods, reason = "a counterpart has no supervisor")]
async fn listen<A, F, B>(addr: SocketAddr, answer: A) -> Result<(), Fault>
where
    A: Fn(Request<Incoming>) -> F + Clone + Send + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data = Bytes, Error = Infallible> + Send + 'static,
{
    let listener = TcpListener::bind(addr).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let answer = answer.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let answering = answer(request);
                async move { Ok::<_, Infallible>(answering.await) }
            });
            // A client that goes away is no fault.
            drop(http1::Builder::new().serve_connection(TokioIo::new(stream), service).await);
        });
    }
}

/// What every answer holds.
fn value() -> Bytes {
    Bytes::from(vec![b'v'; VALUE_BYTES])
}
