//! hyper and fred: PUT is an XADD, and a loop of XREADGROUP brings what there is to the origin and does XACK. No value that
//! anybody could read, no order, nobody else who takes over.

use std::net::SocketAddr;

use bytes::Bytes;
use fred::prelude::{Client as Valkey, ClientLike, Pool, StreamsInterface};
use fred::types::Value;
use fred::types::streams::XReadResponse;
use futures_util::stream::{self, StreamExt as _};
use http_body_util::{BodyExt as _, Full};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use super::aside::{POOL, config};
use super::{Place, listen};
use crate::fault::Fault;

/// The stream, its group and the only consumer.
const STREAM: &str = "queue";
const GROUP: &str = "group";
const CONSUMER: &str = "consumer";
/// Lines that the stream keeps: more than ever wait.
const LINES_MAX: i64 = 200_000;
/// Taken at once, as by coherd.
const BATCH: u64 = 64;
/// On their way to the origin at once, as with coherd.
const AT_ONCE: usize = 32;
/// For how long a XREADGROUP waits, in milliseconds.
const BLOCK: u64 = 1_000;

type Http = Client<HttpConnector, Full<Bytes>>;

/// Takes writes, and brings them to the origin.
#[expect(clippy::disallowed_methods, reason = "a counterpart has no supervisor")]
pub(super) async fn serve(place: Place) -> Result<(), Fault> {
    let pool = Pool::new(config(place.valkey), None, None, None, POOL)?;
    pool.init().await?;
    // It waits for lines, and what others ask for must not wait with it.
    let reader = Valkey::new(config(place.valkey), None, None, None);
    reader.init().await?;
    reader.xgroup_create::<(), _, _, _>(STREAM, GROUP, "$", true).await?;
    let listening = listen(place.listen, move |request| {
        let pool = pool.clone();
        async move {
            let (head, body) = request.into_parts();
            let mut response = Response::new(Full::<Bytes>::default());
            *response.status_mut() = match body.collect().await {
                Ok(body) if head.method == Method::PUT => add(&pool, head.uri.path(), body.to_bytes()).await,
                _ => StatusCode::BAD_REQUEST,
            };
            response
        }
    });
    let mut draining = tokio::spawn(async move { drain(&reader, place.origin).await });
    tokio::select! {
        ended = listening => ended,
        ended = &mut draining => ended?,
    }
}

async fn add(pool: &Pool, path: &str, value: Bytes) -> StatusCode {
    let fields = vec![("path", Bytes::copy_from_slice(path.as_bytes())), ("value", value)];
    match pool.xadd::<(), _, _, _, _>(STREAM, false, ("MAXLEN", "~", LINES_MAX), "*", fields).await {
        Ok(()) => StatusCode::ACCEPTED,
        Err(_) => StatusCode::BAD_GATEWAY,
    }
}

async fn drain(valkey: &Valkey, origin: SocketAddr) -> Result<(), Fault> {
    let mut tcp = HttpConnector::new();
    tcp.set_nodelay(true);
    let client: Http = Client::builder(TokioExecutor::new()).build(tcp);
    loop {
        let read: Value =
            valkey.xreadgroup(GROUP, CONSUMER, Some(BATCH), Some(BLOCK), false, STREAM, ">").await?;
        if read.is_null() {
            continue;
        }
        let mut read: XReadResponse<String, String, String, Bytes> = read.into_xread_response()?;
        let lines = read.remove(STREAM).unwrap_or_default();
        let bringing = lines.into_iter().map(|(id, mut line)| {
            let (path, value) = (line.remove("path"), line.remove("value").unwrap_or_default());
            let client = &client;
            async move {
                bring(client, origin, &path.unwrap_or_default(), &id, value).await?;
                Ok::<_, Fault>(id)
            }
        });
        let ended: Vec<Result<String, Fault>> =
            stream::iter(bringing).buffer_unordered(AT_ONCE).collect().await;
        let ids: Vec<String> = ended.into_iter().collect::<Result<_, _>>()?;
        if !ids.is_empty() {
            valkey.xack::<(), _, _, _>(STREAM, GROUP, ids).await?;
        }
    }
}

async fn bring(client: &Http, origin: SocketAddr, path: &[u8], id: &str, value: Bytes) -> Result<(), Fault> {
    let seq = id.split('-').next().unwrap_or_default();
    let request = Request::put(format!("http://{origin}{}", str::from_utf8(path)?))
        .header("Coherd-Write-Seq", seq)
        .body(Full::new(value))?;
    let answer = client.request(request).await?;
    let status = answer.status();
    answer.into_body().collect().await?;
    if status.is_success() { Ok(()) } else { Err(format!("the origin answers {status}").into()) }
}
