//! Members: who lives, and how far each has come.

use std::time::Duration;

use coherd::backend::{Beat, Member};

use super::fixture::{Fixture, Settings};
use super::kit::{Two, hard, head, home, member, publish, tag, two};

async fn members<F: Fixture>(it: &Two<F>) -> Vec<Member> {
    let mut members = it.b.members(home(&it.b)).await.unwrap();
    members.sort_by(|x, y| x.instance.cmp(&y.instance));
    members
}

async fn beat<F: Fixture>(it: &Two<F>, member: &Member) {
    it.a.beat(home(&it.a), Beat { member: member.clone(), known: 0 }).await.unwrap();
}

pub(crate) async fn a_beat_makes_a_member_that_all_see<F: Fixture>() {
    let it = two::<F>().await;
    let at = head(&it.a).await;
    let mut c = Member { cursor: at, max_staleness: Duration::from_secs(30), ..member("c-ü.1", 7) };
    beat(&it, &c).await;
    assert_eq!(members(&it).await, [member("a", 1), member("b", 1), c.clone()]);
    (c.beats, c.cursor, c.max_staleness) = (8, at + 1, Duration::from_millis(1500));
    beat(&it, &c).await;
    assert_eq!(members(&it).await[2], c);
}

pub(crate) async fn a_publisher_gets_the_members<F: Fixture>() {
    let it = two::<F>().await;
    beat(&it, &member("c", 3)).await;
    let mut published = publish(&it.b, hard(tag("t"))).await.members.to_vec();
    published.sort_by(|x, y| x.instance.cmp(&y.instance));
    assert_eq!(published, [member("a", 1), member("b", 1), member("c", 3)]);
}

pub(crate) async fn a_beat_says_where_the_log_stands<F: Fixture>() {
    let it = two::<F>().await;
    let published = publish(&it.b, hard(tag("t"))).await;
    let last = it.b.read_log(home(&it.b), published.token.seq - 1, 1).await.unwrap().remove(0);
    let head = it.a.beat(home(&it.a), Beat { member: member("a", 2), known: 0 }).await.unwrap();
    assert_eq!((head.token, head.nonce), (published.token, last.nonce));
    assert!(last.at_us <= head.time_us && head.time_us < last.at_us + 60_000_000);
}

pub(crate) async fn a_lineage_begun_by_a_beat_starts_above_what_is_known<F: Fixture>() {
    let fixture = F::start(Settings::default()).await;
    let [a, b] = fixture.instances();
    // A number that no clock has reached.
    let known = 1 << 50;
    fixture.flush_all().await;
    let begun = a.beat(home(&a), Beat { member: member("a", 1), known }).await.unwrap();
    assert!(known < begun.token.seq, "{}", begun.token.seq);
    // The lineage stands for whoever knows nothing higher.
    let later = b.beat(home(&b), Beat { member: member("b", 1), known: begun.token.seq }).await.unwrap();
    assert_eq!((later.token, later.nonce), (begun.token, begun.nonce));
}

pub(crate) async fn a_lineage_ends_with_whoever_knows_of_higher_numbers<F: Fixture>() {
    let it = two::<F>().await;
    let old = it.a.head(home(&it.a)).await.unwrap();
    let known = old.seq + 1_000;
    let begun = it.b.beat(home(&it.b), Beat { member: member("b", 2), known }).await.unwrap();
    assert_ne!(begun.token.lineage, old.lineage);
    assert!(known < begun.token.seq, "{}", begun.token.seq);
    assert_eq!(it.a.head(home(&it.a)).await.unwrap(), begun.token);
    assert_eq!(members(&it).await, [member("b", 2)]);
}

pub(crate) async fn a_confirmation_raises_the_cursor_and_never_lowers_it<F: Fixture>() {
    let it = two::<F>().await;
    let at = head(&it.a).await;
    let cursor = async || members(&it).await[0].cursor;
    it.a.confirm(home(&it.a), "a", at + 5).await.unwrap();
    assert_eq!(cursor().await, at + 5);
    it.a.confirm(home(&it.a), "a", at + 3).await.unwrap();
    assert_eq!(cursor().await, at + 5);
    // A heartbeat that was overtaken by the confirmation.
    beat(&it, &Member { cursor: at + 4, ..member("a", 2) }).await;
    assert_eq!(members(&it).await, [Member { cursor: at + 5, ..member("a", 2) }, member("b", 1)]);
    // Who is not a member does not become one.
    it.a.confirm(home(&it.a), "z", at).await.unwrap();
    assert_eq!(members(&it).await.len(), 2);
}

pub(crate) async fn a_member_that_went_on_beating_is_not_forgotten<F: Fixture>() {
    let it = two::<F>().await;
    beat(&it, &member("a", 5)).await;
    it.b.forget(home(&it.b), "a", Some(4)).await.unwrap();
    assert_eq!(members(&it).await, [member("a", 5), member("b", 1)]);
    it.b.forget(home(&it.b), "a", Some(5)).await.unwrap();
    assert_eq!(members(&it).await, [member("b", 1)]);
}

pub(crate) async fn a_member_that_leaves_is_forgotten_at_once<F: Fixture>() {
    let it = two::<F>().await;
    it.a.forget(home(&it.a), "a", None).await.unwrap();
    it.a.forget(home(&it.a), "nobody", None).await.unwrap();
    assert_eq!(members(&it).await, [member("b", 1)]);
}
