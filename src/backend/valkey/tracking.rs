//! Changes of entries by whoever makes them: the server tells of every key below the entries' prefix.
//!
//! fred is asked for nothing but the messages: the command goes over the subscription's own connection, what the server
//! says of it is checked, and it is given anew with every subscription. What fred keeps to itself is the message that
//! says that everything is gone; then the control record is, too, and the lineage with it.

use fred::interfaces::TrackingInterface as _;
use fred::types::Value;
use fred::types::client::Invalidation;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use super::connection::{Command, Connection};
use super::context::Context;
use super::errors::explain;
use super::keys::Keyspace;
use super::reply::bytes;
use crate::backend::{BackendError, Signal};

/// What the server tells.
pub(super) struct Tracking {
    heard: Receiver<Invalidation>,
    keys: Keyspace,
    /// What was changed before it began is not known.
    begun: bool,
}

impl Tracking {
    /// Has the server tell of changes over this connection from now on.
    pub(super) async fn begin(context: &Context, connection: &Connection) -> Result<Self, BackendError> {
        // before the command, or the first messages find no reader
        let heard = connection.client().invalidation_rx();
        let mut track = Command::new("CLIENT", 0).args(["TRACKING", "ON", "BCAST"]);
        for prefix in context.keys.entries() {
            track = track.arg("PREFIX").arg(prefix);
        }
        connection.call(track).await.map_err(|error| explain(&error))?;
        let asked = Command::new("CLIENT", 0).arg("TRACKINGINFO");
        let told = connection.call(asked).await.map_err(|error| explain(&error))?;
        if !names(&told, "bcast") {
            return Err(BackendError::Refused("the server tells of no changes of entries".to_owned()));
        }
        Ok(Self { heard, keys: context.keys.clone(), begun: false })
    }

    /// The next changes; `None` once the connection is gone. Cancel-safe.
    pub(super) async fn next(&mut self) -> Option<Signal> {
        if !self.begun {
            self.begun = true;
            return Some(Signal::TouchedAny);
        }
        loop {
            let keys = match self.heard.recv().await {
                Ok(Invalidation { keys, .. }) => keys,
                Err(RecvError::Lagged(_)) => return Some(Signal::TouchedAny),
                Err(RecvError::Closed) => return None,
            };
            let entries: Vec<_> = keys.iter().filter_map(|key| self.keys.entry_of(key.as_str()?)).collect();
            if !entries.is_empty() {
                return Some(Signal::Touched(entries));
            }
        }
    }
}

/// Whether a word is anywhere in an answer, whose form differs between versions.
fn names(answer: &Value, word: &str) -> bool {
    match answer {
        Value::Array(parts) => parts.iter().any(|part| names(part, word)),
        Value::Map(map) => map.values().any(|value| names(value, word)),
        text => bytes(text.clone()).is_some_and(|text| text == word.as_bytes()),
    }
}
