//! A close that lets the answer through: what lies unread when a socket is closed turns the close into a reset, which may
//! overtake the answer to a request whose body was not wanted (RFC 9112, section 9.6).

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::deadline::{Deadline, deadline};

/// How long a client may go on sending what nobody reads.
const LINGER_MAX: Duration = Duration::from_secs(2);
/// Bytes that are taken from it meanwhile: on a fast line it could send gigabytes.
const BYTES_MAX: usize = 32 << 20;
/// Bytes read and dropped at once.
const STEP: usize = 16 * 1024;
/// Steps without giving way to other tasks.
const STEPS_MAX: usize = 32;

/// Whether a body was left unread on a connection.
#[derive(Clone, Debug, Default)]
pub(super) struct LeftUnread(Arc<AtomicBool>);

impl LeftUnread {
    /// It was.
    pub(super) fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Where a body was left unread, closes its own side and takes what still comes, until the client closes too.
pub(super) struct Lingering<T> {
    io: T,
    unread: LeftUnread,
    until: Option<Deadline>,
    taken: usize,
}

impl<T> Lingering<T> {
    pub(super) fn new(io: T, unread: LeftUnread) -> Self {
        Self { io, unread, until: None, taken: 0 }
    }

    /// The stream.
    pub(super) fn get_mut(&mut self) -> &mut T {
        &mut self.io
    }

    /// The stream.
    pub(super) fn into_inner(self) -> T {
        self.io
    }
}

impl<T: AsyncRead + Unpin> Lingering<T> {
    /// Drops what comes. Whatever ends it, the connection is over.
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let until = self.until.get_or_insert_with(|| deadline(LINGER_MAX));
        if until.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        let mut bytes = [0; STEP];
        for _ in 0..STEPS_MAX {
            let mut buffer = ReadBuf::new(&mut bytes);
            let read = ready!(Pin::new(&mut self.io).poll_read(cx, &mut buffer));
            self.taken += buffer.filled().len();
            if read.is_err() || buffer.filled().is_empty() || BYTES_MAX <= self.taken {
                return Poll::Ready(());
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Lingering<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buffer)
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Lingering<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.until.is_none() {
            ready!(Pin::new(&mut this.io).poll_shutdown(cx))?;
        }
        if this.unread.is_set() {
            ready!(this.poll_linger(cx));
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_still_comes_is_taken_until_the_client_closes_or_its_time_is_over() {
        for (closes, unread, takes) in [(true, true, 0), (false, true, 2), (false, false, 0)] {
            let (io, mut client) = tokio::io::duplex(64);
            let left = LeftUnread::default();
            if unread {
                left.set();
            }
            let mut lingering = Lingering::new(io, left);
            let began = Instant::now();
            let server = async {
                lingering.write_all(b"413").await.unwrap();
                lingering.shutdown().await.unwrap();
                began.elapsed()
            };
            let client = async {
                if unread {
                    client.write_all(&vec![7; 100_000]).await.unwrap();
                }
                let mut answer = String::new();
                client.read_to_string(&mut answer).await.unwrap();
                if closes {
                    client.shutdown().await.unwrap();
                }
                (answer, client)
            };
            let (took, (answer, _client)) = tokio::join!(server, client);
            assert_eq!((answer.as_str(), took), ("413", Duration::from_secs(takes)));
        }
    }
}
