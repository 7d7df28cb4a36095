//! Clients that mean harm: whatever they send and however slowly they read, the process keeps its size and the others are
//! served.

mod bodies;
mod frames;
mod http2;
mod inbox;
mod readers;
mod shapes;

use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use crate::harness::instance::{Config, Instance};
use crate::harness::wait::SOON;

/// How long others may wait while somebody floods, on a machine that does both.
const MEANWHILE: Duration = Duration::from_secs(10);

/// An instance of its own store that has little patience, with a namespace that is read and written by requests alone.
async fn start(set: &[(&str, toml::Value)]) -> Instance {
    let mut config =
        Config::new("inst-0", "valkey://unused").without("backend.url").set("backend.kind", "memory");
    config = config
        .set("namespaces.aside.origin.kind", "none")
        .set("namespaces.aside.max_value", "4MiB")
        .set("defaults.lease", "0s")
        // On a busy machine the process may be late with its proof, and that is not what is tested.
        .set("coherence.max_staleness", "10s")
        .set("log.level", "info")
        .set("server.header_timeout", "1s")
        .set("server.body_timeout", "2s");
    for (key, value) in set {
        config = config.set(key, value.clone());
    }
    let instance = Instance::start(config).await;
    // What is there once and for all is there before anybody measures.
    others_are_served(&instance).await;
    instance
}

/// The memory that the process has, in bytes.
fn resident(instance: &Instance) -> usize {
    let id = instance.process_id().expect("the process is there");
    let status = fs::read_to_string(format!("/proc/{id}/status")).expect("it has a status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("it has memory");
    let kib: usize = line.trim().trim_end_matches(" kB").parse().expect("a number");
    kib << 10
}

/// That the process has not grown by more than so many MiB since it had `before`.
fn assert_grown_less(instance: &Instance, before: usize, mib: usize) {
    let now = resident(instance);
    assert!(now < before + (mib << 20), "{} MiB before, {} MiB now", before >> 20, now >> 20);
}

/// Reads, writes and health are answered.
async fn others_are_served(instance: &Instance) {
    let served = async {
        let put = instance.put("aside", "other", "value").send().await;
        assert_eq!(put.status, 200, "{put:?}");
        assert_eq!(instance.get("aside", "other").send().await.text(), "value");
        assert!(instance.is_ready().await);
    };
    timeout(MEANWHILE, served).await.expect("others are served");
}

async fn connect(instance: &Instance) -> TcpStream {
    TcpStream::connect(instance.addr()).await.expect("the instance accepts")
}

/// A client whose machine takes little of what it does not read.
async fn connect_narrow(address: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(64 << 10).expect("a socket takes a size");
    socket.connect(address).await.expect("the instance accepts")
}

/// Everything until the instance closes or resets the connection.
async fn to_the_end(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    timeout(SOON, stream.read_to_end(&mut answer)).await.expect("the connection is still open").ok();
    String::from_utf8_lossy(&answer).into_owned()
}

/// How a flood ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The connection was closed.
    CutOff,
    /// Nothing more was taken.
    Stuck,
    /// All was sent.
    Sent,
}

/// Sends pieces one after another, without reading.
async fn flood(stream: &mut TcpStream, pieces: impl Iterator<Item = Vec<u8>>) -> End {
    for piece in pieces {
        match timeout(Duration::from_secs(5), stream.write_all(&piece)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return End::CutOff,
            Err(_) => return End::Stuck,
        }
    }
    End::Sent
}
