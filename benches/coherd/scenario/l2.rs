//! An L2 hit over HTTP, beside hyper that does one GET by fred.

use super::{Stage, around, connect};
use crate::fault::Fault;
use crate::instance::L2;
use crate::measure::{FIGURES, Side, compare, fill, float};
use crate::reference::Kind;
use crate::report::{Limit, Table, grouped};

/// Keys asked for: between two requests for one of them moka has long thrown out what did not fit.
const KEYS: u64 = 10_000;

/// Measures it.
pub(super) fn measure(stage: &Stage) -> Result<Table, Fault> {
    let aside = stage.reference("aside-l2", Kind::Aside)?;
    let mut sides = [
        Side {
            name: "coherd",
            generator: connect(stage.instance.data, Some("detail=l2"))?,
            next: around(L2, KEYS),
            front: &stage.instance.process,
            valkey: Some(&stage.valkey.process),
            behind: None,
        },
        Side {
            name: "hyper + GET",
            generator: connect(aside.addr, None)?,
            next: around(L2, KEYS),
            front: &aside.process,
            valkey: Some(&stage.valkey.process),
            behind: None,
        },
    ];
    fill(stage.instance.data, around(L2, KEYS), KEYS)?;
    fill(aside.addr, around(L2, KEYS), KEYS)?;
    let compared = compare(&mut sides, &stage.plan, stage.cores.servers())?;
    let note = format!(
        "{} keys, none of which fit L1; latency at {} req/s",
        grouped(float(KEYS), 0),
        grouped(compared.rate, 0)
    );
    Ok(Table::new("L2 hit over HTTP", note, &FIGURES, compared.rows)
        .bar("L2 hit, CPU of coherd", "cpu_us_per_request", Limit::Times(1.2, "hyper + GET"))
        .bar("L2 hit, CPU of Valkey", "valkey_cpu_us_per_request", Limit::Times(1.3, "hyper + GET")))
}
