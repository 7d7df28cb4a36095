//! The envelope of an L2 entry: a loaded value as bytes, and back from bytes that nobody vouches for.
//!
//! A frame of 16 bytes around a map, together one MessagePack array of three:
//!
//! ```text
//! 93                     an array of three
//! 01                     the version
//! cf  8 bytes            XXH3-64 of the map's bytes
//! c6  4 bytes            their number, then the map
//! ```
//!
//! The map's fields are named, have defaults, and unknown ones are passed over: instances of neighbouring releases
//! read each other's entries. A change that an older reader would misread takes another version instead.

mod body;
pub(crate) mod fuzzing;
mod map;
#[cfg(test)]
mod tests;

use std::time::Duration;

use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_64;

use crate::model::{Content, Lifetime, Seq};

/// The version this release writes, and the only one it reads.
pub const VERSION: u8 = 1;

/// Bytes before the map.
const FRAME: usize = 16;
/// MessagePack: an array of three.
const ARRAY_3: u8 = 0x93;
/// MessagePack: an unsigned number of eight bytes.
const U64: u8 = 0xcf;
/// MessagePack: bytes, their number in four bytes.
const BIN_32: u8 = 0xc6;

/// A value as L2 keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// The value, or that there is none.
    pub content: Content,
    /// How long it serves, counted from when its load began. Kept to the microsecond, like all durations here.
    pub lifetime: Lifetime,
    /// When the load began, by the server's clock, in milliseconds since 1970.
    pub loaded_at_ms: u64,
    /// The age it had before the load, by the origin's `Age`.
    pub age: Duration,
    /// The `instance.id` of who loaded it.
    pub loader: String,
    /// How long the load took.
    pub load_time: Duration,
    /// The last event that the origin's replica may not have seen (`origin_lag`): once it has been applied for as long as
    /// replicas lag, the value is of no use, whatever any clock says.
    pub unseen: Option<Seq>,
}

/// Whether bodies are compressed in L2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// They are not.
    None,
    /// By zstd, where that makes them smaller.
    Zstd {
        /// zstd's level; one beyond its range is taken as the nearest.
        level: i32,
        /// Smallest body that is tried, in bytes.
        min_size: usize,
    },
}

/// Why bytes are not an envelope.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// Too short, too long, or not framed like an envelope.
    #[error("the bytes are not framed as an envelope")]
    Frame,
    /// Another release's format.
    #[error("the envelope has version {0}, this release reads {VERSION}")]
    Version(u8),
    /// Damaged on the way.
    #[error("the envelope's checksum does not match its bytes")]
    Checksum,
    /// The map does not read as one.
    #[error("the envelope's map cannot be read")]
    Map(#[source] rmp_serde::decode::Error),
    /// Bytes follow the map.
    #[error("bytes follow the envelope's map")]
    Trailing,
    /// A kind of content that this release does not know.
    #[error("the envelope holds content of the unknown kind {0}")]
    Kind(u8),
    /// A codec that this release does not know.
    #[error("the envelope's body has the unknown codec {0}")]
    Codec(u8),
    /// The body claims to be larger than is allowed; nothing was allocated for it.
    #[error("the envelope's body claims {claimed} bytes, {max} are allowed")]
    TooLarge {
        /// What it claims.
        claimed: u64,
        /// What is allowed.
        max: usize,
    },
    /// The body does not have the length that the map states.
    #[error("the envelope's body does not have the {claimed} bytes it claims")]
    Length {
        /// What the map states.
        claimed: u64,
    },
    /// The body cannot be decompressed.
    #[error("the envelope's body cannot be decompressed")]
    Zstd(#[source] std::io::Error),
}

/// The envelope's bytes.
///
/// # Panics
///
/// If they are 4 GiB or more; `max_value` keeps bodies far below.
pub fn encode(envelope: &Envelope, compression: &Compression) -> Bytes {
    let mut out = map::write(envelope, *compression, vec![0; FRAME]);
    let length = u32::try_from(out.len() - FRAME).expect("`max_value` is far below 4 GiB");
    let checksum = xxh3_64(&out[FRAME..]);
    out[0] = ARRAY_3;
    out[1] = VERSION;
    out[2] = U64;
    out[3..11].copy_from_slice(&checksum.to_be_bytes());
    out[11] = BIN_32;
    out[12..FRAME].copy_from_slice(&length.to_be_bytes());
    out.into()
}

/// Reads an envelope whose body has at most `raw_max` bytes once decompressed. It keeps nothing of the memory of `bytes`;
/// what is allocated is bounded by `raw_max` and the length of `bytes`.
pub fn decode(bytes: &Bytes, raw_max: usize) -> Result<Envelope, WireError> {
    let (frame, inner) = bytes.split_first_chunk::<FRAME>().ok_or(WireError::Frame)?;
    let [ARRAY_3, version, marker, c0, c1, c2, c3, c4, c5, c6, c7, bin, l0, l1, l2, l3] = *frame else {
        return Err(WireError::Frame);
    };
    if version != VERSION {
        return Err(WireError::Version(version));
    }
    let length = u32::from_be_bytes([l0, l1, l2, l3]);
    if marker != U64 || bin != BIN_32 || usize::try_from(length) != Ok(inner.len()) {
        return Err(WireError::Frame);
    }
    if u64::from_be_bytes([c0, c1, c2, c3, c4, c5, c6, c7]) != xxh3_64(inner) {
        return Err(WireError::Checksum);
    }
    map::read(inner, raw_max)
}
