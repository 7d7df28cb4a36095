//! Which cores are measured and which one measures.

use std::fmt::Write as _;
use std::io;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Cores for what is measured, at most: one thread cannot generate load for more.
const SERVERS_MAX: usize = 2;

/// The cores of this run.
pub(crate) struct Cores {
    servers: Vec<usize>,
    generator: usize,
}

impl Cores {
    /// The last core that this process may use generates load, and this thread stays there; those before it are
    /// measured. With one core both share it.
    pub(crate) fn split() -> io::Result<Self> {
        let allowed = sched_getaffinity(None)?;
        let mut cores: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core)).collect();
        let generator = cores.pop().ok_or(io::ErrorKind::Unsupported)?;
        cores.truncate(SERVERS_MAX);
        if cores.is_empty() {
            cores.push(generator);
        }
        pin(&[generator])?;
        Ok(Self { servers: cores, generator })
    }

    /// How many are measured.
    pub(crate) fn servers(&self) -> usize {
        self.servers.len()
    }

    /// Runs `start`, and whatever process or thread it starts, where things are measured.
    pub(crate) fn among_servers<T, E: From<io::Error>>(
        &self,
        start: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        // A child begins with the affinity of the thread that started it.
        pin(&self.servers)?;
        let started = start();
        pin(&[self.generator])?;
        started
    }

    /// These cores, with the generator's for what is measured, too: for what is alone while the generator waits.
    pub(crate) fn beside_generator(&self) -> Self {
        Self { servers: vec![self.generator], generator: self.generator }
    }

    /// In words.
    pub(crate) fn describe(&self) -> String {
        let mut text = String::from("servers on core");
        for (index, core) in self.servers.iter().enumerate() {
            let before = if index == 0 { ' ' } else { ',' };
            write!(text, "{before}{core}").expect("a string takes whatever is written");
        }
        write!(text, ", load generator on core {}", self.generator)
            .expect("a string takes whatever is written");
        text
    }
}

fn pin(cores: &[usize]) -> io::Result<()> {
    let mut set = CpuSet::new();
    for core in cores {
        set.set(*core);
    }
    Ok(sched_setaffinity(None, &set)?)
}
