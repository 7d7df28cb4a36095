//! What breaks a world: each fault breaks something, holds it broken for a while, and mends it again.
//!
//! A fault takes the locks of what it breaks, the server's before an instance's and a lower instance's before a
//! higher one's. So two faults at a time never fight over the same thing, and never wait for each other for good.

mod clock;
mod flood;
mod flush;
mod kind;
mod load;
mod origin;
mod process;
mod recovery;
mod replica;
mod ring;
mod schedule;
mod server;
mod state;
mod target;
mod tests;
mod wire;

use std::time::Duration;

use rand::rngs::StdRng;

pub(crate) use kind::{Kind, Need};
pub(crate) use recovery::{Broken, recovered};
pub(crate) use schedule::{Planned, Schedule};

use super::world::World;
use crate::harness::proxy::Direction;
use crate::history::Happened;

const CTL: &str = "coherd:{main}:ctl";
/// A tag that no value has.
const NOBODY: &str = "faults/nobody";
const LOG: &str = "coherd:{main}:log";

/// Who was hit, as the history has it: an instance's name, `all`, `server` or `origin`, and what more there is to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Struck {
    /// That.
    pub(crate) target: String,
}

impl Struck {
    fn at(target: &str) -> Self {
        Self { target: target.to_owned() }
    }
}

/// Breaks something, holds it broken for about `hold`, and mends it.
///
/// # Panics
///
/// If the fault is not what its name says, or what it broke cannot be mended.
pub(crate) async fn strike(kind: Kind, world: &World, rng: &mut StdRng, hold: Duration) -> Struck {
    let _broken = world.broken.begin();
    let started = world.history().now();
    let struck = hit(kind, world, rng, hold).await;
    if kind.forgets() {
        world.history().record(started, Happened::Forgot);
    }
    struck
}

async fn hit(kind: Kind, world: &World, rng: &mut StdRng, hold: Duration) -> Struck {
    match kind {
        Kind::Kill => process::kill(world, rng, hold).await,
        Kind::KillInLoad => process::kill_in_load(world, rng, hold).await.0,
        Kind::KillInFlush => flush::kill(world, rng, hold).await,
        Kind::KillInWait => process::kill_in_wait(world, rng, hold).await,
        Kind::Pause | Kind::LongPause => process::pause(world, rng, hold).await,
        Kind::RollingRestart => process::rolling_restart(world).await,
        Kind::Cut => wire::cut(world, rng, hold).await,
        Kind::Delay => wire::delay(world, rng, hold).await,
        Kind::Stall => wire::stall(world, rng, hold, &[Direction::Up, Direction::Down]).await,
        Kind::Unheard => wire::stall(world, rng, hold, &[Direction::Up]).await,
        Kind::Deaf => wire::stall(world, rng, hold, &[Direction::Down]).await,
        Kind::Choke => wire::choke(world, rng, hold).await,
        Kind::Reset => wire::reset(world, rng, hold).await,
        Kind::KillPubsub => wire::kill_clients(world, rng, hold, "pubsub").await,
        Kind::KillNormal => wire::kill_clients(world, rng, hold, "normal").await,
        Kind::BufferOverflow => flood::overflow(world, rng, hold).await,
        Kind::FlushAll => state::spoil(world, &["FLUSHALL"]).await,
        Kind::Forget => state::forget(world, rng, hold).await,
        Kind::FlushDb => state::spoil(world, &["FLUSHDB"]).await,
        Kind::TrimLog => state::spoil(world, &["XTRIM", LOG, "MAXLEN", "0"]).await,
        Kind::DeleteCtl => state::spoil(world, &["DEL", CTL]).await,
        Kind::FlushScripts => state::spoil(world, &["SCRIPT", "FLUSH"]).await,
        Kind::FlushFunctions => state::spoil(world, &["FUNCTION", "FLUSH"]).await,
        Kind::ForeignEntry => state::foreign_entry(world, rng).await,
        Kind::PoisonLog => state::poison(world).await,
        Kind::MemoryFull => flood::memory(world, rng, hold).await,
        Kind::ServerKill => server::kill(world, hold).await,
        Kind::ServerOldDump => server::old_dump(world, hold).await,
        Kind::ServerRewound => server::rewound(world, hold).await,
        Kind::ServerEmpty => server::empty(world, hold).await,
        Kind::ServerPause => server::pause(world, hold).await,
        Kind::Promote => replica::promote(world, hold).await,
        Kind::Isolate => replica::isolate(world, rng, hold).await,
        Kind::SlotMoved => ring::slot_moved(world, rng).await,
        Kind::PrimaryKilled => ring::primary_killed(world, rng, hold).await,
        Kind::InstanceClock => clock::instance(world, rng, hold).await,
        Kind::ServerClock => clock::server(world, rng, hold).await,
        Kind::OriginSlow => origin::slow(world, rng, hold).await,
        Kind::OriginHangs => origin::hangs(world, hold).await,
        Kind::OriginLate => origin::late(world, rng, hold).await,
        Kind::OriginFails => origin::fails(world, rng, hold).await,
        Kind::OriginLags => origin::lags(world, rng, hold).await.0,
        Kind::LimitValues => load::limit_values(world, rng, hold).await.0,
        Kind::ManyTagged => load::many_tagged(world, rng, hold).await.0,
        Kind::Storm => load::storm(world, hold).await.0,
    }
}
