//! A stream some of which was read before it came here: that comes first.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What was read already, then the stream.
pub(super) struct Rewound<T> {
    io: T,
    read: Bytes,
}

impl<T> Rewound<T> {
    pub(super) fn new(io: T, read: Bytes) -> Self {
        Self { io, read }
    }

    /// The stream, and what must be read before it: `ahead`, which was taken from here and not used, and what is left.
    pub(super) fn into_parts(mut self, ahead: Bytes) -> (T, Bytes) {
        self.put_back(ahead);
        (self.io, self.read)
    }

    /// What was taken from here and not used is to be read again.
    pub(super) fn put_back(&mut self, ahead: Bytes) {
        if self.read.is_empty() {
            self.read = ahead;
        } else if !ahead.is_empty() {
            let mut both = BytesMut::from(ahead);
            both.extend_from_slice(&self.read);
            self.read = both.freeze();
        }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Rewound<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.read.is_empty() {
            return Pin::new(&mut self.io).poll_read(cx, buffer);
        }
        let count = self.read.len().min(buffer.remaining());
        buffer.put_slice(&self.read[..count]);
        self.read.advance(count);
        if self.read.is_empty() {
            // An empty piece still holds on to its memory.
            self.read = Bytes::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Rewound<T> {
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
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test]
    async fn what_was_read_before_comes_first_in_pieces_of_any_size() {
        for taken in 0..7 {
            let (near, mut far) = tokio::io::duplex(64);
            far.write_all(b"789").await.unwrap();
            let mut rewound = Rewound::new(near, Bytes::from_static(b"123456"));
            let mut piece = vec![0; taken];
            rewound.read_exact(&mut piece).await.unwrap();
            // Nothing of it was used: it is all there again.
            let (near, read) = rewound.into_parts(piece.into());
            let mut whole = [0; 9];
            Rewound::new(near, read).read_exact(&mut whole).await.unwrap();
            assert_eq!(&whole, b"123456789");
        }
    }
}
