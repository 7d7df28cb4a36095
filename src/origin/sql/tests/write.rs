//! Writes to a real SQLite file.

use sqlx::Row as _;

use super::*;
use crate::model::Value;
use crate::origin::WriteError;

/// The first block of the README of that language which holds this text.
pub(super) fn readme(language: &str, text: &str) -> &'static str {
    let readme = include_str!("../../../../README.md");
    let fence = format!("```{language}\n");
    let blocks = readme.split(fence.as_str()).skip(1).filter_map(|rest| rest.split_once("```"));
    blocks.map(|(block, _)| block).find(|block| block.contains(text)).expect("the README has it")
}

/// The settings with the statements of the README's block for this database.
pub(super) fn documented(text: &str, settings: SqlSettings) -> SqlSettings {
    let origin: toml::Table = readme("toml", text).parse().expect("it is TOML");
    let statement = |key: &str| origin["namespaces"]["users"]["origin"][key].as_str().map(str::to_owned);
    let (select, upsert, delete) = (statement("select").unwrap(), statement("upsert"), statement("delete"));
    assert!(upsert.is_some() && delete.is_some());
    SqlSettings { select, upsert, delete, ..settings }
}

pub(super) fn put(body: &'static [u8], content_type: Option<&str>) -> Change {
    Change::Put(Value { body: body.into(), content_type: content_type.map(Into::into), ..Value::default() })
}

pub(super) async fn write(
    origin: &SqlOrigin,
    key: &str,
    change: &Change,
    seq: u64,
) -> Result<Applied, WriteError> {
    let fence = Fence { seq, idempotency_key: format!("test/{seq}").into() };
    origin.write(&Key::new(key).unwrap(), change, &fence, Urgency::default()).await
}

pub(super) fn refused(result: Result<Applied, WriteError>) -> String {
    match result {
        Err(WriteError::Refused(why)) => why,
        other => panic!("{other:?}"),
    }
}

pub(super) fn failed(result: Result<Applied, WriteError>) -> OriginError {
    match result {
        Err(WriteError::Failed { error, retry_after: None }) => error,
        other => panic!("{other:?}"),
    }
}

/// What an origin with the README's statements makes of writes that arrive in any order.
pub(super) async fn obeys_the_fence(origin: &SqlOrigin) {
    let [old, new] = [&b"\"old\""[..], b"\"new\""].map(|body| put(body, Some("application/json")));
    assert_eq!(write(origin, "1", &new, 20).await.unwrap(), Applied::Done);
    assert_eq!(write(origin, "1", &old, 10).await.unwrap(), Applied::Superseded);
    assert_eq!(write(origin, "1", &Change::Delete, 19).await.unwrap(), Applied::Superseded);
    assert_eq!(loaded(load(origin, "1").await).0, b"\"new\"");
    // The first answer was lost.
    assert_eq!(write(origin, "1", &new, 20).await.unwrap(), Applied::Done);
    // A removal leaves what the older write is measured by, also where there was nothing.
    for key in ["1", "2"] {
        assert_eq!(write(origin, key, &Change::Delete, 30).await.unwrap(), Applied::Done);
        assert_eq!(write(origin, key, &old, 29).await.unwrap(), Applied::Superseded);
        assert_eq!(load(origin, key).await.unwrap(), absent(Vec::new(), Keep::Yes));
        assert_eq!(write(origin, key, &new, 31).await.unwrap(), Applied::Done);
        assert_eq!(loaded(load(origin, key).await).0, b"\"new\"");
    }
    // Larger than what 32 bits hold, as the numbers of real writes are.
    let seq = 229_797_020_684_289;
    assert_eq!(write(origin, "3", &new, seq).await.unwrap(), Applied::Done);
    assert_eq!(write(origin, "3", &old, seq - 1).await.unwrap(), Applied::Superseded);
}

/// An origin with these statements over `tables`.
async fn origin(folder: &TempDir, tables: &str, upsert: &str, delete: Option<&str>) -> SqlOrigin {
    let file = folder.path().join("a.db");
    open(&file).await.execute(sqlx::AssertSqlSafe(tables)).await.unwrap();
    let (upsert, delete) = (Some(upsert.to_owned()), delete.map(str::to_owned));
    SqlOrigin::connect(&SqlSettings { upsert, delete, ..settings(&file) }).await.unwrap()
}

const TABLE: &str = "CREATE TABLE t (id INTEGER PRIMARY KEY, v)";
const UPSERT: &str = "INSERT INTO t (id, v) VALUES (?1, ?2) ON CONFLICT (id) DO UPDATE SET v = excluded.v";

#[tokio::test]
async fn the_readmes_table_obeys_the_fence() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("a.db");
    let settings = documented("sqlite:", settings(&file));
    // The table comes later than the instance: what the statements take is asked when they are used.
    let origin = SqlOrigin::connect(&settings).await.unwrap();
    open(&file).await.execute(readme("sql", "-- SQLite")).await.unwrap();
    obeys_the_fence(&origin).await;
}

#[tokio::test]
async fn a_value_is_read_as_it_was_written() {
    let folder = TempDir::new().unwrap();
    let tables = "CREATE TABLE t (id INTEGER PRIMARY KEY, v);
                  CREATE TABLE texts (id INTEGER PRIMARY KEY, v TEXT);
                  CREATE TABLE blobs (id INTEGER PRIMARY KEY, v BLOB)";
    let any = origin(&folder, tables, UPSERT, None).await;
    let mut reader = open(&folder.path().join("a.db")).await;
    for table in ["t", "texts", "blobs"] {
        let settings = SqlSettings {
            select: SELECT.replace(" t ", &format!(" {table} ")),
            upsert: Some(UPSERT.replace("INTO t", &format!("INTO {table}"))),
            max_value: 100,
            ..settings(&folder.path().join("a.db"))
        };
        let origin = SqlOrigin::connect(&settings).await.unwrap();
        for (body, content_type, kind) in [
            (&b"{\"a\": 1.0}"[..], Some("application/json"), "text"),
            (b"007", Some("text/plain"), "text"),
            (b"plain", None, "text"),
            (b"", None, "text"),
            (b"form=1", Some("application/x-www-form-urlencoded"), "text"),
            (b"plain", Some("application/octet-stream"), "blob"),
            (b"\x00\xff", Some("text/plain"), "blob"),
            (b"a\0b", None, "blob"),
        ] {
            assert_eq!(write(&origin, "1", &put(body, content_type), 1).await.unwrap(), Applied::Done);
            assert_eq!(loaded(load(&origin, "1").await).0, body, "{table} {content_type:?}");
            let stored = format!("SELECT typeof(v) FROM {table} WHERE id = 1");
            let row = reader.fetch_one(sqlx::AssertSqlSafe(stored)).await.unwrap();
            assert_eq!(row.get::<String, _>(0), kind, "{table} {body:?} {content_type:?}");
        }
    }
    assert_eq!(loaded(load(&any, "1").await).0, b"a\0b");
}

#[tokio::test]
async fn a_statement_without_the_number_does_as_it_is_told() {
    let folder = TempDir::new().unwrap();
    let origin = origin(&folder, TABLE, UPSERT, Some("DELETE FROM t WHERE id = ?1")).await;
    assert_eq!(write(&origin, "1", &put(b"new", None), 2).await.unwrap(), Applied::Done);
    assert_eq!(write(&origin, "1", &put(b"late", None), 1).await.unwrap(), Applied::Done);
    assert_eq!(loaded(load(&origin, "1").await).0, b"late");
    for _ in 0..2 {
        assert_eq!(write(&origin, "1", &Change::Delete, 3).await.unwrap(), Applied::Done);
        assert_eq!(load(&origin, "1").await.unwrap(), absent(Vec::new(), Keep::Yes));
    }
}

#[tokio::test]
async fn what_the_table_will_never_take_is_refused_and_says_nothing_against_the_database() {
    let folder = TempDir::new().unwrap();
    let tables = "CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT CHECK (v <> 'bad')) STRICT";
    let strict = origin(&folder, tables, UPSERT, None).await;
    assert!(refused(write(&strict, "1", &put(b"bad", None), 1).await).contains("CHECK constraint"));
    assert!(refused(write(&strict, "x", &put(b"good", None), 1).await).contains("mismatch"));
    let blob = put(b"good", Some("application/octet-stream"));
    assert!(refused(write(&strict, "1", &blob, 1).await).contains("cannot store BLOB"));
    assert_eq!(refused(write(&strict, "1", &Change::Delete, 1).await), "there is no `delete`");
    assert_eq!(write(&strict, "1", &put(b"good", None), 1).await.unwrap(), Applied::Done);

    let upsert = "INSERT INTO t (id, v) VALUES (?1, ?2 ->> 'name')";
    let folder = TempDir::new().unwrap();
    let of_json = origin(&folder, TABLE, upsert, None).await;
    assert!(refused(write(&of_json, "1", &put(b"{", None), 1).await).contains("malformed JSON"));

    let folder = TempDir::new().unwrap();
    let update = origin(&folder, TABLE, "UPDATE t SET v = ?2 WHERE id = ?1", None).await;
    assert_eq!(refused(write(&update, "1", &put(b"v", None), 1).await), "`upsert` has written no row");

    let fenced = format!("{UPSERT} WHERE ?3 <> 0");
    let fenced = origin(&folder, "SELECT 1", &fenced, None).await;
    assert!(refused(write(&fenced, "1", &put(b"v", None), u64::MAX).await).contains("out of range"));
}

#[tokio::test]
async fn what_may_succeed_later_is_no_refusal() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("a.db");
    let mut writer = open(&file).await;
    writer.execute(TABLE).await.unwrap();
    let quick = SqlSettings {
        upsert: Some(UPSERT.to_owned()),
        timeout: Duration::from_millis(400),
        ..settings(&file)
    };
    let origin = SqlOrigin::connect(&quick).await.unwrap();
    let value = put(b"v", None);
    let error = async |origin: &SqlOrigin| failed(write(origin, "1", &value, 1).await);

    writer.execute("BEGIN IMMEDIATE").await.unwrap();
    let locked = error(&origin).await;
    assert!(matches!(&locked, OriginError::TimedOut | OriginError::Failed(_)), "{locked}");
    writer.execute("ROLLBACK").await.unwrap();

    let origin = SqlOrigin { gate: Gate::new(Duration::from_secs(30), 4, patient()), ..origin };
    writer.execute("ALTER TABLE t RENAME TO other").await.unwrap();
    for _ in 0..3 {
        let gone = error(&origin).await;
        assert!(matches!(&gone, OriginError::Failed(why) if why.contains("no such table")), "{gone}");
    }
    writer.execute("ALTER TABLE other RENAME TO t").await.unwrap();
    assert_eq!(write(&origin, "1", &value, 1).await.unwrap(), Applied::Done);

    let url = format!("sqlite://{}?mode=ro", file.display());
    let read_only = SqlOrigin::connect(&SqlSettings { url, timeout: Duration::from_secs(30), ..quick }).await;
    let read_only = error(&read_only.unwrap()).await;
    assert!(matches!(&read_only, OriginError::Failed(why) if why.contains("readonly")), "{read_only}");
}

#[tokio::test]
async fn a_statement_that_cannot_write_stops_the_start() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("a.db");
    open(&file).await.execute(TABLE).await.unwrap();
    let two_or_three = "two or three, the key (`?1`), the value (`?2`) and the write's number (`?3`)";
    let one_or_two = "one or two, the key (`?1`) and the write's number (`?2`)";
    for (upsert, delete, says) in [
        (
            "INSERT INTO missing VALUES (?1, ?2)",
            "SELECT ?1",
            "`upsert` is refused by the database".to_owned(),
        ),
        (
            "DELETE FROM t WHERE id = ?1",
            "SELECT ?1",
            format!("`upsert` takes 1 parameters, not {two_or_three}"),
        ),
        ("SELECT ?1, ?2, ?3, ?4", "SELECT ?1", format!("`upsert` takes 4 parameters, not {two_or_three}")),
        (UPSERT, "DELETE FROM t WHERE", "`delete` is refused by the database".to_owned()),
        (UPSERT, "DELETE FROM t", format!("`delete` takes 0 parameters, not {one_or_two}")),
        (UPSERT, "SELECT ?1, ?2, ?3", format!("`delete` takes 3 parameters, not {one_or_two}")),
    ] {
        let (upsert, delete) = (Some(upsert.to_owned()), Some(delete.to_owned()));
        let wrong = SqlSettings { upsert, delete, ..settings(&file) };
        let error = SqlOrigin::connect(&wrong).await.map(|_| ()).unwrap_err();
        assert_eq!(error.to_string(), says);
    }
}
