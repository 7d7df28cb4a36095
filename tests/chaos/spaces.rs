//! The namespaces of a world and their hot keys.

use super::world::MAX_STALENESS;
use crate::harness::instance::Config;

/// Plain: long lived, hard events only take effect on it.
pub(crate) const PLAIN: &str = "plain";
/// So short lived that copies expire all the time, and are served on as stale.
pub(crate) const BRIEF: &str = "brief";
/// The application loads and stores by itself.
pub(crate) const ASIDE: &str = "aside";
/// The origin tags its answers.
pub(crate) const TAGGED: &str = "tagged";
/// Each key goes with the same key of [`PLAIN`].
pub(crate) const DEPENDENT: &str = "dependent";
/// Answers on while it is cut off.
pub(crate) const OPEN: &str = "open";

/// The keys of every namespace.
pub(crate) const KEYS: [&str; 4] = ["eu/de/1", "eu/fr/2", "us/3", "4"];

/// An instance of a world.
pub(crate) fn configure(config: Config, origin: &str) -> Config {
    let staleness = humantime::format_duration(MAX_STALENESS).to_string();
    let mut config = config
        .set("log.level", "info")
        .set("coherence.max_staleness", staleness)
        .set("coherence.start_detached_after", "2s")
        .set("backend.command_timeout", "1s")
        .set("backend.connect_timeout", "1s")
        .set("defaults.ttl", "1h");
    for name in [PLAIN, BRIEF, TAGGED, DEPENDENT, OPEN] {
        let url = origin.replace("{key}", &format!("{name}/{{key}}"));
        config = config.namespace(name, &url);
    }
    config
        .set(&format!("namespaces.{ASIDE}.origin.kind"), "none")
        .set(&format!("namespaces.{BRIEF}.ttl"), "400ms")
        .set(&format!("namespaces.{BRIEF}.stale_while_revalidate"), "500ms")
        .set(&format!("namespaces.{BRIEF}.stale_if_error"), "2s")
        .set(&format!("namespaces.{DEPENDENT}.depends_on"), vec![format!("{PLAIN}/{{key}}")])
        .set(&format!("namespaces.{OPEN}.coherence"), "available")
}
