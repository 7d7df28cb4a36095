//! One namespace at work: its settings, its copies, its loads under way, its origin.

use std::sync::Arc;
use std::time::Duration;

use super::copy::Copy;
use super::flight::Flights;
use super::foreign::TouchedCell;
use super::heat::Heat;
use super::l1::{L1, Policy};
use super::setbacks::Setbacks;
use super::stats::Baseline;
use super::texts::Texts;
use super::wish::Refreshers;
use crate::backend::EntryId;
use crate::backend::wire::Compression;
use crate::clock::{Boot, Clock};
use crate::model::{Key, Lifetime, Name, Namespace, Tag};
use crate::origin::Origin;
use crate::telemetry::NamespaceMetrics;

/// A namespace as it is configured, checked.
pub struct Settings {
    /// Its name.
    pub name: Namespace,
    /// A bump starts afresh.
    pub version: u32,
    /// How long copies may be trusted without proof.
    pub max_staleness: Duration,
    /// `coherence = "available"`: cut off, it answers from its copies up to their ttl.
    pub available: bool,
    /// What applies where the origin or the writer says nothing.
    pub lifetime: Lifetime,
    /// Share of `fresh` by which it is varied, 0 to 1.
    pub ttl_jitter: f64,
    /// How long an absence is kept; zero: not at all.
    pub negative_ttl: Duration,
    /// How long a load may keep other instances from loading; zero: it does not.
    pub lease: Duration,
    /// Bytes of L1.
    pub l1_capacity: u64,
    /// Which copy makes room.
    pub l1_policy: Policy,
    /// Largest value that is kept, in bytes.
    pub max_value: usize,
    /// Of L2's envelopes.
    pub compression: Compression,
    /// Tags of every value: templates over `{namespace}` and `{key}`.
    pub tags: Vec<String>,
    /// Keys that a value depends on: templates `NAMESPACE/KEY` over `{namespace}` and `{key}`.
    pub depends_on: Vec<String>,
    /// What a miss asks; `None`: the application loads and stores by itself.
    pub origin: Option<Arc<dyn Origin>>,
    /// The origin can be written: an entry may hold a write that it does not have yet.
    pub written: bool,
    /// Writes are acknowledged before the origin has them, unless a request says otherwise.
    pub behind: bool,
    /// The longest that a load from the origin takes.
    pub load_max: Duration,
    /// The longest that a load waits for the backend, all its calls together.
    pub backend_max: Duration,
    /// After so long a stale copy is answered while the load goes on; zero: a reader waits for its end.
    pub soft_timeout: Duration,
    /// `XFetch`'s beta: how eagerly copies are loaded anew before their time; zero: not at all.
    pub refresh_ahead: f64,
    /// For so long after an event a load may find a replica of the origin that has not seen it.
    pub origin_lag: Duration,
    /// Who loads copies anew while they are answered; `None`: nobody does.
    pub refreshers: Option<Arc<dyn Refreshers>>,
}

/// A namespace at work.
pub(super) struct Space {
    pub(super) settings: Settings,
    pub(super) l1: L1,
    pub(super) flights: Flights,
    pub(super) heat: Heat,
    pub(super) setbacks: Setbacks,
    pub(super) metrics: Arc<NamespaceMetrics>,
    pub(super) baseline: Baseline,
    pub(super) touched: TouchedCell,
    pub(super) texts: Texts,
}

impl Space {
    pub(super) fn new(settings: Settings, clock: Clock, metrics: Arc<NamespaceMetrics>) -> Self {
        let l1 = L1::new(settings.l1_capacity, settings.l1_policy, clock, metrics.l1.clone());
        let (flights, baseline) = (Flights::default(), Baseline::default());
        let (heat, setbacks) = (Heat::new(), Setbacks::default());
        let (touched, texts) = (TouchedCell::new(), Texts::default());
        Self { settings, l1, flights, heat, setbacks, metrics, baseline, touched, texts }
    }

    /// Housekeeping; now and then what is read no more cools.
    pub(super) fn tidy(&self, now: Boot, cool: bool) {
        self.l1.tidy();
        self.setbacks.sweep(now);
        if let Some(origin) = &self.settings.origin {
            origin.tidy();
        }
        if cool {
            self.heat.cool();
        }
    }

    pub(super) fn name(&self) -> &Namespace {
        &self.settings.name
    }

    pub(super) fn entry(&self, key: &Key) -> EntryId {
        EntryId { namespace: self.settings.name.clone(), version: self.settings.version, key: key.clone() }
    }

    /// Keeps what L2 has answered.
    pub(super) fn keep(&self, key: &Key, copy: &Arc<Copy>, now: Boot) {
        self.l1.put(key.shared(), Arc::clone(copy));
        if let Some(touched) = self.touched.get()
            && !touched.landed(|| self.entry(key), key, now)
        {
            self.l1.remove(key);
        }
    }

    /// Names that cover a value of `key` beside the key's own: its tags, the namespace's, and what it depends on.
    pub(super) fn names(&self, key: &Key, tags: &[Tag]) -> Vec<Name> {
        let of_space = self.settings.tags.iter().filter_map(|it| Tag::new(&self.expand(it, key)).ok());
        let mut names: Vec<Name> = of_space.chain(tags.iter().cloned()).map(|tag| Name::tag(&tag)).collect();
        let depends = self.settings.depends_on.iter();
        names.extend(depends.map(|it| Name::from_stored(&format!("k/{}", self.expand(it, key)))));
        names.sort_unstable();
        names.dedup();
        names
    }

    /// The namespace's times, varied so that what was loaded together does not expire together.
    pub(super) fn jittered(&self, lifetime: Lifetime) -> Lifetime {
        let share = self.settings.ttl_jitter;
        if share == 0.0 {
            return lifetime;
        }
        let factor = 1.0 + share * (rand::random::<f64>() * 2.0 - 1.0);
        Lifetime { fresh: lifetime.fresh.mul_f64(factor), ..lifetime }
    }

    fn expand(&self, template: &str, key: &Key) -> String {
        template.replace("{namespace}", &self.settings.name).replace("{key}", key)
    }
}
