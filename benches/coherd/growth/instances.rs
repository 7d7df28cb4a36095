//! An event with 1 to 8 instances that follow the log: what it costs Valkey, and how long until the last has applied it.

use super::ROUNDS;
use super::plot::{Axis, Curve, Plot};
use crate::driver::{Expected, Pace};
use crate::fault::Fault;
use crate::measure::float;
use crate::reference::Kind;
use crate::reference::publisher::CHANNEL;
use crate::report::median;
use crate::scenario::applied::followed_by;
use crate::scenario::{Stage, connect_to, events as requests};
use crate::subscribers::Subscribers;

const FOLLOWERS: [usize; 4] = [1, 2, 4, 8];
/// Events a second: what any side can do.
const RATE: f64 = 2_000.0;
/// A round's windows.
const WINDOWS: f64 = 1.0;
const LEAD: f64 = 0.2;

/// What it costs Valkey.
pub(super) fn events(stage: &Stage) -> Result<Plot, Fault> {
    let publisher = stage.reference("publisher-growth", Kind::Publisher)?;
    let (mut coherd, mut bare, mut others) = (Vec::new(), Vec::new(), Vec::new());
    for followers in FOLLOWERS {
        while others.len() + 1 < followers {
            others.push(stage.another_instance(&format!("inst-{}", others.len() + 2))?);
        }
        let subscribers = Subscribers::start(followers, stage.valkey.addr, CHANNEL, &stage.cores)?;
        coherd.push((float(followers as u64), valkey_cost(stage, stage.instance.data)?));
        bare.push((float(followers as u64), valkey_cost(stage, publisher.addr)?));
        drop(subscribers);
        crate::progress(&format!("{followers} instances: done"));
    }
    Ok(Plot {
        title: "Valkey's CPU time an event, 2,000 events a second",
        x: Axis { label: "instances, or subscribers", logarithmic: false },
        y: Axis { label: "CPU µs an event", logarithmic: false },
        curves: vec![
            Curve { name: "coherd", points: coherd },
            Curve { name: "XADD + PUBLISH", points: bare },
        ],
    })
}

/// Microseconds of Valkey's CPU time an event.
fn valkey_cost(stage: &Stage, addr: std::net::SocketAddr) -> Result<f64, Fault> {
    let mut generator = connect_to(addr, Expected { status: 202, tier: None })?;
    let mut next = requests("grown-");
    let mut found = Vec::new();
    for _ in 0..ROUNDS {
        generator.run(Pace::Rate(RATE, stage.plan.windows(LEAD)), &mut *next)?;
        let before = stage.valkey.process.cpu()?;
        let run = generator.run(Pace::Rate(RATE, stage.plan.windows(WINDOWS)), &mut *next)?;
        found.push((stage.valkey.process.cpu()? - before) * 1e6 / float(run.requests));
    }
    Ok(median(&found).unwrap_or_default())
}

/// How long until the last has applied it.
pub(super) fn applied(stage: &Stage) -> Result<Plot, Fault> {
    let mut curves: Vec<Curve> = Vec::new();
    for followers in FOLLOWERS {
        let (rows, _) = followed_by(followers, ROUNDS, stage)?;
        curves.resize_with(rows.len(), || Curve { name: "", points: Vec::new() });
        for (curve, row) in curves.iter_mut().zip(&rows) {
            curve.name = row.name;
            curve.points.push((float(followers as u64), median(&row.values[0]).unwrap_or_default()));
        }
        crate::progress(&format!("applied by {followers}: done"));
    }
    Ok(Plot {
        title: "Publication until the last has applied it, p50",
        x: Axis { label: "instances, or subscribers", logarithmic: false },
        y: Axis { label: "µs", logarithmic: false },
        curves,
    })
}
