//! Rate limits: in which namespaces callers are counted, by what, and what was decided.

use std::collections::HashMap;
use std::sync::Arc;

use crate::clock::Clock;
use crate::guard::RateLimit;
use crate::model::{CallerId, Namespace, Quota, Verdict};
use crate::telemetry::{Metrics, NamespaceMetrics};

/// What tells callers apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key {
    /// The value of a request header, its name in lower case.
    Header(String),
    /// The token.
    Token,
    /// The address.
    Ip,
}

/// The limit of one namespace.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where.
    pub namespace: Namespace,
    /// Who counts as one caller.
    pub key: Key,
    /// What each may.
    pub quota: Quota,
}

/// Every limit there is.
pub struct RateLimits(HashMap<Namespace, Limit>);

struct Limit {
    key: Key,
    quota: Quota,
    own: RateLimit,
    metrics: Arc<NamespaceMetrics>,
}

impl RateLimits {
    /// Limits that nobody has spent anything of.
    pub fn new(settings: Vec<Settings>, clock: &Clock, metrics: &Metrics) -> Self {
        let limit = |Settings { namespace, key, quota }| {
            let own = RateLimit::new(quota, clock.clone());
            let metrics = metrics.namespace(&namespace);
            (namespace, Limit { key, quota, own, metrics })
        };
        Self(settings.into_iter().map(limit).collect())
    }

    /// What tells callers apart in a namespace, if they are counted there.
    pub fn key(&self, namespace: &str) -> Option<&Key> {
        self.0.get(namespace).map(|limit| &limit.key)
    }

    /// Counts a request of a caller, or refuses it; `None` where callers are not counted.
    pub fn admit(&self, namespace: &str, caller: CallerId) -> Option<(Quota, Verdict)> {
        let limit = self.0.get(namespace)?;
        let verdict = limit.own.admit(caller);
        if let Verdict::Refused { .. } = verdict {
            limit.metrics.rate_limited.inc();
        }
        Some((limit.quota, verdict))
    }
}
