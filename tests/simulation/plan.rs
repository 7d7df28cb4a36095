//! What a seed is made of, apart from its course: how many instances, which settings, which weather.

use std::time::Duration;

use coherd::backend::memory::Limits;
use coherd::backend::wire::Compression;
use coherd::cache::{self, Policy};
use coherd::model::{Key, Lifetime, Namespace, ShardCount};

use super::origin::Manners;
use super::rng::Rng;
use super::weather::Weather;
use super::world::MS;

/// Loaded from the origin, and dependent on `accounts/{key}`.
pub(super) const USERS: &str = "users";
/// Cache-aside.
pub(super) const CARTS: &str = "carts";
/// Keys of a namespace that no instance serves: what `users` depend on.
pub(super) const ACCOUNTS: &str = "accounts";

/// Keys of each namespace.
const KEYS: [(&str, &[&str]); 2] = [(USERS, &["eu/1", "eu/2", "eu/de/3", "us/4"]), (CARTS, &["7", "8"])];

/// An object.
#[derive(Clone, Debug)]
pub(super) struct Object {
    pub(super) name: String,
    pub(super) namespace: &'static str,
    pub(super) key: Key,
}

/// All of them.
pub(super) fn objects() -> Vec<Object> {
    let of = |(namespace, keys): (&'static str, &'static [&'static str])| {
        let object = move |key: &&'static str| Object {
            name: format!("{namespace}/{key}"),
            namespace,
            key: Key::new(key).expect("a key"),
        };
        keys.iter().map(object)
    };
    KEYS.into_iter().flat_map(of).collect()
}

/// A namespace's name.
pub(super) fn namespace(name: &str) -> Namespace {
    Namespace::new(name).expect("a namespace")
}

/// A seed's settings.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) instances: usize,
    pub(super) shards: ShardCount,
    pub(super) limits: Limits,
    pub(super) slots: usize,
    pub(super) max_staleness: Duration,
    /// Whoever has no answer from the backend gives up after so many nanoseconds.
    pub(super) timeout: u64,
    pub(super) lifetime: Lifetime,
    pub(super) lease: Duration,
    pub(super) soft_timeout: Duration,
    pub(super) weather: Weather,
    pub(super) manners: Manners,
    pub(super) readers: usize,
    pub(super) writers: usize,
    /// Between two reads of a reader, on average, in nanoseconds.
    pub(super) read_every: u64,
    /// Between two commits of a writer, on average.
    pub(super) write_every: u64,
    /// Soft events, in thousandths.
    pub(super) soft: u64,
    /// For how long there are faults and commits.
    pub(super) lasts: u64,
    pub(super) faults: u64,
}

impl Plan {
    pub(super) fn drawn(seed: u64) -> Self {
        let mut draw = Rng::of(seed, "plan");
        let soft_timeout = *Rng::of(seed, "strategies").pick(&[Duration::ZERO, Duration::from_millis(200)]);
        let seconds = Duration::from_secs;
        let lifetime = Lifetime {
            fresh: *draw.pick(&[seconds(1), seconds(3), seconds(60)]),
            stale_while_revalidate: *draw.pick(&[Duration::ZERO, Duration::ZERO, seconds(2), seconds(60)]),
            stale_if_error: *draw.pick(&[Duration::ZERO, seconds(5)]),
        };
        Self {
            instances: *draw.pick(&[2, 2, 2, 3, 3, 4, 5]),
            shards: *draw.pick(&[ShardCount::ONE, ShardCount::ONE, ShardCount::new(2)]),
            limits: Limits {
                log_max_events: *draw.pick(&[4, 20, 10_000]),
                watermarks_max: *draw.pick(&[2, 8, 10_000]),
                ..Limits::default()
            },
            slots: *draw.pick(&[8, 64, 4096]),
            max_staleness: *draw.pick(&[seconds(1) / 2, seconds(1), seconds(2), seconds(2)]),
            timeout: *draw.pick(&[100, 300, 800, 2000, 2000]) * MS,
            lifetime,
            lease: *draw.pick(&[Duration::ZERO, seconds(1), seconds(5), seconds(5)]),
            soft_timeout,
            weather: Weather::drawn(&mut draw),
            manners: Manners::drawn(&mut draw),
            readers: draw.place(4) + 2,
            writers: draw.place(2) + 1,
            read_every: *draw.pick(&[30, 80, 200]) * MS,
            write_every: *draw.pick(&[150, 400, 1000]) * MS,
            soft: *draw.pick(&[0, 100, 400]),
            lasts: *draw.pick(&[1_000, 2_000, 3_000, 5_000]) * MS,
            faults: *draw.pick(&[0, 1, 2, 3, 5]),
        }
    }

    /// A namespace's settings; the caller says what it loads from.
    pub(super) fn space(&self, name: &str) -> cache::Settings {
        let depends_on = if name == USERS { vec![format!("{ACCOUNTS}/{{key}}")] } else { Vec::new() };
        cache::Settings {
            name: namespace(name),
            version: 1,
            max_staleness: self.max_staleness,
            available: false,
            lifetime: self.lifetime,
            ttl_jitter: 0.0,
            negative_ttl: Duration::ZERO,
            lease: self.lease,
            l1_capacity: 1 << 20,
            l1_policy: Policy::TinyLfu,
            max_value: 1 << 20,
            compression: Compression::None,
            tags: Vec::new(),
            depends_on,
            origin: None,
            written: false,
            behind: false,
            load_max: Duration::from_secs(2),
            backend_max: Duration::from_secs(5),
            soft_timeout: self.soft_timeout,
            // It draws anew in every run.
            refresh_ahead: 0.0,
            origin_lag: Duration::ZERO,
            refreshers: None,
        }
    }
}
