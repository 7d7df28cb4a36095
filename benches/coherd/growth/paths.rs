//! A hit over HTTP with values of 100 bytes to 1 MiB, and with entries of 0 to 32 tags.

use std::net::SocketAddr;

use super::ROUNDS;
use super::plot::{Axis, Curve, Plot};
use crate::driver::Pace;
use crate::fault::Fault;
use crate::instance::{SIZED, SIZED_L2, TAGGED, TAGGED_L2};
use crate::measure::float;
use crate::process::Process;
use crate::reference::Kind;
use crate::report::median;
use crate::scenario::{Stage, connect};

const BYTES: [u64; 8] = [100, 316, 1_024, 4_096, 16_384, 65_536, 262_144, 1_048_576];
const TAGS: [u64; 7] = [0, 1, 2, 4, 8, 16, 32];
/// Keys of each: readers of one key at the same time would share an answer of L2.
const KEYS: u64 = 48;
/// Share of a window that each point is measured for, each round, and of one before.
const WINDOWS: f64 = 0.5;
const LEAD: f64 = 0.1;

pub(super) fn values(stage: &Stage) -> Result<Plot, Fault> {
    let hyper = stage.reference("memory-sized", Kind::Memory)?;
    let bare = |bytes: u64| format!("/?bytes={bytes}");
    let coherd = |tier, namespace: &'static str| {
        points(stage, &BYTES, stage.instance.data, tier, &stage.instance.process, move |bytes| {
            format!("/v1/cache/{namespace}/{bytes}")
        })
    };
    Ok(Plot {
        title: "A hit over HTTP by the size of its value",
        x: Axis { label: "bytes", logarithmic: true },
        y: Axis { label: "CPU µs a request", logarithmic: true },
        curves: vec![
            Curve { name: "coherd, L1", points: coherd("detail=l1", SIZED)? },
            Curve { name: "coherd, L2", points: coherd("detail=l2", SIZED_L2)? },
            Curve { name: "hyper", points: points(stage, &BYTES, hyper.addr, "", &hyper.process, bare)? },
        ],
    })
}

pub(super) fn tags(stage: &Stage) -> Result<Plot, Fault> {
    let coherd = |tier, namespace: &'static str| {
        points(stage, &TAGS, stage.instance.data, tier, &stage.instance.process, move |tags| {
            format!("/v1/cache/{namespace}/{tags}")
        })
    };
    Ok(Plot {
        title: "A hit over HTTP by the tags of its entry",
        x: Axis { label: "tags", logarithmic: false },
        y: Axis { label: "CPU µs a request", logarithmic: false },
        curves: vec![
            Curve { name: "coherd, L1", points: coherd("detail=l1", TAGGED)? },
            Curve { name: "coherd, L2", points: coherd("detail=l2", TAGGED_L2)? },
        ],
    })
}

/// Microseconds of CPU time a request, for each of what is asked for.
fn points(
    stage: &Stage,
    asked: &[u64],
    addr: SocketAddr,
    tier: &'static str,
    process: &Process,
    path: impl Fn(u64) -> String,
) -> Result<Vec<(f64, f64)>, Fault> {
    let mut points = Vec::new();
    for number in asked {
        let path = path(*number);
        let mut key = 0;
        let mut next = |request: &mut Vec<u8>| {
            let text = format!("GET {path}-{key} HTTP/1.1\r\nHost: bench\r\n\r\n");
            request.extend_from_slice(text.as_bytes());
            key = (key + 1) % KEYS;
        };
        // To have all of them there.
        connect(addr, None)?.run(Pace::Count(2 * KEYS), &mut next)?;
        let mut generator = connect(addr, Some(tier).filter(|tier| !tier.is_empty()))?;
        let mut found = Vec::new();
        for _ in 0..ROUNDS {
            generator.run(Pace::Saturated(stage.plan.windows(LEAD)), &mut next)?;
            let before = process.cpu()?;
            let run = generator.run(Pace::Saturated(stage.plan.windows(WINDOWS)), &mut next)?;
            found.push((process.cpu()? - before) * 1e6 / float(run.requests));
        }
        points.push((float(*number), median(&found).unwrap_or_default()));
    }
    crate::progress(&format!("{}: done", path(0)));
    Ok(points)
}
