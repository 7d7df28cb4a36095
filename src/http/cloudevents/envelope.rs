//! From a CloudEvent to the event that is its data: the three modes of the HTTP binding, and what each attribute is for.

use std::borrow::Cow;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hyper::header::{CONTENT_TYPE, HeaderMap};
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

use super::super::query;
use super::{BATCH_MAX, Refused, Said};
use crate::coherence::form;
use crate::model::{Event, TraceParent};

const STRUCTURED: &str = "application/cloudevents+json";
const BATCH: &str = "application/cloudevents-batch+json";

/// The attributes that anything here depends on. Extensions that are not known are nobody's business here.
#[derive(Deserialize)]
struct Envelope<'a> {
    specversion: Option<String>,
    id: Option<String>,
    source: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
    datacontenttype: Option<String>,
    traceparent: Option<String>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    data_base64: Option<String>,
}

/// Reads a request's body in the mode that its headers say.
pub(super) fn read(headers: &HeaderMap, body: &[u8]) -> Result<Said, Refused> {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let essence = essence(content_type);
    match essence.as_str() {
        STRUCTURED => {
            let envelope: Envelope<'_> = serde_json::from_slice(body).map_err(Refused::malformed)?;
            Ok(Said::One([of_envelope(&envelope)?]))
        }
        BATCH => {
            let batch: Batch<'_> = serde_json::from_slice(body).map_err(Refused::malformed)?;
            if batch.more {
                return Err(Refused::malformed(format!("a batch has at most {BATCH_MAX} events")));
            }
            let events = batch.kept.iter().enumerate().map(|(at, raw)| {
                let envelope = serde_json::from_str(raw.get()).map_err(Refused::malformed);
                let event = envelope.and_then(|envelope| of_envelope(&envelope));
                event.map_err(|refused| Refused { at: Some(at), ..refused })
            });
            Ok(Said::Many(events.collect::<Result<_, _>>()?))
        }
        other if other.starts_with("application/cloudevents") => {
            Err(Refused::malformed(format!("`{other}` is not read: {STRUCTURED} and {BATCH} are")))
        }
        _ => Ok(Said::One([of_headers(headers, &essence, body)?])),
    }
}

/// Structured mode, and each event of a batch.
fn of_envelope(envelope: &Envelope<'_>) -> Result<Event, Refused> {
    let content_type = envelope.datacontenttype.as_deref().map(essence).unwrap_or_default();
    let context = Context::checked([
        ("specversion", envelope.specversion.as_deref()),
        ("id", envelope.id.as_deref()),
        ("source", envelope.source.as_deref()),
        ("type", envelope.kind.as_deref()),
    ])?;
    let decoded;
    let data = match (envelope.data, &envelope.data_base64) {
        (Some(_), Some(_)) => return Err(Refused::malformed("`data` and `data_base64` exclude each other")),
        (Some(data), None) => data.get().as_bytes(),
        (None, Some(text)) => {
            let why = |error| Refused::malformed(format!("`data_base64`: {error}"));
            decoded = BASE64.decode(text.as_bytes()).map_err(why)?;
            decoded.as_slice()
        }
        (None, None) => return Err(Refused::malformed("`data` is missing: the event to publish")),
    };
    context.event(&content_type, data, envelope.traceparent.as_deref())
}

/// Binary mode: the attributes are headers, the body is the data.
fn of_headers(headers: &HeaderMap, content_type: &str, body: &[u8]) -> Result<Event, Refused> {
    let attribute = |name: &str| headers.get(name).map(|value| decoded(name, value.as_bytes())).transpose();
    if !headers.contains_key("ce-specversion") {
        return Err(Refused::malformed(format!(
            "no CloudEvent: its Content-Type is {STRUCTURED} or {BATCH}, or it has the headers ce-specversion, ce-id, \
             ce-source and ce-type"
        )));
    }
    let [version, id, source, kind] =
        [attribute("ce-specversion")?, attribute("ce-id")?, attribute("ce-source")?, attribute("ce-type")?];
    let context = Context::checked([
        ("ce-specversion", version.as_deref()),
        ("ce-id", id.as_deref()),
        ("ce-source", source.as_deref()),
        ("ce-type", kind.as_deref()),
    ])?;
    context.event(content_type, body, attribute("ce-traceparent")?.as_deref())
}

/// The attributes that every CloudEvent has.
struct Context<'a> {
    id: &'a str,
    source: &'a str,
    kind: &'a str,
}

impl<'a> Context<'a> {
    /// `specversion`, `id`, `source` and `type`, by the names that the mode has for them.
    fn checked(attributes: [(&str, Option<&'a str>); 4]) -> Result<Self, Refused> {
        let required = |(name, value): (&str, Option<&'a str>)| match value {
            Some("") => Err(Refused::malformed(format!("`{name}` is empty"))),
            Some(value) => Ok(value),
            None => Err(Refused::malformed(format!("`{name}` is missing"))),
        };
        let [version, id, source, kind] = attributes;
        let name = version.0;
        let version = required(version)?;
        if version != "1.0" {
            let message = format!("`{name}` is `{version}`: CloudEvents 1.0 are read");
            return Err(Refused::malformed(message));
        }
        Ok(Self { id: required(id)?, source: required(source)?, kind: required(kind)? })
    }

    /// The event in the data, with what it does not say itself.
    fn event(self, content_type: &str, data: &[u8], trace: Option<&str>) -> Result<Event, Refused> {
        if !is_json(content_type) {
            return Err(Refused::malformed(format!("the data is `{content_type}`: JSON is read")));
        }
        let mut event = form::from_json(data)?;
        let provenance = &mut event.provenance;
        if provenance.source.is_empty() {
            provenance.source = cut(self.source);
        }
        if provenance.reason.is_empty() {
            provenance.reason = cut(self.kind);
        }
        if provenance.trace.is_none() {
            provenance.trace = trace.and_then(|text| TraceParent::parse(text.as_bytes()));
        }
        event.request_id.get_or_insert_with(|| self.request_id());
        Ok(event)
    }

    /// `source` and `id` together are unique, says the specification. They are hashed for they may be of any length.
    fn request_id(&self) -> String {
        let mut hash = Sha256::new();
        hash.update((self.source.len() as u64).to_le_bytes());
        hash.update(self.source);
        hash.update(self.id);
        let hash: [u8; 32] = hash.finalize().into();
        let half = hash.first_chunk::<16>().map_or(0, |half| u128::from_be_bytes(*half));
        format!("cloudevents:{half:032x}")
    }
}

/// An attribute of a header: it may be quoted, and what no header can hold is percent-encoded.
fn decoded(name: &str, value: &[u8]) -> Result<String, Refused> {
    let wrong = || Refused::malformed(format!("`{name}` is not percent-encoded UTF-8"));
    let text = std::str::from_utf8(value).map_err(|_| wrong())?.trim();
    let quoted = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let text = quoted.map_or(Cow::Borrowed(text), |inner| Cow::Owned(unescaped(inner)));
    let bytes = query::decode(&text).ok_or_else(wrong)?;
    String::from_utf8(bytes.into_owned()).map_err(|_| wrong())
}

/// What is quoted, without the backslashes.
fn unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        out.push(if c == '\\' { rest.next().unwrap_or(c) } else { c });
    }
    out
}

/// At most as much as an event keeps of a remark.
fn cut(text: &str) -> String {
    text[..text.floor_char_boundary(Event::TEXT_BYTES_MAX)].to_owned()
}

/// A media type without its parameters.
fn essence(content_type: &str) -> String {
    content_type.split(';').next().unwrap_or("").trim().to_ascii_lowercase()
}

/// Where nothing is said it is JSON, as in structured mode.
fn is_json(essence: &str) -> bool {
    essence.is_empty()
        || essence.split_once('/').is_some_and(|(_, kind)| kind == "json" || kind.ends_with("+json"))
}

/// The first [`BATCH_MAX`] events of a batch as they were written; the rest is read over and remembered to exist.
struct Batch<'a> {
    kept: Vec<&'a RawValue>,
    more: bool,
}

struct BatchVisitor;

impl<'de> Visitor<'de> for BatchVisitor {
    type Value = Batch<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of CloudEvents")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Batch<'de>, A::Error> {
        let mut batch = Batch { kept: Vec::new(), more: false };
        while batch.kept.len() < BATCH_MAX {
            match list.next_element()? {
                Some(raw) => batch.kept.push(raw),
                None => return Ok(batch),
            }
        }
        while list.next_element::<IgnoredAny>()?.is_some() {
            batch.more = true;
        }
        Ok(batch)
    }
}

impl<'de> Deserialize<'de> for Batch<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(BatchVisitor)
    }
}
