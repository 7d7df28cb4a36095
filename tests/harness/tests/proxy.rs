//! The wire's faults, with a real server at its other end.

use std::io::{ErrorKind, Result};
use std::time::Duration;

use tokio::time::{Instant, timeout};

use crate::harness::proxy::{Direction, Proxy};
use crate::harness::resp::{Connection, Reply};
use crate::harness::server::Server;
use crate::harness::wait::{SOON, eventually};

/// Long enough for anything that is not held back.
const HELD: Duration = Duration::from_millis(200);

async fn wire() -> (Server, Proxy) {
    let server = Server::start().await;
    let proxy = Proxy::start(server.addr()).await;
    (server, proxy)
}

async fn connect(proxy: &Proxy) -> Connection {
    Connection::open(proxy.addr(), None).await.expect("the proxy takes a connection")
}

async fn ping(connection: &mut Connection) -> Result<Reply> {
    timeout(SOON, connection.command(&["PING"])).await.expect("answered or failed in time")
}

#[tokio::test]
async fn a_cut_closes_what_is_open_and_refuses_what_comes() {
    let (_server, proxy) = wire().await;
    let mut connection = connect(&proxy).await;
    ping(&mut connection).await.expect("passes");

    proxy.cut().await;
    assert_eq!(proxy.open(), 0);
    ping(&mut connection).await.expect_err("closed");
    let refused = Connection::open(proxy.addr(), None).await.err().expect("refused");
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);

    proxy.restore().await;
    ping(&mut connect(&proxy).await).await.expect("passes again");
    assert_eq!(proxy.connections().len(), 2);
}

#[tokio::test]
async fn a_stall_holds_back_and_loses_nothing() {
    let (server, proxy) = wire().await;
    let mut old = connect(&proxy).await;
    ping(&mut old).await.expect("passes");

    proxy.stall();
    let mut new = connect(&proxy).await;
    assert!(timeout(HELD, old.command(&["INCR", "n"])).await.is_err(), "an old connection is held");
    assert!(timeout(HELD, new.command(&["INCR", "n"])).await.is_err(), "a new connection is held");
    assert_eq!(server.command(&["GET", "n"]).await, Reply::Nil);

    proxy.restore().await;
    let mut answers =
        [old.read().await.expect("flows on").integer(), new.read().await.expect("flows on").integer()];
    answers.sort_unstable();
    assert_eq!(answers, [1, 2]);
}

#[tokio::test]
async fn a_half_open_wire_brings_commands_and_no_answers() {
    let (server, proxy) = wire().await;
    let mut connection = connect(&proxy).await;
    proxy.stall_one_way(Direction::Down);
    assert!(timeout(HELD, connection.command(&["SET", "k", "v"])).await.is_err(), "no answer");
    eventually("the server has it", SOON, async || server.command(&["GET", "k"]).await != Reply::Nil).await;
    proxy.restore().await;
    assert_eq!(connection.read().await.expect("flows on").text(), "OK");
}

#[tokio::test]
async fn a_delay_is_added_each_way_and_not_per_command() {
    let (_server, proxy) = wire().await;
    let mut connection = connect(&proxy).await;
    ping(&mut connection).await.expect("passes");
    let way = Duration::from_millis(150);
    for (direction, ways) in [(Direction::Up, 1), (Direction::Down, 2)] {
        proxy.delay(direction, way);
        let start = Instant::now();
        ping(&mut connection).await.expect("passes");
        assert!(way * ways <= start.elapsed(), "took only {:?}", start.elapsed());
    }

    // Twenty connections side by side wait once each, not one after the other.
    let start = Instant::now();
    let pings = (0..20).map(async |_| ping(&mut connect(&proxy).await).await.map(|_| ()));
    let pongs = futures_util::future::join_all(pings).await;
    assert!(pongs.iter().all(Result::is_ok), "{pongs:?}");
    assert!(start.elapsed() < way * 20, "took {:?}", start.elapsed());
}

#[tokio::test]
async fn a_reset_comes_in_the_middle_of_an_answer() {
    let (server, proxy) = wire().await;
    server.command(&["SET", "k", &"x".repeat(10_000)]).await;
    let (mut torn, mut other) = (connect(&proxy).await, connect(&proxy).await);
    ping(&mut other).await.expect("passes");

    proxy.reset_after(Direction::Down, 5_000);
    let error = torn.command(&["GET", "k"]).await.expect_err("torn");
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    assert_eq!(proxy.connections()[0].bytes(Direction::Down), 5_000);
    ping(&mut other).await.expect("only the one is reset");
}

#[tokio::test]
async fn all_connections_can_be_closed_or_reset_and_new_ones_pass() {
    let (_server, proxy) = wire().await;
    let mut first = connect(&proxy).await;
    ping(&mut first).await.expect("passes");
    proxy.close_all();
    let error = first.read().await.expect_err("closed");
    assert_eq!(error.kind(), ErrorKind::UnexpectedEof);

    let mut second = connect(&proxy).await;
    ping(&mut second).await.expect("passes");
    proxy.reset_all();
    let error = second.read().await.expect_err("reset");
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);

    ping(&mut connect(&proxy).await).await.expect("passes");
}

#[tokio::test]
async fn it_counts_what_each_connection_carries() {
    let (_server, proxy) = wire().await;
    let (mut busy, mut idle) = (connect(&proxy).await, connect(&proxy).await);
    ping(&mut busy).await.expect("passes");
    ping(&mut busy).await.expect("passes");
    ping(&mut idle).await.expect("passes");
    let carried: Vec<_> = proxy
        .connections()
        .iter()
        .map(|traffic| (traffic.bytes(Direction::Up), traffic.bytes(Direction::Down), traffic.is_open()))
        .collect();
    let (request, answer) = ("*1\r\n$4\r\nPING\r\n".len() as u64, "+PONG\r\n".len() as u64);
    assert_eq!(carried, [(2 * request, 2 * answer, true), (request, answer, true)]);

    drop(busy);
    eventually("the proxy closes what its client has closed", SOON, async || proxy.open() == 1).await;
}

#[tokio::test]
async fn a_client_learns_that_its_server_died() {
    let (mut server, proxy) = wire().await;
    let mut connection = connect(&proxy).await;
    ping(&mut connection).await.expect("passes");
    server.kill().await;
    timeout(SOON, connection.read()).await.expect("noticed in time").expect_err("closed");
}

#[tokio::test]
async fn new_connections_follow_a_target_that_moves() {
    let (first, proxy) = wire().await;
    let second = Server::start().await;
    first.command(&["SET", "who", "first"]).await;
    second.command(&["SET", "who", "second"]).await;
    let mut old = connect(&proxy).await;
    assert_eq!(old.command(&["GET", "who"]).await.expect("answers").text(), "first");

    proxy.point_at(second.addr());
    let mut new = connect(&proxy).await;
    assert_eq!(new.command(&["GET", "who"]).await.expect("answers").text(), "second");
    assert_eq!(old.command(&["GET", "who"]).await.expect("answers").text(), "first");
}
