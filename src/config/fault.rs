//! What is wrong with a configuration, all of it, and where each part came from.

use std::fmt;
use std::path::PathBuf;

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// Nobody set it.
    Default,
    /// A `-c FILE`.
    File(PathBuf),
    /// An environment variable, by its name.
    Variable(String),
    /// A `--set`, by its key.
    Flag(String),
}

impl Place {
    /// Whether values from there are texts, whatever their type.
    pub(super) fn is_loose(&self) -> bool {
        matches!(self, Self::Variable(_) | Self::Flag(_))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Variable(name) => f.write_str(name),
            Self::Flag(key) => write!(f, "--set {key}"),
        }
    }
}

/// One thing that stops the start. It never holds the value of a secret.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fault {
    /// The key, dotted; empty where a whole file or argument is unreadable.
    pub key: String,
    /// Where the offending value came from.
    pub place: Place,
    /// What is wrong.
    pub message: String,
    /// What would be right.
    pub accepted: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.key.as_str(), &self.place) {
            ("", place) => write!(f, "{place}")?,
            (key, place) => write!(f, "{key} ({place})")?,
        }
        write!(f, ": {}; accepted: {}", one_line(&self.message), one_line(&self.accepted))
    }
}

/// A fault is a line, whatever text it quotes.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Every fault of a configuration, at least one, in the order of their keys. Printed a line each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Faults(Vec<Fault>);

impl Faults {
    pub(super) fn new(mut faults: Vec<Fault>) -> Self {
        // What `[defaults]` has wrong is met once per namespace.
        faults.sort();
        faults.dedup_by(|a, b| a.key == b.key && a.place == b.place && a.message == b.message);
        Self(faults)
    }

    /// Each of them.
    pub fn iter(&self) -> std::slice::Iter<'_, Fault> {
        self.0.iter()
    }
}

impl<'a> IntoIterator for &'a Faults {
    type Item = &'a Fault;
    type IntoIter = std::slice::Iter<'a, Fault>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.0.iter().enumerate() {
            let line = if index == 0 { "" } else { "\n" };
            write!(f, "{line}{fault}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}
