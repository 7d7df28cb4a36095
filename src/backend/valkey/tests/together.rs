//! What goes together: fills do in one step what they do one after the other, reads of one entry are one read, and a
//! claim that comes too late for its place in the log leaves nothing behind.

use futures_util::future::join_all;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;

use super::steps::{Side, any_publication};
use super::*;
use crate::backend::valkey::fills::Fills;
use crate::backend::valkey::together::Kind as _;
use crate::model::LineageId;

const HISTORIES: usize = 60;
const KEYS: [&str; 3] = ["1", "eu/2", "eu/de:3"];
const LOADS: [&str; 2] = ["l1", "l2"];

/// A fill to be made: of which key, by which load, how many events before the head its token is, in the lineage or in
/// another, with a tag, under a lease.
type Filling = (&'static str, &'static str, u64, bool, bool, bool);

fn any_filling() -> impl Strategy<Value = Filling> {
    let lineage = prop::bool::weighted(0.9);
    (select(KEYS.to_vec()), select(LOADS.to_vec()), 0..3_u64, lineage, any::<bool>(), any::<bool>())
}

fn filling((key, by, before, known, tagged, leased): Filling, head: &Token) -> Fill {
    let lineage = if known { head.lineage.clone() } else { LineageId::new("0123456789abcdef") };
    let token = Token { lineage, seq: head.seq - before };
    let mut fill = Fill { leased, ..fill(key, by, token) };
    if !tagged {
        fill.put.names.clear();
    }
    fill
}

async fn carried_out(side: &Side, fills: &[Fill]) -> Vec<Result<Filled, BackendError>> {
    let generation = side.backend.primary.connected().unwrap();
    Fills::carry_out(&side.backend.context, &generation, S0, fills).await.unwrap()
}

#[tokio::test]
async fn fills_do_in_one_step_what_they_do_one_after_the_other() {
    let server = Server::start().await;
    let (one, all) = (Side::start(&server, "one").await, Side::start(&server, "all").await);
    let mut runner = TestRunner::deterministic();
    let histories = (
        proptest::collection::vec(any_publication(), 0..6),
        proptest::collection::vec((select(KEYS.to_vec()), select(LOADS.to_vec())), 0..3),
        proptest::collection::vec(any_filling(), 1..8),
    );
    let mut outcomes = std::collections::BTreeMap::new();
    for _ in 0..HISTORIES {
        let (before, leases, fillings) = histories.new_tree(&mut runner).unwrap().current();
        server.admin("FLUSHALL", &[]).await;
        let mut starts = Vec::new();
        let mut heads = Vec::new();
        for side in [&one, &all] {
            let first = side.together(&[publication(vec![key_target("0")])]).await;
            starts.push(first[0].as_ref().unwrap().token.seq - 1);
            for publication in &before {
                side.together(std::slice::from_ref(publication)).await;
            }
            for (key, by) in &leases {
                side.backend.lookup(lookup(key, Some(by))).await.unwrap();
            }
            heads.push(side.backend.head(S0).await.unwrap());
        }
        let fills = |head: &Token| fillings.iter().map(|it| filling(*it, head)).collect::<Vec<_>>();
        let mut by_turns = Vec::new();
        for fill in fills(&heads[0]) {
            by_turns.extend(carried_out(&one, std::slice::from_ref(&fill)).await);
        }
        let at_once = carried_out(&all, &fills(&heads[1])).await;
        let what = format!("{before:#?}\nleases {leases:?}\nthen {fillings:#?}");
        assert_eq!(format!("{at_once:?}"), format!("{by_turns:?}"), "{what}");
        assert_eq!(all.held(&server, starts[1]).await, one.held(&server, starts[0]).await, "{what}");
        for outcome in at_once {
            *outcomes.entry(format!("{:?}", outcome.unwrap())).or_insert(0) += 1;
        }
    }
    assert_eq!(outcomes.len(), 5, "every outcome is among {outcomes:?}");
}

#[tokio::test]
async fn a_server_without_memory_refuses_every_fill_of_a_step_and_ends_the_leases() {
    let it = Fixture::start().await;
    it.publish(vec![key_target("0")]).await;
    let leased = join_all(KEYS.map(|key| it.backend.lookup(lookup(key, Some("l1"))))).await;
    let fills: Vec<Fill> = KEYS
        .iter()
        .zip(leased)
        .map(|(key, found)| {
            let Ok(Found::Leased { token, .. }) = found else { panic!("{found:?}") };
            fill(key, "l1", token)
        })
        .collect();
    it.admin("CONFIG", &["SET", "maxmemory", "1"]).await;
    let generation = it.backend.primary.connected().unwrap();
    let answers = Fills::carry_out(&it.backend.context, &generation, S0, &fills).await.unwrap();
    assert!(answers.iter().all(|answer| matches!(answer, Err(BackendError::Refused(_)))), "{answers:?}");
    it.admin("CONFIG", &["SET", "maxmemory", "0"]).await;
    for key in KEYS {
        let found = it.backend.lookup(lookup(key, Some("l2"))).await.unwrap();
        assert!(matches!(found, Found::Leased { stale: None, .. }), "{key}: {found:?}");
    }
}

#[tokio::test]
async fn who_asks_for_one_entry_at_once_is_answered_by_one_read() {
    const READERS: usize = 300;
    let it = Fixture::start().await;
    it.publish(vec![key_target("0")]).await;
    let Found::Leased { token, .. } = it.backend.lookup(lookup("1", Some("l1"))).await.unwrap() else {
        panic!("no lease")
    };
    assert_eq!(it.backend.fill(fill("1", "l1", token)).await.unwrap(), Filled::Stored);
    let entry = [entry("1")];
    it.admin("CONFIG", &["RESETSTAT"]).await;
    for found in join_all((0..READERS).map(|_| it.backend.peek(&entry))).await {
        assert_eq!(found.unwrap()[0].as_ref().unwrap().envelope, put().envelope);
    }
    let calls = it.admin("INFO", &["commandstats"]).await.into_string().unwrap();
    let calls =
        calls.lines().find_map(|line| line.strip_prefix("cmdstat_hmget:calls=")).expect("it was read");
    let calls: usize = calls.split(',').next().unwrap().parse().unwrap();
    assert!(calls < READERS / 10, "{calls} reads for {READERS} readers");
}

#[tokio::test]
async fn a_thousand_entries_are_read_at_once() {
    let it = Fixture::start().await;
    let entries: Vec<EntryId> = (0..1000).map(|n| entry(&n.to_string())).collect();
    let found = it.backend.peek(&entries).await.unwrap();
    assert!(found.len() == entries.len() && found.iter().all(Option::is_none));
}

#[tokio::test]
async fn hundreds_of_leases_are_taken_at_once() {
    let it = Fixture::start().await;
    it.publish(vec![key_target("0")]).await;
    let at = it.backend.head(S0).await.unwrap();
    let keys: Vec<String> = (0..300).map(|n| n.to_string()).collect();
    let asked = keys.iter().map(|key| {
        let mut asked = lookup(key, Some("l1"));
        asked.claim.as_mut().unwrap().absent = Some(at.clone());
        it.backend.lookup(asked)
    });
    for found in join_all(asked).await {
        assert!(matches!(found, Ok(Found::Leased { .. })), "{found:?}");
    }
}
