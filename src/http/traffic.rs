//! What goes on on a connection: requests that have begun and ended, and answers that lie there unread.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body as _, Frame, SizeHint};

use super::body::Body;
use super::rest::Spoken;
use crate::clock::{Boot, Clock};

/// How many requests a connection has begun, and how many of them are over, body and all. Clones share the counts.
#[derive(Clone, Debug)]
pub(super) struct Traffic(Arc<Counts>);

#[derive(Debug)]
struct Counts {
    begun: AtomicU64,
    ended: AtomicU64,
    /// None was under way when the connection was looked at last.
    rests: AtomicBool,
    /// Since when, at the latest, in the clock's nanoseconds.
    since: AtomicU64,
    /// Answers that could go on if the client took what it has been sent.
    unread: AtomicU64,
    /// Whether they are those of HTTP/2.
    http2: bool,
}

impl Traffic {
    /// No request yet, since then.
    pub(super) fn new(since: Boot, spoken: Spoken) -> Self {
        Self(Arc::new(Counts {
            begun: AtomicU64::new(0),
            ended: AtomicU64::new(0),
            rests: AtomicBool::new(true),
            since: AtomicU64::new(since.as_nanos()),
            unread: AtomicU64::new(0),
            http2: spoken == Spoken::Http2,
        }))
    }

    /// A request has come.
    pub(super) fn begin(&self, now: Boot) -> Busy {
        self.0.begun.fetch_add(1, Ordering::Relaxed);
        self.0.since.store(now.as_nanos(), Ordering::Relaxed);
        Busy { traffic: self.clone(), unread: false }
    }

    /// The connection has done what there was to do. What began and ended meanwhile took no time to speak of: only after
    /// a request that was waited for is the clock read.
    pub(super) fn look(&self, clock: &Clock) {
        let rests = self.rests();
        if rests != self.0.rests.load(Ordering::Relaxed) {
            self.0.rests.store(rests, Ordering::Relaxed);
            if rests {
                self.0.since.store(clock.now().as_nanos(), Ordering::Relaxed);
            }
        }
    }

    /// For how long no request has been under way.
    pub(super) fn quiet_for(&self, clock: &Clock) -> Duration {
        if self.rests() { clock.now().since(self.since()) } else { Duration::ZERO }
    }

    /// Whether none is under way.
    pub(super) fn rests(&self) -> bool {
        self.0.begun.load(Ordering::Relaxed) == self.0.ended.load(Ordering::Relaxed)
    }

    /// How many there have been.
    pub(super) fn begun(&self) -> u64 {
        self.0.begun.load(Ordering::Relaxed)
    }

    /// Since when none is under way, where none is.
    pub(super) fn since(&self) -> Boot {
        Boot::from_nanos(self.0.since.load(Ordering::Relaxed))
    }

    /// Whether they are those of HTTP/2.
    pub(super) fn http2(&self) -> bool {
        self.0.http2
    }

    /// Whether an answer waits for the client to read.
    pub(super) fn has_unread(&self) -> bool {
        self.0.unread.load(Ordering::Relaxed) != 0
    }
}

/// A request under way.
pub(super) struct Busy {
    traffic: Traffic,
    /// Its answer waits for the client.
    unread: bool,
}

impl Busy {
    /// Its answer waits for the client, or no longer.
    pub(super) fn unread(&mut self, unread: bool) {
        match (self.unread, unread) {
            (false, true) => self.traffic.0.unread.fetch_add(1, Ordering::Relaxed),
            (true, false) => self.traffic.0.unread.fetch_sub(1, Ordering::Relaxed),
            _ => return,
        };
        self.unread = unread;
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.unread(false);
        self.traffic.0.ended.fetch_add(1, Ordering::Relaxed);
    }
}

/// An answer's body on its way. It is asked for more only when there is room for it: whatever is not asked for lies unread.
pub(super) struct Answering {
    body: Body,
    busy: Busy,
}

impl Answering {
    pub(super) fn new(body: Body, mut busy: Busy) -> Self {
        busy.unread(!body.is_end_stream());
        Self { body, busy }
    }
}

impl hyper::body::Body for Answering {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        // Where nothing is there yet, it is not the client that is waited for.
        self.busy.unread(matches!(polled, Poll::Ready(Some(_))));
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
