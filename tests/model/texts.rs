//! What the function takes for a key, prefix, tag or namespace, against what the model's own types take.

use coherd::model::{Key, Namespace, Prefix, Tag};
use proptest::prelude::*;

use super::real::Real;
use crate::harness::resp::Reply;

/// Bytes near every limit: of UTF-8, of the alphabets, of the lengths.
pub(crate) fn text() -> impl Strategy<Value = Vec<u8>> {
    let edge = prop::sample::select(vec![
        0x00_u8, 0x1F, 0x20, 0x21, 0x2C, 0x2D, 0x2F, 0x30, 0x3A, 0x41, 0x5F, 0x61, 0x7A, 0x7E, 0x7F, 0x80,
        0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xC1, 0xC2, 0xDF, 0xE0, 0xED, 0xEF, 0xF0, 0xF4, 0xF5, 0xFF,
    ]);
    prop_oneof![
        4 => prop::collection::vec(edge, 0..5),
        2 => prop::collection::vec(any::<u8>(), 0..5),
        2 => any::<String>().prop_map(String::into_bytes),
        1 => prop::sample::select(vec![64_usize, 65, 256, 257, 512, 513]).prop_map(|length| vec![b'k'; length]),
    ]
}

/// Whether each kind of text is taken exactly where the model takes it.
pub(crate) async fn compare(real: &mut Real, text: &[u8]) -> Result<(), TestCaseError> {
    let utf8 = std::str::from_utf8(text).ok();
    let of = |field: &str| match field {
        "key" => Key::from_bytes(text).is_ok(),
        "prefix" => utf8.is_some_and(|text| Prefix::new(text).is_ok()),
        "tag" => utf8.is_some_and(|text| Tag::new(text).is_ok()),
        _ => utf8.is_some_and(|text| Namespace::new(text).is_ok()),
    };
    for field in ["key", "prefix", "tag", "ns"] {
        let call = [b"FCALL", b"coherd_invalidate".as_slice(), b"1", b"coherd:{main}:ctl", b"ns", b"u"];
        let call = call.into_iter().chain([field.as_bytes(), text, b"all", b"1"]).collect::<Vec<_>>();
        let taken = !matches!(real.command(&call).await, Reply::Error(_));
        prop_assert_eq!(taken, of(field), "{} {:?}", field, text.escape_ascii().to_string());
    }
    Ok(())
}
