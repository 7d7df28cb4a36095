//! `[backend]`: what instances share.

use std::path::PathBuf;
use std::time::Duration;

use super::breaker::Breaker;
use super::declare::section;
use super::kind::{backend_url, choice, duration, int, path, secret, text, variable};
use super::secret::Secret;
use super::section::Section;
use super::url::BackendUrl;

section! { at =>
    /// `[backend]`
    pub struct Backend {
        /// Which.
        kind: BackendKind = at.or("valkey", choice(&[
            ("valkey", BackendKind::Valkey), ("memory", BackendKind::Memory),
        ]));
        /// Where Valkey is.
        url: BackendUrl = at.or("valkey://127.0.0.1:6379/0", backend_url());
        /// Replicas for L2 reads.
        reader_url: Option<BackendUrl> = at.optional(backend_url());
        /// The user, from here or from `url`.
        username: Option<String> = at.optional(text("a user name", |t| (!t.is_empty()).then(|| t.to_owned())));
        /// The password, from here, from `password_env` or from `url`.
        password: Option<Secret> = at.optional(secret());
        /// The variable that holds the password.
        password_env: Option<String> = at.optional(variable());
        /// Certificates to trust, PEM, for `valkeys://`.
        ca_file: Option<PathBuf> = at.optional(path());
        /// How many parts keys are spread over; 0: 1, or 16 on a Cluster.
        shards: u16 = at.or(0, int(0..=256));
        /// Connections for commands.
        pool: usize = at.or(4, int(1..=256));
        /// To have a connection.
        connect_timeout: Duration = at.or("2s", duration("10ms", "5m"));
        /// To have a command's answer.
        command_timeout: Duration = at.or("2s", duration("10ms", "5m"));
        /// When to stop asking for a while.
        breaker: Breaker = at.table(Breaker::read);
    }
}

/// What instances share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackendKind {
    /// A server.
    Valkey,
    /// Embedded, one process.
    Memory,
}

impl Backend {
    /// Brings user and password together from the places they may stand in.
    pub(super) fn complete(&mut self, section: &mut Section<'_>) {
        if let Some(variable) = &self.password_env {
            section.exclusive(&["password_env", "password"]);
            self.password = Some(section.secret_of("password_env", variable));
        }
        if self.url.password.is_some() {
            section.exclusive(&["password", "url"]);
            section.exclusive(&["password_env", "url"]);
        }
        if self.url.username.is_some() {
            section.exclusive(&["username", "url"]);
        }
        self.username = self.username.take().or_else(|| self.url.username.clone());
        self.password = self.password.take().or_else(|| self.url.password.clone());
    }
}
