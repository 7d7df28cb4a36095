//! Publishing, the chain, lineages, generations of watermarks, members.

use super::*;
use crate::backend::{Along, Logged};
use crate::model::{Provenance, TraceParent};

async fn log(it: &Fixture, after: Seq) -> Vec<Logged> {
    it.backend.read_log(S0, after, 1000).await.unwrap()
}

#[tokio::test]
async fn an_event_is_read_as_it_was_published() {
    let it = Fixture::start().await;
    let start = it.beat("i", 0, 1).await;
    let accounts = Namespace::new("accounts").unwrap();
    let event = Event {
        targets: vec![
            key_target("1"),
            tag("team:7"),
            Target::Key(accounts.clone(), key("ü|{x}\0")),
            Target::All,
            Target::Namespace(accounts),
            prefix("eu/"),
        ],
        hardness: Hardness::Soft,
        provenance: Provenance {
            source: "billing".to_owned(),
            reason: "plan changed".to_owned(),
            trace: TraceParent::parse(b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        },
        request_id: Some("r-1".to_owned()),
    };
    let publication = Publication { event: event.clone(), confirm: true, ..publication(Vec::new()) };
    let published = it.backend.publish(S0, publication).await.unwrap();
    assert!(!published.repeated);
    assert_eq!(published.token.seq, start.token.seq + 1);
    assert_eq!(published.token.lineage, start.token.lineage);

    let [logged] = log(&it, start.token.seq).await.try_into().expect("one event");
    assert_eq!((logged.seq, &logged.event, logged.confirm), (published.token.seq, &event, true));
    assert_eq!(logged.previous, start.nonce);
    assert!(start.time_us <= logged.at_us);
}

#[tokio::test]
async fn nonces_chain_events_and_the_head() {
    let it = Fixture::start().await;
    let start = it.beat("i", 0, 1).await;
    for _ in 0..5 {
        it.publish(vec![key_target("1")]).await;
    }
    let events = log(&it, start.token.seq).await;
    let mut nonce = start.nonce;
    for (offset, event) in events.iter().enumerate() {
        assert_eq!(event.seq, start.token.seq + 1 + offset as u64);
        assert_eq!(event.previous, nonce);
        assert_ne!(event.nonce, nonce);
        nonce = event.nonce.clone();
    }
    assert_eq!(events.len(), 5);
    assert_eq!(it.beat("i", 0, 2).await.nonce, nonce);
}

#[tokio::test]
async fn a_request_id_is_logged_once() {
    let it = Fixture::start().await;
    let publish = async |id: &str| {
        let mut publication = publication(vec![key_target("1")]);
        publication.event.request_id = Some(id.to_owned());
        it.backend.publish(S0, publication).await.unwrap()
    };
    let first = publish("r").await;
    let again = publish("r").await;
    assert_eq!((first.repeated, again.repeated), (false, true));
    assert_eq!(first.token, again.token);
    assert!(!publish("other").await.repeated);
    // a first event that the caller knows to be too old does not count
    let mut later = publication(vec![key_target("1")]);
    later.event.request_id = Some("r".to_owned());
    later.repeat_after = first.token.seq - 1;
    assert!(it.backend.publish(S0, later.clone()).await.unwrap().repeated);
    later.repeat_after = first.token.seq;
    assert!(!it.backend.publish(S0, later).await.unwrap().repeated);
    // the first one's event went with its lineage
    it.admin("DEL", &["coherd:{main}:ctl"]).await;
    assert!(!publish("r").await.repeated);
}

#[tokio::test]
async fn a_value_takes_effect_with_its_event() {
    let it = Fixture::start().await;
    let token = it.lease("1", "slow").await;
    let publication = Publication {
        along: Some(Along::Value { entry: entry("1"), load: load("w"), put: put() }),
        ..publication(vec![key_target("1")])
    };
    let published = it.backend.publish(S0, publication).await.unwrap();
    let Found::Fresh(stored) = it.lookup("1", "b").await else { panic!("not fresh") };
    assert_eq!((stored.load, stored.token, stored.envelope), (load("w"), published.token, put().envelope));
    assert!(matches!(it.fill("1", "slow", token).await, Filled::Refused(_)));
}

#[tokio::test]
async fn members_come_with_the_event() {
    let it = Fixture::start().await;
    it.beat("b", 3, 1).await;
    it.beat("a", 4, 7).await;
    let published = it.publish(vec![key_target("1")]).await;
    let member = |instance: &str, cursor, beats| Member {
        instance: instance.to_owned(),
        cursor,
        max_staleness: Duration::from_secs(2),
        beats,
    };
    assert_eq!(*published.members, [member("a", 4, 7), member("b", 3, 1)]);
    assert_eq!(it.backend.members(S0).await.unwrap(), *published.members);

    it.backend.confirm(S0, "a", 9).await.unwrap();
    it.backend.confirm(S0, "stranger", 9).await.unwrap();
    assert_eq!(it.backend.members(S0).await.unwrap(), [member("a", 9, 7), member("b", 3, 1)]);
    // a heartbeat that the confirmation overtook
    it.beat("a", 4, 8).await;
    assert_eq!(it.backend.members(S0).await.unwrap()[0], member("a", 9, 8));

    it.backend.forget(S0, "a", Some(7)).await.unwrap();
    assert_eq!(it.backend.members(S0).await.unwrap().len(), 2, "it has sent another heartbeat");
    it.backend.forget(S0, "a", Some(8)).await.unwrap();
    it.backend.forget(S0, "b", None).await.unwrap();
    assert_eq!(it.backend.members(S0).await.unwrap(), []);
}

#[tokio::test]
async fn reading_goes_on_where_it_stopped() {
    let it = Fixture::start().await;
    let start = it.backend.head(S0).await.unwrap().seq;
    for _ in 0..7 {
        it.publish(vec![key_target("1")]).await;
    }
    let seqs = async |after, max| {
        let events = it.backend.read_log(S0, after, max).await.unwrap();
        events.into_iter().map(|event| event.seq - start).collect::<Vec<_>>()
    };
    assert_eq!(seqs(start, 3).await, [1, 2, 3]);
    assert_eq!(seqs(start + 3, 100).await, [4, 5, 6, 7]);
    assert_eq!(seqs(start + 7, 100).await, [0_u64; 0]);
    it.admin("XTRIM", &["coherd:{main}:log", "MAXLEN", "2"]).await;
    assert_eq!(seqs(start, 100).await, [6, 7]);
}

#[tokio::test]
async fn a_lost_control_record_begins_a_lineage_above_everything_known() {
    let it = Fixture::start().await;
    let before = it.publish(vec![key_target("1")]).await.token;
    for lose in [&["DEL", "coherd:{main}:ctl"][..], &["FLUSHALL"], &["SET", "coherd:{main}:ctl", "foreign"]] {
        let (name, args) =
            (["DEL", "FLUSHALL", "SET"].into_iter().find(|name| *name == lose[0]).unwrap(), &lose[1..]);
        it.beat("i", 1, 1).await;
        it.admin(name, args).await;
        let known = before.seq + 1_000_000_000_000;
        let member = Member { instance: "j".to_owned(), cursor: 0, max_staleness: LONG, beats: 1 };
        let head = it.backend.beat(S0, Beat { member, known }).await.unwrap();
        assert!(known < head.token.seq, "{lose:?}");
        assert_ne!(head.token.lineage, before.lineage);
        assert_eq!(log(&it, 0).await, [], "{lose:?}: the old log is gone");
        assert_eq!(
            it.backend.members(S0).await.unwrap().len(),
            1,
            "{lose:?}: who has not beaten since is none"
        );
        let next = it.publish(vec![key_target("1")]).await.token;
        assert_eq!((next.lineage, next.seq), (head.token.lineage, head.token.seq + 1));
    }
}

#[tokio::test]
async fn a_read_barrier_too_begins_a_lineage_where_the_control_record_is_something_else() {
    let it = Fixture::start().await;
    let before = it.publish(vec![key_target("1")]).await.token;
    it.admin("SET", &["coherd:{main}:ctl", "foreign"]).await;
    let head = it.backend.head(S0).await.unwrap();
    assert!(before.seq < head.seq && before.lineage != head.lineage);
}

#[tokio::test]
async fn reads_too_find_their_way_after_flushall() {
    let it = Fixture::start().await;
    let before = it.publish(vec![key_target("1")]).await.token;
    it.admin("FLUSHALL", &[]).await;
    let token = it.lease("1", "a").await;
    assert!(before.seq < token.seq && before.lineage != token.lineage);
    it.admin("FLUSHALL", &[]).await;
    let head = it.backend.head(S0).await.unwrap();
    assert!(token.seq < head.seq && head.lineage != token.lineage);
}

#[tokio::test]
async fn a_log_that_somebody_spoilt_begins_a_lineage_and_takes_the_event() {
    let it = Fixture::start().await;
    for spoil in [
        ("XADD", &["coherd:{main}:log", "9999999999999999-0", "a", "b"][..]),
        ("XADD", &["coherd:{main}:log", "18446744073709551615-18446744073709551615", "a", "b"]),
        ("SET", &["coherd:{main}:log", "foreign"]),
    ] {
        it.stored("1", "a").await;
        let before = it.publish(vec![key_target("2")]).await.token;
        it.admin("DEL", &["coherd:{main}:log"]).await;
        it.admin(spoil.0, spoil.1).await;
        let after = it.publish(vec![key_target("2")]).await.token;
        assert_ne!(after.lineage, before.lineage, "{spoil:?}");
        assert!(before.seq < after.seq, "{spoil:?}");
        assert_eq!(log(&it, 0).await.len(), 1, "{spoil:?}");
        it.lease("1", "b").await;
        it.backend.release(&entry("1"), &load("b")).await.unwrap();
    }
}

#[tokio::test]
async fn a_lost_log_leaves_a_gap_and_the_lineage() {
    let it = Fixture::start().await;
    let before = it.publish(vec![key_target("1")]).await.token;
    it.admin("DEL", &["coherd:{main}:log"]).await;
    let after = it.publish(vec![key_target("1")]).await.token;
    assert_eq!((&after.lineage, after.seq), (&before.lineage, before.seq + 1));
    assert_eq!(log(&it, 0).await[0].seq, after.seq);
}

#[tokio::test]
async fn foreign_entries_are_skipped_however_many_they_are() {
    let it = Fixture::start().await;
    let first = it.publish(vec![key_target("1")]).await.token.seq;
    for _ in 0..25 {
        it.admin("XADD", &["coherd:{main}:log", "*", "hello", "world"]).await;
    }
    let second = it.publish(vec![key_target("1")]).await.token.seq;
    assert_eq!(second, first + 1, "ids behind our last one spoil nothing");
    let page = it.backend.read_log(S0, first, 10).await.unwrap();
    assert_eq!(page.iter().map(|event| event.seq).collect::<Vec<_>>(), [second]);
}

#[tokio::test]
async fn short_of_memory_nothing_is_logged_and_nothing_changes() {
    let it = Fixture::start().await;
    let token = it.stored("1", "a").await;
    it.admin("CONFIG", &["SET", "maxmemory", "1"]).await;
    let refused = it.backend.publish(S0, publication(vec![key_target("1"), Target::All])).await;
    assert!(matches!(&refused, Err(BackendError::Refused(why)) if why.starts_with("OOM")), "{refused:?}");
    it.admin("CONFIG", &["SET", "maxmemory", "0"]).await;
    assert_eq!(it.backend.head(S0).await.unwrap(), token);
    assert!(matches!(it.lookup("1", "b").await, Found::Fresh(_)));
}

#[tokio::test]
async fn watermarks_that_are_forgotten_become_a_floor() {
    let it = Fixture::start_with(|settings| settings.watermarks_max = 20).await;
    it.stored("eu/1", "a").await;
    it.publish(vec![tag("team:7")]).await;
    let named = async |from: u32, to: u32| {
        for n in from..to {
            it.publish(vec![tag(&format!("other-{n}"))]).await;
        }
    };
    // in the older generation the mark still counts
    named(0, 25).await;
    assert_eq!(it.backend.lookup(lookup("eu/1", None)).await.unwrap(), Found::Nothing { stale: None });
    let young = it.stored("eu/2", "b").await;
    // and when that is forgotten the floor does
    named(25, 50).await;
    assert_eq!(it.backend.lookup(lookup("eu/1", None)).await.unwrap(), Found::Nothing { stale: None });
    let floor = it.admin("HGET", &["coherd:{main}:ctl", "floor"]).await.as_u64().unwrap();
    assert!(floor <= young.seq, "what came after the forgotten generation was closed is spared");
    assert!(matches!(it.backend.lookup(lookup("eu/2", None)).await.unwrap(), Found::Fresh(_)));
    named(50, 300).await;
    for generation in ["coherd:{main}:wm:0", "coherd:{main}:wm:1"] {
        assert!(it.admin("HLEN", &[generation]).await.as_u64().unwrap() <= 21);
    }
    assert_eq!(it.backend.lookup(lookup("eu/2", None)).await.unwrap(), Found::Nothing { stale: None });
}

#[tokio::test]
async fn a_soft_mark_that_is_forgotten_is_not_taken_back() {
    let it = Fixture::start_with(|settings| settings.watermarks_max = 5).await;
    it.stored("1", "a").await;
    it.backend.publish(S0, soft(vec![key_target("1")])).await.unwrap();
    for n in 0..30 {
        it.publish(vec![tag(&format!("other-{n}"))]).await;
    }
    assert!(!matches!(it.backend.lookup(lookup("1", None)).await.unwrap(), Found::Fresh(_)));
}

#[tokio::test]
async fn members_that_somebody_removed_are_not_taken_for_members_that_left() {
    let it = Fixture::start().await;
    it.beat("i", 0, 1).await;
    it.beat("j", 0, 1).await;
    let publish = async || it.backend.publish(S0, publication(vec![tag("t")])).await.unwrap();
    let before = publish().await;
    it.backend.forget(S0, "j", None).await.unwrap();
    let left = publish().await;
    assert_eq!((left.token.lineage.clone(), left.members.len()), (before.token.lineage, 1));
    it.beat("j", 0, 2).await;
    it.admin("HDEL", &["coherd:{main}:mem", "j"]).await;
    let removed = publish().await;
    assert_ne!(removed.token.lineage, left.token.lineage, "nobody may be answered early for a while");
    it.beat("i", 0, 2).await;
    let after = publish().await;
    assert_eq!((after.token.lineage, after.members.len()), (removed.token.lineage, 1));
}

#[tokio::test]
async fn foreign_values_under_the_shard_s_keys_make_way() {
    let it = Fixture::start().await;
    for (round, key) in
        ["coherd:{main}:wm:0", "coherd:{main}:wm:1", "coherd:{main}:mem", "coherd:{main}:rq:3"]
            .into_iter()
            .enumerate()
    {
        it.stored("1", "a").await;
        it.admin("DEL", &[key]).await;
        it.admin("RPUSH", &[key, "foreign"]).await;
        let mut publication = publication(vec![tag("team:7")]);
        publication.event.request_id = Some(round.to_string());
        assert!(!it.backend.publish(S0, publication).await.unwrap().repeated, "{key}");
        it.beat("i", 0, 1).await;
        it.lease("1", "b").await;
        it.admin("DEL", &[key]).await;
        it.backend.release(&entry("1"), &load("b")).await.unwrap();
    }
}

#[tokio::test]
async fn an_event_may_have_a_thousand_targets_and_no_more() {
    let it = Fixture::start().await;
    let start = it.backend.head(S0).await.unwrap().seq;
    let (a, b) = (Namespace::new("a").unwrap(), Namespace::new("b").unwrap());
    let targets = |count: usize| {
        let target = |n: usize| {
            let namespace = if n.is_multiple_of(2) { a.clone() } else { b.clone() };
            Target::Key(namespace, key(&format!("{n}/{}", "x".repeat(500))))
        };
        (0..count).map(target).collect::<Vec<_>>()
    };
    it.publish(targets(1000)).await;
    assert_eq!(log(&it, start).await[0].event.targets, targets(1000));
    for count in [0, 1001] {
        let refused = it.backend.publish(S0, publication(targets(count))).await;
        assert!(matches!(refused, Err(BackendError::Refused(_))), "{count}");
    }
}

#[tokio::test]
async fn shards_do_not_share_anything() {
    let it = Fixture::start_with(|settings| settings.shards = ShardCount::new(3)).await;
    let heads = async || {
        let mut heads = Vec::new();
        for shard in ShardCount::new(3).all() {
            heads.push(it.backend.head(shard).await.unwrap());
        }
        heads
    };
    let before = heads().await;
    it.backend.publish(Shard(1), publication(vec![tag("t")])).await.unwrap();
    let after = heads().await;
    assert_eq!((&after[0], &after[2]), (&before[0], &before[2]));
    assert_eq!(after[1].seq, before[1].seq + 1);
    for n in 0..20 {
        it.stored(&n.to_string(), "a").await;
    }
    let entries: Vec<_> = (0..20).map(|n| entry(&n.to_string())).collect();
    assert!(it.backend.peek(&entries).await.unwrap().iter().all(Option::is_some));
}

#[tokio::test]
async fn a_heartbeat_of_a_known_member_says_and_keeps_what_the_first_one_does() {
    let it = Fixture::start().await;
    let first = it.beat("i", 0, 1).await;
    let again = it.beat("i", 0, 2).await;
    assert_eq!((&again.token, &again.nonce), (&first.token, &first.nonce));
    assert!(first.time_us < again.time_us && again.time_us - first.time_us < 60_000_000);

    it.publish(vec![key_target("1")]).await;
    let later = it.beat("i", 0, 3).await;
    assert_eq!(later.token.seq, first.token.seq + 1);
    assert_ne!(later.nonce, first.nonce);
    let member = async || it.backend.members(S0).await.unwrap().remove(0);
    it.backend.confirm(S0, "i", later.token.seq).await.unwrap();
    it.beat("i", 7, 4).await;
    assert_eq!(
        (member().await.cursor, member().await.beats),
        (later.token.seq, 4),
        "a cursor never goes back"
    );
    it.beat("i", later.token.seq + 1, 5).await;
    assert_eq!(member().await.cursor, later.token.seq + 1);

    it.admin("HSET", &["coherd:{main}:mem", "other", "1|1|1000"]).await;
    assert_ne!(
        it.beat("i", 0, 6).await.token.lineage,
        first.token.lineage,
        "somebody else was at the members"
    );
}
