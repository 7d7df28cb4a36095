//! Every panel shows something: each query of both dashboards, asked of a real Prometheus that scrapes real instances
//! under load.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::prometheus::{Prometheus, Target};
use super::queries::{metrics, scraped, values};
use super::rules::rules;
use super::{DASHBOARDS, dashboard, panels, targets, text};
use crate::harness::http::Client;
use crate::harness::instance::{Cluster, Instance, NAMESPACE, Setup};
use crate::harness::server::Options;
use crate::harness::wait::SOON;

/// A namespace that few requests may be made of.
const LIMITED: &str = "limited";
/// Keys that the origin has.
const KEYS: usize = 20;
/// Between two rounds of requests.
const PAUSE: Duration = Duration::from_millis(200);

/// What somebody has chosen at the top of a dashboard.
#[derive(Clone, Debug)]
struct Chosen {
    cluster: String,
    instance: String,
    namespace: String,
}

impl Chosen {
    /// The expression as Grafana would send it.
    fn fill(&self, expr: &str) -> String {
        let windows = expr.replace("$__rate_interval", "5s").replace("$__range", "1m");
        let filled = windows.replace("$cluster", &self.cluster).replace("$instance", &self.instance);
        let filled = filled.replace("$namespace", &self.namespace);
        assert!(!filled.contains('$'), "a variable that nobody fills in: {filled}");
        filled
    }
}

/// A query, and where it stands.
struct Query {
    place: String,
    expr: String,
}

/// All queries of a dashboard, with the choices in them; those of its variables too.
fn queries(name: &str, chosen: &Chosen) -> Vec<Query> {
    let dashboard = dashboard(name);
    let mut queries = Vec::new();
    for panel in panels(&dashboard) {
        for target in targets(&panel) {
            let place = format!("{name}: {} {} of {chosen:?}", text(&panel, "title"), text(&target, "refId"));
            queries.push(Query { place, expr: chosen.fill(text(&target, "expr")) });
        }
    }
    for variable in &dashboard["templating"]["list"].as_array().expect("variables")[1..] {
        let definition = chosen.fill(text(&variable["query"], "query"));
        let (of, label) = definition
            .strip_prefix("label_values(")
            .and_then(|rest| rest.strip_suffix(')')?.rsplit_once(", "))
            .expect("a variable has the values of a label");
        // What has no label `cluster` offers no choice of it, and needs none.
        if label != "cluster" || chosen.cluster != ".*" {
            let place = format!("{name}: the variable {}", text(variable, "name"));
            queries.push(Query { place, expr: format!("count by ({label}) ({of}) > 0") });
        }
    }
    queries
}

#[tokio::test]
async fn every_query_of_every_panel_has_data_under_load() {
    let cluster = start().await;
    let prometheus = Prometheus::start("").await;
    let instances: Vec<_> = cluster.nodes.iter().map(|node| &node.instance).collect();
    let urls: Vec<_> = instances.iter().map(|it| it.admin_url("/metrics")).collect();
    let named = urls.iter().map(|url| Target::of(url, "main"));
    let bare = urls.iter().enumerate().map(|(number, url)| Target::bare(url, &format!("bare-{number}")));
    let list: Vec<_> = named.chain(bare).collect();
    prometheus.scrape(&list);

    let all = |part: &str| part.to_owned();
    let several = list[..urls.len()].iter().map(Target::instance).collect::<Vec<_>>().join("|");
    let one = list[0].instance().to_owned();
    let namespaces = format!("({NAMESPACE}|{LIMITED})");
    let choices = [
        (
            DASHBOARDS[0],
            Chosen {
                cluster: all("(main)"),
                instance: format!("({several})"),
                namespace: namespaces.clone(),
            },
        ),
        (DASHBOARDS[0], Chosen { cluster: all("main"), instance: all(".*"), namespace: all(".*") }),
        (DASHBOARDS[1], Chosen { cluster: all("(main)"), instance: one, namespace: namespaces }),
        // A scrape configuration that adds no label `cluster`.
        (DASHBOARDS[0], Chosen { cluster: all(".*"), instance: all("bare-.*"), namespace: all(".*") }),
        (DASHBOARDS[1], Chosen { cluster: all(".*"), instance: all("bare-0"), namespace: all(".*") }),
    ];
    let mut empty: Vec<_> = choices.iter().flat_map(|(name, chosen)| queries(name, chosen)).collect();
    assert!(300 < empty.len(), "only {} queries were found", empty.len());

    let start = Instant::now();
    let mut round = 0;
    while !empty.is_empty() {
        let names = || empty.iter().map(|it| format!("{}\n    {}", it.place, it.expr)).collect::<Vec<_>>();
        assert!(start.elapsed() < 3 * SOON, "no data after {round} rounds for\n{}", names().join("\n"));
        load(&cluster, &instances, round).await;
        round += 1;
        // A few scrapes first: what is asked too soon is asked again and again.
        if round % 20 == 0 {
            let mut still = Vec::new();
            for query in empty {
                let found = prometheus.query(&query.expr).await;
                if !found.iter().any(|it| it.value.is_finite()) {
                    still.push(query);
                }
            }
            empty = still;
        }
        sleep(PAUSE).await;
    }
    everything_named_is_scraped(&instances[0].metrics().await);
}

/// Every metric and every label's value of dashboards and rules: a name that was mistyped finds nothing, for ever.
fn everything_named_is_scraped(page: &str) {
    let mut expressions = vec![rules()];
    for name in DASHBOARDS {
        let panels = panels(&dashboard(name));
        expressions.extend(panels.iter().flat_map(targets).map(|it| text(&it, "expr").to_owned()));
    }
    let mut missing = Vec::new();
    for expr in &expressions {
        missing.extend(metrics(expr).into_iter().filter(|metric| !scraped(page, metric)));
        let has = |(label, value): &(String, String)| page.contains(&format!("{label}=\"{value}\""));
        missing.extend(
            values(expr).into_iter().filter(|it| !has(it)).map(|(label, value)| format!("{label}={value}")),
        );
    }
    assert_eq!(missing, Vec::<String>::new());
}

async fn start() -> Cluster {
    let limited = |key: &str| format!("namespaces.{LIMITED}.rate_limit.{key}");
    let mut setup = Setup::new(3).beside(LIMITED);
    setup.server = Options::default().appendonly().set("appendfsync", "everysec");
    let setup = setup
        .namespace("write", "behind")
        .namespace("ttl", "2s")
        .namespace("negative_ttl", "5s")
        .namespace("stale_while_revalidate", "5s")
        .set(&limited("key"), "ip")
        .set(&limited("rate"), 1)
        .set(&limited("per"), "60s")
        .set(&limited("burst"), 1)
        .set("monitor.sample", 1.0)
        .set("log.level", "info");
    let cluster = Cluster::with(setup).await;
    for number in 0..KEYS {
        cluster.origin.set(&format!("k{number}"), 1);
    }
    cluster
}

/// Reads that hit, miss and find nothing, through every instance; invalidations by every door; writes.
async fn load(cluster: &Cluster, instances: &[&Instance], round: usize) {
    for instance in instances {
        for number in 0..5 {
            instance.get(NAMESPACE, &format!("k{}", (round + number) % KEYS)).send().await;
        }
        instance.get(NAMESPACE, "none").send().await;
        instance.get(LIMITED, "k1").send().await;
    }
    let (instance, key) = (instances[round % instances.len()], format!("k{}", round % KEYS));
    let event = |more: &Value| {
        let mut event = json!({"namespace": NAMESPACE, "source": "test"});
        let fields = event.as_object_mut().expect("an object");
        fields.extend(more.as_object().expect("an object").clone());
        event
    };
    match round % 5 {
        0 => instance.purge(NAMESPACE, &key).send().await,
        1 => {
            instance.invalidate("?wait=all", &event(&json!({"keys": [key], "tags": ["team:7"]}))).send().await
        }
        2 => instance.invalidate("", &event(&json!({"prefixes": ["k1/"], "soft": true}))).send().await,
        3 => instance.put(NAMESPACE, &key, "\"new\"").send().await,
        _ => Client::new().get(&instance.url("/readyz")).send().await,
    };
    let words = ["ns", NAMESPACE, "key", &key];
    match round % 4 {
        0 => {
            cluster
                .server
                .command(&[&["FCALL", "coherd_invalidate", "1", "coherd:{main}:ctl"][..], &words].concat())
                .await
        }
        1 => cluster.server.command(&[&["XADD", "coherd:{main}:inbox", "*"][..], &words].concat()).await,
        2 => {
            cluster
                .server
                .command(&["PUBLISH", "coherd:{main}:inbox", &event(&json!({"keys": [key]})).to_string()])
                .await
        }
        _ => cluster.server.command(&["PUBLISH", "coherd:{main}:inbox", "nonsense"]).await,
    };
}
