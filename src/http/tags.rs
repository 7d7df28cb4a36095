//! Tags in the headers of requests.

use hyper::header::HeaderMap;

use super::problem::{Code, Problem};
use crate::model::tags::{HEADERS, Spelling, parse, strict};
use crate::model::{Invalid, Tag};

/// Headers that name tags to invalidate.
const TO_INVALIDATE: [(&str, Spelling); 3] = [
    ("cache-tag", Spelling::Commas),
    ("surrogate-key", Spelling::Spaces),
    ("cache-group-invalidation", Spelling::Strings),
];

/// Tags that a written value carries, each once, at most [`crate::model::TAGS_MAX`].
pub(super) fn of_value(headers: &HeaderMap) -> Result<Vec<Tag>, Problem> {
    strict(named(headers, HEADERS)).map_err(|invalid| Problem::new(Code::BadTag, invalid.to_string()))
}

/// Tags to invalidate, each as often as it is named.
pub(super) fn to_invalidate(headers: &HeaderMap) -> Result<Vec<Tag>, Invalid> {
    named(headers, TO_INVALIDATE).collect()
}

fn named(
    headers: &HeaderMap,
    spellings: [(&'static str, Spelling); 3],
) -> impl Iterator<Item = Result<Tag, Invalid>> {
    spellings.into_iter().flat_map(move |(name, spelling)| {
        headers.get_all(name).iter().flat_map(move |line| parse(spelling, line.as_bytes()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    fn texts(tags: &[Tag]) -> Vec<&str> {
        tags.iter().map(|tag| &**tag).collect()
    }

    #[test]
    fn a_value_is_tagged_by_three_headers_on_any_number_of_lines() {
        let lines = [
            ("cache-tag", "b, a,, "),
            ("cache-tag", "c"),
            ("surrogate-key", "d  e a"),
            ("cache-groups", r#""g", "h;i";p=1"#),
            ("cache-group-invalidation", r#""not-this""#),
        ];
        assert_eq!(texts(&of_value(&headers(&lines)).unwrap()), ["b", "a", "c", "d", "e", "g", "h;i"]);
        let lines = [("cache-group-invalidation", r#""g""#), ("cache-groups", r#""not-this""#)];
        assert_eq!(texts(&to_invalidate(&headers(&lines)).unwrap()), ["g"]);
    }

    #[test]
    fn what_cannot_be_a_tag_is_refused() {
        let many = (0..129).map(|n| n.to_string()).collect::<Vec<_>>().join(" ");
        assert_eq!(to_invalidate(&headers(&[("surrogate-key", &many)])).unwrap().len(), 129);
        for line in [
            ("cache-tag", "a b"),
            ("surrogate-key", many.as_str()),
            ("cache-groups", "token"),
            ("cache-groups", r#"("a" "b")"#),
            ("cache-groups", r#""a b""#),
        ] {
            assert_eq!(of_value(&headers(&[line])).expect_err(line.1).code(), Code::BadTag, "{line:?}");
        }
    }
}
