//! What holds for every envelope and for every string of bytes.

use std::time::Duration;

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use serde::Serialize;
use xxhash_rust::xxh3::xxh3_64;

use super::{Compression, Envelope, FRAME, VERSION, WireError, decode, encode};
use crate::model::{Content, Lifetime, Value};

const MAX: usize = 1 << 20;
const ZSTD: Compression = Compression::Zstd { level: 3, min_size: 64 };

fn envelope(body: &[u8]) -> Envelope {
    Envelope {
        content: Content::Present(Value {
            body: Bytes::copy_from_slice(body),
            content_type: Some("text/plain".into()),
            etag: Some("\"1\"".into()),
            last_modified: Some("Fri, 21 Nov 2025 09:00:00 GMT".into()),
        }),
        lifetime: Lifetime {
            fresh: Duration::from_mins(1),
            stale_while_revalidate: Duration::from_secs(30),
            stale_if_error: Duration::from_hours(1),
        },
        loaded_at_ms: 1_763_715_600_000,
        age: Duration::from_millis(1500),
        loader: "a".to_owned(),
        load_time: Duration::from_micros(12_345),
        unseen: None,
    }
}

/// A frame that is right around `map`, whatever that is.
fn framed(map: &[u8]) -> Bytes {
    let mut out = vec![0x93, VERSION, 0xcf];
    out.extend(xxh3_64(map).to_be_bytes());
    out.push(0xc6);
    out.extend(u32::try_from(map.len()).unwrap().to_be_bytes());
    out.extend(map);
    out.into()
}

fn durations() -> impl Strategy<Value = Duration> {
    any::<u64>().prop_map(Duration::from_micros)
}

fn texts() -> impl Strategy<Value = Option<std::sync::Arc<str>>> {
    proptest::option::of(".{0,40}".prop_map(Into::into))
}

fn bodies() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        vec(any::<u8>(), 0..2000),
        (any::<u8>(), 0..100_000_usize).prop_map(|(byte, length)| vec![byte; length]),
    ]
}

fn envelopes() -> impl Strategy<Value = Envelope> {
    let value =
        (bodies(), texts(), texts(), texts()).prop_map(|(body, content_type, etag, last_modified)| {
            Content::Present(Value { body: body.into(), content_type, etag, last_modified })
        });
    let content = prop_oneof![4 => value, 1 => Just(Content::Absent)];
    let times = (durations(), durations(), durations(), durations(), durations());
    let rest = (any::<u64>(), ".{0,20}", any::<Option<u64>>());
    (content, times, rest).prop_map(|(content, times, (loaded_at_ms, loader, unseen))| Envelope {
        content,
        lifetime: Lifetime { fresh: times.0, stale_while_revalidate: times.1, stale_if_error: times.2 },
        loaded_at_ms,
        age: times.3,
        loader,
        load_time: times.4,
        unseen,
    })
}

fn compressions() -> impl Strategy<Value = Compression> {
    let zstd = (-5..6, 0..4096_usize).prop_map(|(level, min_size)| Compression::Zstd { level, min_size });
    prop_oneof![Just(Compression::None), zstd]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_read(envelope in envelopes(), compression in compressions()) {
        let bytes = encode(&envelope, &compression);
        prop_assert_eq!(decode(&bytes, MAX).unwrap(), envelope);
    }

    #[test]
    fn arbitrary_bytes_are_refused(bytes in vec(any::<u8>(), 0..200)) {
        prop_assert!(decode(&bytes.into(), MAX).is_err());
    }

    #[test]
    fn arbitrary_maps_in_a_right_frame_never_panic(map in vec(any::<u8>(), 0..200)) {
        if let Ok(Envelope { content: Content::Present(value), .. }) = decode(&framed(&map), 100) {
            prop_assert!(value.body.len() <= 100);
        }
    }

    #[test]
    fn a_damaged_map_in_a_right_frame_never_panics_nor_exceeds_the_cap(
        envelope in envelopes(), compression in compressions(), at in any::<prop::sample::Index>(), byte in any::<u8>(),
    ) {
        let mut map = encode(&envelope, &compression)[FRAME..].to_vec();
        let at = at.index(map.len());
        map[at] = byte;
        if let Ok(Envelope { content: Content::Present(value), .. }) = decode(&framed(&map), 1000) {
            prop_assert!(value.body.len() <= 1000);
        }
        // and what is read after it is none the worse
        prop_assert_eq!(decode(&encode(&envelope, &compression), MAX).unwrap(), envelope);
    }

    #[test]
    fn a_changed_byte_is_refused(
        envelope in envelopes(), compression in compressions(), at in any::<prop::sample::Index>(), byte in any::<u8>(),
    ) {
        let bytes = encode(&envelope, &compression);
        let mut changed = bytes.to_vec();
        let at = at.index(changed.len());
        changed[at] = byte;
        if byte == bytes[at] {
            prop_assert_eq!(decode(&changed.into(), MAX).unwrap(), envelope);
        } else {
            prop_assert!(decode(&changed.into(), MAX).is_err());
        }
    }

    #[test]
    fn a_shortened_or_lengthened_envelope_is_refused(envelope in envelopes(), cut in any::<prop::sample::Index>()) {
        let bytes = encode(&envelope, &ZSTD);
        prop_assert!(decode(&bytes.slice(..cut.index(bytes.len())), MAX).is_err());
        let longer: Bytes = [&bytes[..], b"x"].concat().into();
        prop_assert!(decode(&longer, MAX).is_err());
    }
}

#[test]
fn fixtures_of_version_1_are_read() {
    let plain = include_bytes!("../../../tests/fixtures/wire/v1-plain.bin");
    let zstd = include_bytes!("../../../tests/fixtures/wire/v1-zstd.bin");
    let absent = include_bytes!("../../../tests/fixtures/wire/v1-absent.bin");
    let read = |bytes: &'static [u8]| decode(&Bytes::from_static(bytes), MAX).unwrap();
    assert_eq!(read(plain), envelope(b"hello"));
    assert_eq!(read(zstd), envelope(&b"hello ".repeat(100)));
    assert_eq!(read(absent), Envelope { content: Content::Absent, ..envelope(b"") });
}

#[test]
fn a_plain_body_keeps_nothing_of_what_it_was_read_with() {
    let bytes = encode(&envelope(b"hello"), &ZSTD);
    let Content::Present(value) = decode(&bytes, MAX).unwrap().content else { panic!("absent") };
    assert_eq!(value.body.try_into_mut().map(|body| body.capacity()), Ok(5));
}

#[test]
fn a_body_is_compressed_from_min_size_on_and_only_where_it_gets_smaller() {
    let length = |body: &[u8], compression| encode(&envelope(body), &compression).len();
    let even = [7; 64];
    assert!(length(&even, ZSTD) < length(&even, Compression::None));
    assert_eq!(length(&even[..63], ZSTD), length(&even[..63], Compression::None));
    let uneven: Vec<u8> = (0..=255).collect();
    assert_eq!(length(&uneven, ZSTD), length(&uneven, Compression::None));
}

#[test]
fn a_body_over_the_cap_is_refused() {
    for compression in [ZSTD, Compression::None] {
        let bytes = encode(&envelope(&[0; 1000]), &compression);
        assert!(decode(&bytes, 1000).is_ok());
        assert!(matches!(decode(&bytes, 999), Err(WireError::TooLarge { claimed: 1000, max: 999 })));
    }
}

#[test]
fn another_version_has_an_error_of_its_own() {
    let mut bytes = encode(&envelope(b"hello"), &Compression::None).to_vec();
    bytes[1] = 2;
    assert!(matches!(decode(&bytes.into(), MAX), Err(WireError::Version(2))));
}

#[derive(Default, Serialize)]
struct Foreign<'a> {
    k: u8,
    c: u8,
    r: u64,
    b: &'a serde_bytes::Bytes,
    zz: (u8, Vec<String>),
}

fn foreign(foreign: &Foreign<'_>) -> Result<Envelope, WireError> {
    decode(&framed(&rmp_serde::to_vec_named(foreign).unwrap()), MAX)
}

#[test]
fn unknown_fields_are_passed_over_and_missing_ones_have_defaults() {
    let newer = Foreign {
        r: 2,
        b: serde_bytes::Bytes::new(b"hi"),
        zz: (1, vec!["x".to_owned()]),
        ..Foreign::default()
    };
    let read = foreign(&newer).unwrap();
    assert_eq!(read.content, Content::Present(Value { body: "hi".into(), ..Value::default() }));
    assert_eq!(read.lifetime, Lifetime::default());
}

#[test]
fn what_the_map_claims_must_hold() {
    let zeros = zstd::bulk::compress(&[0; 500], 3).unwrap();
    let case = |k, c, r, b: &[u8]| {
        foreign(&Foreign { k, c, r, b: serde_bytes::Bytes::new(b), ..Foreign::default() })
    };
    assert!(case(0, 1, 500, &zeros).is_ok());
    assert!(matches!(case(0, 1, 501, &zeros), Err(WireError::Length { claimed: 501 })));
    assert!(matches!(case(0, 1, 499, &zeros), Err(WireError::Length { claimed: 499 })));
    assert!(matches!(case(0, 1, u64::MAX, &zeros), Err(WireError::TooLarge { .. })));
    assert!(matches!(case(0, 1, 500, &zeros[..zeros.len() - 1]), Err(WireError::Zstd(_))));
    assert!(matches!(case(0, 0, 3, b"hi"), Err(WireError::Length { claimed: 3 })));
    assert!(matches!(case(0, 9, 2, b"hi"), Err(WireError::Codec(9))));
    assert!(matches!(case(7, 0, 2, b"hi"), Err(WireError::Kind(7))));
}

#[test]
fn maps_that_are_no_maps_are_refused() {
    let good = encode(&envelope(b"hello"), &Compression::None)[FRAME..].to_vec();
    assert!(matches!(decode(&framed(&[&good[..], &[0xc0]].concat()), MAX), Err(WireError::Trailing)));
    assert!(matches!(decode(&framed(&[&good[..], &[0x91]].concat()), MAX), Err(WireError::Trailing)));
    // {"b": [1, 2]}: a body as an array of numbers would have to be copied
    assert!(matches!(decode(&framed(b"\x81\xa1b\x92\x01\x02"), MAX), Err(WireError::Map(_))));
    // {"z": [[[[…]]]]}
    let bomb = [&b"\x81\xa1z"[..], &[0x91; 10_000], &[0xc0]].concat();
    assert!(matches!(decode(&framed(&bomb), MAX), Err(WireError::Map(_))));
    // lengths of 4 GiB that are not there
    for claim in [0xdd, 0xdf, 0xc6, 0xdb] {
        let bytes = [&b"\x81\xa1z"[..], &[claim, 0xff, 0xff, 0xff, 0xff]].concat();
        assert!(matches!(decode(&framed(&bytes), MAX), Err(WireError::Map(_))), "{claim:x}");
    }
}
