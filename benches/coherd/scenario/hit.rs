//! An L1 hit over HTTP, beside hyper that answers from memory, with and without a look-up in moka.

use super::{Stage, around, connect_by};
use crate::fault::Fault;
use crate::instance::HIT;
use crate::measure::{FIGURES, Side, compare, fill, float};
use crate::plan::CONNECTIONS;
use crate::reference::Kind;
use crate::report::{Limit, Table, grouped};

/// Keys asked for.
const KEYS: u64 = 1_000;

/// Clients at once.
const CROWD: usize = 1_000;

/// Measures it.
pub(super) fn measure(stage: &Stage) -> Result<Table, Fault> {
    Ok(by(CONNECTIONS, "L1 hit over HTTP", stage)?
        .bar("L1 hit over HTTP, CPU", "cpu_us_per_request", Limit::Times(1.25, "hyper"))
        .bar("L1 hit over HTTP, p99 at 32 connections", "p99_us", Limit::Times(1.5, "hyper")))
}

/// Measures it with many clients at once, each with its own connection.
pub(super) fn crowd(stage: &Stage) -> Result<Table, Fault> {
    by(CROWD, "L1 hit over HTTP, 1,000 clients at once", stage)
}

fn by(connections: usize, title: &'static str, stage: &Stage) -> Result<Table, Fault> {
    let (memory, moka) = (stage.reference("memory", Kind::Memory)?, stage.reference("moka", Kind::Moka)?);
    let mut sides = [
        Side {
            name: "coherd",
            generator: connect_by(connections, stage.instance.data, Some("detail=l1"))?,
            next: around(HIT, KEYS),
            front: &stage.instance.process,
            valkey: Some(&stage.valkey.process),
            behind: None,
        },
        Side {
            name: "hyper",
            generator: connect_by(connections, memory.addr, None)?,
            next: around(HIT, KEYS),
            front: &memory.process,
            valkey: None,
            behind: None,
        },
        Side {
            name: "hyper + moka",
            generator: connect_by(connections, moka.addr, None)?,
            next: around(HIT, KEYS),
            front: &moka.process,
            valkey: None,
            behind: None,
        },
    ];
    fill(stage.instance.data, around(HIT, KEYS), KEYS)?;
    fill(moka.addr, around(HIT, KEYS), KEYS)?;
    let compared = compare(&mut sides, &stage.plan, stage.cores.servers())?;
    let note = format!("{} keys; latency at {} req/s", grouped(float(KEYS), 0), grouped(compared.rate, 0));
    Ok(Table::new(title, note, &FIGURES, compared.rows))
}
