//! `[namespaces.X.warm]`: the keys that are loaded before an instance reports ready.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::declare::section;
use super::kind::{key, list, optional_path};
use crate::model::{Invalid, Key};

/// Most keys, in the configuration and in the file.
const KEYS_MAX: usize = 100_000;
/// Largest file, in bytes: as many keys of the greatest length.
const FILE_BYTES_MAX: u64 = 64 << 20;

section! { at =>
    /// `warm`: loaded before the instance reports ready.
    pub struct Warm {
        /// Keys.
        keys: Vec<String> = at.or(Vec::<String>::new(), list(key(), 0..=KEYS_MAX));
        /// One key a line.
        keys_file: Option<PathBuf> = at.or("", optional_path());
    }
}

/// Why `keys_file` is no list of keys.
#[derive(Debug, thiserror::Error)]
pub enum KeysFileError {
    /// The system does not give it.
    #[error("{0}")]
    Unreadable(#[from] io::Error),
    /// It is larger than any list of so many keys.
    #[error("it has more than {FILE_BYTES_MAX} bytes")]
    TooLarge,
    /// Too many keys.
    #[error("line {line}: more than {KEYS_MAX} keys")]
    TooMany {
        /// The first beyond.
        line: usize,
    },
    /// A line is no key.
    #[error("line {line}: {source}")]
    Line {
        /// From 1.
        line: usize,
        /// Why.
        source: Invalid,
    },
}

impl Warm {
    /// Every key, each once: those of the configuration, then those of the file, which is read now.
    pub fn all(&self) -> Result<Vec<Key>, KeysFileError> {
        let mut all: Vec<Key> = self.keys.iter().filter_map(|text| Key::new(text).ok()).collect();
        if let Some(file) = &self.keys_file {
            all.extend(parse(&read(file)?)?);
        }
        let mut seen = BTreeSet::new();
        all.retain(|key| seen.insert(key.clone()));
        Ok(all)
    }
}

fn read(path: &Path) -> Result<Vec<u8>, KeysFileError> {
    let mut text = Vec::new();
    let length = File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut text)?;
    if FILE_BYTES_MAX < length as u64 { Err(KeysFileError::TooLarge) } else { Ok(text) }
}

/// One key a line; blank lines are none. A key may begin and end with blanks, and lines may end as on Windows.
fn parse(text: &[u8]) -> Result<Vec<Key>, KeysFileError> {
    let mut keys = Vec::new();
    for (index, line) in text.split(|byte| *byte == b'\n').enumerate() {
        let (line, number) = (line.strip_suffix(b"\r").unwrap_or(line), index + 1);
        if line.trim_ascii().is_empty() {
            continue;
        }
        if keys.len() == KEYS_MAX {
            return Err(KeysFileError::TooMany { line: number });
        }
        keys.push(Key::from_bytes(line).map_err(|source| KeysFileError::Line { line: number, source })?);
    }
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_key_and_a_blank_one_is_none() {
        let keys = parse(b"a\r\n\n  \nb c \n\xc3\xa4/1").unwrap();
        assert_eq!(keys, ["a", "b c ", "ä/1"].map(|text| Key::new(text).unwrap()));
        assert!(parse(b"").unwrap().is_empty());
    }

    #[test]
    fn what_is_no_key_is_named_by_its_line() {
        let long = format!("a\n\n{}", "k".repeat(513));
        let many = "k\n".repeat(KEYS_MAX + 1);
        for (text, fault) in [
            (long.as_bytes(), "line 3: a key has 1 to 512 bytes, this one has 513"),
            (b"a\n\xff\n", "line 2: a key is UTF-8, this one is not"),
            (many.as_bytes(), "line 100001: more than 100000 keys"),
        ] {
            assert_eq!(parse(text).unwrap_err().to_string(), fault);
        }
    }

    #[test]
    fn every_key_is_there_once() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "b\nc\nc\n").unwrap();
        let warm =
            Warm { keys: vec!["a".to_owned(), "b".to_owned()], keys_file: Some(file.path().to_owned()) };
        assert_eq!(warm.all().unwrap(), ["a", "b", "c"].map(|text| Key::new(text).unwrap()));
    }
}
