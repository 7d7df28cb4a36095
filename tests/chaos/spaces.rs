//! The namespaces of a world, their keys, and which of them a target names.

use std::fmt;
use std::time::Duration;

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use serde_json::{Value, json};

use super::world::MAX_STALENESS;
use super::written;
use crate::harness::instance::Config;
use crate::harness::origin::{Behaviour, Origin};

/// Long lived, and nothing special.
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
/// As short lived as [`BRIEF`], with everything that keeps readers from waiting and the origin from harm.
pub(crate) const EAGER: &str = "eager";
/// The same, but long lived, before an origin whose replicas are behind.
pub(crate) const LAGGING: &str = "lagging";

/// How far the replicas of the origin of [`LAGGING`] are behind.
const BEHIND: Duration = Duration::from_millis(200);
/// What [`EAGER`] and [`LAGGING`] allow for.
pub(crate) const ORIGIN_LAG: Duration = Duration::from_millis(250);

/// Those with an origin.
pub(crate) const LOADED: [&str; 7] = [PLAIN, BRIEF, TAGGED, DEPENDENT, OPEN, EAGER, LAGGING];
/// The hot keys of every namespace.
pub(crate) const KEYS: [&str; 4] = ["eu/de/1", "eu/fr/2", "us/3", "4"];
/// Keys of [`PLAIN`], [`TAGGED`], [`BRIEF`] and [`EAGER`] that only forced races use.
pub(crate) const RACED: [&str; 3] = ["race/1", "race/2", "race/3"];
/// What prefixes are drawn from; each ends on a boundary.
pub(crate) const PREFIXES: [&str; 4] = ["eu/", "eu/de/", "us/", "race/"];

/// One thing that can be read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Object {
    /// Its namespace.
    pub(crate) space: &'static str,
    /// Its key there.
    pub(crate) key: String,
}

impl Object {
    /// That key of that namespace.
    pub(crate) fn new(space: &'static str, key: impl Into<String>) -> Self {
        Self { space, key: key.into() }
    }

    /// The tag that the object alone carries, where the origin gives tags.
    fn own_tag(&self) -> String {
        format!("one:{self}")
    }

    fn tags(&self) -> Vec<String> {
        match self.space {
            TAGGED | BRIEF | EAGER | LAGGING => vec![self.own_tag(), format!("some:{}", self.space)],
            DEPENDENT => vec![format!("every:{DEPENDENT}")],
            _ => Vec::new(),
        }
    }
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.space, self.key)
    }
}

/// Every object that exists from the start.
pub(crate) fn objects() -> impl Iterator<Item = Object> {
    let hot = LOADED.into_iter().chain([ASIDE]).flat_map(|space| KEYS.map(|key| Object::new(space, key)));
    let raced = [PLAIN, TAGGED, BRIEF, EAGER].into_iter();
    hot.chain(raced.flat_map(|space| RACED.map(|key| Object::new(space, key))))
}

/// Whether a soft event leaves copies of that namespace to be answered.
pub(crate) fn serves_stale(space: &str) -> bool {
    matches!(space, BRIEF | EAGER | LAGGING)
}

/// What an event names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// Keys of one namespace.
    Keys(&'static str, Vec<String>),
    /// All keys of a namespace that begin so.
    Prefix(&'static str, &'static str),
    /// A namespace.
    Space(&'static str),
    /// All that carries a tag.
    Tag(String),
    /// Everything.
    All,
}

impl Target {
    /// That object alone, by its key.
    pub(crate) fn key(object: &Object) -> Self {
        Self::Keys(object.space, vec![object.key.clone()])
    }

    /// That object alone, by a tag that only the origin's answer tells.
    pub(crate) fn own_tag(object: &Object) -> Self {
        Self::Tag(object.own_tag())
    }

    /// Some target that names the object.
    pub(crate) fn of(object: &Object, rng: &mut StdRng) -> Self {
        match rng.random_range(0..100) {
            0..2 => Self::All,
            2..10 => Self::Space(object.space),
            10..25 => {
                let prefixes = PREFIXES.into_iter().filter(|prefix| object.key.starts_with(prefix));
                let prefixes: Vec<&'static str> = prefixes.collect();
                let prefix = prefixes.choose(rng).copied();
                prefix.map_or_else(|| Self::key(object), |prefix| Self::Prefix(object.space, prefix))
            }
            25..50 => object.tags().choose(rng).cloned().map_or_else(|| Self::key(object), Self::Tag),
            50..60 => {
                let other = (*KEYS.choose(rng).expect("there are keys")).to_owned();
                let mut keys = vec![object.key.clone(), other];
                keys.dedup();
                Self::Keys(object.space, keys)
            }
            _ => Self::key(object),
        }
    }

    /// Whether the event is about the object.
    pub(crate) fn names(&self, object: &Object) -> bool {
        match self {
            Self::Keys(space, keys) => {
                // What depends on a key goes with that key alone, not with prefixes and namespaces that hold it.
                let depends = object.space == DEPENDENT && *space == PLAIN;
                (object.space == *space || depends) && keys.contains(&object.key)
            }
            Self::Prefix(space, prefix) => object.space == *space && object.key.starts_with(prefix),
            Self::Space(space) => object.space == *space,
            Self::Tag(tag) => object.tags().contains(tag),
            Self::All => true,
        }
    }

    /// The event's JSON form, without what is said about it.
    pub(crate) fn json(&self) -> Value {
        match self {
            Self::Keys(space, keys) => json!({ "namespace": space, "keys": keys }),
            Self::Prefix(space, prefix) => json!({ "namespace": space, "prefixes": [prefix] }),
            Self::Space(space) => json!({ "namespace": space, "all": true }),
            Self::Tag(tag) => json!({ "tags": [tag] }),
            Self::All => json!({ "all": true }),
        }
    }

    /// The event's fields, as `XADD` and `FCALL` take them.
    pub(crate) fn fields(&self) -> Vec<String> {
        let fields = |pairs: &[(&str, &str)]| {
            pairs.iter().flat_map(|(name, value)| [(*name).to_owned(), (*value).to_owned()]).collect()
        };
        match self {
            Self::Keys(space, keys) => {
                let mut pairs = vec![("ns", *space)];
                pairs.extend(keys.iter().map(|key| ("key", key.as_str())));
                fields(&pairs)
            }
            Self::Prefix(space, prefix) => fields(&[("ns", space), ("prefix", prefix)]),
            Self::Space(space) => fields(&[("ns", space), ("all", "1")]),
            Self::Tag(tag) => fields(&[("tag", tag)]),
            Self::All => fields(&[("all", "1")]),
        }
    }

    /// The arguments of `coherd invalidate`.
    pub(crate) fn arguments(&self) -> Vec<String> {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        match self {
            Self::Keys(space, keys) => {
                let mut all = vec!["-n", space];
                all.extend(keys.iter().flat_map(|key| ["--key", key.as_str()]));
                words(&all)
            }
            Self::Prefix(space, prefix) => words(&["-n", space, "--prefix", prefix]),
            Self::Space(space) => words(&["-n", space, "--all"]),
            Self::Tag(tag) => words(&["--tag", tag]),
            Self::All => words(&["--all"]),
        }
    }
}

/// How the origin behaves while nobody breaks it: most answers at once, few much later.
pub(crate) fn fair_weather() -> Behaviour {
    Behaviour { jitter: Duration::from_millis(400), conditional: true, ..Behaviour::default() }
}

/// Says which tags the origin gives.
pub(crate) fn describe(origin: &Origin) {
    origin.behave_always(fair_weather());
    for object in objects() {
        if object.space == TAGGED || serves_stale(object.space) {
            origin.describe(&object.to_string(), &[("cache-tag", &object.tags().join(","))]);
        }
        if object.space == LAGGING {
            origin.lag(&object.to_string(), BEHIND);
        }
    }
}

/// An instance of a world.
pub(crate) fn configure(config: Config, origin: &str) -> Config {
    let staleness = humantime::format_duration(MAX_STALENESS).to_string();
    let mut config = config
        .set("log.level", "info")
        .set("coherence.max_staleness", staleness)
        .set("coherence.start_detached_after", "2s")
        .set("backend.command_timeout", "1s")
        .set("backend.connect_timeout", "1s")
        .set("defaults.ttl", "1h")
        .set("defaults.lease", "2s");
    for name in LOADED {
        let url = origin.replace("{key}", &format!("{name}/{{key}}"));
        config = config.namespace(name, &url).set(&format!("namespaces.{name}.origin.timeout"), "1s");
        // Often open, and never for long.
        config = config.set(&format!("namespaces.{name}.origin.breaker.open_for"), "500ms");
    }
    // A value of before an event would stay for as long as that.
    for (name, ttl) in [(EAGER, "400ms"), (LAGGING, "1h")] {
        let set = |config: Config, key: &str, value: toml::Value| {
            config.set(&format!("namespaces.{name}.{key}"), value)
        };
        config = set(config, "ttl", ttl.into());
        config = set(config, "ttl_jitter", 0.3.into());
        config = set(config, "stale_while_revalidate", "500ms".into());
        config = set(config, "stale_if_error", "2s".into());
        config = set(config, "refresh_ahead", 0.5.into());
        config = set(config, "origin_lag", humantime::format_duration(ORIGIN_LAG).to_string().into());
        config = set(config, "origin.soft_timeout", "100ms".into());
        config = set(config, "origin.max_concurrency", 4.into());
    }
    written::configure(config, origin)
        .set(&format!("namespaces.{ASIDE}.origin.kind"), "none")
        .set(&format!("namespaces.{BRIEF}.ttl"), "400ms")
        .set(&format!("namespaces.{BRIEF}.stale_while_revalidate"), "500ms")
        .set(&format!("namespaces.{BRIEF}.stale_if_error"), "2s")
        .set(&format!("namespaces.{DEPENDENT}.depends_on"), vec![format!("{PLAIN}/{{key}}")])
        .set(&format!("namespaces.{DEPENDENT}.tags"), vec!["every:{namespace}".to_owned()])
        .set(&format!("namespaces.{OPEN}.coherence"), "available")
}
