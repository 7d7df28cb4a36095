//! What an event costs Valkey where eight instances follow the log, beside a bare PUBLISH to eight subscribers and an XADD.

use super::{Stage, connect_to, events};
use crate::driver::{Expected, Pace};
use crate::fault::Fault;
use crate::instance::Instance;
use crate::measure::{Side, float, micros, per_second, two_digits};
use crate::reference::Kind;
use crate::reference::publisher::CHANNEL;
use crate::report::{Figure, Limit, Row, Table, grouped};
use crate::subscribers::Subscribers;

const FIGURES: [Figure; 5] = [
    Figure {
        name: "valkey_cpu_us_per_event_at_rate",
        heading: "Valkey at rate",
        decimals: 1,
        compared: true,
    },
    Figure { name: "valkey_cpu_us_per_event_busy", heading: "Valkey busy", decimals: 1, compared: true },
    Figure { name: "events_per_second", heading: "events/s", decimals: 0, compared: true },
    Figure { name: "p50_us", heading: "p50 µs", decimals: 0, compared: true },
    Figure { name: "publisher_cpu_us_per_event", heading: "publisher µs", decimals: 1, compared: true },
];

/// Instances, or subscribers.
const FOLLOWERS: usize = 8;
/// Share of the slower side's limit at which both are measured at the same rate.
const RATE_SHARE: f64 = 0.4;

/// Measures it.
pub(super) fn measure(stage: &Stage) -> Result<Table, Fault> {
    let _others: Vec<Instance> = (2..=FOLLOWERS)
        .map(|number| stage.another_instance(&format!("inst-{number}")))
        .collect::<Result<_, _>>()?;
    let publisher = stage.reference("publisher-to-8", Kind::Publisher)?;
    let _subscribers = Subscribers::start(FOLLOWERS, stage.valkey.addr, CHANNEL, &stage.cores)?;
    let side = |name, addr, front| {
        let accepted = Expected { status: 202, tier: None };
        let (generator, next) = (connect_to(addr, accepted)?, events("fanned-"));
        Ok::<_, Fault>(Side {
            name,
            generator,
            next,
            front,
            valkey: Some(&stage.valkey.process),
            behind: None,
        })
    };
    let mut sides = [
        side("coherd", stage.instance.data, &stage.instance.process)?,
        side("XADD + PUBLISH to 8", publisher.addr, &publisher.process)?,
    ];
    let mut slowest = f64::INFINITY;
    for side in &mut sides {
        slowest = slowest.min(per_second(&side.run(Pace::Saturated(stage.plan.windows(1.0)))?));
    }
    let rate = two_digits(slowest * RATE_SHARE);
    let mut rows: Vec<Row> = sides.iter().map(|side| Row::new(side.name, FIGURES.len())).collect();
    for _ in 0..stage.plan.rounds {
        for (side, row) in sides.iter_mut().zip(&mut rows) {
            for (values, value) in row.values.iter_mut().zip(round(side, rate, stage)?) {
                values.push(value);
            }
        }
    }
    let note = format!(
        "POST /v1/invalidate to one of {FOLLOWERS} instances that all follow the log; Valkey's CPU time per event, heartbeats\n\
         included, at {} events/s and with every connection busy; p50 of the answer at that rate. XADD + PUBLISH to 8: hyper\n\
         and fred do both with each POST, and {FOLLOWERS} threads subscribe, read and count.",
        grouped(rate, 0)
    );
    let path = "Valkey's cost per event with 8 instances";
    Ok(Table::new("An event with 8 instances", note, &FIGURES, rows)
        .bar(path, "valkey_cpu_us_per_event_at_rate", Limit::Times(1.3, "XADD + PUBLISH to 8"))
        .bar(
            "  the same with every connection busy",
            "valkey_cpu_us_per_event_busy",
            Limit::Times(1.3, "XADD + PUBLISH to 8"),
        ))
}

/// Figures of one side in one round.
fn round(side: &mut Side<'_>, rate: f64, stage: &Stage) -> Result<[f64; 5], Fault> {
    let valkey = &stage.valkey.process;
    side.run(Pace::Rate(rate, stage.plan.windows(0.2)))?;
    let before = valkey.cpu()?;
    let paced = side.run(Pace::Rate(rate, stage.plan.windows(1.0)))?;
    let at_rate = (valkey.cpu()? - before) * 1e6 / float(paced.requests);
    let before = (valkey.cpu()?, side.front.cpu()?);
    let busy = side.run(Pace::Saturated(stage.plan.windows(1.0)))?;
    let per_event = |seconds: f64| seconds * 1e6 / float(busy.requests);
    Ok([
        at_rate,
        per_event(valkey.cpu()? - before.0),
        per_second(&busy),
        micros(&paced.latency, 50.0),
        per_event(side.front.cpu()? - before.1),
    ])
}
