//! Spans as OTLP/HTTP has them in its JSON encoding, which every collector reads beside the binary one: there is nothing
//! to be generated for it, and nothing more to depend on.

use serde_json::{Map, Value as Json, json};

use super::span::{Finished, Value};

/// Who says so.
#[derive(Clone, Debug)]
pub(super) struct Resource {
    pub(super) instance: String,
    pub(super) cluster: String,
}

/// An `ExportTraceServiceRequest`.
pub(super) fn request(resource: &Resource, spans: &[Finished]) -> String {
    let of_resource = [
        ("service.name", Value::Text("coherd".to_owned())),
        ("service.namespace", Value::Text(resource.cluster.clone())),
        ("service.instance.id", Value::Text(resource.instance.clone())),
        ("service.version", Value::Text(env!("CARGO_PKG_VERSION").to_owned())),
    ];
    let spans: Vec<Json> = spans.iter().map(span).collect();
    json!({ "resourceSpans": [{
        "resource": { "attributes": attributes(&of_resource) },
        "scopeSpans": [{
            "scope": { "name": "coherd", "version": env!("CARGO_PKG_VERSION") },
            "spans": spans,
        }],
    }]})
    .to_string()
}

fn span(of: &Finished) -> Json {
    let took = u64::try_from(of.took.as_nanos()).unwrap_or(u64::MAX);
    let mut span = json!({
        "traceId": of.own.trace.to_string(),
        "spanId": of.own.span.to_string(),
        "flags": u8::from(of.own.sampled),
        "name": of.name,
        "kind": of.kind as u8,
        // Numbers of 64 bits are texts.
        "startTimeUnixNano": of.ended.saturating_sub(took).to_string(),
        "endTimeUnixNano": of.ended.to_string(),
        "attributes": attributes(&of.attributes),
        // Not set, or an error.
        "status": if of.failed { json!({ "code": 2 }) } else { json!({}) },
    });
    if let Some(parent) = of.of {
        span["parentSpanId"] = json!(parent.to_string());
    }
    if let Some(state) = &of.state {
        span["traceState"] = json!(**state);
    }
    if let Some(link) = of.link {
        span["links"] = json!([{ "traceId": link.trace.to_string(), "spanId": link.span.to_string() }]);
    }
    span
}

fn attributes(of: &[(&'static str, Value)]) -> Vec<Json> {
    let one = |(key, value): &(&'static str, Value)| {
        let (kind, value) = match value {
            Value::Text(text) => ("stringValue", text.clone()),
            Value::Number(number) => ("intValue", number.to_string()),
        };
        let value = Map::from_iter([(kind.to_owned(), Json::from(value))]);
        json!({ "key": key, "value": value })
    };
    of.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::model::{SpanId, TraceId, TraceParent};
    use crate::telemetry::trace::Kind;

    #[test]
    fn a_span_is_as_the_protocol_has_it() {
        let own = TraceParent { trace: TraceId(0xA), span: SpanId(0xB), sampled: true };
        let link = TraceParent { trace: TraceId(0xC), span: SpanId(0xD), sampled: true };
        let finished = Finished {
            own,
            state: Some("x=1".into()),
            of: Some(SpanId(0xE)),
            kind: Kind::Consumer,
            name: "invalidation apply",
            ended: 2_000_000_000,
            took: Duration::from_millis(500),
            link: Some(link),
            failed: true,
            attributes: vec![("path", Value::Text("pubsub".to_owned())), ("targets", Value::Number(2))],
        };
        let resource = Resource { instance: "inst-a".to_owned(), cluster: "main".to_owned() };
        let document: Json = serde_json::from_str(&request(&resource, &[finished])).unwrap();
        let of = &document["resourceSpans"][0];
        assert_eq!(
            of["resource"]["attributes"][2],
            json!({"key": "service.instance.id", "value": {"stringValue": "inst-a"}})
        );
        let expected = json!({
            "traceId": "0000000000000000000000000000000a", "spanId": "000000000000000b", "flags": 1,
            "parentSpanId": "000000000000000e", "traceState": "x=1", "name": "invalidation apply", "kind": 5,
            "startTimeUnixNano": "1500000000", "endTimeUnixNano": "2000000000", "status": {"code": 2},
            "attributes": [
                {"key": "path", "value": {"stringValue": "pubsub"}}, {"key": "targets", "value": {"intValue": "2"}},
            ],
            "links": [{"traceId": "0000000000000000000000000000000c", "spanId": "000000000000000d"}],
        });
        assert_eq!(of["scopeSpans"][0]["spans"][0], expected);
    }
}
