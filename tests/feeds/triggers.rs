//! `coherd sql triggers`: what it prints does what it says in a real PostgreSQL, whatever tables are called.

use serde_json::{Value, json};

use crate::harness::command::{Ran, coherd};
use crate::harness::postgres::Postgres;

async fn triggers(line: &[&str]) -> Ran {
    coherd(&[&["sql", "triggers"], line].concat()).await
}

/// Runs what it prints, twice: nothing changes the second time.
async fn set_up(postgres: &Postgres, line: &[&str]) {
    let printed = triggers(line).await;
    assert_eq!((printed.code, printed.err.as_str()), (Some(0), ""), "{printed:?}");
    postgres.psql(&printed.out).await;
    postgres.psql(&printed.out).await;
}

/// The events in an outbox, which is emptied.
async fn take(postgres: &Postgres, outbox: &str) -> Vec<Value> {
    let sql =
        format!("SELECT coalesce(json_agg(event ORDER BY id), '[]') FROM {outbox}; DELETE FROM {outbox}");
    let events: Vec<Value> = serde_json::from_str(&postgres.psql(&sql).await).expect("a list");
    events
}

#[tokio::test]
async fn each_kind_of_change_names_the_row_as_it_was_and_as_it_is() {
    let postgres = Postgres::start().await;
    postgres.psql("CREATE TABLE users (id bigint PRIMARY KEY, tenant text, team text)").await;
    let line = [
        "--table",
        "users",
        "--key",
        "{tenant}/{id}",
        "--namespace",
        "users",
        "--tag",
        "team:{team}",
        "--tag",
        "users",
    ];
    set_up(&postgres, &line).await;
    let event = |op: &str, keys: &[&str], tags: &[&str]| {
        let reason = format!("{op} public.users");
        json!({ "namespace": "users", "keys": keys, "tags": tags, "source": "postgres", "reason": reason })
    };
    for (sql, expected) in [
        ("INSERT INTO users VALUES (1, 'a', 'x')", vec![event("INSERT", &["a/1"], &["team:x", "users"])]),
        ("UPDATE users SET team = 'y'", vec![event("UPDATE", &["a/1"], &["team:x", "team:y", "users"])]),
        ("UPDATE users SET id = 2", vec![event("UPDATE", &["a/1", "a/2"], &["team:y", "users"])]),
        // What could be no tag, or no key, is no reason to be silent about the rest.
        ("UPDATE users SET team = 'a b'", vec![event("UPDATE", &["a/2"], &["team:y", "users"])]),
        ("UPDATE users SET team = 'a,b', tenant = NULL", vec![event("UPDATE", &["a/2"], &["users"])]),
        ("UPDATE users SET team = '\u{e4}'", vec![event("UPDATE", &[], &["users"])]),
        ("DELETE FROM users WHERE id = 3", vec![]),
        (
            "INSERT INTO users VALUES (2, 'b', NULL) ON CONFLICT (id) DO UPDATE SET tenant = 'b', team = '-'",
            vec![event("UPDATE", &["b/2"], &["team:-", "users"])],
        ),
        ("DELETE FROM users", vec![event("DELETE", &["b/2"], &["team:-", "users"])]),
        (
            "TRUNCATE users",
            vec![
                json!({ "namespace": "users", "all": true, "source": "postgres", "reason": "TRUNCATE public.users" }),
            ],
        ),
        ("BEGIN; INSERT INTO users VALUES (1, 'a', 'x'); ROLLBACK", vec![]),
    ] {
        postgres.psql(sql).await;
        assert_eq!(take(&postgres, "coherd_outbox").await, expected, "{sql}");
    }
}

#[tokio::test]
async fn names_of_any_kind_are_quoted() {
    let postgres = Postgres::start().await;
    let schema = r#""My ""$coherd$"" shop""#;
    let (table, outbox) = (format!(r#"{schema}."It's; DROP TABLE x --""#), format!(r#"{schema}."Out box""#));
    postgres
        .psql(&format!("CREATE SCHEMA {schema}; CREATE TABLE {table} (\"The Id\" int, \"end\" text)"))
        .await;
    let key = r#"it's \ {"The Id"}:{"end"}"#;
    let line =
        ["--table", &table, "--key", key, "--namespace", "my-ns", "--outbox", &outbox, "--channel", "It's"];
    set_up(&postgres, &line).await;
    postgres.psql(&format!("INSERT INTO {table} VALUES (7, 'e')")).await;
    let events = take(&postgres, &outbox).await;
    assert_eq!((events.len(), &events[0]["keys"]), (1, &json!([r"it's \ 7:e"])));
}

#[tokio::test]
async fn whoever_writes_the_table_needs_no_right_to_the_outbox() {
    let postgres = Postgres::start().await;
    postgres.psql("CREATE TABLE users (id int); CREATE ROLE app LOGIN; GRANT ALL ON users TO app").await;
    set_up(&postgres, &["--table", "users", "--key", "id", "--namespace", "users"]).await;
    postgres.psql("SET ROLE app; INSERT INTO users VALUES (1); TRUNCATE users").await;
    assert_eq!(take(&postgres, "coherd_outbox").await.len(), 2);
    let refused = postgres.try_psql("SET ROLE app; INSERT INTO coherd_outbox (event) VALUES ('{}')").await;
    assert!(refused.err.contains("permission denied"), "{refused:?}");
}

#[tokio::test]
async fn a_column_that_is_missing_is_found_at_once_and_nothing_is_left_behind() {
    let postgres = Postgres::start().await;
    postgres.psql("CREATE TABLE users (id int)").await;
    let printed = triggers(&["--table", "users", "--key", "uid", "--namespace", "users"]).await;
    let ran = postgres.try_psql(&printed.out).await;
    assert!(ran.code != Some(0) && ran.err.contains("\"uid\" does not exist"), "{ran:?}");
    assert_eq!(postgres.psql("SELECT to_regclass('coherd_outbox') IS NULL").await, "t");
    postgres.psql("INSERT INTO users VALUES (1)").await;
}

#[tokio::test]
async fn what_was_set_up_is_taken_away_again() {
    let postgres = Postgres::start().await;
    postgres.psql("CREATE TABLE users (id int); CREATE TABLE orders (id int)").await;
    for table in ["users", "orders"] {
        set_up(&postgres, &["--table", table, "--key", "id", "--namespace", table]).await;
    }
    set_up(&postgres, &["--table", "users", "--namespace", "users", "--drop"]).await;
    postgres.psql("INSERT INTO users VALUES (1); INSERT INTO orders VALUES (1); TRUNCATE users").await;
    assert_eq!(take(&postgres, "coherd_outbox").await.len(), 1);
    set_up(&postgres, &["--drop"]).await;
    postgres.psql("INSERT INTO orders VALUES (2)").await;
    let left = "SELECT count(*) FROM pg_proc WHERE proname LIKE 'coherd%'";
    assert_eq!(postgres.psql(left).await, "0");
    assert_eq!(postgres.psql("SELECT to_regclass('coherd_outbox') IS NULL").await, "t");
}

#[tokio::test]
async fn partitions_are_told_of_too_and_what_makes_no_sense_is_refused() {
    let postgres = Postgres::start().await;
    postgres
        .psql("CREATE TABLE t (id int) PARTITION BY RANGE (id); CREATE TABLE t1 PARTITION OF t FOR VALUES FROM (0) TO (9)")
        .await;
    set_up(&postgres, &["--table", "t", "--key", "id", "--namespace", "t"]).await;
    postgres.psql("INSERT INTO t VALUES (1); UPDATE t1 SET id = 2").await;
    let events = take(&postgres, "coherd_outbox").await;
    assert_eq!((&events[0]["keys"], &events[1]["keys"]), (&json!(["1"]), &json!(["1", "2"])));
    for line in [
        &["--table", "t", "--key", "id"][..],
        &["--table", "t", "--namespace", "t"],
        &["--table", "a b", "--key", "id", "--namespace", "t"],
        &["--table", "t", "--key", "{id", "--namespace", "t"],
        &["--table", "t", "--key", "id", "--namespace", "No"],
        &["--table", "t", "--key", "id", "--namespace", "t", "--drop"],
        &["--table", "t", "--drop"],
        &["--table", "t", "--key", "id", "--namespace", "t", "--channel", ""],
    ] {
        let ran = triggers(line).await;
        assert_eq!((ran.code, ran.out.as_str()), (Some(2), ""), "{line:?}: {ran:?}");
    }
}
