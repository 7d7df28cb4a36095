//! Tables for every fault, and properties: no decoder panics, what goes out comes in again.

use proptest::prelude::*;

use super::render::forms;
use super::*;
use crate::coherence::Path;
use crate::model::{Hardness, Key, LogId, Namespace, Prefix, Provenance, Tag, Target, TraceParent};

fn ns(text: &str) -> Namespace {
    Namespace::new(text).unwrap()
}

fn example() -> Event {
    Event {
        targets: vec![
            Target::Key(ns("users"), Key::new("1").unwrap()),
            Target::Key(ns("users"), Key::new("2").unwrap()),
            Target::Prefix(ns("users"), Prefix::new("eu/").unwrap()),
            Target::Tag(Tag::new("team:7").unwrap()),
        ],
        hardness: Hardness::Soft,
        provenance: Provenance {
            source: "billing".into(),
            reason: "plan changed".into(),
            trace: TraceParent::parse(TRACE.as_bytes()),
        },
        request_id: Some("r1".into()),
    }
}

const EXAMPLE: &str = r#"{"namespace":"users","keys":["1","2"],"prefixes":["eu/"],"all":false,"tags":["team:7"],
    "soft":true,"source":"billing","reason":"plan changed","request_id":"r1",
    "traceparent":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}"#;

const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn msgpack(json: &str) -> Vec<u8> {
    rmp_serde::to_vec(&serde_json::from_str::<serde_json::Value>(json).unwrap()).unwrap()
}

fn fields(line: &str) -> Result<Event, FormError> {
    let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
    from_fields(words.chunks(2).map(|pair| (pair[0], pair[1])))
}

#[test]
fn the_three_forms_say_the_same() {
    assert_eq!(from_json(EXAMPLE.as_bytes()), Ok(example()));
    assert_eq!(from_msgpack(&msgpack(EXAMPLE)), Ok(example()));
    assert_eq!(from_message(EXAMPLE.as_bytes()), Ok(example()));
    assert_eq!(from_message(&msgpack(EXAMPLE)), Ok(example()));
    let line = "ns users key 1 key 2 prefix eu/ tag team:7 soft 1 src billing why plan_changed request_id r1 traceparent";
    let line = format!("{line} {TRACE}");
    let mut expected = example();
    expected.provenance.reason = "plan_changed".into();
    assert_eq!(fields(&line), Ok(expected));
    let odd = fields("tag t traceparent 00-x").unwrap();
    assert_eq!(odd.provenance.trace, None, "what is malformed is no reason to lose an event");
    assert_eq!(from_fields([(b"event".as_slice(), EXAMPLE.as_bytes())]), Ok(example()));
}

#[test]
fn all_is_the_namespace_or_without_one_the_cluster() {
    let targets = |json: &str| from_json(json.as_bytes()).unwrap().targets;
    assert_eq!(targets(r#"{"namespace":"users","all":true}"#), [Target::Namespace(ns("users"))]);
    assert_eq!(targets(r#"{"all":true,"namespace":null,"keys":null}"#), [Target::All]);
    assert_eq!(fields("all 1").unwrap().targets, [Target::All]);
    assert_eq!(fields("ns users all 1").unwrap().targets, [Target::Namespace(ns("users"))]);
}

#[test]
fn every_fault_has_its_reason() {
    let over = format!(r#"{{"namespace":"n","keys":[{}]}}"#, vec![r#""k""#; 1001].join(","));
    let spread = format!(r#"{{"namespace":"n","keys":[{0}],"tags":[{0}]}}"#, vec![r#""k""#; 501].join(","));
    let long_key = format!(r#"{{"namespace":"n","keys":["{}"]}}"#, "k".repeat(513));
    let long_id = format!(r#"{{"all":true,"request_id":"{}"}}"#, "r".repeat(257));
    let table = [
        ("", "malformed"),
        ("[]", "malformed"),
        ("{", "malformed"),
        (r#"{"all":true} x"#, "malformed"),
        (r#"{"all":"yes"}"#, "malformed"),
        (r#"{"all":true,"all":true}"#, "malformed"),
        (r#"{"tags":"a"}"#, "malformed"),
        (r#"{"tags":[1]}"#, "malformed"),
        (r#"{"tags":["a"],"key":"b"}"#, "unknown_field"),
        ("{}", "no_target"),
        (r#"{"namespace":"users"}"#, "no_target"),
        (r#"{"all":false}"#, "no_target"),
        (&over, "too_many_targets"),
        (&spread, "too_many_targets"),
        (r#"{"keys":["1"]}"#, "bad_namespace"),
        (r#"{"prefixes":["1"]}"#, "bad_namespace"),
        (r#"{"namespace":"Users","all":true}"#, "bad_namespace"),
        (r#"{"namespace":"","all":true}"#, "bad_namespace"),
        (r#"{"namespace":"n","keys":[""]}"#, "bad_key"),
        (&long_key, "bad_key"),
        (r#"{"namespace":"n","prefixes":[""]}"#, "bad_prefix"),
        (r#"{"tags":["a b"]}"#, "bad_tag"),
        (r#"{"tags":["ä"]}"#, "bad_tag"),
        (r#"{"all":true,"request_id":""}"#, "bad_request_id"),
        (&long_id, "bad_request_id"),
    ];
    for (json, reason) in table {
        let error = from_json(json.as_bytes()).expect_err(json);
        assert_eq!(error.reason(), reason, "{json}: {error}");
        assert!(FormError::REASONS.contains(&error.reason()));
        if serde_json::from_str::<serde_json::Value>(json).is_ok() && !json.contains(r#""all":true,"all""#) {
            assert_eq!(
                from_msgpack(&msgpack(json)).expect_err(json).reason(),
                reason,
                "as MessagePack: {json}"
            );
        }
    }
    let large = vec![b' '; EVENT_BYTES_MAX + 1];
    assert_eq!(from_json(&large), Err(FormError::TooLarge(EVENT_BYTES_MAX + 1)));
    assert_eq!(from_msgpack(&large).unwrap_err().reason(), "too_large");
    assert_eq!(from_fields([(b"tag".as_slice(), large.as_slice())]).unwrap_err().reason(), "too_large");
}

#[test]
fn faults_of_fields_have_their_reason() {
    for (line, reason) in [
        ("ns users", "no_target"),
        ("key 1", "bad_namespace"),
        ("ns a ns b all 1", "malformed"),
        ("all yes", "malformed"),
        ("event {} key 1", "malformed"),
        ("event {}", "no_target"),
        ("ns users keys 1", "unknown_field"),
    ] {
        assert_eq!(fields(line).unwrap_err().reason(), reason, "{line}");
    }
    assert_eq!(from_fields([]), Err(FormError::NoTarget));
    let not_utf8 = from_fields([(b"ns".as_slice(), b"n".as_slice()), (b"key", &[0xFF])]);
    assert_eq!(not_utf8.unwrap_err().reason(), "bad_key");
}

#[test]
fn a_key_that_is_not_utf8_is_a_bad_key_in_every_form() {
    assert_eq!(from_json(b"{\"namespace\":\"n\",\"keys\":[\"\xFF\"]}").unwrap_err().reason(), "bad_key");
    let packed = b"\x82\xa9namespace\xa1n\xa4keys\x91\xa1\xff";
    assert_eq!(from_msgpack(packed).unwrap_err().reason(), "bad_key");
}

#[test]
fn what_is_quoted_in_a_message_is_short() {
    let long = "x".repeat(100_000);
    for json in
        [format!(r#"{{"all":"{long}"}}"#), format!(r#"{{"{long}":1}}"#), format!(r#"{{"tags":["{long}"]}}"#)]
    {
        let message = from_json(json.as_bytes()).unwrap_err().to_string();
        assert!(message.len() < 400, "{}", message.len());
    }
}

#[test]
fn a_long_remark_is_cut_and_the_event_stands() {
    let json = format!(r#"{{"all":true,"reason":"{}"}}"#, "ä".repeat(200));
    let reason = from_json(json.as_bytes()).unwrap().provenance.reason;
    assert_eq!(reason, "ä".repeat(128));
    let odd = format!(r#"{{"all":true,"reason":"x{}"}}"#, "ä".repeat(200));
    assert!(from_json(odd.as_bytes()).unwrap().provenance.reason.len() <= Event::TEXT_BYTES_MAX);
}

#[test]
fn claimed_lengths_and_depths_cost_nothing() {
    let claims: [&[u8]; 4] = [
        b"\x81\xa4keys\xdd\xff\xff\xff\xff",
        b"\xdf\xff\xff\xff\xff",
        b"\x81\xa6source\xdb\xff\xff\xff\xff",
        b"\x81\xa3all\xc6\xff\xff\xff\xff",
    ];
    for bytes in claims {
        assert_eq!(from_msgpack(bytes).unwrap_err().reason(), "malformed");
    }
    let deep = [b"\x81\xa1x".as_slice(), &vec![0x91; 100_000]].concat();
    assert_eq!(from_msgpack(&deep).unwrap_err().reason(), "malformed");
    let deep = format!(r#"{{"x":{}"#, "[".repeat(100_000));
    assert_eq!(from_json(deep.as_bytes()).unwrap_err().reason(), "malformed");
    let trailing = [msgpack(EXAMPLE), vec![0]].concat();
    assert_eq!(from_msgpack(&trailing).unwrap_err().reason(), "malformed");
}

#[test]
fn an_applied_event_is_printed_with_id_time_and_path() {
    let lines = render(&LogId::single(7), 1_700_000_000_123, Path::Pubsub, &example());
    let expected = concat!(
        r#"{"id":"7-0","at":"2023-11-14T22:13:20.123Z","path":"pubsub","namespace":"users","keys":["1","2"],"#,
        r#""prefixes":["eu/"],"all":false,"tags":["team:7"],"soft":true,"source":"billing","#,
        r#""reason":"plan changed","request_id":"r1","#,
        r#""traceparent":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}"#
    );
    assert_eq!(lines, [expected]);
    assert_eq!(rfc3339(u64::MAX), "9999-12-31T23:59:59.999Z");
}

#[test]
fn an_event_of_two_namespaces_is_two_lines() {
    let key = |name: &str| Target::Key(ns(name), Key::new("1").unwrap());
    let event = Event::hard(vec![key("a"), key("b"), Target::All, Target::Tag(Tag::new("t").unwrap())]);
    let lines = render(&LogId::single(7), 0, Path::Stream, &event);
    assert_eq!(lines.len(), 3);
    assert!(
        lines[0].contains(r#""all":true,"tags":["t"]"#) && !lines[0].contains("namespace"),
        "{}",
        lines[0]
    );
    assert!(lines[1].contains(r#""namespace":"a""#) && lines[2].contains(r#""namespace":"b""#));
}

/// A draft of an event whose texts are mostly good.
fn any_event() -> impl Strategy<Value = Event> {
    let texts = |of: &'static str| prop::collection::vec(of, 0..4);
    (
        (texts("[a-z/:ä]{1,9}"), texts("[a-z/]{1,9}"), texts("[!-+a-z]{1,9}"), any::<bool>(), any::<bool>()),
        (".{0,20}", ".{0,20}", prop::option::of("[a-z]{1,20}")),
    )
        .prop_filter_map(
            "names something",
            |((keys, prefixes, tags, all, soft), (source, reason, id))| {
                let key = |text: &String| Target::Key(ns("users"), Key::new(text).unwrap());
                let prefix = |text: &String| Target::Prefix(ns("users"), Prefix::new(text).unwrap());
                let mut targets: Vec<_> = keys.iter().map(key).chain(prefixes.iter().map(prefix)).collect();
                let whole = if targets.is_empty() { Target::All } else { Target::Namespace(ns("users")) };
                targets.extend(tags.iter().map(|text| Target::Tag(Tag::new(text).unwrap())));
                targets.extend(all.then_some(whole));
                let hardness = if soft { Hardness::Soft } else { Hardness::Hard };
                let provenance = Provenance { source, reason, trace: None };
                (!targets.is_empty()).then_some(Event { targets, hardness, provenance, request_id: id })
            },
        )
}

proptest! {
    #[test]
    fn bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for event in [from_json(&bytes), from_msgpack(&bytes), from_message(&bytes)].into_iter().flatten() {
            prop_assert!(!event.targets.is_empty());
        }
        let halves = bytes.split_at(bytes.len() / 2);
        prop_assert!(from_fields([halves]).is_err());
    }

    #[test]
    fn a_good_event_with_one_byte_changed_never_panics(at in 0..200_usize, byte: u8) {
        for mut bytes in [EXAMPLE.as_bytes().to_vec(), msgpack(EXAMPLE)] {
            let at = at % bytes.len();
            bytes[at] = byte;
            if let Ok(event) = from_message(&bytes) {
                prop_assert!(event.targets.len() <= Event::TARGETS_MAX);
            }
        }
    }

    #[test]
    fn what_goes_out_comes_in_again(event in any_event()) {
        let forms = forms(&event);
        prop_assert_eq!(forms.len(), 1);
        let json = serde_json::to_vec(&forms[0]).unwrap();
        prop_assert_eq!(from_json(&json), Ok(event.clone()));
        let packed = rmp_serde::to_vec_named(&forms[0]).unwrap();
        prop_assert_eq!(from_msgpack(&packed), Ok(event));
    }
}
