//! TLS on both listeners: who is served, what is shown while certificates change, and what is refused at the start.

mod clients;
mod handshakes;
mod origins;
mod reload;
mod starts;

use std::path::Path;
use std::sync::Arc;

use coherd::tls::{client_config, roots};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::harness::certificates::{Authority, Issued};
use crate::harness::instance::{Config, Instance};
use crate::harness::wait::SOON;

/// An instance of its own store, with a namespace that is written and read by requests alone.
fn alone(issued: &Issued, authority: &Authority) -> Config {
    let mut config = Config::new("inst-0", "valkey://unused").encrypted(issued, authority);
    config = config.without("backend.url").set("backend.kind", "memory");
    config.set("namespaces.aside.origin.kind", "none").set("log.level", "info")
}

/// A connection that stays, as a pool's does.
struct Kept(TlsStream<TcpStream>);

impl Kept {
    async fn connect(instance: &Instance, ca_file: &Path) -> Self {
        let config = client_config(roots(Some(ca_file)).expect("an authority's certificate"));
        let stream = TcpStream::connect(instance.addr()).await.expect("the instance accepts");
        let name = ServerName::try_from("localhost").expect("a name");
        let shaken = timeout(SOON, TlsConnector::from(Arc::new(config)).connect(name, stream)).await;
        Self(shaken.expect("the handshake ends").expect("the handshake succeeds"))
    }

    /// The certificate that was shown, DER.
    fn shown(&self) -> Vec<u8> {
        let shown = self.0.get_ref().1.peer_certificates().expect("a server shows one");
        shown[0].to_vec()
    }

    /// Asks, and gives the status line.
    async fn ask(&mut self, path: &str) -> String {
        let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n");
        self.0.write_all(request.as_bytes()).await.expect("the connection takes a request");
        let mut answer = Vec::new();
        let reading = async {
            while !String::from_utf8_lossy(&answer).contains("\r\n\r\n") {
                let mut buffer = [0; 4096];
                let count = self.0.read(&mut buffer).await.expect("the connection holds");
                assert_ne!(count, 0, "closed after {:?}", String::from_utf8_lossy(&answer));
                answer.extend_from_slice(&buffer[..count]);
            }
        };
        timeout(SOON, reading).await.expect("an answer comes");
        String::from_utf8_lossy(&answer).lines().next().unwrap_or_default().to_owned()
    }
}
