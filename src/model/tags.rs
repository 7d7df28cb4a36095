//! The headers that tags come in: `Cache-Tag`, `Surrogate-Key`, `Cache-Groups`, and the one that invalidates groups.

use std::collections::HashSet;

use sfv::{BareItem, Item, List, ListEntry, Parser};

use super::text::{Invalid, TAGS_MAX, Tag};

/// How a header spells tags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spelling {
    /// With commas between: `Cache-Tag`.
    Commas,
    /// With spaces between: `Surrogate-Key`.
    Spaces,
    /// A structured list of strings (RFC 9875): `Cache-Groups`, `Cache-Group-Invalidation`.
    Strings,
}

/// The headers that tag a value, in an origin's answer and in a `PUT`.
pub const HEADERS: [(&str, Spelling); 3] = [
    ("cache-tag", Spelling::Commas),
    ("surrogate-key", Spelling::Spaces),
    ("cache-groups", Spelling::Strings),
];

/// The tags of one header line, each checked by itself; empty members are passed over.
pub fn parse(spelling: Spelling, line: &[u8]) -> Vec<Result<Tag, Invalid>> {
    let part = |separator: fn(&u8) -> bool| {
        line.split(separator).map(<[u8]>::trim_ascii).filter(|text| !text.is_empty()).map(tag).collect()
    };
    match spelling {
        Spelling::Commas => part(|b| *b == b','),
        Spelling::Spaces => part(u8::is_ascii_whitespace),
        Spelling::Strings => match Parser::new(line).parse::<List>() {
            Ok(list) => list.iter().map(group).collect(),
            Err(_) => vec![Err(Invalid::TagList(shown(line)))],
        },
    }
}

/// All of them, without repetitions, as a request must spell them: the first that is invalid is the error, and so is
/// one too many.
pub fn strict(tags: impl IntoIterator<Item = Result<Tag, Invalid>>) -> Result<Vec<Tag>, Invalid> {
    let mut seen = HashSet::new();
    let mut distinct = Vec::new();
    for tag in tags {
        let tag = tag?;
        if seen.insert(tag.clone()) {
            distinct.push(tag);
        }
    }
    if TAGS_MAX < distinct.len() {
        return Err(Invalid::TooManyTags(distinct.len()));
    }
    Ok(distinct)
}

/// The first 128 valid ones, without repetitions, and how many were dropped beside: an origin's answer is worth
/// more than its tags.
pub fn lenient(tags: impl IntoIterator<Item = Result<Tag, Invalid>>) -> (Vec<Tag>, usize) {
    let mut seen = HashSet::new();
    let mut distinct = Vec::new();
    let mut dropped = 0;
    for tag in tags {
        match tag {
            Ok(tag) if seen.contains(&tag) => {}
            Ok(tag) if distinct.len() < TAGS_MAX => {
                seen.insert(tag.clone());
                distinct.push(tag);
            }
            Ok(_) | Err(_) => dropped += 1,
        }
    }
    (distinct, dropped)
}

fn tag(text: &[u8]) -> Result<Tag, Invalid> {
    std::str::from_utf8(text).map_err(|_| Invalid::Tag(shown(text))).and_then(Tag::new)
}

fn group(entry: &ListEntry) -> Result<Tag, Invalid> {
    match entry {
        ListEntry::Item(Item { bare_item: BareItem::String(text), .. }) => Tag::new(text.as_str()),
        other => Err(Invalid::TagList(shown(format!("{other:?}").as_bytes()))),
    }
}

/// Enough of it for a message.
fn shown(text: &[u8]) -> String {
    String::from_utf8_lossy(&text[..text.len().min(64)]).into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn valid(spelling: Spelling, line: &str) -> Vec<String> {
        parse(spelling, line.as_bytes()).into_iter().flatten().map(|tag| tag.to_string()).collect()
    }

    #[test]
    fn each_header_has_its_own_spelling() {
        assert_eq!(valid(Spelling::Commas, " a, team:7 ,,b"), ["a", "team:7", "b"]);
        assert_eq!(valid(Spelling::Spaces, " a  team:7\tb "), ["a", "team:7", "b"]);
        assert_eq!(valid(Spelling::Strings, r#""a", "team:7";x=1"#), ["a", "team:7"]);
        assert!(parse(Spelling::Strings, b"").is_empty());
    }

    #[test]
    fn what_is_no_tag_is_an_error_of_its_own() {
        let line = format!("good,has space,{},last", "x".repeat(257));
        assert_eq!(valid(Spelling::Commas, &line), ["good", "last"]);
        assert_eq!(parse(Spelling::Commas, line.as_bytes()).len(), 4);
        assert_eq!(
            valid(Spelling::Strings, r#""good", token, 7, ("inner"), "a,b", "last""#),
            ["good", "last"]
        );
        assert!(matches!(&parse(Spelling::Strings, b"\"open")[..], [Err(Invalid::TagList(_))]));
        assert!(matches!(&parse(Spelling::Spaces, b"\xff")[..], [Err(Invalid::Tag(_))]));
    }

    #[test]
    fn a_request_is_refused_where_an_answer_loses_tags() {
        let numbered = |count: usize| (0..count).map(|n| Tag::new(&format!("t{n}")));
        assert_eq!(strict(numbered(128).chain(numbered(128))).unwrap().len(), 128);
        assert_eq!(strict(numbered(129)), Err(Invalid::TooManyTags(129)));
        assert!(matches!(strict([Tag::new("a"), Tag::new("b c")]), Err(Invalid::Tag(_))));

        let (kept, dropped) = lenient(numbered(130).chain([Tag::new("b c"), Tag::new("t0")]));
        assert_eq!((kept.len(), dropped), (128, 3));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(line in prop::collection::vec(any::<u8>(), 0..128)) {
            for spelling in [Spelling::Commas, Spelling::Spaces, Spelling::Strings] {
                parse(spelling, &line);
            }
        }

        #[test]
        fn a_tag_is_read_from_every_header_that_can_spell_it(text in "[!#-+\\--\\[\\]-~]{1,40}") {
            for (spelling, line) in [
                (Spelling::Commas, text.clone()),
                (Spelling::Spaces, text.clone()),
                (Spelling::Strings, format!("\"{text}\"")),
            ] {
                prop_assert_eq!(valid(spelling, &line), [text.clone()]);
            }
        }
    }
}
