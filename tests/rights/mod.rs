//! Who may do what: every route against every kind of token, what a token shows of others' namespaces, and that without
//! tokens nobody from elsewhere comes in.

mod rows;
mod seen;
mod starts;
mod table;

use serde_json::json;

use crate::harness::instance::{Config, Instance};

/// A token of the tests. Its secret is its name and `-s3cret`.
#[derive(Clone, Debug)]
struct Token {
    name: String,
    rights: Vec<&'static str>,
    namespaces: Vec<&'static str>,
}

impl Token {
    fn new(name: &str, rights: &[&'static str], namespaces: &[&'static str]) -> Self {
        Self { name: name.to_owned(), rights: rights.to_vec(), namespaces: namespaces.to_vec() }
    }

    fn authorization(&self) -> String {
        format!("Bearer {}-s3cret", self.name)
    }
}

/// An instance of its own store with these tokens and the namespaces `one` and `two`.
async fn start(tokens: &[Token]) -> Instance {
    let mut config =
        Config::new("inst-0", "valkey://unused").without("backend.url").set("backend.kind", "memory");
    config = config
        .set("namespaces.one.origin.kind", "none")
        .set("namespaces.two.origin.kind", "none")
        .set("defaults.lease", "0s");
    let mut tables = Vec::new();
    for (number, Token { name, rights, namespaces }) in tokens.iter().enumerate() {
        let variable = format!("TEST_TOKEN_{number}");
        config = config.env(&variable, &format!("{name}-s3cret"));
        let table = json!({ "name": name, "token_env": variable, "allow": rights, "namespaces": namespaces });
        tables.push(toml::Value::try_from(table).expect("a table"));
    }
    Instance::start(config.set("auth.tokens", tables)).await
}
