//! The form for command lines: field and value, as in `XADD … ns users key 1 key 2 tag team:7`.

use super::draft::Draft;
use super::fault::FormError;
use super::text::Text;
use super::{from_json, within_size};
use crate::model::Event;

/// Reads a list of fields: `ns`, `key`, `prefix`, `tag` (these three any number of times), `all 1`, `soft 1`,
/// `request_id`, `src`, `why`, `traceparent`; or the one field `event` with the JSON form.
pub fn from_fields<'a, I>(fields: I) -> Result<Event, FormError>
where
    I: IntoIterator<Item = (&'a [u8], &'a [u8])>,
    I::IntoIter: Clone,
{
    let fields = fields.into_iter();
    within_size(fields.clone().map(|(name, value)| name.len() + value.len()).fold(0, usize::saturating_add))?;
    let mut draft = Draft::default();
    for (name, value) in fields.clone() {
        let text = || Text(value.to_vec());
        match name {
            b"key" => draft.keys.push(value.to_vec()),
            b"prefix" => draft.prefixes.push(value.to_vec()),
            b"tag" => draft.tags.push(value.to_vec()),
            b"ns" => once(&mut draft.namespace, "ns", text())?,
            b"request_id" => once(&mut draft.request_id, "request_id", text())?,
            b"src" => once(&mut draft.source, "src", text())?,
            b"why" => once(&mut draft.reason, "why", text())?,
            b"traceparent" => once(&mut draft.traceparent, "traceparent", text())?,
            b"all" => draft.all = flag("all", value)?,
            b"soft" => draft.soft = flag("soft", value)?,
            b"event" if fields.clone().count() == 1 => return from_json(value),
            b"event" => return Err(FormError::malformed(&"`event` goes with no other field")),
            _ => drop(draft.unknown.get_or_insert_with(|| name.to_vec())),
        }
    }
    draft.check()
}

fn once(slot: &mut Option<Text>, name: &str, text: Text) -> Result<(), FormError> {
    if slot.replace(text).is_some() {
        return Err(FormError::malformed(&format_args!("`{name}` is given twice")));
    }
    Ok(())
}

fn flag(name: &str, value: &[u8]) -> Result<bool, FormError> {
    match value {
        b"1" | b"true" => Ok(true),
        b"0" | b"false" => Ok(false),
        _ => Err(FormError::malformed(&format_args!("`{name}` is 1 or 0"))),
    }
}
