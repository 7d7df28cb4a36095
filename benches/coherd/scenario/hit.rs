//! An L1 hit over HTTP, beside hyper that answers from memory, with and without a look-up in moka.

use super::{Stage, around, connect};
use crate::fault::Fault;
use crate::instance::HIT;
use crate::measure::{FIGURES, Side, compare, fill, float};
use crate::reference::Kind;
use crate::report::{Table, grouped};

/// Keys asked for.
const KEYS: u64 = 1_000;

/// Measures it.
pub(super) fn measure(stage: &Stage) -> Result<Table, Fault> {
    let (memory, moka) = (stage.reference("memory", Kind::Memory)?, stage.reference("moka", Kind::Moka)?);
    let mut sides = [
        Side {
            name: "coherd",
            generator: connect(stage.instance.data, Some("detail=l1"))?,
            next: around(HIT, KEYS),
            front: &stage.instance.process,
            valkey: Some(&stage.valkey.process),
            behind: None,
        },
        Side {
            name: "hyper",
            generator: connect(memory.addr, None)?,
            next: around(HIT, KEYS),
            front: &memory.process,
            valkey: None,
            behind: None,
        },
        Side {
            name: "hyper + moka",
            generator: connect(moka.addr, None)?,
            next: around(HIT, KEYS),
            front: &moka.process,
            valkey: None,
            behind: None,
        },
    ];
    fill(&mut sides[0], stage.instance.data, KEYS)?;
    fill(&mut sides[2], moka.addr, KEYS)?;
    let compared = compare(&mut sides, &stage.plan, stage.cores.servers())?;
    let note = format!("{} keys; latency at {} req/s", grouped(float(KEYS), 0), grouped(compared.rate, 0));
    Ok(Table::new("L1 hit over HTTP", note, &FIGURES, compared.rows))
}
