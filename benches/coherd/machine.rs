//! What a run was made on: without it no number means anything.

use std::fs;
use std::process::Command;
use std::thread::available_parallelism;

use serde::Serialize;

use crate::fault::Fault;
use crate::scenario::Stage;

/// Where a run was made, and of what.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Machine {
    pub(crate) coherd: String,
    pub(crate) compiler: String,
    pub(crate) processor: String,
    pub(crate) processors: usize,
    pub(crate) memory_mib: u64,
    pub(crate) kernel: String,
    pub(crate) valkey: String,
    /// Which cores did what.
    pub(crate) cores: String,
}

/// What this run is made on.
pub(crate) fn describe(stage: &Stage) -> Result<Machine, Fault> {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo")?;
    let meminfo = fs::read_to_string("/proc/meminfo")?;
    let kib = field(&meminfo, "MemTotal").trim_end_matches("kB").trim().parse::<u64>().unwrap_or(0);
    let processors = cpuinfo.lines().filter(|line| line.starts_with("processor")).count();
    Ok(Machine {
        coherd: revision(),
        compiler: output("rustc", &["--version"]),
        processor: field(&cpuinfo, "model name").to_owned(),
        // Some architectures list them otherwise.
        processors: if processors == 0 { available_parallelism()?.get() } else { processors },
        memory_mib: kib / 1024,
        kernel: fs::read_to_string("/proc/sys/kernel/osrelease")?.trim().to_owned(),
        valkey: stage.valkey.version()?,
        cores: stage.cores.describe(),
    })
}

fn field<'a>(text: &'a str, name: &str) -> &'a str {
    let line = text.lines().find(|line| line.starts_with(name));
    line.and_then(|line| line.split_once(':')).map_or("unknown", |(_, value)| value.trim())
}

fn revision() -> String {
    let commit = output("git", &["rev-parse", "--short", "HEAD"]);
    let changed = !output("git", &["status", "--porcelain", "--untracked-files=no"]).is_empty();
    format!("{} ({commit}{})", env!("CARGO_PKG_VERSION"), if changed { ", changed" } else { "" })
}

/// What a program says; nothing if there is no such program.
fn output(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).current_dir(env!("CARGO_MANIFEST_DIR")).output();
    output.map_or_else(|_| String::new(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
