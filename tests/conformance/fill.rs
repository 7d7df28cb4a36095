//! Storing what a load brought, and keeping out what is older than an event.

use coherd::backend::{Claim, EntryId, FillRefusal, Filled, Found};
use coherd::model::{Event, Target};

use super::fixture::Fixture;
use super::kit::{
    SHORT, Standing, Two, ask, claim, entry, eventually, fill, fill_unleased, hard, home, key, lease, load,
    peek, prefix, publish, soft, standing, tag, tagged, two, users, value,
};

pub(crate) async fn a_fill_without_the_lease_is_refused_and_leaves_it_alone<F: Fixture>() {
    let it = two::<F>().await;
    let token = lease(&it.a, &entry("1"), "a").await;
    let thief = fill(&it.b, &entry("1"), "b", token.clone(), value("b")).await;
    assert_eq!(thief, Filled::Refused(FillRefusal::LeaseLost));
    assert_eq!(fill(&it.a, &entry("1"), "a", token, value("a")).await, Filled::Stored);
    assert_eq!(peek(&it.b, &entry("1")).await.unwrap().envelope, "a");
}

pub(crate) async fn a_fill_ends_the_lease<F: Fixture>() {
    let it = two::<F>().await;
    let token = lease(&it.a, &entry("1"), "a").await;
    assert_eq!(fill(&it.a, &entry("1"), "a", token.clone(), value("1")).await, Filled::Stored);
    let again = fill(&it.a, &entry("1"), "a", token, value("2")).await;
    assert_eq!(again, Filled::Refused(FillRefusal::LeaseLost));
    let refresh = Claim { even_if_fresh: true, ..claim("b") };
    assert!(matches!(ask(&it.b, &entry("1"), refresh).await, Found::Leased { .. }));
}

pub(crate) async fn a_fill_after_its_lease_expired_is_refused<F: Fixture>() {
    let it = two::<F>().await;
    let short = Claim { lease: SHORT, ..claim("a") };
    let Found::Leased { token, .. } = ask(&it.a, &entry("1"), short).await else { panic!("no lease") };
    eventually("the lease expires", async || match ask(&it.b, &entry("1"), claim("b")).await {
        Found::Leased { .. } => Some(()),
        _ => None,
    })
    .await;
    let late = fill(&it.a, &entry("1"), "a", token, value("a")).await;
    assert_eq!(late, Filled::Refused(FillRefusal::LeaseLost));
    assert_eq!(standing(&it.a, &entry("1")).await, Standing::Gone);
}

pub(crate) async fn an_old_load_cannot_store_after_an_event_and_a_newer_load<F: Fixture>() {
    for newer_first in [true, false] {
        let it = two::<F>().await;
        let old = lease(&it.a, &entry("1"), "a").await;
        publish(&it.a, hard(key("1"))).await;
        let new = lease(&it.b, &entry("1"), "b").await;
        assert!(old.seq < new.seq);
        let late = async || fill(&it.a, &entry("1"), "a", old.clone(), value("old")).await;
        if !newer_first {
            assert_eq!(late().await, Filled::Refused(FillRefusal::LeaseLost));
        }
        assert_eq!(fill(&it.b, &entry("1"), "b", new.clone(), value("new")).await, Filled::Stored);
        assert_eq!(late().await, Filled::Refused(FillRefusal::LeaseLost));
        let stored = peek(&it.a, &entry("1")).await.unwrap();
        assert_eq!((stored.load, stored.token, &stored.envelope[..]), (load("b"), new, &b"new"[..]));
    }
}

/// The answer to a fill with a value tagged `t`, if `event` comes during the load.
async fn fill_across<F: Fixture>(it: &Two<F>, entry: &EntryId, event: Event) -> Filled {
    let token = lease(&it.a, entry, "a").await;
    publish(&it.b, event).await;
    fill(&it.a, entry, "a", token, tagged("old", &["t"])).await
}

pub(crate) async fn an_event_for_a_tag_that_only_the_value_names_keeps_it_out<F: Fixture>() {
    let it = two::<F>().await;
    for (number, event) in [hard(tag("t")), soft(tag("t"))].into_iter().enumerate() {
        let entry = entry(&number.to_string());
        assert_eq!(fill_across(&it, &entry, event).await, Filled::Refused(FillRefusal::Stale));
        assert_eq!(standing(&it.b, &entry).await, Standing::Gone);
    }
}

pub(crate) async fn an_event_for_what_covers_the_key_keeps_the_value_out<F: Fixture>() {
    let it = two::<F>().await;
    let covers = [prefix("eu/"), prefix("eu/de/"), Target::Namespace(users()), Target::All];
    let events = covers.iter().flat_map(|target| [hard(target.clone()), soft(target.clone())]);
    for (number, event) in events.enumerate() {
        let entry = entry(&format!("eu/de/{number}"));
        let filled = fill_across(&it, &entry, event.clone()).await;
        assert_eq!(filled, Filled::Refused(FillRefusal::Stale), "{event:?}");
        assert_eq!(standing(&it.b, &entry).await, Standing::Gone);
    }
    for event in [hard(key("eu/1")), soft(key("eu/1"))] {
        // An event for the key itself takes the lease with it.
        assert_eq!(fill_across(&it, &entry("eu/1"), event).await, Filled::Refused(FillRefusal::LeaseLost));
    }
}

pub(crate) async fn a_refused_fill_ends_the_lease<F: Fixture>() {
    let it = two::<F>().await;
    assert_eq!(fill_across(&it, &entry("1"), hard(tag("t"))).await, Filled::Refused(FillRefusal::Stale));
    let token = lease(&it.b, &entry("1"), "b").await;
    assert_eq!(fill(&it.b, &entry("1"), "b", token, tagged("new", &["t"])).await, Filled::Stored);
}

pub(crate) async fn an_event_about_something_else_does_not_refuse_a_fill<F: Fixture>() {
    let it = two::<F>().await;
    let others = [key("eu/9"), key("eu/de"), prefix("eu/fr/"), tag("T"), tag("t2")];
    for (number, target) in others.into_iter().enumerate() {
        let entry = entry(&format!("eu/de/{number}"));
        assert_eq!(fill_across(&it, &entry, hard(target.clone())).await, Filled::Stored, "{target:?}");
        assert_eq!(standing(&it.b, &entry).await, Standing::Fresh, "{target:?}");
    }
}

pub(crate) async fn a_lease_of_a_lost_store_is_lost<F: Fixture>() {
    let it = two::<F>().await;
    let old = lease(&it.a, &entry("1"), "a").await;
    it.lose(0).await;
    let late = async || fill(&it.a, &entry("1"), "a", old.clone(), value("old")).await;
    assert_eq!(late().await, Filled::Refused(FillRefusal::LeaseLost));
    lease(&it.a, &entry("1"), "a").await;
    assert_eq!(late().await, Filled::Refused(FillRefusal::LeaseLost));
}

pub(crate) async fn a_fill_with_another_token_than_the_leases_is_refused<F: Fixture>() {
    let it = two::<F>().await;
    let old = lease(&it.a, &entry("1"), "a").await;
    let other = publish(&it.b, hard(tag("t"))).await.token;
    let forged = fill(&it.a, &entry("1"), "a", other, tagged("old", &["t"])).await;
    assert_eq!(forged, Filled::Refused(FillRefusal::LeaseLost));
    assert_eq!(fill(&it.a, &entry("1"), "a", old, value("old")).await, Filled::Stored);
}

pub(crate) async fn a_fill_without_a_lease_is_kept_out_by_newer_events_alone<F: Fixture>() {
    let it = two::<F>().await;
    let token = it.a.head(home(&it.a)).await.unwrap();
    let filled = fill_unleased(&it.a, &entry("1"), "a", token.clone(), tagged("1", &["t"])).await;
    assert_eq!(filled, Filled::Stored);
    assert_eq!(peek(&it.b, &entry("1")).await.unwrap().token, token);

    for event in [hard(key("1")), soft(tag("t"))] {
        let token = it.a.head(home(&it.a)).await.unwrap();
        publish(&it.b, event).await;
        let late = fill_unleased(&it.a, &entry("1"), "a", token, tagged("old", &["t"])).await;
        assert_eq!(late, Filled::Refused(FillRefusal::Stale));
    }
    it.begin_another_lineage().await;
    let late = fill_unleased(&it.a, &entry("2"), "a", token, value("old")).await;
    assert_eq!(late, Filled::Refused(FillRefusal::Lineage));
}

pub(crate) async fn a_fill_without_a_lease_leaves_the_lease_alone<F: Fixture>() {
    let it = two::<F>().await;
    let token = lease(&it.a, &entry("1"), "a").await;
    let filled = fill_unleased(&it.b, &entry("1"), "b", token.clone(), value("b")).await;
    assert_eq!(filled, Filled::Stored);
    assert_eq!(fill(&it.a, &entry("1"), "a", token, value("a")).await, Filled::Stored);
    assert_eq!(peek(&it.b, &entry("1")).await.unwrap().envelope, "a");
}

pub(crate) async fn a_lease_of_a_lineage_that_ended_is_void<F: Fixture>() {
    let it = two::<F>().await;
    let old = lease(&it.a, &entry("1"), "a").await;
    let other = lease(&it.a, &entry("2"), "a").await;
    it.begin_another_lineage().await;
    let token = lease(&it.b, &entry("1"), "b").await;
    assert_eq!(token, it.a.head(home(&it.a)).await.unwrap());
    let late = fill(&it.a, &entry("1"), "a", old, value("old")).await;
    assert_eq!(late, Filled::Refused(FillRefusal::LeaseLost));
    let late = fill(&it.a, &entry("2"), "a", other, value("old")).await;
    assert_eq!(late, Filled::Refused(FillRefusal::Lineage));
    assert_eq!(fill(&it.b, &entry("1"), "b", token, value("new")).await, Filled::Stored);
    assert_eq!(standing(&it.a, &entry("1")).await, Standing::Fresh);
}

pub(crate) async fn a_released_lease_goes_to_the_next<F: Fixture>() {
    let it = two::<F>().await;
    let token = lease(&it.a, &entry("1"), "a").await;
    it.a.release(&entry("1"), &load("a")).await.unwrap();
    lease(&it.b, &entry("1"), "b").await;
    let late = fill(&it.a, &entry("1"), "a", token, value("a")).await;
    assert_eq!(late, Filled::Refused(FillRefusal::LeaseLost));
}

pub(crate) async fn everybody_sees_who_has_a_lease_and_for_how_long<F: Fixture>() {
    let it = two::<F>().await;
    assert_eq!(it.b.lease(&entry("1")).await.unwrap(), None);
    lease(&it.a, &entry("1"), "a").await;
    // One that somebody waits for, too.
    assert!(matches!(ask(&it.b, &entry("1"), claim("b")).await, Found::Busy { .. }));
    let (holder, left) = it.b.lease(&entry("1")).await.unwrap().unwrap();
    assert_eq!(holder, load("a"));
    let given = claim("a").lease;
    assert!(!left.is_zero() && left <= given, "{left:?} of {given:?}");
    assert_eq!(it.b.lease(&entry("2")).await.unwrap(), None);
    it.a.release(&entry("1"), &load("a")).await.unwrap();
    assert_eq!(it.b.lease(&entry("1")).await.unwrap(), None);
}

pub(crate) async fn only_its_holder_releases_a_lease<F: Fixture>() {
    let it = two::<F>().await;
    lease(&it.a, &entry("1"), "a").await;
    it.b.release(&entry("1"), &load("b")).await.unwrap();
    it.b.release(&entry("2"), &load("a")).await.unwrap();
    assert!(matches!(ask(&it.b, &entry("1"), claim("b")).await, Found::Busy { .. }));
}
