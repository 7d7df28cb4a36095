//! hyper and fred: GET; if there is nothing, the origin by HTTP and SET. No lease, no log, no copy of its own.

use std::net::SocketAddr;

use bytes::Bytes;
use fred::prelude::{ClientLike, Config, KeysInterface, Pool, Server, ServerConfig};
use fred::types::Expiration;
use http_body_util::{BodyExt, Empty, Full};
use hyper::{Response, StatusCode};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use super::memory::response;
use super::{Place, listen};
use crate::fault::Fault;

/// Connections to Valkey, as many as coherd has by default.
pub(super) const POOL: usize = 4;
/// How long a value is kept, in seconds.
const TTL: i64 = 3600;

/// Answers with what Valkey or else the origin has for the path.
pub(super) async fn serve(place: Place) -> Result<(), Fault> {
    let pool = Pool::new(config(place.valkey), None, None, None, POOL)?;
    pool.init().await?;
    let mut tcp = HttpConnector::new();
    tcp.set_nodelay(true);
    let client: Client<_, Empty<Bytes>> = Client::builder(TokioExecutor::new()).build(tcp);
    listen(place.listen, move |request| {
        let (pool, client) = (pool.clone(), client.clone());
        async move {
            let path = request.uri().path().to_owned();
            get(&pool, &client, place.origin, path).await.map_or_else(|_| failed(), response)
        }
    })
    .await
}

/// Of a server at that address.
pub(super) fn config(valkey: SocketAddr) -> Config {
    let server = ServerConfig::Centralized { server: Server::new(valkey.ip().to_string(), valkey.port()) };
    Config { server, ..Config::default() }
}

async fn get(
    pool: &Pool,
    client: &Client<HttpConnector, Empty<Bytes>>,
    origin: SocketAddr,
    path: String,
) -> Result<Bytes, Fault> {
    if let Some(value) = pool.get::<Option<Bytes>, _>(path.as_str()).await? {
        return Ok(value);
    }
    let loaded = client.get(format!("http://{origin}{path}").parse()?).await?;
    let value = loaded.into_body().collect().await?.to_bytes();
    pool.set::<(), _, _>(path, value.clone(), Some(Expiration::EX(TTL)), None, false).await?;
    Ok(value)
}

fn failed() -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::BAD_GATEWAY;
    response
}
