//! What an HTTP origin needs to know, and the headers it sends.

use std::sync::Arc;
use std::time::Duration;

use hyper::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CONNECTION, CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue, IF_MATCH,
    IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, RANGE, TE, TRAILER, TRANSFER_ENCODING,
    UPGRADE, USER_AGENT,
};

use super::write::{IDEMPOTENCY_KEY, WRITE_SEQ};
use crate::guard::Breaker;
use crate::model::Namespace;
use crate::tls::Roots;

/// Headers that the origin's client sets by itself, or that would turn its answers into something else.
const RESERVED: [HeaderName; 15] = [
    ACCEPT_ENCODING,
    CONNECTION,
    CONTENT_LENGTH,
    IF_MATCH,
    IF_MODIFIED_SINCE,
    IF_NONE_MATCH,
    IF_RANGE,
    IF_UNMODIFIED_SINCE,
    RANGE,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
    WRITE_SEQ,
    IDEMPOTENCY_KEY,
];

/// How values are loaded and written. No `Debug`: the URL and the headers may hold credentials.
#[derive(Clone)]
pub struct HttpSettings {
    /// Whose values; stands for `{namespace}` in the URL.
    pub namespace: Namespace,
    /// `http://` or `https://`, with `{key}` in path or query. User and password in it become `Authorization`.
    pub url: String,
    /// For a whole load: waiting, connecting, all attempts and the body. Up to a day.
    pub timeout: Duration,
    /// Attempts after the first one.
    pub retries: u32,
    /// Loads at once; at least 1.
    pub max_concurrency: usize,
    /// Leaves the origin alone while it does not work.
    pub breaker: Arc<Breaker>,
    /// Whether `Cache-Control`, `Expires`, `Age`, `Vary: *`, `ETag` and `Last-Modified` of its answers count.
    pub honour_cache_control: bool,
    /// Sent with every request.
    pub headers: Vec<(String, String)>,
    /// The longest value that is stored, in bytes. Up to 16 times as many, at most 64 MiB, are passed on.
    pub max_value: usize,
    /// The longest time that an answer may state for itself.
    pub ttl_max: Duration,
    /// Whose word is taken for who an `https` origin is.
    pub roots: Roots,
    /// `User-Agent`, unless `headers` has one.
    pub user_agent: String,
}

/// Why settings make no origin. Names the key; never holds a header's value or a URL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HttpSettingsError {
    /// The URL is none, or its template is not.
    #[error("`url`: {0}")]
    Url(String),
    /// A header's name or value holds what no header may.
    #[error("`headers`: `{0}` is no header, or its value holds what no header may")]
    Header(String),
    /// A header that is not for the operator to set.
    #[error("`headers`: `{0}` is set by coherd itself")]
    ReservedHeader(String),
    /// The user agent holds what no header may.
    #[error("the user agent holds what no header may")]
    UserAgent,
}

/// The headers of every request.
pub(super) fn headers(
    settings: &HttpSettings,
    authorization: Option<&HeaderValue>,
) -> Result<HeaderMap, HttpSettingsError> {
    let mut headers = HeaderMap::new();
    let agent = HeaderValue::from_str(&settings.user_agent).map_err(|_| HttpSettingsError::UserAgent)?;
    headers.insert(USER_AGENT, agent);
    if let Some(credentials) = authorization {
        headers.insert(AUTHORIZATION, credentials.clone());
    }
    for (name, value) in &settings.headers {
        let wrong = || HttpSettingsError::Header(name.clone());
        let parsed = HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong())?;
        if RESERVED.contains(&parsed) {
            return Err(HttpSettingsError::ReservedHeader(name.clone()));
        }
        let mut value = HeaderValue::from_str(value).map_err(|_| wrong())?;
        // Any of them may be a key; none is to be seen in a log of headers.
        value.set_sensitive(true);
        headers.insert(parsed, value);
    }
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    Ok(headers)
}
