//! A connection at rest: before its first request, and between two of them once it has been quiet for a moment. It is a
//! socket and little more; what reads requests, with its buffers, is there as long as there is something to read.

use std::future::poll_fn;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::unconstrained;
use tokio::time::sleep;

use super::Settings;
use super::connection::Stop;
use crate::clock::Boot;

/// What a client begins with that speaks HTTP/2 without asking.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Bytes that are taken at once: most requests are whole in it.
const STEP: usize = 2 * 1024;

/// Which HTTP a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spoken {
    /// HTTP/1.0 or HTTP/1.1.
    Http1,
    /// HTTP/2.
    Http2,
}

/// The connection.
pub(super) struct Rest<T> {
    stream: T,
    /// What was read of it and is for nobody yet.
    read: Bytes,
    /// Since when no request has been under way.
    since: Boot,
}

impl<T> Rest<T> {
    pub(super) fn new(stream: T, read: Bytes, since: Boot) -> Self {
        Self { stream, read, since }
    }

    /// The stream, what was read of it, and since when it was quiet.
    pub(super) fn into_parts(self) -> (T, Bytes, Boot) {
        (self.stream, self.read, self.since)
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> Rest<T> {
    /// Waits for as much as tells what the client speaks; `None`: there will be no request.
    pub(super) async fn greeted(&mut self, settings: &Settings, stop: &Stop) -> Option<Spoken> {
        loop {
            let seen = self.read.len().min(PREFACE.len());
            if self.read[..seen] != PREFACE[..seen] {
                return Some(Spoken::Http1);
            }
            if seen == PREFACE.len() {
                return Some(Spoken::Http2);
            }
            match self.more(settings, stop).await {
                More::Came => {}
                // Half a word is answered.
                More::Ended if !self.read.is_empty() => return Some(Spoken::Http1),
                More::Ended | More::Over => {
                    self.close().await;
                    return None;
                }
            }
        }
    }

    /// Waits for the first bytes of another request; whether there are any.
    pub(super) async fn ended(&mut self, settings: &Settings, stop: &Stop) -> bool {
        // What came with the last request may be all of the next one.
        if self.read.is_empty() && !matches!(self.more(settings, stop).await, More::Came) {
            self.close().await;
        }
        !self.read.is_empty()
    }

    /// Reads once. The client has as long as where it has begun to say something.
    async fn more(&mut self, settings: &Settings, stop: &Stop) -> More {
        let left = settings.header_timeout.saturating_sub(settings.clock.now().since(self.since));
        tokio::select! {
            biased;
            () = stop.closing.cancelled() => More::Over,
            () = unconstrained(sleep(left)) => More::Over,
            more = poll_fn(|cx| self.poll_more(cx)) => more,
        }
    }

    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<More> {
        let mut room = [MaybeUninit::uninit(); STEP];
        let mut buffer = ReadBuf::uninit(&mut room);
        let read = ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer));
        if read.is_err() || buffer.filled().is_empty() {
            return Poll::Ready(More::Ended);
        }
        self.read = if self.read.is_empty() {
            Bytes::copy_from_slice(buffer.filled())
        } else {
            [&self.read, buffer.filled()].concat().into()
        };
        Poll::Ready(More::Came)
    }

    /// One look is enough for the little there is to say; nobody waits for the client to take it.
    async fn close(&mut self) {
        let _whatever_becomes_of_it =
            poll_fn(|cx| Poll::Ready(Pin::new(&mut self.stream).poll_shutdown(cx))).await;
    }
}

/// What became of a wait for the client.
enum More {
    Came,
    /// The client says no more.
    Ended,
    /// Its time is over, or ours.
    Over,
}
