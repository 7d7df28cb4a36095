//! The library's coherence room alone: it follows the log as an instance does, and nothing stands around it.

use std::collections::{HashMap, HashSet};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use coherd::backend::Backend;
use coherd::backend::valkey::{Settings as ValkeySettings, Valkey};
use coherd::clock::Clock;
use coherd::coherence::{Coherence, Settings};
use coherd::model::ShardCount;
use coherd::supervisor::{Stage, Supervisor};
use coherd::telemetry::Metrics;
use coherd::telemetry::trace::Tracer;
use tokio_util::sync::CancellationToken;

use crate::cores::Cores;
use crate::driver::now;
use crate::fault::Fault;

/// How long they may take to attach.
const PATIENCE: Duration = Duration::from_secs(20);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(10);
/// Places for names: few, for there may be many rooms.
const SLOTS: usize = 1 << 10;
/// As by default.
pub(crate) const MAX_STALENESS: Duration = Duration::from_secs(2);

/// Rooms on one thread, which ends when this is dropped.
pub(crate) struct Rooms {
    pub(crate) of: Vec<Arc<Coherence>>,
    stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

impl Rooms {
    /// Starts so many of a cluster, where things are measured, and waits until all follow its log.
    pub(crate) fn start(
        count: usize,
        name: &str,
        cluster: &str,
        valkey: SocketAddr,
        cores: &Cores,
    ) -> Result<Self, Fault> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let stop = CancellationToken::new();
        let of = {
            let _within = runtime.enter();
            (0..count)
                .map(|number| room(&format!("{name}-{number}"), cluster, valkey))
                .collect::<Result<Vec<_>, Fault>>()?
        };
        let until = stop.clone();
        let thread = cores.among_servers(|| {
            Ok::<_, io::Error>(thread::spawn(move || runtime.block_on(async { until.cancelled().await })))
        })?;
        let rooms = Self { of, stop, thread: Some(thread) };
        let begin = now();
        while !rooms.of.iter().all(|room| room.attached() && room.listening()) {
            if PATIENCE < begin.elapsed() {
                return Err("a room does not attach".into());
            }
            thread::sleep(PAUSE);
        }
        Ok(rooms)
    }
}

impl Drop for Rooms {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take() {
            // Its tasks end with its runtime.
            drop(thread.join());
        }
    }
}

fn room(instance: &str, cluster: &str, valkey: SocketAddr) -> Result<Arc<Coherence>, Fault> {
    let metrics = Metrics::new(&[], "", "")?;
    let supervisor = Supervisor::new(metrics.tasks.clone());
    let backend = backend(cluster, valkey)?;
    let coherence = Coherence::new(Settings {
        backend: Arc::clone(&backend),
        clock: Clock::Boottime,
        metrics: Arc::clone(&metrics.coherence),
        tracer: Tracer::default(),
        instance: instance.to_owned(),
        process: 0,
        slots: SLOTS,
        namespaces: HashMap::new(),
        depended_on: HashSet::new(),
        max_staleness: MAX_STALENESS,
        recent: Duration::ZERO,
    });
    supervisor.task(Stage::Backend, "backend.connection", move |stop| {
        let backend = Arc::clone(&backend);
        async move { Ok(backend.keep_connected(stop).await?) }
    });
    coherence.start(&supervisor);
    Ok(coherence)
}

/// A backend as an instance has it by default, not connected yet.
pub(crate) fn backend(cluster: &str, valkey: SocketAddr) -> Result<Arc<dyn Backend>, Fault> {
    let settings = ValkeySettings {
        url: format!("valkey://{valkey}/0"),
        reader_url: None,
        username: None,
        password: None,
        ca_file: None,
        pool: 4,
        connect_timeout: MAX_STALENESS,
        command_timeout: MAX_STALENESS,
        cluster: cluster.to_owned(),
        shards: ShardCount::ONE,
        log_max_events: 200_000,
        watermarks_max: 500_000,
        min_replicas_ack: 0,
        verify: false,
        tracking: false,
        keeps_writes: false,
        takes_writes: false,
    };
    Ok(Valkey::new(settings)?)
}
