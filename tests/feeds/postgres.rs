//! The outbox in PostgreSQL: what is committed is obeyed, whoever is down meanwhile, and nothing else is.

use serde_json::{Value, json};
use sqlx::{Connection as _, Executor as _, PgConnection};

use super::{hold, logged, obeyed, says_away, sum, untouched, with_source};
use crate::harness::command::coherd;
use crate::harness::instance::{Cluster, Config, Instance, NAMESPACE};
use crate::harness::postgres::Postgres;
use crate::harness::server::Server;
use crate::harness::wait::{SOON, eventually};

const NAME: &str = "shop";
/// How many readers have rows in hand.
const TAKEN: &str = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'coherd' AND state LIKE '%in transaction'";

/// A source whose readers only a notice wakes.
fn source(url: &str) -> toml::Table {
    let pairs = [("kind", "postgres"), ("name", NAME), ("url", url), ("poll_interval", "1h")];
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())).collect()
}

/// A table `things`, each row with a team, that feeds [`NAMESPACE`].
async fn tables(postgres: &Postgres) {
    postgres.psql("CREATE TABLE things (id text PRIMARY KEY, team int, note text)").await;
    let line = [
        "sql",
        "triggers",
        "--table",
        "things",
        "--key",
        "id",
        "--namespace",
        NAMESPACE,
        "--tag",
        "team:{team}",
    ];
    let printed = coherd(&line).await;
    assert_eq!((printed.code, printed.err.as_str()), (Some(0), ""));
    postgres.psql(&printed.out).await;
}

async fn waiting(postgres: &Postgres) -> u32 {
    postgres.psql("SELECT count(*) FROM coherd_outbox").await.parse().expect("a number")
}

async fn empty(postgres: &Postgres) {
    eventually("the outbox is empty", SOON, async || waiting(postgres).await == 0).await;
}

async fn three(postgres: &Postgres) -> Cluster {
    Cluster::with(with_source(3, source(&postgres.url()))).await
}

#[tokio::test]
async fn what_psql_changes_three_instances_answer_anew() {
    let postgres = Postgres::start().await;
    tables(&postgres).await;
    let cluster = three(&postgres).await;
    let bystander = hold(&cluster, "bystander", "team:9").await;
    for (sql, touched) in [
        ("INSERT INTO things VALUES ('a', 1), ('b', 2)", &["a", "b"][..]),
        ("UPDATE things SET note = 'x' WHERE id = 'a'", &["a"]),
        // Of both teams, whichever row it is that changes.
        ("UPDATE things SET team = 3 WHERE id = 'a'", &["a", "of-1", "of-3"]),
        ("UPDATE things SET id = 'c' WHERE id = 'b'", &["b", "c"]),
        ("DELETE FROM things WHERE id = 'c'", &["c", "of-2"]),
        ("INSERT INTO coherd_outbox (event) VALUES ('{\"tags\": [\"team:1\"]}')", &["of-1"]),
    ] {
        for key in touched {
            hold(&cluster, key, &key.replace("of-", "team:")).await;
            cluster.origin.bump(key);
        }
        postgres.psql(sql).await;
        for key in touched {
            obeyed(&cluster, key).await;
        }
    }
    untouched(&cluster, "bystander", bystander).await;
    cluster.origin.bump("bystander");
    postgres.psql("TRUNCATE things").await;
    obeyed(&cluster, "bystander").await;
    empty(&postgres).await;
    // One row, one event: three readers do not log it three times.
    let published = sum(&cluster, r#"coherd_invalidations_published_total{source="postgres"}"#).await;
    assert!((published - 7.0).abs() < 0.1, "{published}");
    assert_eq!(logged(&cluster.server).await, 7);
}

#[tokio::test]
async fn what_changes_while_no_instance_runs_is_obeyed_when_the_first_is_back() {
    let postgres = Postgres::start().await;
    tables(&postgres).await;
    let mut cluster = three(&postgres).await;
    for key in ["a", "b"] {
        hold(&cluster, key, "t").await;
    }
    for node in &mut cluster.nodes {
        node.instance.kill().await;
    }
    for key in ["a", "b"] {
        cluster.origin.bump(key);
        postgres.psql(&format!("INSERT INTO things (id) VALUES ('{key}')")).await;
    }
    assert_eq!(waiting(&postgres).await, 2);
    cluster.nodes[0].instance.restart().await;
    empty(&postgres).await;
    for node in &mut cluster.nodes[1..] {
        node.instance.restart().await;
    }
    for key in ["a", "b"] {
        obeyed(&cluster, key).await;
    }
}

#[tokio::test]
async fn what_is_not_committed_says_nothing_and_what_commits_late_is_not_skipped() {
    let postgres = Postgres::start().await;
    tables(&postgres).await;
    let cluster = three(&postgres).await;
    for key in ["rolled-back", "late", "early"] {
        hold(&cluster, key, "t").await;
    }
    let rolled_back = cluster.origin.version("rolled-back").expect("it is held");
    cluster.origin.bump("early");
    let mut late = PgConnection::connect(&postgres.url()).await.expect("the server takes a connection");
    late.execute("BEGIN; INSERT INTO things (id) VALUES ('late')").await.expect("it is written");
    postgres.psql("BEGIN; INSERT INTO things (id) VALUES ('rolled-back'); ROLLBACK").await;
    postgres.psql("INSERT INTO things (id) VALUES ('early')").await;
    obeyed(&cluster, "early").await;
    assert_eq!(logged(&cluster.server).await, 1);
    untouched(&cluster, "rolled-back", rolled_back).await;
    untouched(&cluster, "late", 1).await;
    // Its row has a smaller id than the one that is gone.
    cluster.origin.bump("late");
    late.execute("COMMIT").await.expect("it is committed");
    obeyed(&cluster, "late").await;
    assert_eq!(logged(&cluster.server).await, 2);
}

#[tokio::test]
async fn an_instance_that_is_killed_in_the_middle_of_a_batch_loses_nothing_and_another_takes_it() {
    let postgres = Postgres::start().await;
    tables(&postgres).await;
    let setup = with_source(2, source(&postgres.url())).set("backend.command_timeout", "1m");
    let mut cluster = Cluster::with(setup).await;
    let keys: Vec<String> = (0..20).map(|number| format!("k{number}")).collect();
    for key in &keys {
        hold(&cluster, key, "t").await;
        cluster.origin.bump(key);
    }
    // It takes the rows and cannot say so to anybody.
    cluster.nodes[1].instance.kill().await;
    cluster.wire(0).stall();
    let rows: Vec<String> = keys.iter().map(|key| format!("('{key}')")).collect();
    postgres.psql(&format!("INSERT INTO things (id) VALUES {}", rows.join(", "))).await;
    eventually("the batch is taken", SOON, async || postgres.psql(TAKEN).await == "1").await;
    assert_eq!(waiting(&postgres).await, 20, "taken is not gone");
    cluster.nodes[0].instance.kill().await;
    cluster.wire(0).restore().await;
    cluster.nodes[1].instance.restart().await;
    empty(&postgres).await;
    cluster.nodes[0].instance.restart().await;
    for key in &keys {
        obeyed(&cluster, key).await;
    }
}

#[tokio::test]
async fn what_a_frozen_instance_has_in_hand_is_free_again_after_a_while() {
    let postgres = Postgres::start().await;
    tables(&postgres).await;
    let mut source = source(&postgres.url());
    source.insert("poll_interval".to_owned(), "100ms".into());
    let mut cluster = Cluster::with(with_source(2, source).set("backend.command_timeout", "1m")).await;
    hold(&cluster, "a", "t").await;
    cluster.origin.bump("a");
    cluster.nodes[1].instance.kill().await;
    cluster.wire(0).stall();
    postgres.psql("INSERT INTO things (id) VALUES ('a')").await;
    eventually("the batch is taken", SOON, async || postgres.psql(TAKEN).await == "1").await;
    cluster.instance(0).pause();
    cluster.nodes[1].instance.restart().await;
    empty(&postgres).await;
    cluster.wire(0).restore().await;
    cluster.instance(0).resume();
    obeyed(&cluster, "a").await;
}

#[tokio::test]
async fn a_batch_that_is_read_again_is_not_logged_again() {
    let postgres = Postgres::start().await;
    tables(&postgres).await;
    let cluster = Cluster::with(with_source(1, source(&postgres.url()))).await;
    // Published, and then the deletion fails: the row is read again, and again.
    postgres
        .psql(
            "CREATE SEQUENCE tries;
             CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                 IF nextval('tries') < 4 THEN RAISE EXCEPTION 'not yet'; END IF; RETURN NULL; END $$;
             CREATE CONSTRAINT TRIGGER fail AFTER DELETE ON coherd_outbox DEFERRABLE INITIALLY DEFERRED
                 FOR EACH ROW EXECUTE FUNCTION fail();
             INSERT INTO things (id) VALUES ('a')",
        )
        .await;
    empty(&postgres).await;
    assert_eq!(postgres.psql("SELECT last_value FROM tries").await, "4");
    assert_eq!(logged(&cluster.server).await, 1);
    let restarts = r#"coherd_task_restarts_total{task="feeds.postgres"}"#;
    assert_eq!(cluster.instance(0).metric(restarts).await, Some(3.0));
}

#[tokio::test]
async fn malformed_rows_are_counted_and_removed_and_stop_nothing_behind_them() {
    let postgres = Postgres::start().await;
    tables(&postgres).await;
    let cluster = three(&postgres).await;
    hold(&cluster, "behind", "t").await;
    cluster.origin.bump("behind");
    let long = "x".repeat(1 << 20);
    let wrong = [
        (json!("text"), "malformed"),
        (json!({ "tag": ["t"] }), "unknown_field"),
        (json!({ "namespace": NAMESPACE, "keys": [""] }), "bad_key"),
        (json!({ "tags": ["a b"] }), "bad_tag"),
        (json!({ "tags": ["t"], "reason": long }), "too_large"),
    ];
    let rows: Vec<String> = wrong.iter().map(|(event, _): &(Value, _)| format!("('{event}')")).collect();
    let behind = format!(
        "INSERT INTO coherd_outbox (event) VALUES {}; INSERT INTO things (id) VALUES ('behind')",
        rows.join(", ")
    );
    postgres.psql(&behind).await;
    obeyed(&cluster, "behind").await;
    empty(&postgres).await;
    for (_, reason) in wrong {
        let counted = sum(&cluster, &format!("coherd_events_rejected_total{{reason=\"{reason}\"}}")).await;
        assert!((counted - 1.0).abs() < 0.1, "{reason}: {counted}");
    }
    assert_eq!(logged(&cluster.server).await, 1);
}

#[tokio::test]
async fn a_database_that_is_away_degrades_and_what_waits_in_it_is_obeyed_when_it_is_back() {
    let mut postgres = Postgres::start().await;
    tables(&postgres).await;
    let cluster = three(&postgres).await;
    hold(&cluster, "a", "t").await;
    for node in &cluster.nodes {
        eventually("the source is reached", SOON, async || node.instance.is_sound().await).await;
        assert_eq!(node.instance.metric(r#"coherd_source_up{name="shop"}"#).await, Some(1.0));
    }
    postgres.kill().await;
    for node in &cluster.nodes {
        eventually("the source is missed", SOON, async || says_away(&node.instance, NAME).await).await;
        assert_eq!(node.instance.metric(r#"coherd_source_up{name="shop"}"#).await, Some(0.0));
    }
    untouched(&cluster, "a", 1).await;
    cluster.origin.bump("a");
    postgres.revive().await;
    postgres.psql("INSERT INTO things (id) VALUES ('a')").await;
    obeyed(&cluster, "a").await;
    for node in &cluster.nodes {
        eventually("the source is reached again", SOON, async || node.instance.is_sound().await).await;
    }
}

#[tokio::test]
async fn a_log_that_is_away_keeps_changes_waiting_and_instances_that_lack_the_table_start() {
    let postgres = Postgres::start().await;
    let cluster = Cluster::with(with_source(1, source(&postgres.url()))).await;
    let instance = cluster.instance(0);
    eventually("there is no table", SOON, async || says_away(instance, NAME).await).await;
    tables(&postgres).await;
    eventually("there is one", SOON, async || instance.is_sound().await).await;
    hold(&cluster, "a", "t").await;
    cluster.origin.bump("a");
    cluster.wire(0).cut().await;
    postgres.psql("INSERT INTO things (id) VALUES ('a')").await;
    eventually("the log is missed", SOON, async || instance.output().contains("changes wait in the outbox"))
        .await;
    assert_eq!(waiting(&postgres).await, 1);
    cluster.wire(0).restore().await;
    obeyed(&cluster, "a").await;
    empty(&postgres).await;
}

#[tokio::test]
async fn many_rows_of_one_statement_are_few_events() {
    let postgres = Postgres::start().await;
    tables(&postgres).await;
    let cluster = three(&postgres).await;
    hold(&cluster, "4999", "t").await;
    cluster.origin.bump("4999");
    postgres.psql("INSERT INTO things (id) SELECT generate_series(0, 4999)").await;
    obeyed(&cluster, "4999").await;
    empty(&postgres).await;
    let events = logged(&cluster.server).await;
    assert!((5..50).contains(&events), "{events} events of 5000 rows");
    let keys = sum(&cluster, r#"coherd_invalidations_applied_total{kind="key",path="pubsub"}"#).await
        + sum(&cluster, r#"coherd_invalidations_applied_total{kind="key",path="stream"}"#).await;
    assert!((keys - 15_000.0).abs() < 0.1, "{keys} keys applied by three instances");
}

#[tokio::test]
async fn a_password_comes_from_its_variable_and_is_shown_nowhere() {
    let postgres = Postgres::start().await;
    tables(&postgres).await;
    let mut source = source(&postgres.url());
    source.insert("password_env".to_owned(), "SHOP_PASSWORD".into());
    let server = Server::start().await;
    let config = Config::new("inst-0", &server.url_at(server.addr()))
        .env("SHOP_PASSWORD", "hunter2")
        .set("sources", vec![toml::Value::Table(source)]);
    let instance = Instance::start(config).await;
    eventually("the source is reached", SOON, async || instance.is_sound().await).await;
    assert!(!instance.output().contains("hunter2"), "{}", instance.output());
}
