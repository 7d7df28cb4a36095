//! Writes to a real server.

use std::process::Stdio;

use http_body_util::Limited as Bounded;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;

use super::*;
use crate::model::Value;

fn put(body: &'static str, content_type: Option<&str>) -> Change {
    Change::Put(Value { body: body.into(), content_type: content_type.map(Into::into), ..Value::default() })
}

async fn write(origin: &HttpOrigin, key: &str, change: &Change, seq: u64) -> Result<Applied, WriteError> {
    let fence = Fence { seq, idempotency_key: format!("main/0/{seq}").into() };
    origin.write(&Key::new(key).unwrap(), change, &fence, Urgency::default()).await
}

fn failed(result: Result<Applied, WriteError>) -> (OriginError, Option<u64>) {
    match result {
        Err(WriteError::Failed { error, retry_after }) => (error, retry_after.map(|wait| wait.as_secs())),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_write_brings_its_fence_and_the_headers_of_every_request() {
    let server = Server::start(async |_, request: hyper::Request<hyper::body::Incoming>| {
        let (head, body) = request.into_parts();
        let seen = |name: &str| head.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
        let fence = (seen("coherd-write-seq"), seen("idempotency-key"));
        assert_eq!(fence, (Some("42".to_owned()), Some("\"main/0/42\"".to_owned())));
        assert_eq!(head.uri.path(), "/users/eu/a%20b");
        assert_eq!(seen("user-agent").as_deref(), Some("coherd/test"));
        assert_eq!(seen("authorization").as_deref(), Some("Basic YW5uOnB3"));
        assert_eq!(seen("x-key").as_deref(), Some("secret"));
        let body = Bounded::new(body, 100).collect().await.unwrap().to_bytes();
        let (content_type, length) = (seen("content-type"), seen("content-length"));
        match head.method.as_str() {
            "PUT" if body.is_empty() => assert_eq!((content_type, length.as_deref()), (None, Some("0"))),
            "PUT" => {
                assert_eq!((&body[..], content_type.as_deref()), (&b"{}"[..], Some("application/json")));
                assert_eq!(length.as_deref(), Some("2"));
            }
            other => assert_eq!((other, &body[..], content_type), ("DELETE", &b""[..], None)),
        }
        answer(201, &[], "created")
    })
    .await;
    let url = format!("http://ann:pw@{}/{{namespace}}/{{key}}", server.address);
    let headers = vec![("X-Key".to_owned(), "secret".to_owned())];
    let origin = origin(HttpSettings { url, headers, ..settings(&server) });
    for change in [put("{}", Some("application/json")), put("", None), Change::Delete] {
        assert_eq!(write(&origin, "eu/a b", &change, 42).await.unwrap(), Applied::Done, "{change:?}");
    }
    assert_eq!((server.requests(), server.connections()), (3, 1));
}

#[tokio::test]
async fn each_answer_has_its_outcome_in_one_attempt() {
    let server = Server::start(async |_, request| {
        let status = request.uri().path().rsplit('/').next().unwrap().parse().unwrap();
        answer(
            status,
            &[("retry-after", "7"), ("location", "/users/200")],
            if status == 204 { "" } else { "x" },
        )
    })
    .await;
    let origin = origin(HttpSettings { retries: 5, ..settings(&server) });
    for (status, delete, outcome) in [
        (200, false, Some(Applied::Done)),
        (204, true, Some(Applied::Done)),
        (404, true, Some(Applied::Done)),
        (409, true, Some(Applied::Superseded)),
        (412, false, Some(Applied::Superseded)),
        (404, false, None),
        (301, false, None),
        (403, false, None),
        (501, true, None),
    ] {
        let change = if delete { Change::Delete } else { put("v", None) };
        let written = write(&origin, &status.to_string(), &change, 1).await;
        if let Some(applied) = outcome {
            assert_eq!(written.unwrap(), applied, "{status}");
        } else {
            let why = format!("it answered {status}");
            assert!(matches!(&written, Err(WriteError::Refused(said)) if *said == why), "{written:?}");
        }
    }
    for status in [408, 429, 500, 503] {
        let (error, wait) = failed(write(&origin, &status.to_string(), &put("v", None), 1).await);
        assert!(matches!(error, OriginError::Status(said) if said == status), "{error}");
        assert_eq!(wait, Some(7));
    }
    assert_eq!(server.requests(), 13);
}

#[tokio::test]
async fn an_answer_that_does_not_come_is_no_refusal() {
    let server = Server::start(async |_, request| {
        if request.uri().path() == "/users/body" {
            let frames = stream::once(async { Ok(Frame::data(Bytes::from("ha"))) }).chain(stream::pending());
            return with(200, &[], BodyExt::boxed(StreamBody::new(frames)));
        }
        std::future::pending().await
    })
    .await;
    let origin = origin(HttpSettings { timeout: Duration::from_millis(300), ..settings(&server) });
    let (error, wait) = failed(write(&origin, "head", &put("v", None), 1).await);
    assert!(matches!(error, OriginError::TimedOut) && wait.is_none(), "{error}");
    // What the head of an answer says holds, though its body never ends.
    assert_eq!(write(&origin, "body", &put("v", None), 1).await.unwrap(), Applied::Done);
    assert_eq!((origin.bulkhead().in_use(), origin.bulkhead().waiting()), (0, 0));

    let gone = Server::start(async |_, _| answer(200, &[], "v")).await.address;
    let url = format!("http://ann:password@{gone}/token/{{key}}");
    let origin = super::origin(HttpSettings { url, ..settings(&server) });
    let (error, _) = failed(write(&origin, "k", &Change::Delete, 1).await);
    let told = error.to_string();
    assert!(matches!(error, OriginError::Failed(_)) && !told.contains("password"), "{told}");
}

/// More than a connection's buffers hold.
const LARGE: usize = 16 << 20;

/// Takes a connection, and answers when it has read the request's header.
async fn answer_early(listener: &TcpListener, answer: &str) -> TcpStream {
    let (mut stream, _peer) = listener.accept().await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    stream.write_all(answer.as_bytes()).await.unwrap();
    stream
}

#[tokio::test]
async fn a_write_that_is_answered_while_it_is_read_is_sent_whole() {
    let value = Change::Put(Value { body: vec![b'v'; LARGE].into(), ..Value::default() });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let no_body = "HTTP/1.1 204 No Content\r\n\r\n";
    for answer in [no_body, "HTTP/1.1 202 Accepted\r\ncontent-length: 2\r\n\r\nok"] {
        let origin = origin(settings_of(address));
        let reading = async {
            let mut stream = answer_early(&listener, answer).await;
            stream.read_exact(&mut vec![0; LARGE]).await.unwrap();
            stream
        };
        let (written, _stream) = tokio::join!(write(&origin, "k", &value, 1), reading);
        assert_eq!((written.unwrap(), origin.pool.idle()), (Applied::Done, 1), "{answer}");
    }

    // One that reads no further has not taken it.
    let origin = origin(HttpSettings { timeout: Duration::from_millis(300), ..settings_of(address) });
    let (written, _stream) = tokio::join!(write(&origin, "k", &value, 1), answer_early(&listener, no_body));
    assert!(matches!(failed(written).0, OriginError::TimedOut));
    assert_eq!(origin.pool.idle(), 0);
}

#[tokio::test]
async fn a_key_that_leads_out_of_the_template_is_refused_and_never_sent() {
    let server = Server::start(async |_, _| answer(200, &[], "")).await;
    let origin = origin(settings(&server));
    for change in [put("v", None), Change::Delete] {
        let written = write(&origin, "../admin", &change, 1).await;
        assert!(matches!(written, Err(WriteError::Refused(_))), "{written:?}");
    }
    assert_eq!(server.requests(), 0);
}

#[tokio::test]
async fn the_fences_headers_are_not_for_the_operator_to_set() {
    let server = Server::start(async |_, _| answer(200, &[], "")).await;
    for name in ["Coherd-Write-Seq", "idempotency-key"] {
        let headers = vec![(name.to_owned(), "1".to_owned())];
        let refused =
            HttpOrigin::new(&HttpSettings { headers, ..settings(&server) }).map(|_| ()).unwrap_err();
        assert_eq!(refused, HttpSettingsError::ReservedHeader(name.to_owned()));
    }
}

/// `examples/origin/fenced.py`, whose heart the README shows.
#[tokio::test]
async fn the_readmes_service_obeys_the_fence() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/origin/fenced.py");
    let readme = include_str!("../../../../README.md");
    let shown = readme.split("```python\n").filter_map(|rest| rest.split_once("```")).map(|(block, _)| block);
    let shown = shown.into_iter().find(|block| block.contains("Coherd-Write-Seq")).unwrap();
    assert!(std::fs::read_to_string(file).unwrap().contains(shown), "the README shows what is not there");

    let mut service =
        Command::new("python3").args([file, "0"]).stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
    let mut said = BufReader::new(service.stdout.take().unwrap()).lines();
    let url = format!("{}/{{key}}", said.next_line().await.unwrap().unwrap());
    let server = Server::start(async |_, _| answer(200, &[], "")).await;
    let origin = origin(HttpSettings { url, ..settings(&server) });

    let (old, new) = (put("old", None), put("new", Some("text/plain")));
    assert_eq!(write(&origin, "1", &new, 20).await.unwrap(), Applied::Done);
    assert_eq!(write(&origin, "1", &old, 10).await.unwrap(), Applied::Superseded);
    assert_eq!(write(&origin, "1", &new, 20).await.unwrap(), Applied::Done);
    assert_eq!(value(load(&origin, "1").await).0, "new");
    for key in ["1", "2"] {
        assert_eq!(write(&origin, key, &Change::Delete, 30).await.unwrap(), Applied::Done);
        assert_eq!(write(&origin, key, &old, 29).await.unwrap(), Applied::Superseded);
        assert!(matches!(
            load(&origin, key).await,
            Ok(Fetched::Loaded(Loaded { content: Content::Absent, .. }))
        ));
    }
    service.kill().await.unwrap();
}
