//! Valkey Cluster: shards on servers of their own, and slots that move.

use super::server::free_port;
use super::*;
use crate::backend::FillRefusal;

const SLOTS: [(&str, &str); 3] = [("0", "5460"), ("5461", "10922"), ("10923", "16383")];

/// Three primaries that know each other.
async fn cluster() -> Vec<Server> {
    let mut servers = Vec::new();
    for (number, (first, last)) in SLOTS.into_iter().enumerate() {
        let bus = free_port().to_string();
        let server = Server::start_with(&["--cluster-enabled", "yes", "--cluster-port", &bus]).await;
        // Servers of one epoch settle among themselves who raises his, and who does so just while a slot moves takes it back.
        server.admin("CLUSTER", &["SET-CONFIG-EPOCH", &(number + 1).to_string()]).await;
        server.admin("CLUSTER", &["ADDSLOTSRANGE", first, last]).await;
        servers.push((server, bus));
    }
    for (met, bus) in &servers[1..] {
        let port = met.port().to_string();
        servers[0].0.admin("CLUSTER", &["MEET", "127.0.0.1", &port, bus]).await;
    }
    for (server, _) in &servers {
        let info = || async { server.admin("CLUSTER", &["INFO"]).await.into_string().unwrap() };
        let whole =
            |info: &String| info.contains("cluster_state:ok") && info.contains("cluster_known_nodes:3");
        eventually("the cluster is whole", info, whole).await;
        // A message is not passed on to a server whose link is not there yet.
        let links = || async { server.admin("CLUSTER", &["LINKS"]).await.into_array() };
        let linked = |links: &Vec<Value>| {
            let incoming = |link: &&Value| {
                let parts = (*link).clone().into_array();
                parts.iter().any(|part| part.as_str().as_deref() == Some("from"))
            };
            links.iter().filter(incoming).count() == SLOTS.len() - 1
        };
        eventually("the cluster is linked", links, linked).await;
    }
    servers.into_iter().map(|(server, _)| server).collect()
}

fn cluster_settings(servers: &[Server]) -> Settings {
    let hosts: Vec<String> = servers.iter().map(|server| format!("127.0.0.1:{}", server.port())).collect();
    Settings {
        url: format!("valkey-cluster://{}", hosts.join(",")),
        shards: ShardCount::new(16),
        ..settings(&servers[0])
    }
}

#[tokio::test]
async fn shards_live_on_all_servers() {
    let servers = cluster().await;
    let (backend, _task) = connected(cluster_settings(&servers)).await;
    let mut subscription = backend.subscribe().await.unwrap();
    for shard in backend.shards().all() {
        let published = backend.publish(shard, publication(vec![tag("t")])).await.unwrap();
        let seen = timeout(LONG, subscription.next()).await.unwrap();
        let Some(crate::backend::Signal::Event { shard: of, logged, .. }) = seen else { panic!("{seen:?}") };
        assert_eq!((of, logged.seq), (shard, published.token.seq));
    }
    let entries: Vec<EntryId> = (0..50).map(|n| entry(&n.to_string())).collect();
    for n in 0..50 {
        let n = n.to_string();
        let Found::Leased { token, .. } = backend.lookup(lookup(&n, Some("a"))).await.unwrap() else {
            panic!("no lease")
        };
        assert_eq!(backend.fill(fill(&n, "a", token)).await.unwrap(), Filled::Stored);
    }
    assert!(backend.peek(&entries).await.unwrap().iter().all(Option::is_some));
    for server in &servers {
        assert!(0 < server.admin("DBSIZE", &[]).await.as_u64().unwrap());
    }
    assert_eq!(backend.inbox("i", 10, Duration::ZERO).await.unwrap(), []);
}

#[tokio::test]
async fn a_shard_on_a_server_that_no_handshake_has_seen_is_not_believed() {
    let servers = cluster().await;
    let (backend, _task) = connected(cluster_settings(&servers)).await;
    let before = backend.lookup(lookup("1", Some("a"))).await.unwrap();
    let Found::Leased { token: before, .. } = before else { panic!("no lease: {before:?}") };
    // what a slot leaves behind that moves to another server
    let (shard, keys) = backend.context.keys.of(&entry("1"));
    let command = Command::new("HSET", keys.slot).arg(keys.ctl()).args(["rid", "0123456789"]);
    backend.at(shard).unwrap().data().call(command).await.unwrap();
    let refused = backend.fill(fill("1", "a", before.clone())).await.unwrap();
    assert_eq!(refused, Filled::Refused(FillRefusal::Lineage));
    let after = backend.lookup(lookup("1", Some("a"))).await.unwrap();
    let Found::Leased { token: after, .. } = after else { panic!("no lease: {after:?}") };
    assert!(before.lineage != after.lineage && before.seq < after.seq);
}

#[tokio::test]
async fn a_lost_server_is_missed_and_the_others_are_not() {
    let mut servers = cluster().await;
    let (backend, _task) = connected(cluster_settings(&servers)).await;
    servers[1].stop();
    let mut link = backend.link();
    let told = |state: &LinkState, with: usize| matches!(state, LinkState::Up { warnings, .. } if warnings.len() == with);
    timeout(LONG, link.wait_for(|state| told(state, 1))).await.expect("a server is missed").unwrap();
    let LinkState::Up { warnings, .. } = link.borrow().clone() else { panic!("the others are there") };
    assert!(warnings[0].starts_with(&format!("no connection to 127.0.0.1:{}", servers[1].port())));
    let answered = async |shard| backend.head(shard).await.is_ok();
    let (mut served, mut missed) = (0, 0);
    for shard in backend.shards().all() {
        *if answered(shard).await { &mut served } else { &mut missed } += 1;
    }
    assert!(0 < served && 0 < missed, "{served} {missed}");
    servers[1].revive().await;
    timeout(LONG, link.wait_for(|state| told(state, 0))).await.expect("it is back").unwrap();
    for shard in backend.shards().all() {
        backend.head(shard).await.unwrap();
    }
}

#[tokio::test]
async fn a_slot_that_is_being_moved_takes_nothing_by_halves() {
    let servers = cluster().await;
    let (backend, _task) = connected(cluster_settings(&servers)).await;
    let before = backend.publish(S0, publication(vec![tag("t")])).await.unwrap().token;
    let slot = backend.context.keys.shard(S0).slot.to_string();
    let node = |port: u16| servers.iter().find(move |server| server.port() == port).expect("one of them");
    let map = servers[0].admin("CLUSTER", &["SLOTS"]).await.into_array();
    let ranges = map.into_iter().map(Value::into_array).find(|range| {
        let [first, last] = [&range[0], &range[1]].map(|it| it.as_u64().unwrap());
        (first..=last).contains(&slot.parse().unwrap())
    });
    let source = node(u16::try_from(ranges.unwrap()[2].clone().into_array()[1].as_u64().unwrap()).unwrap());
    let target = servers.iter().find(|server| server.port() != source.port()).unwrap();
    let [source_id, target_id] =
        [source.admin("CLUSTER", &["MYID"]).await, target.admin("CLUSTER", &["MYID"]).await];
    let (source_id, target_id) = (source_id.into_string().unwrap(), target_id.into_string().unwrap());
    target.admin("CLUSTER", &["SETSLOT", &slot, "IMPORTING", &source_id]).await;
    source.admin("CLUSTER", &["SETSLOT", &slot, "MIGRATING", &target_id]).await;
    // The watermarks are at the other server already: an event could be logged here, and could not be marked.
    let (ctl, marks) = ("coherd:{main}:ctl", "coherd:{main}:wm:1");
    let port = target.port().to_string();
    let moved = source.admin("MIGRATE", &["127.0.0.1", &port, marks, "0", "5000"]).await;
    assert_eq!(moved.into_string().as_deref(), Some("OK"));
    for _ in 0..3 {
        let refused = backend.publish(S0, publication(vec![tag("t")])).await.unwrap_err();
        assert!(is_unavailable(&refused), "{refused}");
    }
    let seq = source.admin("HGET", &[ctl, "seq"]).await.into_string();
    assert_eq!(seq, Some(before.seq.to_string()), "nothing is numbered");
    let logged = source.admin("XLEN", &["coherd:{main}:log"]).await.as_u64();
    assert_eq!(logged, Some(1), "nor logged");

    for key in [ctl, "coherd:{main}:log"] {
        source.admin("MIGRATE", &["127.0.0.1", &port, key, "0", "5000"]).await;
    }
    for server in [target, source] {
        server.admin("CLUSTER", &["SETSLOT", &slot, "NODE", &target_id]).await;
    }
    let publish = || backend.publish(S0, publication(vec![tag("t")]));
    let after = eventually("the shard is found", publish, Result::is_ok).await.unwrap().token;
    assert!(after.lineage != before.lineage && before.seq < after.seq, "it is another server");
}
