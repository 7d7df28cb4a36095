//! What is watched on a connection beside its requests: the steps of a stop, a client that is quiet or does not read.

use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};
use tokio_util::sync::CancellationToken;

use super::Settings;
use super::connection::Stop;
use super::deadline::{Deadline, deadline};
use super::stall::{Slow, Written};
use super::traffic::Traffic;
use crate::clock::Clock;

/// After so long without a request a connection of HTTP/1 is put to rest: longer than clients pause that have more to ask,
/// and short, for until then it has its buffers.
pub(super) const REST_AFTER: Duration = Duration::from_millis(100);
/// Between two looks where a request is under way.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What has become of a connection.
pub(super) enum Seen {
    /// [`Stop::told`].
    Told,
    /// [`Stop::closing`].
    Closing,
    /// There was a request, and for a moment there has been no other.
    Resting,
    /// The client has had its time to send a request, header and all, and has not.
    Quiet,
    /// It does not take what it is sent.
    Stuck,
    /// Everything ends at once.
    Cut,
}

/// One connection, watched.
pub(super) struct Watch {
    stop: Stop,
    abort: CancellationToken,
    traffic: Traffic,
    clock: Clock,
    quiet_max: Duration,
    quiet: Deadline,
    slow: Slow,
    told: bool,
    closing: bool,
    /// It was quiet, and its client is told to go.
    over: bool,
}

/// A watch that is woken by itself alone: what it sees changes seldom, and a request is not to pay for the look.
pub(super) struct Watched(FuturesUnordered<BoxFuture<'static, (Seen, Watch)>>);

impl From<Watch> for Watched {
    fn from(watch: Watch) -> Self {
        Self(FuturesUnordered::from_iter([watch.next().boxed()]))
    }
}

impl Watched {
    /// What is seen next. May be dropped and asked again.
    pub(super) async fn next(&mut self) -> Option<Seen> {
        let (seen, watch) = self.0.next().await?;
        self.0.push(watch.next().boxed());
        Some(seen)
    }
}

impl Watch {
    pub(super) fn new(
        settings: &Settings,
        stop: Stop,
        abort: CancellationToken,
        traffic: Traffic,
        written: Written,
    ) -> Self {
        let (quiet_max, clock) = (settings.header_timeout, settings.clock.clone());
        let first = if traffic.http2() { quiet_max } else { REST_AFTER.min(quiet_max) };
        let (quiet, slow) = (deadline(first), Slow::new(written, settings.body_timeout));
        let (told, closing, over) = (false, false, false);
        Self { stop, abort, traffic, clock, quiet_max, quiet, slow, told, closing, over }
    }

    /// What comes next, and itself to go on.
    async fn next(mut self) -> (Seen, Self) {
        let seen = self.see().await;
        (seen, self)
    }

    async fn see(&mut self) -> Seen {
        loop {
            tokio::select! {
                biased;
                () = self.abort.cancelled() => return Seen::Cut,
                () = self.stop.told.cancelled(), if !self.told => {
                    self.told = true;
                    self.closing = self.traffic.http2();
                    return Seen::Told;
                }
                () = self.stop.closing.cancelled(), if !self.closing => {
                    self.closing = true;
                    return Seen::Closing;
                }
                () = self.quiet.as_mut(), if !self.closing => {
                    // Put off here alone, and not by every request.
                    let quiet = self.traffic.quiet_for(&self.clock);
                    let left = self.quiet_max.saturating_sub(quiet);
                    if left.is_zero() {
                        (self.closing, self.over) = (true, true);
                        // The client has as long as any to take what it is told.
                        self.slow.restart();
                        return Seen::Quiet;
                    }
                    let asked = self.traffic.begun() != 0;
                    let rests = asked && !self.traffic.http2() && REST_AFTER <= quiet;
                    let next = if self.traffic.http2() {
                        left
                    } else if !asked || quiet.is_zero() {
                        LOOK_EVERY
                    } else if rests {
                        REST_AFTER
                    } else {
                        REST_AFTER.saturating_sub(quiet)
                    };
                    self.quiet = deadline(left.min(next));
                    if rests {
                        return Seen::Resting;
                    }
                }
                // A client of HTTP/2 can stop reading its answers and still take what is not an answer.
                takes = self.slow.next() => if !takes && (self.over || self.traffic.has_unread()) {
                    return Seen::Stuck;
                }
            }
        }
    }
}
