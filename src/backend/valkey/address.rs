//! Where the server is and how to talk to it: a URL with its user, hosts and database, made into fred's terms.

use std::path::Path;

use fred::types::RespVersion;
use fred::types::config::{ClusterDiscoveryPolicy, Config, Server, ServerConfig, TlsConfig};
use percent_encoding::percent_decode_str;

use super::tls;
use crate::backend::BackendError;

/// Where a URL without ports points.
const PORT: u16 = 6379;
/// The same for sentinels.
const SENTINEL_PORT: u16 = 26379;

/// Who asks, beside what the URL says.
#[derive(Clone, Copy, Default)]
pub(super) struct Credentials<'a> {
    pub(super) username: Option<&'a str>,
    pub(super) password: Option<&'a str>,
    pub(super) ca_file: Option<&'a Path>,
}

/// `valkey://[user[:password]@]host[:port][,host…][/db]`, also `redis`, `valkeys`, `rediss` and each with `-cluster`
/// or `-sentinel` (`?service=NAME`). Errors never repeat the URL: it may hold a password.
pub(super) fn config(url: &str, credentials: Credentials<'_>) -> Result<Config, BackendError> {
    let (scheme, rest) =
        url.split_once("://").ok_or_else(|| wrong("it has no scheme such as `valkey://`"))?;
    let (scheme, topology) = match scheme.split_once('-') {
        Some((scheme, topology)) => (scheme, Some(topology)),
        None => (scheme, None),
    };
    let encrypted = match scheme {
        "valkey" | "redis" => false,
        "valkeys" | "rediss" => true,
        _ => return Err(wrong("its scheme is not valkey, valkeys, redis or rediss")),
    };
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (user, hosts) = match authority.rsplit_once('@') {
        Some((user, hosts)) => (Some(user), hosts),
        None => (None, authority),
    };

    let server = match topology {
        None => match servers(hosts, PORT)?.as_slice() {
            [server] => ServerConfig::Centralized { server: server.clone() },
            _ => return Err(wrong("it names several hosts and is neither -cluster nor -sentinel")),
        },
        Some("cluster") => ServerConfig::Clustered {
            hosts: servers(hosts, PORT)?,
            policy: ClusterDiscoveryPolicy::default(),
        },
        Some("sentinel") => ServerConfig::Sentinel {
            hosts: servers(hosts, SENTINEL_PORT)?,
            service_name: parameter(query, "service").ok_or_else(|| wrong("it lacks `?service=NAME`"))?,
            username: None,
            password: None,
        },
        Some(_) => return Err(wrong("its scheme ends on neither -cluster nor -sentinel")),
    };
    let database = match path {
        "" => None,
        number => Some(number.parse().map_err(|_| wrong("its path is not the number of a database"))?),
    };
    let (username, password) = match user {
        Some(user) => match user.split_once(':') {
            Some((name, password)) => (Some(decoded(name)?), Some(decoded(password)?)),
            None => (Some(decoded(user)?), None),
        },
        None => (None, None),
    };
    let given = |own: Option<&str>, url: Option<String>| {
        own.map(str::to_owned).or(url).filter(|text| !text.is_empty())
    };

    Ok(Config {
        fail_fast: true,
        username: given(credentials.username, username),
        password: given(credentials.password, password),
        server,
        // one connection carries answers and, where it subscribes, messages: only RESP3 keeps them apart
        version: RespVersion::RESP3,
        database,
        tls: encrypted.then(|| tls::connector(credentials.ca_file)).transpose()?.map(TlsConfig::from),
        ..Config::default()
    })
}

fn servers(hosts: &str, port: u16) -> Result<Vec<Server>, BackendError> {
    hosts.split(',').map(|host| server(host.trim(), port)).collect()
}

fn server(text: &str, default: u16) -> Result<Server, BackendError> {
    let (host, port) = match text.strip_prefix('[') {
        // an IPv6 address stands in brackets
        Some(rest) => {
            let (host, rest) = rest.split_once(']').ok_or_else(|| wrong("a `[` is not closed"))?;
            (host, rest.strip_prefix(':'))
        }
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    if host.is_empty() {
        return Err(wrong("it names no host"));
    }
    let port = match port {
        Some(port) => port.parse().map_err(|_| wrong("a port is not a number up to 65535"))?,
        None => default,
    };
    Ok(Server::new(host, port))
}

fn parameter(query: &str, name: &str) -> Option<String> {
    query.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=')?;
        (key == name).then(|| percent_decode_str(value).decode_utf8_lossy().into_owned())
    })
}

fn decoded(text: &str) -> Result<String, BackendError> {
    let decoded = percent_decode_str(text).decode_utf8();
    Ok(decoded.map_err(|_| wrong("its user or password is not UTF-8"))?.into_owned())
}

fn wrong(why: &str) -> BackendError {
    BackendError::Refused(format!("the backend's URL cannot be used: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(url: &str) -> Config {
        config(url, Credentials::default()).unwrap()
    }

    #[test]
    fn a_url_says_host_port_database_and_user() {
        let config = parsed("valkey://me:p%40ss@cache.internal:7000/3");
        assert_eq!(config.server.hosts(), [Server::new("cache.internal", 7000)]);
        assert_eq!(config.database, Some(3));
        assert_eq!((config.username.as_deref(), config.password.as_deref()), (Some("me"), Some("p@ss")));
        assert_eq!(parsed("redis://[::1]").server.hosts(), [Server::new("::1", 6379)]);
        assert!(parsed("redis://h").tls.is_none());
        assert!(parsed("rediss://h").tls.is_some());
    }

    #[test]
    fn clusters_and_sentinels_have_several_hosts() {
        let cluster = parsed("valkey-cluster://a:1,b:2");
        assert!(cluster.server.is_clustered());
        assert_eq!(cluster.server.hosts().len(), 2);
        let sentinel = parsed("redis-sentinel://a,b:5?service=main");
        assert!(sentinel.server.is_sentinel());
        assert_eq!(sentinel.server.hosts(), [Server::new("a", 26379), Server::new("b", 5)]);
    }

    #[test]
    fn settings_win_over_the_url() {
        let credentials = Credentials { username: Some("other"), password: Some("secret"), ca_file: None };
        let config = config("valkey://me:pass@h", credentials).unwrap();
        assert_eq!((config.username.as_deref(), config.password.as_deref()), (Some("other"), Some("secret")));
    }

    #[test]
    fn a_faulty_url_is_refused_without_being_repeated() {
        for url in [
            "hunter2",
            "http://hunter2@h",
            "valkey://hunter2@",
            "valkey://u:hunter2@h:x",
            "valkey://u:hunter2@h/db",
            "valkey://u:hunter2@a,b",
            "valkey-ring://u:hunter2@a",
            "valkey-sentinel://u:hunter2@a",
            "valkey://u:hunter2@[::1",
        ] {
            let error = config(url, Credentials::default()).unwrap_err().to_string();
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
