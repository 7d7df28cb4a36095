//! How long an instance takes to be ready beside a full log and 500,000 watermarks, and beside an empty server.

use super::Stage;
use crate::driver::now;
use crate::fault::Fault;
use crate::instance::HIT;
use crate::measure::float;
use crate::report::{Figure, Limit, Row, Table, grouped};
use crate::resp::{Resp, command};
use crate::valkey::Valkey;

const FIGURES: [Figure; 2] = [
    Figure { name: "ready_ms", heading: "ready ms", decimals: 0, compared: true },
    Figure { name: "cpu_ms", heading: "CPU ms", decimals: 0, compared: true },
];

/// Events that are logged: all that the log keeps by default.
const EVENTS: usize = 200_000;
/// Tags that each names beside its key.
const TAGS: usize = 2;
const CONTROL: &str = "coherd:{bench}:ctl";

/// Measures it.
pub(super) fn measure(stage: &Stage) -> Result<Table, Fault> {
    let dirs = (tempfile::tempdir()?, tempfile::tempdir()?);
    let full = Valkey::start(dirs.0.path(), &stage.cores)?;
    let empty = Valkey::start(dirs.1.path(), &stage.cores)?;
    // The first instance begins the log and brings the function.
    for valkey in [&full, &empty] {
        stage.instance_at("inst-first", valkey.addr)?;
    }
    let (events, watermarks) = fill(&full)?;
    let mut rows = [Row::new("full", FIGURES.len()), Row::new("empty", FIGURES.len())];
    for round in 0..stage.plan.rounds {
        for (valkey, row) in [&full, &empty].into_iter().zip(&mut rows) {
            let begin = now();
            let instance = stage.instance_at(&format!("inst-{round}"), valkey.addr)?;
            row.values[0].push(begin.elapsed().as_secs_f64() * 1e3);
            row.values[1].push(instance.process.cpu()? * 1e3);
        }
    }
    let note = format!(
        "from the start of the process until /readyz answers 200, looked at every 10 ms. full: {} events in the log, {}\n\
         watermarks. empty: a server that had one instance before.",
        grouped(float(events), 0),
        grouped(float(watermarks), 0)
    );
    Ok(Table::new("Start", note, &FIGURES, rows.into()).bar(
        "start beside a full log and 500,000 watermarks",
        "ready_ms",
        Limit::Most(1_000.0, "ms"),
    ))
}

/// How many events are in the log then, and how many watermarks.
fn fill(valkey: &Valkey) -> Result<(u64, u64), Fault> {
    let mut resp = Resp::open(valkey.addr)?;
    resp.pipeline(EVENTS, |number| {
        let names: Vec<String> = (0..=TAGS).map(|tag| format!("n{number}-{tag}")).collect();
        let mut args = vec!["FCALL", "coherd_invalidate", "1", CONTROL, "ns", HIT, "key", &names[0]];
        for tag in &names[1..] {
            args.extend(["tag", tag.as_str()]);
        }
        command(&args)
    })?;
    let mut count =
        |args: &[&str]| Ok::<_, Fault>(resp.call(args)?.trim_start_matches(':').trim().parse::<u64>()?);
    let marks = |number| format!("coherd:{{bench}}:wm:{number}");
    let watermarks = count(&["HLEN", &marks(0)])? + count(&["HLEN", &marks(1)])?;
    Ok((count(&["XLEN", "coherd:{bench}:log"])?, watermarks))
}
