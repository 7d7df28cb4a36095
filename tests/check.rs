//! `coherd check` and `coherd completions` as processes: what they print, and the exit code.

use std::fs;
use std::process::{Command, Output};

use tempfile::TempDir;

fn coherd(folder: &TempDir, arguments: &[&str], env: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_coherd"));
    command.args(arguments).current_dir(folder).env_clear().envs(env.iter().copied());
    command.output().expect("coherd starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("it prints UTF-8")
}

#[test]
fn check_prints_what_is_in_force_and_where_it_came_from() {
    let folder = TempDir::new().expect("a folder");
    fs::write(folder.path().join("a.toml"), "[backend]\npool = 7\nurl = \"valkey://:hunter2@h\"")
        .expect("a file");
    let arguments = ["check", "-c", "a.toml", "--set", "log.level=debug"];
    let env = [("COHERD_SERVER__WORKERS", "3"), ("COHERD_TOKEN", "hunter2")];
    let output = coherd(&folder, &arguments, &env);
    let printed = text(&output.stdout);
    assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(0), ""), "{printed}");
    for line in [
        "pool = 7  # from a.toml",
        "url = \"valkey://:***@h\"  # from a.toml",
        "workers = 3  # from COHERD_SERVER__WORKERS",
        "level = \"debug\"  # from --set log.level",
        "cluster = \"main\"",
    ] {
        assert!(printed.lines().any(|printed| printed == line), "`{line}` is not in\n{printed}");
    }
    assert!(!printed.contains("hunter2"), "{printed}");
}

#[test]
fn check_says_every_fault_on_a_line_of_its_own_and_ends_with_two() {
    let folder = TempDir::new().expect("a folder");
    fs::write(folder.path().join("a.toml"), "[backend]\npol = 7\npassword = 5").expect("a file");
    let arguments = ["check", "-c", "a.toml", "-c", "missing.toml", "--set", "monitor.sample=9"];
    let output = coherd(&folder, &arguments, &[("COHERD_SERVER__LISTEN", "0.0.0.0:8080")]);
    let said = text(&output.stderr);
    assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(2), ""), "{said}");
    let begins: Vec<_> =
        said.lines().filter_map(|line| line.split_once(": ")).map(|(begin, _)| begin).collect();
    assert_eq!(
        begins,
        [
            "missing.toml",
            "backend.password (a.toml)",
            "backend.pol (a.toml)",
            "monitor.sample (--set monitor.sample)",
            "server.listen (COHERD_SERVER__LISTEN)",
        ]
    );
}

#[test]
fn usage_ends_with_two_help_and_completions_with_zero() {
    let folder = TempDir::new().expect("a folder");
    for (arguments, code) in [
        (["check", "--wrong"], 2),
        (["check", "--help"], 0),
        (["completions", "bash"], 0),
        (["completions", "fish"], 0),
    ] {
        let output = coherd(&folder, &arguments, &[]);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}");
        assert_eq!(!output.stdout.is_empty(), code == 0, "{arguments:?}");
    }
}
