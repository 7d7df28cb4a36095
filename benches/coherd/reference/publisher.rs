//! hyper and fred: a POST is appended to a stream and published, and nothing else. No marks, no numbers, no order.

use bytes::Bytes;
use fred::prelude::{ClientLike, Pool, PubsubInterface, StreamsInterface};
use futures_util::future::try_join;
use http_body_util::{BodyExt as _, Full};
use hyper::{Response, StatusCode};

use super::aside::{POOL, config};
use super::{Place, listen};
use crate::fault::Fault;

/// The stream and the channel.
pub(crate) const CHANNEL: &str = "published";
/// Lines that the stream keeps, about as many as coherd's log.
const LINES_MAX: i64 = 200_000;

/// Publishes until it is killed.
pub(super) async fn serve(place: Place) -> Result<(), Fault> {
    let pool = Pool::new(config(place.valkey), None, None, None, POOL)?;
    pool.init().await?;
    listen(place.listen, move |request| {
        let pool = pool.clone();
        async move {
            let mut response = Response::new(Full::<Bytes>::default());
            let published = match request.into_body().collect().await {
                Ok(body) => publish(&pool, body.to_bytes()).await.is_ok(),
                Err(_) => false,
            };
            *response.status_mut() = if published { StatusCode::ACCEPTED } else { StatusCode::BAD_GATEWAY };
            response
        }
    })
    .await
}

/// Both on one connection, one right after the other.
async fn publish(pool: &Pool, body: Bytes) -> Result<(), Fault> {
    let client = pool.next();
    let line = vec![("event", body.clone())];
    let logged = client.xadd::<(), _, _, _, _>(CHANNEL, false, ("MAXLEN", "~", LINES_MAX), "*", line);
    try_join(logged, client.publish::<(), _, _>(CHANNEL, body)).await?;
    Ok(())
}
