//! Wall clocks that a test sets: a small library is loaded into a process before all others and answers for the kernel.
//!
//! Not libfaketime: it asks for memory when it is asked for the time, and servers built with jemalloc do not start under it.

use std::env;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

/// The library, as it is compiled.
const SOURCE: &str = include_str!("clock.c");

/// Clocks by name; all show the true time until they are set.
pub(crate) struct Clocks {
    dir: TempDir,
}

impl Clocks {
    /// `None` on a machine that cannot have them: without Linux or a C compiler.
    pub(crate) fn build() -> Option<Self> {
        let dir = tempfile::tempdir().expect("a temporary folder can be made");
        let source = dir.path().join("clock.c");
        fs::write(&source, SOURCE).expect("a file can be written");
        let clocks = Self { dir };
        let compiler = env::var_os("CC").unwrap_or_else(|| "cc".into());
        let built = Command::new(compiler)
            .args(["-shared", "-fPIC", "-O2", "-o"])
            .args([clocks.library(), source])
            .output()
            .is_ok_and(|output| output.status.success());
        (cfg!(target_os = "linux") && built).then_some(clocks)
    }

    /// The variables of a process that is to go by the clock of that name.
    pub(crate) fn variables(&self, name: &str) -> [(String, String); 2] {
        let text =
            |path: PathBuf| path.into_os_string().into_string().expect("temporary folders have plain names");
        if !self.file(name).exists() {
            self.set(name, 0);
        }
        [("LD_PRELOAD".to_owned(), text(self.library())), ("CLOCK_AHEAD".to_owned(), text(self.file(name)))]
    }

    /// From now on the clock is so many seconds ahead of the true time, or behind it.
    pub(crate) fn set(&self, name: &str, seconds: i64) {
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(self.file(name));
        let written = file.and_then(|file| file.write_all_at(&seconds.to_ne_bytes(), 0));
        written.expect("a clock can be set");
    }

    fn library(&self) -> PathBuf {
        self.dir.path().join("clock.so")
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}
