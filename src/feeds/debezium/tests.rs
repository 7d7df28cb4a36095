//! The streams of `tests/fixtures/debezium`, in every form, mean what is written beside them; and what is wrong is named and blocks nothing.

use std::path::Path;

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::model::{Event, Namespace, Target};

fn settings(ignore_snapshot: bool) -> Settings {
    let mapping =
        |stream: &str, table: Option<&str>, namespace: &str, key: Option<&str>, tags: &[&str]| Mapping {
            stream: stream.into(),
            table: table.map(str::to_owned),
            namespace: Namespace::new(namespace).unwrap(),
            key: key.map(|text| text.parse().unwrap()),
            tags: tags.iter().map(|text| text.parse().unwrap()).collect(),
        };
    Settings {
        name: "cdc".to_owned(),
        mappings: vec![
            mapping("shop.public.users", None, "users", Some("{id}"), &["team:{team_id}"]),
            mapping("shop.all", Some("public.orders"), "orders", Some("{tenant}/{id}"), &["paid:{paid}"]),
            mapping("shop.all", Some("public.teams"), "teams", None, &["team:{id}"]),
        ],
        null: "default".to_owned(),
        ignore_snapshot,
        batch: 10,
    }
}

/// The lines of a fixture.
fn lines(name: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/debezium").join(name);
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn fields(texts: &[&str]) -> Vec<(Bytes, Bytes)> {
    let pairs = texts.chunks(2);
    pairs
        .map(|pair| (Bytes::copy_from_slice(pair[0].as_bytes()), Bytes::copy_from_slice(pair[1].as_bytes())))
        .collect()
}

fn meaning_of(settings: &Settings, stream: &str, texts: &[&str]) -> Meaning {
    match record::read(&fields(texts), &settings.null) {
        Ok(record) => mapping::meaning(settings, stream, &record),
        Err(error) => Meaning { event: None, faults: vec![error] },
    }
}

/// What an event names, as the expectations spell it.
fn named(event: Option<&Event>) -> (Vec<String>, Vec<String>, Option<String>) {
    let mut named = (Vec::new(), Vec::new(), None);
    for target in event.iter().flat_map(|event| &event.targets) {
        match target {
            Target::Key(namespace, key) => named.0.push(format!("{namespace}/{key}")),
            Target::Tag(tag) => named.1.push(tag.to_string()),
            Target::Namespace(namespace) => named.2 = Some(namespace.to_string()),
            other => panic!("{other:?}"),
        }
    }
    named
}

#[test]
fn the_streams_mean_the_same_in_every_form() {
    let expected = lines("expected.jsonl");
    for form in ["compact-plain", "compact-schemas", "extended-plain", "extended-schemas"] {
        let entries = lines(&format!("{form}.jsonl"));
        assert_eq!(entries.len(), expected.len());
        for (entry, expected) in entries.iter().zip(&expected) {
            let texts: Vec<&str> =
                entry["fields"].as_array().unwrap().iter().map(|it| it.as_str().unwrap()).collect();
            let Meaning { event, faults } =
                meaning_of(&settings(false), entry["stream"].as_str().unwrap(), &texts);
            let (keys, tags, all) = named(event.as_ref());
            let found = (json!(keys), json!(tags), json!(all));
            let what = &expected["what"];
            assert_eq!(
                found,
                (expected["keys"].clone(), expected["tags"].clone(), expected["all"].clone()),
                "{form}: {what}"
            );
            assert_eq!(faults, [], "{form}: {what}");
        }
    }
}

#[test]
fn a_snapshot_is_passed_over_where_that_is_wanted() {
    let entries = lines("extended-plain.jsonl");
    let events = entries.iter().filter_map(|entry| {
        let texts: Vec<&str> =
            entry["fields"].as_array().unwrap().iter().map(|it| it.as_str().unwrap()).collect();
        meaning_of(&settings(true), entry["stream"].as_str().unwrap(), &texts).event
    });
    let reasons: Vec<String> = events.map(|event| event.provenance.reason).collect();
    assert!(
        reasons.contains(&"c public.users".to_owned()) && reasons.contains(&"u public.orders".to_owned())
    );
    assert!(!reasons.iter().any(|reason| reason.starts_with('r')), "{reasons:?}");
}

#[test]
fn what_is_malformed_is_named_and_what_is_right_of_it_is_published() {
    let users = "shop.public.users";
    let long = "x".repeat(513);
    let row = |id: &str, team: &str| {
        json!({"op": "c", "after": {"id": id, "team_id": team}, "source": {"schema": "public", "table": "users"}}).to_string()
    };
    let (no_row, bad_op) = (json!({"op": "u"}).to_string(), json!({"op": "x"}).to_string());
    let (no_op, scalar) = (json!({"before": null, "after": {"id": 1}}).to_string(), "7".to_owned());
    let (bad_key, bad_tag) = (row(&long, "7"), row("1", "a b"));
    let composite = json!({"op": "c", "after": {"id": {"scale": 0, "value": "AQ=="}}}).to_string();
    for (texts, reasons, names) in [
        (vec!["key", "{}", "value", "{"], &["malformed"][..], 0),
        (vec!["one", "1", "two", "2"], &["malformed"], 0),
        (vec!["key", "{}", "value", &no_op], &["malformed"], 0),
        (vec!["key", "{}", "value", &bad_op], &["malformed"], 0),
        (vec!["key", "{}", "value", &scalar], &["malformed"], 0),
        (vec!["key", "{}", "value", &no_row], &["no_target"], 0),
        (vec!["key", "{}", "value", &composite], &["no_target"], 0),
        (vec!["key", "{}", "value", &bad_key], &["bad_key"], 1),
        (vec!["key", "{}", "value", &bad_tag], &["bad_tag"], 1),
        // A key that cannot be read is no reason to lose what the row says.
        (vec!["key", "{", "value", "{\"op\":\"c\",\"after\":{\"id\":\"1\"}}"], &[], 1),
        (vec!["key", "{}", "value", "null"], &[], 0),
    ] {
        let Meaning { event, faults } = meaning_of(&settings(false), users, &texts);
        let found: Vec<&str> = faults.iter().map(FormError::reason).collect();
        assert_eq!(
            (found.as_slice(), event.map_or(0, |event| event.targets.len())),
            (reasons, names),
            "{texts:?}"
        );
    }
}

#[test]
fn a_template_has_whole_braces() {
    for text in ["{id", "id}", "{}", "{a{b}}"] {
        assert!(text.parse::<Template>().is_err(), "{text}");
    }
}

proptest! {
    #[test]
    fn nothing_that_is_written_panics(
        names in prop::collection::vec("key|value|[a-z{\":]{0,8}", 0..4),
        value in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..64),
            r#"\{("(op|before|after|source|payload|schema|ts_ms)":("[cudrtmx]"|null|\{"id":("a"|1|null)\}|7),?){0,4}\}"#
                .prop_map(String::into_bytes),
        ],
    ) {
        let fields: Vec<_> =
            names.into_iter().map(|name| (Bytes::from(name), Bytes::from(value.clone()))).collect();
        let settings = settings(false);
        if let Ok(record) = record::read(&fields, "default") {
            let meaning = mapping::meaning(&settings, "shop.public.users", &record);
            prop_assert!(meaning.event.is_none_or(|event| !event.targets.is_empty()));
        }
    }
}
