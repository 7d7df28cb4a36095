//! coherd keeps several instances' caches coherent: L1 in each process, L2 in Valkey, an origin behind, and invalidations
//! that every instance obeys within a stated bound, whatever breaks.
//!
//! # The rooms, in reading order
//!
//! - [`model`]: the words: keys, tags, names, events, ids, values. No I/O, no clock.
//! - [`coherence`]: the protocol. Its `core` decides; its tasks follow the log and prove that nothing was missed.
//! - [`cache`]: the read path. L1, one load per key, the rule of what may be answered.
//! - [`refresh`]: the tasks that load copies anew while they are still answered.
//! - [`backend`]: what instances share, as a trait; `valkey` (fred, Lua) and `memory` (one process) behave alike.
//! - [`origin`]: the system of record, as a trait; HTTP and SQL.
//! - [`limit`]: how often who may ask. [`lock`]: locks across the cluster.
//! - [`feeds`]: changes read where other systems leave them: an outbox in PostgreSQL, the streams of Debezium Server.
//! - [`http`]: the door, for data and for operators.
//! - [`tls`]: certificates: those that are shown, and those that are trusted.
//! - [`config`], [`cli`], [`supervisor`], [`telemetry`], [`guard`], [`clock`]: what the others stand on.
//! - [`app`]: the only room that knows them all; the start and the stop, in order.
//!
//! # A GET, straight down
//!
//! `http::listener` accepts, `http::routes` says what is asked, `cache::reader` looks in L1 (`cache::l1`) and has the copy
//! judged ([`coherence::core::View::judge`]). Valid and fresh: the answer. Else a plain read of L2, judged alike.
//! Else a seat on a load (`cache::flight`), which takes the lease; the holder asks the [`origin`], stores under the token
//! that came with the lease, and all seats get the result by the joiner's rule. `http::reply` makes headers of it. A stale copy
//! that may be answered is, and its key goes to the queue of [`refresh`].
//!
//! # An invalidation, straight across
//!
//! A door (`http::invalidate`, the inbox, the function in Valkey) hands an event to [`coherence::Coherence::publish`].
//! One script logs it, marks its names, voids the leases of its keys and announces it. On every instance
//! `coherence::tail` takes the announcement, or reads the log where the chain of numbers and nonces shows a gap, marks the
//! names in its table, moves its cursor, and confirms where a publisher waits.
//!
//! # What always holds
//!
//! - Every load takes its token before it asks the origin; every copy is judged by its token when it is read.
//! - A lease on the truth counts from the sending of a heartbeat, never from its answer.
//! - `http` never touches the backend or an origin, and `cache` never touches fred: a handler cannot go round the rules.
//! - Every task is born in the supervisor; every queue, map, retry and body has a bound.

pub mod app;
pub mod backend;
pub mod cache;
pub mod cli;
pub mod clock;
pub mod coherence;
pub mod config;
pub mod feeds;
#[doc(hidden)]
pub mod fuzzing;
pub mod guard;
pub mod http;
pub mod limit;
pub mod lock;
pub mod model;
mod mutants;
pub mod origin;
pub mod refresh;
pub mod supervisor;
pub mod telemetry;
pub mod tls;
pub mod write;
