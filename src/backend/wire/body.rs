//! Bodies and their codecs.

use std::borrow::Cow;
use std::cell::RefCell;
use std::io;

use bytes::Bytes;
use zstd::bulk::{Compressor, Decompressor};
use zstd::zstd_safe::get_frame_content_size;

use super::{Compression, WireError};

const PLAIN: u8 = 0;
const ZSTD: u8 = 1;

thread_local! {
    /// zstd's working memory: making it takes ten times as long as a small body does. At most a few MiB a thread.
    static PACKER: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
    static UNPACKER: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

/// The codec taken and the body under it: compressed only where that makes it smaller.
pub(super) fn pack(raw: &[u8], compression: Compression) -> (u8, Cow<'_, [u8]>) {
    if let Compression::Zstd { level, min_size } = compression
        && min_size <= raw.len()
        // It fails only for want of memory: then the body goes as it is.
        && let Ok(packed) = compress(raw, level)
        && packed.len() < raw.len()
    {
        return (ZSTD, Cow::Owned(packed));
    }
    (PLAIN, Cow::Borrowed(raw))
}

/// The body from `packed`, in memory of its own: what was read from a connection lies among the other answers that came
/// with it, and a copy that is kept would keep them all.
pub(super) fn unpack(packed: &[u8], codec: u8, claimed: u64, raw_max: usize) -> Result<Bytes, WireError> {
    let length = match usize::try_from(claimed) {
        Ok(length) if length <= raw_max => length,
        _ => return Err(WireError::TooLarge { claimed, max: raw_max }),
    };
    match codec {
        PLAIN if packed.len() == length => Ok(Bytes::copy_from_slice(packed)),
        PLAIN => Err(WireError::Length { claimed }),
        // zstd's own header must agree, before memory is taken for it.
        ZSTD if !matches!(get_frame_content_size(packed), Ok(Some(size)) if size == claimed) => {
            Err(WireError::Length { claimed })
        }
        ZSTD => {
            let raw = decompress(packed, length).map_err(WireError::Zstd)?;
            if raw.len() == length { Ok(raw.into()) } else { Err(WireError::Length { claimed }) }
        }
        other => Err(WireError::Codec(other)),
    }
}

fn compress(raw: &[u8], level: i32) -> io::Result<Vec<u8>> {
    PACKER.with_borrow_mut(|kept| {
        let packer = match kept {
            Some(packer) => packer,
            None => kept.insert(Compressor::default()),
        };
        packer.set_compression_level(level)?;
        packer.compress(raw)
    })
}

/// The body of a frame that says how long it is.
fn decompress(packed: &[u8], length: usize) -> io::Result<Vec<u8>> {
    UNPACKER.with_borrow_mut(|kept| {
        let unpacker = match kept {
            Some(unpacker) => unpacker,
            None => kept.insert(Decompressor::new()?),
        };
        unpacker.decompress(packed, length)
    })
}
