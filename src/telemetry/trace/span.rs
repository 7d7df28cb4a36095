//! One span: from its beginning to the hand-over of what is known of it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

use super::Context;
use crate::model::{SpanId, TraceParent};

/// What a span is to those on the other side of it, by the numbers of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Answers a request.
    Server = 2,
    /// Asks another system.
    Client = 3,
    /// Hands an event over.
    Producer = 4,
    /// Takes an event.
    Consumer = 5,
}

/// What an attribute says. Never a key, a value or a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A text.
    Text(String),
    /// A number.
    Number(i64),
}

/// A span under way. One that is dropped instead of ended was of work that was cut off, and is handed over all the same.
#[derive(Debug)]
pub struct Span {
    context: Context,
    of: Option<SpanId>,
    kind: Kind,
    name: &'static str,
    began: Instant,
    link: Option<TraceParent>,
    failed: bool,
    attributes: Vec<(&'static str, Value)>,
}

/// A span that is over.
#[derive(Debug)]
pub(super) struct Finished {
    pub(super) own: TraceParent,
    pub(super) state: Option<std::sync::Arc<str>>,
    pub(super) of: Option<SpanId>,
    pub(super) kind: Kind,
    pub(super) name: &'static str,
    /// Nanoseconds since 1970 by this machine's time of day.
    pub(super) ended: u64,
    pub(super) took: Duration,
    pub(super) link: Option<TraceParent>,
    pub(super) failed: bool,
    pub(super) attributes: Vec<(&'static str, Value)>,
}

impl Span {
    pub(super) fn begin(context: Context, of: Option<SpanId>, kind: Kind, name: &'static str) -> Self {
        let (failed, attributes) = (true, Vec::new());
        Self { context, of, kind, name, began: Instant::now(), link: None, failed, attributes }
    }

    /// What work on its behalf is to know.
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// Follows from another span, of this trace or of another one.
    #[must_use]
    pub fn linked(mut self, link: TraceParent) -> Self {
        self.link = Some(link);
        self
    }

    /// It is over.
    pub fn end(mut self, failed: bool, attributes: Vec<(&'static str, Value)>) {
        self.failed = failed;
        self.attributes = attributes;
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        if !self.context.tracer.keeps(self.context.parent) {
            return;
        }
        self.context.tracer.finish(Finished {
            own: self.context.parent,
            state: self.context.state.take(),
            of: self.of,
            kind: self.kind,
            name: self.name,
            ended: today(),
            took: self.began.elapsed(),
            link: self.link,
            failed: self.failed,
            attributes: std::mem::take(&mut self.attributes),
        });
    }
}

/// This machine's time of day, in nanoseconds since 1970.
#[expect(
    clippy::disallowed_methods,
    reason = "spans of several machines are put side by side by their time of day"
)]
fn today() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
