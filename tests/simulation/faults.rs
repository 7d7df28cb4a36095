//! What strikes instances and the store, when, and for how long.

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

use super::rng::Rng;
use super::run::Sim;
use super::world::MS;
use crate::history::Happened;

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// An instance loses its connection and gets no other.
    Cut,
    /// What an instance sends vanishes.
    Mute,
    /// What an instance is answered vanishes.
    Unanswered,
    /// What is announced to an instance vanishes, and it is not told.
    Deaf,
    /// Everything takes an instance longer.
    Slow,
    /// An instance is stopped, and goes on.
    Stop,
    /// An instance is killed, and another process takes its place.
    Kill,
    /// An instance's connection breaks, and the next is made at once.
    Reset,
    /// The store loses everything.
    Flush,
    /// The store comes back as it once was, on another server.
    Rewind,
    /// The store's control record is lost.
    Control,
    /// The log is trimmed to nothing.
    Trim,
    /// The origin fails.
    Origin,
}

const ALL: [Fault; 13] = [
    Fault::Cut,
    Fault::Mute,
    Fault::Unanswered,
    Fault::Deaf,
    Fault::Slow,
    Fault::Stop,
    Fault::Kill,
    Fault::Reset,
    Fault::Flush,
    Fault::Rewind,
    Fault::Control,
    Fault::Trim,
    Fault::Origin,
];

/// One fault of the seed's, from its begin to its end.
pub(super) async fn strike(sim: Arc<Sim>, number: u64) {
    let mut draw = Rng::of(sim.seed, ("fault", number));
    let fault = *draw.pick(&ALL);
    let place = draw.place(sim.plan.instances);
    let begin = draw.below(sim.plan.lasts);
    let lasts = *draw.pick(&[100, 600, 1500, 3000, 5000]) * MS;
    let lasts = draw.below(lasts).min(sim.plan.lasts - begin);
    sim.world.pause(&mut draw, begin).await;
    let started = sim.history.now();
    begin_fault(&sim, &mut draw, fault, place, lasts).await;
    let target = match fault {
        Fault::Flush | Fault::Rewind | Fault::Control | Fault::Trim => "store".to_owned(),
        Fault::Origin => "origin".to_owned(),
        _ => format!("i{place}"),
    };
    let fault = format!("{fault:?}").to_lowercase();
    sim.history.record(started, Happened::Fault { fault, target, recovered: None });
}

/// Strikes, and mends what has a duration.
async fn begin_fault(sim: &Arc<Sim>, draw: &mut Rng, fault: Fault, place: usize, lasts: u64) {
    let faults = &sim.places[place].faults;
    // What the store loses is worst for an instance that does not hear of it.
    let cut_off = draw.per_mille(500);
    let switch = match fault {
        Fault::Flush | Fault::Rewind | Fault::Control | Fault::Trim if cut_off => {
            Some(*draw.pick(&[&faults.cut, &faults.mute, &faults.unanswered, &*faults.deaf]))
        }
        // Whom everything reaches late hears nothing else in time.
        Fault::Slow if cut_off => Some(&*faults.deaf),
        Fault::Cut => Some(&faults.cut),
        Fault::Mute => Some(&faults.mute),
        Fault::Unanswered => Some(&faults.unanswered),
        Fault::Deaf => Some(&*faults.deaf),
        _ => None,
    };
    if let Some(switch) = switch {
        switch.store(true, SeqCst);
    }
    if faults.cut.load(SeqCst) || fault == Fault::Reset {
        sim.node(place).wire.end("the wire is cut");
    }
    match fault {
        Fault::Slow => faults.slower.store(*draw.pick(&[200, 1000, 3000]), SeqCst),
        Fault::Stop => sim.node(place).gate.close(),
        Fault::Kill => sim.node(place).kill().await,
        Fault::Flush => sim.sea.store.flush_all(),
        Fault::Control => sim.sea.store.end_lineages(),
        Fault::Trim => sim.sea.store.trim(),
        Fault::Origin => sim.register.failing.store(*draw.pick(&[300, 1000]), SeqCst),
        Fault::Cut | Fault::Mute | Fault::Unanswered | Fault::Deaf | Fault::Reset | Fault::Rewind => {}
    }
    let dump = (fault == Fault::Rewind).then(|| sim.sea.store.dump());
    sim.world.pause(draw, lasts).await;
    if let Some(dump) = dump {
        sim.sea.store.restore(&dump);
        // Nobody has a connection to a server that has died.
        (0..sim.plan.instances).for_each(|place| sim.node(place).wire.end("the server has died"));
        if cut_off {
            let longer = draw.below(2_000 * MS);
            sim.world.pause(draw, longer).await;
        }
    }
    if let Some(switch) = switch {
        switch.store(false, SeqCst);
    }
    match fault {
        Fault::Slow => faults.slower.store(0, SeqCst),
        Fault::Stop => sim.node(place).gate.open(),
        Fault::Kill => sim.restart(place),
        Fault::Origin => sim.register.failing.store(0, SeqCst),
        _ => {}
    }
}
