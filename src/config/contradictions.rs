//! What each key may say by itself, but not together with another.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use super::reader::Reader;
use super::{
    BackendKind, BackendUrl, Config, DebeziumSource, Namespace, Origin, RateKey, RateLimit, SourceKind,
    Topology, WriteMode,
};
use crate::model::Quota;
use crate::tls::{self, Part};

/// Adds a fault for each.
pub(super) fn find(config: &Config, reader: &mut Reader) {
    listeners(config, reader);
    certificate(config, reader);
    tokens(config, reader);
    backend(config, reader);
    if !config.instance.lame_duck.is_zero() && config.instance.shutdown_grace <= config.instance.lame_duck {
        reader.clash(
            &["instance.lame_duck", "instance.shutdown_grace"],
            "`lame_duck` leaves nothing of `shutdown_grace` for requests under way",
            "less than `shutdown_grace`, or \"0s\"",
        );
    }
    if config.write_behind.retry.max < config.write_behind.retry.initial {
        reader.clash(
            &["write_behind.retry.initial", "write_behind.retry.max"],
            "`initial` is longer than `max`",
            "an `initial` up to `max`",
        );
    }
    sources(config, reader);
    for (name, namespace) in &config.namespaces {
        let without_tokens = config.auth.tokens.is_empty();
        self::namespace(&format!("namespaces.{name}"), namespace, without_tokens, reader);
    }
}

fn listeners(config: &Config, reader: &mut Reader) {
    let (data, admin) = (config.server.listen, config.server.admin_listen);
    if collide(data, admin) {
        reader.clash(
            &["server.admin_listen", "server.listen"],
            format!("`listen` ({data}) and `admin_listen` ({admin}) are the same address"),
            "two addresses, or two ports",
        );
    }
    for (key, address) in [("server.listen", data), ("server.admin_listen", admin)] {
        if config.auth.tokens.is_empty() && !address.ip().to_canonical().is_loopback() {
            reader.clash(
                &[key, "auth.tokens"],
                format!("{address} can be reached from other machines, and there are no tokens"),
                "a loopback address such as 127.0.0.1, or [[auth.tokens]]",
            );
        }
    }
}

/// Told before anything is bound: a listener without its certificate is none.
fn certificate(config: &Config, reader: &mut Reader) {
    let Some(tls) = &config.server.tls else { return };
    let Err(error) = tls.pair() else { return };
    let (key, accepted) = match error.part() {
        Part::Cert => {
            ("server.tls.cert", "a file with the certificate and those between it and the root, in PEM")
        }
        Part::Key => {
            ("server.tls.key", "a file with the certificate's private key in PEM, without a passphrase")
        }
    };
    reader.clash(&[key, "server.tls"], error.to_string(), accepted);
}

/// Whether only one of them can be listened on. Port 0 is a different one each time.
fn collide(one: SocketAddr, other: SocketAddr) -> bool {
    let (a, b) = (one.ip().to_canonical(), other.ip().to_canonical());
    one.port() != 0 && one.port() == other.port() && (a == b || a.is_unspecified() || b.is_unspecified())
}

fn tokens(config: &Config, reader: &mut Reader) {
    let (mut names, mut secrets) = (BTreeSet::new(), BTreeSet::new());
    for (index, token) in config.auth.tokens.iter().enumerate() {
        let (name, variable) =
            (format!("auth.tokens[{index}].name"), format!("auth.tokens[{index}].token_env"));
        if !names.insert(&token.name) {
            let message = format!("another token is named `{}` too", token.name);
            reader.clash(&[&name], message, "a name of its own for each token");
        }
        if !token.secret.expose().is_empty() && !secrets.insert(token.secret.expose()) {
            reader.clash(&[&variable], "another token has the same text", "a text of its own for each token");
        }
    }
}

fn sources(config: &Config, reader: &mut Reader) {
    let mut names = BTreeSet::new();
    for (index, source) in config.sources.iter().enumerate() {
        if !names.insert(&source.name) {
            let message = format!("another source is named `{}` too", source.name);
            reader.clash(&[&format!("sources[{index}].name")], message, "a name of its own for each source");
        }
        if let SourceKind::Debezium(of) = &source.kind {
            debezium(&format!("sources[{index}]"), of, config, reader);
        }
    }
}

fn debezium(path: &str, of: &DebeziumSource, config: &Config, reader: &mut Reader) {
    let key = |name: &str| format!("{path}.{name}");
    let single = |url: &BackendUrl| matches!(url.topology, Topology::Single(_));
    match &of.url {
        Some(url) if !single(url) => {
            reader.clash(
                &[&key("url")],
                "its streams are read from one server",
                "\"valkey://HOST:PORT/DB\" or valkeys://",
            );
        }
        None if config.backend.kind != BackendKind::Valkey || !single(&config.backend.url) => {
            let message = "the backend is not one server, which the streams could be on";
            reader.clash(
                &[&key("url"), &key("kind")],
                message,
                "the `url` of the server that has the streams",
            );
        }
        _ => {}
    }
    if of.tables.is_empty() {
        reader.clash(&[&key("tables"), &key("kind")], "no table is mapped", "[[sources.tables]]");
    }
    let mut seen = BTreeSet::new();
    for (index, table) in of.tables.iter().enumerate() {
        let at = |name: &str| format!("{path}.tables[{index}].{name}");
        if table.key.is_none() && table.tags.is_empty() {
            let message = "it has neither `key` nor `tags`: nothing would be named";
            reader.clash(&[&at("namespace"), &at("key"), &at("tags")], message, "a `key`, or `tags`");
        }
        if table.key.as_ref().is_some_and(|key| !key.contains('{')) {
            reader.clash(&[&at("key")], "it names no column: every row would be the same key", "\"{id}\"");
        }
        if !seen.insert((&table.stream, &table.table, &table.namespace)) {
            let message = "the same table of the same stream is mapped to this namespace twice";
            reader.clash(&[&at("stream")], message, "each once");
        }
    }
}

fn backend(config: &Config, reader: &mut Reader) {
    if matches!(config.backend.url.topology, Topology::Cluster(_)) && config.backend.reader_url.is_some() {
        reader.clash(
            &["backend.reader_url", "backend.url"],
            "entries of a Cluster are read from its primaries",
            "no `reader_url` with `valkey-cluster://`",
        );
    }
    if config.backend.kind != BackendKind::Memory {
        return;
    }
    if reader.is_set("backend.url") {
        reader.clash(
            &["backend.url", "backend.kind"],
            "`kind = \"memory\"` has no server to reach",
            "`url` only with `kind = \"valkey\"`",
        );
    }
    if 1 < config.backend.shards {
        reader.clash(
            &["backend.shards", "backend.kind"],
            "`kind = \"memory\"` has one shard",
            "0 or 1 with `kind = \"memory\"`",
        );
    }
}

fn namespace(path: &str, namespace: &Namespace, without_tokens: bool, reader: &mut Reader) {
    let key = |name: &str| format!("{path}.{name}");
    if let Some(limits) = namespace.origin.limits()
        && !limits.soft_timeout.is_zero()
        && limits.timeout <= limits.soft_timeout
    {
        reader.clash(
            &[&key("origin.soft_timeout"), &key("origin.timeout")],
            "`soft_timeout` is not below `timeout`",
            "less than `timeout`, or \"0s\"",
        );
    }
    if let Origin::Http(http) = &namespace.origin
        && let Some(file) = &http.ca_file
        && let Err(error) = tls::roots(Some(file))
    {
        reader.clash(&[&key("origin.ca_file")], error.to_string(), "a file with root certificates in PEM");
    }
    if let Origin::Sql(sql) = &namespace.origin
        && sql.upsert.is_none()
        && namespace.write != WriteMode::Off
    {
        reader.clash(
            &[&key("write"), &key("origin.upsert")],
            "the origin cannot be written: it has no `upsert`",
            "\"off\", or an `origin.upsert`",
        );
    }
    if 0.0 < namespace.refresh_ahead && namespace.ttl.is_zero() {
        reader.clash(
            &[&key("refresh_ahead"), &key("ttl")],
            "nothing can be refreshed ahead without a `ttl`",
            "a `ttl` above \"0s\", or `refresh_ahead = 0`",
        );
    }
    if let Some(limit) = &namespace.rate_limit {
        rate_limit(path, limit, without_tokens, reader);
    }
    if let Some(file) = &namespace.warm.keys_file
        && let Err(error) = namespace.warm.all()
    {
        let message = format!("`{}` cannot be read: {error}", file.display());
        reader.clash(&[&key("warm.keys_file")], message, "a file with one key a line, or \"\"");
    }
}

fn rate_limit(path: &str, limit: &RateLimit, without_tokens: bool, reader: &mut Reader) {
    let key = |name: &str| format!("{path}.rate_limit.{name}");
    if Quota::new(limit.rate, limit.per, limit.burst).is_none() {
        reader.clash(
            &[&key("burst"), &key("rate"), &key("per")],
            "at `rate` per `per` the `burst` is not regained within ten years",
            "a smaller `burst`, or more requests in less time",
        );
    }
    if limit.key == RateKey::Token && without_tokens {
        reader.clash(
            &[&key("key"), "auth.tokens"],
            "there are no tokens to tell callers apart by",
            "\"header:NAME\" or \"ip\", or [[auth.tokens]]",
        );
    }
}
