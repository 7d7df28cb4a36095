//! The function library `coherd`: the door that any client of the server has, made of the same text as the scripts.

use std::sync::LazyLock;
use std::time::Duration;

use fred::types::Value;
use tokio::time::sleep;
use tracing::{info, warn};

use super::connection::{Command, Connection};
use super::errors::explain;
use super::link::Generation;
use super::reply::{Parts, text};
use super::script::PRELUDE;
use crate::backend::BackendError;
use crate::mutants;

/// Raised with every change of the text, so that an older instance leaves a younger one's library alone.
const VERSION: u32 = 7;
/// What the version stands behind in the text.
const VERSION_MARK: &str = "-- version ";
/// How often the library is looked for: FUNCTION FLUSH and failovers may take it away.
const LOOK_EVERY: Duration = Duration::from_secs(3);

static LIBRARY: LazyLock<String> = LazyLock::new(|| {
    mutants::scripts(format!(
        "#!lua name=coherd\n{VERSION_MARK}{VERSION}\n{PRELUDE}\n{}",
        include_str!("scripts/invalidate.lua")
    ))
});

/// Loads the library where the server has none, or another one that is not younger.
pub(super) async fn provide(connection: &Connection) -> Result<(), BackendError> {
    if loaded(connection).await?.is_some_and(|theirs| theirs == *LIBRARY || VERSION < version(&theirs)) {
        return Ok(());
    }
    let command = Command::new("FUNCTION", 0).args(["LOAD", "REPLACE"]).arg(LIBRARY.as_str());
    connection.call(command).await.map_err(|error| explain(&error))?;
    info!("loaded the function library `coherd`, version {VERSION}");
    Ok(())
}

/// Looks after the library as long as the generation lives.
pub(super) async fn look_after(generation: &Generation) {
    let mut failing = false;
    loop {
        sleep(LOOK_EVERY).await;
        let provided = provide(generation.data()).await;
        if let Err(error) = &provided
            && !failing
        {
            warn!("the function `coherd_invalidate` is not to be had: {error}");
        }
        failing = provided.is_err();
    }
}

/// The text of the library that the server has.
async fn loaded(connection: &Connection) -> Result<Option<String>, BackendError> {
    let command = Command::new("FUNCTION", 0).args(["LIST", "LIBRARYNAME", "coherd", "WITHCODE"]);
    let answer = connection.call(command).await.map_err(|error| explain(&error))?;
    let mut libraries = Parts::of("FUNCTION LIST", answer)?;
    if libraries.is_empty() {
        return Ok(None);
    }
    let mut library = Parts::of("FUNCTION LIST", libraries.value()?)?;
    while !library.is_empty() {
        let (name, value): (Value, Value) = (library.value()?, library.value()?);
        if text(name).as_deref() == Some("library_code") {
            return Ok(text(value));
        }
    }
    Ok(None)
}

fn version(text: &str) -> u32 {
    let line = text.lines().find_map(|line| line.strip_prefix(VERSION_MARK));
    line.and_then(|number| number.trim().parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_library_says_its_version() {
        assert_eq!(version(&LIBRARY), VERSION);
        assert_eq!(version("#!lua name=coherd\nlocal x"), 0);
    }
}
