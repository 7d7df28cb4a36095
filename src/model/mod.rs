//! The words of the domain: keys, tags, names, events, ids, entries. No I/O, no clock.

mod cache_control;
mod entry;
mod event;
mod id;
mod name;
mod quota;
pub mod tags;
mod text;
mod trace;

pub use cache_control::{CacheControl, delta_seconds};
pub use entry::{Content, Keep, Lifetime, Loaded, Stated, Value, etag_of};
pub use event::{Event, Hardness, Provenance, Target};
pub use id::{LineageId, LogId, LogIdError, Nonce, Seq, Shard, ShardCount};
pub use name::{Name, boundaries, covering, widen};
pub use quota::{CallerId, Quota, Verdict};
pub use text::{
    Invalid, KEY_BYTES_MAX, Key, Namespace, PREFIX_BYTES_MAX, Prefix, TAG_BYTES_MAX, TAGS_MAX, Tag,
};
pub use trace::{SpanId, TraceId, TraceParent};
