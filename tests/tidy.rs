//! The habits of the project that a compiler does not check: who may import whom, and what a file looks like.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Past this a file holds a second idea.
const LINES_MAX: usize = 450;

/// What every room but `model` may import: the clock, the types of its own configuration, and its own weakenings.
const EVERYWHERE: [&str; 3] = ["clock", "config", "mutants"];

/// The rooms, and what each may import beside [`EVERYWHERE`]. A room that is not here does not exist.
const ROOMS: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("clock", &[]),
    ("tls", &[]),
    ("config", &["model", "tls"]),
    ("mutants", &[]),
    ("telemetry", &["model"]),
    ("supervisor", &["model", "telemetry"]),
    ("guard", &["model", "telemetry"]),
    ("backend", &["model", "telemetry", "guard"]),
    ("origin", &["model", "telemetry", "guard", "tls"]),
    ("coherence", &["model", "telemetry", "supervisor", "guard", "backend", "origin"]),
    ("cache", &["model", "telemetry", "supervisor", "guard", "backend", "origin", "coherence"]),
    ("refresh", &["model", "telemetry", "supervisor", "guard", "backend", "origin", "coherence", "cache"]),
    ("write", &["model", "telemetry", "supervisor", "guard", "backend", "origin", "coherence", "cache"]),
    ("limit", &["model", "telemetry", "guard", "backend"]),
    ("feeds", &["model", "telemetry", "supervisor", "guard", "backend", "coherence"]),
    ("lock", &["model", "supervisor", "backend", "coherence"]),
    // Not `backend`, not `origin`: a handler cannot go round the cache.
    (
        "http",
        &["model", "telemetry", "supervisor", "guard", "coherence", "cache", "write", "limit", "lock", "tls"],
    ),
    ("app", ALL),
    // Part of no product: one door to every decoder.
    ("fuzzing", ALL),
    ("cli", ALL),
    ("lib", ALL),
    ("main", ALL),
];

const ALL: &[&str] = &["*"];

/// Outside crates, or parts of them, and where they are at home: the beginnings of paths below `src/`.
const HOMES: &[(&str, &[&str])] = &[
    ("fred", &["backend/valkey"]),
    ("moka", &["cache/l1"]),
    // Tests of clients stand on real servers.
    ("hyper::server", &["http/", "origin/http/tests", "cli/testing"]),
    ("hyper_util::server", &["http/", "origin/http/tests", "cli/testing"]),
    ("hyper::client", &["origin/http", "cli/", "http/socket_tests"]),
    ("hyper_util::client", &["origin/http", "cli/", "http/socket_tests", "telemetry/trace/export"]),
    ("sqlx", &["origin/sql", "feeds/postgres", "cli/demo/database"]),
    ("rustls", &["tls", "backend/valkey/tls"]),
    ("tokio_rustls", &["tls", "http/listener"]),
    ("prometheus", &["telemetry"]),
    ("figment", &["config"]),
    ("rmp_serde", &["backend/wire", "backend/valkey", "coherence/"]),
];

/// `model` has no clock and does no I/O.
const NEVER_IN_MODEL: [&str; 7] = [
    "tokio",
    "tokio_util",
    "std::fs",
    "std::net",
    "std::process",
    "std::time::Instant",
    "std::time::SystemTime",
];

#[test]
fn rooms_import_only_what_the_table_allows() {
    let mut faults = Vec::new();
    for file in sources() {
        let room = file.room();
        let Some((_, allowed)) = ROOMS.iter().find(|(name, _)| *name == room) else {
            faults.push(format!("{}: `{room}` is no room of the table", file.name));
            continue;
        };
        for other in file.rooms_imported() {
            let everywhere = room != "model" && room != "clock" && EVERYWHERE.contains(&other.as_str());
            if other != room && *allowed != ALL && !everywhere && !allowed.contains(&other.as_str()) {
                faults.push(format!("{}: `{room}` may not import `{other}`", file.name));
            }
        }
    }
    assert_eq!(faults, Vec::<String>::new());
}

#[test]
fn every_outside_crate_has_one_home() {
    let mut faults = Vec::new();
    for file in sources() {
        let below = file.name.strip_prefix("src/").expect("a source is below src");
        for path in paths(&file.text) {
            let path = path.join("::");
            for (part, homes) in HOMES {
                if starts_with(&path, part) && !homes.iter().any(|home| below.starts_with(home)) {
                    faults.push(format!("{}: `{path}` is at home in {homes:?}", file.name));
                }
            }
            if file.room() == "model" && NEVER_IN_MODEL.iter().any(|part| starts_with(&path, part)) {
                faults.push(format!("{}: `{path}` in the model", file.name));
            }
        }
    }
    assert_eq!(faults, Vec::<String>::new());
}

#[test]
fn every_file_says_what_it_owns_and_is_short() {
    let mut faults = Vec::new();
    for file in ["src", "tests", "benches", "fuzz/fuzz_targets"].iter().flat_map(|dir| files(dir)) {
        if !file.text.starts_with("//! ") {
            faults.push(format!("{}: does not begin with `//! ` and what it owns", file.name));
        }
        let lines = file.text.lines().count();
        if LINES_MAX < lines {
            faults.push(format!("{}: {lines} lines, more than {LINES_MAX}", file.name));
        }
    }
    assert_eq!(faults, Vec::<String>::new());
}

#[test]
fn make_help_names_every_target() {
    let makefile = fs::read_to_string(root().join("Makefile")).expect("there is a Makefile");
    let help = Command::new("make").args(["-s", "help"]).current_dir(root()).env_remove("MAKEFLAGS").output();
    let help = String::from_utf8(help.expect("make runs").stdout).expect("help is text");
    let is_target =
        |name: &&str| !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || c == '-');
    let targets: Vec<_> =
        makefile.lines().filter_map(|line| Some(line.split_once(':')?.0)).filter(is_target).collect();
    assert!(targets.contains(&"test") && targets.contains(&"lint"), "{targets:?}");
    let listed: Vec<_> = help.lines().filter_map(|line| line.split_whitespace().next()).collect();
    let missing: Vec<_> = targets.iter().filter(|target| !listed.contains(target)).collect();
    assert!(missing.is_empty(), "not in `make help`: {missing:?}");
}

#[test]
fn paths_are_found_in_code_and_nowhere_else() {
    let source = r##"
        //! [`crate::comment`]
        use crate::{model::{Key, Tag as T}, cache};
        /* crate::a /* crate::nested */ crate::b */
        use hyper::{
            server::conn::http1, // crate::tail
            Method,
        };
        fn f<'a>(c: &'a char) -> bool { *c == '"' || "crate::text \" x" == r#"crate::"raw"# || crate::clock::now() }
    "##;
    let found: Vec<String> =
        paths(source).iter().map(|path| path.join("::")).filter(|p| p.contains("::")).collect();
    let expected = [
        "crate::model::Key",
        "crate::model::Tag",
        "crate::cache",
        "hyper::server::conn::http1",
        "hyper::Method",
        "crate::clock::now",
    ];
    assert_eq!(found, expected);
}

/// A source file of ours.
struct Source {
    /// Its path below the root, with `/`.
    name: String,
    text: String,
}

impl Source {
    /// The room it belongs to: the first part of its path below `src/`.
    fn room(&self) -> &str {
        let below = self.name.strip_prefix("src/").unwrap_or(&self.name);
        below.split('/').next().unwrap_or(below).trim_end_matches(".rs")
    }

    /// The rooms that its code names, its own included.
    fn rooms_imported(&self) -> Vec<String> {
        // How far up `super` reaches the crate's root; an inline module in between only makes this more lenient.
        let below = self.name.strip_prefix("src/").unwrap_or(&self.name).trim_end_matches("/mod.rs");
        let depth = below.split('/').count();
        let is_room = |name: &String| ROOMS.iter().any(|(room, _)| room == name);
        let named = paths(&self.text).into_iter().filter_map(|path| {
            let up = path.iter().take_while(|part| *part == "super").count();
            let from_root = path[0] == "crate" || path[0] == "coherd";
            if from_root {
                path.get(1).cloned()
            } else if depth <= up {
                path.get(up).filter(|name| is_room(name)).cloned()
            } else {
                None
            }
        });
        // What `lib.rs` itself holds is no room.
        named.filter(is_room).collect()
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

/// The sources of the library and the binary.
fn sources() -> Vec<Source> {
    let sources = files("src");
    assert!(sources.len() > 10, "the sources are not where they were: {} files", sources.len());
    sources
}

/// The Rust files below a folder of the root; none if there is no such folder.
fn files(dir: &str) -> Vec<Source> {
    let Ok(entries) = fs::read_dir(root().join(dir)) else { return Vec::new() };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.expect("a folder can be read");
        let name = format!("{dir}/{}", entry.file_name().to_string_lossy());
        if entry.path().is_dir() {
            found.extend(files(&name));
        } else if entry.path().extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(entry.path()).expect("a source file is text");
            found.push(Source { name, text });
        }
    }
    found
}

fn starts_with(path: &str, part: &str) -> bool {
    path.strip_prefix(part).is_some_and(|rest| rest.starts_with("::"))
}

/// All paths in the code of a source, those of grouped imports one by one.
fn paths(source: &str) -> Vec<Vec<String>> {
    let tokens = tokens(source);
    let (mut found, mut at) = (Vec::new(), 0);
    while at < tokens.len() {
        if is_name(&tokens[at]) {
            at = path(&tokens, at, &[], &mut found);
        } else {
            at += 1;
        }
    }
    found
}

/// Reads the path that begins `at` a name, below `prefix`; says where it ends.
fn path(tokens: &[String], mut at: usize, prefix: &[String], found: &mut Vec<Vec<String>>) -> usize {
    let mut parts = prefix.to_vec();
    parts.push(tokens[at].clone());
    at += 1;
    while tokens.get(at).is_some_and(|token| token == "::") {
        match tokens.get(at + 1) {
            Some(name) if is_name(name) => {
                parts.push(name.clone());
                at += 2;
            }
            Some(open) if open == "{" => {
                at += 2;
                while let Some(token) = tokens.get(at).filter(|token| *token != "}") {
                    // After `as` comes a new name, which is no path.
                    let alias = tokens[at - 1] == "as" || token == "as";
                    at = if is_name(token) && !alias { path(tokens, at, &parts, found) } else { at + 1 };
                }
                return at + 1;
            }
            _ => break,
        }
    }
    found.push(parts);
    at
}

fn is_name(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// Names, `::` and single characters; no comments, no texts.
fn tokens(source: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            block_comment(rest)
        } else if let Some(length) = literal(rest) {
            length
        } else if is_name(rest) {
            let length = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            tokens.push(rest[..length].to_owned());
            length
        } else if rest.starts_with("::") {
            tokens.push("::".to_owned());
            2
        } else {
            if !first.is_whitespace() {
                tokens.push(first.to_string());
            }
            first.len_utf8()
        };
        rest = &rest[length..];
    }
    tokens
}

fn block_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    loop {
        let rest = &text.as_bytes()[at..];
        if rest.starts_with(b"/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if rest.starts_with(b"*/") {
            (depth, at) = (depth - 1, at + 2);
        } else {
            at += 1;
        }
        if depth == 0 || text.len() <= at {
            return at.min(text.len());
        }
    }
}

/// The length of the text or character that `text` begins with, if it begins with one.
fn literal(text: &str) -> Option<usize> {
    let body = text.strip_prefix(['b', 'c']).unwrap_or(text);
    if let Some(raw) = body.strip_prefix('r') {
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        if raw[hashes..].starts_with('"') {
            let end = format!("\"{}", "#".repeat(hashes));
            let start = text.len() - raw.len() + hashes + 1;
            return Some(text[start..].find(&end).map_or(text.len(), |at| start + at + end.len()));
        }
    }
    let quote = body.chars().next().filter(|c| *c == '"' || *c == '\'')?;
    let start = text.len() - body.len() + 1;
    let mut escaped = false;
    for (at, c) in text[start..].char_indices() {
        if quote == '\'' && !escaped && 0 < at && c != '\'' && !text[start..].starts_with('\\') {
            // A lifetime: one character and no closing quote.
            return None;
        }
        if c == quote && !escaped {
            return Some(start + at + 1);
        }
        escaped = c == '\\' && !escaped;
    }
    None
}
