//! The fuzzers' corpus, replayed: every file of `fuzz/corpus` through the function that its target runs.

use std::collections::BTreeSet;
use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use coherd::fuzzing::{TARGETS, run};
use tokio::time::Instant;

/// More bytes than this are no hand-kept corpus any more, in all.
const BYTES_MAX: u64 = 300 * 1024;
/// An input that takes longer has found a way to slow a decoder down.
const SLOW: Duration = Duration::from_secs(5);

#[test]
fn every_input_that_was_kept_is_read_without_a_fault() {
    let mut bytes = 0;
    for (target, _) in TARGETS {
        let inputs = files(&root().join("corpus").join(target));
        assert!(!inputs.is_empty(), "{target} has no corpus");
        for input in inputs {
            let content = fs::read(&input).expect("an input can be read");
            bytes += content.len() as u64;
            let begun = Instant::now();
            let holds = catch_unwind(|| run(target, &content)).is_ok();
            assert!(holds, "{}: something does not hold", input.display());
            assert!(begun.elapsed() < SLOW, "{}: {:?}", input.display(), begun.elapsed());
        }
    }
    assert!(bytes < BYTES_MAX, "the corpus has {bytes} bytes");
}

#[test]
fn every_target_has_its_fuzzer_and_every_fuzzer_and_corpus_its_target() {
    let targets: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(names(&root().join("fuzz_targets")), targets);
    assert_eq!(names(&root().join("corpus")), targets);
    let manifest = fs::read_to_string(root().join("Cargo.toml")).expect("there is a manifest");
    for target in targets {
        let path = format!("fuzz_targets/{target}.rs");
        assert!(
            manifest.contains(&format!("name = \"{target}\"\npath = \"{path}\"")),
            "{target} is no [[bin]]"
        );
        let source = fs::read_to_string(root().join(path)).expect("a fuzzer can be read");
        assert!(source.contains(&format!("run(\"{target}\", bytes)")), "{target} runs another target");
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("a folder can be read").path()).collect();
    files.sort();
    files
}

/// What is in a folder, without endings.
fn names(folder: &Path) -> BTreeSet<String> {
    let stem = |path: &PathBuf| path.file_stem().expect("a file has a name").to_string_lossy().into_owned();
    files(folder).iter().map(stem).collect()
}
