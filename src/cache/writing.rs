//! What becomes of a written value: an entry of L2 on its way, and a copy of this instance's own.

use std::sync::Arc;
use std::time::Duration;

use super::answer::{Entry, PutError};
use super::copy::{Copy, LoadTime};
use super::loader::Loader;
use super::reader::Reader;
use super::space::Space;
use crate::backend::wire::{self, Envelope};
use crate::backend::{EntryId, LoadId, Put, Token};
use crate::clock::Boot;
use crate::coherence::core::Slots;
use crate::model::{Content, Key, Lifetime, Name, Stated, Tag, Value, covering};

/// A written value, ready to be stored.
#[derive(Clone, Debug)]
pub struct Draft {
    /// Where it goes.
    pub entry: EntryId,
    /// The write.
    pub load: LoadId,
    /// What L2 stores.
    pub put: Put,
    content: Arc<Entry>,
    names: Vec<Name>,
    born: Boot,
}

impl Space {
    /// Whether the value is not over `max_value`.
    pub(super) fn fits(&self, value: &Value) -> Result<(), PutError> {
        let size = value.body.len();
        if self.settings.max_value < size { Err(PutError::TooLarge(size)) } else { Ok(()) }
    }
}

impl Reader {
    /// Of a value, or of its absence. `stated` are its own times, `tags` its own tags; `load` tells the write from all
    /// others, where it does not have a name yet.
    pub(super) fn draft(
        &self,
        space: &Space,
        key: &Key,
        content: Content,
        stated: Stated,
        tags: &[Tag],
        load: Option<LoadId>,
    ) -> Draft {
        let settings = &space.settings;
        let lifetime = match content {
            Content::Present(_) => stated.or(space.jittered(settings.lifetime)),
            Content::Absent => Lifetime { fresh: settings.negative_ttl, ..Lifetime::default() },
        };
        let (born, names) = (self.now(), space.names(key, tags));
        let envelope = Envelope {
            content,
            lifetime,
            loaded_at_ms: self.coherence.server_ms(born),
            age: Duration::ZERO,
            loader: self.instance.clone(),
            load_time: Duration::ZERO,
            unseen: None,
        };
        let put = Put {
            names: names.clone(),
            envelope: wire::encode(&envelope, &settings.compression),
            fresh: lifetime.fresh,
            kept: lifetime.kept(),
        };
        let content = Arc::new(Entry::new(space.texts.content(envelope.content), lifetime));
        Draft {
            entry: space.entry(key),
            load: load.unwrap_or_else(|| self.load_id()),
            put,
            content,
            names,
            born,
        }
    }

    /// Keeps what was stored under that token in L1, too.
    pub(super) fn keep_written(&self, space: &Space, key: &Key, draft: Draft, token: &Token) {
        let own = covering(space.name(), key);
        let copy = Copy {
            entry: draft.content,
            stamp: self.coherence.stamp(self.coherence.shard_of(space.name(), key), token),
            slots: Slots::of(own.iter().chain(&draft.names)),
            names: draft.names.into(),
            load: Loader::new(&draft.load, &space.texts),
            load_time: LoadTime::default(),
            born: draft.born,
            dirty: false,
            unseen: None,
        };
        space.l1.put(key.shared(), Arc::new(copy));
    }
}
