//! hyper and fred: a POST is published, and every GET is a stream of what is heard. No log: what is lost is lost.

use std::convert::Infallible;

use bytes::Bytes;
use fred::prelude::{Builder, Client, ClientLike, EventInterface, PerformanceConfig, PubsubInterface};
use futures_util::stream::unfold;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::{Method, Request, Response, StatusCode};
use tokio::sync::broadcast;

use super::aside::config;
use super::{Place, listen};
use crate::fault::Fault;

/// The channel.
const CHANNEL: &str = "relay";
/// Messages that a stream may lag behind.
const LAG_MAX: usize = 8192;

type Answer = Response<BoxBody<Bytes, Infallible>>;

/// Relays until it is killed.
pub(super) async fn serve(place: Place) -> Result<(), Fault> {
    let performance =
        PerformanceConfig { broadcast_channel_capacity: LAG_MAX, ..PerformanceConfig::default() };
    let mut builder = Builder::from_config(config(place.valkey));
    builder.set_performance_config(performance);
    let (publisher, subscriber) = (builder.build()?, builder.build_subscriber_client()?);
    publisher.init().await?;
    subscriber.init().await?;
    subscriber.subscribe(CHANNEL).await?;
    listen(place.listen, move |request| {
        let (publisher, subscriber) = (publisher.clone(), subscriber.clone());
        async move {
            if request.method() == Method::POST {
                publish(&publisher, request).await
            } else {
                Response::new(stream(subscriber.message_rx()))
            }
        }
    })
    .await
}

async fn publish(publisher: &Client, request: Request<Incoming>) -> Answer {
    let mut response = Response::new(Full::default().boxed());
    let published = match request.into_body().collect().await {
        Ok(body) => publisher.publish::<i64, _, _>(CHANNEL, body.to_bytes()).await.is_ok(),
        Err(_) => false,
    };
    *response.status_mut() = if published { StatusCode::ACCEPTED } else { StatusCode::BAD_GATEWAY };
    response
}

fn stream(messages: broadcast::Receiver<fred::types::Message>) -> BoxBody<Bytes, Infallible> {
    let frames = unfold(messages, |mut messages| async move {
        let message = messages.recv().await.ok()?;
        let data = message.value.into_string()?;
        Some((Ok(Frame::data(Bytes::from(format!("data: {data}\n\n")))), messages))
    });
    StreamBody::new(frames).boxed()
}
