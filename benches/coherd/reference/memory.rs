//! hyper that answers from memory: nothing else, or after a look-up in moka.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::Response;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use moka::sync::Cache;

use super::{Place, listen, value};
use crate::fault::Fault;
use crate::plan::VALUE_BYTES;

/// Entries that moka may hold, more than are asked for.
const ENTRIES_MAX: u64 = 100_000;
/// Sizes of values that are kept.
const SIZES_MAX: u64 = 1_000;

/// Answers every request with the same bytes; as an origin, by what a query asks for: `bytes=16`, `json`, `tags=8`;
/// what follows a number after a `-` tells keys apart.
pub(super) async fn same(place: Place) -> Result<(), Fault> {
    let value = value();
    let others: Cache<usize, Bytes> = Cache::new(SIZES_MAX);
    listen(place.listen, move |request| {
        let answer = match request.uri().query() {
            None => response(value.clone()),
            Some(query) => asked(query, &others),
        };
        std::future::ready(answer)
    })
    .await
}

fn asked(query: &str, values: &Cache<usize, Bytes>) -> Response<Full<Bytes>> {
    let number = |name: &str| {
        let text = query.split('&').find_map(|field| field.strip_prefix(name)?.strip_prefix('='))?;
        text.split('-').next()?.parse::<usize>().ok()
    };
    let bytes = number("bytes").unwrap_or(VALUE_BYTES);
    let mut response = response(values.get_with(bytes, || vec![b'1'; bytes].into()));
    let headers = response.headers_mut();
    if query.split('&').any(|field| field == "json") {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    let tags: Vec<String> = (0..number("tags").unwrap_or(0)).map(|tag| format!("tag-{tag}")).collect();
    if let Ok(tags) = HeaderValue::from_str(&tags.join(","))
        && !tags.is_empty()
    {
        headers.insert("Cache-Tag", tags);
    }
    response
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
