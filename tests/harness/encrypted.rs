//! A server that speaks TLS, with a user that may do what an instance does and nothing else.

use std::net::SocketAddr;

use super::certificates::Authority;
use super::ports::Port;
use super::server::{Options, Server};

/// The user.
pub(crate) const USER: &str = "coherd";
/// Its password.
pub(crate) const PASSWORD: &str = "hunter2";

/// What it may: as in README, for the cluster `main`.
pub(crate) const RIGHTS: &str = "~coherd:{main}:* &coherd:{main}:* -@all \
    +hello +ping +info +select +role +time +wait +client|id +client|info +client|tracking +client|trackinginfo \
    +config|get +function|load +function|list +eval +evalsha +subscribe +publish \
    +get +getdel +set +del +unlink +exists +type +pexpire +pttl +hget +hset +hdel +hmget +hgetall +hexists +hincrby +hlen \
    +xadd +xack +xautoclaim +xdel +xgroup +xinfo +xlen +xrange +xreadgroup \
    +zadd +zcard +zrange +zrangebyscore +zrem +zremrangebyrank +zremrangebyscore +zrevrange +zscore +zunionstore";

/// The server, and who signed its certificate.
pub(crate) struct Encrypted {
    /// Everybody may do everything there, past TLS.
    pub(crate) server: Server,
    /// Its own.
    pub(crate) authority: Authority,
    /// Where it speaks TLS.
    pub(crate) port: Port,
}

impl Encrypted {
    /// Starts it.
    pub(crate) async fn start() -> Self {
        let (authority, port) = (Authority::new(), Port::reserve());
        let folder = authority.file().with_file_name("server");
        let issued = authority.issue(&folder);
        let user = format!("{USER} on >{PASSWORD} {RIGHTS}");
        let options = Options::default().tls(port.number(), &issued, &authority.file()).set("user", &user);
        Self { server: Server::with(options).await, authority, port }
    }

    /// Where it speaks TLS.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.port.addr()
    }

    /// The same for a client.
    pub(crate) fn url(&self) -> String {
        format!("valkeys://{}/0", self.addr())
    }
}
