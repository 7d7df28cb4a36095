//! The two listeners in front of a real cache and a real log, in one process over the embedded backend.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use coherd::backend::memory::{Limits, Memory, Store};
use coherd::backend::wire::Compression;
use coherd::cache::{self, Cache, OriginError, Policy};
use coherd::clock::Clock;
use coherd::coherence::{self, Coherence};
use coherd::guard::Urgency;
use coherd::http::{AdminDesk, DataDesk, Desk, Listener, Right, Settings, Spawn, Tokens, Vitals};
use coherd::limit::RateLimits;
use coherd::lock::Locks;
use coherd::model::{Content, Keep, Key, Lifetime, Loaded, Namespace, ShardCount, Stated, Value, etag_of};
use coherd::origin::{Fetched, Origin, Validators};
use coherd::supervisor::{Stage, Supervisor};
use coherd::telemetry::trace::Tracer;
use coherd::telemetry::{Metrics, Readiness};
use coherd::write::{self, Writes};
use hyper::body::Body as _;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::time::Instant;

use crate::harness::http::{Client, Request};
use crate::harness::wait::{SOON, eventually};

/// Has every key but `none`: JSON that counts the loads.
#[derive(Default)]
struct Counting(AtomicU64);

#[async_trait]
impl Origin for Counting {
    async fn load(
        &self,
        key: &Key,
        _held: Option<&Validators>,
        _urgency: Urgency,
    ) -> Result<Fetched, OriginError> {
        let loads = self.0.fetch_add(1, Ordering::SeqCst) + 1;
        let body = format!("{{\"load\":{loads}}}");
        let value = Value {
            etag: Some(etag_of(body.as_bytes())),
            body: body.into(),
            content_type: Some("application/json".into()),
            last_modified: None,
        };
        match &**key {
            "broken" => Err(OriginError::Status(500)),
            _ => Ok(Fetched::Loaded(Loaded {
                content: if &**key == "none" { Content::Absent } else { Content::Present(value) },
                tags: vec![],
                lifetime: Stated::default(),
                age: Duration::ZERO,
                keep: Keep::Yes,
            })),
        }
    }
}

/// An instance with the namespaces `users` (an origin) and `aside` (none).
pub(crate) struct Door {
    pub(crate) data: SocketAddr,
    admin: SocketAddr,
    client: Client,
    supervisor: Supervisor,
}

fn namespace(name: &str, origin: Option<Arc<dyn Origin>>) -> cache::Settings {
    cache::Settings {
        name: Namespace::new(name).expect("a namespace"),
        version: 1,
        max_staleness: Duration::from_secs(2),
        available: false,
        lifetime: Lifetime { fresh: Duration::from_secs(60), ..Lifetime::default() },
        ttl_jitter: 0.0,
        negative_ttl: Duration::from_secs(5),
        lease: Duration::from_secs(5),
        l1_capacity: 1 << 20,
        l1_policy: Policy::Lru,
        max_value: 1000,
        compression: Compression::None,
        tags: vec!["ns:{namespace}".to_owned()],
        depends_on: vec![],
        origin,
        written: false,
        behind: false,
        load_max: Duration::from_secs(2),
        backend_max: Duration::from_secs(5),
        soft_timeout: Duration::ZERO,
        refresh_ahead: 0.0,
        origin_lag: Duration::ZERO,
        refreshers: None,
    }
}

impl Door {
    pub(crate) async fn open(tokens: Tokens) -> Self {
        let metrics = Arc::new(Metrics::new(&[], "0", "test").expect("metrics"));
        let supervisor = Supervisor::new(metrics.tasks.clone());
        let store = Store::new(ShardCount::ONE, Limits::default(), Clock::Boottime, 1_700_000_000_000);
        let backend = Arc::new(Memory::join(&store));
        let spaces = vec![namespace("users", Some(Arc::new(Counting::default()))), namespace("aside", None)];
        let coherence = Coherence::new(coherence::Settings {
            tracer: Tracer::default(),
            backend: backend.clone(),
            clock: Clock::Boottime,
            metrics: Arc::clone(&metrics.coherence),
            instance: "inst-a".to_owned(),
            process: 0,
            slots: coherence::SLOTS,
            namespaces: spaces
                .iter()
                .map(|it| (it.name.clone(), (1, it.max_staleness)))
                .collect::<HashMap<_, _>>(),
            max_staleness: Duration::from_secs(2),
            recent: Duration::ZERO,
            depended_on: HashSet::new(),
        });
        coherence.start(&supervisor);
        let limits = Arc::new(RateLimits::new(Vec::new(), backend.clone(), &Clock::Boottime, &metrics));
        let locks = Arc::new(Locks::new(backend.clone(), Arc::clone(&coherence), supervisor.clone()));
        let cache = Cache::new(
            spaces,
            "inst-a",
            backend.clone(),
            Arc::clone(&coherence),
            supervisor.clone(),
            &metrics,
        );
        let (cache, tokens) = (Arc::new(cache), Arc::new(tokens));
        let behind = write::Settings {
            partitions: 1,
            batch: 1,
            takeover: Duration::from_secs(10),
            backlog_max: 1,
            initial: Duration::from_millis(100),
            max: Duration::from_secs(30),
            attempts: 1,
            grace: Duration::ZERO,
        };
        let rooms = (Arc::clone(&cache), Arc::clone(&coherence));
        let counted = Arc::clone(&metrics.write_behind);
        let (nowhere, of) = (BTreeMap::new(), supervisor.clone());
        let writes = Writes::new(nowhere, behind, "inst-a", backend, rooms, of, counted);
        let writes = Arc::new(writes);
        let readiness = Readiness::new();
        let settings = Arc::new(Settings {
            instance: "inst-a".to_owned(),
            cluster: "main".to_owned(),
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(30),
            shutdown_grace: Duration::from_secs(10),
            max_body: 1 << 20,
            rooms: coherd::http::Rooms::for_bodies_of(1000),
            connections_max: 100,
            clock: Clock::Boottime,
        });
        let admin = AdminDesk {
            writes: Arc::clone(&writes),
            cache: Arc::clone(&cache),
            coherence: Arc::clone(&coherence),
            readiness: readiness.clone(),
            metrics,
            tasks: supervisor.follow(),
            vitals: Arc::new(Vitals::default),
            tokens: Arc::clone(&tokens),
            settings: Arc::clone(&settings),
            started: Instant::now(),
            stop: supervisor.stopping(Stage::Door),
        };
        let attached = Arc::clone(&coherence);
        let data = DataDesk {
            writes,
            cache,
            coherence,
            readiness,
            tokens,
            tracer: Tracer::default(),
            settings: Arc::clone(&settings),
            limits,
            locks,
        };
        let door = Self {
            data: listen(&supervisor, &settings, data).await,
            admin: listen(&supervisor, &settings, admin).await,
            client: Client::new(),
            supervisor,
        };
        eventually("it follows the log", SOON, async || attached.attached()).await;
        door
    }

    fn ask(&self, method: &str, path: &str) -> Request {
        self.client.request(method, &format!("http://{}{path}", self.data))
    }

    fn ask_admin(&self, method: &str, path: &str) -> Request {
        self.client.request(method, &format!("http://{}{path}", self.admin))
    }
}

async fn listen<D: Desk>(supervisor: &Supervisor, settings: &Arc<Settings>, desk: D) -> SocketAddr {
    let socket = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = socket.local_addr().expect("it is bound");
    let of = supervisor.clone();
    let spawn: Spawn = Arc::new(move |name, work| drop(of.spawn(Stage::Door, name, work)));
    let (desk, settings, lame_duck) = (Arc::new(desk), Arc::clone(settings), Duration::ZERO);
    let listener = Listener { name: "test", socket, desk, settings, tls: None, spawn, lame_duck };
    let stop = supervisor.stopping(Stage::Door);
    drop(supervisor.spawn(Stage::Door, "http.listener", async move {
        listener.run(stop).await;
    }));
    address
}

#[tokio::test]
async fn a_value_is_loaded_kept_revalidated_and_purged() {
    let door = Door::open(Tokens::default()).await;
    let miss = door.ask("GET", "/v1/cache/users/1").send().await;
    assert_eq!((miss.status, miss.text().as_str()), (200, "{\"load\":1}"));
    assert_eq!(miss.header("cache-status"), Some("coherd; fwd=miss; stored; detail=origin"));
    assert_eq!(miss.header("coherd-instance"), Some("inst-a"));
    let hit = door.ask("GET", "/v1/cache/users/1").send().await;
    let status = hit.header("cache-status").unwrap_or_default();
    assert!(status.starts_with("coherd; hit; ttl=") && status.ends_with("; detail=l1"), "{status}");
    assert_eq!(
        (hit.header("content-type"), hit.header("cache-control")),
        (Some("application/json"), Some("max-age=60"))
    );
    let etag = hit.header("etag").expect("an etag").to_owned();
    let same = door.ask("GET", "/v1/cache/users/1").header("if-none-match", &etag).send().await;
    assert_eq!((same.status, same.body.len()), (304, 0));
    let head = door.ask("HEAD", "/v1/cache/users/1").send().await;
    assert_eq!((head.status, head.header("content-length"), head.body.len()), (200, Some("10"), 0));

    let purged = door.ask("PURGE", "/v1/cache/users/1").send().await;
    let id = purged.header("coherd-log-id").expect("a purge has a place in the log").to_owned();
    assert_eq!((purged.status, &purged.json()), (200, &json!({ "id": id })));
    let after = door.ask("GET", "/v1/cache/users/1").header("coherd-min-log-id", &id).send().await;
    assert_eq!(after.text(), "{\"load\":2}");
    let strict = door.ask("GET", "/v1/cache/users/1").header("coherd-consistency", "strict").send().await;
    assert_eq!((strict.status, strict.text().as_str()), (200, "{\"load\":2}"));
}

#[tokio::test]
async fn absences_failures_and_unknown_names_have_their_codes() {
    let door = Door::open(Tokens::default()).await;
    let absent = door.ask("GET", "/v1/cache/users/none").send().await;
    assert_eq!((absent.status, &absent.json()["code"]), (404, &json!("not_found")));
    let again = door.ask("GET", "/v1/cache/users/none").send().await;
    assert_eq!((again.status, again.header("cache-status")), (404, Some("coherd; hit; detail=negative")));
    let broken = door.ask("GET", "/v1/cache/users/broken").send().await;
    assert_eq!((broken.status, &broken.json()["code"]), (502, &json!("origin_failed")));
    let only = door.ask("GET", "/v1/cache/users/x").header("cache-control", "only-if-cached").send().await;
    assert_eq!((only.status, &only.json()["code"]), (504, &json!("not_cached")));
    let unknown = door.ask("GET", "/v1/cache/other/1").send().await;
    assert_eq!((unknown.status, &unknown.json()["code"]), (404, &json!("unknown_namespace")));
    let off = door.ask("PUT", "/v1/cache/users/1").body("v").send().await;
    assert_eq!((off.status, &off.json()["code"]), (403, &json!("write_off")));
    let bad = door.ask("GET", "/v1/cache/users/1").header("coherd-min-log-id", "x").send().await;
    assert_eq!((bad.status, &bad.json()["code"]), (400, &json!("bad_request")));
}

#[tokio::test]
async fn many_keys_are_one_document() {
    let door = Door::open(Tokens::default()).await;
    door.ask("GET", "/v1/cache/users/a").send().await;
    let bulk = door.ask("GET", "/v1/cache/users?keys=a,none,broken").send().await;
    let document = bulk.json();
    assert_eq!(
        document["a"],
        json!({"status": 200, "cache": "l1", "content_type": "application/json", "value": {"load": 1}})
    );
    assert_eq!((&document["none"]["status"], &document["none"]["code"]), (&json!(404), &json!("not_found")));
    assert_eq!(
        (&document["broken"]["status"], &document["broken"]["code"]),
        (&json!(502), &json!("origin_failed"))
    );
    let posted = door.ask("POST", "/v1/cache/users").body(r#"{"keys":["a","a","b,c"]}"#).send().await;
    assert_eq!(posted.json().as_object().map(serde_json::Map::len), Some(2));
}

#[tokio::test]
async fn an_application_loads_by_lease_and_a_slow_one_stores_nothing() {
    let door = Door::open(Tokens::default()).await;
    let miss = door.ask("GET", "/v1/cache/aside/1").send().await;
    let lease = miss.header("coherd-lease").expect("the first reader gets the lease").to_owned();
    assert_eq!((miss.status, &miss.json()["code"]), (404, &json!("not_found")));
    let put =
        |text: &'static str| door.ask("PUT", "/v1/cache/aside/1").header("content-type", "text/x").body(text);
    assert_eq!(put("old").header("coherd-lease", &lease).send().await.status, 204);
    let read = door.ask("GET", "/v1/cache/aside/1").send().await;
    assert_eq!((read.text().as_str(), read.header("content-type")), ("old", Some("text/x")));
    assert!(read.header("etag").is_some());

    let changed = put("new").header("cache-tag", "t:1").send().await;
    assert_eq!((changed.status, changed.header("coherd-log-id").is_some()), (200, true));
    let lost = put("old").header("coherd-lease", &lease).send().await;
    assert_eq!((lost.status, &lost.json()["code"]), (409, &json!("lease_lost")));
    let large = put("new").body("x".repeat(1001)).send().await;
    assert_eq!((large.status, &large.json()["code"]), (413, &json!("too_large")));
    assert_eq!(door.ask("GET", "/v1/cache/aside/1").send().await.text(), "new");

    let by_tag = door.ask("POST", "/v1/invalidate?wait=all").header("surrogate-key", "t:1").send().await;
    assert_eq!((by_tag.status, &by_tag.json()["missing"]), (200, &json!([])));
    assert!(["early", "late"].contains(&by_tag.json()["mode"].as_str().unwrap_or_default()), "{by_tag:?}");
    let gone = door.ask("GET", "/v1/cache/aside/1").send().await;
    assert_eq!((gone.status, gone.header("coherd-lease").is_some()), (404, true));
    let deleted = door.ask("DELETE", "/v1/cache/aside/1").send().await;
    assert_eq!((deleted.status, deleted.header("coherd-log-id").is_some()), (200, true));
}

#[tokio::test]
async fn an_invalidation_is_accepted_widened_repeated_or_refused() {
    let door = Door::open(Tokens::default()).await;
    let publish =
        |query: &str, body: &str| door.ask("POST", &format!("/v1/invalidate{query}")).body(body.to_owned());
    let first = publish("", r#"{"namespace":"users","prefixes":["eu"],"request_id":"r"}"#).send().await;
    assert_eq!((first.status, &first.json()["widened"]), (202, &json!({"eu": ""})));
    assert_eq!(first.json()["id"].as_str(), first.header("coherd-log-id"));
    let again = publish("", r#"{"namespace":"users","prefixes":["eu"],"request_id":"r"}"#).send().await;
    assert_eq!(again.json()["id"], first.json()["id"]);
    let exact = publish("?exact=true", r#"{"namespace":"users","prefixes":["eu"]}"#).send().await;
    assert_eq!((exact.status, &exact.json()["code"]), (400, &json!("bad_request")));
    let packed =
        publish("", "\u{1}").header("content-type", "application/msgpack").body(b"\x81\xa3all\xc3".to_vec());
    assert_eq!(packed.send().await.status, 202);
    let large = publish("", &"x".repeat(1 << 21)).send().await;
    assert_eq!((large.status, &large.json()["code"]), (413, &json!("too_large")));
}

#[tokio::test]
async fn a_token_opens_only_what_it_is_for() {
    let mut tokens = Tokens::default();
    tokens.add("reader", b"r", [Right::Read], [Namespace::new("users").expect("a namespace")]);
    tokens.add("purger", b"p", [Right::Invalidate], [Namespace::new("users").expect("a namespace")]);
    tokens.add("ops", b"o", [Right::Admin], []);
    let door = Door::open(tokens).await;
    let with = |request: Request, token: &str| request.header("authorization", &format!("Bearer {token}"));
    let read = || door.ask("GET", "/v1/cache/users/1");
    let invalidate = |body: &'static str| with(door.ask("POST", "/v1/invalidate"), "p").body(body);
    for (request, status) in [
        (read(), 401),
        (with(read(), "wrong"), 401),
        (with(read(), "r"), 200),
        (with(read(), "p"), 403),
        (with(door.ask("GET", "/v1/cache/aside/1"), "r"), 403),
        (with(door.ask("PURGE", "/v1/cache/users/1"), "p"), 200),
        (invalidate(r#"{"namespace":"users","keys":["1"]}"#), 202),
        (invalidate(r#"{"namespace":"aside","keys":["1"]}"#), 403),
        (invalidate(r#"{"tags":["t"]}"#), 403),
        (door.ask("GET", "/healthz"), 200),
        (door.ask_admin("GET", "/metrics"), 200),
        (door.ask_admin("GET", "/stats"), 401),
        (with(door.ask_admin("GET", "/stats"), "r"), 403),
        (with(door.ask_admin("GET", "/stats"), "o"), 200),
    ] {
        let answer = request.send().await;
        assert_eq!(answer.status, status, "{answer:?}");
        assert_eq!(answer.header("www-authenticate").is_some(), status == 401);
        assert!(answer.header("cache-status").is_some_and(|text| text.starts_with("coherd")), "{answer:?}");
    }
}

#[tokio::test]
async fn an_operator_sees_readiness_metrics_statistics_and_events() {
    let door = Door::open(Tokens::default()).await;
    let ready = door.ask_admin("GET", "/readyz").send().await;
    assert_eq!((ready.status, &ready.json()["reasons"]), (503, &json!(["starting"])));
    assert_eq!(door.ask("GET", "/readyz").send().await.status, 503);
    assert_eq!(door.ask_admin("GET", "/healthz").send().await.text(), "ok\n");

    door.ask("GET", "/v1/cache/users/1").send().await;
    let stats = door.ask_admin("GET", "/stats").send().await.json();
    assert_eq!((&stats["instance"], &stats["attached"]), (&json!("inst-a"), &json!(true)));
    assert_eq!(stats["namespaces"]["users"]["misses"], 1);
    assert_eq!(stats["tasks"]["coherence.tail"]["up"], true);
    assert_eq!(door.ask_admin("POST", "/stats/reset").send().await.status, 204);
    let stats = door.ask_admin("GET", "/stats").send().await.json();
    assert_eq!(stats["namespaces"]["users"]["misses"], 0);
    let text = door.ask_admin("GET", "/metrics").send().await;
    assert!(
        text.text().contains("coherd_requests_total{namespace=\"users\",result=\"miss\"} 1"),
        "{}",
        text.text()
    );
    let accept = "application/openmetrics-text";
    let openmetrics = door.ask_admin("GET", "/metrics").header("accept", accept).send().await;
    assert!(openmetrics.text().ends_with("# EOF\n"));
    assert!(openmetrics.header("content-type").is_some_and(|text| text.starts_with(accept)));
}

#[tokio::test]
async fn a_follower_sees_an_event_and_does_not_hold_up_the_drain() {
    use http_body_util::BodyExt as _;
    let door = Door::open(Tokens::default()).await;
    let client = hyper_util::client::legacy::Client::builder(hyper_util::rt::TokioExecutor::new());
    let client = client.build_http::<http_body_util::Empty<bytes::Bytes>>();
    let uri = format!("http://{}/events", door.admin).parse().expect("a uri");
    let mut body = client.get(uri).await.expect("the stream opens").into_body();
    assert!(!body.is_end_stream());
    door.ask("PURGE", "/v1/cache/users/1").send().await;
    let mut seen = String::new();
    while !seen.contains("event: invalidation\n") {
        let frame = tokio::time::timeout(SOON, body.frame()).await.expect("an event comes");
        let data = frame.expect("the stream goes on").expect("it is whole").into_data().expect("it is data");
        seen.push_str(&String::from_utf8_lossy(&data));
    }
    assert!(seen.contains(r#""namespace":"users","keys":["1"]"#), "{seen}");
    let left = door.supervisor.stop(Stage::Door, Instant::now() + SOON).await;
    assert_eq!(left, 0);
    eventually("the stream ends", SOON, async || body.frame().await.is_none()).await;
}
