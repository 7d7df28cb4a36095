//! Bare subscribers of a channel: a thread each, where things are measured, that reads, counts, and does nothing else.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};

use crate::cores::Cores;
use crate::resp::Resp;

/// Some of them, until this is dropped.
pub(crate) struct Subscribers {
    of: Vec<(TcpStream, Arc<AtomicU64>, JoinHandle<()>)>,
}

impl Subscribers {
    /// So many.
    pub(crate) fn start(count: usize, valkey: SocketAddr, channel: &str, cores: &Cores) -> io::Result<Self> {
        let mut of = Vec::new();
        for _ in 0..count {
            let mut resp = Resp::open(valkey)?;
            resp.call(&["SUBSCRIBE", channel])?;
            resp.stream().set_read_timeout(None)?;
            let (socket, heard) = (resp.stream().try_clone()?, Arc::<AtomicU64>::default());
            let counted = Arc::clone(&heard);
            let reading = cores.among_servers(|| {
                Ok::<_, io::Error>(thread::spawn(move || {
                    // Until the socket is shut down.
                    while let Ok(count) = resp.count() {
                        counted.fetch_add(count, Ordering::Release);
                    }
                }))
            })?;
            of.push((socket, heard, reading));
        }
        Ok(Self { of })
    }

    /// How many messages the one that has heard least has.
    pub(crate) fn heard_by_all(&self) -> u64 {
        self.of.iter().map(|(_, heard, _)| heard.load(Ordering::Acquire)).min().unwrap_or(0)
    }
}

impl Drop for Subscribers {
    fn drop(&mut self) {
        for (socket, _, reading) in self.of.drain(..) {
            drop(socket.shutdown(Shutdown::Both));
            drop(reading.join());
        }
    }
}
