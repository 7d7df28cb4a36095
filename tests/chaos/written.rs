//! The namespaces that clients write through instances, and their keys.

use std::time::Duration;

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

use super::spaces::Object;
use crate::harness::instance::Config;
use crate::harness::origin::{Behaviour, Fault, Origin};
use crate::history::Mode;

/// Written behind.
pub(crate) const BEHIND: &str = "behind";
/// Written through.
pub(crate) const THROUGH: &str = "through";
/// Written at the origin, and dropped.
pub(crate) const DROPPED: &str = "dropped";

/// All of them.
pub(crate) const WRITTEN: [&str; 3] = [BEHIND, THROUGH, DROPPED];
/// Keys of each: few, so that writers meet.
pub(crate) const KEYS: [&str; 4] = ["eu/1", "eu/2", "us/3", "4"];
/// Keys of [`BEHIND`] that the origin refuses to take now and then.
pub(crate) const POISONED: [&str; 2] = ["poison/1", "poison/2"];

/// What keys of [`BEHIND`] begin with that are written once.
pub(crate) const ONCE: &str = "once/";

/// So short that copies of what is written are loaded anew all the time.
const TTL: &str = "400ms";
/// Queues.
pub(crate) const PARTITIONS: u32 = 4;
/// Another instance has a dead one's work within this.
pub(crate) const TAKEOVER: Duration = Duration::from_secs(1);

/// Every object of these namespaces.
pub(crate) fn objects() -> impl Iterator<Item = Object> {
    let all = WRITTEN.into_iter().flat_map(|space| KEYS.map(|key| Object::new(space, key)));
    all.chain(POISONED.map(|key| Object::new(BEHIND, key)))
}

/// One of them, or one that nobody will write again: what is lost of that, nothing newer hides.
pub(crate) fn any_or_new(rng: &mut StdRng) -> Object {
    if rng.random_bool(0.08) {
        return Object::new(BEHIND, format!("{ONCE}{:016x}", rng.random::<u64>()));
    }
    any(rng)
}

/// One of them, most often of [`BEHIND`].
pub(crate) fn any(rng: &mut StdRng) -> Object {
    match rng.random_range(0..100) {
        0..8 => Object::new(BEHIND, pick(&POISONED, rng)),
        8..65 => Object::new(BEHIND, pick(&KEYS, rng)),
        65..85 => Object::new(THROUGH, pick(&KEYS, rng)),
        _ => Object::new(DROPPED, pick(&KEYS, rng)),
    }
}

fn pick(keys: &[&'static str], rng: &mut StdRng) -> &'static str {
    keys.choose(rng).expect("there are keys")
}

/// What a write there means, unless it says otherwise.
pub(crate) fn mode(space: &str) -> Mode {
    match space {
        BEHIND => Mode::Behind,
        THROUGH => Mode::Through,
        _ => Mode::Invalidate,
    }
}

/// The origin takes writes of a poisoned key, or says that it never will.
pub(crate) fn poison(origin: &Origin, key: &str, poisoned: bool) {
    let writes = poisoned.then_some(Fault::Status(422));
    origin.behave(&format!("{BEHIND}/{key}"), Behaviour { writes, ..super::spaces::fair_weather() });
}

/// An instance of a world.
pub(crate) fn configure(mut config: Config, origin: &str) -> Config {
    for name in WRITTEN {
        let url = origin.replace("{key}", &format!("{name}/{{key}}"));
        config = config.namespace(name, &url);
        let settings: [(&str, toml::Value); 5] = [
            ("write", mode(name).name().into()),
            ("ttl", TTL.into()),
            ("origin.timeout", "1s".into()),
            ("origin.breaker.open_for", "500ms".into()),
            ("lease", "2s".into()),
        ];
        for (key, value) in settings {
            config = config.set(&format!("namespaces.{name}.{key}"), value);
        }
    }
    config
        .set("write_behind.takeover", humantime::format_duration(TAKEOVER).to_string())
        .set("write_behind.partitions", PARTITIONS)
        .set("write_behind.batch", 8)
        .set("write_behind.retry.initial", "50ms")
        .set("write_behind.retry.max", "500ms")
        // Only what the origin refuses becomes a dead letter.
        .set("write_behind.retry.attempts", 100_000)
}
