//! The configuration as a whole: layers, faults, secrets, the sample file.

mod contradictions;
mod faults;
mod layers;
mod sample;
mod secrets;
mod sources;

use std::io::Write;
use std::path::Path;

use tempfile::NamedTempFile;

use super::{Config, Faults, Loaded, Sources, load};

/// Layers of a test.
#[derive(Default)]
struct Layers {
    sources: Sources,
    files: Vec<NamedTempFile>,
}

impl Layers {
    fn file(mut self, text: &str) -> Self {
        let mut file = NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        self.sources.files.push(file.path().to_owned());
        self.files.push(file);
        self
    }

    fn path(mut self, path: &Path) -> Self {
        self.sources.files.push(path.to_owned());
        self
    }

    fn env(mut self, name: &str, value: &str) -> Self {
        self.sources.env.push((name.into(), value.into()));
        self
    }

    fn set(mut self, argument: &str) -> Self {
        self.sources.sets.push(argument.to_owned());
        self
    }

    fn load(&self) -> Result<Loaded, Faults> {
        load(&self.sources)
    }

    fn config(&self) -> Config {
        self.load().unwrap_or_else(|faults| panic!("{faults}")).config
    }

    /// Every fault as `KEY MESSAGE`, without what would be accepted.
    fn faults(&self) -> Vec<String> {
        let faults = self.load().expect_err("a fault");
        faults.iter().map(|fault| format!("{} {}", fault.key, fault.message)).collect()
    }
}

fn file(text: &str) -> Layers {
    Layers::default().file(text)
}
