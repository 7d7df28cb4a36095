//! What a connection's requests share, whoever reads them.

use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use hyper::header::{CONNECTION, HeaderValue};
use hyper::{Request, Response};

use super::body::Body;
use super::front::{Desk, Front, respond};
use super::linger::LeftUnread;
use super::traffic::Traffic;
use crate::clock::Boot;

/// The connection as its requests see it.
pub(super) struct Line<D> {
    pub(super) front: Front<D>,
    pub(super) traffic: Traffic,
    pub(super) unread: LeftUnread,
    /// The client is told with its next answer that it is to go elsewhere.
    pub(super) told: AtomicBool,
}

impl<D: Desk> Line<D> {
    /// The answer to a request.
    pub(super) async fn answer<B>(&self, arrived: Boot, request: Request<B>) -> Response<Body>
    where
        B: hyper::body::Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send,
    {
        let mut response = respond(&self.front, arrived, request).await;
        if self.told.load(Ordering::Relaxed) {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}
