//! Texts that are never printed, and URLs whose credentials are not.

use std::fmt;

use serde::{Serialize, Serializer};

/// What is printed in place of a secret.
pub(super) const HIDDEN: &str = "***";

/// A password or token. `Debug`, `Display` and `Serialize` give `***`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Box<str>);

impl Secret {
    /// The text itself, for whoever must send or compare it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(HIDDEN)
    }
}

/// A URL (or a template of one) that may carry a password. `Debug`, `Display` and `Serialize` hide it.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretUrl(Box<str>);

impl SecretUrl {
    /// The URL with its credentials, for whoever connects.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether it says a password: before the host, or as a parameter.
    pub(super) fn has_password(&self) -> bool {
        let rest = self.0.split_once("://").map_or(&*self.0, |(_, rest)| rest);
        let before = rest.rsplit_once('@').is_some_and(|(user, _)| user.contains(':'));
        before
            || rest
                .split_once('?')
                .is_some_and(|(_, query)| query.split('&').any(|it| it.starts_with("password=")))
    }
}

impl From<String> for SecretUrl {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl fmt::Debug for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&redacted(&self.0))
    }
}

impl fmt::Display for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&redacted(&self.0))
    }
}

impl Serialize for SecretUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&redacted(&self.0))
    }
}

/// `url` with `***` for its password, and for the values of query parameters that are named like one.
///
/// Everything up to the last `@` is taken as user information, wherever it stands: a password with an unescaped
/// `/` or `?` is hidden too, at the price of hiding too much of a path that holds an `@`.
pub(super) fn redacted(url: &str) -> String {
    let (scheme, rest) = match url.split_once("://") {
        Some((scheme, rest)) => (format!("{scheme}://"), rest),
        None => (String::new(), url),
    };
    let rest = match rest.rsplit_once('@') {
        None => rest.to_owned(),
        Some((user, host)) => match user.split_once(':') {
            Some((name, _)) => format!("{name}:{HIDDEN}@{host}"),
            // One word before the `@` is a user name or, as some services have it, a token.
            None => format!("{HIDDEN}@{host}"),
        },
    };
    match rest.split_once('?') {
        None => format!("{scheme}{rest}"),
        Some((path, query)) => {
            let shown: Vec<String> = query.split('&').map(redacted_parameter).collect();
            format!("{scheme}{path}?{}", shown.join("&"))
        }
    }
}

fn redacted_parameter(parameter: &str) -> String {
    match parameter.split_once('=') {
        Some((name, _)) if sounds_secret(name) => format!("{name}={HIDDEN}"),
        _ => parameter.to_owned(),
    }
}

/// Whether a header or parameter of that name is taken to carry a credential.
pub(super) fn sounds_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["auth", "cookie", "token", "key", "secret", "pass", "pwd", "sig", "credential"]
        .iter()
        .any(|word| name.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_never_written() {
        let secret = Secret::from("hunter2".to_owned());
        let written = format!("{secret} {secret:?} {}", serde_json::to_string(&secret).unwrap());
        assert_eq!(written, r#"*** *** "***""#);
        assert_eq!(secret.expose(), "hunter2");

        let url = SecretUrl::from("http://u:hunter2@h/{key}".to_owned());
        let written = format!("{url} {url:?} {}", serde_json::to_string(&url).unwrap());
        assert!(!written.contains("hunter2"), "{written}");
        assert!(url.expose().contains("hunter2"));
    }

    #[test]
    fn a_url_is_shown_without_its_credentials() {
        for (url, shown) in [
            ("valkey://h:6379/0", "valkey://h:6379/0"),
            ("valkey://u:pw@h:6379", "valkey://u:***@h:6379"),
            ("valkey://:pw@h", "valkey://:***@h"),
            ("http://token@h/x", "http://***@h/x"),
            ("valkey://:p@w/x?y@h", "valkey://:***@h"),
            ("u:pw@h", "u:***@h"),
            ("http://h/x?api_key=pw&a=b", "http://h/x?api_key=***&a=b"),
            ("postgres://h/db?password=pw", "postgres://h/db?password=***"),
        ] {
            assert_eq!(redacted(url), shown);
        }
    }
}
