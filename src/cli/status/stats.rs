//! What `/stats` and `/readyz` say, and how it is shown. What a later version adds is passed over, what an earlier one
//! lacks is zero.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;

use super::table::render;

/// `/readyz`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Readiness {
    pub(super) ready: bool,
    reasons: Vec<String>,
    degraded: Vec<String>,
}

/// `/stats`.
#[derive(Debug, Deserialize)]
pub(super) struct Stats {
    instance: String,
    cluster: String,
    #[serde(default)]
    uptime_s: u64,
    attached: bool,
    log: Log,
    #[serde(default)]
    namespaces: BTreeMap<String, Namespace>,
    #[serde(default)]
    members: Vec<Member>,
    #[serde(default)]
    breakers: BTreeMap<String, String>,
    #[serde(default)]
    writes: Writes,
    #[serde(default)]
    tasks: BTreeMap<String, Task>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Log {
    cursor: String,
    head: String,
    lag_events: u64,
    lag_ms: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Namespace {
    l1_hits: u64,
    l2_hits: u64,
    stale: u64,
    negative: u64,
    misses: u64,
    collapsed: u64,
    loads: u64,
    refreshes: u64,
    fills_rejected: u64,
    l1_entries: u64,
    l1_bytes: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Member {
    id: String,
    cursor: String,
    lag_ms: u64,
    alive: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Writes {
    pending: u64,
    oldest_s: f64,
    dead: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Task {
    up: bool,
    restarts: u64,
}

impl Stats {
    /// All of it.
    pub(super) fn lines(&self, readiness: &Readiness) -> Vec<String> {
        let mut lines = vec![
            format!(
                "instance  {} of cluster {}, up {}, {}, {}",
                self.instance,
                self.cluster,
                humantime::format_duration(Duration::from_secs(self.uptime_s)),
                if self.attached { "attached" } else { "DETACHED" },
                readiness.line(),
            ),
            format!(
                "log       at {} of {}, {} behind, the last event took {}",
                shortened(&self.log.cursor),
                shortened(&self.log.head),
                count(self.log.lag_events, "event"),
                millis(self.log.lag_ms),
            ),
            self.writes.line(),
        ];
        let tables = [self.members(), self.namespaces(), self.breakers(), self.tasks()];
        for table in tables.iter().filter(|table| 1 < table.len()) {
            lines.push(String::new());
            lines.extend(render(table));
        }
        lines
    }

    fn members(&self) -> Vec<Vec<String>> {
        let rows = self
            .members
            .iter()
            .map(|it| vec![it.id.clone(), it.cursor.clone(), millis(it.lag_ms), yes_or(it.alive, "NO")]);
        table(&["MEMBER", "CURSOR", "LAG", "ALIVE"], rows)
    }

    fn namespaces(&self) -> Vec<Vec<String>> {
        let header = [
            "NAMESPACE",
            "HITS",
            "L1",
            "L2",
            "STALE",
            "NEGATIVE",
            "MISSES",
            "COLLAPSED",
            "LOADS",
            "REFRESHES",
            "REJECTED",
            "ENTRIES",
            "BYTES",
        ];
        let rows = self.namespaces.iter().map(|(name, it)| {
            let numbers = [
                it.l1_hits,
                it.l2_hits,
                it.stale,
                it.negative,
                it.misses,
                it.collapsed,
                it.loads,
                it.refreshes,
                it.fills_rejected,
                it.l1_entries,
            ];
            let mut row = vec![name.clone(), it.hit_ratio()];
            row.extend(numbers.iter().map(u64::to_string));
            row.push(bytesize::ByteSize(it.l1_bytes).to_string());
            row
        });
        table(&header, rows)
    }

    fn breakers(&self) -> Vec<Vec<String>> {
        let state = |state: &String| if state == "closed" { state.clone() } else { state.to_uppercase() };
        table(&["BREAKER", "STATE"], self.breakers.iter().map(|(name, it)| vec![name.clone(), state(it)]))
    }

    fn tasks(&self) -> Vec<Vec<String>> {
        let rows = self.tasks.iter();
        let rows = rows.map(|(name, it)| vec![name.clone(), yes_or(it.up, "NO"), it.restarts.to_string()]);
        table(&["TASK", "UP", "RESTARTS"], rows)
    }
}

impl Readiness {
    /// On one line.
    pub(super) fn line(&self) -> String {
        let mut line = if self.ready { "ready".to_owned() } else { "NOT READY".to_owned() };
        if !self.reasons.is_empty() {
            line.push_str(": ");
            line.push_str(&self.reasons.join("; "));
        }
        if !self.degraded.is_empty() {
            line.push_str(", degraded: ");
            line.push_str(&self.degraded.join("; "));
        }
        line
    }
}

impl Namespace {
    /// The share of reads that were answered without the origin; `-` without reads.
    fn hit_ratio(&self) -> String {
        let hits = self.l1_hits + self.l2_hits + self.stale + self.negative;
        let reads = hits + self.misses + self.collapsed;
        if reads == 0 {
            return "-".to_owned();
        }
        // Rounded down: 100 % means that there was no miss.
        let per_mille = u128::from(hits) * 1000 / u128::from(reads);
        format!("{}.{}%", per_mille / 10, per_mille % 10)
    }
}

impl Writes {
    fn line(&self) -> String {
        let oldest =
            if 0 < self.pending { format!(" (oldest {:.1}s)", self.oldest_s) } else { String::new() };
        format!("writes    {} pending{oldest}, {} dead", self.pending, self.dead)
    }
}

fn table(header: &[&str], rows: impl Iterator<Item = Vec<String>>) -> Vec<Vec<String>> {
    let header = header.iter().map(|&name| name.to_owned()).collect();
    std::iter::once(header).chain(rows).collect()
}

/// An id of many shards by its first part: `7-0 and 15 more shards`.
fn shortened(id: &str) -> String {
    match id.split_once(',') {
        Some((first, rest)) => {
            format!("{first} and {}", count(1 + rest.matches(',').count() as u64, "more shard"))
        }
        None => id.to_owned(),
    }
}

fn millis(ms: u64) -> String {
    humantime::format_duration(Duration::from_millis(ms)).to_string()
}

fn count(number: u64, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

fn yes_or(yes: bool, no: &str) -> String {
    if yes { "yes".to_owned() } else { no.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_of_many_shards_is_shown_by_its_first_part() {
        assert_eq!(shortened("7-0"), "7-0");
        assert_eq!(shortened("7-0,9-0.1"), "7-0 and 1 more shard");
        assert_eq!(shortened("7-0,9-0.1,8-0.2"), "7-0 and 2 more shards");
    }

    const DOCUMENT: &str = r#"{
        "instance": "a", "cluster": "main", "uptime_s": 3661, "attached": true, "later": {},
        "log": {"cursor": "7-0", "head": "9-0", "lag_events": 1, "lag_ms": 12},
        "namespaces": {"users": {"l1_hits": 90, "l2_hits": 6, "stale": 1, "negative": 1, "misses": 1, "collapsed": 1,
            "loads": 1, "refreshes": 2, "fills_rejected": 3, "l1_entries": 40, "l1_bytes": 2048},
            "quiet": {}},
        "members": [{"id": "a", "cursor": "7-0", "lag_ms": 250, "alive": true},
            {"id": "long-name", "cursor": "6-0", "lag_ms": 9000, "alive": false}],
        "breakers": {"backend": "closed", "users": "half_open"},
        "writes": {"pending": 4, "oldest_s": 1.53, "dead": 1},
        "tasks": {"coherence.tail": {"up": true, "restarts": 2}}}"#;

    const SHOWN: &str = "\
instance  a of cluster main, up 1h 1m 1s, attached, ready, degraded: breaker `users` is open
log       at 7-0 of 9-0, 1 event behind, the last event took 12ms
writes    4 pending (oldest 1.5s), 1 dead

MEMBER     CURSOR    LAG  ALIVE
a             7-0  250ms  yes
long-name     6-0     9s  NO

NAMESPACE   HITS  L1  L2  STALE  NEGATIVE  MISSES  COLLAPSED  LOADS  REFRESHES  REJECTED  ENTRIES    BYTES
quiet          -   0   0      0         0       0          0      0          0         0        0      0 B
users      98.0%  90   6      1         1       1          1      1          2         3       40  2.0 KiB

BREAKER  STATE
backend  closed
users    HALF_OPEN

TASK            UP   RESTARTS
coherence.tail  yes         2";

    #[test]
    fn everything_is_shown_and_what_is_wrong_stands_out() {
        let stats: Stats = serde_json::from_str(DOCUMENT).unwrap();
        let readiness =
            Readiness { ready: true, reasons: vec![], degraded: vec!["breaker `users` is open".to_owned()] };
        assert_eq!(stats.lines(&readiness).join("\n"), SHOWN);
    }

    #[test]
    fn a_ratio_is_never_rounded_up_to_perfection() {
        let busy = Namespace { l1_hits: 999_999, misses: 1, ..Namespace::default() };
        assert_eq!(busy.hit_ratio(), "99.9%");
        assert_eq!(Namespace { l1_hits: 1, ..Namespace::default() }.hit_ratio(), "100.0%");
    }

    #[test]
    fn an_instance_without_anything_is_three_lines() {
        let bare = r#"{"instance": "a", "cluster": "main", "attached": false, "log": {}}"#;
        let stats: Stats = serde_json::from_str(bare).unwrap();
        let lines = stats.lines(&Readiness { reasons: vec!["starting".to_owned()], ..Readiness::default() });
        assert_eq!(lines.len(), 3);
        assert!(lines[0].ends_with("DETACHED, NOT READY: starting"), "{}", lines[0]);
    }
}
