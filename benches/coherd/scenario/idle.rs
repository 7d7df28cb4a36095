//! What 10,000 clients cost that keep a connection and say nothing, beside bare hyper.

use std::net::SocketAddr;
use std::thread::sleep;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::{Stage, around, connect_by};
use crate::driver::Pace;
use crate::fault::Fault;
use crate::instance::HIT;
use crate::measure::{fill, float};
use crate::process::Process;
use crate::reference::Kind;
use crate::report::{Figure, Limit, Row, Table};

const FIGURES: [Figure; 1] =
    [Figure { name: "kib_per_client", heading: "KiB/client", decimals: 1, compared: true }];

/// Clients, as many as a listener takes.
const CLIENTS: u64 = 10_000;
/// Connected at once.
const AT_ONCE: u64 = 200;
/// Descriptors that this process needs beside theirs.
const DESCRIPTORS: u64 = 500;
/// Requests before anything is measured.
const LEAD: u64 = 20_000;
const ROUNDS: usize = 3;
const PAUSE: Duration = Duration::from_millis(200);

/// Measures it.
pub(super) fn measure(stage: &Stage) -> Result<Table, Fault> {
    allow_descriptors(CLIENTS + DESCRIPTORS)?;
    let mut rows = [Row::new("coherd", FIGURES.len()), Row::new("hyper", FIGURES.len())];
    for round in 0..ROUNDS {
        // Each time another process: memory that was freed is not given back.
        let instance = stage.instance_at(&format!("inst-idle-{round}"), stage.valkey.addr)?;
        rows[0].values[0].push(grown(&instance.process, instance.data)?);
        let memory = stage.reference("memory-idle", Kind::Memory)?;
        rows[1].values[0].push(grown(&memory.process, memory.addr)?);
    }
    let note = "resident memory that a process has more once 10,000 clients have each had one answer and keep their\n\
        connection, for each of them; the kernel's buffers are not in it";
    Ok(Table::new("Idle keep-alive clients", note.to_owned(), &FIGURES, rows.into()).bar(
        "10,000 idle keep-alive clients, each",
        FIGURES[0].name,
        Limit::Most(10.0, "KiB"),
    ))
}

/// KiB of memory for each client.
fn grown(process: &Process, addr: SocketAddr) -> Result<f64, Fault> {
    fill(addr, around(HIT, 1), LEAD)?;
    // Until their ends are seen: a listener takes no more than CLIENTS.
    sleep(PAUSE);
    let before = process.resident()?;
    // Some after the others, each asking at once: a listener's queue is short, and who says nothing is sent away.
    let mut clients = Vec::new();
    for _ in 0..CLIENTS / AT_ONCE {
        let mut some = connect_by(usize::try_from(AT_ONCE)?, addr, None)?;
        let asked = some.run(Pace::Count(AT_ONCE), &mut *around(HIT, 1));
        asked
            .map_err(|error| process.failed(&format!("does not answer all of {CLIENTS} clients: {error}")))?;
        clients.push(some);
    }
    Ok(float(process.resident()?.saturating_sub(before)) / 1024.0 / float(CLIENTS))
}

/// For this process and those it starts.
fn allow_descriptors(count: u64) -> Result<(), Fault> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_some_and(|it| it < count) {
        setrlimit(Resource::Nofile, Rlimit { current: Some(count), maximum })
            .map_err(|error| format!("{count} descriptors are needed (ulimit -n): {error}"))?;
    }
    Ok(())
}
