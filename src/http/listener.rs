//! Accepting connections, so many and no more, until it is time to stop; then draining them.

use std::io::{self, Read as _, Write as _};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, info, warn};

use super::connection::{self, Stop, Tasks};
use super::deadline::within;
use super::front::Desk;
use super::problem::{Code, Problem};
use super::{Settings, Spawn};
use crate::tls::Acceptor;

/// The first pause after a failed accept, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// A bound socket and what answers on it.
pub struct Listener<D> {
    /// For logs: `data` or `admin`.
    pub name: &'static str,
    /// Bound and listening.
    pub socket: TcpListener,
    /// What answers.
    pub desk: Arc<D>,
    /// Limits and times.
    pub settings: Arc<Settings>,
    /// What answers handshakes; `None`: nothing is encrypted.
    pub tls: Option<Acceptor>,
    /// Where connections run.
    pub spawn: Spawn,
    /// How long to go on answering whoever comes once it is time to stop: balancers need it to notice.
    pub lame_duck: Duration,
}

impl<D: Desk> Listener<D> {
    /// Accepts until `stop` has been cancelled for `lame_duck`, then closes the socket, lets requests under way finish for
    /// what is left of `shutdown_grace`, and cuts off the rest. Answers how many connections and streams were cut off.
    pub async fn run(self, stop: CancellationToken) -> usize {
        let Self { name, socket, desk, settings, tls, spawn, lame_duck } = self;
        let stop = Stop::new(stop);
        let tasks = Tasks { spawn, tracker: TaskTracker::new(), abort: CancellationToken::new() };
        let full = full(&settings);
        let permits = Arc::new(Semaphore::new(settings.connections_max));
        let mut pause = PAUSES.0;
        let mut closes = pin!(async {
            stop.told.cancelled().await;
            sleep(lame_duck).await;
        });
        loop {
            let accepted = tokio::select! {
                biased;
                () = &mut closes => break,
                accepted = socket.accept() => accepted,
            };
            let (stream, peer) = match accepted {
                Ok((stream, peer)) => (stream, peer.ip()),
                Err(error) if is_of_one_client(&error) => continue,
                Err(error) => {
                    // No descriptors or no memory left: the loop stays, for connections end and free some.
                    warn!(
                        listener = name,
                        error = &error as &dyn std::error::Error,
                        "accept failed, trying again"
                    );
                    tokio::select! {
                        () = &mut closes => break,
                        () = sleep(pause) => {}
                    }
                    pause = PAUSES.1.min(pause * 2);
                    continue;
                }
            };
            pause = PAUSES.0;
            let Ok(permit) = Arc::clone(&permits).try_acquire_owned() else {
                debug!(listener = name, "too many connections, one is turned away");
                // An answer would need a handshake first.
                if tls.is_none() {
                    turn_away(stream, &full);
                }
                continue;
            };
            // Answers are small and whole: waiting to fill a packet only makes them late.
            if stream.set_nodelay(true).is_err() {
                continue;
            }
            let (desk, settings) = (Arc::clone(&desk), Arc::clone(&settings));
            let (tls, stop, in_tasks) = (tls.clone(), stop.clone(), tasks.clone());
            // Two kinds of work, each as large as it is: an idle connection is little more than its future.
            match tls {
                None => tasks.start(async move {
                    connection::run(stream, peer, desk, settings, in_tasks, stop).await;
                    drop(permit);
                }),
                Some(tls) => tasks.start(async move {
                    let shaken = Box::pin(handshake(&tls, stream, settings.header_timeout, &stop)).await;
                    if let Some(stream) = shaken {
                        connection::run(Box::new(stream), peer, desk, settings, in_tasks, stop).await;
                    }
                    drop(permit);
                }),
            }
        }
        drop(socket);
        stop.closing.cancel();
        drain(name, &tasks, settings.shutdown_grace.saturating_sub(lame_duck)).await
    }
}

/// The client's half of it may take as long as a header; once requests are only finished there is none to wait for.
async fn handshake(
    tls: &Acceptor,
    stream: TcpStream,
    limit: Duration,
    stop: &Stop,
) -> Option<TlsStream<TcpStream>> {
    let shaken = within(limit, tls.accept(stream));
    match stop.closing.run_until_cancelled(shaken).await? {
        Some(Ok(stream)) => Some(stream),
        Some(Err(error)) => {
            debug!(error = &error as &dyn std::error::Error, "a handshake failed");
            None
        }
        None => {
            debug!("a handshake was not finished in time");
            None
        }
    }
}

async fn drain(name: &'static str, tasks: &Tasks, grace: Duration) -> usize {
    tasks.tracker.close();
    info!(listener = name, connections = tasks.tracker.len(), "draining");
    if timeout(grace, tasks.tracker.wait()).await.is_ok() {
        return 0;
    }
    let left = tasks.tracker.len();
    warn!(listener = name, connections = left, "not drained in time, the rest is cut off");
    tasks.abort.cancel();
    tasks.tracker.wait().await;
    left
}

/// The client gave up before it was accepted: the next one has nothing to do with it.
fn is_of_one_client(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

/// What a client beyond the limit gets: it has no time to send its request.
fn full(settings: &Settings) -> Vec<u8> {
    let problem = Problem::new(Code::Overloaded, "too many connections").into_response();
    let (head, body) = problem.into_parts();
    let mut text = b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\n\
        Cache-Status: coherd; detail=overloaded\r\nCoherd-Instance: "
        .to_vec();
    text.extend_from_slice(settings.instance_header().as_bytes());
    text.extend_from_slice(format!("\r\nContent-Length: {}\r\n", body.len().unwrap_or(0)).as_bytes());
    for (name, value) in &head.headers {
        text.extend_from_slice(format!("{name}: ").as_bytes());
        text.extend_from_slice(value.as_bytes());
        text.extend_from_slice(b"\r\n");
    }
    text.extend_from_slice(b"\r\n");
    text.extend(body.whole().unwrap_or_default());
    text
}

/// Says why, if that works without waiting, and closes.
fn turn_away(stream: TcpStream, full: &[u8]) {
    let refused = stream.into_std().and_then(|mut stream| {
        stream.write_all(full)?;
        // What lies unread when a socket is closed turns the close into a reset, which may overtake the answer.
        stream.read(&mut [0; 4096])
    });
    if let Err(error) = refused {
        debug!(error = &error as &dyn std::error::Error, "a client was turned away without an answer");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_ails_one_client_is_tried_again_at_once() {
        let os = io::Error::from_raw_os_error;
        assert!(is_of_one_client(&os(103)), "ECONNABORTED");
        for code in [23, 24, 12, 105] {
            assert!(!is_of_one_client(&os(code)), "ENFILE, EMFILE, ENOMEM, ENOBUFS");
        }
    }
}
