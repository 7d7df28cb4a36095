//! How fast one instance applies events that wait for it, beside one bare subscriber that reads them and counts.
//!
//! The instance is stopped (SIGSTOP) while events are published, one message each; then it goes on. They come to it by
//! its subscription, or, where that was cut off meanwhile, from the log. It has a core of its own, as the bare subscriber
//! has: the generator's, which publishes nothing meanwhile.

use std::thread::sleep;
use std::time::Duration;

use rustix::process::Signal;

use super::Stage;
use crate::driver::now;
use crate::fault::Fault;
use crate::instance::{HIT, Instance};
use crate::measure::float;
use crate::report::{Figure, Limit, Row, Table, grouped};
use crate::resp::{Resp, command};

const FIGURES: [Figure; 4] = [
    Figure { name: "announced_per_second", heading: "pub/sub ev/s", decimals: 0, compared: true },
    Figure { name: "logged_per_second", heading: "log ev/s", decimals: 0, compared: true },
    Figure { name: "announced_cpu_us_per_event", heading: "pub/sub µs", decimals: 2, compared: true },
    Figure { name: "logged_cpu_us_per_event", heading: "log µs", decimals: 2, compared: true },
];

/// Events that wait: fewer than the log keeps.
const EVENTS: usize = 60_000;
/// Between two looks at how far the instance is.
const PAUSE: Duration = Duration::from_millis(2);
/// How long the instance may take.
const PATIENCE: Duration = Duration::from_secs(20);
const CONTROL: &str = "coherd:{bench}:ctl";
const CHANNEL: &str = "coherd:{bench}:events";

/// Measures it.
pub(super) fn measure(stage: &Stage) -> Result<Table, Fault> {
    let instance = stage.instance_beside_generator("inst-drain")?;
    let mut publisher = Resp::open(stage.valkey.addr)?;
    // Everything that waits does so within the server.
    publisher.call(&["CONFIG", "SET", "client-output-buffer-limit", "pubsub 0 0 0"])?;
    let (mut ours, mut bare) =
        (Row::new("coherd", FIGURES.len()), Row::new("bare subscriber", FIGURES.len()));
    for round in 0..=stage.plan.rounds {
        let read = bare_drain(stage, &mut publisher)?;
        let announced = drain(&instance, &mut publisher, false)?;
        let logged = drain(&instance, &mut publisher, true)?;
        // A first turn of each, unmeasured.
        if 0 < round {
            for (values, value) in ours.values.iter_mut().zip([announced.0, logged.0, announced.1, logged.1])
            {
                values.push(value);
            }
            // A bare subscriber has no log: both are held against what it does.
            bare.values[0].push(read);
            bare.values[1].push(read);
        }
    }
    let note = format!(
        "{} events, a message each, wait for one instance that was stopped; from the first look that finds it applying to\n\
         the one that finds it done. pub/sub: by its subscription. log: that was cut off, it reads the log. bare subscriber:\n\
         reads the same messages from its socket and counts them. Each on the generator's core, Valkey on the servers'.",
        grouped(float(EVENTS as u64), 0)
    );
    Ok(Table::new("Drain of events that wait", note, &FIGURES, vec![ours, bare])
        .bar(
            "events a second applied by one instance, from pub/sub",
            "announced_per_second",
            Limit::Least(300_000.0, "/s"),
        )
        .bar("  the same from the log", "logged_per_second", Limit::Least(300_000.0, "/s")))
}

/// Publishes what is to wait.
fn publish(publisher: &mut Resp) -> Result<(), Fault> {
    let event = |number: usize| {
        let key = format!("drained-{number}");
        command(&["FCALL", "coherd_invalidate", "1", CONTROL, "ns", HIT, "key", &key])
    };
    Ok(publisher.pipeline(EVENTS, event)?)
}

/// Messages a second that a bare subscriber reads.
fn bare_drain(stage: &Stage, publisher: &mut Resp) -> Result<f64, Fault> {
    let mut subscriber = Resp::open(stage.valkey.addr)?;
    subscriber.call(&["SUBSCRIBE", CHANNEL])?;
    publish(publisher)?;
    let begin = now();
    let mut heard = 0;
    while heard < EVENTS as u64 {
        heard += subscriber.count()?;
    }
    Ok(float(heard) / begin.elapsed().as_secs_f64())
}

/// Events a second that an instance applies, and microseconds of its CPU time for each.
fn drain(instance: &Instance, publisher: &mut Resp, from_log: bool) -> Result<(f64, f64), Fault> {
    let behind = instance.cursor()?;
    instance.process.signal(Signal::STOP)?;
    let published = publish(publisher);
    let cut_off =
        if from_log { publisher.call(&["CLIENT", "KILL", "TYPE", "pubsub"]).map(drop) } else { Ok(()) };
    let cpu = instance.process.cpu()?;
    instance.process.signal(Signal::CONT)?;
    published?;
    cut_off?;

    let end = behind + EVENTS as u64;
    let (mut first, woken) = (None, now());
    loop {
        let (asked, at) = (now(), instance.cursor()?);
        let begun = *first.get_or_insert((asked, at));
        // What it had applied before it was seen to be at it is not counted.
        if begun.1 == behind {
            first = None;
        }
        if end <= at {
            let (since, from) = begun;
            let spent = instance.process.cpu()? - cpu;
            let rate = float(at - from) / since.elapsed().as_secs_f64();
            return Ok((rate, spent * 1e6 / float(EVENTS as u64)));
        }
        if PATIENCE < woken.elapsed() {
            return Err(instance.process.failed(&format!("has applied {} of {EVENTS} events", at - behind)));
        }
        sleep(PAUSE);
    }
}
