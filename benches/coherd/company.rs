//! Who else used the machine while it was measured: with company, latency and throughput say little.

use std::fs;

use serde::Serialize;

use crate::fault::Fault;
use crate::measure::float;

/// Shares of the machine's time that went elsewhere during a run.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Company {
    /// To other processes.
    pub(crate) others: f64,
    /// To other machines on the same hardware, as far as the hypervisor tells.
    pub(crate) stolen: f64,
}

/// The kernel's counts of time at the beginning of a run, in ticks.
pub(crate) struct Counts {
    all: u64,
    used: u64,
    stolen: u64,
    /// Of this process and of all that it started and that have ended.
    own: u64,
}

impl Counts {
    /// As they are now.
    pub(crate) fn now() -> Result<Self, Fault> {
        // user, nice, system, idle, iowait, irq, softirq, steal
        let stat = numbers(&fs::read_to_string("/proc/stat")?, 1, 8)?;
        let own = fs::read_to_string("/proc/self/stat")?;
        let (_, own) = own.rsplit_once(')').ok_or("a process without a name")?;
        // After the name: user and kernel time, then the same of children, from the 12th field on.
        let own = numbers(own, 11, 4)?.iter().sum();
        let stolen = stat.get(7).copied().unwrap_or(0);
        Ok(Self { all: stat.iter().sum(), used: stat.iter().take(3).sum(), stolen, own })
    }

    /// What went elsewhere since then; whatever this process started has ended.
    pub(crate) fn company(&self) -> Result<Company, Fault> {
        let now = Self::now()?;
        let all = now.all.saturating_sub(self.all).max(1);
        let used = now.used.saturating_sub(self.used);
        let others = used.saturating_sub(now.own.saturating_sub(self.own));
        let stolen = now.stolen.saturating_sub(self.stolen);
        Ok(Company { others: float(others) / float(all), stolen: float(stolen) / float(all) })
    }
}

/// So many numbers of a text, after the first few words.
fn numbers(text: &str, skip: usize, count: usize) -> Result<Vec<u64>, Fault> {
    Ok(text.split_ascii_whitespace().skip(skip).take(count).map(str::parse).collect::<Result<_, _>>()?)
}
