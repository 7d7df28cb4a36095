//! Rate limits: how many are let in, by whom, and that whoever waits as long as told is let in.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::harness::http::{Client, Request, Response};
use crate::harness::instance::{Cluster, Config, Instance, NAMESPACE, Setup};
use crate::harness::server::Server;
use crate::harness::wait::{SOON, eventually};

/// A hundred at once, and one more every so long: much longer than a hundred requests take.
const EVERY: Duration = Duration::from_secs(5);

/// Instances that let a user in a hundred times.
fn setup(instances: usize) -> Setup {
    let limit = |key: &str| format!("rate_limit.{key}");
    Setup::new(instances)
        .namespace(&limit("key"), "header:X-User")
        .namespace(&limit("rate"), 100)
        .namespace(&limit("per"), format!("{}s", 100 * EVERY.as_secs()))
        .namespace(&limit("burst"), 100)
}

fn as_user(request: Request, user: &str) -> Request {
    request.header("x-user", user)
}

/// So many reads by a user at once; how many were refused, and the answers to those.
async fn reads(instance: &Instance, user: &str, count: usize) -> Vec<Response> {
    let reads = (0..count).map(|_| as_user(instance.get(NAMESPACE, "k"), user).send());
    let answers = join_all(reads).await;
    answers.into_iter().filter(|answer| !passed(answer)).collect()
}

/// Whether it was let in.
fn passed(answer: &Response) -> bool {
    assert!([200, 404, 429].contains(&answer.status), "{answer:?}");
    answer.status != 429
}

/// That a refusal says all there is to say; how long it asks to wait.
fn assert_refused(answer: &Response) -> Duration {
    crate::refusals::assert_refused("too many", answer, 429, "rate_limited");
    let after: u64 = answer.header("retry-after").expect("it says when").parse().expect("in seconds");
    let window = 100 * EVERY.as_secs();
    assert_eq!(answer.header("ratelimit-policy"), Some(format!("\"default\";q=100;w={window}").as_str()));
    assert_eq!(answer.header("ratelimit"), Some(format!("\"default\";r=0;t={after}").as_str()));
    assert!(1 <= after && after <= EVERY.as_secs(), "{answer:?}");
    Duration::from_secs(after)
}

#[tokio::test]
async fn of_105_in_a_window_of_100_5_are_refused_and_retry_after_is_true() {
    let cluster = Cluster::with(setup(1)).await;
    let instance = cluster.instance(0);
    cluster.origin.set("k", 1);

    let refused = reads(instance, "ada", 105).await;
    assert_eq!(refused.len(), 5, "{refused:?}");
    let waits: Vec<Duration> = refused.iter().map(assert_refused).collect();
    let limited = format!("coherd_rate_limited_total{{namespace=\"{NAMESPACE}\"}}");
    assert_eq!(instance.metric(&limited).await, Some(5.0));
    let rejected = format!("coherd_requests_total{{namespace=\"{NAMESPACE}\",result=\"rejected\"}}");
    assert_eq!(instance.metric(&rejected).await, Some(5.0));

    sleep(*waits.iter().max().expect("there are five")).await;
    let next = as_user(instance.get(NAMESPACE, "k"), "ada").send().await;
    assert_eq!(next.status, 200, "{next:?}");
    assert_refused(&as_user(instance.get(NAMESPACE, "k"), "ada").send().await);
}

#[tokio::test]
async fn whoever_is_let_in_is_told_what_is_left() {
    let cluster = Cluster::with(setup(1)).await;
    let instance = cluster.instance(0);
    cluster.origin.set("k", 1);
    let ask = async |key: &str| as_user(instance.get(NAMESPACE, key), "ada").send().await;

    let first = ask("k").await;
    assert_eq!(first.header("ratelimit-policy"), Some("\"default\";q=100;w=500"), "{first:?}");
    assert_eq!(first.header("ratelimit"), Some("\"default\";r=99;t=5"));
    // Whatever the answer is otherwise.
    let missing = ask("missing").await;
    assert_eq!((missing.status, missing.header("ratelimit")), (404, Some("\"default\";r=98;t=10")));
    let anonymous = instance.get(NAMESPACE, "k").send().await;
    assert_eq!((anonymous.status, anonymous.header("ratelimit")), (200, None));
}

#[tokio::test]
async fn reads_and_writes_count_and_invalidations_never_do() {
    let limit = toml::toml! { key = "header:x-user" rate = 1 per = "1h" burst = 5 };
    let setup =
        Setup::new(1).set("namespaces.own.origin.kind", "none").set("namespaces.own.rate_limit", limit);
    let cluster = Cluster::with(setup).await;
    let instance = cluster.instance(0);
    let bulk = "/v1/cache/own?keys=a,b,c";
    let counted = || {
        [
            instance.put("own", "k", "v"),
            instance.get("own", "k"),
            instance.request("GET", bulk),
            instance.request("POST", "/v1/cache/own").body("{\"keys\": [\"a\"]}"),
            instance.delete("own", "k"),
        ]
    };
    for (left, request) in [4, 3, 2, 1, 0].into_iter().zip(counted()) {
        let answer = as_user(request, "ada").send().await;
        assert!(answer.status < 300, "{answer:?}");
        let standing = answer.header("ratelimit").expect("it is counted");
        assert!(standing.starts_with(&format!("\"default\";r={left};")), "{left}: {standing}");
    }
    for request in counted() {
        let answer = as_user(request, "ada").send().await;
        crate::refusals::assert_refused("the sixth", &answer, 429, "rate_limited");
    }
    let purged = as_user(instance.purge("own", "k"), "ada").send().await;
    assert_eq!((purged.status, purged.header("ratelimit")), (200, None), "{purged:?}");
    let event = json!({"namespace": "own", "keys": ["k"]});
    assert_eq!(as_user(instance.invalidate("", &event), "ada").send().await.status, 202);
}

/// Reads by a user at every instance in turn, all at once or one by one; the refusals.
async fn reads_everywhere(cluster: &Cluster, user: &str, count: usize, at_once: bool) -> Vec<Response> {
    let read = |number: usize| {
        let instance = cluster.instance(number % cluster.nodes.len());
        as_user(instance.get(NAMESPACE, "k"), user).send()
    };
    let answers = if at_once {
        join_all((0..count).map(read)).await
    } else {
        let mut answers = Vec::new();
        for number in 0..count {
            answers.push(read(number).await);
        }
        answers
    };
    answers.into_iter().filter(|answer| !passed(answer)).collect()
}

/// How many requests the instances have decided about alone.
async fn alone(cluster: &Cluster) -> f64 {
    let series = format!("coherd_rate_limit_fallbacks_total{{namespace=\"{NAMESPACE}\"}}");
    let counts = cluster.nodes.iter().map(|node| node.instance.metric(&series));
    join_all(counts).await.into_iter().map(|count| count.expect("it is counted")).sum()
}

#[tokio::test]
async fn three_instances_count_together_and_retry_after_is_true_at_each() {
    let cluster = Cluster::with(setup(3).namespace("rate_limit.scope", "cluster")).await;
    cluster.origin.set("k", 1);
    let refused = reads_everywhere(&cluster, "ada", 105, true).await;
    assert_eq!(refused.len(), 5, "{refused:?}");
    let wait = refused.iter().map(assert_refused).max().expect("there are five");
    let limited = format!("coherd_rate_limited_total{{namespace=\"{NAMESPACE}\"}}");
    let counts = join_all(cluster.nodes.iter().map(|node| node.instance.metric(&limited))).await;
    assert!((counts.into_iter().flatten().sum::<f64>() - 5.0).abs() < f64::EPSILON);

    sleep(wait).await;
    let next = as_user(cluster.instance(1).get(NAMESPACE, "k"), "ada").send().await;
    assert_eq!(next.status, 200, "{next:?}");
    for node in &cluster.nodes {
        assert_refused(&as_user(node.instance.get(NAMESPACE, "k"), "ada").send().await);
    }
    // One by one it is the same, and each has its own.
    assert_eq!(reads_everywhere(&cluster, "grace", 105, false).await.len(), 5);
    assert!(alone(&cluster).await < 1.0);
}

#[tokio::test]
async fn without_valkey_each_instance_counts_by_itself_from_what_it_knows() {
    let cluster = Cluster::with(setup(3).namespace("rate_limit.scope", "cluster")).await;
    cluster.origin.set("k", 1);
    assert!(reads_everywhere(&cluster, "ada", 60, true).await.is_empty());
    for node in &cluster.nodes {
        node.valkey.cut().await;
    }
    // Each has let in 20 and knows nothing of the others'.
    for node in &cluster.nodes {
        assert_eq!(reads(&node.instance, "ada", 85).await.len(), 5);
    }
    assert!((alone(&cluster).await - 3.0 * 85.0).abs() < f64::EPSILON);
    let said = "is not counted by the cluster, this instance decides alone";
    assert!(cluster.nodes.iter().all(|node| node.instance.output().contains(said)));

    for node in &cluster.nodes {
        node.valkey.restore().await;
    }
    for node in &cluster.nodes {
        eventually("it counts with the others again", SOON, async || {
            let before = alone(&cluster).await;
            let _answer = as_user(node.instance.get(NAMESPACE, "k"), "probe").send().await;
            alone(&cluster).await <= before
        })
        .await;
    }
    let before = alone(&cluster).await;
    assert_eq!(reads_everywhere(&cluster, "grace", 105, true).await.len(), 5);
    assert!((alone(&cluster).await - before).abs() < f64::EPSILON, "the cluster counts again");
}

#[tokio::test]
async fn a_valkey_that_does_not_answer_holds_nobody_up_for_long() {
    let cluster = Cluster::with(setup(1).namespace("rate_limit.scope", "cluster")).await;
    let instance = cluster.instance(0);
    cluster.origin.set("k", 1);
    assert!(reads(instance, "ada", 1).await.is_empty());
    cluster.wire(0).stall();
    let began = Instant::now();
    // The copy is younger than what needs proof: only the limit asks.
    let answer = as_user(instance.get(NAMESPACE, "k"), "ada").send().await;
    assert_eq!(answer.header("ratelimit"), Some("\"default\";r=98;t=10"), "{answer:?}");
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    assert!((alone(&cluster).await - 1.0).abs() < f64::EPSILON);
}

#[tokio::test]
async fn callers_are_told_apart_by_header_token_or_address() {
    let server = Server::start().await;
    let mut config = Config::new("inst-0", &server.url_at(server.addr()));
    let mut tokens = Vec::new();
    for name in ["one", "two"] {
        config = config.env(&format!("TEST_{name}"), &format!("{name}-s3cret"));
        let token = format!("name = \"{name}\"\ntoken_env = \"TEST_{name}\"\nallow = [\"read\"]");
        tokens.push(token.parse::<toml::Table>().expect("a table"));
    }
    for (namespace, key) in [("header", "header:x-user"), ("token", "token"), ("ip", "ip")] {
        let set = |config: Config, key: &str, value: &str| {
            config.set(&format!("namespaces.{namespace}.{key}"), value)
        };
        config = set(config, "origin.kind", "none");
        config = set(config, "lease", "0s");
        config = set(config, "rate_limit.key", key);
        config = set(config, "rate_limit.per", "1h");
        config = config.set(&format!("namespaces.{namespace}.rate_limit.rate"), 1);
        config = config.set(&format!("namespaces.{namespace}.rate_limit.burst"), 1);
    }
    let instance = Instance::start(config.set("auth.tokens", tokens)).await;
    let let_in = async |namespace: &str, user: &str, token: &str, address: [u8; 4]| {
        let url = instance.url(&format!("/v1/cache/{namespace}/k"));
        let request = Client::from_address(address.into()).get(&url);
        let request = as_user(request, user).header("authorization", &format!("Bearer {token}-s3cret"));
        passed(&request.send().await)
    };

    // Each limit counts one thing: another of that is another caller, another of anything else is not.
    for (namespace, another) in [
        ("header", ("2", "one", [127, 0, 0, 1])),
        ("token", ("1", "two", [127, 0, 0, 1])),
        ("ip", ("1", "one", [127, 0, 0, 2])),
    ] {
        assert!(let_in(namespace, "1", "one", [127, 0, 0, 1]).await, "{namespace}");
        assert!(!let_in(namespace, "1", "one", [127, 0, 0, 1]).await, "{namespace}");
        let (user, token, address) = another;
        assert!(let_in(namespace, user, token, address).await, "{namespace}");
        for (other, (user, token, address)) in [
            ("header", ("1", "two", [127, 0, 0, 2])),
            ("token", ("2", "one", [127, 0, 0, 2])),
            ("ip", ("2", "two", [127, 0, 0, 1])),
        ] {
            if other == namespace {
                assert!(!let_in(namespace, user, token, address).await, "{namespace}");
            }
        }
    }
    // Who may not ask at all is not counted: the limit would tell it who else asks.
    let url = instance.url("/v1/cache/token/k");
    assert_eq!(Client::new().get(&url).send().await.status, 401);
}
