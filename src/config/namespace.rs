//! `[namespaces.X]` over `[defaults]`: how one kind of data is cached.

use std::time::Duration;

use super::coherence::max_staleness;
use super::declare::section;
use super::kind::{choice, dependency, duration, float, int, list, rate_key, size, tag_template};
use super::origin::Origin;
use super::warm::Warm;

/// Longest that anything is kept: ten years.
const KEPT_MAX: &str = "3650days";

section! { at =>
    /// The effective settings of a namespace.
    pub struct Namespace {
        /// How long a copy is fresh, where the origin does not say; zero: not at all.
        ttl: Duration = at.or("60s", duration("0s", KEPT_MAX));
        /// What an origin's own `Cache-Control` may reach.
        ttl_max: Duration = at.or("24h", duration("0s", KEPT_MAX));
        /// ± share of the ttl, 0 to 1.
        ttl_jitter: f64 = at.or(0.1, float(0.0..=1.0));
        /// Beyond the ttl: served while a refresh runs, for so much longer.
        stale_while_revalidate: Duration = at.or("0s", duration("0s", KEPT_MAX));
        /// Beyond the ttl: served when the origin fails, for so much longer.
        stale_if_error: Duration = at.or("0s", duration("0s", KEPT_MAX));
        /// How long "there is none" is kept; zero: not at all.
        negative_ttl: Duration = at.or("0s", duration("0s", KEPT_MAX));
        /// `XFetch`'s beta; 0 switches it off.
        refresh_ahead: f64 = at.or(0.0, float(0.0..=100.0));
        /// What an instance that is cut off may answer.
        coherence: Mode = at.or("strict", choice(&[("strict", Mode::Strict), ("available", Mode::Available)]));
        /// How long copies are trusted without proof that the log was seen; `[coherence]`'s where it has no own.
        max_staleness: Duration = at.or("2s", max_staleness());
        /// Replication lag of the origin's replicas to allow for.
        origin_lag: Duration = at.or("0s", duration("0s", "1h"));
        /// Cluster-wide single load per key; zero: one per instance.
        lease: Duration = at.or("5s", duration("0s", "10m"));
        /// Memory for L1, in bytes; 0: no L1.
        l1_capacity: u64 = at.or("64MiB", size("0B", "16TiB"));
        /// Which entries L1 keeps when it is full.
        l1_policy: L1Policy = at.or("tiny_lfu", choice(&[
            ("tiny_lfu", L1Policy::TinyLfu), ("lru", L1Policy::Lru),
        ]));
        /// Largest value that is kept, in bytes. Valkey holds no more than 512 MiB in one.
        max_value: u64 = at.or("1MiB", size("1B", "512MiB"));
        /// How L2 values are packed.
        compression: Compression = at.table(Compression::read);
        /// Templates over `{namespace}` and `{key}`: tags of every value.
        tags: Vec<String> = at.or(Vec::<String>::new(), list(tag_template(), 0..=crate::model::TAGS_MAX));
        /// Templates of `NS/KEY`: dropped whenever that key of that namespace is.
        depends_on: Vec<String> = at.or(Vec::<String>::new(), list(dependency(), 0..=32));
        /// Bump: the whole namespace starts afresh.
        version: u32 = at.or(1, int(0..=u32::MAX));
        /// What a PUT or DELETE does at the origin.
        write: WriteMode = at.or("off", choice(&[
            ("off", WriteMode::Off), ("invalidate", WriteMode::Invalidate),
            ("through", WriteMode::Through), ("behind", WriteMode::Behind),
        ]));
        /// The system of record.
        origin: Origin = at.table(Origin::read);
        /// Requests a caller may make.
        rate_limit: Option<RateLimit> = at.optional_table(RateLimit::read);
        /// What is loaded before the instance reports ready.
        warm: Warm = at.table(Warm::read);
    }
}

/// What an instance that is cut off may answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Nothing from its copies.
    Strict,
    /// Its copies up to their ttl, and says so.
    Available,
}

/// Which entries L1 keeps when it is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum L1Policy {
    /// The most asked for; a key that was never asked for may not get in.
    TinyLfu,
    /// The latest.
    Lru,
}

/// What a PUT or DELETE does at the origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteMode {
    /// It is refused.
    Off,
    /// To the origin, the copy dropped.
    Invalidate,
    /// To the origin first, then the copy.
    Through,
    /// Queued.
    Behind,
}

section! { at =>
    /// `compression`
    pub struct Compression {
        /// Which; `Codec::None` switches it off.
        codec: Codec = at.or("zstd", choice(&[("zstd", Codec::Zstd), ("none", Codec::None)]));
        /// 1, fast, to 22, small.
        level: i32 = at.or(3, int(1..=22));
        /// Smaller values stay as they are, in bytes.
        min_size: u64 = at.or("1KiB", size("0B", "512MiB"));
    }
}

/// How L2 values are packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codec {
    /// As they are.
    None,
    /// Zstandard.
    Zstd,
}

section! { at =>
    /// `rate_limit`: so many requests per so much time.
    pub struct RateLimit {
        /// Who counts as one caller.
        key: RateKey = at.required(rate_key(), RateKey::Ip);
        /// Requests.
        rate: u32 = at.or(100, int(1..=1_000_000_000));
        /// Per.
        per: Duration = at.or("60s", duration("1ms", "24h"));
        /// At once.
        burst: u32 = at.or(100, int(1..=1_000_000_000));
        /// Who counts.
        scope: Scope = at.or("instance", choice(&[
            ("instance", Scope::Instance), ("cluster", Scope::Cluster),
        ]));
    }
}

/// Who counts as one caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RateKey {
    /// The value of a request header, its name in lower case.
    Header(String),
    /// The token.
    Token,
    /// The address.
    Ip,
}

/// Who counts the requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Each instance by itself.
    Instance,
    /// All together.
    Cluster,
}
