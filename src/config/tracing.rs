//! `[tracing]`: which requests are traced, and where their spans go.

use std::collections::BTreeMap;
use std::time::Duration;

use super::declare::section;
use super::kind::{collector_url, duration, float, headers};
use super::secret::Secret;

section! { at =>
    /// `[tracing]`
    pub struct Tracing {
        /// Base URL of a collector that speaks OTLP over HTTP; `None`: no spans are exported.
        otlp_endpoint: Option<String> = at.or("", collector_url());
        /// Sent with every export; names in lower case.
        headers: BTreeMap<String, Secret> = at.or(BTreeMap::<String, String>::new(), headers());
        /// Share of the requests without a `traceparent` that begin a trace.
        sample: f64 = at.or(0.0, float(0.0..=1.0));
        /// For one export.
        timeout: Duration = at.or("5s", duration("10ms", "1m"));
    }
}
