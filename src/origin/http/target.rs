//! The URL template: where a key is at the origin.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::Uri;
use hyper::header::HeaderValue;
use hyper::http::uri::{Parts, PathAndQuery};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::HttpSettingsError;
use crate::model::{Key, Namespace};
use crate::origin::OriginError;

/// Everything but the unreserved characters of RFC 3986 and `/`, which keeps a key's own segments.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

/// A template that was read.
pub(super) struct Target {
    /// What stands between the keys: one part more than there are keys.
    parts: Vec<String>,
    /// Host and port, for messages.
    authority: String,
    /// Scheme, host and port.
    origin: Uri,
    /// `Authorization` from the URL's user and password.
    authorization: Option<HeaderValue>,
    /// A key stands in the path.
    in_path: bool,
}

impl Target {
    /// Reads a template such as `https://user:password@host/{namespace}/{key}`.
    pub(super) fn parse(template: &str, namespace: &Namespace) -> Result<Self, HttpSettingsError> {
        let wrong = |why: &str| HttpSettingsError::Url(why.to_owned());
        if template.contains('#') {
            return Err(wrong("a fragment (`#`) never reaches an origin"));
        }
        let mut parts = split(template, namespace)?;
        if parts.len() < 2 {
            return Err(wrong("`{key}` is missing"));
        }
        // Before the first key there is all that says which host: a key must not choose it.
        let (scheme, rest) =
            parts[0].split_once("://").ok_or_else(|| wrong("it does not begin with `http://`"))?;
        if !matches!(scheme, "http" | "https") {
            return Err(wrong("its scheme is neither `http` nor `https`"));
        }
        let end = rest.find(['/', '?']).ok_or_else(|| wrong("`{key}` stands before the path"))?;
        let (authority, begun) = rest.split_at(end);
        let (user, host) =
            authority.rsplit_once('@').map_or((None, authority), |(user, host)| (Some(user), host));
        let authorization = user.map(basic).transpose()?;
        let in_path = !begun.contains('?');
        let (host, first) = (host.to_owned(), format!("{scheme}://{host}{begun}"));
        parts[0] = first;
        let uri = parts.join("k").parse::<Uri>().map_err(|_| wrong("it is no URL"))?;
        if uri.host().is_none_or(str::is_empty) || uri.authority().is_none_or(|read| read.as_str() != host) {
            return Err(wrong("it names no host"));
        }
        let mut origin = Parts::default();
        (origin.scheme, origin.authority) = (uri.scheme().cloned(), uri.authority().cloned());
        origin.path_and_query = Some(PathAndQuery::from_static("/"));
        let origin = Uri::from_parts(origin).map_err(|_| wrong("it is no URL"))?;
        Ok(Self { parts, authority: host, origin, authorization, in_path })
    }

    /// The URL of a key; `None` for a key that no URL of this template names: in a path, its segments `.` or `..`
    /// would be resolved on the way and lead out of the template. To a reader such a key is merely absent, so that
    /// nobody makes an origin look broken by asking for it.
    pub(super) fn uri(&self, key: &Key) -> Result<Option<Uri>, OriginError> {
        if self.in_path && key.split(['/', '\\']).any(|segment| matches!(segment, "." | "..")) {
            return Ok(None);
        }
        let encoded = utf8_percent_encode(key, ENCODED).to_string();
        Uri::try_from(self.parts.join(&encoded))
            .map(Some)
            .map_err(|_| OriginError::Unusable("the template makes no url of this key".to_owned()))
    }

    /// Scheme, host and port, and no path.
    pub(super) fn origin(&self) -> Uri {
        self.origin.clone()
    }

    /// Host and port.
    pub(super) fn authority(&self) -> &str {
        &self.authority
    }

    /// What the URL's user and password say.
    pub(super) fn authorization(&self) -> Option<&HeaderValue> {
        self.authorization.as_ref()
    }
}

/// What stands between the `{key}`s, `{namespace}` filled in.
fn split(template: &str, namespace: &Namespace) -> Result<Vec<String>, HttpSettingsError> {
    let wrong = |why: String| Err(HttpSettingsError::Url(why));
    let mut parts = Vec::new();
    let mut part = String::new();
    let mut rest = template;
    while let Some(at) = rest.find(['{', '}']) {
        part.push_str(&rest[..at]);
        let Some((name, after)) = rest[at..].strip_prefix('{').and_then(|inner| inner.split_once('}')) else {
            return wrong("a brace without its other half".to_owned());
        };
        match name {
            "key" => parts.push(std::mem::take(&mut part)),
            "namespace" => part.push_str(namespace),
            // Its text is not repeated: a brace in a password would put part of it into the message.
            _ => return wrong("a placeholder that is neither `{key}` nor `{namespace}`".to_owned()),
        }
        rest = after;
    }
    part.push_str(rest);
    parts.push(part);
    Ok(parts)
}

/// `Authorization: Basic` from `user:password`, each percent-encoded.
fn basic(user: &str) -> Result<HeaderValue, HttpSettingsError> {
    let decoded: Vec<u8> = percent_decode_str(user).collect();
    let mut decoded = decoded;
    if !user.contains(':') {
        decoded.push(b':');
    }
    let mut value = HeaderValue::from_str(&format!("Basic {}", STANDARD.encode(decoded)))
        .map_err(|_| HttpSettingsError::Url("its user and password make no header".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(template: &str) -> Result<Target, HttpSettingsError> {
        Target::parse(template, &Namespace::new("users").unwrap())
    }

    fn uri(template: &str, key: &str) -> Option<String> {
        parse(template).unwrap().uri(&Key::new(key).unwrap()).unwrap().map(|uri| uri.to_string())
    }

    #[test]
    fn a_key_is_encoded_but_keeps_its_slashes() {
        let url = |key| uri("http://h:81/{namespace}/{key}", key).unwrap();
        assert_eq!(url("eu/7"), "http://h:81/users/eu/7");
        assert_eq!(url("a b?c#d%e+f&g"), "http://h:81/users/a%20b%3Fc%23d%25e%2Bf%26g");
        assert_eq!(url("ä~_-.z"), "http://h:81/users/%C3%A4~_-.z");
        assert_eq!(uri("https://h/?id={key}&again={key}", "a&b").unwrap(), "https://h/?id=a%26b&again=a%26b");
    }

    #[test]
    fn dot_segments_lead_nowhere_in_a_path() {
        for key in ["..", "../x", "a/../b", "a/.", "a\\..\\b", "./a"] {
            assert_eq!(uri("http://h/users/{key}", key), None, "{key}");
            assert!(uri("http://h/?id={key}", key).is_some(), "{key}");
        }
        assert!(uri("http://h/users/{key}", "a..b/.hidden/...").is_some());
    }

    #[test]
    fn a_user_in_the_url_becomes_a_header() {
        let target = parse("http://ann:p%40ss@h/{key}").unwrap();
        let header = target.authorization().unwrap();
        assert_eq!(header, &format!("Basic {}", STANDARD.encode("ann:p@ss")));
        assert!(header.is_sensitive());
        assert_eq!(target.authority(), "h");
        assert_eq!(uri("http://ann:p%40ss@h/{key}", "k").unwrap(), "http://h/k");
        assert_eq!(parse("http://ann@h/{key}").unwrap().authorization().unwrap(), "Basic YW5uOg==");
    }

    #[test]
    fn a_template_that_is_none_is_refused_without_its_secrets() {
        for template in [
            "",
            "http://h/",
            "h/{key}",
            "ftp://h/{key}",
            "http://{key}/",
            "http://h{key}/",
            "http:///{key}",
            "http://secret@/{key}",
            "http://h/#{key}",
            "http://h/{id}/{key}",
            "http://u:secret{x}@h/{key}",
            "http://h/{key",
            "http://h/key}",
            "http://h h/{key}",
        ] {
            let error = parse(template).map(|_| ()).unwrap_err().to_string();
            assert!(error.starts_with("`url`: ") && !error.contains("secret"), "{template}: {error}");
        }
    }

    proptest! {
        #[test]
        fn every_key_stays_below_the_template(key in "\\PC{1,60}") {
            let Some(url) = uri("http://h/users/{key}?x=1", &key) else { return Ok(()) };
            let path = url.strip_prefix("http://h/users/").and_then(|rest| rest.strip_suffix("?x=1"));
            let decoded = path.map(|path| percent_decode_str(path).decode_utf8_lossy().into_owned());
            prop_assert_eq!(decoded, Some(key));
        }

        #[test]
        fn any_template_is_read(template in "(http|[:/?#@{}]|key|namespace|\\PC){0,12}") {
            if let Ok(target) = parse(&template) {
                prop_assert!(!target.authority().contains('@'));
            }
        }
    }
}
