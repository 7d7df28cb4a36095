//! Events in traces: the log carries the span that published an event, and whoever applies it follows from that one.

use std::time::Duration;

use super::form::path_label;
use super::shared::Shared;
use super::{Door, Path};
use crate::backend::{Logged, Published};
use crate::model::{Event, LogId, Shard};
use crate::telemetry::trace::{self, Kind, Span, Value};

/// The span of logging an event: of what the publisher says, or else of the request that it came with. From here on the
/// event says that it is this one.
pub(super) fn publishing(shared: &Shared, event: &mut Event) -> Option<Span> {
    const NAME: &str = "invalidation publish";
    let trace = &mut event.provenance.trace;
    let span = match *trace {
        Some(parent) => shared.tracer.following(parent, Kind::Producer, NAME),
        None => trace::current()?.child(Kind::Producer, NAME),
    };
    *trace = Some(span.context().parent);
    Some(span)
}

/// It is logged.
pub(super) fn published(span: Option<Span>, door: Door, published: &[(Shard, Published)]) {
    let Some(span) = span else { return };
    let id = LogId::new(published.iter().map(|(shard, it)| (*shard, it.token.seq)).collect());
    let repeated = published.iter().all(|(_, it)| it.repeated);
    span.end(
        false,
        vec![
            ("messaging.operation.type", Value::Text("send".to_owned())),
            ("coherd.event.id", Value::Text(id.to_string())),
            ("coherd.event.door", Value::Text(door.label().to_owned())),
            ("coherd.event.repeated", Value::Number(repeated.into())),
        ],
    );
}

/// It is applied here.
pub(super) fn applied(shared: &Shared, shard: Shard, logged: &Logged, path: Path, lag: Duration) {
    let Some(publisher) = logged.event.provenance.trace else { return };
    // What goes nowhere need not be made.
    if !shared.tracer.keeps(publisher) {
        return;
    }
    let span = shared.tracer.following(publisher, Kind::Consumer, "invalidation apply").linked(publisher);
    let whole = |count: u128| Value::Number(i64::try_from(count).unwrap_or(i64::MAX));
    span.end(
        false,
        vec![
            ("messaging.operation.type", Value::Text("process".to_owned())),
            ("coherd.event.id", Value::Text(LogId::new(vec![(shard, logged.seq)]).to_string())),
            ("coherd.event.path", Value::Text(path_label(path).to_owned())),
            ("coherd.event.targets", whole(logged.event.targets.len() as u128)),
            ("coherd.event.lag_us", whole(lag.as_micros())),
        ],
    );
}
