//! The log: what followers read.

use coherd::backend::{Beat, Logged, Publication};
use coherd::model::{Event, Hardness, Provenance, Seq, Target, TraceParent};

use super::fixture::{Fixture, Settings};
use super::kit::{hard, head, home, key, member, prefix, publication, publish, tag, two, two_with, users};

pub(crate) async fn each_event_is_chained_to_the_one_before<F: Fixture>() {
    let it = two::<F>().await;
    let beat = async || it.a.beat(home(&it.a), Beat { member: member("a", 2), known: 0 }).await.unwrap();
    let before = beat().await;
    for n in 0..5 {
        publish(if n % 2 == 0 { &it.a } else { &it.b }, hard(tag("t"))).await;
    }
    let after = beat().await;
    let log = it.b.read_log(home(&it.b), before.token.seq, 100).await.unwrap();
    assert_eq!(log.len(), 5);
    let (mut seq, mut nonce) = (before.token.seq, before.nonce);
    for logged in log {
        assert_eq!((logged.seq, &logged.previous), (seq + 1, &nonce));
        assert_ne!(logged.nonce, nonce);
        (seq, nonce) = (logged.seq, logged.nonce);
    }
    assert_eq!((seq, nonce, before.token.lineage), (after.token.seq, after.nonce, after.token.lineage));
}

pub(crate) async fn an_event_is_read_as_it_was_published<F: Fixture>() {
    let it = two::<F>().await;
    let before = it.a.beat(home(&it.a), Beat { member: member("a", 2), known: 0 }).await.unwrap();
    let full = Event {
        targets: vec![
            key("7"),
            key("ä/ö,\"'\n"),
            prefix("eu/"),
            tag("team:7"),
            Target::Namespace(users()),
            Target::All,
            key("after/all"),
        ],
        hardness: Hardness::Soft,
        provenance: Provenance {
            source: "tests of ours".to_owned(),
            reason: "because: ünïcode\n".to_owned(),
            trace: TraceParent::parse(b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        },
        request_id: Some("r 1".to_owned()),
    };
    let many = Event::hard((0..Event::TARGETS_MAX).map(|n| key(&n.to_string())).collect());
    it.a.publish(home(&it.a), Publication { confirm: true, ..publication(full.clone()) }).await.unwrap();
    publish(&it.a, many.clone()).await;
    let log = it.b.read_log(home(&it.b), before.token.seq, 10).await.unwrap();
    let read: Vec<(&Event, bool)> = log.iter().map(|logged| (&logged.event, logged.confirm)).collect();
    assert_eq!(read, [(&full, true), (&many, false)]);
    for logged in &log {
        let late = logged.at_us - before.time_us;
        assert!(late < 60_000_000, "logged {late} µs after the beat");
    }
}

pub(crate) async fn a_prefix_off_a_boundary_is_logged_as_what_it_was_widened_to<F: Fixture>() {
    let it = two::<F>().await;
    let before = head(&it.a).await;
    let targets = vec![prefix("eu/d"), prefix("e"), prefix("1/2/3/4/5/6/7/8/9/")];
    publish(&it.a, Event::hard(targets)).await;
    let logged = it.b.read_log(home(&it.b), before, 10).await.unwrap().remove(0);
    let widened = [prefix("eu/"), Target::Namespace(users()), prefix("1/2/3/4/5/6/7/8/")];
    assert_eq!(logged.event.targets, widened);
}

fn seqs(log: &[Logged]) -> Vec<Seq> {
    log.iter().map(|logged| logged.seq).collect()
}

pub(crate) async fn a_part_of_the_log_is_read_from_where_one_stands<F: Fixture>() {
    let it = two::<F>().await;
    let start = head(&it.a).await;
    for _ in 0..5 {
        publish(&it.a, hard(tag("t"))).await;
    }
    let read = async |after, max| seqs(&it.b.read_log(home(&it.b), after, max).await.unwrap());
    assert_eq!(read(start, 100).await, (start + 1..=start + 5).collect::<Vec<_>>());
    assert_eq!(read(start + 2, 2).await, [start + 3, start + 4]);
    assert_eq!(read(start + 5, 100).await, [0; 0]);
    assert_eq!(read(0, 1).await, [start + 1]);
}

pub(crate) async fn a_trimmed_log_shows_by_its_first_number<F: Fixture>() {
    let it = two_with::<F>(Settings { log_max_events: 50, ..Settings::default() }).await;
    let start = head(&it.a).await;
    // Far more than the maximum: a server may trim by whole blocks of a hundred or so.
    for _ in 0..500 {
        publish(&it.a, hard(tag("t"))).await;
    }
    let log = seqs(&it.b.read_log(home(&it.b), start, 1000).await.unwrap());
    assert!(50 <= log.len() && log.len() <= 250, "{} of 50 are left", log.len());
    assert!(start + 1 < log[0]);
    assert_eq!(log, (log[0]..=start + 500).collect::<Vec<_>>());
}

pub(crate) async fn the_head_counts_what_another_instance_logged<F: Fixture>() {
    let it = two::<F>().await;
    for _ in 0..3 {
        let published = publish(&it.a, hard(tag("t"))).await;
        assert_eq!(it.b.head(home(&it.b)).await.unwrap(), published.token);
    }
}
