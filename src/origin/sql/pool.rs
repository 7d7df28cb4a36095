//! Connections that wait for their next statement. How many there are is bounded by who asks: each has one.

use std::collections::VecDeque;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sqlx::{ConnectOptions, Connection};
use tokio::time::Instant;

use super::dialect::Dialect;

/// How long a connection may lie idle; noticed when the next one is taken or given back.
const IDLE_MAX: Duration = Duration::from_mins(1);
/// How long a connection is used at all: a file or a server that was put in the place of another is seen within this.
const LIFETIME_MAX: Duration = Duration::from_mins(5);
/// One that was used so lately is taken to be there still; another is asked first.
const TRUSTED: Duration = Duration::from_millis(100);

/// Not sqlx's: that one asks each connection that comes back whether it is in order, without a time-out, so that a server
/// which falls silent at that moment holds its place for ever.
pub(super) struct Pool<DB: Dialect> {
    options: <DB::Connection as Connection>::Options,
    /// The last used at the back.
    idle: Mutex<VecDeque<Idle<DB>>>,
}

struct Idle<DB: Dialect> {
    connection: DB::Connection,
    made: Instant,
    used: Instant,
    /// It may still be at the statement that was given up.
    was_left: bool,
}

impl<DB: Dialect> Idle<DB> {
    fn is_old(&self) -> bool {
        !self.was_left && (IDLE_MAX < self.used.elapsed() || LIFETIME_MAX < self.made.elapsed())
    }
}

impl<DB: Dialect> Pool<DB> {
    /// Opens nothing yet.
    pub(super) fn new(options: <DB::Connection as Connection>::Options) -> Arc<Self> {
        Arc::new(Self { options, idle: Mutex::default() })
    }

    /// One that lay idle, else a new one.
    pub(super) async fn take(self: &Arc<Self>) -> Result<Lent<DB>, sqlx::Error> {
        while let Some(mut idle) = self.last() {
            let trusted = !idle.was_left && idle.used.elapsed() < TRUSTED;
            idle.was_left = true;
            let mut lent = Lent { pool: Arc::clone(self), idle: Some(idle), is_new: false };
            if trusted || lent.ping().await.is_ok() {
                return Ok(lent);
            }
            lent.close();
        }
        let connection = self.options.connect().await?;
        let now = Instant::now();
        let idle = Some(Idle { connection, made: now, used: now, was_left: true });
        Ok(Lent { pool: Arc::clone(self), idle, is_new: true })
    }

    /// Closes those that lie idle: where one has gone, the others have.
    pub(super) fn clear(&self) {
        let all = std::mem::take(&mut *self.idle());
        drop(all);
    }

    fn last(&self) -> Option<Idle<DB>> {
        let (old, last) = {
            let mut idle = self.idle();
            // The first has lain there for longest.
            let old: Vec<_> = std::iter::from_fn(|| idle.pop_front_if(|it| it.is_old())).collect();
            (old, std::iter::from_fn(|| idle.pop_back()).find(|it| !it.is_old()))
        };
        drop(old);
        last
    }

    fn idle(&self) -> MutexGuard<'_, VecDeque<Idle<DB>>> {
        // Nothing panics between two changes that belong together.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection for one statement.
pub(super) struct Lent<DB: Dialect> {
    pool: Arc<Pool<DB>>,
    /// There until it is given back.
    idle: Option<Idle<DB>>,
    is_new: bool,
}

impl<DB: Dialect> Lent<DB> {
    /// Nobody has used it before.
    pub(super) fn is_new(&self) -> bool {
        self.is_new
    }

    /// For the next statement.
    pub(super) fn give_back(mut self) {
        if let Some(idle) = self.idle.take() {
            self.pool.idle().push_back(Idle { used: Instant::now(), was_left: false, ..idle });
        }
    }

    /// At once, whatever it is doing.
    pub(super) fn close(mut self) {
        drop(self.idle.take());
    }
}

impl<DB: Dialect> Drop for Lent<DB> {
    /// Left in the middle of a statement.
    fn drop(&mut self) {
        if let Some(idle) = self.idle.take().filter(|_| !DB::CLOSED_WHEN_LEFT) {
            // Before all others: whoever gets it waits until that has ended.
            self.pool.idle().push_front(idle);
        }
    }
}

impl<DB: Dialect> Deref for Lent<DB> {
    type Target = DB::Connection;

    fn deref(&self) -> &DB::Connection {
        &self.idle.as_ref().expect("it is given back by value").connection
    }
}

impl<DB: Dialect> DerefMut for Lent<DB> {
    fn deref_mut(&mut self) -> &mut DB::Connection {
        &mut self.idle.as_mut().expect("it is given back by value").connection
    }
}
