//! A read of 100 keys at once, all in L1, beside a read of one, and beside hyper that answers with as many bytes.

use super::{Stage, around, at_once, connect};
use crate::driver::Pace;
use crate::fault::Fault;
use crate::instance::{HIT, SMALL};
use crate::measure::{FIGURES, Side, compare, fill, float};
use crate::plan::{SMALL_BYTES, VALUE_BYTES};
use crate::reference::Kind;
use crate::report::{Limit, Table, grouped};

/// Keys asked for at once.
const AT_ONCE: u64 = 100;
/// Keys asked for.
const KEYS: u64 = 1_000;

/// Measures it with values as everywhere.
pub(super) fn usual(stage: &Stage) -> Result<Table, Fault> {
    by(HIT, VALUE_BYTES, "Bulk read of 100 keys in L1", "bulk GET of 100 keys in L1 beside one GET", stage)
}

/// Measures it with small values, which are JSON.
pub(super) fn small(stage: &Stage) -> Result<Table, Fault> {
    by(SMALL, SMALL_BYTES, "Bulk read of 100 small keys in L1", "  the same, values of 16 bytes", stage)
}

fn by(
    namespace: &str,
    bytes: usize,
    title: &'static str,
    path: &'static str,
    stage: &Stage,
) -> Result<Table, Fault> {
    let memory = stage.reference("memory-bulk", Kind::Memory)?;
    let data = stage.instance.data;
    fill(data, around(namespace, KEYS), KEYS)?;
    let mut coherd = connect(data, Some("coherd"))?;
    let run = coherd.run(Pace::Count(KEYS / AT_ONCE), &mut *at_once(namespace, AT_ONCE, KEYS))?;
    let length = run.bytes / run.requests;
    let mut sides = [
        Side {
            name: "coherd, 100 keys",
            generator: coherd,
            next: at_once(namespace, AT_ONCE, KEYS),
            front: &stage.instance.process,
            valkey: None,
            behind: None,
        },
        Side {
            name: "coherd, 1 key",
            generator: connect(data, Some("detail=l1"))?,
            next: around(namespace, KEYS),
            front: &stage.instance.process,
            valkey: None,
            behind: None,
        },
        Side {
            name: "hyper, same bytes",
            generator: connect(memory.addr, None)?,
            next: Box::new(move |request| {
                let text = format!("GET /?bytes={length} HTTP/1.1\r\nHost: bench\r\n\r\n");
                request.extend_from_slice(text.as_bytes());
            }),
            front: &memory.process,
            valkey: None,
            behind: None,
        },
    ];
    let compared = compare(&mut sides, &stage.plan, stage.cores.servers())?;
    let note = format!(
        "{AT_ONCE} of {} keys at once, values of {} bytes, an answer of {} bytes; latency at {} req/s",
        grouped(float(KEYS), 0),
        grouped(float(bytes as u64), 0),
        grouped(float(length), 0),
        grouped(compared.rate, 0)
    );
    Ok(Table::new(title, note, &FIGURES, compared.rows).bar(
        path,
        "cpu_us_per_request",
        Limit::Times(3.0, "coherd, 1 key"),
    ))
}
