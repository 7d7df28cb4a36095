//! Lookup, fill, release, peek.

use super::*;
use crate::backend::FillRefusal;

#[tokio::test]
async fn a_miss_takes_the_lease_and_what_it_loads_is_found() {
    let it = Fixture::start().await;
    let token = it.lease("eu/de/7", "a").await;
    assert_eq!(it.backend.head(S0).await.unwrap(), token);
    assert_eq!(it.fill("eu/de/7", "a", token.clone()).await, Filled::Stored);

    let Found::Fresh(stored) = it.lookup("eu/de/7", "b").await else { panic!("not fresh") };
    assert_eq!((&stored.load, &stored.token, stored.dirty), (&load("a"), &token, None));
    assert_eq!((stored.names, stored.envelope), (put().names, put().envelope));
}

#[tokio::test]
async fn a_fresh_entry_is_promoted_to_the_head() {
    let it = Fixture::start().await;
    let old = it.stored("1", "a").await;
    let head = it.publish(vec![key_target("other")]).await.token;
    assert!(old.seq < head.seq);
    let Found::Fresh(stored) = it.lookup("1", "b").await else { panic!("not fresh") };
    assert_eq!(stored.token, head);
    // only in the answer: the entry itself keeps what it was loaded under
    assert_eq!(it.backend.peek(&[entry("1")]).await.unwrap()[0].as_ref().unwrap().token, old);
}

#[tokio::test]
async fn what_the_caller_holds_is_not_sent_again() {
    let it = Fixture::start().await;
    it.stored("1", "a").await;
    let have = |text: &str| Lookup { have: Some(load(text)), ..lookup("1", Some("b")) };
    let head = it.backend.head(S0).await.unwrap();
    assert_eq!(it.backend.lookup(have("a")).await.unwrap(), Found::NotModified(head));
    assert!(matches!(it.backend.lookup(have("z")).await.unwrap(), Found::Fresh(_)));
}

#[tokio::test]
async fn only_looking_takes_no_lease() {
    let it = Fixture::start().await;
    assert_eq!(it.backend.lookup(lookup("1", None)).await.unwrap(), Found::Nothing { stale: None });
    it.stored("1", "a").await;
    assert!(matches!(it.backend.lookup(lookup("1", None)).await.unwrap(), Found::Fresh(_)));
}

#[tokio::test]
async fn a_second_load_is_told_how_long_the_first_may_take() {
    let it = Fixture::start().await;
    it.lease("1", "a").await;
    let Found::Busy { left, stale: None } = it.lookup("1", "b").await else { panic!("not busy") };
    assert!(Duration::from_secs(20) < left && left <= Duration::from_secs(30), "{left:?}");
    // the first one asking again, after an answer that was lost, still has it
    it.lease("1", "a").await;
    it.backend.release(&entry("1"), &load("b")).await.unwrap();
    assert!(matches!(it.lookup("1", "b").await, Found::Busy { .. }), "released by a stranger");
    it.backend.release(&entry("1"), &load("a")).await.unwrap();
    it.lease("1", "b").await;
}

#[tokio::test]
async fn a_lease_ends_with_its_time() {
    let it = Fixture::start().await;
    let mut short = lookup("1", Some("a"));
    short.claim.as_mut().unwrap().lease = Duration::from_millis(50);
    it.backend.lookup(short).await.unwrap();
    eventually("the lease is over", || it.lookup("1", "b"), |found| matches!(found, Found::Leased { .. }))
        .await;
}

#[tokio::test]
async fn every_kind_of_hard_event_makes_an_entry_invalid() {
    let it = Fixture::start().await;
    let targets = [
        key_target("eu/de/7"),
        tag("team:7"),
        prefix("eu/"),
        prefix("eu/de/"),
        prefix("eu/d"),
        prefix("e"),
        Target::Namespace(ns()),
        Target::All,
    ];
    for (round, target) in targets.into_iter().enumerate() {
        let by = format!("load-{round}");
        it.stored("eu/de/7", &by).await;
        // the entry itself stays: only its watermarks speak against it
        let publication = Publication { entries: Vec::new(), ..publication(vec![target.clone()]) };
        it.backend.publish(S0, publication).await.unwrap();
        let found = it.lookup("eu/de/7", "next").await;
        assert!(matches!(found, Found::Leased { stale: None, .. }), "{target:?}: {found:?}");
        it.backend.release(&entry("eu/de/7"), &load("next")).await.unwrap();
    }
}

#[tokio::test]
async fn events_that_name_something_else_leave_an_entry_alone() {
    let it = Fixture::start().await;
    it.stored("eu/de/7", "a").await;
    let elsewhere = Namespace::new("accounts").unwrap();
    let others = vec![
        key_target("eu/de/8"),
        tag("team:8"),
        prefix("eu/fr/"),
        Target::Namespace(elsewhere.clone()),
        Target::Key(elsewhere, key("eu/de/7")),
    ];
    it.publish(others).await;
    assert!(matches!(it.lookup("eu/de/7", "b").await, Found::Fresh(_)));
}

#[tokio::test]
async fn every_kind_of_soft_event_makes_an_entry_stale() {
    let it = Fixture::start().await;
    let targets = [key_target("eu/7"), tag("team:7"), prefix("eu/"), Target::Namespace(ns()), Target::All];
    for (round, target) in targets.into_iter().enumerate() {
        let by = format!("load-{round}");
        let token = it.stored("eu/7", &by).await;
        it.backend.publish(S0, soft(vec![target.clone()])).await.unwrap();
        let Found::Leased { token: head, stale: Some(stale) } = it.lookup("eu/7", "next").await else {
            panic!("{target:?}: no stale copy")
        };
        assert_eq!((stale.token, stale.load), (token.clone(), load(&by)));
        assert!(token.seq < head.seq);
        let busy = it.lookup("eu/7", "other").await;
        assert!(matches!(busy, Found::Busy { stale: Some(_), .. }), "{busy:?}");
        it.backend.release(&entry("eu/7"), &load("next")).await.unwrap();
    }
}

#[tokio::test]
async fn an_entry_that_time_made_stale_is_kept_beside_the_lease() {
    let it = Fixture::start().await;
    let token = it.lease("1", "a").await;
    let mut brief = fill("1", "a", token.clone());
    brief.put.fresh = Duration::ZERO;
    it.backend.fill(brief).await.unwrap();
    let found = it.backend.lookup(lookup("1", None)).await.unwrap();
    assert!(matches!(&found, Found::Nothing { stale: Some(stale) } if stale.token == token), "{found:?}");
    let Found::Leased { stale: Some(_), .. } = it.lookup("1", "b").await else { panic!("no stale copy") };
    // an event makes it worse than stale
    it.publish(vec![tag("team:7")]).await;
    assert_eq!(it.backend.lookup(lookup("1", None)).await.unwrap(), Found::Nothing { stale: None });
}

#[tokio::test]
async fn a_refresh_loads_beside_a_fresh_entry() {
    let it = Fixture::start().await;
    it.stored("1", "a").await;
    let mut refresh = lookup("1", Some("b"));
    refresh.claim.as_mut().unwrap().even_if_fresh = true;
    let Found::Leased { token, .. } = it.backend.lookup(refresh).await.unwrap() else { panic!("no lease") };
    assert!(matches!(it.lookup("1", "c").await, Found::Fresh(_)), "others are served meanwhile");
    assert_eq!(it.fill("1", "b", token).await, Filled::Stored);
    let Found::Fresh(stored) = it.lookup("1", "c").await else { panic!("not fresh") };
    assert_eq!(stored.load, load("b"));
}

#[tokio::test]
async fn an_event_for_the_key_voids_the_load_under_way() {
    let it = Fixture::start().await;
    for publication in [publication(vec![key_target("1")]), soft(vec![key_target("1")])] {
        let token = it.lease("1", "a").await;
        it.backend.publish(S0, publication).await.unwrap();
        assert_eq!(it.fill("1", "a", token).await, Filled::Refused(FillRefusal::LeaseLost));
        assert!(matches!(
            it.backend.lookup(lookup("1", None)).await.unwrap(),
            Found::Nothing { stale: None }
        ));
    }
}

#[tokio::test]
async fn an_event_for_a_name_keeps_an_older_load_out() {
    let it = Fixture::start().await;
    for target in [tag("team:7"), prefix("eu/"), Target::Namespace(ns()), Target::All] {
        for publication in [publication(vec![target.clone()]), soft(vec![target.clone()])] {
            let token = it.lease("eu/1", "a").await;
            it.backend.publish(S0, publication).await.unwrap();
            let refused = Filled::Refused(FillRefusal::Stale);
            assert_eq!(it.fill("eu/1", "a", token).await, refused, "{target:?}");
            // the lease ended with the refusal
            it.lease("eu/1", "b").await;
            it.backend.release(&entry("eu/1"), &load("b")).await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_load_without_a_lease_is_stored_unless_an_event_came_between() {
    let it = Fixture::start().await;
    let leaseless = |token| Fill { leased: false, ..fill("1", "free", token) };
    let old = it.backend.head(S0).await.unwrap();
    let leased = it.lease("1", "a").await;
    assert_eq!(it.backend.fill(leaseless(old.clone())).await.unwrap(), Filled::Stored);
    assert_eq!(it.fill("1", "a", leased).await, Filled::Stored, "the lease of another is left alone");
    it.publish(vec![key_target("1")]).await;
    assert_eq!(it.backend.fill(leaseless(old)).await.unwrap(), Filled::Refused(FillRefusal::Stale));
}

#[tokio::test]
async fn a_fill_counts_under_the_token_of_its_lease_only() {
    let it = Fixture::start().await;
    let mut token = it.lease("1", "a").await;
    it.publish(vec![tag("team:7")]).await;
    token.seq += 1;
    assert_eq!(it.fill("1", "a", token).await, Filled::Refused(FillRefusal::LeaseLost));
}

#[tokio::test]
async fn a_load_of_an_older_lineage_is_kept_out() {
    let it = Fixture::start().await;
    let token = it.lease("1", "a").await;
    it.admin("DEL", &["coherd:{main}:ctl"]).await;
    let head = it.beat("i", 0, 1).await;
    assert_ne!(head.token.lineage, token.lineage);
    assert!(token.seq < head.token.seq);
    assert_eq!(it.fill("1", "a", token).await, Filled::Refused(FillRefusal::Lineage));
}

#[tokio::test]
async fn a_lease_of_an_older_lineage_binds_nobody() {
    let it = Fixture::start().await;
    it.lease("1", "a").await;
    it.admin("DEL", &["coherd:{main}:ctl"]).await;
    it.beat("i", 0, 1).await;
    it.lease("1", "b").await;
}

#[tokio::test]
async fn an_entry_of_an_older_lineage_is_nothing() {
    let it = Fixture::start().await;
    it.stored("1", "a").await;
    it.admin("DEL", &["coherd:{main}:ctl"]).await;
    it.beat("i", 0, 1).await;
    assert_eq!(it.backend.lookup(lookup("1", None)).await.unwrap(), Found::Nothing { stale: None });
}

#[tokio::test]
async fn a_pending_write_is_always_fresh_and_never_overwritten() {
    let it = Fixture::start().await;
    it.stored("1", "z").await;
    it.publish(vec![tag("team:7"), Target::All]).await;
    let write = it.backend.head(S0).await.unwrap().seq;
    it.admin("HSET", &["coherd:{main}:e:users:v1:1", "d", &write.to_string()]).await;
    let mut refresh = lookup("1", Some("b"));
    refresh.claim.as_mut().unwrap().even_if_fresh = true;
    let Found::Fresh(stored) = it.backend.lookup(refresh).await.unwrap() else { panic!("not fresh") };
    let head = it.backend.head(S0).await.unwrap();
    assert_eq!((stored.dirty, stored.load, &stored.token), (Some(write), load("z"), &head));
    let fill = Fill { leased: false, ..fill("1", "a", head) };
    assert_eq!(it.backend.fill(fill).await.unwrap(), Filled::Refused(FillRefusal::Dirty));
    it.publish(vec![key_target("1")]).await;
    assert!(matches!(it.lookup("1", "b").await, Found::Fresh(_)), "an event deletes no pending write");
}

#[tokio::test]
async fn an_entry_goes_when_it_is_no_longer_kept() {
    let it = Fixture::start().await;
    let token = it.lease("1", "a").await;
    let mut brief = fill("1", "a", token);
    (brief.put.fresh, brief.put.kept) = (Duration::ZERO, Duration::from_millis(1));
    it.backend.fill(brief).await.unwrap();
    let peek = || it.backend.peek(&[]);
    peek().await.unwrap();
    eventually(
        "gone",
        || async { it.backend.peek(&[entry("1")]).await.unwrap() },
        |found| found[0].is_none(),
    )
    .await;
}

#[tokio::test]
async fn foreign_values_under_our_keys_are_nothing_and_make_way() {
    let it = Fixture::start().await;
    it.admin("SET", &["coherd:{main}:e:users:v1:1", "foreign"]).await;
    it.admin("HSET", &["coherd:{main}:l:users:1", "a", "foreign"]).await;
    assert_eq!(it.backend.peek(&[entry("1")]).await.unwrap(), [None]);
    it.stored("1", "a").await;
    assert!(matches!(it.lookup("1", "b").await, Found::Fresh(_)));

    it.admin("SET", &["coherd:{main}:l:users:2", "not a lease"]).await;
    it.admin("HSET", &["coherd:{main}:e:users:v1:2", "t", "x", "l", "y", "tg", "\u{1}"]).await;
    assert_eq!(it.backend.peek(&[entry("2")]).await.unwrap(), [None]);
    it.stored("2", "a").await;
}

#[tokio::test]
async fn peek_answers_in_the_order_of_the_question() {
    let it = Fixture::start().await;
    it.stored("1", "a").await;
    it.stored("3", "c").await;
    let found = it.backend.peek(&[entry("3"), entry("2"), entry("1")]).await.unwrap();
    let loads: Vec<_> = found.into_iter().map(|stored| stored.map(|stored| stored.load)).collect();
    assert_eq!(loads, [Some(load("c")), None, Some(load("a"))]);
}

#[tokio::test]
async fn keys_may_hold_anything() {
    let it = Fixture::start().await;
    for odd in ["a|b|1|ff", "{x}", "a\0b", "l:users:1|w", "ü/☃:~x", "subscribe", "message"] {
        it.stored(odd, "by|w|1").await;
        let Found::Fresh(stored) = it.lookup(odd, "z").await else { panic!("{odd:?} is not fresh") };
        assert_eq!(stored.load, load("by|w|1"));
        it.publish(vec![key_target(odd)]).await;
        it.lease(odd, "z").await;
    }
}

#[tokio::test]
async fn short_of_memory_a_fill_is_refused_and_its_lease_ends() {
    let it = Fixture::start().await;
    let token = it.lease("1", "a").await;
    it.admin("CONFIG", &["SET", "maxmemory", "1"]).await;
    let refused = it.backend.fill(fill("1", "a", token)).await;
    assert!(matches!(&refused, Err(BackendError::Refused(why)) if why.starts_with("OOM")), "{refused:?}");
    it.admin("CONFIG", &["SET", "maxmemory", "0"]).await;
    assert_eq!(it.backend.peek(&[entry("1")]).await.unwrap(), [None]);
    it.lease("1", "b").await;
}
