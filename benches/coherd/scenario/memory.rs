//! What an entry in L1 takes beside its value and its key, beside moka alone; and what a process takes whose L1 is full.
//!
//! The entries come to the instance as they do to one that joins others: from L2, by bulk reads. There they are copies of
//! one entry, made by Valkey.
//!
//! `entries COUNT BYTES`: moka alone, in a process of its own; it prints the bytes it grew by.

use std::env;
use std::fs;
use std::hint::black_box;
use std::io::Write as _;
use std::process::Command;
use std::sync::Arc;

use bytes::Bytes;
use moka::sync::Cache;

use super::{Stage, around, at_once, connect_by};
use crate::driver::Pace;
use crate::fault::Fault;
use crate::instance::{Instance, ROOMY, TIGHT, TIGHT_MIB};
use crate::measure::{fill, float};
use crate::plan::VALUE_BYTES;
use crate::report::{Figure, Limit, Row, Table, grouped};
use crate::resp::{Resp, command};

const FIGURES: [Figure; 2] = [
    Figure { name: "bytes_beside_value_and_key", heading: "B/entry", decimals: 0, compared: true },
    Figure { name: "resident_by_capacity", heading: "of capacity", decimals: 2, compared: false },
];

/// Entries of which each is weighed.
const ENTRIES: u64 = 200_000;
/// Asked for at once, on one connection: what is under way is no entry's.
const AT_ONCE: u64 = 100;
/// Reads before anything is weighed.
const LEAD: usize = 50;
/// Entries, in sizes of the capacity, that are read where so many do not fit.
const BEYOND: u64 = 2;
/// Bytes of a key, at most.
const KEY_BYTES: usize = 7;
const ROUNDS: usize = 3;

/// Measures it.
pub(super) fn measure(stage: &Stage) -> Result<Table, Fault> {
    let beyond = (TIGHT_MIB << 20) / VALUE_BYTES as u64 * BEYOND / AT_ONCE * AT_ONCE;
    copies(stage, ROOMY, ENTRIES)?;
    copies(stage, TIGHT, beyond)?;
    let mut rows = [Row::new("coherd", FIGURES.len()), Row::new("moka", FIGURES.len())];
    for round in 0..ROUNDS {
        // Each time another process: memory that was freed is not given back.
        let instance = stage.instance_at(&format!("inst-roomy-{round}"), stage.valkey.addr)?;
        rows[0].values[0].push(weighed(&instance)?);
        rows[1].values[0].push(moka(stage)?);
        let instance = stage.instance_at(&format!("inst-tight-{round}"), stage.valkey.addr)?;
        read(&instance, TIGHT, beyond)?;
        rows[0].values[1].push(float(instance.process.resident()?) / float(TIGHT_MIB << 20));
    }
    let note = format!(
        "resident memory that a process has more with {} entries of {} bytes and keys of up to {KEY_BYTES}, less value and\n\
         key, for each; and the whole process, with an L1 of {TIGHT_MIB} MiB once entries of {BEYOND} times as much were read,\n\
         in sizes of that L1. moka: moka::sync with Arc<str> and Bytes alone.",
        grouped(float(ENTRIES), 0),
        grouped(float(VALUE_BYTES as u64), 0),
    );
    Ok(Table::new("L1 memory", note, &FIGURES, rows.into())
        .bar(
            "L1 memory an entry, beside value, key and moka's own",
            FIGURES[0].name,
            Limit::Beyond(420.0, "B", "moka"),
        )
        .bar("resident memory, of the configured capacity", FIGURES[1].name, Limit::Most(1.3, "")))
}

/// Puts so many entries into L2.
fn copies(stage: &Stage, namespace: &str, count: u64) -> Result<(), Fault> {
    fill(stage.instance.data, around(namespace, 1), 1)?;
    let key = |number: usize| format!("coherd:{{bench}}:e:{namespace}:v1:k{number}");
    let copy = |number: usize| command(&["COPY", &key(0), &key(number + 1)]);
    Ok(Resp::open(stage.valkey.addr)?.pipeline(usize::try_from(count)? - 1, copy)?)
}

/// Bytes of an entry beside its value and its key.
fn weighed(instance: &Instance) -> Result<f64, Fault> {
    // What the first answers need is no entry's.
    for _ in 0..LEAD {
        read(instance, ROOMY, AT_ONCE)?;
    }
    let before = instance.process.resident()?;
    read(instance, ROOMY, ENTRIES)?;
    Ok(beside(instance.process.resident()? - before, ENTRIES - AT_ONCE))
}

/// Has an instance read the first so many keys of a namespace.
fn read(instance: &Instance, namespace: &str, keys: u64) -> Result<(), Fault> {
    let mut reader = connect_by(1, instance.data, None)?;
    let run = reader.run(Pace::Count(keys / AT_ONCE), &mut *at_once(namespace, AT_ONCE, keys));
    run.map_err(|error| instance.process.failed(&format!("does not answer: {error}")))?;
    Ok(())
}

fn beside(bytes: u64, entries: u64) -> f64 {
    float(bytes) / float(entries) - float((VALUE_BYTES + KEY_BYTES) as u64)
}

fn moka(stage: &Stage) -> Result<f64, Fault> {
    let mut command = Command::new(env::current_exe()?);
    command.args(["entries", &ENTRIES.to_string(), &VALUE_BYTES.to_string()]);
    let output = stage.cores.among_servers(|| command.output())?;
    if !output.status.success() {
        return Err(format!("entries: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    Ok(beside(String::from_utf8(output.stdout)?.trim().parse()?, ENTRIES))
}

/// `entries COUNT BYTES`.
pub(crate) fn run(mut args: impl Iterator<Item = String>) -> Result<(), Fault> {
    let count: u64 = args.next().ok_or("no count")?.parse()?;
    let bytes: usize = args.next().ok_or("no bytes")?.parse()?;
    let cache: Cache<Arc<str>, Bytes> = Cache::new(2 * count);
    let before = resident()?;
    for number in 0..count {
        cache.insert(format!("k{number}").into(), vec![b'v'; bytes].into());
    }
    cache.run_pending_tasks();
    let grown = resident()? - before;
    writeln!(std::io::stdout(), "{grown}")?;
    black_box(cache);
    Ok(())
}

/// Bytes of memory that this process holds.
fn resident() -> Result<u64, Fault> {
    let pages: u64 = fs::read_to_string("/proc/self/statm")?.split(' ').nth(1).ok_or("no pages")?.parse()?;
    Ok(pages * u64::try_from(rustix::param::page_size())?)
}
