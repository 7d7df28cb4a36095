//! `backend.url`: where Valkey is, in all the spellings that its users know.

use std::fmt;

use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::secret::{HIDDEN, Secret};

/// Most servers in one URL.
const HOSTS_MAX: usize = 64;

/// A parsed `valkey://…`. `Display` and `Debug` hide the password.
#[derive(Clone, PartialEq, Eq)]
pub struct BackendUrl {
    /// `valkeys` or `rediss`.
    pub tls: bool,
    /// Which servers, and how they hang together.
    pub topology: Topology,
    /// The database number; 0 on a Cluster.
    pub database: u8,
    /// The user before the `@`, percent-decoded.
    pub username: Option<String>,
    /// The password before the `@`, percent-decoded.
    pub password: Option<Secret>,
}

/// How the servers of a URL hang together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Topology {
    /// `valkey://`: one server, or a name that leads to the primary.
    Single(Host),
    /// `valkey-cluster://h1,h2`: any nodes of a Cluster.
    Cluster(Vec<Host>),
    /// `valkey-sentinel://s1,s2?service=NAME`.
    Sentinel {
        /// The sentinels.
        hosts: Vec<Host>,
        /// The name they know the primary by.
        service: String,
    },
}

/// A host name or address with its port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// Name or address, IPv6 without brackets.
    pub name: String,
    /// TCP port.
    pub port: u16,
}

/// Says what is wrong without repeating the URL, which may hold a password.
pub(super) fn parse(text: &str) -> Result<BackendUrl, String> {
    let (scheme, rest) = text.split_once("://").ok_or("it has no scheme")?;
    let (tls, layout) = scheme_of(scheme).ok_or("its scheme is unknown")?;
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, tail) = rest.split_at(end);
    let (path, query) = tail.split_once('?').unwrap_or((tail, ""));

    let (user, hosts) = match authority.rsplit_once('@') {
        Some((user, hosts)) => (Some(user), hosts),
        None => (None, authority),
    };
    let (username, password) = credentials(user.unwrap_or_default())?;
    let port = if matches!(layout, Layout::Sentinel) { 26379 } else { 6379 };
    let mut hosts = hosts.split(',').map(|h| host(h, port)).collect::<Result<Vec<_>, _>>()?;
    if HOSTS_MAX < hosts.len() {
        return Err(format!("it names more than {HOSTS_MAX} servers"));
    }
    let database = match path.trim_start_matches('/') {
        "" => 0,
        number => number.parse().map_err(|_| "its path is not a database number of 0 to 255")?,
    };
    let service = service(query, matches!(layout, Layout::Sentinel))?;
    let topology = match (layout, service) {
        (Layout::Sentinel, Some(service)) => Topology::Sentinel { hosts, service },
        (Layout::Sentinel, None) => return Err("it lacks `?service=NAME`".to_owned()),
        (Layout::Cluster, _) if database != 0 => return Err("a Cluster has database 0 only".to_owned()),
        (Layout::Cluster, _) => Topology::Cluster(hosts),
        (Layout::Single, _) if hosts.len() != 1 => {
            return Err("it names several servers, which only a Cluster or sentinels have".to_owned());
        }
        (Layout::Single, _) => Topology::Single(hosts.remove(0)),
    };
    Ok(BackendUrl { tls, topology, database, username, password })
}

#[derive(Clone, Copy)]
enum Layout {
    Single,
    Cluster,
    Sentinel,
}

fn scheme_of(scheme: &str) -> Option<(bool, Layout)> {
    let (base, layout) = match scheme.split_once('-') {
        None => (scheme, Layout::Single),
        Some((base, "cluster")) => (base, Layout::Cluster),
        Some((base, "sentinel")) => (base, Layout::Sentinel),
        Some(_) => return None,
    };
    match base {
        "valkey" | "redis" => Some((false, layout)),
        "valkeys" | "rediss" => Some((true, layout)),
        _ => None,
    }
}

fn credentials(user: &str) -> Result<(Option<String>, Option<Secret>), String> {
    let decode = |text: &str| {
        let text = percent_decode_str(text).decode_utf8().map_err(|_| "its user or password is not UTF-8")?;
        Ok::<_, String>(Some(text.into_owned()).filter(|text| !text.is_empty()))
    };
    let (name, password) = user.split_once(':').unwrap_or((user, ""));
    Ok((decode(name)?, decode(password)?.map(Secret::from)))
}

fn host(text: &str, default_port: u16) -> Result<Host, String> {
    let (name, port) = match text.strip_prefix('[') {
        Some(v6) => {
            let (name, port) = v6.split_once(']').ok_or("an IPv6 address lacks its `]`")?;
            name.parse::<std::net::Ipv6Addr>().map_err(|_| "what stands in `[]` is no IPv6 address")?;
            (name, port.strip_prefix(':'))
        }
        None => match text.split_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (text, None),
        },
    };
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':');
    if name.is_empty() || !name.chars().all(allowed) {
        return Err("it has an empty or malformed host".to_owned());
    }
    let port = match port {
        None => default_port,
        Some(port) => port.parse().ok().filter(|port| *port != 0).ok_or("a port is not 1 to 65535")?,
    };
    Ok(Host { name: name.to_owned(), port })
}

fn service(query: &str, wanted: bool) -> Result<Option<String>, String> {
    let mut service = None;
    for parameter in query.split('&').filter(|p| !p.is_empty()) {
        match parameter.split_once('=') {
            Some(("service", name)) if wanted && !name.is_empty() => service = Some(name.to_owned()),
            _ => return Err("it has a parameter other than sentinel's `service`".to_owned()),
        }
    }
    Ok(service)
}

impl BackendUrl {
    /// The same without user and password, which a client is told apart from it.
    #[must_use]
    pub fn without_credentials(&self) -> Self {
        Self { username: None, password: None, ..self.clone() }
    }
}

impl BackendUrl {
    /// The whole of it, for a client that reads it itself.
    #[must_use]
    pub fn with_credentials(&self) -> Secret {
        let bare = self.without_credentials().to_string();
        let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let user = self.username.as_deref().map(encoded).unwrap_or_default();
        let whole = match (&self.username, &self.password) {
            (None, None) => bare,
            (_, None) => bare.replacen("://", &format!("://{user}@"), 1),
            (_, Some(password)) => {
                bare.replacen("://", &format!("://{user}:{}@", encoded(password.expose())), 1)
            }
        };
        Secret::from(whole)
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.name.contains(':') {
            write!(f, "[{}]:{}", self.name, self.port)
        } else {
            write!(f, "{}:{}", self.name, self.port)
        }
    }
}

impl fmt::Display for BackendUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |hosts: &[Host]| hosts.iter().map(Host::to_string).collect::<Vec<_>>().join(",");
        let (kind, hosts, service) = match &self.topology {
            Topology::Single(host) => ("", host.to_string(), None),
            Topology::Cluster(hosts) => ("-cluster", list(hosts), None),
            Topology::Sentinel { hosts, service } => ("-sentinel", list(hosts), Some(service)),
        };
        write!(f, "valkey{}{kind}://", if self.tls { "s" } else { "" })?;
        match (&self.username, &self.password) {
            (None, None) => {}
            (name, None) => write!(f, "{}@", name.as_deref().unwrap_or_default())?,
            (name, Some(_)) => write!(f, "{}:{HIDDEN}@", name.as_deref().unwrap_or_default())?,
        }
        write!(f, "{hosts}/{}", self.database)?;
        service.map_or(Ok(()), |service| write!(f, "?service={service}"))
    }
}

impl fmt::Debug for BackendUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_is_understood() {
        for (text, shown) in [
            ("valkey://127.0.0.1", "valkey://127.0.0.1:6379/0"),
            ("redis://h:1/3", "valkey://h:1/3"),
            ("rediss://h", "valkeys://h:6379/0"),
            ("valkeys://u:p%40w@h:6380", "valkeys://u:***@h:6380/0"),
            ("valkey://:pw@[::1]:7", "valkey://:***@[::1]:7/0"),
            ("valkey-cluster://a:1,b", "valkey-cluster://a:1,b:6379/0"),
            ("redis-sentinel://s1,s2?service=main", "valkey-sentinel://s1:26379,s2:26379/0?service=main"),
        ] {
            assert_eq!(parse(text).unwrap().to_string(), shown);
        }
        let url = parse("valkey://u:p%40w@h").unwrap();
        assert_eq!(url.username.as_deref(), Some("u"));
        assert_eq!(url.password.unwrap().expose(), "p@w");
    }

    #[test]
    fn the_whole_of_it_says_the_same() {
        for text in ["valkey://u:p%40w@h:1/2", "valkeys://:%3a@h", "valkey://u@h", "valkey://h"] {
            let url = parse(text).unwrap();
            assert!(parse(url.with_credentials().expose()).unwrap() == url, "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_without_the_url() {
        for (text, why) in [
            ("127.0.0.1:6379", "no scheme"),
            ("http://pw@h", "scheme is unknown"),
            ("valkey-ring://h", "scheme is unknown"),
            ("valkey://:pw@", "host"),
            ("valkey://:pw@h:0", "port"),
            ("valkey://h:70000", "port"),
            ("valkey://h/x", "database"),
            ("valkey://a,b", "several servers"),
            ("valkey-cluster://a/2", "database 0"),
            ("valkey-sentinel://a", "service"),
            ("valkey://h?x=pw", "parameter"),
            ("valkey://[::1", "]"),
            ("valkey://[zz]", "IPv6"),
            ("valkey://%ff:pw@h", "UTF-8"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
            assert!(!error.contains("pw"), "{error}");
        }
    }
}
