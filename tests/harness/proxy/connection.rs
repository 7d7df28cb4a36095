//! One connection through the proxy: two pumps, and the ways it can end.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use super::Rules;

/// Bytes read at once.
const CHUNK: usize = 16 * 1024;
/// Chunks on their way in one direction; more stay with the sender.
const IN_FLIGHT_MAX: usize = 256;

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// From the client to the server.
    Up,
    /// From the server to the client.
    Down,
}

/// What one connection has carried.
#[derive(Debug)]
pub(crate) struct Traffic {
    up: AtomicU64,
    down: AtomicU64,
    open: AtomicBool,
    /// The client has closed its side.
    left: AtomicBool,
    /// How the server sees the client.
    client: OnceLock<SocketAddr>,
    stalled: watch::Sender<bool>,
}

impl Traffic {
    pub(super) fn new() -> Self {
        Self {
            up: AtomicU64::new(0),
            down: AtomicU64::new(0),
            open: AtomicBool::new(true),
            left: AtomicBool::new(false),
            client: OnceLock::new(),
            stalled: watch::Sender::new(false),
        }
    }

    /// The address of the client in the server's eyes; `None` while the proxy is not connected.
    pub(crate) fn client(&self) -> Option<SocketAddr> {
        self.client.get().copied()
    }

    /// Holds everything back both ways on this connection alone, for good.
    pub(crate) fn stall(&self) {
        self.stalled.send_replace(true);
    }

    /// Bytes passed on in that direction.
    pub(crate) fn bytes(&self, direction: Direction) -> u64 {
        self.counter(direction).load(Ordering::Relaxed)
    }

    /// Whether it has not ended.
    pub(crate) fn is_open(&self) -> bool {
        self.open.load(Ordering::Relaxed)
    }

    /// Whether the client has closed it, which a stalled one does not pass on.
    pub(crate) fn is_left(&self) -> bool {
        self.left.load(Ordering::Relaxed) || !self.is_open()
    }

    fn counter(&self, direction: Direction) -> &AtomicU64 {
        match direction {
            Direction::Up => &self.up,
            Direction::Down => &self.down,
        }
    }
}

/// How many bytes of one direction may still pass.
#[derive(Debug)]
pub(super) struct Budget {
    direction: Direction,
    left: AtomicU64,
}

impl Budget {
    pub(super) fn new(direction: Direction, bytes: u64) -> Self {
        Self { direction, left: AtomicU64::new(bytes) }
    }

    /// How many of `wanted` bytes may pass. Fewer: the connection that asked is the one to reset, and nobody after it.
    fn take(&self, wanted: u64) -> u64 {
        let left = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
            Some(if left < wanted { u64::MAX } else { left.saturating_sub(wanted) })
        });
        left.map_or(wanted, |left| left.min(wanted))
    }
}

/// Why a connection ended.
enum End {
    Closed,
    Reset,
}

/// Serves one client, under the rules that held when it was accepted and those that follow.
pub(super) async fn run(
    mut client: TcpStream,
    accepted: Rules,
    mut rules: watch::Receiver<Rules>,
    traffic: Arc<Traffic>,
) {
    // Also when the whole proxy is dropped.
    let _closing = Closing(Arc::clone(&traffic));
    let born = accepted.generation;
    let connected = tokio::select! {
        connected = TcpStream::connect(accepted.target) => connected.ok(),
        _ = rules.wait_for(|rules| born < rules.generation) => None,
    };
    let Some(mut server) = connected else { return };
    if let Ok(addr) = server.local_addr() {
        traffic.client.get_or_init(|| addr);
    }
    // Neither matters for what passes, only for how promptly.
    if client.set_nodelay(true).is_err() || server.set_nodelay(true).is_err() {
        return;
    }
    let end = {
        let (client_read, client_write) = client.split();
        let (server_read, server_write) = server.split();
        let up = pump(client_read, server_write, Direction::Up, rules.clone(), &traffic);
        let down = pump(server_read, client_write, Direction::Down, rules.clone(), &traffic);
        let both = async {
            match tokio::try_join!(up, down) {
                Ok(((), ())) => End::Closed,
                Err(end) => end,
            }
        };
        tokio::select! {
            biased;
            now = rules.wait_for(|rules| born < rules.generation) => match now {
                Ok(now) if born < now.reset => End::Reset,
                _ => End::Closed,
            },
            end = both => end,
        }
    };
    if matches!(end, End::Reset) {
        for stream in [&client, &server] {
            // Fails only on a socket that is closed already.
            stream.set_zero_linger().ok();
        }
    }
}

struct Closing(Arc<Traffic>);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.open.store(false, Ordering::Relaxed);
    }
}

/// Carries one direction until its end, which it passes on too.
async fn pump(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    direction: Direction,
    mut rules: watch::Receiver<Rules>,
    traffic: &Traffic,
) -> Result<(), End> {
    let (sender, mut on_their_way) = mpsc::channel::<(Instant, Bytes)>(IN_FLIGHT_MAX);
    let departures = rules.clone();
    let depart = async move {
        let mut buffer = vec![0; CHUNK];
        loop {
            // An error ends a direction like its end: the other side learns no more of it over a wire.
            let length = from.read(&mut buffer).await.unwrap_or(0);
            if length == 0 && direction == Direction::Up {
                traffic.left.store(true, Ordering::Relaxed);
            }
            let delay = departures.borrow().way(direction).delay;
            let chunk = Bytes::copy_from_slice(&buffer[..length]);
            if sender.send((Instant::now() + delay, chunk)).await.is_err() || length == 0 {
                return Ok(());
            }
        }
    };
    let arrive = async {
        while let Some((due, chunk)) = on_their_way.recv().await {
            sleep_until(due).await;
            // Fails only if the connection's record is gone, which it is not while it is borrowed here.
            traffic.stalled.subscribe().wait_for(|stalled| !stalled).await.ok();
            let now = rules.wait_for(|rules| !rules.way(direction).stalled).await;
            let budget =
                now.map_err(|_| End::Closed)?.budget.clone().filter(|budget| budget.direction == direction);
            if chunk.is_empty() {
                return to.shutdown().await.map_err(|_| End::Closed);
            }
            let wanted = chunk.len() as u64;
            let allowed = budget.map_or(wanted, |budget| budget.take(wanted));
            let part = usize::try_from(allowed).map_or(&chunk[..], |allowed| &chunk[..allowed]);
            to.write_all(part).await.map_err(|_| End::Closed)?;
            traffic.counter(direction).fetch_add(allowed, Ordering::Relaxed);
            if allowed < wanted {
                return Err(End::Reset);
            }
        }
        Ok(())
    };
    tokio::try_join!(depart, arrive).map(|_| ())
}
