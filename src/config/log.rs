//! `[log]`: what the process says of itself.

use super::declare::section;
use super::kind::{Kind, choice, text};

section! { at =>
    /// `[log]`
    pub struct Log {
        /// How a line looks.
        format: LogFormat = at.or("auto", choice(&[
            ("auto", LogFormat::Auto), ("text", LogFormat::Text), ("json", LogFormat::Json),
        ]));
        /// A level, or levels by module: `info,coherd::coherence=debug`.
        level: String = at.or("info", level());
    }
}

/// How a log line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, else JSON.
    Auto,
    /// For people.
    Text,
    /// For programs.
    Json,
}

const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

fn level() -> Kind<String> {
    text("off, error, warn, info, debug or trace, also by module: \"info,coherd::coherence=debug\"", |text| {
        let directive = |part: &str| {
            let (module, level) = part.rsplit_once('=').unwrap_or(("", part));
            let named = |c: char| c.is_ascii_alphanumeric() || matches!(c, ':' | '_');
            LEVELS.contains(&level) && module.chars().all(named)
        };
        text.split(',').all(|part| directive(part.trim())).then(|| text.to_owned())
    })
}
