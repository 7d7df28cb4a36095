//! Names of tables and columns in PostgreSQL, read as it reads them and always written in quotes.

use std::fmt;
use std::str::FromStr;

/// Longer ones are cut by the server, and name something else.
const BYTES_MAX: usize = 63;

/// A table, `schema.table`; without a schema it is one of `public`. What is not in double quotes is folded to lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqlTable {
    schema: String,
    name: String,
}

/// A text that is no name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SqlNameError {
    /// Not letters, digits, `_` and `$`.
    #[error("`{0}` is no plain name: what has other characters stands in double quotes")]
    Plain(String),
    /// A quote too few, or text behind one.
    #[error("`{0}` is not in double quotes from its beginning to its end")]
    Quotes(String),
    /// Too long.
    #[error("`{0}` has more than {BYTES_MAX} bytes")]
    TooLong(String),
    /// More than a schema and a table.
    #[error("`{0}` is not of the form TABLE or SCHEMA.TABLE")]
    Parts(String),
}

impl SqlTable {
    /// Its schema, as it is.
    pub fn schema(&self) -> &str {
        &self.schema
    }

    /// Its own name, as it is.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl FromStr for SqlTable {
    type Err = SqlNameError;

    fn from_str(text: &str) -> Result<Self, SqlNameError> {
        let (first, rest) = identifier(text)?;
        let Some(rest) = rest.strip_prefix('.') else {
            return match rest {
                "" => Ok(Self { schema: "public".to_owned(), name: first }),
                _ => Err(SqlNameError::Parts(text.to_owned())),
            };
        };
        match identifier(rest)? {
            (name, "") => Ok(Self { schema: first, name }),
            _ => Err(SqlNameError::Parts(text.to_owned())),
        }
    }
}

/// In quotes, as a statement needs it.
impl fmt::Display for SqlTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", sql_quoted(&self.schema), sql_quoted(&self.name))
    }
}

/// A column's name.
pub fn sql_column(text: &str) -> Result<String, SqlNameError> {
    match identifier(text)? {
        (name, "") => Ok(name),
        _ => Err(SqlNameError::Plain(text.to_owned())),
    }
}

/// The name at the beginning of `text`, and what is behind it.
fn identifier(text: &str) -> Result<(String, &str), SqlNameError> {
    let (name, rest) =
        if let Some(inner) = text.strip_prefix('"') { in_quotes(text, inner)? } else { plain(text)? };
    let printable = !name.is_empty() && !name.chars().any(char::is_control);
    if !printable {
        return Err(SqlNameError::Plain(text.to_owned()));
    }
    if BYTES_MAX < name.len() {
        return Err(SqlNameError::TooLong(name));
    }
    Ok((name, rest))
}

fn plain(text: &str) -> Result<(String, &str), SqlNameError> {
    let end = text.find('.').unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    let begins = name.starts_with(|c: char| c.is_alphabetic() || c == '_');
    if begins && name.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '$') {
        Ok((name.to_ascii_lowercase(), rest))
    } else {
        Err(SqlNameError::Plain(name.to_owned()))
    }
}

/// Two quotes are one.
fn in_quotes<'a>(text: &str, inner: &'a str) -> Result<(String, &'a str), SqlNameError> {
    let (mut name, mut rest) = (String::new(), inner);
    loop {
        let Some((before, after)) = rest.split_once('"') else {
            return Err(SqlNameError::Quotes(text.to_owned()));
        };
        name.push_str(before);
        match after.strip_prefix('"') {
            Some(more) => {
                name.push('"');
                rest = more;
            }
            None => return Ok((name, after)),
        }
    }
}

/// A name as a statement needs it, whatever it holds.
pub fn sql_quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_read_as_the_server_reads_it() {
        for (text, written) in [
            ("users", r#""public"."users""#),
            ("Users", r#""public"."users""#),
            ("shop.Users", r#""shop"."users""#),
            (r#""Users""#, r#""public"."Users""#),
            (r#""My shop".users_2"#, r#""My shop"."users_2""#),
            (r#"shop."a.b""#, r#""shop"."a.b""#),
            (r#""a""b""#, r#""public"."a""b""#),
            ("größe", r#""public"."größe""#),
        ] {
            assert_eq!(text.parse::<SqlTable>().unwrap().to_string(), written, "{text}");
        }
        let long = "x".repeat(64);
        for text in [
            "", "a b", "a-b", "1a", "a.", ".a", "a.b.c", "a;b", r#""a"#, r#""a"b"#, r#""""#, "\"a\nb\"",
            &long,
        ] {
            assert!(text.parse::<SqlTable>().is_err(), "{text:?}");
        }
    }
}
