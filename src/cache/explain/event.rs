//! The last event that named the key, as `/v1/explain` shows it.

use serde::Serialize;

use crate::coherence::Named;
use crate::coherence::form::{path_label, rfc3339};
use crate::model::{Hardness, LogId, Shard, Target};

/// An event.
#[derive(Debug, Serialize)]
pub struct Invalidation {
    /// Its id in the key's shard.
    pub id: String,
    /// When it was logged, by the server's clock.
    pub at: String,
    /// What its publisher calls itself.
    pub source: String,
    /// Why it was published, in the publisher's words.
    pub reason: String,
    /// Stale copies may be answered while they are loaded anew.
    pub soft: bool,
    /// Those of its targets that concern the key: `key NS/KEY`, `prefix NS/PREFIX`, `namespace NS`, `tag TAG`, `all`.
    pub named: Vec<String>,
    /// By which way it came to this instance: `pubsub` or `stream`; `None` if that is too long ago to be remembered.
    pub path: Option<&'static str>,
    /// How long after it was logged it was applied here, in milliseconds, corrected for the clocks.
    pub lag_ms: Option<f64>,
}

impl Invalidation {
    pub(super) fn of(shard: Shard, named: &Named) -> Self {
        let Named { seq, event, at_ms, by, came } = named;
        Self {
            id: LogId::new(vec![(shard, *seq)]).to_string(),
            at: rfc3339(*at_ms),
            source: event.provenance.source.clone(),
            reason: event.provenance.reason.clone(),
            soft: event.hardness == Hardness::Soft,
            named: by.iter().map(spoken).collect(),
            path: came.map(|(path, _)| path_label(path)),
            lag_ms: came.map(|(_, lag)| lag.as_secs_f64() * 1000.0),
        }
    }
}

fn spoken(target: &Target) -> String {
    match target {
        Target::Key(namespace, key) => format!("key {namespace}/{key}"),
        Target::Prefix(namespace, prefix) => format!("prefix {namespace}/{prefix}"),
        Target::Namespace(namespace) => format!("namespace {namespace}"),
        Target::Tag(tag) => format!("tag {tag}"),
        Target::All => "all".to_owned(),
    }
}
