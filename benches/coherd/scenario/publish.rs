//! Events published through HTTP, one a request, beside hyper and fred that append to a stream and publish.

use super::{Stage, connect_to, events};
use crate::driver::Expected;
use crate::fault::Fault;
use crate::measure::{FIGURES, Side, compare};
use crate::reference::Kind;
use crate::report::{Limit, Table, grouped};

/// Measures it.
pub(super) fn measure(stage: &Stage) -> Result<Table, Fault> {
    let publisher = stage.reference("publisher", Kind::Publisher)?;
    let accepted = Expected { status: 202, tier: None };
    let mut sides = [
        Side {
            name: "coherd",
            generator: connect_to(stage.instance.data, accepted)?,
            next: events("published-"),
            front: &stage.instance.process,
            valkey: Some(&stage.valkey.process),
            behind: None,
        },
        Side {
            name: "XADD + PUBLISH",
            generator: connect_to(publisher.addr, accepted)?,
            next: events("published-"),
            front: &publisher.process,
            valkey: Some(&stage.valkey.process),
            behind: None,
        },
    ];
    let compared = compare(&mut sides, &stage.plan, stage.cores.servers())?;
    let note = format!(
        "POST /v1/invalidate, one event of one key a request, answered once it is logged; one instance follows the log;\n\
         latency at {} events/s. XADD + PUBLISH: hyper, the body of each POST to a stream and to a channel, by fred.",
        grouped(compared.rate, 0)
    );
    Ok(Table::new("Events published through HTTP", note, &FIGURES, compared.rows).bar(
        "events a second published through HTTP",
        "requests_per_second",
        Limit::Least(20_000.0, "/s"),
    ))
}
