//! Texts with columns of a row in braces, such as `{tenant}/{id}`: what keys and tags are made of.

/// A part of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// As it is.
    Text(String),
    /// What was between braces.
    Column(String),
}

/// The parts of a text, none of its texts empty; `None`: a brace lacks its other half.
pub(super) fn parts(text: &str) -> Option<Vec<Part>> {
    let (mut parts, mut rest) = (Vec::new(), text);
    while let Some(at) = rest.find(['{', '}']) {
        let (name, after) = rest[at..].strip_prefix('{')?.split_once('}')?;
        parts.extend(some(&rest[..at]));
        parts.push(Part::Column(name.to_owned()));
        rest = after;
    }
    parts.extend(some(rest));
    Some(parts)
}

fn some(text: &str) -> Option<Part> {
    (!text.is_empty()).then(|| Part::Text(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_what_is_between_braces() {
        let text = |text: &str| Part::Text(text.to_owned());
        let column = |name: &str| Part::Column(name.to_owned());
        assert_eq!(parts("").unwrap(), []);
        assert_eq!(parts("users").unwrap(), [text("users")]);
        assert_eq!(parts("{tenant}/{id}").unwrap(), [column("tenant"), text("/"), column("id")]);
        assert_eq!(parts("a{b}{}c").unwrap(), [text("a"), column("b"), column(""), text("c")]);
        for half in ["{", "}", "{id", "id}", "{a}}", "}{"] {
            assert_eq!(parts(half), None, "{half}");
        }
    }
}
