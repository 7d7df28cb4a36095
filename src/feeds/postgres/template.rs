//! Keys and tags made of a row's columns.

use std::str::FromStr;

use crate::config::{SqlNameError, sql_column, sql_quoted};
use crate::feeds::braces::{Part, parts};

/// A column, or a text with columns in braces: `id`, `{tenant}/{id}`. Names of columns are read as those of tables are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(Vec<Part>);

/// A text that is no template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// What is in its braces.
    #[error(transparent)]
    Name(#[from] SqlNameError),
    /// `{` without `}`, or the other way round.
    #[error("`{0}`: a brace lacks its other half")]
    Braces(String),
    /// Line breaks and the like.
    #[error("a template holds no control characters")]
    Control,
}

impl Template {
    /// The columns that it is made of.
    pub(super) fn columns(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|part| match part {
            Part::Column(name) => Some(name.as_str()),
            Part::Text(_) => None,
        })
    }

    /// The expression for a row; NULL where one of its columns is.
    pub(super) fn of_row(&self, row: &str) -> String {
        let parts = self.0.iter().map(|part| match part {
            Part::Text(text) => literal(text),
            Part::Column(name) => format!("{row}.{}::text", sql_quoted(name)),
        });
        parts.collect::<Vec<_>>().join(" || ")
    }

    /// For tags: without braces it is a text, the same for every row.
    pub fn text(text: &str) -> Result<Self, TemplateError> {
        if text.contains(char::is_control) {
            return Err(TemplateError::Control);
        }
        let mut parts = parts(text).ok_or_else(|| TemplateError::Braces(text.to_owned()))?;
        for part in &mut parts {
            if let Part::Column(name) = part {
                *name = sql_column(name)?;
            }
        }
        if parts.is_empty() {
            parts.push(Part::Text(String::new()));
        }
        Ok(Self(parts))
    }
}

/// For keys: without braces it is a column.
impl FromStr for Template {
    type Err = TemplateError;

    fn from_str(text: &str) -> Result<Self, TemplateError> {
        if text.contains(['{', '}']) {
            Self::text(text)
        } else {
            Ok(Self(vec![Part::Column(sql_column(text)?)]))
        }
    }
}

/// A text as a statement needs it, whatever it holds and however the server is set.
pub(super) fn literal(text: &str) -> String {
    let quotes = text.replace('\'', "''");
    if text.contains('\\') { format!("E'{}'", quotes.replace('\\', "\\\\")) } else { format!("'{quotes}'") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_a_column_or_made_of_some() {
        let of = |text: &str| text.parse::<Template>().unwrap().of_row("NEW");
        assert_eq!(of("id"), r#"NEW."id"::text"#);
        assert_eq!(of("{tenant}/{\"Id\"}"), r#"NEW."tenant"::text || '/' || NEW."Id"::text"#);
        assert_eq!(of("it's {id}"), r#"'it''s ' || NEW."id"::text"#);
        for text in ["", "a b", "{id", "id}", "{}", "{a b}", "a{b}\n"] {
            assert!(text.parse::<Template>().is_err(), "{text:?}");
        }
        assert_eq!(Template::text("users").unwrap().of_row("OLD"), "'users'");
    }

    #[test]
    fn a_literal_stays_one() {
        assert_eq!(literal("it's"), "'it''s'");
        assert_eq!(literal(r"a\'b"), r"E'a\\''b'");
    }
}
