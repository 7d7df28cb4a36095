//! A full miss over HTTP (lease, origin, fill), beside hyper that does GET, asks the origin and does SET.

use super::{Stage, around, connect};
use crate::fault::Fault;
use crate::instance::MISS;
use crate::measure::{FIGURES, Side, compare};
use crate::reference::Kind;
use crate::report::{Limit, Table, grouped};

/// Measures it.
pub(super) fn measure(stage: &Stage) -> Result<Table, Fault> {
    let aside = stage.reference("aside-miss", Kind::Aside)?;
    let mut sides = [
        Side {
            name: "coherd",
            generator: connect(stage.instance.data, Some("detail=origin"))?,
            next: around(MISS, u64::MAX),
            front: &stage.instance.process,
            valkey: Some(&stage.valkey.process),
            behind: Some(&stage.origin.process),
        },
        Side {
            name: "hyper + GET, SET",
            generator: connect(aside.addr, None)?,
            next: around(MISS, u64::MAX),
            front: &aside.process,
            valkey: Some(&stage.valkey.process),
            behind: Some(&stage.origin.process),
        },
    ];
    let compared = compare(&mut sides, &stage.plan, stage.cores.servers())?;
    let note = format!("every key once, the origin by HTTP; latency at {} req/s", grouped(compared.rate, 0));
    let path = "full miss with lease, fill and L1, CPU of coherd";
    Ok(Table::new("Full miss over HTTP", note, &FIGURES, compared.rows)
        .bar(path, "cpu_us_per_request", Limit::Times(1.4, "hyper + GET, SET"))
        .bar("  the same, CPU of Valkey", "valkey_cpu_us_per_request", Limit::Times(1.4, "hyper + GET, SET")))
}
