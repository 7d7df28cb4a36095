//! Traces: from a caller through an instance to the origin, and from a publisher to every instance that obeys.

use serde_json::{Value, json};

use super::recorder::{Meets, Recorder, text};
use crate::harness::http::Client;
use crate::harness::instance::{Cluster, NAMESPACE, Setup};
use crate::harness::wait::{SOON, eventually};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const CALLER: &str = "00f067aa0ba902b7";

/// Kinds as the protocol numbers them.
const SERVER: u64 = 2;
const CLIENT: u64 = 3;
const PRODUCER: u64 = 4;
const CONSUMER: u64 = 5;

fn traced(instances: usize, origin: &Recorder, collector: Option<&Recorder>) -> Setup {
    let setup = Setup::new(instances).namespace("origin.url", format!("{}/{{key}}", origin.url()));
    match collector {
        Some(collector) => setup.set("tracing.otlp_endpoint", collector.url()),
        None => setup,
    }
}

/// Waits until there are as many spans of a kind in a trace.
async fn spans(collector: &Recorder, trace: &str, kind: u64, count: usize) -> Vec<(String, Value)> {
    let of = || {
        let mut all = collector.spans();
        all.retain(|(_, span)| span["traceId"] == trace && span["kind"] == kind);
        all
    };
    eventually("the spans have come", SOON, async || count <= of().len()).await;
    let found = of();
    assert_eq!(found.len(), count, "{found:#?}");
    found
}

#[tokio::test]
async fn a_read_that_misses_is_one_trace_from_the_caller_to_the_origin() {
    let (origin, collector) = (Recorder::start().await, Recorder::start().await);
    let cluster = Cluster::with(traced(2, &origin, Some(&collector))).await;
    let a = cluster.instance(0);
    let read = |key| a.get(NAMESPACE, key).header("traceparent", PARENT).header("tracestate", "vendor=1");
    assert_eq!(read("secret-key").send().await.status, 200);

    let servers = spans(&collector, TRACE, SERVER, 1).await;
    let (instance, server) = &servers[0];
    assert_eq!(
        (instance.as_str(), &server["parentSpanId"], &server["name"]),
        ("inst-0", &json!(CALLER), &json!("GET"))
    );
    assert_eq!(text(&server["attributes"], "http.response.status_code"), "200");
    assert_eq!(text(&server["attributes"], "http.route"), "/v1/cache/{namespace}/{key}");
    assert!(text(&server["attributes"], "coherd.cache_status").starts_with("coherd; fwd=miss"));
    assert_eq!(server["traceState"], "vendor=1");
    let clients = spans(&collector, TRACE, CLIENT, 1).await;
    assert_eq!(clients[0].1["parentSpanId"], server["spanId"]);
    let asked = &origin.sent()[0].headers;
    let told = format!("00-{TRACE}-{}-01", clients[0].1["spanId"].as_str().expect("a text"));
    assert_eq!(
        (asked["traceparent"].as_bytes(), asked["tracestate"].as_bytes()),
        (told.as_bytes(), &b"vendor=1"[..])
    );
    let everything: String =
        collector.sent().iter().map(|it| String::from_utf8_lossy(&it.body).into_owned()).collect();
    assert!(!everything.contains("secret-key"), "a key is in no span");

    // The log says which trace a request was of, at debug.
    let lines: Vec<Value> = a.output().lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    assert!(
        lines.iter().any(|line| line["level"] == "DEBUG" && line["span"]["trace_id"] == TRACE),
        "{}",
        a.output()
    );

    // A hit has no client, and whoever is not sampled or malformed is not exported.
    assert_eq!(read("secret-key").send().await.status, 200);
    spans(&collector, TRACE, SERVER, 2).await;
    let unsampled = PARENT.replace("4bf9", "aaaa").replace("-01", "-00");
    for parent in [unsampled.as_str(), "nonsense", ""] {
        let status = a.get(NAMESPACE, "other").header("traceparent", parent).send().await.status;
        assert_eq!(status, 200);
    }
    assert_eq!(a.get(NAMESPACE, "third").header("traceparent", PARENT).send().await.status, 200);
    spans(&collector, TRACE, SERVER, 3).await;
    assert!(collector.spans().iter().all(|(_, span)| span["traceId"] == TRACE), "{:#?}", collector.spans());
    let told = origin.sent()[1].headers["traceparent"].to_str().unwrap().to_owned();
    assert!(
        told.starts_with(&unsampled[..36]) && told.ends_with("-00"),
        "{told}: passed on as it was decided"
    );

    // Exemplars lead from a panel to the trace.
    let page = Client::new()
        .get(&a.admin_url("/metrics"))
        .header("accept", "application/openmetrics-text")
        .send()
        .await;
    let exemplar = format!("# {{trace_id=\"{TRACE}\"}} ");
    for result in ["miss", "l1"] {
        let bucket = format!("coherd_request_duration_seconds_bucket{{result=\"{result}\",le=");
        let page = page.text();
        assert!(page.lines().any(|line| line.starts_with(&bucket) && line.contains(&exemplar)), "{page}");
    }
    assert_eq!(a.metric("coherd_trace_spans_dropped_total").await, Some(0.0));
    assert!(a.metric("coherd_trace_spans_exported_total").await >= Some(5.0));
}

#[tokio::test]
async fn an_invalidation_leads_from_its_publisher_to_every_instance_that_obeys() {
    let (origin, collector) = (Recorder::start().await, Recorder::start().await);
    let cluster = Cluster::with(traced(3, &origin, Some(&collector))).await;
    let server = &cluster.server;
    let event = |trace: &str| json!({"namespace": NAMESPACE, "keys": ["k"], "traceparent": PARENT.replace("4bf9", trace)});

    // By header at the door: request, publication, three applications.
    let purge = cluster.instance(0).purge(NAMESPACE, "k").header("traceparent", PARENT).send().await;
    assert_eq!(purge.status, 200);
    let producer = spans(&collector, TRACE, PRODUCER, 1).await.remove(0);
    let request = spans(&collector, TRACE, SERVER, 1).await.remove(0);
    assert_eq!((producer.0.as_str(), &producer.1["parentSpanId"]), ("inst-0", &request.1["spanId"]));
    let id = text(&producer.1["attributes"], "coherd.event.id");
    assert_eq!(purge.header("coherd-log-id"), Some(id.as_str()));
    let applied = spans(&collector, TRACE, CONSUMER, 3).await;
    let mut instances: Vec<&str> = applied.iter().map(|(instance, _)| instance.as_str()).collect();
    instances.sort_unstable();
    assert_eq!(instances, ["inst-0", "inst-1", "inst-2"]);
    for (_, span) in &applied {
        assert_eq!(span["links"], json!([{"traceId": TRACE, "spanId": producer.1["spanId"]}]));
        assert_eq!(text(&span["attributes"], "coherd.event.id"), id);
    }

    // In the event itself, by every other way in.
    cluster.instance(1).invalidate("", &event("b001")).send().await;
    let told = event("b002").to_string();
    server.command(&["XADD", "coherd:{main}:inbox", "*", "event", &told]).await;
    server.command(&["PUBLISH", "coherd:{main}:inbox", &event("b003").to_string()]).await;
    let fields = ["ns", NAMESPACE, "key", "k", "traceparent", &PARENT.replace("4bf9", "b004")];
    server.command(&[&["XADD", "coherd:{main}:inbox", "*"], &fields[..]].concat()).await;
    server.command(&[&["FCALL", "coherd_invalidate", "1", "coherd:{main}:ctl"], &fields[..]].concat()).await;
    for trace in ["b001", "b002", "b003"] {
        let trace = TRACE.replace("4bf9", trace);
        let applied = spans(&collector, &trace, CONSUMER, 3).await;
        assert_ne!(applied[0].1["links"][0]["spanId"], CALLER, "from its publication on");
    }
    // The last two are of one trace; the server logs its own as it came.
    let applied = spans(&collector, &TRACE.replace("4bf9", "b004"), CONSUMER, 6).await;
    let straight = applied.iter().filter(|(_, span)| span["links"][0]["spanId"] == CALLER).count();
    assert_eq!(straight, 3, "{applied:#?}");

    let page = cluster.instance(2);
    let page = Client::new()
        .get(&page.admin_url("/metrics"))
        .header("accept", "application/openmetrics-text")
        .send()
        .await;
    let exemplar = "# {trace_id=\"";
    let lag =
        |line: &str| line.starts_with("coherd_invalidation_lag_seconds_bucket") && line.contains(exemplar);
    assert!(page.text().lines().any(lag), "{}", page.text());
}

#[tokio::test]
async fn a_trace_is_passed_on_where_nothing_is_exported_and_begun_where_it_is_drawn() {
    let origin = Recorder::start().await;
    let off = Cluster::with(traced(1, &origin, None)).await;
    assert_eq!(off.instance(0).get(NAMESPACE, "1").header("traceparent", PARENT).send().await.status, 200);
    assert_eq!(off.instance(0).get(NAMESPACE, "2").send().await.status, 200);
    let told = |number: usize| {
        origin.sent()[number].headers.get("traceparent").map(|it| it.to_str().unwrap().to_owned())
    };
    let passed_on = told(0).expect("a caller's trace is passed on");
    assert!(passed_on.contains(TRACE) && !passed_on.contains(CALLER), "{passed_on}");
    assert_eq!(told(1), None);

    let collector = Recorder::start().await;
    let drawn = Cluster::with(traced(1, &origin, Some(&collector)).set("tracing.sample", 1.0)).await;
    assert_eq!(drawn.instance(0).get(NAMESPACE, "3").send().await.status, 200);
    let begun = told(2).expect("a trace of its own");
    spans(&collector, &begun[3..35], SERVER, 1).await;
    let root = spans(&collector, &begun[3..35], SERVER, 1).await.remove(0).1;
    assert_eq!(root.get("parentSpanId"), None);
}

#[tokio::test]
async fn a_collector_that_hangs_or_refuses_costs_spans_and_nothing_else() {
    let (origin, collector) = (Recorder::start().await, Recorder::start().await);
    collector.meet(Meets::Silence);
    let setup =
        traced(1, &origin, Some(&collector)).set("tracing.sample", 1.0).set("tracing.timeout", "200ms");
    let cluster = Cluster::with(setup).await;
    let a = cluster.instance(0);
    let client = Client::keeping();
    let url = a.url(&format!("/v1/cache/{NAMESPACE}/k"));
    assert_eq!(client.get(&url).send().await.status, 200);
    // More than wait and are sent at once, while nobody takes any.
    for _ in 0..6_000 {
        assert_eq!(client.get(&url).send().await.status, 200);
    }
    let dropped = async || a.metric("coherd_trace_spans_dropped_total").await.expect("a counter");
    eventually("spans are dropped", SOON, async || 0.0 < dropped().await).await;
    let slow = a.metric(r#"coherd_request_duration_seconds_bucket{result="l1",le="0.25"}"#).await;
    assert_eq!(slow, a.metric(r#"coherd_request_duration_seconds_count{result="l1"}"#).await);
    collector.meet(Meets::Status(400));
    let before = dropped().await;
    eventually("what is refused for good is dropped at once", SOON, async || {
        before + 512.0 <= dropped().await
    })
    .await;
    collector.meet(Meets::Answer);
    assert_eq!(a.get(NAMESPACE, "k").header("traceparent", PARENT).send().await.status, 200);
    spans(&collector, TRACE, SERVER, 1).await;
    let (sound, _) = a.readyz().await;
    assert_eq!(sound, 200);
}

#[tokio::test]
async fn nothing_listens_at_the_endpoint_and_a_stop_is_quick_and_clean() {
    let origin = Recorder::start().await;
    let setup = traced(1, &origin, None)
        .set("tracing.otlp_endpoint", "http://127.0.0.1:1")
        .set("tracing.sample", 1.0);
    let mut cluster = Cluster::with(setup).await;
    assert_eq!(cluster.instance(0).get(NAMESPACE, "k").send().await.status, 200);
    cluster.instance(0).terminate();
    let status = cluster.nodes[0].instance.exit(SOON).await;
    assert_eq!(status.code(), Some(0), "{}", cluster.instance(0).output());
}
