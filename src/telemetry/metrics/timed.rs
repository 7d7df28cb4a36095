//! Histograms whose observations may say which trace they belong to: exemplars of OpenMetrics, the last of each bucket.

use std::sync::{Arc, Mutex, PoisonError};

use prometheus::Histogram;

use super::family::SECONDS;
use crate::model::TraceId;

/// An observation that stands for others.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Exemplar {
    pub(crate) trace: TraceId,
    pub(crate) value: f64,
}

/// The last exemplar of every bucket, the one without a bound too.
#[derive(Debug, Default)]
pub(crate) struct Exemplars(Mutex<[Option<Exemplar>; SECONDS.len() + 1]>);

impl Exemplars {
    fn note(&self, exemplar: Exemplar) {
        let bucket = SECONDS.partition_point(|bound| *bound < exemplar.value);
        self.0.lock().unwrap_or_else(PoisonError::into_inner)[bucket] = Some(exemplar);
    }

    /// That of the bucket of this number.
    pub(crate) fn of(&self, bucket: usize) -> Option<Exemplar> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(bucket).copied().flatten()
    }
}

/// A histogram of seconds with exemplars. One without a trace costs what a histogram does.
#[derive(Clone, Debug)]
pub struct Timed {
    histogram: Histogram,
    exemplars: Arc<Exemplars>,
}

impl Timed {
    pub(super) fn new(histogram: Histogram) -> Self {
        Self { histogram, exemplars: Arc::default() }
    }

    pub(super) fn exemplars(&self) -> &Arc<Exemplars> {
        &self.exemplars
    }

    /// Counts so many seconds, of that trace if it is known.
    pub fn observe(&self, seconds: f64, trace: Option<TraceId>) {
        self.histogram.observe(seconds);
        if let Some(trace) = trace {
            self.exemplars.note(Exemplar { trace, value: seconds });
        }
    }
}
