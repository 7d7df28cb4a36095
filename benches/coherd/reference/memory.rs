//! hyper that answers from memory: nothing else, or after a look-up in moka.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::Response;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use moka::sync::Cache;

use super::{Place, listen, value};
use crate::fault::Fault;

/// Entries that moka may hold, more than are asked for.
const ENTRIES_MAX: u64 = 100_000;

/// Answers every request with the same bytes.
pub(super) async fn same(place: Place) -> Result<(), Fault> {
    let value = value();
    listen(place.listen, move |_| {
        let value = value.clone();
        async move { response(value) }
    })
    .await
}

/// Answers with what moka has for the path.
pub(super) async fn moka(place: Place) -> Result<(), Fault> {
    let cache: Cache<Arc<str>, Bytes> = Cache::new(ENTRIES_MAX);
    listen(place.listen, move |request| {
        let cache = cache.clone();
        async move {
            let path = request.uri().path();
            let value = cache.get(path).unwrap_or_else(|| {
                let value = value();
                cache.insert(path.into(), value.clone());
                value
            });
            response(value)
        }
    })
    .await
}

/// 200 with those bytes.
pub(super) fn response(value: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(value));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    response
}
