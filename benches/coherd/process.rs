//! Processes that are measured: started on their cores, ended with this one however that ends, their CPU time read.

use std::env;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::cores::Cores;
use crate::fault::Fault;
use crate::measure::float;

/// Between two looks at a process that starts.
const PAUSE: Duration = Duration::from_millis(10);
/// Looks at a process that starts: 20 s.
const LOOKS_MAX: usize = 2_000;
/// How much of its output is shown of a process that failed, in bytes.
const SHOWN_MAX: usize = 4_096;

/// A running process, killed when this is dropped.
pub(crate) struct Process {
    name: String,
    holder: Child,
    id: u32,
    output: PathBuf,
}

impl Process {
    /// Starts `program` where things are measured; its output goes to a file in `dir`.
    pub(crate) fn start(
        name: &str,
        program: &Path,
        args: &[&str],
        dir: &Path,
        cores: &Cores,
    ) -> Result<Self, Fault> {
        let output = dir.join(format!("{name}.log"));
        let file = OpenOptions::new().create(true).append(true).open(&output)?;
        let mut command = Command::new(env::current_exe()?);
        command.arg("hold").arg(&output).arg(program).args(args);
        // A developer's own settings are no part of what is measured.
        for (name, _) in env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("COHERD_")) {
            command.env_remove(name);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(file);
        let mut holder = cores.among_servers(|| command.spawn())?;
        let mut line = String::new();
        BufReader::new(holder.stdout.take().ok_or("a process without its output")?).read_line(&mut line)?;
        let id = line.trim().parse();
        let process = Self { name: name.to_owned(), holder, id: id.as_ref().copied().unwrap_or(0), output };
        match id {
            Ok(_) => Ok(process),
            Err(_) => Err(process.failed("does not start")),
        }
    }

    /// Waits until `check` holds.
    pub(crate) fn until(&self, what: &str, mut check: impl FnMut() -> bool) -> Result<(), Fault> {
        for _ in 0..LOOKS_MAX {
            if check() {
                return Ok(());
            }
            // Its holder has not reaped it yet.
            if self.stat()?.first().is_none_or(|state| state == "Z") {
                break;
            }
            sleep(PAUSE);
        }
        Err(self.failed(&format!("is not {what}")))
    }

    /// Seconds of CPU time of its threads in user and kernel mode, to about a millisecond. What a thread that has ended
    /// used is not in it: runtimes keep theirs.
    pub(crate) fn cpu(&self) -> Result<f64, Fault> {
        let mut nanos = 0;
        for task in fs::read_dir(format!("/proc/{}/task", self.id))? {
            // A thread may end between the list and the look.
            let Ok(stat) = fs::read_to_string(task?.path().join("schedstat")) else { continue };
            nanos += stat.split_ascii_whitespace().next().unwrap_or_default().parse::<u64>()?;
        }
        Ok(float(nanos) / 1e9)
    }

    /// Bytes of memory that it holds.
    pub(crate) fn resident(&self) -> Result<u64, Fault> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id))?;
        let line =
            status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("a process without VmRSS")?;
        Ok(line.trim().trim_end_matches("kB").trim().parse::<u64>()? * 1024)
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) -> Result<(), Fault> {
        let id = Pid::from_raw(self.id.try_into()?).ok_or("a process without an id")?;
        Ok(kill_process(id, signal)?)
    }

    /// What the kernel says of it after its name: the state first.
    fn stat(&self) -> Result<Vec<String>, Fault> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.id))?;
        // The name, in parentheses, may hold anything.
        let (_, fields) = stat.rsplit_once(')').ok_or("a process without a name")?;
        Ok(fields.split_ascii_whitespace().map(str::to_owned).collect())
    }

    /// The fault that it is not as it should be, with the end of what it wrote.
    pub(crate) fn failed(&self, how: &str) -> Fault {
        let output = fs::read(&self.output).unwrap_or_default();
        let end = String::from_utf8_lossy(&output[output.len().saturating_sub(SHOWN_MAX)..]).into_owned();
        format!("{} {how}; the end of its output:\n{end}", self.name).into()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The holder's input ends, it kills what it holds, and ends.
        drop(self.holder.stdin.take());
        drop(self.holder.wait());
    }
}

/// `hold OUTPUT PROGRAM ARG…`: runs a program for as long as the standard input is open, after a line with its id.
pub(crate) fn hold(mut args: impl Iterator<Item = String>) -> Result<(), Fault> {
    let output = args.next().ok_or("no file for the output")?;
    let program = args.next().ok_or("no program")?;
    let output = OpenOptions::new().append(true).open(output)?;
    let again = output.try_clone()?;
    let mut child = Command::new(&program)
        .args(args)
        .stdin(Stdio::null())
        .stdout(output)
        .stderr(again)
        .spawn()
        .map_err(|error| format!("{program}: {error}"))?;
    writeln!(io::stdout(), "{}", child.id())?;
    // Whoever started us lets go of this when it ends, in whatever way.
    let waited = io::stdin().read(&mut [0]);
    child.kill()?;
    child.wait()?;
    waited?;
    Ok(())
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

/// A file of text in `dir`.
pub(crate) fn write(dir: &Path, name: &str, text: &str) -> io::Result<PathBuf> {
    let path = dir.join(name);
    File::create(&path)?.write_all(text.as_bytes())?;
    Ok(path)
}
