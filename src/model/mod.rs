//! The words of the domain: keys, tags, names, events, ids, entries. No I/O, no clock.

mod entry;
mod event;
mod id;
mod name;
mod text;

pub use entry::{Content, Lifetime, Loaded, Value};
pub use event::{Event, Hardness, Provenance, Target};
pub use id::{LineageId, LogId, LogIdError, Nonce, Seq, Shard, ShardCount};
pub use name::{Name, boundaries, covering, widen};
pub use text::{Invalid, Key, Namespace, PREFIX_BYTES_MAX, Prefix, TAGS_MAX, Tag};
