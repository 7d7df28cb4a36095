//! Loads from a real PostgreSQL, and writes to it.

use rustix::process::{Pid, Signal, kill_process};
use sqlx::{AssertSqlSafe, PgConnection, Row as _};

use super::server::{Server, eventually};
use super::write::{documented, failed, obeys_the_fence, put, readme, refused, write};
use super::*;

fn settings_of(server: &Server) -> SqlSettings {
    SqlSettings {
        url: server.url(),
        select: "SELECT v FROM t WHERE id = $1".to_owned(),
        max_value: 100_000,
        ..settings(Path::new("unused"))
    }
}

async fn run(connection: &mut PgConnection, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await.unwrap();
}

async fn connect(settings: &SqlSettings) -> SqlOrigin {
    SqlOrigin::connect(settings).await.unwrap()
}

/// The first column of the one row.
async fn ask(connection: &mut PgConnection, sql: &str) -> i64 {
    connection.fetch_one(AssertSqlSafe(sql)).await.unwrap().get(0)
}

#[tokio::test]
async fn the_readmes_table_obeys_the_fence_also_when_its_server_comes_later() {
    let mut server = Server::start().await;
    run(&mut server.connect().await, readme("sql", "-- PostgreSQL")).await;
    server.kill();
    let settings = SqlSettings { timeout: Duration::from_secs(1), ..settings_of(&server) };
    let origin = connect(&documented("postgres:", settings)).await;
    assert!(load(&origin, "1").await.is_err());
    server.revive().await;
    let origin = SqlOrigin { gate: Gate::new(Duration::from_secs(30), 4, patient()), ..origin };
    obeys_the_fence(&origin).await;
}

#[tokio::test]
async fn a_column_is_read_by_its_type_and_a_parameter_given_by_its_own() {
    let server = Server::start().await;
    let mut admin = server.connect().await;
    run(&mut admin, "CREATE DOMAIN code AS text; CREATE TYPE color AS ENUM ('red')").await;
    let (json, plain, bytes) = ("application/json", "text/plain; charset=utf-8", "application/octet-stream");
    for (sql, body, content_type) in [
        ("'{\"a\": 1}'::json", "{\"a\": 1}", json),
        ("'{\"a\":1}'::jsonb", "{\"a\": 1}", json),
        ("'plain'", "plain", plain),
        ("'plain'::varchar", "plain", plain),
        ("'plain'::name", "plain", plain),
        ("'plain'::code", "plain", plain),
        ("'red'::color", "red", plain),
        ("'ab'::bytea", "ab", bytes),
        ("7::smallint", "7", json),
        ("-7::integer", "-7", json),
        ("9223372036854775807", "9223372036854775807", json),
        ("0.1::real", "0.1", json),
        ("1.5::double precision", "1.5", json),
        ("true", "true", json),
        ("1 = 2", "false", json),
        ("'0188D66A-4a4f-7000-8000-00000000000f'::uuid", "0188d66a-4a4f-7000-8000-00000000000f", plain),
        ("now()::date::text", "", plain),
        ("repeat('x', 70000)", "", plain),
    ] {
        let select = format!("SELECT {sql} WHERE $1 = 'k'");
        let origin = connect(&SqlSettings { select, ..settings_of(&server) }).await;
        let (loaded, said, _) = loaded(load(&origin, "k").await);
        assert!(body.is_empty() || loaded == body.as_bytes(), "{sql}: {}", String::from_utf8_lossy(&loaded));
        assert_eq!(said, content_type, "{sql}");
        assert_eq!(load(&origin, "other").await.unwrap(), absent(Vec::new(), Keep::Yes));
    }
    // As PostgreSQL itself spells them.
    run(
        &mut admin,
        "CREATE TABLE n (n numeric); INSERT INTO n VALUES (0), (0.00), (1), (-1.50), (10000), (0.0001),
        (0.00000012), (123456789012345678901234567890.123456789), (1e30), (-9999.9999), (10000.0001), ('NaN'),
        ('Infinity'), ('-Infinity'), (NULL)",
    )
    .await;
    let select = "SELECT n FROM n WHERE n::text = $1".to_owned();
    let origin = connect(&SqlSettings { select, ..settings_of(&server) }).await;
    for row in admin.fetch_all("SELECT n::text FROM n WHERE n IS NOT NULL").await.unwrap() {
        let text: String = row.get(0);
        assert_eq!(loaded(load(&origin, &text).await).0, text.as_bytes());
    }
    for (of, key, none) in [
        ("integer", "7", "x"),
        ("bigint", "-7", "99999999999999999999"),
        ("uuid", "0188d66a-4a4f-7000-8000-00000000000f", "7"),
        ("boolean", "true", "maybe"),
        ("color", "red", "x\0"),
        ("code", "7", "8"),
        ("bytea", "ab", "\0"),
    ] {
        run(&mut admin, &format!("DROP TABLE IF EXISTS t; CREATE TABLE t (id {of}, v text); INSERT INTO t VALUES ('{key}', 'v')")).await;
        let origin = connect(&settings_of(&server)).await;
        assert_eq!(loaded(load(&origin, key).await).0, b"v", "{of}");
        assert_eq!(load(&origin, none).await.unwrap(), absent(Vec::new(), Keep::Yes), "{of}");
    }
}

#[tokio::test]
async fn a_statement_that_is_wrong_is_refused_at_the_start_by_its_key() {
    let server = Server::start().await;
    let mut admin = server.connect().await;
    run(
        &mut admin,
        "CREATE TABLE t (id integer PRIMARY KEY, v text, at timestamptz, n numeric, small integer)",
    )
    .await;
    let (select, delete) = ("SELECT v FROM t WHERE id = $1", "DELETE FROM t WHERE id = $1");
    let upsert = "INSERT INTO t (id, v) VALUES ($1, $2)";
    for (select, upsert, delete, says) in [
        ("SELEC v", upsert, delete, "`select` is refused by the database"),
        ("SELECT v FROM missing WHERE id = $1", upsert, delete, "`select` is refused by the database"),
        ("SELECT v, id FROM t WHERE id = $1", upsert, delete, "`select` gives 2 columns, not one, the value"),
        ("SELECT v FROM t", upsert, delete, "`select` takes 0 parameters, not one, the key (`$1`)"),
        (
            "SELECT at FROM t WHERE id = $1",
            upsert,
            delete,
            "`select`: its column is of the type timestamptz; cast it, as in `::text`",
        ),
        (
            "SELECT v FROM t WHERE n = $1",
            upsert,
            delete,
            "`select`: the key (`$1`) is of the type numeric; cast it, as in `$1::text::numeric`",
        ),
        (
            select,
            "INSERT INTO t (id, at) VALUES ($1, $2)",
            delete,
            "`upsert`: the value (`$2`) is of the type timestamptz; cast it, as in `$2::text::timestamptz`",
        ),
        (
            select,
            "INSERT INTO t (id, v, small) VALUES ($1, $2, $3)",
            delete,
            "`upsert`: the write's number (`$3`) is of the type int4; cast it, as in `$3::bigint`",
        ),
        (
            select,
            "INSERT INTO t (id) VALUES ($1)",
            delete,
            "`upsert` takes 1 parameters, not two or three, the key (`$1`), the value (`$2`) and the write's number (`$3`)",
        ),
        (select, upsert, "DELETE FROM u WHERE id = $1", "`delete` is refused by the database"),
    ] {
        let settings = SqlSettings {
            select: select.to_owned(),
            upsert: Some(upsert.to_owned()),
            delete: Some(delete.to_owned()),
            ..settings_of(&server)
        };
        let error = SqlOrigin::connect(&settings).await.map(|_| ()).unwrap_err();
        assert_eq!(error.to_string(), says);
    }
    // The casts that it advises do.
    run(&mut admin, "INSERT INTO t (id, v, n, at) VALUES (1, 'v', 1.5, now())").await;
    for (select, key) in [
        ("SELECT v FROM t WHERE n = $1::text::numeric", "1.5"),
        ("SELECT at::text FROM t WHERE id = $1", "1"),
    ] {
        let select = select.to_owned();
        let origin = connect(&SqlSettings { select, ..settings_of(&server) }).await;
        assert!(matches!(load(&origin, key).await, Ok(Fetched::Loaded(_))));
    }
    for url in [
        "postgres://u:secret@h/d?token=secret",
        "postgres://u:secret@h/d?sslmode=what",
        "postgres://u:sec/ret@h/d",
    ] {
        let settings = SqlSettings { url: url.to_owned(), ..settings_of(&server) };
        let error = chain(&SqlOrigin::connect(&settings).await.map(|_| ()).unwrap_err());
        assert!(error.starts_with("`url` ") && !error.contains("sec"), "{error}");
    }
}

#[tokio::test]
async fn what_is_refused_for_good_and_what_only_for_now() {
    let server = Server::start().await;
    let mut admin = server.connect().await;
    run(&mut admin, "CREATE TABLE t (id integer PRIMARY KEY, v varchar(5) CHECK (v <> 'bad'), doc jsonb)")
        .await;
    let upsert = "INSERT INTO t (id, v) VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET v = excluded.v";
    let settings = SqlSettings {
        upsert: Some(upsert.to_owned()),
        timeout: Duration::from_secs(2),
        max_concurrency: 1,
        ..settings_of(&server)
    };
    let origin = connect(&settings).await;
    let value = put(b"good", None);
    for (key, body, says) in [
        ("1", &b"bad"[..], "check constraint"),
        ("1", b"too long", "value too long"),
        ("1", b"a\0b", "the value is none of the type varchar"),
        ("1", b"\xff", "the value is none of the type varchar"),
        ("x", b"good", "the key is none of the type int4"),
    ] {
        let told = refused(write(&origin, key, &put(body, None), 1).await);
        assert!(told.contains(says), "{told}");
    }
    let of_json = "INSERT INTO t (id, doc) VALUES ($1, $2)".to_owned();
    let of_json = connect(&SqlSettings { upsert: Some(of_json), ..settings_of(&server) }).await;
    let told = refused(write(&of_json, "7", &put(b"{\"secret", None), 1).await);
    assert!(told.contains("invalid input syntax for type json") && !told.contains("secret"), "{told}");
    assert_eq!(refused(write(&origin, "1", &Change::Delete, 1).await), "there is no `delete`");
    assert_eq!(write(&origin, "1", &value, 1).await.unwrap(), Applied::Done);

    // The text of a key stands in the message of a cast in the statement.
    let select = "SELECT v FROM t WHERE id = $1::text::integer".to_owned();
    let cast = connect(&SqlSettings { select, ..settings_of(&server) }).await;
    let error = load(&cast, "secret").await.unwrap_err();
    assert!(matches!(&error, OriginError::Unusable(why) if !why.contains("secret")), "{error}");

    let error = async |origin: &SqlOrigin| failed(write(origin, "1", &value, 1).await);
    let because = async |origin: &SqlOrigin, says: &str| {
        let error = error(origin).await;
        assert!(matches!(&error, OriginError::Failed(why) if why.contains(says)), "{error}");
    };
    // The next write finds a table that has changed, and its own plan too.
    run(&mut admin, "ALTER TABLE t RENAME TO other").await;
    for _ in 0..3 {
        because(&origin, "does not exist").await;
        let error = load(&origin, "1").await.unwrap_err();
        assert!(matches!(&error, OriginError::Failed(why) if why.contains("does not exist")), "{error}");
    }
    run(&mut admin, "ALTER TABLE other RENAME TO t; ALTER TABLE t ALTER id TYPE bigint, ALTER v TYPE text")
        .await;
    assert_eq!(loaded(load(&connect(&settings).await, "1").await).0, b"good");
    eventually("the origin writes to the new table", async || write(&origin, "1", &value, 1).await.is_ok())
        .await;
    assert_eq!(
        write(&origin, "99999999999", &put(b"longer than five", None), 1).await.unwrap(),
        Applied::Done
    );

    run(&mut admin, "BEGIN; LOCK TABLE t").await;
    assert!(matches!(error(&origin).await, OriginError::TimedOut));
    run(&mut admin, "ROLLBACK").await;
    assert_eq!(write(&origin, "1", &value, 1).await.unwrap(), Applied::Done);

    // What a replica says.
    run(&mut admin, "ALTER DATABASE postgres SET default_transaction_read_only = on").await;
    because(&connect(&settings).await, "read-only transaction").await;
}

#[tokio::test]
async fn a_server_that_hangs_dies_and_comes_back_costs_no_place() {
    let mut server = Server::start().await;
    let mut admin = server.connect().await;
    run(
        &mut admin,
        "CREATE TABLE t (id integer PRIMARY KEY, v text); INSERT INTO t VALUES (1, 'v'), (9, 'v')",
    )
    .await;
    let settings = SqlSettings {
        // The key is how long it takes, in seconds.
        select: "SELECT v FROM t, pg_sleep(t.id - 1) WHERE id = $1".to_owned(),
        timeout: Duration::from_secs(1),
        max_concurrency: 1,
        ..settings_of(&server)
    };
    let origin = connect(&settings).await;
    assert_eq!(loaded(load(&origin, "1").await).0, b"v");
    let ours = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'coherd'";

    // A statement that hangs is given up by the server too.
    assert!(matches!(load(&origin, "9").await, Err(OriginError::TimedOut)));
    assert_eq!(loaded(load(&origin, "1").await).0, b"v");
    eventually("nothing works on what was given up", async || ask(&mut admin, ours).await == 1).await;

    // A connection that hangs is left for another.
    let pid =
        ask(&mut admin, "SELECT pid::bigint FROM pg_stat_activity WHERE application_name = 'coherd'").await;
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    kill_process(pid, Signal::STOP).unwrap();
    assert!(load(&origin, "1").await.is_err());
    eventually("another connection is there", async || load(&origin, "1").await.is_ok()).await;
    kill_process(pid, Signal::CONT).unwrap();

    // One that the server has closed is not even noticed.
    run(
        &mut admin,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'coherd'",
    )
    .await;
    assert_eq!(loaded(load(&origin, "1").await).0, b"v");

    server.kill();
    // The process behind a connection outlives it for a moment.
    eventually("nobody answers", async || matches!(load(&origin, "1").await, Err(OriginError::Failed(_))))
        .await;
    server.revive().await;
    eventually("the origin is there again", async || load(&origin, "1").await.is_ok()).await;
    assert_eq!((origin.bulkhead().in_use(), origin.bulkhead().waiting()), (0, 0));
}

#[tokio::test]
async fn tls_is_as_the_url_says() {
    let server = Server::with_tls().await;
    let (port, certificate) = (server.port(), server.certificate());
    let encrypted = async |host: &str, mode: &str| {
        let settings = SqlSettings {
            url: format!("postgres://postgres@{host}:{port}/postgres?{mode}"),
            select: "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid() AND $1 <> ''".to_owned(),
            ..settings_of(&server)
        };
        let origin = connect(&settings).await;
        match load(&origin, "k").await {
            Ok(Fetched::Loaded(Loaded { content: Content::Present(value), .. })) => Ok(value.body == "true"),
            Ok(other) => panic!("{other:?}"),
            Err(error) => Err(error.to_string()),
        }
    };
    assert_eq!(encrypted("localhost", "sslmode=require").await, Ok(true));
    assert_eq!(encrypted("localhost", "").await, Ok(true));
    let own = format!("sslmode=verify-full&sslrootcert={}", certificate.display());
    assert_eq!(encrypted("localhost", &own).await, Ok(true));
    let error = encrypted("127.0.0.1", &own).await.unwrap_err();
    assert!(error.contains("certificate"), "{error}");
    let error = encrypted("localhost", "sslmode=verify-full").await.unwrap_err();
    assert!(error.contains("certificate"), "{error}");
    let error = encrypted("localhost", "sslmode=disable").await.unwrap_err();
    assert!(error.contains("no encryption"), "{error}");
}
