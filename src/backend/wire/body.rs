//! Bodies and their codecs.

use std::borrow::Cow;

use bytes::Bytes;
use zstd::zstd_safe::get_frame_content_size;

use super::{Compression, WireError};

const PLAIN: u8 = 0;
const ZSTD: u8 = 1;

/// The codec taken and the body under it: compressed only where that makes it smaller.
pub(super) fn pack(raw: &[u8], compression: Compression) -> (u8, Cow<'_, [u8]>) {
    if let Compression::Zstd { level, min_size } = compression
        && min_size <= raw.len()
        // It fails only for want of memory: then the body goes as it is.
        && let Ok(packed) = zstd::bulk::compress(raw, level)
        && packed.len() < raw.len()
    {
        return (ZSTD, Cow::Owned(packed));
    }
    (PLAIN, Cow::Borrowed(raw))
}

/// The body from `packed`, which lies within `bytes`.
pub(super) fn unpack(
    bytes: &Bytes,
    packed: &[u8],
    codec: u8,
    claimed: u64,
    raw_max: usize,
) -> Result<Bytes, WireError> {
    let length = match usize::try_from(claimed) {
        Ok(length) if length <= raw_max => length,
        _ => return Err(WireError::TooLarge { claimed, max: raw_max }),
    };
    match codec {
        PLAIN if packed.len() == length => Ok(bytes.slice_ref(packed)),
        PLAIN => Err(WireError::Length { claimed }),
        // zstd's own header must agree, before memory is taken for it.
        ZSTD if !matches!(get_frame_content_size(packed), Ok(Some(size)) if size == claimed) => {
            Err(WireError::Length { claimed })
        }
        ZSTD => {
            let raw = zstd::bulk::decompress(packed, length).map_err(WireError::Zstd)?;
            if raw.len() == length { Ok(raw.into()) } else { Err(WireError::Length { claimed }) }
        }
        other => Err(WireError::Codec(other)),
    }
}
