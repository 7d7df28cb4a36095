//! One connection: HTTP/1.1 or HTTP/2 by what the client sends first, at `rest` or in `talk`, every wait on the client
//! bounded.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use hyper::rt::Executor;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::front::{Desk, Front};
use super::rest::{Rest, Spoken};
use super::{Settings, Spawn, talk};

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

/// Serves a connection until it ends.
pub(super) async fn run<D: Desk>(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    peer: IpAddr,
    desk: Arc<D>,
    settings: Arc<Settings>,
    tasks: Tasks,
    stop: Stop,
) {
    let mut rest = Rest::new(stream, Bytes::new(), settings.clock.now());
    let front = || Front::new(Arc::clone(&desk), Arc::clone(&settings), peer);
    // What reads requests has its room on the heap as long as there are any: most connections are at rest.
    match rest.greeted(&settings, &stop).await {
        None => {}
        Some(Spoken::Http2) => Box::pin(talk::http2(rest, front(), &settings, tasks, &stop)).await,
        Some(Spoken::Http1) => loop {
            let talk = Box::pin(talk::http1(rest, front(), &settings, &tasks.abort, &stop));
            let Some(quiet) = talk.await else { return };
            rest = quiet;
            if !rest.ended(&settings, &stop).await {
                return;
            }
        },
    }
}
