//! A connection whose client has stopped reading fails instead of staying for ever: hyper has no time-out for writes.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::deadline::{Deadline, deadline};

/// Fewer bytes than these are no answer that is read: pings and the like.
const TAKES_MIN: u64 = 1 << 10;

/// Fails once nothing could be written for `limit` though something was to be.
pub(super) struct Unstalled<T> {
    io: T,
    limit: Duration,
    stalled: Option<Deadline>,
    written: Written,
}

/// How many bytes a connection has been written, and whether more wait for the client.
#[derive(Clone, Debug, Default)]
pub(super) struct Written(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    bytes: AtomicU64,
    waits: AtomicBool,
    closes: AtomicBool,
}

impl Written {
    /// So many until now.
    pub(super) fn bytes(&self) -> u64 {
        self.0.bytes.load(Ordering::Relaxed)
    }

    /// Whether there was no room for all of what was last written.
    pub(super) fn waits(&self) -> bool {
        self.0.waits.load(Ordering::Relaxed)
    }

    /// Whether its end has begun: what still comes is nobody's request.
    pub(super) fn closes(&self) -> bool {
        self.0.closes.load(Ordering::Relaxed)
    }
}

/// Whether a client takes what it is sent, looked at time and again.
pub(super) struct Slow {
    written: Written,
    every: Duration,
    seen: u64,
    next: Deadline,
}

impl Slow {
    pub(super) fn new(written: Written, every: Duration) -> Self {
        Self { written, every, seen: 0, next: deadline(every) }
    }

    /// Counts from here.
    pub(super) fn restart(&mut self) {
        self.next = deadline(self.every);
        self.seen = self.written.bytes();
    }

    /// After the time: whether the client has taken anything to speak of in it. May be dropped and asked again.
    pub(super) async fn next(&mut self) -> bool {
        self.next.as_mut().await;
        self.next = deadline(self.every);
        let before = std::mem::replace(&mut self.seen, self.written.bytes());
        TAKES_MIN <= self.seen - before
    }
}

impl<T> Unstalled<T> {
    pub(super) fn new(io: T, limit: Duration, written: Written) -> Self {
        Self { io, limit, stalled: None, written }
    }

    /// The stream.
    pub(super) fn get_mut(&mut self) -> &mut T {
        &mut self.io
    }

    /// The stream.
    pub(super) fn into_inner(self) -> T {
        self.io
    }

    fn count(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(bytes)) = &written {
            self.written.0.bytes.fetch_add(*bytes as u64, Ordering::Relaxed);
        }
        self.watch(cx, written)
    }

    fn watch<R>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<R>>) -> Poll<io::Result<R>> {
        if written.is_ready() {
            if self.stalled.take().is_some() {
                self.written.0.waits.store(false, Ordering::Relaxed);
            }
            return written;
        }
        self.written.0.waits.store(true, Ordering::Relaxed);
        let limit = self.limit;
        let stalled = self.stalled.get_or_insert_with(|| deadline(limit));
        stalled
            .as_mut()
            .poll(cx)
            .map(|()| Err(io::Error::new(io::ErrorKind::TimedOut, "the client stopped reading")))
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Unstalled<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buffer)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Unstalled<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(cx, bytes);
        self.count(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write_vectored(cx, slices);
        self.count(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.io).poll_flush(cx);
        self.watch(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.written.0.closes.store(true, Ordering::Relaxed);
        let shut = Pin::new(&mut self.io).poll_shutdown(cx);
        self.watch(cx, shut)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    #[tokio::test(start_paused = true)]
    async fn a_client_that_stops_reading_is_given_up_and_a_slow_one_is_not() {
        let (io, mut client) = tokio::io::duplex(4);
        let mut writer = Unstalled::new(io, Duration::from_secs(10), Written::default());
        let slow = async {
            let mut byte = [0];
            for _ in 0..8 {
                tokio::time::sleep(Duration::from_secs(9)).await;
                client.read_exact(&mut byte).await.unwrap();
            }
            client
        };
        let (written, client) = tokio::join!(writer.write_all(b"twelve bytes"), slow);
        written.unwrap();
        assert_eq!(writer.write_all(b"more").await.unwrap_err().kind(), io::ErrorKind::TimedOut);
        drop(client);
    }
}
