//! `[auth]`: who may do what.

use super::declare::section;
use super::kind::{choice, list, namespace, text, variable};
use super::secret::Secret;
use super::section::Section;

section! { at =>
    /// `[auth]`. Without tokens everything is open, and only loopback listeners may start.
    pub struct Auth {
        /// Who may come in.
        tokens: Vec<Token> = at.tables(Token::read);
    }
}

/// One `[[auth.tokens]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Whose it is, for logs.
    pub name: String,
    /// The bearer token, from the variable `token_env` names.
    pub secret: Secret,
    /// What it allows, at least one.
    pub allow: Vec<Right>,
    /// Where; empty: everywhere.
    pub namespaces: Vec<String>,
}

/// What a token may allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Right {
    /// GET, HEAD.
    Read,
    /// PUT, DELETE, warm, locks.
    Write,
    /// PURGE, invalidate.
    Invalidate,
    /// The admin listener.
    Admin,
}

impl Token {
    fn read(section: &mut Section<'_>) -> Self {
        let short = |text: &str| (1..=64).contains(&text.len()).then(|| text.to_owned());
        let name = section.field("name").required(text("a name of 1 to 64 bytes", short), String::new());
        let variable = section.field("token_env").required(variable(), String::new());
        let secret = section.secret_of("token_env", &variable);
        let rights = choice(&[
            ("read", Right::Read),
            ("write", Right::Write),
            ("invalidate", Right::Invalidate),
            ("admin", Right::Admin),
        ]);
        let allow = section.field("allow").required(list(rights, 1..=4), Vec::new());
        let namespaces = section.field("namespaces").or(Vec::<String>::new(), list(namespace(), 0..=1024));
        Self { name, secret, allow, namespaces }
    }
}
