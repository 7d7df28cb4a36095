//! `/stats`: what an operator asks first, in the shape that the contract fixes.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use crate::cache::NamespaceStats;
use crate::coherence::Status;
use crate::model::LogId;
use crate::supervisor::Board;

/// What neither the cache nor the log knows.
#[derive(Clone, Debug, Default)]
pub struct Vitals {
    /// `closed`, `open` or `half_open`, by target.
    pub breakers: BTreeMap<String, &'static str>,
    /// The write-behind queue.
    pub writes: Backlog,
}

/// The write-behind queue.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Backlog {
    /// Not at the origin yet.
    pub pending: u64,
    /// Age of the oldest of them, in seconds.
    pub oldest_s: f64,
    /// Given up.
    pub dead: u64,
}

/// The document; its names are the contract's.
#[derive(Serialize)]
pub(super) struct Stats<'a> {
    instance: &'a str,
    cluster: &'a str,
    uptime_s: u64,
    attached: bool,
    log: Log,
    namespaces: BTreeMap<String, NamespaceStats>,
    members: Vec<Member>,
    breakers: BTreeMap<String, &'static str>,
    writes: Backlog,
    tasks: BTreeMap<&'static str, Task>,
}

#[derive(Serialize)]
struct Log {
    cursor: String,
    head: String,
    lag_events: u64,
    lag_ms: u64,
}

#[derive(Serialize)]
struct Member {
    id: String,
    cursor: String,
    lag_ms: u64,
    alive: bool,
}

#[derive(Serialize)]
struct Task {
    up: bool,
    restarts: u64,
}

impl<'a> Stats<'a> {
    pub(super) fn new(
        (instance, cluster): (&'a str, &'a str),
        uptime: Duration,
        namespaces: BTreeMap<String, NamespaceStats>,
        status: Status,
        vitals: Vitals,
        tasks: &Board,
    ) -> Self {
        let task = |(name, task): (&&'static str, &crate::supervisor::TaskStatus)| {
            (*name, Task { up: task.up, restarts: task.restarts })
        };
        Self {
            instance,
            cluster,
            uptime_s: uptime.as_secs(),
            attached: status.attached,
            log: Log {
                cursor: status.cursor.to_string(),
                head: status.head.to_string(),
                lag_events: status.lag_events,
                lag_ms: millis(status.lag),
            },
            namespaces,
            members: status
                .members
                .into_iter()
                .map(|member| Member {
                    id: member.id,
                    cursor: LogId::single(member.cursor).to_string(),
                    lag_ms: millis(member.lag),
                    alive: member.alive,
                })
                .collect(),
            breakers: vitals.breakers,
            writes: vitals.writes,
            tasks: tasks.iter().map(task).collect(),
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coherence::MemberStatus;
    use serde_json::json;

    #[test]
    fn the_document_has_the_names_of_the_contract() {
        let status = Status {
            attached: true,
            cursor: LogId::single(7),
            head: LogId::single(9),
            lag_events: 2,
            lag: Duration::from_micros(1_500),
            members: vec![MemberStatus {
                id: "b".to_owned(),
                cursor: 6,
                lag: Duration::from_millis(250),
                alive: true,
            }],
        };
        let namespaces = BTreeMap::from([(
            "users".to_owned(),
            NamespaceStats { l1_hits: 3, ..NamespaceStats::default() },
        )]);
        let vitals = Vitals {
            breakers: BTreeMap::from([("users".to_owned(), "half_open")]),
            writes: Backlog { pending: 4, oldest_s: 1.5, dead: 1 },
        };
        let mut board = Board::new();
        board.insert("coherence.tail", crate::supervisor::TaskStatus::default());
        let stats =
            Stats::new(("a", "main"), Duration::from_millis(61_900), namespaces, status, vitals, &board);
        assert_eq!(
            serde_json::to_value(stats).unwrap(),
            json!({
                "instance": "a", "cluster": "main", "uptime_s": 61, "attached": true,
                "log": {"cursor": "7-0", "head": "9-0", "lag_events": 2, "lag_ms": 1},
                "namespaces": {"users": {"l1_hits": 3, "l2_hits": 0, "stale": 0, "negative": 0, "misses": 0,
                    "collapsed": 0, "loads": 0, "refreshes": 0, "fills_rejected": 0, "l1_entries": 0, "l1_bytes": 0}},
                "members": [{"id": "b", "cursor": "6-0", "lag_ms": 250, "alive": true}],
                "breakers": {"users": "half_open"},
                "writes": {"pending": 4, "oldest_s": 1.5, "dead": 1},
                "tasks": {"coherence.tail": {"up": false, "restarts": 0}},
            })
        );
    }
}
