//! `If-None-Match` against an `ETag`, by weak comparison.

use hyper::header::{HeaderMap, IF_NONE_MATCH};

/// Whether the client already has what `etag` names. A list that cannot be read matches nothing: the value is sent.
pub(super) fn none_match_holds(headers: &HeaderMap, etag: &str) -> bool {
    headers.get_all(IF_NONE_MATCH).iter().any(|line| lists(line.as_bytes(), opaque(etag.as_bytes())))
}

fn lists(line: &[u8], wanted: &[u8]) -> bool {
    let mut rest = line.trim_ascii();
    if rest == b"*" {
        return true;
    }
    while !rest.is_empty() {
        let tag = opaque(rest);
        // From the opening quote to the closing one: a comma or `W/` within is part of the tag.
        let Some(end) = tag.strip_prefix(b"\"").and_then(|inner| inner.iter().position(|byte| *byte == b'"'))
        else {
            return false;
        };
        let (tag, after) = tag.split_at(end + 2);
        if tag == wanted {
            return true;
        }
        let after = after.trim_ascii_start();
        rest = after.strip_prefix(b",").unwrap_or(b"").trim_ascii_start();
    }
    false
}

/// The tag without the mark of weakness.
fn opaque(etag: &[u8]) -> &[u8] {
    etag.strip_prefix(b"W/").unwrap_or(etag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_compared_weakly() {
        for (lines, etag, holds) in [
            (&["\"a\""][..], "\"a\"", true),
            (&["\"b\""], "\"a\"", false),
            (&["W/\"a\""], "\"a\"", true),
            (&["\"a\""], "W/\"a\"", true),
            (&["*"], "\"a\"", true),
            (&[" * "], "\"a\"", true),
            (&["\"b\", \"a\""], "\"a\"", true),
            (&["\"b\",W/\"a\""], "\"a\"", true),
            (&["\"b\"", "\"a\""], "\"a\"", true),
            (&["\"x,\", \"a\""], "\"a\"", true),
            (&["\"x, \\\"a\\\"\""], "\"a\"", false),
            (&["a"], "\"a\"", false),
            (&["\"a"], "\"a\"", false),
            (&[""], "\"a\"", false),
            (&["\"b\" \"a\""], "\"a\"", false),
            (&[], "\"a\"", false),
        ] {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(IF_NONE_MATCH, line.parse().unwrap());
            }
            assert_eq!(none_match_holds(&headers, etag), holds, "{lines:?} {etag}");
        }
    }
}
