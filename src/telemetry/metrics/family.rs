//! Registering families, and finding a child by its label without a look-up by string.

use std::marker::PhantomData;

use prometheus::core::Collector;
use prometheus::{
    Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry, Result,
};

use super::timed::Timed;
use crate::telemetry::labels::Label;

/// Upper bounds in seconds, 50 µs to 10 s: one scale for everything, so that panels can be laid side by side.
pub(super) const SECONDS: [f64; 17] = [
    0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    5.0, 10.0,
];

/// One child for every value of a label.
#[derive(Clone, Debug)]
pub struct By<L, M> {
    children: Box<[M]>,
    label: PhantomData<fn(L)>,
}

impl<L: Label, M> By<L, M> {
    pub(super) fn new(child: impl FnMut(L) -> M) -> Self {
        Self { children: L::ALL.iter().copied().map(child).collect(), label: PhantomData }
    }

    /// The child of one value.
    pub fn of(&self, label: L) -> &M {
        &self.children[label.index()]
    }
}

impl<L: Label> By<L, IntCounter> {
    /// The sum over all values.
    pub fn total(&self) -> u64 {
        self.children.iter().map(IntCounter::get).sum()
    }
}

/// A registry that families are added to.
pub(super) struct Families<'a>(pub(super) &'a Registry);

impl Families<'_> {
    fn add<C: Collector + Clone + 'static>(&self, collector: C) -> Result<C> {
        self.0.register(Box::new(collector.clone()))?;
        Ok(collector)
    }

    pub(super) fn counter(&self, name: &str, help: &str) -> Result<IntCounter> {
        self.add(IntCounter::new(name, help)?)
    }

    pub(super) fn counter_vec(&self, name: &str, help: &str, labels: &[&str]) -> Result<IntCounterVec> {
        self.add(IntCounterVec::new(Opts::new(name, help), labels)?)
    }

    pub(super) fn counters<L: Label>(&self, name: &str, help: &str) -> Result<By<L, IntCounter>> {
        let family = self.counter_vec(name, help, &[L::NAME])?;
        Ok(By::new(|label: L| family.with_label_values(&[label.as_str()])))
    }

    pub(super) fn gauge(&self, name: &str, help: &str) -> Result<Gauge> {
        self.add(Gauge::new(name, help)?)
    }

    pub(super) fn int_gauge(&self, name: &str, help: &str) -> Result<IntGauge> {
        self.add(IntGauge::new(name, help)?)
    }

    pub(super) fn gauge_vec(&self, name: &str, help: &str, labels: &[&str]) -> Result<GaugeVec> {
        self.add(GaugeVec::new(Opts::new(name, help), labels)?)
    }

    pub(super) fn int_gauge_vec(&self, name: &str, help: &str, labels: &[&str]) -> Result<IntGaugeVec> {
        self.add(IntGaugeVec::new(Opts::new(name, help), labels)?)
    }

    pub(super) fn histogram(&self, name: &str, help: &str) -> Result<Histogram> {
        self.add(Histogram::with_opts(HistogramOpts::new(name, help).buckets(SECONDS.to_vec()))?)
    }

    pub(super) fn histogram_vec(&self, name: &str, help: &str, labels: &[&str]) -> Result<HistogramVec> {
        self.add(HistogramVec::new(HistogramOpts::new(name, help).buckets(SECONDS.to_vec()), labels)?)
    }

    pub(super) fn timed(&self, name: &str, help: &str) -> Result<Timed> {
        Ok(Timed::new(self.histogram(name, help)?))
    }

    pub(super) fn timed_by<L: Label>(&self, name: &str, help: &str) -> Result<By<L, Timed>> {
        let family = self.histogram_vec(name, help, &[L::NAME])?;
        Ok(By::new(|label: L| Timed::new(family.with_label_values(&[label.as_str()]))))
    }

    pub(super) fn histograms<L: Label>(&self, name: &str, help: &str) -> Result<By<L, Histogram>> {
        let family = self.histogram_vec(name, help, &[L::NAME])?;
        Ok(By::new(|label: L| family.with_label_values(&[label.as_str()])))
    }
}
