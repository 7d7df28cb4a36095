//! Events: what they make old, and where they are numbered.

use std::collections::BTreeSet;

use coherd::backend::{Along, EntryId, FillRefusal, Filled, Found, Publication};
use coherd::model::{Event, Name, Target};
use futures_util::future::join_all;

use super::fixture::{Fixture, Settings};
use super::kit::{
    Standing, Two, ask, claim, entry, entry_in, fill, hard, head, home, key, lease, load, look, peek, prefix,
    publication, publish, soft, standing, store, tag, tag_name, tagged, two, two_with, users, value,
};

/// Stores a value under each key, publishes the event on the other instance, and tells the standings after it.
async fn after<F: Fixture>(it: &Two<F>, keys: &[&str], event: Event) -> Vec<Standing> {
    for key in keys {
        store(&it.a, &entry(key), value(key)).await;
    }
    publish(&it.b, event).await;
    let mut standings = Vec::new();
    for key in keys {
        standings.push(standing(&it.a, &entry(key)).await);
    }
    standings
}

pub(crate) async fn a_hard_event_for_a_key_drops_the_entry_and_the_lease<F: Fixture>() {
    let it = two::<F>().await;
    assert_eq!(after(&it, &["1", "2"], hard(key("1"))).await, [Standing::Gone, Standing::Fresh]);
    assert_eq!(peek(&it.a, &entry("1")).await, None);
    let token = lease(&it.a, &entry("1"), "a").await;
    publish(&it.b, hard(key("1"))).await;
    lease(&it.b, &entry("1"), "b").await;
    let late = fill(&it.a, &entry("1"), "a", token, value("old")).await;
    assert_eq!(late, Filled::Refused(FillRefusal::LeaseLost));

    // An entry that the publisher does not know is not dropped, and as old for it.
    let version = EntryId { version: 2, ..entry("3") };
    store(&it.a, &version, value("3")).await;
    publish(&it.b, hard(key("3"))).await;
    assert!(peek(&it.a, &version).await.is_some());
    assert_eq!(standing(&it.a, &version).await, Standing::Gone);
}

pub(crate) async fn a_soft_event_for_a_key_leaves_a_stale_copy_and_drops_the_lease<F: Fixture>() {
    let it = two::<F>().await;
    assert_eq!(after(&it, &["1", "2"], soft(key("1"))).await, [Standing::Stale, Standing::Fresh]);
    let token = lease(&it.a, &entry("1"), "a").await;
    publish(&it.b, soft(key("1"))).await;
    let Found::Leased { stale: Some(_), .. } = ask(&it.b, &entry("1"), claim("b")).await else {
        panic!("the lease stands, or the copy is gone")
    };
    let late = fill(&it.a, &entry("1"), "a", token, value("old")).await;
    assert_eq!(late, Filled::Refused(FillRefusal::LeaseLost));
}

pub(crate) async fn a_prefix_covers_the_keys_below_it<F: Fixture>() {
    let it = two::<F>().await;
    let keys = ["eu/de/1", "eu/de", "eu/fr/1", "eu:de/1", "de/eu/de/1"];
    let hit = after(&it, &keys, hard(prefix("eu/de/"))).await;
    assert_eq!(hit, [Standing::Gone, Standing::Fresh, Standing::Fresh, Standing::Fresh, Standing::Fresh]);
    let deep = "1/2/3/4/5/6/7/8/9/10";
    assert_eq!(after(&it, &[deep], soft(prefix("1/2/3/4/5/6/7/8/"))).await, [Standing::Stale]);
}

pub(crate) async fn a_prefix_off_a_boundary_is_widened<F: Fixture>() {
    let it = two::<F>().await;
    let keys = ["eu:de", "eu:fr", "us:ny"];
    let hit = after(&it, &keys, hard(prefix("eu:d"))).await;
    assert_eq!(hit, [Standing::Gone, Standing::Gone, Standing::Fresh]);
    assert_eq!(after(&it, &["x:1", "y"], hard(prefix("x"))).await, [Standing::Gone, Standing::Gone]);
    // Deeper than the eight boundaries that entries are covered by.
    let deep = ["1/2/3/4/5/6/7/8/9/a", "1/2/3/4/5/6/7/8/z"];
    let hit = after(&it, &deep, hard(prefix("1/2/3/4/5/6/7/8/9/"))).await;
    assert_eq!(hit, [Standing::Gone, Standing::Gone]);
}

pub(crate) async fn a_namespace_covers_its_keys_alone<F: Fixture>() {
    let it = two::<F>().await;
    let other = entry_in("users2", "1");
    store(&it.a, &other, value("1")).await;
    let hit = after(&it, &["1", "a/b"], hard(Target::Namespace(users()))).await;
    assert_eq!(hit, [Standing::Gone, Standing::Gone]);
    assert_eq!(standing(&it.b, &other).await, Standing::Fresh);
}

pub(crate) async fn a_tag_covers_values_of_all_namespaces<F: Fixture>() {
    let it = two::<F>().await;
    let entries = [entry("1"), entry_in("accounts", "1")];
    for entry in &entries {
        store(&it.a, entry, tagged("1", &["t", "team:7"])).await;
    }
    publish(&it.b, soft(tag("team:7"))).await;
    for entry in &entries {
        assert_eq!(standing(&it.a, entry).await, Standing::Stale);
    }
    publish(&it.b, hard(tag("t"))).await;
    for entry in &entries {
        assert_eq!(standing(&it.a, entry).await, Standing::Gone);
    }
}

pub(crate) async fn a_name_that_a_value_depends_on_covers_it<F: Fixture>() {
    let it = two::<F>().await;
    let account = entry_in("accounts", "7");
    let mut put = value("1");
    put.names = vec![Name::key(&account.namespace, &account.key)];
    store(&it.a, &entry("1"), put).await;
    publish(&it.b, hard(Target::Key(account.namespace, account.key))).await;
    assert_eq!(standing(&it.a, &entry("1")).await, Standing::Gone);
}

pub(crate) async fn all_covers_everything<F: Fixture>() {
    let it = two::<F>().await;
    store(&it.a, &entry_in("other", "1"), tagged("1", &["t"])).await;
    assert_eq!(after(&it, &["1", "a/b"], hard(Target::All)).await, [Standing::Gone, Standing::Gone]);
    assert_eq!(standing(&it.a, &entry_in("other", "1")).await, Standing::Gone);
    store(&it.a, &entry("1"), value("new")).await;
    assert_eq!(standing(&it.a, &entry("1")).await, Standing::Fresh);
}

pub(crate) async fn a_soft_event_for_all_makes_everything_stale<F: Fixture>() {
    let it = two::<F>().await;
    assert_eq!(after(&it, &["1", "a/b"], soft(Target::All)).await, [Standing::Stale, Standing::Stale]);
    store(&it.a, &entry("1"), value("new")).await;
    assert_eq!(standing(&it.a, &entry("1")).await, Standing::Fresh);
}

pub(crate) async fn a_hard_event_counts_beside_a_later_soft_one<F: Fixture>() {
    let it = two::<F>().await;
    for targets in [[tag("t"), tag("t")], [tag("u"), Target::All], [Target::All, tag("v")]] {
        let [first, second] = targets;
        store(&it.a, &entry("1"), tagged("1", &["t", "u", "v"])).await;
        publish(&it.b, hard(first)).await;
        publish(&it.b, soft(second)).await;
        assert_eq!(standing(&it.a, &entry("1")).await, Standing::Gone);
    }
}

pub(crate) async fn a_value_loaded_after_the_event_is_fresh<F: Fixture>() {
    let it = two::<F>().await;
    let targets = vec![key("eu/1"), prefix("eu/"), Target::Namespace(users()), tag("t"), Target::All];
    for event in [Event::hard(targets.clone()), Event { targets, ..soft(Target::All) }] {
        let published = publish(&it.b, event).await;
        let token = store(&it.a, &entry("eu/1"), tagged("new", &["t"])).await;
        assert_eq!(token, published.token);
        assert_eq!(standing(&it.b, &entry("eu/1")).await, Standing::Fresh);
    }
}

/// An event for the tag `t` with a `request_id`.
fn request(id: &str) -> Publication {
    publication(Event { request_id: Some(id.to_owned()), ..hard(tag("t")) })
}

pub(crate) async fn a_repeated_request_logs_nothing_and_gets_the_first_place<F: Fixture>() {
    let it = two::<F>().await;
    let first = it.a.publish(home(&it.a), request("r")).await.unwrap();
    assert!(!first.repeated);
    store(&it.a, &entry("1"), tagged("1", &["t"])).await;
    publish(&it.a, hard(tag("other"))).await;
    let last = head(&it.a).await;

    let repeat = Publication {
        along: Some(Along::Value { entry: entry("2"), load: load("w"), put: value("2") }),
        ..request("r")
    };
    let second = it.b.publish(home(&it.b), repeat).await.unwrap();
    assert_eq!((&second.token, second.repeated), (&first.token, true));
    assert_eq!(second.members.len(), 2);
    assert_eq!(head(&it.a).await, last);
    assert_eq!(standing(&it.a, &entry("1")).await, Standing::Fresh);
    assert_eq!(peek(&it.a, &entry("2")).await, None);

    let other = it.b.publish(home(&it.b), request("r2")).await.unwrap();
    assert_eq!((other.token.seq, other.repeated), (last + 1, false));
}

pub(crate) async fn a_repeat_counts_only_beyond_the_number_given<F: Fixture>() {
    let it = two::<F>().await;
    let first = it.a.publish(home(&it.a), request("r")).await.unwrap().token.seq;
    let after = async |repeat_after| {
        let published =
            it.b.publish(home(&it.b), Publication { repeat_after, ..request("r") }).await.unwrap();
        (published.token.seq, published.repeated)
    };
    assert_eq!(after(first - 1).await, (first, true));
    assert_eq!(after(first).await, (first + 1, false));
    assert_eq!(after(first).await, (first + 1, true));
}

pub(crate) async fn events_of_all_instances_are_numbered_densely<F: Fixture>() {
    let it = two::<F>().await;
    let before = head(&it.a).await;
    let publishing = (0..40).map(|n| {
        let backend = if n % 2 == 0 { &it.a } else { &it.b };
        async move { publish(backend, hard(tag(&format!("t{n}")))).await.token }
    });
    let tokens = join_all(publishing).await;
    let seqs: BTreeSet<_> = tokens.iter().map(|token| token.seq).collect();
    assert_eq!(seqs, (before + 1..=before + 40).collect());
    assert!(tokens.iter().all(|token| token.lineage == tokens[0].lineage));
}

pub(crate) async fn a_value_takes_effect_with_its_event<F: Fixture>() {
    let it = two::<F>().await;
    store(&it.a, &entry("1"), value("old")).await;
    let mut reload = claim("a");
    reload.even_if_fresh = true;
    let Found::Leased { token: old, .. } = ask(&it.a, &entry("1"), reload).await else { panic!("no lease") };

    let (at, put) = (entry("1"), tagged("new", &["t"]));
    let written = Some(Along::Value { entry: at, load: load("w"), put });
    let published =
        it.b.publish(home(&it.b), Publication { along: written, ..publication(hard(key("1"))) })
            .await
            .unwrap();
    let stored = peek(&it.a, &entry("1")).await.unwrap();
    assert_eq!((stored.token, stored.load, &stored.envelope[..]), (published.token, load("w"), &b"new"[..]));
    assert_eq!(stored.names, [tag_name("t")]);
    assert_eq!(standing(&it.a, &entry("1")).await, Standing::Fresh);

    let late = fill(&it.a, &entry("1"), "a", old, value("old")).await;
    assert_eq!(late, Filled::Refused(FillRefusal::LeaseLost));
    publish(&it.a, hard(tag("t"))).await;
    assert_eq!(standing(&it.a, &entry("1")).await, Standing::Gone);
}

pub(crate) async fn forgotten_watermarks_never_bring_a_value_back<F: Fixture>() {
    let it = two_with::<F>(Settings { watermarks_max: 8, ..Settings::default() }).await;
    let (dead, stale) = (entry("dead"), entry("stale"));
    store(&it.a, &dead, tagged("1", &["dead"])).await;
    store(&it.a, &stale, tagged("1", &["stale"])).await;
    publish(&it.b, hard(tag("dead"))).await;
    publish(&it.b, soft(tag("stale"))).await;
    for number in 0..60 {
        publish(&it.b, hard(tag(&format!("t{number}")))).await;
        assert_eq!(standing(&it.a, &dead).await, Standing::Gone, "after {number}");
        assert_ne!(standing(&it.a, &stale).await, Standing::Fresh, "after {number}");
    }
    store(&it.a, &dead, tagged("2", &["dead"])).await;
    assert_eq!(standing(&it.a, &dead).await, Standing::Fresh);
}

pub(crate) async fn a_lineage_begun_by_an_event_starts_above_what_is_known<F: Fixture>() {
    let fixture = F::start(Settings::default()).await;
    let [a, _] = fixture.instances();
    // A number that no clock has reached.
    let known = 1 << 50;
    fixture.flush_all().await;
    let published = a.publish(home(&a), Publication { known, ..publication(hard(tag("t"))) }).await.unwrap();
    assert!(known < published.token.seq, "{}", published.token.seq);
    assert_eq!(head(&a).await, published.token.seq);
}

pub(crate) async fn a_lost_store_begins_another_lineage_above_what_is_known<F: Fixture>() {
    let it = two::<F>().await;
    let forgotten = request("r");
    let old = it.a.publish(home(&it.a), forgotten.clone()).await.unwrap().token;
    store(&it.a, &entry("1"), value("1")).await;
    it.lose(old.seq).await;
    let new = it.a.head(home(&it.a)).await.unwrap();
    assert_ne!(new.lineage, old.lineage);
    assert!(old.seq < new.seq);
    assert_eq!(look(&it.a, &entry("1")).await, Found::Nothing { stale: None });
    let published = it.b.publish(home(&it.b), forgotten).await.unwrap();
    assert_eq!((published.repeated, published.token.seq), (false, new.seq + 1));
    assert!(it.a.read_log(home(&it.a), 0, 10).await.unwrap().len() == 1);
}
