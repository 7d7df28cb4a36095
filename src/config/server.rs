//! `[server]`: the two listeners, and what a request may take.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::declare::section;
use super::kind::{address, duration, int, path, size};
use crate::tls::{Pair, PairError};

section! { at =>
    /// `[server]`
    pub struct Server {
        /// Data listener. Port 0: any free one.
        listen: SocketAddr = at.or("127.0.0.1:8080", address());
        /// Admin listener. Port 0: any free one.
        admin_listen: SocketAddr = at.or("127.0.0.1:9080", address());
        /// Worker threads; 0: one per core.
        workers: usize = at.or(0, int(0..=1024));
        /// Largest request body, in bytes.
        max_body: u64 = at.or("8MiB", size("1B", "512MiB"));
        /// From the header's end to the answer's first byte.
        request_timeout: Duration = at.or("30s", duration("1ms", "1h"));
        /// To have sent the whole header.
        header_timeout: Duration = at.or("10s", duration("1ms", "1h"));
        /// To have sent the whole body.
        body_timeout: Duration = at.or("30s", duration("1ms", "1h"));
        /// Certificate and key of both listeners.
        tls: Option<Tls> = at.optional_table(Tls::read);
    }
}

section! { at =>
    /// `server.tls`
    pub struct Tls {
        /// Certificate chain, PEM.
        cert: PathBuf = at.required(path(), PathBuf::new());
        /// Private key, PEM.
        key: PathBuf = at.required(path(), PathBuf::new());
    }
}

impl Tls {
    /// The pair in the files as they are now; blocks as long as the file system does.
    pub fn pair(&self) -> Result<Pair, PairError> {
        Pair::read(&self.cert, &self.key)
    }
}
