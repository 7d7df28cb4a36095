//! coherd beside its bare counterparts, measured in turn in one run: `make bench`.
//!
//! What is measured runs in processes of its own, on cores of its own; this process generates the load and looks on.
//! The counterparts are this very program under other arguments, so that their CPU time is theirs alone.

mod company;
mod cores;
mod driver;
mod fault;
mod growth;
mod instance;
mod machine;
mod measure;
mod plan;
mod process;
mod reference;
mod report;
mod resp;
mod room;
mod scenario;
mod subscribers;
mod valkey;

use std::env;
use std::io::Write as _;
use std::process::ExitCode;

use fault::Fault;

fn main() -> ExitCode {
    let mut args = env::args().skip(1);
    let done = match args.next().as_deref() {
        Some("hold") => process::hold(args),
        Some("reference") => reference::run(args),
        Some("entries") => scenario::memory::run(args),
        Some("inside") => scenario::inside::run(args),
        Some("look-up") => growth::look_up(args),
        Some("growth") => growth::run(),
        // What cargo says to a benchmark, as opposed to a test.
        Some("--bench") => suite(),
        _ => Err("started by `make bench`".into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            let mut cause: Option<&dyn std::error::Error> = Some(&*fault);
            while let Some(error) = cause {
                // Nobody is left to hear that even this failed.
                drop(writeln!(std::io::stderr(), "bench: {error}"));
                cause = error.source();
            }
            ExitCode::FAILURE
        }
    }
}

fn suite() -> Result<(), Fault> {
    let (plan, chosen) = (plan::Plan::from_env()?, plan::chosen(scenario::ALL.iter().map(|it| it.name))?);
    let before = company::Counts::now()?;
    let stage = scenario::Stage::set(plan)?;
    let mut report = report::Report::new(machine::describe(&stage)?, &stage.plan);
    for scenario in scenario::ALL.iter().filter(|it| chosen.contains(&it.name)) {
        let table = (scenario.measure)(&stage).map_err(|fault| format!("{}: {fault}", scenario.name))?;
        progress(&format!("{}: {}: done", scenario.name, table.title));
        report.tables.push(table);
    }
    drop(stage);
    report.publish(before.company()?)
}

/// A word to whoever waits, beside the report.
fn progress(text: &str) {
    drop(writeln!(std::io::stderr(), "bench: {text}"));
}
