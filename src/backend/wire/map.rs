//! The map inside the frame: one-letter names, each with a default.

use std::time::Duration;

use rmp_serde::decode::Error as MapError;
use serde::{Deserialize, Serialize};
use serde_bytes::Bytes;

use super::{Compression, Envelope, WireError, body};
use crate::model::{Content, Lifetime, Value};

/// Deepest nesting that is looked into; the format itself needs one level, unknown fields may have more.
const DEPTH_MAX: usize = 16;

const PRESENT: u8 = 0;
const ABSENT: u8 = 1;

/// The fields; durations in microseconds. A letter is never given another meaning.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Map<'a> {
    /// What it is: [`PRESENT`] or [`ABSENT`].
    k: u8,
    /// The body, as its codec left it.
    #[serde(borrow)]
    b: &'a Bytes,
    /// The body's codec.
    c: u8,
    /// The body's length before its codec.
    r: u64,
    /// `Content-Type`.
    #[serde(skip_serializing_if = "Option::is_none")]
    y: Option<&'a str>,
    /// `ETag`.
    #[serde(skip_serializing_if = "Option::is_none")]
    e: Option<&'a str>,
    /// `Last-Modified`.
    #[serde(skip_serializing_if = "Option::is_none")]
    m: Option<&'a str>,
    /// Fresh for.
    f: u64,
    /// `stale-while-revalidate`.
    w: u64,
    /// `stale-if-error`.
    i: u64,
    /// When the load began, milliseconds since 1970.
    t: u64,
    /// Age before the load.
    a: u64,
    /// Who loaded.
    n: &'a str,
    /// How long the load took.
    d: u64,
    /// The event that may be unseen.
    #[serde(skip_serializing_if = "Option::is_none")]
    u: Option<u64>,
}

/// Appends the map to `out`.
pub(super) fn write(envelope: &Envelope, compression: Compression, mut out: Vec<u8>) -> Vec<u8> {
    let absent = Value::default();
    let (kind, value) = match &envelope.content {
        Content::Present(value) => (PRESENT, value),
        Content::Absent => (ABSENT, &absent),
    };
    let (codec, packed) = body::pack(&value.body, compression);
    let map = Map {
        k: kind,
        c: codec,
        r: value.body.len() as u64,
        y: value.content_type.as_deref(),
        e: value.etag.as_deref(),
        m: value.last_modified.as_deref(),
        f: micros(envelope.lifetime.fresh),
        w: micros(envelope.lifetime.stale_while_revalidate),
        i: micros(envelope.lifetime.stale_if_error),
        t: envelope.loaded_at_ms,
        a: micros(envelope.age),
        n: &envelope.loader,
        d: micros(envelope.load_time),
        u: envelope.unseen,
        b: Bytes::new(&packed),
    };
    out.reserve(packed.len() + 256);
    rmp_serde::encode::write_named(&mut out, &map)
        .expect("a vector takes every write, the map has no odd types");
    out
}

/// Reads the map.
pub(super) fn read(inner: &[u8], raw_max: usize) -> Result<Envelope, WireError> {
    let mut reader = rmp_serde::Deserializer::from_read_ref(inner);
    reader.set_max_depth(DEPTH_MAX);
    let map = Map::deserialize(&mut reader).map_err(WireError::Map)?;
    // The reader does not say where it stands, but at the end there is no further marker to read.
    if !matches!(<()>::deserialize(&mut reader), Err(MapError::InvalidMarkerRead(_))) {
        return Err(WireError::Trailing);
    }
    let content = match map.k {
        ABSENT => Content::Absent,
        PRESENT => Content::Present(Value {
            body: body::unpack(map.b, map.c, map.r, raw_max)?,
            content_type: map.y.map(Into::into),
            etag: map.e.map(Into::into),
            last_modified: map.m.map(Into::into),
        }),
        other => return Err(WireError::Kind(other)),
    };
    Ok(Envelope {
        content,
        lifetime: Lifetime {
            fresh: Duration::from_micros(map.f),
            stale_while_revalidate: Duration::from_micros(map.w),
            stale_if_error: Duration::from_micros(map.i),
        },
        loaded_at_ms: map.t,
        age: Duration::from_micros(map.a),
        loader: map.n.to_owned(),
        load_time: Duration::from_micros(map.d),
        unseen: map.u,
    })
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
