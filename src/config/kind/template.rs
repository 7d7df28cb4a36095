//! Templates over `{namespace}` and `{key}`.

use super::text::text;
use super::{Kind, Spelling};
use crate::model::{Namespace, Tag};
use figment::value::Value;

/// Why a text is no template. The text is not repeated: it may be a URL with a password.
pub(super) fn fault(template: &str) -> Option<&'static str> {
    let mut rest = template;
    while let Some(at) = rest.find(['{', '}']) {
        let Some((name, after)) = rest[at..].strip_prefix('{').and_then(|inner| inner.split_once('}')) else {
            return Some("a brace lacks its other half");
        };
        if !matches!(name, "namespace" | "key") {
            return Some("it has a placeholder that is neither `{namespace}` nor `{key}`");
        }
        rest = after;
    }
    None
}

/// A tag's template. What a key with a blank or a comma makes of it only shows when it is used.
pub(in crate::config) fn tag_template() -> Kind<String> {
    let accepted = "a tag of visible ASCII without comma, with {namespace} and {key} as placeholders";
    Kind::new(accepted, Spelling::Quotable, |value| {
        let Value::String(_, template) = value else { return Err(super::found(value)) };
        if let Some(fault) = fault(template) {
            return Err(format!("`{}`: {fault}", super::shortened(template)));
        }
        let sample = template.replace("{namespace}", "n").replace("{key}", "k");
        Tag::new(&sample).map(|_| template.clone()).map_err(|_| super::found(value))
    })
}

/// A text with columns of a row in braces.
pub(in crate::config) fn row_template() -> Kind<String> {
    text("a text with columns in braces, such as \"{tenant}/{id}\"", |template| {
        let mut rest = template;
        while let Some(at) = rest.find(['{', '}']) {
            let (name, after) = rest[at..].strip_prefix('{')?.split_once('}')?;
            if name.is_empty() || name.contains('{') {
                return None;
            }
            rest = after;
        }
        (!template.is_empty() && template.len() <= 512).then(|| template.to_owned())
    })
}

/// `NS/…{key}…`: a key of another namespace.
pub(in crate::config) fn dependency() -> Kind<String> {
    let accepted = "\"NS/…{key}…\", with {namespace} and {key} as placeholders after the `/`";
    text(accepted, |template| {
        let (namespace, key) = template.split_once('/')?;
        Namespace::new(namespace).ok()?;
        (key.contains("{key}") && fault(key).is_none() && key.len() <= 512).then(|| template.to_owned())
    })
}
