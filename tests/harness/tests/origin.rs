//! The origin's gate, faults and counts.

use std::time::Duration;

use serde_json::json;
use tokio::time::timeout;

use crate::harness::http::{Client, Request};
use crate::harness::origin::{Behaviour, Effect, Fault, Origin};
use crate::harness::wait::{SOON, eventually};

struct Bench {
    origin: Origin,
    client: Client,
}

impl Bench {
    async fn new() -> Self {
        Self { origin: Origin::start().await, client: Client::new() }
    }

    fn url(&self, key: &str) -> String {
        self.origin.url().replace("{key}", key)
    }

    fn get(&self, key: &str) -> Request {
        self.client.get(&self.url(key))
    }
}

#[tokio::test]
async fn a_held_read_answers_with_what_it_read_at_its_arrival() {
    let bench = Bench::new().await;
    bench.origin.set("eu/7", 1);
    let gate = bench.origin.hold("eu/7");

    let held = async { bench.get("eu%2F7").send().await };
    let change = async {
        gate.arrived(1).await;
        bench.origin.set("eu/7", 2);
        gate.release();
    };
    let (held, ()) = tokio::join!(held, change);
    assert_eq!((held.status, held.json()), (200, json!({ "key": "eu/7", "version": 1 })));

    let next = bench.get("eu/7").send().await;
    assert_eq!(next.json()["version"], 2);
    assert_eq!(
        (next.header("etag"), next.header("content-type")),
        (Some("\"v2\""), Some("application/json"))
    );
}

#[tokio::test]
async fn a_gate_lets_go_one_at_a_time() {
    let bench = Bench::new().await;
    bench.origin.set("k", 1);
    let gate = bench.origin.hold("k");
    let mut first = Box::pin(bench.get("k").send());
    let arrival = async { gate.arrived(1).await };
    tokio::select! {
        answer = &mut first => panic!("passed a closed gate: {answer:?}"),
        () = arrival => {}
    }
    bench.origin.set("k", 2);
    let mut second = Box::pin(bench.get("k").send());
    tokio::select! {
        answer = &mut second => panic!("passed a closed gate: {answer:?}"),
        () = gate.arrived(2) => {}
    }
    assert_eq!(bench.origin.peak(), 2);

    gate.release_first(1);
    assert_eq!(first.await.json()["version"], 1);
    let early = timeout(Duration::from_millis(200), &mut second).await;
    assert!(early.is_err(), "only the first was released");
    gate.release();
    assert_eq!(second.await.json()["version"], 2);
    assert_eq!(gate.count(), 2);
}

#[tokio::test]
async fn it_says_what_it_is_told_to_say() {
    let bench = Bench::new().await;
    bench.origin.set("k", 3);
    let behaviour = Behaviour { conditional: true, ..Behaviour::default() };
    bench.origin.behave("k", behaviour.header("cache-control", "max-age=5").header("cache-tag", "a,b"));

    let fresh = bench.get("k").send().await;
    assert_eq!((fresh.header("cache-control"), fresh.header("cache-tag")), (Some("max-age=5"), Some("a,b")));
    let unchanged = bench.get("k").header("if-none-match", "\"v3\"").send().await;
    assert_eq!((unchanged.status, unchanged.text().as_str()), (304, ""));
    assert_eq!(unchanged.header("cache-control"), Some("max-age=5"));
    bench.origin.bump("k");
    assert_eq!(bench.get("k").header("if-none-match", "\"v3\"").send().await.status, 200);
    assert_eq!((bench.origin.reads("k"), bench.origin.not_modified("k")), (3, 1));

    bench.origin.remove("k");
    assert_eq!(bench.get("k").send().await.status, 404);
    assert_eq!(bench.origin.bump("k"), 5);
    assert_eq!(bench.get("unknown").send().await.status, 404);
    assert_eq!(bench.origin.requests(), 5);
}

#[tokio::test]
async fn it_fails_in_every_way_and_recovers() {
    let bench = Bench::new().await;
    bench.origin.set("k", 1);
    bench.origin.fail_next("k", &[Fault::Status(503), Fault::Close, Fault::Truncate]);
    assert_eq!(bench.get("k").send().await.status, 503);
    bench.get("k").try_send().await.expect_err("closed without an answer");
    bench.get("k").try_send().await.expect_err("closed in the body");
    assert_eq!(bench.get("k").send().await.status, 200);

    bench.origin.behave_always(Behaviour { fault: Some(Fault::Hang), ..Behaviour::default() });
    let answer = timeout(Duration::from_millis(200), bench.get("k").send()).await;
    assert!(answer.is_err(), "it hangs");
    let delay = Duration::from_millis(150);
    bench.origin.behave("k", Behaviour { delay, ..Behaviour::default() });
    assert!(timeout(delay, bench.get("k").send()).await.is_err(), "it is slow");
    assert_eq!(bench.get("k").send().await.status, 200);
}

#[tokio::test]
async fn a_write_takes_effect_unless_a_later_one_came_first() {
    let bench = Bench::new().await;
    let put = async |body: &'static str, seq: &str| {
        let put = bench.client.put(&bench.url("k"), body).header("coherd-write-seq", seq);
        put.header("idempotency-key", &format!("id-{seq}")).send().await.status
    };
    assert_eq!(put("second", "2").await, 204);
    assert_eq!(put("first", "1").await, 412);
    assert_eq!(put("second", "2").await, 204);
    assert_eq!(bench.get("k").send().await.text(), "second");
    assert_eq!(bench.client.delete(&bench.url("k")).send().await.status, 204);
    assert_eq!(bench.origin.version("k"), None);

    let writes = bench.origin.writes("k");
    let seen: Vec<_> = writes.iter().map(|write| (write.seq, write.body.as_deref(), write.effect)).collect();
    let expected: [(_, Option<&[u8]>, _); 4] = [
        (Some(2), Some(b"second"), Effect::Applied),
        (Some(1), Some(b"first"), Effect::Superseded),
        (Some(2), Some(b"second"), Effect::Repeated),
        (None, None, Effect::Applied),
    ];
    assert_eq!(seen, expected);
    assert_eq!(writes[0].idempotency_key.as_deref(), Some("id-2"));
}

#[tokio::test]
async fn a_removal_leaves_its_fence() {
    let bench = Bench::new().await;
    let put =
        async |seq| bench.client.put(&bench.url("k"), "old").header("coherd-write-seq", seq).send().await;
    assert_eq!(put("1").await.status, 204);
    assert_eq!(bench.client.delete(&bench.url("k")).header("coherd-write-seq", "3").send().await.status, 204);
    assert_eq!(put("2").await.status, 412);
    assert_eq!(bench.origin.version("k"), None);
}

#[tokio::test]
async fn a_write_that_is_held_lands_when_its_client_has_gone() {
    let bench = Bench::new().await;
    let gate = bench.origin.hold_writes("k");
    let put = bench.client.put(&bench.url("k"), "late").send();
    tokio::select! {
        _ = put => panic!("nothing answers it"),
        () = gate.arrived(1) => {}
    }
    assert_eq!(bench.get("k").send().await.status, 404, "reads are not held");
    assert_eq!(bench.origin.writing(), 1);
    gate.release();
    eventually("it lands", SOON, async || bench.origin.version("k").is_some()).await;
    eventually("it is out of its hands", SOON, async || bench.origin.writing() == 0).await;
}

#[tokio::test]
async fn a_write_whose_answer_is_held_has_taken_effect() {
    let bench = Bench::new().await;
    let gate = bench.origin.hold_answers("k");
    let url = bench.url("k");
    let answered = async {
        gate.arrived(1).await;
        let read = bench.get("k").send().await.text();
        gate.release();
        read
    };
    let (put, read) = tokio::join!(bench.client.put(&url, "there").send(), answered);
    assert_eq!((put.status, read.as_str()), (204, "there"));
}

#[tokio::test]
async fn writes_have_faults_of_their_own() {
    let bench = Bench::new().await;
    bench.origin.set("k", 1);
    let late = Duration::from_millis(50);
    let met = async |fault| {
        bench.origin.behave("k", Behaviour { writes: Some(fault), ..Behaviour::default() });
        let answer = bench.client.put(&bench.url("k"), "new").try_send().await.map(|answer| answer.status);
        assert_eq!(bench.get("k").send().await.status, 200, "reads do not meet them");
        (answer.ok(), bench.origin.writes("k").last().map(|write| write.effect))
    };
    assert_eq!(met(Fault::Status(422)).await, (Some(422), Some(Effect::Refused)));
    assert_eq!(met(Fault::Status(429)).await, (Some(429), Some(Effect::Failed)));
    assert_eq!(met(Fault::Close).await, (None, Some(Effect::Failed)));
    assert_eq!(met(Fault::Truncate).await, (None, Some(Effect::Applied)));
    assert_eq!(met(Fault::AnswerLate(late)).await, (Some(204), Some(Effect::Applied)));
    assert_eq!(met(Fault::LandLate(late)).await, (Some(204), Some(Effect::Applied)));
}
