//! How keys and channels are called: `coherd:{SHARD}:…`, everything of a shard under one hash tag.

use std::fmt::{self, Display};

use fred::util::redis_keyslot;

use crate::backend::{EntryId, Partition};
use crate::model::{Key, Namespace, Shard, ShardCount};

/// The names of a cluster's keys and channels.
#[derive(Clone, Debug)]
pub(super) struct Keyspace {
    shards: Vec<ShardKeys>,
    count: ShardCount,
}

/// The names within one shard.
#[derive(Clone, Debug)]
pub(super) struct ShardKeys {
    base: String,
    /// Where Valkey Cluster keeps it.
    pub(super) slot: u16,
    /// It is kept by a Valkey Cluster.
    pub(super) clustered: bool,
}

impl Keyspace {
    /// `{CLUSTER}` is the first shard, `{CLUSTER.1}` and so on are the others.
    pub(super) fn new(cluster: &str, count: ShardCount, clustered: bool) -> Self {
        let shard = |shard: Shard| {
            let tag = match shard.0 {
                0 => cluster.to_owned(),
                other => format!("{cluster}.{other}"),
            };
            ShardKeys { base: format!("coherd:{{{tag}}}:"), slot: redis_keyslot(tag.as_bytes()), clustered }
        };
        Self { shards: count.all().map(shard).collect(), count }
    }

    /// How many shards there are.
    pub(super) fn count(&self) -> ShardCount {
        self.count
    }

    /// The names within a shard; a shard that does not exist has those of the first.
    pub(super) fn shard(&self, shard: Shard) -> &ShardKeys {
        self.shards.get(usize::from(shard.0)).unwrap_or(&self.shards[0])
    }

    /// The shard of an entry and its names.
    pub(super) fn of(&self, entry: &EntryId) -> (Shard, &ShardKeys) {
        let shard = self.count.of(&entry.namespace, &entry.key);
        (shard, self.shard(shard))
    }

    /// What the keys of entries begin with, in every shard.
    pub(super) fn entries(&self) -> impl Iterator<Item = String> {
        self.shards.iter().map(|shard| shard.named("e:"))
    }

    /// The entry that is kept under a key.
    pub(super) fn entry_of(&self, key: &str) -> Option<EntryId> {
        let (shard, rest) = self
            .shards
            .iter()
            .find_map(|shard| Some((shard, key.strip_prefix(shard.base.as_str())?.strip_prefix("e:")?)))?;
        let entry = named(rest)?;
        (self.of(&entry).1.base == shard.base).then_some(entry)
    }

    /// The inbox: a stream, and the channel of the same name.
    pub(super) fn inbox(&self) -> String {
        self.shards[0].named("inbox")
    }

    /// The channels of a shard: events, and what only hurries things up.
    pub(super) fn channels(&self, shard: Shard) -> (String, String) {
        let keys = self.shard(shard);
        (keys.named("events"), keys.named("signals"))
    }
}

impl ShardKeys {
    /// The control record: every script's first key, from which it derives the others.
    pub(super) fn ctl(&self) -> String {
        self.named("ctl")
    }

    /// The log.
    pub(super) fn log(&self) -> String {
        self.named("log")
    }

    /// What nobody ever stores.
    pub(super) fn nothing(&self) -> String {
        self.named("nothing")
    }

    /// The members.
    pub(super) fn members(&self) -> String {
        self.named("mem")
    }

    /// An entry.
    pub(super) fn entry(&self, entry: &EntryId) -> String {
        format!("{}e:{}", self.base, name(entry))
    }

    /// The lease of a key, the same for every version of its namespace.
    pub(super) fn lease(&self, namespace: &Namespace, key: &Key) -> String {
        format!("{}l:{namespace}:{key}", self.base)
    }

    /// What a caller has spent of a namespace's limit.
    pub(super) fn caller(&self, namespace: &Namespace, caller: &str) -> String {
        format!("{}r:{namespace}:{caller}", self.base)
    }

    /// A lock.
    pub(super) fn lock(&self, name: &Key) -> String {
        format!("{}lock:{name}", self.base)
    }

    /// The last fence that was given out with a lock.
    pub(super) fn fence(&self) -> String {
        self.named("fence")
    }

    /// The hottest keys of a namespace.
    pub(super) fn hot(&self, namespace: &Namespace) -> String {
        format!("{}hot:{namespace}", self.base)
    }

    /// A queue of writes.
    pub(super) fn queue(&self, partition: Partition) -> String {
        format!("{}w:{partition}", self.base)
    }

    /// Writes that will not reach their origin.
    pub(super) fn dead(&self) -> String {
        self.named("dead")
    }

    fn named(&self, name: &str) -> String {
        format!("{}{name}", self.base)
    }
}

/// What an entry's key has behind `e:`.
pub(super) fn name(EntryId { namespace, version, key }: &EntryId) -> impl Display {
    fmt::from_fn(move |to| write!(to, "{namespace}:v{version}:{key}"))
}

/// The entry of that name.
pub(super) fn named(name: &str) -> Option<EntryId> {
    let (namespace, rest) = name.split_once(":v")?;
    let (version, key) = rest.split_once(':')?;
    let (namespace, key) = (Namespace::new(namespace).ok()?, Key::new(key).ok()?);
    Some(EntryId { namespace, version: version.parse().ok()?, key })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_known_by_its_key() {
        let keys = Keyspace::new("main", ShardCount::new(3), false);
        for key in ["1", "a:b/c", ":v2:", "e:x:v1:y"] {
            let (namespace, key) = (Namespace::new("users").unwrap(), Key::new(key).unwrap());
            let entry = EntryId { namespace, version: 7, key };
            assert_eq!(keys.entry_of(&keys.of(&entry).1.entry(&entry)), Some(entry));
        }
        for other in
            ["coherd:{main}:ctl", "coherd:{main}:e:users", "coherd:{main}:e:users:vx:1", "e:users:v1:1"]
        {
            assert_eq!(keys.entry_of(other), None, "{other}");
        }
    }

    #[test]
    fn shards_after_the_first_carry_their_number() {
        let keys = Keyspace::new("main", ShardCount::new(3), false);
        assert_eq!(keys.shard(Shard(0)).ctl(), "coherd:{main}:ctl");
        assert_eq!(keys.shard(Shard(2)).log(), "coherd:{main.2}:log");
        assert_eq!(keys.inbox(), "coherd:{main}:inbox");
    }

    #[test]
    fn a_key_with_braces_does_not_leave_its_shard() {
        let keys = Keyspace::new("main", ShardCount::ONE, true);
        let entry = EntryId {
            namespace: Namespace::new("users").unwrap(),
            version: 3,
            key: Key::new("{other}:7").unwrap(),
        };
        let shard = keys.of(&entry).1;
        assert_eq!(shard.entry(&entry), "coherd:{main}:e:users:v3:{other}:7");
        assert_eq!(redis_keyslot(shard.entry(&entry).as_bytes()), shard.slot);
    }
}
