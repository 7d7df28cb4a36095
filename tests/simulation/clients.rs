//! Whoever reads through the instances: plainly, naming an event, strictly, past the copies; and cache-aside clients that
//! load by themselves under a lease.

use std::sync::Arc;

use coherd::cache::{Answer, Demand, GetError, LeaseGrant, PutError, Via, Write, Written};
use coherd::model::{Content, Value};

use super::node::{Ended, Node};
use super::origin::tags_of;
use super::plan::{CARTS, Object};
use super::rng::Rng;
use super::run::Sim;
use super::world::MS;
use crate::history::{Floor, Happened, Outcome};

/// The longest that a client waits for an answer.
pub(super) const PATIENCE: u64 = 12_000 * MS;

/// Reads until the end.
pub(super) async fn reader(sim: Arc<Sim>, number: usize) {
    let mut draw = Rng::of(sim.seed, ("reader", number));
    while !sim.quiet.is_cancelled() {
        let pause = draw.below(2 * sim.plan.read_every);
        sim.world.pause(&mut draw, pause).await;
        // Half of the reads are for one object: whoever reads alone joins nobody.
        let object = if draw.per_mille(500) { &sim.objects[0] } else { draw.pick(&sim.objects) };
        let place = draw.place(sim.plan.instances);
        let (floor, demand) = demand(&sim, &mut draw, object);
        Box::pin(read(&sim, &mut draw, place, object, floor, demand)).await;
    }
}

fn demand(sim: &Sim, draw: &mut Rng, object: &Object) -> (Floor, Demand) {
    let plain = Demand::default();
    match draw.below(100) {
        0..15 => match sim.acknowledged(draw, &object.name) {
            Some((event, id)) => (Floor::Event(event), Demand { min: Some(id), ..plain }),
            None => (Floor::None, plain),
        },
        15..25 => (Floor::Strict, Demand { strict: true, ..plain }),
        25..29 => (Floor::None, Demand { no_cache: true, ..plain }),
        29..32 if !sim.faultless.is_cancelled() => (Floor::None, Demand { only_if_cached: true, ..plain }),
        32..35 => {
            let age = std::time::Duration::from_millis(draw.below(2000));
            (Floor::None, Demand { max_age: Some(age), ..plain })
        }
        _ => (Floor::None, plain),
    }
}

/// Reads once, and loads where the client is told to.
pub(super) async fn read(
    sim: &Sim,
    draw: &mut Rng,
    place: usize,
    object: &Object,
    floor: Floor,
    demand: Demand,
) {
    let started = sim.history.now();
    let node = sim.node(place);
    // Boxed, for it is large.
    let got = Box::pin(node.cache.get(object.namespace, &object.key, &demand));
    let (outcome, grant) = match node.call(draw.fork(), PATIENCE, got).await {
        Some(Ended::Answered(got)) => outcome(got),
        Some(Ended::Hung) => (Outcome::Failed { hung: true }, None),
        None => (Outcome::Failed { hung: false }, None),
    };
    let (instance, name) = (node.name.clone(), object.name.clone());
    sim.history.record(started, Happened::Read { instance, object: name, floor, outcome });
    if let Some(grant) = grant {
        Box::pin(fill(sim, draw, &node, object, grant)).await;
    }
}

fn outcome(got: Result<Answer, GetError>) -> (Outcome, Option<LeaseGrant>) {
    let refused = |status, code: &str| (Outcome::Refused { status, code: code.to_owned() }, None);
    match got {
        Ok(answer) => {
            let stale = answer.via == Via::Stale;
            let via = format!("{:?}", answer.via).to_lowercase();
            (Outcome::Value { version: version(&answer.entry.content), via, stale, available: false }, None)
        }
        // Without a lease, too, the client is only told to load it by itself.
        Err(GetError::Missing { lease }) => (Outcome::Absent { leased: true }, lease),
        Err(GetError::NotCached) => refused(504, "not_cached"),
        Err(GetError::Origin(_)) => refused(502, "origin"),
        Err(GetError::Unavailable(_)) => refused(503, "unavailable"),
    }
}

fn version(content: &Content) -> u64 {
    let Content::Present(value) = content else { return 0 };
    std::str::from_utf8(&value.body).ok().and_then(|text| text.parse().ok()).expect("a version")
}

/// A cache-aside client loads and stores.
async fn fill(sim: &Sim, draw: &mut Rng, node: &Arc<Node>, object: &Object, grant: LeaseGrant) {
    // Some never come back.
    if draw.per_mille(50) {
        return;
    }
    let Ok(version) = sim.register.read(&sim.client, draw, &object.name).await else { return };
    let started = sim.history.now();
    let write = write(object, version, Some(grant.token));
    let stored = match node.call(draw.fork(), PATIENCE, node.cache.put(CARTS, &object.key, write)).await {
        Some(Ended::Answered(Ok(Written::Leased))) => Some(true),
        Some(Ended::Answered(Err(PutError::LeaseLost))) => Some(false),
        _ => None,
    };
    let (instance, name) = (node.name.clone(), object.name.clone());
    sim.history.record(started, Happened::Store { instance, object: name, version, stored });
}

/// A cache-aside client's write.
pub(super) fn write(object: &Object, version: u64, lease: Option<String>) -> Write {
    let value = Value { body: version.to_string().into(), ..Value::default() };
    Write { value, tags: tags_of(&object.name), lease, ..Write::default() }
}
