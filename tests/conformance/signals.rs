//! Subscriptions: what instances hear of each other.

use coherd::backend::{LinkState, Publication, Signal};
use tokio::time::timeout;

use super::fixture::Fixture;
use super::kit::{
    Ears, SOON, Two, ask, claim, entry, fill, hard, head, home, key, lease, load, look, publication, publish,
    tag, tagged, two, value,
};

pub(crate) async fn an_event_is_announced_to_every_instance_as_it_is_logged<F: Fixture>() {
    let it = two::<F>().await;
    let mut ears = [Ears::of(&it.a).await, Ears::of(&it.b).await];
    let start = head(&it.a).await;
    it.a.publish(home(&it.a), Publication { confirm: true, ..publication(hard(key("1"))) }).await.unwrap();
    let token = publish(&it.b, hard(tag("t"))).await.token;
    let log = it.a.read_log(home(&it.a), start, 10).await.unwrap();
    assert_eq!(log.len(), 2);
    for ears in &mut ears {
        for logged in &log {
            let expected =
                Signal::Event { shard: home(&it.a), lineage: token.lineage.clone(), logged: logged.clone() };
            assert_eq!(ears.next().await, Some(expected));
        }
    }
}

pub(crate) async fn a_confirmation_is_heard<F: Fixture>() {
    let it = two::<F>().await;
    let cursor = publish(&it.a, hard(tag("t"))).await.token.seq;
    let mut ears = Ears::of(&it.a).await;
    it.b.confirm(home(&it.b), "b", cursor).await.unwrap();
    let expected = Signal::Confirmed { shard: home(&it.a), instance: "b".to_owned(), cursor };
    assert_eq!(ears.next().await, Some(expected));
}

/// Takes the lease of a key for `a`, and asks for it in vain.
async fn wanted<F: Fixture>(it: &Two<F>, key: &str) -> coherd::backend::Token {
    let token = lease(&it.a, &entry(key), "a").await;
    ask(&it.b, &entry(key), claim("b")).await;
    token
}

/// The key as a wake-up names it.
fn named(key: &str) -> String {
    entry(key).key.to_string()
}

pub(crate) async fn who_waits_for_a_lease_hears_how_it_ended<F: Fixture>() {
    let it = two::<F>().await;
    let mut ears = Ears::of(&it.b).await;

    let token = wanted(&it, "filled").await;
    fill(&it.a, &entry("filled"), "a", token, value("1")).await;

    wanted(&it, "released").await;
    it.a.release(&entry("released"), &load("a")).await.unwrap();

    let token = wanted(&it, "refused").await;
    publish(&it.a, hard(tag("t"))).await;
    fill(&it.a, &entry("refused"), "a", token, tagged("1", &["t"])).await;

    wanted(&it, "voided").await;
    publish(&it.a, hard(key("voided"))).await;

    let heard = ears.wakes_until(&entry("voided")).await;
    let expected = [("filled", true), ("released", false), ("refused", false), ("voided", false)];
    assert_eq!(heard, expected.map(|(key, filled)| (named(key), filled)));
}

pub(crate) async fn who_waits_for_a_load_hears_of_it_though_it_took_its_lease_in_another_lineage<
    F: Fixture,
>() {
    let it = two::<F>().await;
    let mut ears = Ears::of(&it.b).await;
    wanted(&it, "1").await;
    it.begin_another_lineage().await;
    let token = lease(&it.a, &entry("1"), "a").await;
    fill(&it.a, &entry("1"), "a", token, value("1")).await;
    assert_eq!(ears.wakes_until(&entry("1")).await, [(named("1"), true)]);
}

pub(crate) async fn a_lease_that_nobody_waits_for_ends_in_silence<F: Fixture>() {
    let it = two::<F>().await;
    let mut ears = Ears::of(&it.b).await;

    let token = lease(&it.a, &entry("filled"), "a").await;
    // Who only looks does not wait.
    look(&it.b, &entry("filled")).await;
    fill(&it.a, &entry("filled"), "a", token, value("1")).await;

    lease(&it.a, &entry("released"), "a").await;
    it.a.release(&entry("released"), &load("a")).await.unwrap();

    lease(&it.a, &entry("voided"), "a").await;
    publish(&it.a, hard(key("voided"))).await;

    // Who asks again for its own lease does not wait.
    lease(&it.a, &entry("twice"), "a").await;
    lease(&it.a, &entry("twice"), "a").await;
    it.a.release(&entry("twice"), &load("a")).await.unwrap();

    // Wanted, but not ended by who does not have it.
    wanted(&it, "kept").await;
    it.b.release(&entry("kept"), &load("b")).await.unwrap();

    // A lease that was wanted once is not wanted for ever.
    wanted(&it, "again").await;
    it.a.release(&entry("again"), &load("a")).await.unwrap();
    lease(&it.a, &entry("again"), "a").await;
    it.a.release(&entry("again"), &load("a")).await.unwrap();

    wanted(&it, "last").await;
    it.a.release(&entry("last"), &load("a")).await.unwrap();
    let heard = ears.wakes_until(&entry("last")).await;
    assert_eq!(heard, [(named("again"), false), (named("last"), false)]);
}

pub(crate) async fn a_message_on_the_inbox_channel_is_heard_as_it_came<F: Fixture>() {
    let it = two::<F>().await;
    let mut ears = [Ears::of(&it.a).await, Ears::of(&it.b).await];
    it.fixture.inbox_publish("{ \"not\": checked }\n").await;
    for ears in &mut ears {
        assert_eq!(ears.next().await, Some(Signal::Inbox("{ \"not\": checked }\n".into())));
    }
}

pub(crate) async fn a_distrusted_connection_ends_and_another_is_made<F: Fixture>() {
    let it = two::<F>().await;
    let mut link = it.a.link();
    let generation = |state: &LinkState| match state {
        LinkState::Up { generation, .. } => Some(*generation),
        _ => None,
    };
    let before = generation(&link.borrow_and_update()).expect("connected at the start");
    let (mut ears, mut others) = (Ears::of(&it.a).await, Ears::of(&it.b).await);

    it.a.distrust(home(&it.a), "a test says so");
    // Spread over several servers it goes on, and says that messages may be lost.
    assert!(matches!(ears.next().await, None | Some(Signal::Lost)));
    let again = link.wait_for(|state| generation(state).is_some_and(|now| before < now));
    timeout(SOON, again).await.expect("another connection is made").unwrap();
    let mut ears = Ears::of(&it.a).await;

    let cursor = publish(&it.a, hard(tag("t"))).await.token.seq;
    for ears in [&mut ears, &mut others] {
        let Some(Signal::Event { logged, .. }) = ears.next().await else { panic!("no event") };
        assert_eq!(logged.seq, cursor);
    }
}
