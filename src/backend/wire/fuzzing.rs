//! Envelopes from anywhere: see [`crate::fuzzing`].

use bytes::Bytes;

use super::{ARRAY_3, BIN_32, Compression, FRAME, U64, VERSION, decode, encode, xxh3_64};

/// Largest body that is taken.
const RAW_MAX: usize = 64 * 1024;

/// The bytes as an entry, and as the map within a good frame, which no fuzzer guesses the checksum of.
pub(crate) fn envelope(bytes: &[u8]) {
    read(&Bytes::copy_from_slice(bytes));
    let mut framed = vec![0; FRAME];
    framed.extend_from_slice(bytes);
    framed[0] = ARRAY_3;
    framed[1] = VERSION;
    framed[2] = U64;
    framed[3..11].copy_from_slice(&xxh3_64(bytes).to_be_bytes());
    framed[11] = BIN_32;
    let length = u32::try_from(bytes.len()).expect("no fuzzer makes 4 GiB");
    framed[12..FRAME].copy_from_slice(&length.to_be_bytes());
    read(&framed.into());
}

fn read(bytes: &Bytes) {
    let Ok(envelope) = decode(bytes, RAW_MAX) else { return };
    for compression in [Compression::None, Compression::Zstd { level: 1, min_size: 0 }] {
        let again = decode(&encode(&envelope, &compression), RAW_MAX);
        assert_eq!(again.expect("what was read can be written and read"), envelope);
    }
}
