//! A replica that entries are read from, for as long as that costs nobody anything: one that is slow, behind or silent is
//! left alone, and asked by nobody who waits for an answer until it has shown that it is well.
//!
//! What it holds proves itself, so it is never wrong to ask it; it may only be of no use.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::connection::{Command, Opener};
use super::handshake::Fault;
use super::link::{Generation, Link, Parts};
use super::reply::text;
use super::{Context, peeks};
use crate::backend::{EntryId, Stored};

/// No read waits longer for it, whatever it was like before: then the primary is asked.
pub(super) const PATIENCE_MAX: Duration = Duration::from_millis(50);
/// A read waits so long for one that usually answers much faster.
const PATIENCE_MIN: Duration = Duration::from_millis(5);
/// Of its usual time for an answer, so many times is too long.
const UNUSUAL: u32 = 4;
/// Of a longer question's entries, so many are worth the patience for one.
const ENTRIES: usize = 100;
/// How often it is looked after.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// For how long it is left alone: the first time, and what doubling it ends at.
const REST_MIN: Duration = Duration::from_millis(100);
const REST_MAX: Duration = Duration::from_secs(5);
/// After so long without trouble the next rest is a short one again.
const CALM: Duration = Duration::from_secs(10);
/// A replica that has heard nothing for so many seconds is behind: every instance writes several times a second.
const SILENCE_MAX: u64 = 2;

/// The way to it, and what is thought of it.
pub(super) struct Replica {
    link: Link,
    opener: Opener,
    trusted: AtomicBool,
    doubted: Notify,
    /// Its usual time for an answer, in microseconds; 0 before the first.
    usual_us: AtomicU64,
}

impl Replica {
    pub(super) fn new(opener: Opener, command_timeout: Duration) -> Self {
        Self {
            link: Link::new("reader", command_timeout),
            opener,
            trusted: AtomicBool::new(false),
            doubted: Notify::new(),
            usual_us: AtomicU64::new(0),
        }
    }

    /// See [`crate::backend::Backend::peek`]; `None` if it is not asked or does not answer in time.
    pub(super) async fn peek(&self, context: &Context, wanted: &[EntryId]) -> Option<Vec<Option<Stored>>> {
        if !self.trusted.load(Relaxed) {
            return None;
        }
        let generation = self.link.generation()?;
        let longer = u32::try_from(wanted.len() / ENTRIES).unwrap_or(u32::MAX).saturating_add(1);
        let patience = self.patience().saturating_mul(longer).min(PATIENCE_MAX);
        let asked = Instant::now();
        let peek = generation.within(peeks::peek(context, generation.data(), wanted));
        let Ok(Ok(found)) = timeout(patience, peek).await else {
            self.trusted.store(false, Relaxed);
            self.doubted.notify_one();
            return None;
        };
        if wanted.len() < ENTRIES {
            self.learn(asked.elapsed());
        }
        Some(found)
    }

    /// Keeps the connections to it, made by `make`.
    pub(super) async fn keep<M>(&self, stop: &CancellationToken, make: impl Fn(Opener) -> M)
    where
        M: Future<Output = Result<Parts, Fault>>,
    {
        self.link.keep(stop, || make(self.opener.clone()), |generation| self.attend(generation)).await;
    }

    /// Says whether it may be asked, while the generation lasts.
    async fn attend(&self, generation: Arc<Generation>) {
        let _ends = Distrusted(&self.trusted);
        let mut rest = REST_MIN;
        loop {
            while !self.is_well(&generation).await {
                sleep(rest).await;
                rest = rest.saturating_mul(2).min(REST_MAX);
            }
            let since = Instant::now();
            self.trusted.store(true, Relaxed);
            info!(backend.link = "reader", "entries are read from the replica");
            tokio::select! {
                () = self.doubted.notified() => {}
                () = self.fails(&generation) => {}
            }
            self.trusted.store(false, Relaxed);
            rest = if CALM < since.elapsed() { REST_MIN } else { rest.saturating_mul(2).min(REST_MAX) };
            info!(backend.link = "reader", "the replica is left alone: it is slow, silent or behind");
            sleep(rest).await;
        }
    }

    async fn fails(&self, generation: &Generation) {
        loop {
            sleep(LOOK_EVERY).await;
            if !self.is_well(generation).await {
                return;
            }
        }
    }

    /// It answers in time, and hears from its primary.
    async fn is_well(&self, generation: &Generation) -> bool {
        let asked = Instant::now();
        let ask = Command::new("INFO", 0).arg("replication");
        match timeout(PATIENCE_MAX, generation.data().call(ask)).await {
            Ok(Ok(info)) => {
                self.learn(asked.elapsed());
                text(info).is_none_or(|info| keeps_up(&info))
            }
            // who may not ask for that may read all the same
            Ok(Err(error)) => error.details().starts_with("NOPERM"),
            Err(_) => false,
        }
    }

    fn learn(&self, took: Duration) {
        let took = u64::try_from(took.as_micros()).unwrap_or(u64::MAX).clamp(1, 1 << 32);
        let usual = self.usual_us.load(Relaxed);
        // what another has learned in between is as good as this
        self.usual_us.store(if usual == 0 { took } else { (usual * 7 + took) / 8 }, Relaxed);
    }

    /// How long a read waits for it.
    fn patience(&self) -> Duration {
        match self.usual_us.load(Relaxed) {
            0 => PATIENCE_MAX,
            usual => Duration::from_micros(usual).saturating_mul(UNUSUAL).clamp(PATIENCE_MIN, PATIENCE_MAX),
        }
    }
}

/// Whoever comes after the generation begins without trust.
struct Distrusted<'a>(&'a AtomicBool);

impl Drop for Distrusted<'_> {
    fn drop(&mut self) {
        self.0.store(false, Relaxed);
    }
}

/// Whether a replica hears from its primary; one that is none (any more) has nobody to hear from.
fn keeps_up(info: &str) -> bool {
    let fields: HashMap<&str, &str> = info.lines().filter_map(|line| line.trim().split_once(':')).collect();
    let link = fields.get("master_link_status").copied().unwrap_or("up");
    let silence = fields.get("master_last_io_seconds_ago").and_then(|seconds| seconds.parse::<i64>().ok());
    link == "up" && silence.is_none_or(|seconds| u64::try_from(seconds).is_ok_and(|it| it <= SILENCE_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::valkey::address::{Credentials, config};

    fn replica() -> Replica {
        let config = config("valkey://h", Credentials::default()).unwrap();
        Replica::new(Opener::new(config, LOOK_EVERY, LOOK_EVERY), LOOK_EVERY)
    }

    #[test]
    fn patience_is_learned_and_bounded() {
        let it = replica();
        assert_eq!(it.patience(), PATIENCE_MAX);
        for _ in 0..100 {
            it.learn(Duration::from_millis(3));
        }
        assert!((Duration::from_millis(10)..=Duration::from_millis(12)).contains(&it.patience()));
        for _ in 0..100 {
            it.learn(Duration::from_micros(100));
        }
        assert_eq!(it.patience(), PATIENCE_MIN);
        for _ in 0..100 {
            it.learn(Duration::from_mins(1));
        }
        assert_eq!(it.patience(), PATIENCE_MAX);
    }

    #[test]
    fn a_replica_that_hears_nothing_does_not_keep_up() {
        assert!(keeps_up("role:slave\r\nmaster_link_status:up\r\nmaster_last_io_seconds_ago:1\r\n"));
        assert!(!keeps_up("role:slave\r\nmaster_link_status:down\r\nmaster_last_io_seconds_ago:-1\r\n"));
        assert!(!keeps_up("role:slave\r\nmaster_link_status:up\r\nmaster_last_io_seconds_ago:3\r\n"));
        assert!(keeps_up("role:master\r\nconnected_slaves:0\r\n"));
    }
}
