//! The JSON form on its way out: what `tail --json` and `/events` print of an applied event.

use std::time::{Duration, UNIX_EPOCH};

use serde::Serialize;

use crate::coherence::Path;
use crate::model::{Event, Hardness, LogId, Target};

/// The last millisecond of the year 9999: RFC 3339 has no later one.
const RFC3339_MS_MAX: u64 = 253_402_300_799_999;

/// The event in the form that publishers send, with `id`, `at` and `path`; one JSON text for each namespace it
/// names, which is one for every event that came in this form.
pub fn render(id: &LogId, at_ms: u64, path: Path, event: &Event) -> Vec<String> {
    let (id, at) = (id.to_string(), rfc3339(at_ms));
    let lines = forms(event).into_iter().map(|form| Line { id: &id, at: &at, path: path_label(path), form });
    lines
        .map(|line| serde_json::to_string(&line).expect("strings, lists and flags are always JSON"))
        .collect()
}

/// Milliseconds since 1970 as RFC 3339 spells them, in UTC.
pub fn rfc3339(at_ms: u64) -> String {
    let at = UNIX_EPOCH + Duration::from_millis(at_ms.min(RFC3339_MS_MAX));
    humantime::format_rfc3339_millis(at).to_string()
}

/// The `path` of the form and of `coherd_invalidations_applied_total`.
pub fn path_label(path: Path) -> &'static str {
    match path {
        Path::Pubsub => "pubsub",
        Path::Stream => "stream",
    }
}

#[derive(Serialize)]
struct Line<'a> {
    id: &'a str,
    at: &'a str,
    path: &'static str,
    #[serde(flatten)]
    form: Form<'a>,
}

/// What publishers send.
#[derive(Default, Serialize)]
pub(super) struct Form<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<&'a str>,
    keys: Vec<&'a str>,
    prefixes: Vec<&'a str>,
    all: bool,
    tags: Vec<&'a str>,
    soft: bool,
    source: &'a str,
    reason: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    traceparent: Option<String>,
}

/// The form holds one namespace, an event may name several. What is cluster-wide goes into the first, but for
/// [`Target::All`], which the form says without a namespace.
pub(super) fn forms(event: &Event) -> Vec<Form<'_>> {
    let blank = |namespace| Form {
        namespace,
        soft: event.hardness == Hardness::Soft,
        source: &event.provenance.source,
        reason: &event.provenance.reason,
        request_id: event.request_id.as_deref(),
        traceparent: event.provenance.trace.map(|trace| trace.to_string()),
        ..Form::default()
    };
    let mut forms: Vec<Form<'_>> = Vec::new();
    if event.targets.contains(&Target::All) {
        forms.push(Form { all: true, ..blank(None) });
    }
    for target in &event.targets {
        if let Target::Key(namespace, _) | Target::Prefix(namespace, _) | Target::Namespace(namespace) =
            target
        {
            let namespace: &str = namespace;
            let known = forms.iter().position(|form| form.namespace == Some(namespace));
            let at = known.unwrap_or_else(|| {
                forms.push(blank(Some(namespace)));
                forms.len() - 1
            });
            match target {
                Target::Key(_, key) => forms[at].keys.push(key),
                Target::Prefix(_, prefix) => forms[at].prefixes.push(prefix),
                _ => forms[at].all = true,
            }
        }
    }
    if forms.is_empty() {
        forms.push(blank(None));
    }
    for target in &event.targets {
        if let Target::Tag(tag) = target {
            forms[0].tags.push(tag);
        }
    }
    forms
}
