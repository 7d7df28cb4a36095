//! Who may do what: bearer tokens, each with rights and namespaces.

use std::collections::BTreeSet;
use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hyper::header::{AUTHORIZATION, HeaderMap};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::problem::{Code, Problem};
use crate::coherence::Sender;
use crate::model::{Event, Namespace, Target};

/// What a token may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Right {
    /// GET, HEAD and the reads by POST.
    Read,
    /// PUT and DELETE, locks.
    Write,
    /// PURGE and invalidations.
    Invalidate,
    /// The admin listener.
    Admin,
}

impl Right {
    /// Every one.
    pub const ALL: [Self; 4] = [Self::Read, Self::Write, Self::Invalidate, Self::Admin];

    /// As the configuration spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Invalidate => "invalidate",
            Self::Admin => "admin",
        }
    }
}

/// What a request touches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope<'a> {
    /// One namespace.
    Namespace(&'a str),
    /// More than any namespace: tags, locks, the cluster.
    Everything,
    /// None.
    Nothing,
}

/// One token: its digest, never itself.
struct Token {
    name: String,
    digest: [u8; 32],
    rights: BTreeSet<Right>,
    /// Empty: all.
    namespaces: BTreeSet<Namespace>,
}

/// Every token. Without any, everything is allowed: only loopback listeners start so.
#[derive(Default)]
pub struct Tokens(Vec<Token>);

impl Tokens {
    /// Adds a token; `namespaces` empty means all.
    pub fn add(
        &mut self,
        name: &str,
        secret: &[u8],
        rights: impl IntoIterator<Item = Right>,
        namespaces: impl IntoIterator<Item = Namespace>,
    ) {
        self.0.push(Token {
            name: name.to_owned(),
            digest: Sha256::digest(secret).into(),
            rights: rights.into_iter().collect(),
            namespaces: namespaces.into_iter().collect(),
        });
    }

    /// Whether there are none: everybody may do everything.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Who sent a request with these headers, and that it may do what it asks.
    pub fn check(&self, headers: &HeaderMap, right: Right, scope: Scope<'_>) -> Result<(), Problem> {
        self.caller(headers)?.check(right, scope)
    }

    /// Who sent a request with these headers.
    pub fn caller(&self, headers: &HeaderMap) -> Result<Caller<'_>, Problem> {
        if self.0.is_empty() {
            return Ok(Caller(None));
        }
        let value = headers.get(AUTHORIZATION).ok_or_else(|| {
            Problem::new(Code::Unauthorized, "the request needs `Authorization: Bearer TOKEN`")
        })?;
        let secret = bearer(value.as_bytes()).ok_or_else(|| {
            Problem::new(Code::Unauthorized, "`Authorization` is not of the form `Bearer TOKEN`")
        })?;
        let digest: [u8; 32] = Sha256::digest(secret).into();
        // All are compared, whole, so that the time taken says nothing of how near a guess was.
        let mut found = None;
        for token in &self.0 {
            if bool::from(token.digest.ct_eq(&digest)) {
                found = Some(token);
            }
        }
        found
            .map(|token| Caller(Some(token)))
            .ok_or_else(|| Problem::new(Code::Unauthorized, "the token is not known"))
    }
}

/// A known sender; without a token where none are asked for.
pub struct Caller<'a>(Option<&'a Token>);

impl Caller<'_> {
    /// The token's name.
    pub fn name(&self) -> Option<&str> {
        self.0.map(|token| token.name.as_str())
    }

    /// As the audit names it.
    pub(super) fn sender(&self, peer: IpAddr) -> Sender {
        Sender { token: self.name().map(str::to_owned), peer }
    }

    /// What it may do.
    pub fn rights(&self) -> Vec<Right> {
        self.0.map_or_else(|| Right::ALL.to_vec(), |token| token.rights.iter().copied().collect())
    }

    /// Where; empty: everywhere.
    pub fn namespaces(&self) -> Vec<&Namespace> {
        self.0.map_or_else(Vec::new, |token| token.namespaces.iter().collect())
    }

    /// Whether it may know of what happens in this namespace.
    pub fn sees(&self, namespace: &str) -> bool {
        self.0.is_none_or(|token| token.namespaces.is_empty() || token.namespaces.contains(namespace))
    }

    /// The text by which a repeated event of this sender is known. One who is not for all namespaces has his own: with
    /// somebody else's he could have that one's next event taken for a repetition, and never logged.
    pub fn request_id(&self, id: String) -> String {
        let Some(token) = self.0.filter(|token| !token.namespaces.is_empty()) else { return id };
        // The length keeps a name and an id apart from a longer name and a shorter id.
        let own = format!("{}:{}:{id}", token.name.len(), token.name);
        if own.len() <= Event::TEXT_BYTES_MAX {
            return own;
        }
        let digest = Sha256::digest(&own);
        format!("{}:{}:{}", token.name.len(), token.name, BASE64.encode(digest))
    }

    /// Whether it may do this there.
    pub fn check(&self, right: Right, scope: Scope<'_>) -> Result<(), Problem> {
        let Some(token) = self.0 else { return Ok(()) };
        let refuse =
            |why: String| Err(Problem::new(Code::Forbidden, format!("token `{}` {why}", token.name)));
        if !token.rights.contains(&right) {
            return refuse(format!("lacks the right `{}`", right.as_str()));
        }
        match scope {
            _ if token.namespaces.is_empty() => Ok(()),
            Scope::Nothing => Ok(()),
            Scope::Namespace(namespace) if token.namespaces.contains(namespace) => Ok(()),
            Scope::Namespace(namespace) => refuse(format!("has no rights in namespace `{namespace}`")),
            Scope::Everything => {
                refuse("is not for all namespaces, as tags, locks and cluster-wide targets need".to_owned())
            }
        }
    }

    /// Whether it may publish this event: the right, for every target.
    pub fn check_event(&self, event: &Event) -> Result<(), Problem> {
        event.targets.iter().try_for_each(|target| match target {
            Target::Key(namespace, _) | Target::Prefix(namespace, _) | Target::Namespace(namespace) => {
                self.check(Right::Invalidate, Scope::Namespace(namespace))
            }
            Target::Tag(_) | Target::All => self.check(Right::Invalidate, Scope::Everything),
        })
    }
}

fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, secret) = value.split_at_checked(7)?;
    let secret = secret.trim_ascii();
    (scheme.eq_ignore_ascii_case(b"bearer ") && !secret.is_empty()).then_some(secret)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Key, Tag};

    fn tokens() -> Tokens {
        let mut tokens = Tokens::default();
        tokens.add(
            "billing",
            b"s3cret",
            [Right::Read, Right::Invalidate],
            [Namespace::new("users").unwrap()],
        );
        tokens.add("ops", b"0ps", [Right::Invalidate, Right::Admin], []);
        tokens
    }

    fn ask(authorization: Option<&str>, right: Right, scope: Scope<'_>) -> Option<Code> {
        let mut headers = HeaderMap::new();
        if let Some(value) = authorization {
            headers.insert(AUTHORIZATION, value.parse().unwrap());
        }
        tokens().check(&headers, right, scope).err().map(|problem| problem.code())
    }

    #[test]
    fn rights_and_namespaces_are_kept_apart() {
        use Code::{Forbidden, Unauthorized};
        let users = Scope::Namespace("users");
        for (authorization, right, scope, refusal) in [
            (None, Right::Read, users, Some(Unauthorized)),
            (Some("Basic s3cret"), Right::Read, users, Some(Unauthorized)),
            (Some("Bearer"), Right::Read, users, Some(Unauthorized)),
            (Some("Bearer  "), Right::Read, users, Some(Unauthorized)),
            (Some("Bearer s3cre"), Right::Read, users, Some(Unauthorized)),
            (Some("Bearer s3crets"), Right::Read, users, Some(Unauthorized)),
            (Some("Bearer s3cret"), Right::Read, users, None),
            (Some("bearer s3cret"), Right::Read, users, None),
            (Some("Bearer s3cret"), Right::Write, users, Some(Forbidden)),
            (Some("Bearer s3cret"), Right::Read, Scope::Namespace("other"), Some(Forbidden)),
            (Some("Bearer s3cret"), Right::Invalidate, Scope::Everything, Some(Forbidden)),
            (Some("Bearer 0ps"), Right::Invalidate, Scope::Everything, None),
            (Some("Bearer 0ps"), Right::Invalidate, Scope::Namespace("other"), None),
            (Some("Bearer 0ps"), Right::Admin, Scope::Nothing, None),
            (Some("Bearer 0ps"), Right::Read, users, Some(Forbidden)),
            (Some("Bearer s3cret"), Right::Admin, Scope::Nothing, Some(Forbidden)),
        ] {
            assert_eq!(ask(authorization, right, scope), refusal, "{authorization:?} {right:?} {scope:?}");
        }
    }

    #[test]
    fn without_tokens_everything_is_allowed() {
        assert!(Tokens::default().check(&HeaderMap::new(), Right::Admin, Scope::Everything).is_ok());
    }

    #[test]
    fn an_event_is_checked_target_by_target() {
        let tokens = tokens();
        let may = |secret: &str, targets: Vec<Target>| {
            let headers =
                HeaderMap::from_iter([(AUTHORIZATION, format!("Bearer {secret}").parse().unwrap())]);
            tokens.caller(&headers).unwrap().check_event(&Event::hard(targets)).is_ok()
        };
        let key = |ns: &str| Target::Key(Namespace::new(ns).unwrap(), Key::new("1").unwrap());
        assert!(may("s3cret", vec![key("users")]));
        assert!(!may("s3cret", vec![key("users"), key("other")]));
        assert!(!may("s3cret", vec![key("users"), Target::Tag(Tag::new("t").unwrap())]));
        assert!(!may("s3cret", vec![Target::All]));
        assert!(may("0ps", vec![key("users"), Target::All, Target::Tag(Tag::new("t").unwrap())]));
    }

    #[test]
    fn whoever_is_not_for_all_namespaces_repeats_only_himself() {
        let mut tokens = tokens();
        tokens.add("b", b"b", [Right::Invalidate], [Namespace::new("users").unwrap()]);
        let id = |secret: &str, id: &str| {
            let value = format!("Bearer {secret}").parse().unwrap();
            let headers = HeaderMap::from_iter([(AUTHORIZATION, value)]);
            tokens.caller(&headers).unwrap().request_id(id.to_owned())
        };
        assert_eq!(id("0ps", "r"), "r");
        assert_eq!(id("s3cret", "r"), "7:billing:r");
        assert_eq!(id("s3cret", "r"), id("s3cret", "r"));
        assert_ne!(id("b", "illing:r"), id("s3cret", "r"));
        let long = "r".repeat(Event::TEXT_BYTES_MAX);
        assert!(id("s3cret", &long).len() <= Event::TEXT_BYTES_MAX);
        assert_ne!(id("s3cret", &long), id("b", &long));
        assert_ne!(id("s3cret", &long), id("s3cret", &long.replace("rr", "xx")));
    }

    #[test]
    fn a_refusal_names_the_token_and_never_its_secret() {
        let headers = HeaderMap::from_iter([(AUTHORIZATION, "Bearer s3cret".parse().unwrap())]);
        let problem = tokens().check(&headers, Right::Write, Scope::Nothing).unwrap_err();
        assert!(problem.detail().contains("billing") && !problem.detail().contains("s3cret"));
    }
}
