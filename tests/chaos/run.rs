//! One run: a fresh world, a workload while things break, and then peace, in which everybody must agree.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};

use super::aside::Aside;
use super::books::Books;
use super::counters::Counters;
use super::drain::drain;
use super::faults::{Kind, Need, Planned, Schedule, recovered, strike};
use super::ledger::Ledger;
use super::readers::Reader;
use super::spaces::{ASIDE, ORIGIN_LAG, Object, Target};
use super::ways::Publisher;
use super::workload::Workload;
use super::world::{Endpoint, MAX_STALENESS, Setup, World};
use super::written;
use crate::harness::clock::Clocks;
use crate::harness::server::Options;
use crate::harness::wait::eventually;
use crate::history::{Acknowledged, Floor, Happened, Outcome, Record, Verdict, check};

/// For what nobody knows of to be said again, and heard.
const PEACE: Duration = Duration::from_secs(30);
/// From the start of the workload to the first fault: something must be there to be broken.
const WARM: Duration = Duration::from_secs(1);
/// Between two reads of what was not answered.
const AGAIN: Duration = Duration::from_millis(50);

/// A run to be made.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// What everything in it is drawn from: the world, the workload, the faults.
    pub(super) seed: u64,
    /// From the start of the workload to its end.
    pub(super) length: Duration,
    /// What may break; nothing, if there is none.
    pub(super) kinds: Vec<Kind>,
    /// Where the history goes.
    pub(super) file: PathBuf,
}

/// What a run has left.
pub(super) struct Ran {
    /// What happened.
    pub(super) records: Vec<Record>,
    /// What the checker says of it.
    pub(super) verdict: Verdict,
    /// What the instances counted.
    pub(super) counters: Counters,
    /// Name and version of the server.
    pub(super) server: String,
}

/// Makes a run.
#[expect(clippy::print_stderr, reason = "what is left out is said")]
pub(super) async fn run(plan: Plan) -> Ran {
    let mut rng = StdRng::seed_from_u64(plan.seed);
    let mut setup = Setup::new(rng.random_range(3..=5), plan.seed);
    setup.file = Some(plan.file);
    let appendonly = !plan.kinds.is_empty() && plan.kinds.iter().all(|kind| needs(*kind, Need::AppendOnly))
        || rng.random_bool(0.5);
    if appendonly {
        setup.server = Options::default().appendonly();
    }
    if plan.kinds.iter().any(|kind| needs(*kind, Need::Clocks)) {
        setup.clocks = Clocks::build();
        if setup.clocks.is_none() {
            eprintln!("chaos: clocks are not stepped: that takes Linux and a C compiler");
        }
    }
    let clocks = setup.clocks.is_some();
    let of_ring = |kind: &Kind| needs(*kind, Need::Ring);
    setup.ring = plan.kinds.iter().any(of_ring)
        && plan.kinds.iter().all(|kind| of_ring(kind) || kind.is_of_instances());
    let (mut kinds, ring) = (plan.kinds, setup.ring);
    kinds.retain(|kind| appendonly || !needs(*kind, Need::AppendOnly));
    kinds.retain(|kind| ring || !of_ring(kind));
    kinds.retain(|kind| clocks || !needs(*kind, Need::Clocks));

    let world = Arc::new(World::start(setup).await);
    let books = Arc::new(Books::open(Arc::clone(&world)));
    let ledger = Arc::new(Ledger::new(&world));
    let mut workload = Workload::start(&world, &books, &ledger);
    let end = Instant::now() + plan.length;
    if !kinds.is_empty() {
        sleep(WARM).await;
        let lanes = Schedule::draw(plan.seed, plan.length, &kinds).lanes;
        join_all(lanes.map(|planned| lane(&world, planned, end))).await;
    }
    sleep_until(end).await;
    workload.stop().await;
    let drained = settle(&world, &books, &ledger).await;
    workload.end().await;
    drop((books, ledger));
    let world = Arc::into_inner(world).expect("everybody has ended");
    let (counters, server) = (world.counters().await, world.server_version().await);
    let records = world.end().await;
    let verdict = check(&records);
    assert!(drained || !verdict.violations.is_empty(), "writes are pending for good");
    Ran { records, verdict, counters, server }
}

fn needs(kind: Kind, need: Need) -> bool {
    kind.needs().contains(&need)
}

/// Faults one after the other, none that begins after `end`.
async fn lane(world: &World, planned: Vec<Planned>, end: Instant) {
    for planned in planned {
        if timeout_at(end, sleep(planned.after)).await.is_err() {
            return;
        }
        let started = world.history().now();
        let struck = strike(planned.kind, world, &mut planned.rng(), planned.hold).await;
        let recovered = recovered(world).await;
        let fault = planned.kind.to_string();
        let recovered = recovered.map(|took| u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
        world.history().record(started, Happened::Fault { fault, target: struck.target, recovered });
    }
}

/// Waits until every instance has an answer for every object: until it asks every origin again that it had left alone, and
/// until a machine that is busy has let it.
async fn answered(world: &World, books: &Books, reader: &Reader) {
    // Where there is no origin, whoever asks is told to load.
    let asked = books.objects().into_iter().filter(|object| object.space != ASIDE);
    for object in asked.chain(written::objects()) {
        for endpoint in &world.endpoints {
            eventually(&format!("{} has an answer for {object}", endpoint.id), PEACE, async || {
                let outcome = reader.read(endpoint, &object, Floor::None).await;
                !matches!(outcome, Outcome::Refused { status: 503 | 504, .. })
            })
            .await;
        }
    }
}

/// Waits until nothing is pending, says again what nobody heard of, and reads everything everywhere. Whether all that
/// was pending was written in time.
pub(super) async fn settle(world: &Arc<World>, books: &Arc<Books>, ledger: &Ledger) -> bool {
    let mut rng = StdRng::seed_from_u64(world.seed);
    world.level().await;
    let drained = drain(world).await;
    let publisher = Publisher::new(world, books);
    let unheard = ledger.objects().into_iter().filter(|object| ledger.unheard(object));
    for object in books.unannounced().into_iter().chain(unheard) {
        eventually(&format!("an event about {object} is acknowledged"), PEACE, async || {
            let said = publisher.http(Target::key(&object), false, false, &mut rng).await;
            said != Acknowledged::Unknown
        })
        .await;
    }
    world.level().await;
    // What was loaded just after an event may be of before it, and is kept no longer than that.
    sleep(ORIGIN_LAG + MAX_STALENESS).await;
    let reader = Reader::new(books);
    answered(world, books, &reader).await;
    world.history().record(world.history().now(), Happened::Settled);
    let aside = Aside::new(world, books);
    for object in books.objects() {
        for endpoint in &world.endpoints {
            if object.space == ASIDE {
                // Whoever is told to load does, and everybody after that gets it.
                let told = aside.load(endpoint, &object, Duration::ZERO, &mut rng).await;
                if !matches!(told, Outcome::Absent { leased: true }) {
                    continue;
                }
            }
            in_the_end(&reader, endpoint, &object).await;
        }
    }
    for object in ledger.objects() {
        for endpoint in &world.endpoints {
            in_the_end(&reader, endpoint, &object).await;
        }
    }
    drained
}

/// Reads until there is an answer, as long as a machine that is busy with others may need to give one. That there is
/// none at all is the history's to tell.
async fn in_the_end(reader: &Reader, endpoint: &Endpoint, object: &Object) {
    let answered = async {
        while matches!(
            reader.read(endpoint, object, Floor::None).await,
            Outcome::Refused { .. } | Outcome::Failed { .. }
        ) {
            sleep(AGAIN).await;
        }
    };
    drop(timeout(PEACE, answered).await);
}
