//! Finding an entry, or taking the lease to load it.

use std::time::Duration;

use coherd::backend::{Claim, EntryId, FillRefusal, Filled, Found, Stored, Token};
use coherd::model::{LineageId, Target};

use super::fixture::Fixture;
use super::kit::{
    LONG, SHORT, Standing, ask, claim, entry, eventually, fill, hard, head, home, lease, load, look, peek,
    publish, question, standing, store, tag, tagged, two, users, value,
};

pub(crate) async fn a_miss_without_a_claim_takes_no_lease<F: Fixture>() {
    let it = two::<F>().await;
    assert_eq!(look(&it.a, &entry("1")).await, Found::Nothing { stale: None });
    lease(&it.b, &entry("1"), "b").await;
}

pub(crate) async fn a_miss_with_a_claim_gets_the_lease_and_the_head<F: Fixture>() {
    let it = two::<F>().await;
    let published = publish(&it.b, hard(tag("t"))).await;
    let found = ask(&it.a, &entry("1"), claim("a")).await;
    assert_eq!(found, Found::Leased { token: published.token, stale: None });
}

pub(crate) async fn what_was_not_there_is_leased_as_it_is_now<F: Fixture>() {
    let it = two::<F>().await;
    let id = entry("1");
    let seen = publish(&it.b, hard(tag("t"))).await.token;
    let absent = |by: &str, seen: &Token| Claim { absent: Some(seen.clone()), ..claim(by) };
    // at the head
    let found = ask(&it.a, &id, absent("a", &seen)).await;
    assert_eq!(found, Found::Leased { token: seen.clone(), stale: None });
    assert!(matches!(ask(&it.b, &id, absent("b", &seen)).await, Found::Busy { stale: None, .. }));
    assert_eq!(fill(&it.a, &id, "a", seen.clone(), value("1")).await, Filled::Stored);
    // there meanwhile, and the claim leaves no lease
    assert!(matches!(ask(&it.b, &id, absent("b", &seen)).await, Found::Fresh(_)));
    assert_eq!(it.b.lease(&id).await.unwrap(), None);
    // behind the head
    let head = publish(&it.b, hard(tag("t"))).await.token;
    let other = entry("2");
    assert_eq!(
        ask(&it.a, &other, absent("a", &seen)).await,
        Found::Leased { token: head.clone(), stale: None }
    );
    assert_eq!(fill(&it.a, &other, "a", head.clone(), value("2")).await, Filled::Stored);
    // of another history
    let token = Token { lineage: LineageId::new("0123456789abcdef"), seq: head.seq };
    let third = entry("3");
    assert_eq!(ask(&it.a, &third, absent("a", &token)).await, Found::Leased { token: head, stale: None });
}

pub(crate) async fn a_taken_lease_is_busy_for_every_other_load<F: Fixture>() {
    let it = two::<F>().await;
    lease(&it.a, &entry("1"), "a1").await;
    // A load of the same instance is another load.
    for (backend, by) in [(&it.a, "a2"), (&it.b, "b1")] {
        let Found::Busy { left, stale: None } = ask(backend, &entry("1"), claim(by)).await else {
            panic!("{by} is not told to wait")
        };
        assert!(left <= LONG && LONG < left + Duration::from_secs(60), "{left:?} left of {LONG:?}");
    }
    lease(&it.b, &entry("2"), "b2").await;
}

pub(crate) async fn a_load_that_asks_again_still_has_its_lease<F: Fixture>() {
    let it = two::<F>().await;
    lease(&it.a, &entry("1"), "a").await;
    let published = publish(&it.b, hard(tag("t"))).await;
    assert_eq!(lease(&it.a, &entry("1"), "a").await, published.token);
    assert!(matches!(ask(&it.b, &entry("1"), claim("b")).await, Found::Busy { .. }));
}

pub(crate) async fn a_lease_that_outlasts_every_other_is_of_a_clock_that_went_back<F: Fixture>() {
    let it = two::<F>().await;
    let id = entry("1");
    let token = lease(&it.a, &id, "a").await;
    let of = |by: &str, lease| Claim { lease, ..claim(by) };
    let twice = it.b.lookup(question(&id, Some(of("b", claim("a").lease / 2)))).await.unwrap();
    assert!(matches!(twice, Found::Busy { .. }), "{twice:?}");
    let longer = it.b.lookup(question(&id, Some(of("b", claim("a").lease / 3)))).await.unwrap();
    assert!(matches!(longer, Found::Leased { .. }), "{longer:?}");
    // Whoever had it does not store any more.
    let late = fill(&it.a, &id, "a", token, value("1")).await;
    assert_eq!(late, Filled::Refused(FillRefusal::LeaseLost));
}

pub(crate) async fn an_expired_lease_goes_to_the_next<F: Fixture>() {
    let it = two::<F>().await;
    let short = Claim { lease: SHORT, ..claim("a") };
    assert!(matches!(ask(&it.a, &entry("1"), short).await, Found::Leased { .. }));
    eventually("the lease expires", async || match ask(&it.b, &entry("1"), claim("b")).await {
        Found::Busy { left, .. } => {
            assert!(left <= SHORT, "{left:?} left of {SHORT:?}");
            None
        }
        Found::Leased { .. } => Some(()),
        other => panic!("{other:?}"),
    })
    .await;
}

pub(crate) async fn a_stored_value_is_fresh_for_every_instance_with_the_head_as_token<F: Fixture>() {
    let it = two::<F>().await;
    let put = tagged("hello", &["t", "u"]);
    let stored = store(&it.a, &entry("1"), put.clone()).await;
    let later = publish(&it.a, hard(tag("other"))).await.token;
    let expected = |token| Stored {
        token,
        names: put.names.clone(),
        load: load("stored"),
        envelope: put.envelope.clone(),
        dirty: None,
    };
    for backend in [&it.a, &it.b] {
        assert_eq!(look(backend, &entry("1")).await, Found::Fresh(expected(later.clone())));
        assert_eq!(peek(backend, &entry("1")).await, Some(expected(stored.clone())));
    }
}

pub(crate) async fn a_hit_takes_no_lease<F: Fixture>() {
    let it = two::<F>().await;
    store(&it.a, &entry("1"), value("hello")).await;
    assert!(matches!(ask(&it.a, &entry("1"), claim("a")).await, Found::Fresh(_)));
    let refresh = Claim { even_if_fresh: true, ..claim("b") };
    assert!(matches!(ask(&it.b, &entry("1"), refresh).await, Found::Leased { .. }));
}

pub(crate) async fn the_copy_at_hand_is_not_sent_again<F: Fixture>() {
    let it = two::<F>().await;
    store(&it.a, &entry("1"), value("hello")).await;
    let head = publish(&it.a, hard(tag("other"))).await.token;
    let holding = async |copy, claim| {
        let mut question = question(&entry("1"), claim);
        question.have = Some(load(copy));
        it.b.lookup(question).await.unwrap()
    };
    assert_eq!(holding("stored", None).await, Found::NotModified(head.clone()));
    assert_eq!(holding("stored", Some(claim("b"))).await, Found::NotModified(head));
    assert!(matches!(holding("another", None).await, Found::Fresh(_)));
    publish(&it.a, hard(Target::Namespace(users()))).await;
    assert_eq!(holding("stored", None).await, Found::Nothing { stale: None });
}

pub(crate) async fn what_time_made_stale_comes_with_its_own_token<F: Fixture>() {
    let it = two::<F>().await;
    let mut put = value("hello");
    put.fresh = SHORT;
    let token = store(&it.a, &entry("1"), put).await;
    publish(&it.a, hard(tag("other"))).await;
    let stale = eventually("the entry is stale", async || match look(&it.b, &entry("1")).await {
        Found::Nothing { stale } => stale,
        Found::Fresh(_) => None,
        other => panic!("{other:?}"),
    })
    .await;
    assert_eq!((&stale.token, &stale.envelope[..]), (&token, &b"hello"[..]));
    let Found::Leased { token, stale: beside } = ask(&it.a, &entry("1"), claim("a")).await else {
        panic!("no lease")
    };
    assert_eq!((token.seq, beside), (head(&it.a).await, Some(stale.clone())));
    let Found::Busy { stale: beside, .. } = ask(&it.b, &entry("1"), claim("b")).await else {
        panic!("not busy")
    };
    assert_eq!(beside, Some(stale));
}

pub(crate) async fn what_is_kept_no_longer_is_gone<F: Fixture>() {
    let it = two::<F>().await;
    let mut put = value("hello");
    (put.fresh, put.kept) = (SHORT, SHORT);
    store(&it.a, &entry("1"), put).await;
    eventually("the entry expires", async || peek(&it.b, &entry("1")).await.is_none().then_some(())).await;
    assert_eq!(look(&it.b, &entry("1")).await, Found::Nothing { stale: None });
}

pub(crate) async fn a_refresh_gets_the_lease_beside_a_fresh_entry<F: Fixture>() {
    let it = two::<F>().await;
    store(&it.a, &entry("1"), value("old")).await;
    let refresh = Claim { even_if_fresh: true, ..claim("a") };
    let Found::Leased { token, stale: None } = ask(&it.a, &entry("1"), refresh).await else {
        panic!("no lease")
    };
    assert_eq!(standing(&it.b, &entry("1")).await, Standing::Fresh);
    fill(&it.a, &entry("1"), "a", token, value("new")).await;
    assert_eq!(peek(&it.b, &entry("1")).await.unwrap().envelope, "new");
}

pub(crate) async fn a_refresh_of_the_copy_at_hand_is_content_with_what_another_has_loaded<F: Fixture>() {
    let it = two::<F>().await;
    store(&it.a, &entry("1"), value("hello")).await;
    let refresh = async |have, by| {
        let mut question = question(&entry("1"), Some(Claim { even_if_fresh: true, ..claim(by) }));
        question.have = Some(load(have));
        it.b.lookup(question).await.unwrap()
    };
    assert!(matches!(refresh("another", "a").await, Found::Fresh(_)));
    assert!(matches!(refresh("stored", "b").await, Found::Leased { stale: None, .. }));
}

pub(crate) async fn an_entry_of_a_lineage_that_ended_is_void<F: Fixture>() {
    let it = two::<F>().await;
    let stored = store(&it.a, &entry("1"), value("old")).await;
    it.begin_another_lineage().await;
    let head = it.a.head(home(&it.a)).await.unwrap();
    assert_ne!(head.lineage, stored.lineage);
    assert!(stored.seq < head.seq);
    assert_eq!(peek(&it.a, &entry("1")).await.unwrap().token, stored);
    assert_eq!(ask(&it.a, &entry("1"), claim("a")).await, Found::Leased { token: head, stale: None });
}

pub(crate) async fn versions_of_a_namespace_are_separate_entries<F: Fixture>() {
    let it = two::<F>().await;
    let next = EntryId { version: 2, ..entry("1") };
    store(&it.a, &entry("1"), value("one")).await;
    assert_eq!(standing(&it.a, &next).await, Standing::Gone);
    store(&it.a, &next, value("two")).await;
    assert_eq!(peek(&it.b, &entry("1")).await.unwrap().envelope, "one");
    assert_eq!(peek(&it.b, &next).await.unwrap().envelope, "two");
}

pub(crate) async fn peek_answers_in_order_and_checks_nothing<F: Fixture>() {
    let it = two::<F>().await;
    for key in ["1", "3"] {
        store(&it.a, &entry(key), value(key)).await;
    }
    publish(&it.a, hard(Target::Namespace(users()))).await;
    let answers = it.b.peek(&["3", "2", "1", "3"].map(entry)).await.unwrap();
    let bodies: Vec<_> = answers.iter().map(|it| it.as_ref().map(|it| &it.envelope[..])).collect();
    assert_eq!(bodies, [Some(&b"3"[..]), None, Some(b"1"), Some(b"3")]);
    assert_eq!(it.b.peek(&[]).await.unwrap(), []);
}
