//! Tags in request headers, in each of the three spellings that are in use.

use hyper::header::HeaderMap;
use sfv::{BareItem, List, ListEntry, Parser};

use super::cache_control::joined;
use super::problem::{Code, Problem};
use crate::model::{Invalid, TAGS_MAX, Tag};

/// Tags that a written value carries: `Cache-Tag`, `Surrogate-Key`, `Cache-Groups`. At most [`TAGS_MAX`], each once.
pub(super) fn of_value(headers: &HeaderMap) -> Result<Vec<Tag>, Problem> {
    let tags = named(headers, "cache-groups")?;
    if TAGS_MAX < tags.len() {
        return Err(bad(&Invalid::TooManyTags(tags.len())));
    }
    Ok(tags)
}

/// Tags to invalidate: `Cache-Tag`, `Surrogate-Key`, `Cache-Group-Invalidation`.
pub(super) fn to_invalidate(headers: &HeaderMap) -> Result<Vec<Tag>, Problem> {
    named(headers, "cache-group-invalidation")
}

fn named(headers: &HeaderMap, groups: &str) -> Result<Vec<Tag>, Problem> {
    let mut tags = Vec::new();
    let mut add = |text: &str| -> Result<(), Problem> {
        tags.push(Tag::new(text).map_err(|invalid| bad(&invalid))?);
        Ok(())
    };
    if let Some(list) = joined(headers, "cache-tag")? {
        list.split(',').map(str::trim).filter(|text| !text.is_empty()).try_for_each(&mut add)?;
    }
    if let Some(list) = joined(headers, "surrogate-key")? {
        // Lines were joined by commas, which no tag holds.
        list.split([' ', '\t', ',']).filter(|text| !text.is_empty()).try_for_each(&mut add)?;
    }
    if let Some(list) = joined(headers, groups)? {
        let unreadable =
            || Problem::new(Code::BadTag, format!("`{groups}` is not a list of strings (RFC 9875)"));
        let members: List = Parser::new(&list).parse().map_err(|_| unreadable())?;
        for member in members {
            match member {
                ListEntry::Item(item) => match &item.bare_item {
                    BareItem::String(group) => add(group.as_str())?,
                    _ => return Err(unreadable()),
                },
                ListEntry::InnerList(_) => return Err(unreadable()),
            }
        }
    }
    tags.sort_unstable();
    tags.dedup();
    Ok(tags)
}

fn bad(invalid: &Invalid) -> Problem {
    Problem::new(Code::BadTag, invalid.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[(&'static str, &str)]) -> Result<Vec<String>, Problem> {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().unwrap());
        }
        of_value(&headers).map(|tags| tags.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn three_spellings_one_set() {
        assert_eq!(read(&[]).unwrap(), Vec::<String>::new());
        let lines = [
            ("cache-tag", "b, a,, "),
            ("cache-tag", "c"),
            ("surrogate-key", "d  e a"),
            ("surrogate-key", "f"),
            ("cache-groups", r#""g", "h;i";p=1"#),
        ];
        assert_eq!(read(&lines).unwrap(), ["a", "b", "c", "d", "e", "f", "g", "h;i"]);
    }

    #[test]
    fn what_cannot_be_a_tag_is_refused() {
        let many = (0..129).map(|n| n.to_string()).collect::<Vec<_>>().join(" ");
        for line in [
            ("cache-tag", "a b"),
            ("surrogate-key", many.as_str()),
            ("cache-groups", "token"),
            ("cache-groups", r#"("a" "b")"#),
            ("cache-groups", r#""a"#),
            ("cache-groups", r#""a b""#),
        ] {
            assert_eq!(read(&[line]).expect_err(line.1).code(), Code::BadTag, "{line:?}");
        }
    }

    #[test]
    fn an_invalidation_names_groups_by_its_own_header() {
        let mut headers = HeaderMap::new();
        headers.insert("cache-group-invalidation", r#""g""#.parse().unwrap());
        headers.insert("cache-groups", r#""not-this""#.parse().unwrap());
        assert_eq!(to_invalidate(&headers).unwrap(), [Tag::new("g").unwrap()]);
    }
}
