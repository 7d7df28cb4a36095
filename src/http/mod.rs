//! The door: HTTP on two listeners, for data and for operators. It asks the cache and the log, never what is behind
//! them.
//!
//! A request goes `listener` → `connection` (at `rest`, then in `talk`, read by the `fast` path or by hyper) → `front` (route,
//! right, body, time) → a desk (`data`, `admin`) → `reply`.

mod accept;
mod admin;
mod audit;
mod auth;
mod body;
mod brief;
mod bulk;
mod cache_status;
mod cloudevents;
mod conditional;
mod connection;
mod data;
mod deadline;
mod demand;
mod events;
mod fast;
mod front;
pub(crate) mod fuzzing;
mod invalidate;
mod letters;
mod line;
mod linger;
mod listener;
mod locks;
mod page;
mod problem;
mod query;
mod reply;
mod rest;
mod rewound;
mod room;
mod routes;
mod sent;
mod site;
mod stall;
mod stats;
mod tags;
mod talk;
mod toll;
mod traced;
mod traffic;
mod watch;
mod writes;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use hyper::header::HeaderValue;

pub use admin::AdminDesk;
pub use auth::{Right, Tokens};
pub use data::DataDesk;
pub use front::Desk;
pub use listener::Listener;
pub use room::Rooms;
pub use stats::{Backlog, Vitals};

use crate::clock::Clock;

/// Starts a piece of work under a name: the supervisor's `spawn`, bound to its stage.
pub type Spawn = Arc<dyn Fn(&'static str, BoxFuture<'static, ()>) + Send + Sync>;

/// Limits, times and names of the listeners.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `instance.id`.
    pub instance: String,
    /// `instance.cluster`.
    pub cluster: String,
    /// To have sent the whole header; also how long a connection may be without a request.
    pub header_timeout: Duration,
    /// To have sent the whole body; also how long a client may stop reading.
    pub body_timeout: Duration,
    /// To have an answer, once the body is there.
    pub request_timeout: Duration,
    /// From the stop to the end of requests under way.
    pub shutdown_grace: Duration,
    /// Most bytes of a request's body.
    pub max_body: usize,
    /// For bodies that are being read and answered.
    pub rooms: Rooms,
    /// Most connections of a listener at once.
    pub connections_max: usize,
    /// The instance's clock.
    pub clock: Clock,
}

impl Settings {
    /// [`Self::connections_max`] unless said otherwise.
    pub const CONNECTIONS_MAX: usize = 10_000;

    fn instance_header(&self) -> HeaderValue {
        reply::text_value(&self.instance)
    }
}

#[cfg(test)]
mod rest_tests;
#[cfg(test)]
mod socket_tests;
