//! Ports that belong to one test at a time, whatever other test processes run beside it.

use std::fs::{self, File, OpenOptions};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::ops::Range;
use std::path::Path;

/// Below the kernel's ephemeral ports: a client that tries again and again to reach a server that is down could
/// otherwise be given the server's own port and connect to itself. Each port + 10,000, a cluster's bus, is free too.
const RANGE: Range<u16> = 10_000..20_000;

/// A port nobody else uses until this is dropped, also while its server is down.
pub(crate) struct Port {
    number: u16,
    /// Locked for as long as it is open; the kernel lets go of it if the process dies.
    _lock: File,
}

impl Port {
    /// Reserves a free port.
    ///
    /// # Panics
    ///
    /// If none of 1,000 ports tried is free.
    pub(crate) fn reserve() -> Self {
        let [port] = Self::reserve_at([0]);
        port
    }

    /// Reserves ports at these distances from the first of them, which is at 0.
    ///
    /// # Panics
    ///
    /// If 1,000 places tried had none.
    pub(crate) fn reserve_at<const N: usize>(distances: [u16; N]) -> [Self; N] {
        let user = rustix::process::getuid().as_raw();
        let locks = std::env::temp_dir().join(format!("coherd-test-ports-{user}"));
        fs::create_dir_all(&locks).expect("the folder of port locks can be made");
        for _ in 0..1_000 {
            let first = rand::random_range(RANGE);
            let ports: Vec<Self> =
                distances.iter().map_while(|distance| Self::take(first + distance, &locks)).collect();
            if let Ok(ports) = ports.try_into() {
                return ports;
            }
        }
        panic!("no free ports in {RANGE:?}");
    }

    fn take(number: u16, locks: &Path) -> Option<Self> {
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(locks.join(number.to_string()))
            .expect("a port's lock can be opened");
        let free = || TcpListener::bind((Ipv4Addr::LOCALHOST, number)).is_ok();
        (lock.try_lock().is_ok() && free()).then_some(Self { number, _lock: lock })
    }

    /// The number.
    pub(crate) fn number(&self) -> u16 {
        self.number
    }

    /// The port on the loopback address.
    pub(crate) fn addr(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.number).into()
    }
}
