//! An event as somebody wrote it, and the one check that makes an [`Event`] of it, whatever form it came in.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};

use super::fault::FormError;
use super::text::{Text, Texts};
use crate::model::{Event, Hardness, Invalid, Key, Namespace, Prefix, Provenance, Tag, Target, TraceParent};

/// What was written.
#[derive(Debug, Default)]
pub(super) struct Draft {
    pub(super) namespace: Option<Text>,
    pub(super) keys: Texts<{ Event::TARGETS_MAX }>,
    pub(super) prefixes: Texts<{ Event::TARGETS_MAX }>,
    pub(super) tags: Texts<{ Event::TARGETS_MAX }>,
    pub(super) all: bool,
    pub(super) soft: bool,
    pub(super) source: Option<Text>,
    pub(super) reason: Option<Text>,
    pub(super) request_id: Option<Text>,
    pub(super) traceparent: Option<Text>,
    /// The first name that is no field's.
    pub(super) unknown: Option<Vec<u8>>,
}

impl Draft {
    /// The event, if it is one.
    pub(super) fn check(self) -> Result<Event, FormError> {
        if let Some(field) = self.unknown {
            return Err(FormError::unknown(&field));
        }
        let named = self.keys.kept.len() + self.prefixes.kept.len() + self.tags.kept.len();
        let more = self.keys.more || self.prefixes.more || self.tags.more;
        if more || Event::TARGETS_MAX < named + usize::from(self.all) {
            return Err(FormError::TooManyTargets);
        }
        let namespace = self.namespace.map(|text| namespace(&text.0)).transpose()?;
        let mut targets = Vec::with_capacity(named + usize::from(self.all));
        for key in self.keys.kept {
            let namespace = namespace.clone().ok_or(FormError::NoNamespace)?;
            targets.push(Target::Key(namespace, Key::from_bytes(&key).map_err(FormError::BadKey)?));
        }
        for text in self.prefixes.kept {
            let namespace = namespace.clone().ok_or(FormError::NoNamespace)?;
            targets.push(Target::Prefix(namespace, prefix(&text)?));
        }
        for tag in self.tags.kept {
            let tag = Tag::new(&String::from_utf8_lossy(&tag)).map_err(FormError::BadTag)?;
            targets.push(Target::Tag(tag));
        }
        if self.all {
            targets.push(namespace.map_or(Target::All, Target::Namespace));
        }
        if targets.is_empty() {
            return Err(FormError::NoTarget);
        }
        Ok(Event {
            targets,
            hardness: if self.soft { Hardness::Soft } else { Hardness::Hard },
            provenance: Provenance {
                source: remark(self.source),
                reason: remark(self.reason),
                // What is malformed counts as not sent: it is no reason to lose an invalidation.
                trace: self.traceparent.and_then(|text| TraceParent::parse(&text.0)),
            },
            request_id: self.request_id.map(request_id).transpose()?,
        })
    }
}

fn namespace(text: &[u8]) -> Result<Namespace, FormError> {
    Namespace::new(&String::from_utf8_lossy(text)).map_err(FormError::BadNamespace)
}

fn prefix(text: &[u8]) -> Result<Prefix, FormError> {
    let text = std::str::from_utf8(text).map_err(|_| FormError::BadPrefix(Invalid::KeyEncoding))?;
    Prefix::new(text).map_err(FormError::BadPrefix)
}

fn request_id(text: Text) -> Result<String, FormError> {
    let id = String::from_utf8(text.0).map_err(|_| FormError::BadRequestId)?;
    if id.is_empty() || Event::TEXT_BYTES_MAX < id.len() { Err(FormError::BadRequestId) } else { Ok(id) }
}

/// Free text for logs: cut to its limit rather than refused, for a long remark is no reason to lose an invalidation.
fn remark(text: Option<Text>) -> String {
    let bytes = text.unwrap_or_default().0;
    let head = &bytes[..bytes.len().min(Event::TEXT_BYTES_MAX)];
    let mut remark = String::from_utf8_lossy(head).into_owned();
    remark.truncate(remark.floor_char_boundary(Event::TEXT_BYTES_MAX));
    remark
}

impl<'de> Deserialize<'de> for Draft {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(DraftVisitor)
    }
}

struct DraftVisitor;

impl<'de> Visitor<'de> for DraftVisitor {
    type Value = Draft;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "an event: a map of namespace, keys, prefixes, all, tags, soft, source, reason, request_id, traceparent",
        )
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Draft, A::Error> {
        let mut draft = Draft::default();
        let mut seen = [false; 10];
        let mut first = |at: usize, name: &'static str| {
            if std::mem::replace(&mut seen[at], true) { Err(A::Error::duplicate_field(name)) } else { Ok(()) }
        };
        while let Some(Text(field)) = map.next_key()? {
            match field.as_slice() {
                b"namespace" => {
                    first(0, "namespace")?;
                    draft.namespace = map.next_value()?;
                }
                b"keys" => {
                    first(1, "keys")?;
                    draft.keys = map.next_value()?;
                }
                b"prefixes" => {
                    first(2, "prefixes")?;
                    draft.prefixes = map.next_value()?;
                }
                b"tags" => {
                    first(3, "tags")?;
                    draft.tags = map.next_value()?;
                }
                b"all" => {
                    first(4, "all")?;
                    draft.all = map.next_value::<Option<bool>>()?.unwrap_or(false);
                }
                b"soft" => {
                    first(5, "soft")?;
                    draft.soft = map.next_value::<Option<bool>>()?.unwrap_or(false);
                }
                b"source" => {
                    first(6, "source")?;
                    draft.source = map.next_value()?;
                }
                b"reason" => {
                    first(7, "reason")?;
                    draft.reason = map.next_value()?;
                }
                b"request_id" => {
                    first(8, "request_id")?;
                    draft.request_id = map.next_value()?;
                }
                b"traceparent" => {
                    first(9, "traceparent")?;
                    draft.traceparent = map.next_value()?;
                }
                _ => {
                    map.next_value::<IgnoredAny>()?;
                    draft.unknown.get_or_insert(field);
                }
            }
        }
        Ok(draft)
    }
}
