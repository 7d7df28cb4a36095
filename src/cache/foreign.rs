//! Copies that are no longer what L2 holds, because somebody changed it past the instances: they are dropped.
//!
//! The server tells of every change of an entry, those by the instances among them, and not of who made it. So each
//! is asked about: what L2 holds is either the load that this copy is of, or another. A fill therefore costs whoever
//! made it one question and nobody a copy of that load; whoever holds an older one drops it, and finds the newer in L2.
//!
//! What L2 said just before a change may land here just after it was told of. So a key remembers for a while that it was
//! touched, and whatever lands by then is asked about, too.

use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::iter;
use tokio::sync::{Mutex, mpsc};
use tokio_util::sync::CancellationToken;
use xxhash_rust::xxh3::xxh3_64;

use super::reader::Reader;
use super::space::Space;
use crate::backend::{EntryId, Found, Lookup};
use crate::clock::Boot;
use crate::coherence::Touches;
use crate::coherence::core::Judgement;
use crate::model::{Key, covering};
use crate::supervisor::Stage;

/// Messages that may wait; with those beyond, all copies are dropped.
const WAITING_MAX: usize = 4096;
/// Questions under way at once.
const QUESTIONS: usize = 32;
/// An answer of L2 lands within this, or it has landed nowhere.
const LANDING: Duration = Duration::from_secs(10);
/// Keys that are told apart; others share a place, and are asked about for nothing.
const PLACES: usize = 1 << 12;

/// Which keys of a namespace were touched of late, and who asks about what lands under them.
pub(super) struct Touched {
    at: Box<[AtomicU64]>,
    any: AtomicU64,
    landed: mpsc::Sender<EntryId>,
}

/// Where a namespace keeps them, if they are followed.
pub(super) type TouchedCell = OnceLock<Touched>;

impl Touched {
    fn new(landed: mpsc::Sender<EntryId>) -> Self {
        Self { at: (0..PLACES).map(|_| AtomicU64::new(0)).collect(), any: AtomicU64::new(0), landed }
    }

    fn place(&self, key: &str) -> &AtomicU64 {
        let hash = usize::try_from(xxh3_64(key.as_bytes())).unwrap_or_default();
        &self.at[hash % PLACES]
    }

    /// A copy is there that may be of before a change. Whether it may stay until somebody has asked.
    pub(super) fn landed(&self, entry: impl FnOnce() -> EntryId, key: &str, now: Boot) -> bool {
        let last = self.place(key).load(SeqCst).max(self.any.load(SeqCst));
        let doubtful = last != 0 && now.as_nanos() < last.saturating_add(nanos(LANDING));
        !doubtful || self.landed.try_send(entry()).is_ok()
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// What a restarted task goes on with.
struct Following {
    touches: Touches,
    landed: mpsc::Receiver<EntryId>,
}

impl Reader {
    /// From here on foreign changes of L2 are followed, by a task that is handed to the supervisor. Once.
    pub(super) fn follow_foreign(self: &Arc<Self>) {
        let (sender, landed) = mpsc::channel(WAITING_MAX);
        for space in self.spaces.values() {
            drop(space.touched.set(Touched::new(sender.clone())));
        }
        let touches = self.coherence.touches(WAITING_MAX);
        let following = Arc::new(Mutex::new(Following { touches, landed }));
        let reader = Arc::clone(self);
        self.supervisor.task(Stage::Load, "cache.tracking", move |stop| {
            let (reader, following) = (Arc::clone(&reader), Arc::clone(&following));
            async move {
                reader.follow(&mut *following.lock().await, &stop).await;
                Ok(())
            }
        });
    }

    async fn follow(self: &Arc<Self>, following: &mut Following, stop: &CancellationToken) {
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                touched = following.touches.next() => match touched {
                    Some(entries) => self.touched(&entries).await,
                    None => self.touched_any(),
                },
                Some(entry) = following.landed.recv() => self.touched(&[entry]).await,
            }
        }
    }

    /// Changes were missed: any copy may be of before one.
    fn touched_any(&self) {
        let now = self.now().as_nanos();
        for space in self.spaces.values() {
            if let Some(touched) = space.touched.get() {
                touched.any.store(now, SeqCst);
            }
            space.l1.clear();
        }
    }

    async fn touched(self: &Arc<Self>, entries: &[EntryId]) {
        let now = self.now().as_nanos();
        let held = entries.iter().filter_map(|entry| {
            let space = self.spaces.get(&*entry.namespace)?;
            space.touched.get()?.place(&entry.key).store(now, SeqCst);
            let ours = space.settings.version == entry.version && space.l1.get(&entry.key).is_some();
            ours.then_some((space, &entry.key))
        });
        iter(held).for_each_concurrent(QUESTIONS, |(space, key)| self.ask(space, key)).await;
    }

    /// Asks what L2 holds, and drops the copy if that is something else.
    async fn ask(self: &Arc<Self>, space: &Arc<Space>, key: &Key) {
        let Some(copy) = space.l1.get(key) else { return };
        let lookup = Lookup {
            entry: space.entry(key),
            covering: covering(space.name(), key),
            claim: None,
            have: Some(copy.load.id()),
        };
        let (kept, gone) = match self.backend.lookup(lookup).await {
            Ok(Found::NotModified(_)) => (true, false),
            Ok(Found::Nothing { stale: Some(stored) }) => (copy.load.is(&stored.load), false),
            Ok(Found::Nothing { stale: None }) => (false, true),
            // another load's, or nobody knows: whoever reads it next asks
            Ok(_) | Err(_) => (false, false),
        };
        if kept {
            return;
        }
        let valid = self.judge(space, self.coherence.shard_of(space.name(), key), &copy, self.now());
        space.l1.remove(key);
        // what an event has named is dropped by that event
        if valid.is_some_and(Judgement::valid) {
            self.coherence.count_touched(gone);
        }
    }
}
