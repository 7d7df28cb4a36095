//! What the page shows: the figures of a cluster under load, in both colours and on a phone, and that something is wrong.

use futures_util::future::join_all;
use serde_json::json;

use super::{SOUND, assert_clean, open};
use crate::harness::browser::Scheme;
use crate::harness::http::Client;
use crate::harness::instance::{Cluster, NAMESPACE, Setup};
use crate::harness::task::{Task, spawn};
use crate::harness::wait::{SOON, eventually};

/// Keys that are read; some are read far more often than others.
const KEYS: usize = 200;

/// Reads at all instances, and changes that invalidate, one after another, until it is dropped.
fn load(cluster: &Cluster) -> Task {
    for key in 0..KEYS {
        cluster.origin.set(&format!("eu/{key}"), 1);
    }
    let urls: Vec<(String, String)> = cluster
        .nodes
        .iter()
        .map(|node| (node.instance.url("/v1/cache"), node.instance.url("/v1/invalidate")))
        .collect();
    spawn(async move {
        let client = Client::keeping();
        for round in 0_usize.. {
            let (cache, invalidate) = &urls[round % urls.len()];
            let hot = |step: usize| (round * step) % KEYS % (1 + round % 37);
            let reads = (0..6).map(|n| (if n < 4 { NAMESPACE } else { "other" }, hot(7 + n)));
            let reads =
                reads.map(|(namespace, key)| client.get(&format!("{cache}/{namespace}/eu/{key}")).try_send());
            join_all(reads).await.into_iter().for_each(|read| drop(read.ok()));
            if round % 9 == 0 {
                let event = json!({ "namespace": NAMESPACE, "keys": [format!("eu/{}", hot(7))],
                    "soft": round % 2 == 0, "source": "billing", "reason": "plan changed" });
                client.post(invalidate, &event).try_send().await.ok();
            }
        }
    })
}

#[tokio::test]
async fn it_shows_a_cluster_under_load() {
    let setup = Setup::new(3).beside("other").namespace("write", "behind").namespace("ttl", "2s");
    let setup = setup.namespace("stale_while_revalidate", "5s").set("namespaces.other.ttl", "1s");
    let cluster = Cluster::with(setup).await;
    let _load = load(&cluster);
    let held = cluster.origin.hold_writes("waiting");
    assert_eq!(cluster.instance(0).put(NAMESPACE, "waiting", "{}").send().await.status, 202);
    held.arrived(1).await;

    let instance = cluster.instance(0);
    let browser = open_anyhow(&cluster).await;
    browser.says("#instance", "inst-0").await;
    for member in ["inst-0", "inst-1", "inst-2"] {
        browser.says("#members", member).await;
    }
    browser.says("#members-count", "3 of 3 alive").await;
    browser.says("#namespaces", NAMESPACE).await;
    browser.says("#namespaces", "in all").await;
    browser.says("#breakers", "backend").await;
    browser.says("#tasks", "coherence.tail").await;
    browser.says("#writes", "pending\n1").await;
    browser.says("#tail", "billing: plan changed").await;
    held.release();
    browser.says("#writes", "pending\n0").await;

    let figure = |number: usize| format!("#figures > div:nth-child({number}) dd");
    for (number, name) in [(1, "hit ratio"), (2, "reads"), (4, "invalidations"), (5, "lag")] {
        let selector = figure(number);
        eventually(&format!("there is a figure for {name}"), SOON, async || {
            let text = browser.text(&selector).await;
            text.chars().any(|it| it.is_ascii_digit()) && !text.starts_with("0/")
        })
        .await;
    }
    let before = browser.text("#figures").await;
    eventually("the figures change", SOON, async || browser.text("#figures").await != before).await;
    for chart in ["#tiers .c-l1.area", "#tiers .c-misses.area", "#rates .c-rate.area", "#lags .c-p99.trace"] {
        eventually(&format!("{chart} is drawn"), SOON, async || {
            let drawn =
                browser.run(&format!("return document.querySelector('{chart}').getAttribute('d')")).await;
            drawn.as_str().is_some_and(|path| !path.is_empty())
        })
        .await;
    }
    assert_clean(&browser, instance).await;

    for (width, height, scheme, name) in [
        (1200, 900, Scheme::Light, "light"),
        (1200, 900, Scheme::Dark, "dark"),
        (375, 812, Scheme::Light, "phone-light"),
        (375, 812, Scheme::Dark, "phone-dark"),
    ] {
        browser.look(width, height, scheme).await;
        let seen = browser
            .run("return [innerWidth, document.documentElement.scrollWidth, getComputedStyle(document.body).backgroundColor]")
            .await;
        assert!(seen[1].as_u64() <= seen[0].as_u64(), "{name}: it scrolls sideways: {seen}");
        let dark = seen[2].as_str().is_some_and(|colour| colour.starts_with("rgb(1"));
        assert_eq!(dark, matches!(scheme, Scheme::Dark), "{name}: {seen}");
        browser.screenshot(name).await;
    }
}

/// The server of the tests keeps nothing on disk, which is worse than it should be where writes are behind.
async fn open_anyhow(cluster: &Cluster) -> crate::harness::browser::Browser {
    let browser = crate::harness::browser::Browser::start().await;
    browser.open(&cluster.instance(0).admin_url("/")).await;
    browser.says("#verdict", "ready, degraded").await;
    browser.says("#troubles", "nothing on disk").await;
    browser
}

#[tokio::test]
async fn it_says_what_is_wrong_and_that_nobody_answers() {
    let mut cluster = Cluster::start(2).await;
    let browser = open(cluster.instance(0)).await;
    assert_eq!(browser.text("#troubles").await, "");

    cluster.wire(0).cut().await;
    browser.says("#verdict", "ready, detached").await;
    browser.says("#troubles", "cut off from the log").await;
    browser.says("#tail", "detached: cut off from the log").await;
    cluster.wire(0).restore().await;
    browser.says("#verdict", SOUND).await;
    browser.says("#tail", "attached to the log").await;

    cluster.nodes[1].instance.kill().await;
    eventually("a member is not heard of, or forgotten", SOON, async || {
        let members = browser.text("#members").await;
        members.contains("not heard of") || !members.contains("inst-1")
    })
    .await;

    cluster.nodes[0].instance.kill().await;
    browser.says("#verdict", "cannot be reached").await;
    browser.says("#unreachable", "has not answered since").await;
    browser.says("#tail-state", "cut off").await;
    cluster.nodes[0].instance.restart().await;
    browser.says("#verdict", SOUND).await;
    browser.says("#tail-state", "following").await;
    assert_eq!(browser.text("#unreachable").await, "");
}

#[tokio::test]
async fn a_tab_that_is_out_of_view_asks_nothing() {
    let cluster = Cluster::start(1).await;
    let browser = open(cluster.instance(0)).await;
    let away = |hidden: bool| {
        format!(
            "Object.defineProperty(document, 'hidden', {{ configurable: true, get: () => {hidden} }});
             document.dispatchEvent(new Event('visibilitychange'))"
        )
    };
    browser.run(&away(true)).await;
    let start = browser.run("return performance.now()").await.as_f64().expect("a time");
    browser.requests().await;
    eventually("three of its periods are over", SOON, async || {
        browser.run("return performance.now()").await.as_f64().is_some_and(|now| start + 6_000.0 < now)
    })
    .await;
    let asked = browser.requests().await;
    assert!(asked.is_empty(), "{asked:?}");
    browser.run(&away(false)).await;
    eventually("it asks again", SOON, async || !browser.requests().await.is_empty()).await;
}
