//! Many contend for a lock while instances are killed and paused: no two ever believe to hold it at once.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

use super::{Held, held};
use crate::harness::http::{Client, Response};
use crate::harness::instance::{Cluster, Setup};
use crate::harness::task::spawn;
use crate::harness::wait::SOON;

const CONTENDERS: usize = 12;
const TTL: Duration = Duration::from_millis(500);
/// Of the server's clock, which counts in whole milliseconds.
const ROUNDING: Duration = Duration::from_millis(3);

/// One holding, as its holder saw it.
#[derive(Clone, Debug)]
struct Holding {
    fence: u64,
    asked: Instant,
    /// It holds the lock from here...
    from: Instant,
    /// ...to here: until it gave it up, or until the time was over that it was told, counted from when it asked.
    until: Instant,
}

/// What contenders share.
struct Arena {
    urls: Vec<String>,
    holdings: Mutex<Vec<Holding>>,
    until: Instant,
}

impl Arena {
    async fn send(&self, number: usize, method: &str, query: &str, token: Option<&str>) -> Option<Response> {
        let url = format!("{}{query}", self.urls[number % self.urls.len()]);
        let request = Client::new().request(method, &url);
        let request = match token {
            Some(token) => request.header("coherd-lock", token),
            None => request,
        };
        // An instance that was killed does not answer.
        request.try_send().await.ok()
    }

    /// Takes the lock again and again, through one instance after the other, and keeps it shorter or longer than it may.
    /// Answers how often it was given it for longer.
    async fn contend(&self, contender: usize) -> usize {
        let (mut round, mut extended) = (contender, 0);
        while Instant::now() < self.until {
            round += 1;
            let asked = Instant::now();
            let query = format!("?ttl={}ms&wait=2s", TTL.as_millis());
            let Some(answer) = self.send(round, "POST", &query, None).await else {
                sleep(Duration::from_millis(20)).await;
                continue;
            };
            if answer.status != 200 {
                assert!([409, 503].contains(&answer.status), "{answer:?}");
                continue;
            }
            let Held { token, fence, expires_in } = held(&answer);
            assert!(expires_in <= TTL);
            let mut holding = Holding { fence, asked, from: Instant::now(), until: asked + expires_in };
            let late = rand::random_bool(0.2);
            if rand::random_bool(0.5) {
                sleep(TTL.mul_f64(if late { 1.2 } else { 0.4 })).await;
                let asked = Instant::now();
                // Through another instance than it was taken.
                let query = format!("?ttl={}ms", TTL.as_millis());
                let answer = self.send(round + 1, "PUT", &query, Some(&token)).await;
                if let Some(answer) = answer.filter(|answer| answer.status == 200) {
                    let longer = held(&answer);
                    assert_eq!(longer.fence, fence);
                    holding.until = asked + longer.expires_in;
                    extended += 1;
                }
            }
            if late {
                // It forgets, or is gone.
                self.note(holding);
                continue;
            }
            sleep_until(holding.until.min(Instant::now() + TTL.mul_f64(rand::random::<f64>() * 0.2))).await;
            holding.until = holding.until.min(Instant::now());
            // Whatever is answered: it does not believe in it any more.
            self.send(round + 2, "DELETE", "", Some(&token)).await;
            self.note(holding);
        }
        extended
    }

    fn note(&self, holding: Holding) {
        self.holdings.lock().expect("no contender panics here").push(holding);
    }
}

#[tokio::test]
async fn no_two_hold_a_lock_at_once_under_kills_and_pauses_and_the_fence_only_grows() {
    let setup = Setup::new(3).set("log.level", "info").set("coherence.max_staleness", "1s");
    let mut cluster = Cluster::with(setup).await;
    let arena = Arc::new(Arena {
        urls: cluster.nodes.iter().map(|node| node.instance.url("/v1/locks/l")).collect(),
        holdings: Mutex::default(),
        until: Instant::now() + Duration::from_secs(12),
    });
    let contenders: Vec<_> = (0..CONTENDERS)
        .map(|number| {
            let arena = Arc::clone(&arena);
            spawn(async move { arena.contend(number).await })
        })
        .collect();

    let mut faults = 0;
    while Instant::now() < arena.until {
        let victim = faults % cluster.nodes.len();
        if faults % 2 == 0 {
            // Longer than any lock is held without being extended.
            cluster.instance(victim).pause();
            sleep(2 * TTL).await;
            cluster.instance(victim).resume();
        } else {
            cluster.nodes[victim].instance.kill().await;
            sleep(TTL / 2).await;
            cluster.nodes[victim].instance.restart().await;
        }
        faults += 1;
        sleep(TTL).await;
    }
    let mut extended = 0;
    for contender in contenders {
        let ended = tokio::time::timeout(3 * SOON, contender).await.expect("nobody waits for ever");
        extended += ended.expect("no contender panics");
    }

    let mut holdings = arena.holdings.lock().expect("no contender panics").clone();
    holdings.sort_by_key(|holding| holding.fence);
    assert!(4 <= faults && 20 <= holdings.len(), "{faults} faults, {} holdings", holdings.len());
    assert!(0 < extended);
    for pair in holdings.windows(2) {
        let [one, next] = pair else { unreachable!("windows of two") };
        assert!(one.fence < next.fence, "a fence was given out twice: {one:?} {next:?}");
        // Who got a greater fence did so after the other had given up or been over.
        assert!(one.until <= next.from + ROUNDING, "two holders: {one:?} {next:?}");
    }
    for (at, one) in holdings.iter().enumerate() {
        for next in &holdings[at + 1..] {
            assert!(
                one.asked < next.from,
                "the fence fell: {one:?} was asked for after {next:?} was answered"
            );
        }
    }
}
