//! Ids of the log: sequence numbers, lineages, nonces, shards, and the id that publishers and readers see.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// A shard's dense event counter. It only grows, across lineages too: a new lineage starts at the server's time
/// in milliseconds × 128 or above what any member has seen.
pub type Seq = u64;

/// Which of the cluster's shards; 0 without Valkey Cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Shard(pub u16);

/// How many shards a cluster's keys are spread over; at least 1, the same for all instances.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShardCount(u16);

impl ShardCount {
    /// One shard: everything but Valkey Cluster.
    pub const ONE: Self = Self(1);

    /// `count` shards; 0 is taken as 1.
    pub fn new(count: u16) -> Self {
        Self(count.max(1))
    }

    /// The number.
    pub fn get(self) -> u16 {
        self.0
    }

    /// Every shard, in order.
    pub fn all(self) -> impl Iterator<Item = Shard> {
        (0..self.0).map(Shard)
    }

    /// The shard a key belongs to: XXH3-64 of `NS/KEY`, the same in every instance and version.
    pub fn of(self, namespace: &str, key: &str) -> Shard {
        if self.0 == 1 {
            return Shard(0);
        }
        let mut hasher = xxhash_rust::xxh3::Xxh3Default::new();
        hasher.update(namespace.as_bytes());
        hasher.update(b"/");
        hasher.update(key.as_bytes());
        let index = hasher.digest() % u64::from(self.0);
        Shard(u16::try_from(index).expect("a remainder of a u16"))
    }

    /// The shard that keeps the hottest keys of a namespace.
    pub fn of_hot(self, namespace: &str) -> Shard {
        self.of("hot", namespace)
    }

    /// The shard that a lock belongs to.
    pub fn of_lock(self, name: &str) -> Shard {
        self.of("lock", name)
    }
}

macro_rules! opaque {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            /// As the backend spelt it.
            pub fn new(text: &str) -> Self {
                Self(text.into())
            }
            /// The spelling.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

opaque! {
    /// One unbroken history of a shard's log. FLUSHALL, a lost `ctl`, a poisoned log or a server that is not the
    /// one it was begin a new one; nothing stored under an old lineage is valid under a new one.
    LineageId
}
opaque! {
    /// What chains an event to the one before it, so that a fork with the same numbers shows.
    Nonce
}

/// The id of an event: its number in each shard that has it. `1234-0` with one shard, `1234-0.3,99-0.5` with more.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LogId(Vec<(Shard, Seq)>);

/// A text that is no log id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a log id such as `1234-0`")]
pub struct LogIdError(String);

impl LogId {
    /// Longest text that is looked at.
    /// Longest text that is looked at: an event in 256 shards has about 6,000 bytes.
    const TEXT_BYTES_MAX: usize = 8192;

    /// An event in the only shard.
    pub fn single(seq: Seq) -> Self {
        Self(vec![(Shard(0), seq)])
    }

    /// An event in several shards.
    pub fn new(parts: Vec<(Shard, Seq)>) -> Self {
        Self(parts)
    }

    /// Its number in `shard`, if that shard has it.
    pub fn seq(&self, shard: Shard) -> Option<Seq> {
        self.0.iter().find(|(of, _)| *of == shard).map(|(_, seq)| *seq)
    }

    /// Every shard that has it, with its number there.
    pub fn parts(&self) -> &[(Shard, Seq)] {
        &self.0
    }
}

impl fmt::Display for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (shard, seq)) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            match shard.0 {
                0 => write!(f, "{comma}{seq}-0")?,
                other => write!(f, "{comma}{seq}-0.{other}")?,
            }
        }
        Ok(())
    }
}

impl FromStr for LogId {
    type Err = LogIdError;

    fn from_str(text: &str) -> Result<Self, LogIdError> {
        let wrong = || LogIdError(text.chars().take(64).collect());
        if LogId::TEXT_BYTES_MAX < text.len() {
            return Err(wrong());
        }
        let part = |part: &str| {
            let (id, shard) = part.split_once('.').unwrap_or((part, "0"));
            let seq = id.strip_suffix("-0")?.parse().ok()?;
            Some((Shard(shard.parse().ok()?), seq))
        };
        text.split(',').map(|p| part(p.trim())).collect::<Option<Vec<_>>>().map(Self).ok_or_else(wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_id_reads_as_it_is_written() {
        for text in ["0-0", "229000000000001-0", "7-0.3,9-0.15"] {
            assert_eq!(text.parse::<LogId>().unwrap().to_string(), text);
        }
        for bad in ["", "7", "7-1", "x-0", "7-0.", "7-0,,8-0", "-0", "99999999999999999999-0"] {
            assert!(bad.parse::<LogId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn an_event_in_many_shards_has_an_id_that_reads() {
        let id = LogId::new((0..256).map(|shard| (Shard(shard), 999_999_999_999_999)).collect());
        assert_eq!(id.to_string().parse(), Ok(id));
    }

    #[test]
    fn a_key_always_has_the_same_shard() {
        let sixteen = ShardCount::new(16);
        assert_eq!(sixteen.of("users", "1"), sixteen.of("users", "1"));
        let seen: std::collections::HashSet<_> =
            (0..200).map(|n| sixteen.of("users", &n.to_string())).collect();
        assert_eq!(seen.len(), 16);
        assert_eq!(ShardCount::ONE.of("users", "1"), Shard(0));
    }
}
