//! Loads from a real SQLite file.

mod postgres;
mod server;
mod write;

use std::path::Path;

use sqlx::{Connection, Executor, SqliteConnection};
use tempfile::TempDir;

use super::*;
use crate::model::Namespace;
use crate::origin::patient;

const SELECT: &str = "SELECT v FROM t WHERE id = ?1";

fn settings(file: &Path) -> SqlSettings {
    SqlSettings {
        namespace: Namespace::new("users").unwrap(),
        url: format!("sqlite://{}", file.display()),
        select: SELECT.to_owned(),
        upsert: None,
        delete: None,
        timeout: Duration::from_secs(30),
        max_concurrency: 4,
        breaker: patient(),
        max_value: 10,
    }
}

async fn open(file: &Path) -> SqliteConnection {
    SqliteConnection::connect(&format!("sqlite://{}?mode=rwc", file.display())).await.unwrap()
}

/// A table of values by id, and the connection that wrote it.
async fn table(file: &Path) -> SqliteConnection {
    let mut writer = open(file).await;
    writer
        .execute(
            "CREATE TABLE t (id INTEGER PRIMARY KEY, v);
             INSERT INTO t VALUES (1, '{\"a\":1}'), (2, 'plain'), (3, x'00ff'), (4, 42), (5, 1.5), (6, NULL), (7, ''),
                                  (8, zeroblob(11)), (9, zeroblob(161)), (10, '0123456789');",
        )
        .await
        .unwrap();
    writer
}

async fn load(origin: &SqlOrigin, key: &str) -> Result<Fetched, OriginError> {
    origin.load(&Key::new(key).unwrap(), None, Urgency::default()).await
}

fn loaded(fetched: Result<Fetched, OriginError>) -> (Vec<u8>, String, Keep) {
    match fetched {
        Ok(Fetched::Loaded(Loaded { content: Content::Present(value), keep, .. })) => {
            assert_eq!(value.etag, Some(crate::model::etag_of(&value.body)));
            (value.body.to_vec(), value.content_type.unwrap().to_string(), keep)
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn each_kind_of_value_is_loaded_as_its_bytes() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("a.db");
    let _writer = table(&file).await;
    let origin = SqlOrigin::connect(&settings(&file)).await.unwrap();
    let json = "application/json";
    let plain = "text/plain; charset=utf-8";
    let bytes = "application/octet-stream";
    for (key, body, content_type, keep) in [
        ("1", &b"{\"a\":1}"[..], json, Keep::Yes),
        ("2", b"plain", plain, Keep::Yes),
        ("3", b"\x00\xff", bytes, Keep::Yes),
        ("4", b"42", json, Keep::Yes),
        ("5", b"1.5", json, Keep::Yes),
        ("7", b"", plain, Keep::Yes),
        ("8", &[0; 11], bytes, Keep::TooLarge),
        ("10", b"0123456789", plain, Keep::Yes),
    ] {
        let expected = (body.to_vec(), content_type.to_owned(), keep);
        assert_eq!(loaded(load(&origin, key).await), expected, "{key}");
    }
    for none in ["6", "11", "x", "1 OR 1=1"] {
        assert_eq!(load(&origin, none).await.unwrap(), absent(Vec::new(), Keep::Yes), "{none}");
    }
    let beyond = load(&origin, "9").await.unwrap_err();
    assert_eq!(
        beyond.to_string(),
        "the origin's answer cannot be used: the value is over the limit of 160 bytes"
    );
}

#[tokio::test]
async fn a_statement_that_is_wrong_is_refused_at_the_start_by_its_key() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("a.db");
    let _writer = table(&file).await;
    for (select, says) in [
        ("SELEC v", "`select` is refused by the database"),
        ("SELECT w FROM t WHERE id = ?1", "`select` is refused by the database"),
        ("SELECT v FROM missing WHERE id = ?1", "`select` is refused by the database"),
        ("SELECT v, id FROM t WHERE id = ?1", "`select` gives 2 columns, not one, the value"),
        ("DELETE FROM t WHERE id = ?1", "`select` gives 0 columns, not one, the value"),
        ("", "`select` gives 0 columns, not one, the value"),
        ("SELECT v FROM t", "`select` takes 0 parameters, not one, the key (`?1`)"),
        ("SELECT v FROM t WHERE id IN (?, ?)", "`select` takes 2 parameters, not one, the key (`?1`)"),
    ] {
        let wrong = SqlSettings { select: select.to_owned(), ..settings(&file) };
        let error = SqlOrigin::connect(&wrong).await.map(|_| ()).unwrap_err();
        assert_eq!(error.to_string(), says, "{select}");
    }
    let url = |url: &str| SqlSettings { url: url.to_owned(), ..settings(&file) };
    let refused = async |settings: SqlSettings| SqlOrigin::connect(&settings).await.map(|_| ()).unwrap_err();
    assert!(matches!(refused(url("mysql://u:secret@h/db")).await, SqlSettingsError::Scheme));
    assert!(matches!(refused(url("sqlite://a.db?mode=what")).await, SqlSettingsError::Url(_)));
    let dollar = SqlSettings { select: "SELECT v FROM t WHERE id = $1".to_owned(), ..settings(&file) };
    assert_eq!(loaded(load(&SqlOrigin::connect(&dollar).await.unwrap(), "2").await).0, b"plain");
}

#[tokio::test]
async fn a_database_that_comes_later_is_found_by_the_next_load() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("a.db");
    let origin = SqlOrigin::connect(&settings(&file)).await.unwrap();
    let error = load(&origin, "2").await.unwrap_err();
    assert!(matches!(&error, OriginError::Failed(why) if why.contains("unable to open")), "{error}");
    assert!(!file.exists());
    let _writer = table(&file).await;
    assert_eq!(loaded(load(&origin, "2").await).0, b"plain");
}

#[tokio::test]
async fn a_locked_database_fails_the_load_and_no_later_one() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("a.db");
    let mut writer = table(&file).await;
    let quick = SqlSettings { timeout: Duration::from_millis(400), ..settings(&file) };
    writer.execute("BEGIN EXCLUSIVE").await.unwrap();
    // Nor does a lock keep the instance from starting.
    let origin = SqlOrigin::connect(&quick).await.unwrap();
    let error = load(&origin, "2").await.unwrap_err();
    let locked = matches!(&error, OriginError::Failed(why) if why.contains("locked"));
    assert!(locked || matches!(error, OriginError::TimedOut), "{error}");
    writer.execute("ROLLBACK").await.unwrap();
    let origin = SqlOrigin { gate: Gate::new(Duration::from_secs(30), 4, patient()), ..origin };
    assert_eq!(loaded(load(&origin, "2").await).0, b"plain");
}

#[tokio::test]
async fn a_row_that_the_statement_fails_on_says_nothing_against_the_database() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("a.db");
    let _writer = table(&file).await;
    let settings =
        SqlSettings { select: "SELECT json(v) FROM t WHERE id = ?1".to_owned(), ..settings(&file) };
    let origin = SqlOrigin::connect(&settings).await.unwrap();
    let error = load(&origin, "2").await.unwrap_err();
    assert!(matches!(&error, OriginError::Unusable(why) if why.contains("malformed JSON")), "{error}");
    assert_eq!(loaded(load(&origin, "1").await).0, b"{\"a\":1}");
}

#[tokio::test]
async fn a_load_that_finds_no_place_in_time_is_refused() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("a.db");
    let _writer = table(&file).await;
    let narrow = SqlSettings { timeout: Duration::from_secs(1), max_concurrency: 1, ..settings(&file) };
    let origin = SqlOrigin::connect(&narrow).await.unwrap();
    let place = origin.bulkhead().enter(tokio::time::Instant::now(), Urgency::default()).await.unwrap();
    assert!(matches!(load(&origin, "2").await, Err(OriginError::Overloaded)));
    drop(place);
    assert_eq!(loaded(load(&origin, "2").await).0, b"plain");
}

#[tokio::test]
async fn a_statement_that_does_not_end_is_given_up() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("a.db");
    let _writer = table(&file).await;
    // Long enough to outlast the time-out by far, and short enough to end by itself soon after the test.
    let select = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000000) \
                  SELECT max(i) FROM n WHERE ?1 <> ''";
    let slow =
        SqlSettings { select: select.to_owned(), timeout: Duration::from_millis(50), ..settings(&file) };
    let origin = SqlOrigin::connect(&slow).await.unwrap();
    assert!(matches!(load(&origin, "2").await, Err(OriginError::TimedOut)));
    assert_eq!(origin.bulkhead().in_use(), 0);
}
