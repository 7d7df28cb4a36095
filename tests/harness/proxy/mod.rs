//! A wire that a test can cut, stall, slow down and tear: a TCP proxy on a port of its own.
//!
//! Up is from the client to the server, down the other way.

mod connection;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::timeout;

pub(crate) use connection::{Direction, Traffic};

use super::ports::Port;
use super::task::{Task, spawn};
use super::wait::{SOON, eventually};

/// What happens to bytes of one direction.
#[derive(Clone, Copy, Debug, Default)]
struct Way {
    /// They stay where they are until this ends.
    stalled: bool,
    /// They are on their way for so long.
    delay: Duration,
}

/// What the proxy does at present.
#[derive(Clone, Debug)]
struct Rules {
    target: SocketAddr,
    /// Nobody listens on the port.
    refuse: bool,
    up: Way,
    down: Way,
    /// Connections of an earlier generation end: closed in order, or reset if they are older than `reset`.
    generation: u64,
    reset: u64,
    /// The next bytes of this direction that pass; after them the connection that carried the last one is reset.
    budget: Option<Arc<connection::Budget>>,
}

impl Rules {
    fn way(&self, direction: Direction) -> &Way {
        match direction {
            Direction::Up => &self.up,
            Direction::Down => &self.down,
        }
    }

    fn way_mut(&mut self, direction: Direction) -> &mut Way {
        match direction {
            Direction::Up => &mut self.up,
            Direction::Down => &mut self.down,
        }
    }
}

/// A running proxy. Gone, with its connections, when it is dropped.
pub(crate) struct Proxy {
    port: Port,
    rules: watch::Sender<Rules>,
    listening: watch::Receiver<bool>,
    traffic: Arc<Mutex<Vec<Arc<Traffic>>>>,
    _acceptor: Task,
}

impl Proxy {
    /// Passes everything on to `target`.
    pub(crate) async fn start(target: SocketAddr) -> Self {
        let rules = Rules {
            target,
            refuse: false,
            up: Way::default(),
            down: Way::default(),
            generation: 0,
            reset: 0,
            budget: None,
        };
        let port = Port::reserve();
        let (rules, seen) = watch::channel(rules);
        let (report, listening) = watch::channel(false);
        let traffic = Arc::default();
        let acceptor = spawn(accept(port.addr(), seen, report, Arc::clone(&traffic)));
        let proxy = Self { port, rules, listening, traffic, _acceptor: acceptor };
        proxy.listens(true).await;
        proxy
    }

    /// Where clients connect.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.port.addr()
    }

    /// Sends new connections elsewhere, as a name that moves to another server does.
    pub(crate) fn point_at(&self, target: SocketAddr) {
        self.rules.send_modify(|rules| rules.target = target);
    }

    /// Closes all connections and refuses new ones, as if the server had ended.
    pub(crate) async fn cut(&self) {
        self.rules.send_modify(|rules| {
            rules.refuse = true;
            rules.generation += 1;
        });
        self.listens(false).await;
        eventually("the proxy has closed its connections", SOON, async || self.open() == 0).await;
    }

    /// Closes all connections there are; new ones are welcome.
    pub(crate) fn close_all(&self) {
        self.rules.send_modify(|rules| rules.generation += 1);
    }

    /// Resets all connections there are (RST); new ones are welcome.
    pub(crate) fn reset_all(&self) {
        self.rules.send_modify(|rules| {
            rules.generation += 1;
            rules.reset = rules.generation;
        });
    }

    /// Lets `bytes` more pass in that direction, over all connections, then resets the one in whose middle that is.
    pub(crate) fn reset_after(&self, direction: Direction, bytes: u64) {
        let budget = Arc::new(connection::Budget::new(direction, bytes));
        self.rules.send_modify(|rules| rules.budget = Some(budget));
    }

    /// Holds everything back both ways, old connections and new: a cable pulled out. Nothing is lost.
    pub(crate) fn stall(&self) {
        self.stall_one_way(Direction::Up);
        self.stall_one_way(Direction::Down);
    }

    /// Holds everything back one way.
    pub(crate) fn stall_one_way(&self, direction: Direction) {
        self.rules.send_modify(|rules| rules.way_mut(direction).stalled = true);
    }

    /// Every byte of that direction takes `delay` longer from now on; the throughput stays.
    pub(crate) fn delay(&self, direction: Direction, delay: Duration) {
        self.rules.send_modify(|rules| rules.way_mut(direction).delay = delay);
    }

    /// Passes again, whatever was done; what a stall held back flows on.
    pub(crate) async fn restore(&self) {
        self.rules.send_modify(|rules| {
            rules.refuse = false;
            rules.up = Way::default();
            rules.down = Way::default();
            rules.budget = None;
        });
        self.listens(true).await;
    }

    /// Every connection there has been, in the order of their coming.
    pub(crate) fn connections(&self) -> Vec<Arc<Traffic>> {
        self.traffic.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many are open.
    pub(crate) fn open(&self) -> usize {
        self.connections().iter().filter(|traffic| traffic.is_open()).count()
    }

    async fn listens(&self, wanted: bool) {
        let mut listening = self.listening.clone();
        let done = timeout(SOON, listening.wait_for(|now| *now == wanted)).await;
        done.expect("the proxy obeys in time").expect("the proxy runs");
    }
}

async fn accept(
    addr: SocketAddr,
    mut rules: watch::Receiver<Rules>,
    report: watch::Sender<bool>,
    traffic: Arc<Mutex<Vec<Arc<Traffic>>>>,
) {
    // Dropped, and so aborted, with this task.
    let mut running = Vec::new();
    while rules.wait_for(|rules| !rules.refuse).await.is_ok() {
        let listener = TcpListener::bind(addr).await.expect("a reserved port can be listened on");
        report.send_replace(true);
        loop {
            let client = tokio::select! {
                biased;
                _ = rules.wait_for(|rules| rules.refuse) => break,
                accepted = listener.accept() => accepted,
            };
            let Ok((client, _)) = client else { continue };
            // After the accept: a cut that this does not show will find the connection in an older generation.
            let now = rules.borrow().clone();
            if now.refuse {
                break;
            }
            let counted = Arc::new(Traffic::new());
            traffic.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&counted));
            running.retain(|task: &Task| !task.is_finished());
            running.push(spawn(connection::run(client, now, rules.clone(), counted)));
        }
        drop(listener);
        report.send_replace(false);
    }
}
