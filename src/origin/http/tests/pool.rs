//! Which connections are used again.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::yield_now;
use tokio_util::sync::CancellationToken;

use super::*;

/// An origin at this address.
fn at(listener: &TcpListener) -> HttpOrigin {
    origin(settings_of(listener.local_addr().unwrap()))
}

/// Answers one request over a new connection.
async fn answer_once(listener: &TcpListener) -> TcpStream {
    let (mut stream, _peer) = listener.accept().await.unwrap();
    assert_ne!(stream.read(&mut [0; 1024]).await.unwrap(), 0);
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nvalue").await.unwrap();
    stream
}

/// Loads one key after the other, and answers with how many connections the server has seen by then.
async fn connections(server: &Server, origin: &HttpOrigin, keys: &[&str]) -> usize {
    for key in keys {
        load(origin, key).await.unwrap();
    }
    server.connections()
}

#[tokio::test]
async fn one_connection_is_enough_for_one_load_after_the_other() {
    let server = Server::start(async |_, request| match request.uri().path() {
        "/users/chunked" => chunked(vec![Ok("ab"), Ok("cd")]),
        "/users/empty" => answer(204, &[], ""),
        "/users/absent" => answer(404, &[], "no"),
        "/users/nothing" => answer(200, &[], ""),
        _ => answer(200, &[], "value"),
    })
    .await;
    let origin = origin(settings(&server));
    let keys = ["a", "chunked", "b", "empty", "c", "absent", "d", "nothing", "e"];
    assert_eq!(connections(&server, &origin, &keys).await, 1);
}

#[tokio::test]
async fn a_copy_that_still_stands_leaves_its_connection_to_the_next() {
    let server = Server::start(async |_, _| answer(304, &[], "")).await;
    let origin = origin(settings(&server));
    let held = Validators { etag: Some("\"7\"".into()), last_modified: None };
    for _ in 0..3 {
        let fetched = origin.load(&Key::new("a").unwrap(), Some(&held), Urgency::default()).await;
        assert!(matches!(fetched, Ok(Fetched::NotModified { .. })), "{fetched:?}");
    }
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn loads_at_once_have_a_connection_each_and_leave_them_to_the_next() {
    let (entered, both) = (Arc::new(AtomicUsize::new(0)), Arc::new(Semaphore::new(0)));
    let server = Server::start({
        let both = Arc::clone(&both);
        move |_, _| {
            let both = Arc::clone(&both);
            if entered.fetch_add(1, Ordering::SeqCst) == 1 {
                both.add_permits(100);
            }
            async move {
                drop(both.acquire().await.unwrap());
                answer(200, &[], "value")
            }
        }
    })
    .await;
    let origin = origin(settings(&server));
    for loaded in join_all([load(&origin, "a"), load(&origin, "b")]).await {
        loaded.unwrap();
    }
    assert_eq!(connections(&server, &origin, &["c", "d", "e"]).await, 2);
}

#[tokio::test]
async fn a_connection_that_the_origin_closes_is_no_failure() {
    // One says that it will close, the other just does.
    let told = Server::start(async |_, _| answer(200, &[("connection", "close")], "value")).await;
    assert_eq!(connections(&told, &origin(settings(&told)), &["a", "b", "c"]).await, 3);

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = at(&listener);
    for _ in 0..3 {
        let (loaded, stream) = tokio::join!(load(&origin, "a"), answer_once(&listener));
        assert_eq!((value(loaded).0.as_ref(), origin.pool.idle()), (b"value".as_slice(), 1));
        drop(stream);
        while origin.pool.idle() == 1 {
            origin.tidy();
            yield_now().await;
        }
    }
}

#[tokio::test]
async fn a_load_that_is_given_up_closes_its_connection() {
    let closed = CancellationToken::new();
    let server = Server::start({
        let closed = closed.clone();
        move |_, request| {
            // Dropped with its connection.
            let guard = (request.uri().path() == "/users/hanging").then(|| closed.clone().drop_guard());
            async move {
                if guard.is_some() {
                    return std::future::pending().await;
                }
                answer(200, &[], "value")
            }
        }
    })
    .await;
    let origin = origin(settings(&server));
    load(&origin, "a").await.unwrap();
    let asked = async {
        while server.requests() < 2 {
            yield_now().await;
        }
    };
    tokio::select! {
        loaded = load(&origin, "hanging") => panic!("nobody answers it: {loaded:?}"),
        () = asked => {}
    }
    closed.cancelled().await;
    assert_eq!(connections(&server, &origin, &["b"]).await, 2);
}

#[tokio::test]
async fn what_lies_idle_for_long_is_closed() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = at(&listener);
    let (loaded, mut stream) = tokio::join!(load(&origin, "a"), answer_once(&listener));
    assert_eq!(value(loaded).0, "value");
    tokio::time::pause();
    origin.tidy();
    assert_eq!(origin.pool.idle(), 1);
    tokio::time::advance(Duration::from_secs(31)).await;
    origin.tidy();
    assert_eq!((origin.pool.idle(), stream.read(&mut [0]).await.unwrap()), (0, 0));
}
