//! Log lines: one line an event on stderr, as text for a person or JSON for a collector.

use std::error::Error as StdError;
use std::io::{self, IsTerminal};
use std::panic;

use serde::{Deserialize, Serialize};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

/// How a line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// Text where stderr is a terminal, else JSON.
    #[default]
    Auto,
    /// For a person.
    Text,
    /// For a collector.
    Json,
}

/// Why logging was not set up.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    /// The level is no directive of `EnvFilter`.
    #[error("log level `{level}` is none of error, warn, info, debug, trace, nor a list of `target=level`")]
    Level {
        /// As given.
        level: String,
        /// What is wrong with it.
        source: ParseError,
    },
    /// The process logs already.
    #[error("logging was set up before")]
    Twice(#[source] Box<dyn StdError + Send + Sync>),
}

/// Checks a level as [`init`] would.
pub fn parse_level(level: &str) -> Result<EnvFilter, LoggingError> {
    EnvFilter::builder()
        .parse(level)
        .map_err(|source| LoggingError::Level { level: level.to_owned(), source })
}

/// Sets up logging for the process: `level` as a directive of `EnvFilter` (`info`, `coherd=debug,warn`). From then on
/// a panic is a log line too.
pub fn init(format: Format, level: &str) -> Result<(), LoggingError> {
    let filter = parse_level(level)?;
    let terminal = io::stderr().is_terminal();
    let json = match format {
        Format::Auto => !terminal,
        Format::Text => false,
        Format::Json => true,
    };
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    let set = if json {
        lines.json().flatten_event(true).with_span_list(false).try_init()
    } else {
        lines.with_ansi(terminal).try_init()
    };
    set.map_err(LoggingError::Twice)?;
    panic::set_hook(Box::new(|info| {
        let location = info.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(panic.location = location, "panicked: {}", panic_text(info.payload()));
    }));
    Ok(())
}

/// What a panic said, if it said it in words.
fn panic_text(payload: &(dyn std::any::Any + Send)) -> &str {
    payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_that_is_none_is_named() {
        for level in ["info", "coherd=debug,warn", "off"] {
            assert!(parse_level(level).is_ok(), "{level}");
        }
        let error = parse_level("coherd=loud").unwrap_err();
        assert!(error.to_string().contains("`coherd=loud`"), "{error}");
        assert!(error.source().is_some());
    }

    #[test]
    fn a_second_setup_is_refused() {
        let first = init(Format::Json, "off");
        let second = init(Format::Text, "off");
        assert!(matches!(second, Err(LoggingError::Twice(_))), "{first:?} {second:?}");
    }
}
