//! What can be asked of a lock, and what is answered.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{assert_locked, assert_lost, delete, held, post, put};
use crate::harness::instance::{Cluster, Config, Instance, Setup};
use crate::harness::proxy::Direction;
use crate::harness::server::Server;
use crate::harness::task::spawn;
use crate::harness::wait::{SOON, eventually};
use crate::refusals::assert_refused;

#[tokio::test]
async fn a_lock_is_taken_extended_and_given_up_through_any_instance() {
    let cluster = Cluster::start(2).await;
    let (one, other) = (cluster.instance(0), cluster.instance(1));
    let first = held(&post(one, "jobs/nightly", "?ttl=30s").await);
    assert!(first.expires_in <= Duration::from_secs(30) && Duration::from_secs(25) < first.expires_in);
    for instance in [one, other] {
        let after = assert_locked(&post(instance, "jobs/nightly", "").await);
        assert!((20..=30).contains(&after), "{after}");
    }

    let longer = held(&put(other, "jobs/nightly", "?ttl=5m", &first.token).await);
    assert_eq!((&longer.token, longer.fence), (&first.token, first.fence));
    assert!(Duration::from_secs(290) < longer.expires_in);

    let answer = delete(other, "jobs/nightly", &first.token).await;
    assert_eq!((answer.status, answer.body.len()), (204, 0));
    assert_lost(&delete(one, "jobs/nightly", &first.token).await);
    assert_lost(&put(one, "jobs/nightly", "", &first.token).await);
    let second = held(&post(other, "jobs/nightly", "").await);
    assert!(first.fence < second.fence && first.token != second.token);
    let key = "coherd:{main}:lock:jobs/nightly";
    let ttl = cluster.server.command(&["PTTL", key]).await.integer();
    assert!((1..=10_000).contains(&ttl), "ten seconds unless said otherwise: {ttl}");
}

#[tokio::test]
async fn only_its_own_token_extends_a_lock_or_gives_it_up() {
    let cluster = Cluster::start(1).await;
    let instance = cluster.instance(0);
    let lock = held(&post(instance, "l", "").await);
    let another = held(&post(instance, "another", "").await);
    for wrong in [another.token.as_str(), "nonsense", &"0".repeat(32), &lock.token.to_uppercase()] {
        assert_lost(&put(instance, "l", "", wrong).await);
        assert_lost(&delete(instance, "l", wrong).await);
    }
    for method in ["PUT", "DELETE"] {
        let without = instance.request(method, "/v1/locks/l").send().await;
        assert_refused("no token", &without, 400, "bad_request");
    }
    assert_eq!(held(&put(instance, "l", "", &lock.token).await).fence, lock.fence);
}

#[tokio::test]
async fn an_expired_lock_is_lost_and_retry_after_is_true() {
    let cluster = Cluster::start(2).await;
    let (one, other) = (cluster.instance(0), cluster.instance(1));
    let first = held(&post(one, "l", "?ttl=1500ms").await);
    let after = assert_locked(&post(other, "l", "").await);
    assert!((1..=2).contains(&after), "{after}");
    sleep(Duration::from_secs(after)).await;
    // Nobody has it, and it is not the holder's any more.
    assert_lost(&put(one, "l", "?ttl=1m", &first.token).await);
    assert_lost(&delete(one, "l", &first.token).await);
    let second = held(&post(other, "l", "").await);
    assert!(first.fence < second.fence);
    assert_lost(&put(one, "l", "?ttl=1m", &first.token).await);
}

#[tokio::test]
async fn what_cannot_be_a_lock_is_refused() {
    let cluster = Cluster::start(1).await;
    let instance = cluster.instance(0);
    let long = format!("POST /v1/locks/{}", "l".repeat(513));
    for (line, status, code) in [
        ("POST /v1/locks/", 400, "bad_key"),
        ("POST /v1/locks/%ff", 400, "bad_key"),
        (&long, 400, "bad_key"),
        ("POST /v1/locks/l?ttl=9ms", 400, "bad_request"),
        ("POST /v1/locks/l?ttl=25h", 400, "bad_request"),
        ("POST /v1/locks/l?ttl=ten", 400, "bad_request"),
        ("POST /v1/locks/l?wait=11m", 400, "bad_request"),
        ("POST /v1/locks/l?tll=10s", 400, "bad_request"),
        ("PUT /v1/locks/l?wait=1s", 400, "bad_request"),
        ("GET /v1/locks/l", 405, "method_not_allowed"),
        ("POST /v1/locks", 404, "not_found"),
    ] {
        let (method, path) = line.split_once(' ').expect("a method and a path");
        assert_refused(line, &instance.request(method, path).send().await, status, code);
    }
}

#[tokio::test]
async fn locks_take_the_right_to_write_everywhere() {
    let server = Server::start().await;
    let mut config =
        Config::new("inst-0", &server.url_at(server.addr())).set("namespaces.one.origin.kind", "none");
    let mut tokens = Vec::new();
    for (name, rest) in [
        ("reader", "allow = [\"read\", \"invalidate\", \"admin\"]"),
        ("confined", "allow = [\"write\"]\nnamespaces = [\"one\"]"),
        ("writer", "allow = [\"write\"]"),
    ] {
        config = config.env(&format!("TEST_{name}"), &format!("{name}-s3cret"));
        let token = format!("name = \"{name}\"\ntoken_env = \"TEST_{name}\"\n{rest}");
        tokens.push(token.parse::<toml::Table>().expect("a table"));
    }
    let instance = Instance::start(config.set("auth.tokens", tokens)).await;
    let ask = async |method: &str, token: &str| {
        let request = instance.request(method, "/v1/locks/l").header("coherd-lock", &"0".repeat(32));
        request.header("authorization", &format!("Bearer {token}-s3cret")).send().await
    };
    for method in ["POST", "PUT", "DELETE"] {
        assert_refused(method, &ask(method, "nobody").await, 401, "unauthorized");
        for token in ["reader", "confined"] {
            assert_refused(token, &ask(method, token).await, 403, "forbidden");
        }
    }
    held(&ask("POST", "writer").await);
}

#[tokio::test]
async fn an_instance_that_is_cut_off_gives_out_no_lock() {
    let setup = Setup::new(2).set("backend.command_timeout", "400ms").set("backend.connect_timeout", "400ms");
    let cluster = Cluster::with(setup).await;
    let instance = cluster.instance(0);
    let lock = held(&post(instance, "l", "?ttl=1m").await);
    cluster.wire(0).cut().await;
    for answer in [
        post(instance, "free", "").await,
        post(instance, "free", "?wait=10s").await,
        put(instance, "l", "", &lock.token).await,
        delete(instance, "l", &lock.token).await,
    ] {
        assert_refused("cut off", &answer, 503, "unavailable");
    }
    // What is held stays held.
    assert_locked(&post(cluster.instance(1), "l", "").await);
    assert_eq!(delete(cluster.instance(1), "l", &lock.token).await.status, 204);
}

#[tokio::test]
async fn a_lock_whose_holder_heard_nothing_of_it_is_given_back() {
    let setup = Setup::new(2).set("backend.command_timeout", "400ms").set("backend.connect_timeout", "400ms");
    let cluster = Cluster::with(setup).await;
    let (instance, other) = (cluster.instance(0), cluster.instance(1));
    // Valkey knows the script.
    held(&post(instance, "first", "").await);
    cluster.wire(0).stall_one_way(Direction::Down);
    let answer = spawn(instance.request("POST", "/v1/locks/l?ttl=10m").send());
    eventually("it has the lock", SOON, async || {
        cluster.server.command(&["EXISTS", "coherd:{main}:lock:l"]).await.integer() == 1
    })
    .await;
    assert_refused("no answer", &answer.await.expect("the request ends"), 503, "unavailable");
    // What the wire held back is lost.
    cluster.wire(0).cut().await;
    cluster.wire(0).restore().await;
    let began = Instant::now();
    eventually("it is free again", SOON, async || post(other, "l", "").await.status == 200).await;
    assert!(began.elapsed() < SOON);
}
