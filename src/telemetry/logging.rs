//! Log lines: one line an event on stderr, as text for a person or JSON for a collector.

use std::error::Error as StdError;
use std::io::{self, IsTerminal};
use std::panic;

use serde::{Deserialize, Serialize};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::{LevelFilter, ParseError};

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
    /// Not a list of levels and `target=level`.
    #[error("log level `{level}` is not understood: expected such as `info` or `info,coherd=debug`")]
    Directive {
        /// As given.
        level: String,
        /// What is wrong with it.
        source: ParseError,
    },
    /// A word that is no level.
    #[error("log level `{0}` is none of off, error, warn, info, debug, trace (for a target: `target=level`)")]
    Level(String),
    /// The process logs already.
    #[error("logging was set up before")]
    Twice(#[source] Box<dyn StdError + Send + Sync>),
}

/// Checks a level as [`init`] would.
pub fn parse_level(level: &str) -> Result<EnvFilter, LoggingError> {
    // `EnvFilter` takes a bare word for a target, so a misspelt level would silence everything. Spans (`[`) may hold
    // commas of their own and are left to it.
    if !level.contains('[') {
        let bare = level.split(',').map(str::trim).filter(|part| !part.contains('='));
        for word in bare {
            if word.is_empty() || word.parse::<LevelFilter>().is_err() {
                return Err(LoggingError::Level(word.to_owned()));
            }
        }
    }
    EnvFilter::builder()
        .parse(level)
        .map_err(|source| LoggingError::Directive { level: level.to_owned(), source })
}

/// Sets up logging for the process: `level` as a directive of `EnvFilter` (`info`, `warn,coherd=debug`). From then on
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
        for level in ["info", "WARN", "off", "warn,coherd=debug", "coherd[task{task=tail}]=trace"] {
            assert!(parse_level(level).is_ok(), "{level}");
        }
        for (level, named) in [("inof", "`inof`"), ("", "``"), ("info,", "``"), ("warn,coherd", "`coherd`")] {
            let error = parse_level(level).unwrap_err();
            assert!(matches!(error, LoggingError::Level(_)) && error.to_string().contains(named), "{error}");
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
