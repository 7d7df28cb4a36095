//! URLs: of Valkey, of HTTP origins, of databases. What is wrong with one is said without repeating it.

use figment::value::Value;

use super::{Kind, Show, Spelling, template};
use crate::config::secret::SecretUrl;
use crate::config::url::{self, BackendUrl};

/// Where Valkey is.
pub(in crate::config) fn backend_url() -> Kind<BackendUrl> {
    let accepted = "\"valkey://HOST:PORT/DB\", valkeys:// for TLS, valkey-cluster://H1,H2, \
                    valkey-sentinel://H1,H2?service=NAME, or redis… in place of valkey…";
    kind(accepted, url::parse)
}

/// Where an HTTP origin has a key. As strict as the origin's own reading.
pub(in crate::config) fn http_url() -> Kind<SecretUrl> {
    let accepted =
        "\"http://HOST/…{key}…\" or https://, with {namespace} and {key} as placeholders after the host";
    kind(accepted, |text| {
        if let Some(fault) = template::fault(text) {
            return Err(fault.to_owned());
        }
        let (scheme, rest) = text.split_once("://").ok_or("it has no scheme")?;
        if !matches!(scheme, "http" | "https") {
            return Err("its scheme is neither http nor https".to_owned());
        }
        let end = rest.find(['/', '?']).ok_or("nothing stands after the host")?;
        let (authority, path) = rest.split_at(end);
        let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        if host.is_empty() || host.starts_with(':') {
            return Err("it has no host".to_owned());
        }
        if host.rsplit_once(':').is_some_and(|(_, port)| !port.ends_with(']') && port.parse::<u16>().is_err())
        {
            return Err("its port is not 1 to 65535".to_owned());
        }
        // A key must not choose the host.
        if authority.contains(['{', '}']) {
            return Err("a placeholder stands before the path".to_owned());
        }
        if !path.contains("{key}") {
            return Err("it lacks `{key}`: every key would load the same".to_owned());
        }
        if text.contains(|c: char| c == '#' || c.is_whitespace() || c.is_control()) {
            return Err("it has a blank or a `#`".to_owned());
        }
        Ok(SecretUrl::from(text.to_owned()))
    })
}

/// Which database.
pub(in crate::config) fn sql_url() -> Kind<SecretUrl> {
    kind("\"sqlite:///path/to/file.db\" or \"postgres://HOST/DB\"", |text| {
        let known = ["sqlite:", "postgres://", "postgresql://"].iter().any(|scheme| text.starts_with(scheme));
        known.then(|| SecretUrl::from(text.to_owned())).ok_or_else(|| "its scheme is unknown".to_owned())
    })
}

/// Which database, where only PostgreSQL will do.
pub(in crate::config) fn postgres_url() -> Kind<SecretUrl> {
    kind("\"postgres://USER@HOST/DB\"", |text| {
        let known = ["postgres://", "postgresql://"].iter().any(|scheme| text.starts_with(scheme));
        if !known {
            return Err("its scheme is not postgres".to_owned());
        }
        if text.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Err("it has a blank".to_owned());
        }
        Ok(SecretUrl::from(text.to_owned()))
    })
}

/// The base of a collector's URLs, or the empty text for none.
pub(in crate::config) fn collector_url() -> Kind<Option<String>> {
    kind("\"http://HOST:PORT\" or https://, or \"\"", |text| {
        if text.is_empty() {
            return Ok(None);
        }
        let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
        let rest = rest.ok_or("its scheme is neither http nor https")?;
        if rest.split('/').next().is_none_or(str::is_empty) {
            return Err("it has no host".to_owned());
        }
        // Credentials belong into `headers`, which are never shown.
        if text.contains(|c: char| "@?#".contains(c) || c.is_whitespace() || c.is_control()) {
            return Err("it has a blank, a `?`, a `#` or a `@`".to_owned());
        }
        Ok(Some(text.to_owned()))
    })
}

fn kind<T: 'static>(accepted: &str, parse: impl Fn(&str) -> Result<T, String> + 'static) -> Kind<T> {
    Kind::new(accepted, Spelling::Quotable, move |value| match value {
        Value::String(_, text) => parse(text),
        _ => Err("it is no text".to_owned()),
    })
    .shown(Show::Url)
}
