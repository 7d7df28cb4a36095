//! Traces: the spans of requests, of calls to origins, of events that are published and applied.
//!
//! A span begins where a caller says which trace it is part of, or where the draw of `[tracing] sample` falls on a
//! request. It is told to whoever is asked on its behalf, kept in the log with the events that it publishes, and
//! exported when it ends, if that is switched on. What has no span pays for none.

mod export;
mod otlp;
mod span;

use std::sync::Arc;

use rand::Rng as _;
use tokio::sync::mpsc;

use super::metrics::Counter;
use crate::model::{SpanId, TraceId, TraceParent};

pub use export::{ExportError, Exporter, Settings};
pub use span::{Kind, Span, Value};

/// Spans that wait to be exported; further ones are dropped and counted.
const QUEUE_MAX: usize = 4096;
/// Longest `tracestate` that is passed on, in bytes: the least that the standard asks for.
const STATE_BYTES_MAX: usize = 512;

tokio::task_local! {
    /// The span that the task works for.
    static CURRENT: Context;
}

/// A span, as what is done on its behalf knows it.
#[derive(Clone, Debug)]
pub struct Context {
    /// What others are told.
    pub parent: TraceParent,
    /// What other systems keep with the trace: `tracestate`, passed on as it came.
    pub state: Option<Arc<str>>,
    tracer: Tracer,
}

impl Context {
    /// A span of work done on behalf of this one.
    pub fn child(&self, kind: Kind, name: &'static str) -> Span {
        let parent = TraceParent { span: SpanId(rand::rng().random_range(1..=u64::MAX)), ..self.parent };
        Span::begin(Self { parent, ..self.clone() }, Some(self.parent.span), kind, name)
    }
}

/// The span that this task works for, if any.
pub fn current() -> Option<Context> {
    CURRENT.try_with(Clone::clone).ok()
}

/// Does work on behalf of a span, or of none.
pub async fn within<F: Future>(context: Option<Context>, work: F) -> F::Output {
    match context {
        Some(context) => CURRENT.scope(context, work).await,
        None => work.await,
    }
}

/// Begins spans; clones share what they are handed to. Without an exporter, those that a caller's trace asks
/// for are passed on and go nowhere else.
#[derive(Clone, Debug, Default)]
pub struct Tracer(Option<Arc<Sink>>);

#[derive(Debug)]
struct Sink {
    /// A request is traced if a drawn number is below it.
    threshold: u64,
    finished: mpsc::Sender<span::Finished>,
    /// What had no room.
    dropped: Counter,
}

impl Tracer {
    /// One whose spans are exported, with a share of the requests that no trace is known of. The receiver goes to
    /// [`Exporter`].
    fn exporting(sample: f64, dropped: Counter) -> (Self, mpsc::Receiver<span::Finished>) {
        let (finished, receiver) = mpsc::channel(QUEUE_MAX);
        let sink = Sink { threshold: threshold(sample), finished, dropped };
        (Self(Some(Arc::new(sink))), receiver)
    }

    /// The span of a request: within the caller's trace, or by the draw the first of a new one. `tracestate` is looked at
    /// only where there is a parent.
    pub fn request(
        &self,
        traceparent: Option<&[u8]>,
        tracestate: impl FnOnce() -> Option<String>,
        name: &'static str,
    ) -> Option<Span> {
        let Some(caller) = traceparent.and_then(TraceParent::parse) else {
            let sink = self.0.as_ref()?;
            return (rand::random::<u64>() < sink.threshold).then(|| self.root(Kind::Server, name));
        };
        let state = tracestate().filter(|it| !it.is_empty() && it.len() <= STATE_BYTES_MAX).map(Into::into);
        let context = Context { parent: caller, state, tracer: self.clone() };
        Some(context.child(Kind::Server, name))
    }

    /// A span that follows from what another process, or another task, was told of.
    pub fn following(&self, parent: TraceParent, kind: Kind, name: &'static str) -> Span {
        Context { parent, state: None, tracer: self.clone() }.child(kind, name)
    }

    /// Whether spans of this trace go anywhere from here.
    pub fn keeps(&self, parent: TraceParent) -> bool {
        parent.sampled && self.0.is_some()
    }

    fn root(&self, kind: Kind, name: &'static str) -> Span {
        let mut random = rand::rng();
        let trace = TraceId(random.random_range(1..=u128::MAX));
        let parent = TraceParent { trace, span: SpanId(random.random_range(1..=u64::MAX)), sampled: true };
        Span::begin(Context { parent, state: None, tracer: self.clone() }, None, kind, name)
    }

    /// Never waits: what has no room is dropped and counted.
    fn finish(&self, finished: span::Finished) {
        if let Some(sink) = &self.0
            && sink.finished.try_send(finished).is_err()
        {
            sink.dropped.inc();
        }
    }
}

/// What so large a share of all numbers of 64 bits lies below: a draw below it falls on that share.
pub fn threshold(share: f64) -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        clippy::cast_sign_loss,
        reason = "a cast from a float ends at the bounds, and a share of 2^-53 more or less is nothing"
    )]
    let below = (share * u64::MAX as f64) as u64;
    below
}

#[cfg(test)]
mod tests {
    use super::*;

    const SENT: &[u8] = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn counter() -> Counter {
        Counter::new("dropped", "Dropped.").unwrap()
    }

    #[test]
    fn a_request_is_part_of_its_callers_trace_and_else_of_none_or_of_a_new_one() {
        let off = Tracer::default();
        assert!(off.request(None, || unreachable!("not asked for"), "GET").is_none());
        assert!(off.request(Some(b"nonsense"), || unreachable!("not asked for"), "GET").is_none());
        let span = off.request(Some(SENT), || Some("a=1".to_owned()), "GET").unwrap();
        let context = span.context();
        assert_eq!(context.parent.trace.0, 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736);
        assert_ne!(context.parent.span.0, 0x00f0_67aa_0ba9_02b7);
        assert_eq!(context.state.as_deref(), Some("a=1"));
        let long = off.request(Some(SENT), || Some("a".repeat(513)), "GET").unwrap();
        assert_eq!(long.context().state, None);

        let (all, _all) = Tracer::exporting(1.0, counter());
        let (none, _none) = Tracer::exporting(0.0, counter());
        for _ in 0..100 {
            assert!(all.request(None, || None, "GET").is_some_and(|span| span.context().parent.sampled));
            assert!(none.request(None, || None, "GET").is_none());
        }
    }

    #[tokio::test]
    async fn a_span_is_current_for_what_is_done_within_it_and_nothing_else() {
        let span = Tracer::default().request(Some(SENT), || None, "GET").unwrap();
        let context = span.context().clone();
        let seen = within(Some(context.clone()), async { current().map(|it| it.parent) }).await;
        assert_eq!(seen, Some(context.parent));
        assert!(within(None, async { current() }).await.is_none());
    }

    #[test]
    fn a_queue_that_is_full_costs_spans_and_no_time() {
        let dropped = counter();
        let (tracer, mut finished) = Tracer::exporting(0.0, dropped.clone());
        for _ in 0..QUEUE_MAX + 10 {
            tracer.request(Some(SENT), || None, "GET").unwrap().end(false, Vec::new());
        }
        assert_eq!(dropped.get(), 10);
        let not_kept = [SENT[..53].to_vec(), b"00".to_vec()].concat();
        finished.close();
        tracer.request(Some(&not_kept), || None, "GET").unwrap().end(false, Vec::new());
        assert_eq!(dropped.get(), 10, "whoever began the trace does not keep it");
    }
}
