//! Every request that is answered, a line each: method and URI become a route, or say why not.

use hyper::{Method, Uri};

use super::problem::{Code, Problem};
use super::query::{self, InvalidateOptions, LettersOptions, LockOptions, WriteOptions};
use crate::model::{Key, Namespace};

/// Longest path and query, in bytes. A key of 512 bytes takes three times that, a bulk read may take all of it.
pub(super) const URI_BYTES_MAX: usize = 32 * 1024;
/// Most keys in a bulk read, and in a list of keys to warm.
pub(super) const BULK_KEYS_MAX: usize = 1000;

/// A request on the data listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DataRoute {
    /// `GET`, `HEAD /v1/cache/NS/KEY`
    Read(Namespace, Key),
    /// `PUT /v1/cache/NS/KEY[?mode=through|behind&wait=all&timeout=3s]`
    Put(Namespace, Key, WriteOptions),
    /// `DELETE /v1/cache/NS/KEY`, with the same query
    Delete(Namespace, Key, WriteOptions),
    /// `PURGE /v1/cache/NS/KEY[?soft=true]`
    Purge {
        /// Where.
        namespace: Namespace,
        /// What.
        key: Key,
        /// `soft=true`.
        soft: bool,
    },
    /// `GET`, `HEAD /v1/cache/NS?keys=a,b,c`
    Bulk(Namespace, Vec<Key>),
    /// `POST /v1/cache/NS`, the keys in the body
    BulkPost(Namespace),
    /// `POST /v1/warm/NS`, the keys in the body
    Warm(Namespace),
    /// `POST /v1/invalidate`
    Invalidate(InvalidateOptions),
    /// `POST /v1/events`: CloudEvents
    Events,
    /// `POST /v1/locks/NAME[?ttl=10s&wait=0s]`
    TakeLock(Key, LockOptions),
    /// `PUT /v1/locks/NAME[?ttl=10s]`
    ExtendLock(Key, LockOptions),
    /// `DELETE /v1/locks/NAME`
    GiveUpLock(Key),
    /// `GET`, `HEAD /healthz`
    Healthz,
    /// `GET`, `HEAD /readyz`
    Readyz,
}

impl DataRoute {
    /// Its path, without what its places are filled with.
    pub(super) fn template(&self) -> &'static str {
        match self {
            Self::Read(..) | Self::Put(..) | Self::Delete(..) | Self::Purge { .. } => {
                "/v1/cache/{namespace}/{key}"
            }
            Self::Bulk(..) | Self::BulkPost(_) => "/v1/cache/{namespace}",
            Self::Warm(_) => "/v1/warm/{namespace}",
            Self::Invalidate(_) => "/v1/invalidate",
            Self::Events => "/v1/events",
            Self::TakeLock(..) | Self::ExtendLock(..) | Self::GiveUpLock(_) => "/v1/locks/{name}",
            Self::Healthz => "/healthz",
            Self::Readyz => "/readyz",
        }
    }
}

/// A request on the admin listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdminRoute {
    /// `GET`, `HEAD /`: the status page
    Page,
    /// `GET`, `HEAD /healthz`
    Healthz,
    /// `GET`, `HEAD /readyz`
    Readyz,
    /// `GET`, `HEAD /metrics`
    Metrics,
    /// `GET`, `HEAD /stats`
    Stats,
    /// `POST /stats/reset`
    ResetStats,
    /// `GET /events`
    Events,
    /// `GET`, `HEAD /v1/explain/NS/KEY`
    Explain(Namespace, Key),
    /// `GET`, `HEAD /v1/rights`: what the sender's own token may do
    Rights,
    /// `POST /v1/invalidate`, as on the data listener, for who may do both: use this listener and invalidate
    Invalidate(InvalidateOptions),
    /// `GET`, `HEAD /v1/writes/pending[?namespace=NS&limit=100]`
    PendingWrites(LettersOptions),
    /// `GET`, `HEAD /v1/writes/dead`, with the same query
    DeadWrites(LettersOptions),
    /// `POST /v1/writes/retry`, the ids in the body
    RetryWrites,
    /// `POST /v1/writes/drop`, the ids in the body
    DropWrites,
}

const LOCKS: &str = "/v1/locks/";
const WARM: &str = "/v1/warm/";
const KEY_METHODS: &str = "GET, HEAD, PUT, DELETE, PURGE";
const NAMESPACE_METHODS: &str = "GET, HEAD, POST";
const LOCK_METHODS: &str = "POST, PUT, DELETE";
const READ: &str = "GET, HEAD";

/// The route of a request on the data listener.
pub(super) fn data(method: &Method, uri: &Uri) -> Result<DataRoute, Problem> {
    check_length(uri)?;
    let query = uri.query().unwrap_or("");
    match uri.path() {
        "/healthz" => read_only(method, DataRoute::Healthz),
        "/readyz" => read_only(method, DataRoute::Readyz),
        "/v1/invalidate" => invalidate_options(method, query).map(DataRoute::Invalidate),
        "/v1/events" => events_route(method, query),
        path if path.starts_with(WARM) => warm_route(method, &path[WARM.len()..]),
        path if path.starts_with(LOCKS) => lock_route(method, &path[LOCKS.len()..], query),
        path => {
            let rest = path.strip_prefix("/v1/cache/").ok_or_else(not_found)?;
            match rest.split_once('/') {
                Some((namespace, key)) => key_route(method, namespace, key, query),
                None => namespace_route(method, rest, query),
            }
        }
    }
}

/// The route of a request on the admin listener.
pub(super) fn admin(method: &Method, uri: &Uri) -> Result<AdminRoute, Problem> {
    check_length(uri)?;
    let query = uri.query().unwrap_or("");
    match uri.path() {
        "/" => read_only(method, AdminRoute::Page),
        "/healthz" => read_only(method, AdminRoute::Healthz),
        "/readyz" => read_only(method, AdminRoute::Readyz),
        "/metrics" => read_only(method, AdminRoute::Metrics),
        "/stats" => read_only(method, AdminRoute::Stats),
        "/stats/reset" if method == Method::POST => Ok(AdminRoute::ResetStats),
        "/events" if method == Method::GET => Ok(AdminRoute::Events),
        "/events" => Err(Problem::method_not_allowed("GET")),
        "/v1/rights" => read_only(method, AdminRoute::Rights),
        "/v1/invalidate" => invalidate_options(method, query).map(AdminRoute::Invalidate),
        "/v1/writes/pending" => {
            read_only(method, AdminRoute::PendingWrites(query::letters_options(query).map_err(bad_request)?))
        }
        "/v1/writes/dead" => {
            read_only(method, AdminRoute::DeadWrites(query::letters_options(query).map_err(bad_request)?))
        }
        "/v1/writes/retry" if method == Method::POST => Ok(AdminRoute::RetryWrites),
        "/v1/writes/drop" if method == Method::POST => Ok(AdminRoute::DropWrites),
        "/stats/reset" | "/v1/writes/retry" | "/v1/writes/drop" => Err(Problem::method_not_allowed("POST")),
        path => {
            let asked = path.strip_prefix("/v1/explain/").ok_or_else(not_found)?;
            let (namespace, key) = asked.split_once('/').ok_or_else(not_found)?;
            read_only(method, AdminRoute::Explain(parse_namespace(namespace)?, parse_key(key)?))
        }
    }
}

fn key_route(method: &Method, namespace: &str, key: &str, query: &str) -> Result<DataRoute, Problem> {
    let known = matches!(method.as_str(), "GET" | "HEAD" | "PUT" | "DELETE" | "PURGE");
    if !known {
        return Err(Problem::method_not_allowed(KEY_METHODS));
    }
    let namespace = parse_namespace(namespace)?;
    let key = parse_key(key)?;
    Ok(match method.as_str() {
        "PUT" => DataRoute::Put(namespace, key, query::write_options(query).map_err(bad_request)?),
        "DELETE" => DataRoute::Delete(namespace, key, query::write_options(query).map_err(bad_request)?),
        "PURGE" => {
            let soft = query::purge_is_soft(query).map_err(bad_request)?;
            DataRoute::Purge { namespace, key, soft }
        }
        _ => DataRoute::Read(namespace, key),
    })
}

fn namespace_route(method: &Method, namespace: &str, query: &str) -> Result<DataRoute, Problem> {
    match *method {
        Method::POST => Ok(DataRoute::BulkPost(parse_namespace(namespace)?)),
        Method::GET | Method::HEAD => Ok(DataRoute::Bulk(parse_namespace(namespace)?, bulk_keys(query)?)),
        _ => Err(Problem::method_not_allowed(NAMESPACE_METHODS)),
    }
}

fn invalidate_options(method: &Method, query: &str) -> Result<InvalidateOptions, Problem> {
    if *method == Method::POST {
        query::invalidate_options(query).map_err(bad_request)
    } else {
        Err(Problem::method_not_allowed("POST"))
    }
}

/// A query is refused, so that a `wait` that nobody obeys is seen.
fn events_route(method: &Method, query: &str) -> Result<DataRoute, Problem> {
    if *method != Method::POST {
        return Err(Problem::method_not_allowed("POST"));
    }
    match query::pairs(query).next() {
        None => Ok(DataRoute::Events),
        Some(_) => Err(bad_request("`/v1/events` takes no query".to_owned())),
    }
}

fn warm_route(method: &Method, namespace: &str) -> Result<DataRoute, Problem> {
    if *method == Method::POST {
        Ok(DataRoute::Warm(parse_namespace(namespace)?))
    } else {
        Err(Problem::method_not_allowed("POST"))
    }
}

/// A lock's name is spelt as a key is, and may be as long.
fn lock_route(method: &Method, name: &str, query: &str) -> Result<DataRoute, Problem> {
    if !matches!(*method, Method::POST | Method::PUT | Method::DELETE) {
        return Err(Problem::method_not_allowed(LOCK_METHODS));
    }
    let name = parse_key(name)?;
    let options = |waits| query::lock_options(query, waits).map_err(bad_request);
    Ok(match *method {
        Method::POST => DataRoute::TakeLock(name, options(true)?),
        Method::PUT => DataRoute::ExtendLock(name, options(false)?),
        _ => DataRoute::GiveUpLock(name),
    })
}

/// Commas part the keys before anything is decoded: `%2C` is a comma within a key.
fn bulk_keys(query: &str) -> Result<Vec<Key>, Problem> {
    let lists = query::pairs(query).filter(|(name, _)| *name == "keys").map(|(_, list)| list);
    let mut keys = Vec::new();
    for text in lists.flat_map(|list| list.split(',')) {
        if keys.len() == BULK_KEYS_MAX {
            return Err(too_many_keys());
        }
        keys.push(parse_key(text)?);
    }
    if keys.is_empty() {
        return Err(Problem::new(Code::BadRequest, "`?keys=a,b,c` is missing"));
    }
    Ok(keys)
}

/// More than [`BULK_KEYS_MAX`].
pub(super) fn too_many_keys() -> Problem {
    Problem::new(Code::BadRequest, format!("at most {BULK_KEYS_MAX} keys are taken at once"))
}

fn check_length(uri: &Uri) -> Result<(), Problem> {
    let bytes = uri.path_and_query().map_or(0, |text| text.as_str().len());
    if URI_BYTES_MAX < bytes {
        let detail = format!("path and query have {bytes} bytes, at most {URI_BYTES_MAX} are read");
        return Err(Problem::new(Code::UriTooLong, detail));
    }
    Ok(())
}

fn read_only<R>(method: &Method, route: R) -> Result<R, Problem> {
    if matches!(*method, Method::GET | Method::HEAD) {
        Ok(route)
    } else {
        Err(Problem::method_not_allowed(READ))
    }
}

/// A text that cannot name a namespace names none that is configured.
fn parse_namespace(text: &str) -> Result<Namespace, Problem> {
    Namespace::new(text).map_err(|invalid| Problem::new(Code::UnknownNamespace, invalid.to_string()))
}

fn parse_key(text: &str) -> Result<Key, Problem> {
    let wrong = |detail: String| Problem::new(Code::BadKey, detail);
    let bytes = query::decode(text)
        .ok_or_else(|| wrong("a `%` is not followed by two hexadecimal digits".to_owned()))?;
    Key::from_bytes(&bytes).map_err(|invalid| wrong(invalid.to_string()))
}

fn not_found() -> Problem {
    Problem::new(Code::NotFound, "there is no such resource")
}

fn bad_request(detail: String) -> Problem {
    Problem::new(Code::BadRequest, detail)
}

#[cfg(test)]
mod tests {
    use super::super::query::Wait;
    use super::*;
    use std::time::Duration;

    use proptest::prelude::*;

    fn ns(text: &str) -> Namespace {
        Namespace::new(text).unwrap()
    }

    fn key(text: &str) -> Key {
        Key::new(text).unwrap()
    }

    fn ask(line: &str) -> Result<DataRoute, Problem> {
        let (method, uri) = line.split_once(' ').unwrap();
        data(&method.parse().unwrap(), &uri.parse().unwrap())
    }

    #[test]
    fn every_request_of_the_data_listener() {
        let both = |keys: &[&str]| DataRoute::Bulk(ns("u"), keys.iter().map(|text| key(text)).collect());
        let purge = |soft| DataRoute::Purge { namespace: ns("u"), key: key("1"), soft };
        let waiting = InvalidateOptions { wait: Some(Wait::Default), ..InvalidateOptions::default() };
        let lock = |ttl, wait| LockOptions { ttl: Duration::from_secs(ttl), wait: Duration::from_secs(wait) };
        for (line, route) in [
            ("GET /v1/cache/u/1", DataRoute::Read(ns("u"), key("1"))),
            ("HEAD /v1/cache/u/1?x=y", DataRoute::Read(ns("u"), key("1"))),
            ("GET http://host/v1/cache/u/1", DataRoute::Read(ns("u"), key("1"))),
            ("GET /v1/cache/u/eu/de/7/", DataRoute::Read(ns("u"), key("eu/de/7/"))),
            ("GET /v1/cache/u//", DataRoute::Read(ns("u"), key("/"))),
            ("GET /v1/cache/u/%C3%A4%2F+", DataRoute::Read(ns("u"), key("ä/+"))),
            ("PUT /v1/cache/u/1", DataRoute::Put(ns("u"), key("1"), WriteOptions::default())),
            ("DELETE /v1/cache/u/1", DataRoute::Delete(ns("u"), key("1"), WriteOptions::default())),
            ("PURGE /v1/cache/u/1", purge(false)),
            ("PURGE /v1/cache/u/1?soft=true", purge(true)),
            ("GET /v1/cache/u?keys=a,b,c", both(&["a", "b", "c"])),
            ("GET /v1/cache/u?keys=a%2Cb,c&keys=d", both(&["a,b", "c", "d"])),
            ("POST /v1/cache/u", DataRoute::BulkPost(ns("u"))),
            ("POST /v1/warm/u", DataRoute::Warm(ns("u"))),
            ("POST /v1/invalidate", DataRoute::Invalidate(InvalidateOptions::default())),
            ("POST /v1/invalidate?wait=all", DataRoute::Invalidate(waiting)),
            ("POST /v1/events", DataRoute::Events),
            ("POST /v1/locks/a/b", DataRoute::TakeLock(key("a/b"), lock(10, 0))),
            ("POST /v1/locks/%C3%A4?ttl=1s&wait=2s", DataRoute::TakeLock(key("ä"), lock(1, 2))),
            ("PUT /v1/locks/a?ttl=2s", DataRoute::ExtendLock(key("a"), lock(2, 0))),
            ("DELETE /v1/locks/a", DataRoute::GiveUpLock(key("a"))),
            ("GET /healthz", DataRoute::Healthz),
            ("HEAD /readyz", DataRoute::Readyz),
        ] {
            assert_eq!(ask(line).expect(line), route, "{line}");
        }
    }

    #[test]
    fn what_is_wrong_has_its_code() {
        let long = format!("GET /v1/cache/u/{}", "k".repeat(513));
        let longer = format!("GET /v1/cache/u?keys={}", "k".repeat(URI_BYTES_MAX));
        let many = format!("GET /v1/cache/u?keys={}", vec!["k"; 1001].join(","));
        for (line, code) in [
            ("GET /", Code::NotFound),
            ("GET /v1/cache", Code::NotFound),
            ("POST /v1/warm", Code::NotFound),
            ("POST /v1/warm/", Code::UnknownNamespace),
            ("POST /v1/warm/u/k", Code::UnknownNamespace),
            ("GET /v2/cache/u/1", Code::NotFound),
            ("OPTIONS *", Code::NotFound),
            ("GET /v1/cache/", Code::UnknownNamespace),
            ("GET /v1/cache/Users/1", Code::UnknownNamespace),
            ("GET /v1/cache/u/", Code::BadKey),
            ("GET /v1/cache/u/%FF", Code::BadKey),
            ("GET /v1/cache/u/%zz", Code::BadKey),
            (&long, Code::BadKey),
            ("GET /v1/cache/u?keys=a,,b", Code::BadKey),
            ("GET /v1/cache/u", Code::BadRequest),
            (&many, Code::BadRequest),
            ("PURGE /v1/cache/u/1?soft=maybe", Code::BadRequest),
            ("POST /v1/invalidate?wait=yes", Code::BadRequest),
            ("POST /v1/events?wait=all", Code::BadRequest),
            ("POST /v1/locks", Code::NotFound),
            ("POST /v1/locks/", Code::BadKey),
            ("DELETE /v1/locks/%FF", Code::BadKey),
            ("POST /v1/locks/a?ttl=1ms", Code::BadRequest),
            ("PUT /v1/locks/a?wait=1s", Code::BadRequest),
            (&longer, Code::UriTooLong),
        ] {
            assert_eq!(ask(line).expect_err(line).code(), code, "{line}");
        }
    }

    #[test]
    fn a_method_that_is_not_known_is_told_which_are() {
        for (line, allow) in [
            ("POST /v1/cache/u/1", "GET, HEAD, PUT, DELETE, PURGE"),
            ("get /v1/cache/u/1", "GET, HEAD, PUT, DELETE, PURGE"),
            ("PUT /v1/cache/u", "GET, HEAD, POST"),
            ("GET /v1/invalidate", "POST"),
            ("GET /v1/events", "POST"),
            ("PUT /v1/warm/u", "POST"),
            ("GET /v1/locks/a", "POST, PUT, DELETE"),
            ("POST /healthz", "GET, HEAD"),
        ] {
            let response = ask(line).expect_err(line).into_response();
            assert_eq!(response.status(), 405, "{line}");
            assert_eq!(response.headers()["allow"], allow, "{line}");
        }
    }

    #[test]
    fn every_request_of_the_admin_listener() {
        let ask = |method: &str, path: &str| admin(&method.parse().unwrap(), &path.parse().unwrap());
        assert_eq!(ask("GET", "/").unwrap(), AdminRoute::Page);
        assert_eq!(ask("GET", "/v1/rights").unwrap(), AdminRoute::Rights);
        let options = InvalidateOptions { exact: true, ..InvalidateOptions::default() };
        assert_eq!(ask("POST", "/v1/invalidate?exact=true").unwrap(), AdminRoute::Invalidate(options));
        assert_eq!(ask("GET", "/v1/invalidate").unwrap_err().code(), Code::MethodNotAllowed);
        assert_eq!(ask("GET", "/healthz").unwrap(), AdminRoute::Healthz);
        assert_eq!(ask("GET", "/readyz").unwrap(), AdminRoute::Readyz);
        assert_eq!(ask("HEAD", "/metrics").unwrap(), AdminRoute::Metrics);
        assert_eq!(ask("GET", "/stats").unwrap(), AdminRoute::Stats);
        assert_eq!(ask("POST", "/stats/reset").unwrap(), AdminRoute::ResetStats);
        assert_eq!(ask("GET", "/events?from=now").unwrap(), AdminRoute::Events);
        let explained = AdminRoute::Explain(ns("u"), key("eu/ä"));
        assert_eq!(ask("GET", "/v1/explain/u/eu/%C3%A4").unwrap(), explained);
        for (path, code) in [
            ("/v1/explain", Code::NotFound),
            ("/v1/explain/u", Code::NotFound),
            ("/v1/explain/U/1", Code::UnknownNamespace),
            ("/v1/explain/u/", Code::BadKey),
        ] {
            assert_eq!(ask("GET", path).unwrap_err().code(), code, "{path}");
        }
        assert_eq!(ask("POST", "/v1/explain/u/1").unwrap_err().code(), Code::MethodNotAllowed);
        assert_eq!(ask("GET", "/stats/reset").unwrap_err().code(), Code::MethodNotAllowed);
        assert_eq!(ask("DELETE", "/stats").unwrap_err().code(), Code::MethodNotAllowed);
        assert_eq!(ask("HEAD", "/events").unwrap_err().code(), Code::MethodNotAllowed);
        assert_eq!(ask("GET", "/v1/cache/u/1").unwrap_err().code(), Code::NotFound);
    }

    proptest! {
        #[test]
        fn every_key_can_be_asked_for(text in ".{1,100}") {
            let encoded = percent_encoding::utf8_percent_encode(&text, percent_encoding::NON_ALPHANUMERIC);
            prop_assert_eq!(ask(&format!("GET /v1/cache/u/{encoded}")).unwrap(), DataRoute::Read(ns("u"), key(&text)));
        }

        #[test]
        fn no_uri_panics(path in "[/a-z0-9%?&=,.]{0,80}", method in "GET|PUT|POST|PURGE|DELETE|HEAD") {
            for uri in [format!("/{path}"), format!("/v1/cache/{path}"), format!("/v1/invalidate?{path}")] {
                if let Ok(uri) = uri.parse() {
                    let method = method.parse().unwrap();
                    let (data, admin) = (data(&method, &uri), admin(&method, &uri));
                    prop_assert!(data.is_ok() || data.unwrap_err().into_response().status().is_client_error());
                    prop_assert!(admin.is_ok() || admin.unwrap_err().into_response().status().is_client_error());
                }
            }
        }
    }
}
