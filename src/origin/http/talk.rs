//! One connection to the origin, carried on by whoever asks over it: no task of its own, and nobody to be woken but the
//! one who waits for the answer.

use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::poll_fn;
use http_body_util::Full;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::{self, Connection, SendRequest};
use hyper::{Request, Response};
use hyper_rustls::MaybeHttpsStream;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::pool::Shelf;

/// The most bytes of an answer's header, and of what is read ahead of its body.
const HEADER_BYTES_MAX: usize = 64 << 10;

pub(super) type Ask = Request<Full<Bytes>>;
pub(super) type Stream = MaybeHttpsStream<TokioIo<TcpStream>>;

/// A connection of HTTP/1.1.
pub(super) struct Talk {
    sender: SendRequest<Full<Bytes>>,
    /// Until it has ended.
    carrier: Option<Box<Connection<Stream, Full<Bytes>>>>,
}

impl Talk {
    pub(super) async fn begin(stream: Stream) -> hyper::Result<Self> {
        let (sender, carrier) =
            http1::Builder::new().max_buf_size(HEADER_BYTES_MAX).handshake(stream).await?;
        Ok(Self { sender, carrier: Some(Box::new(carrier)) })
    }

    /// Whether it can be asked over: nothing is under way, and the origin is not known to have closed it.
    pub(super) fn is_free(&mut self) -> bool {
        self.carry(&mut Context::from_waker(Waker::noop()));
        self.carrier.is_some() && self.sender.is_ready()
    }

    /// Asks, up to the answer's header. What was not sent comes back with the error.
    pub(super) async fn ask(&mut self, ask: Ask) -> Result<Response<Incoming>, TrySendError<Ask>> {
        let mut answer = pin!(self.sender.try_send_request(ask));
        let carrier = &mut self.carrier;
        poll_fn(|cx| {
            carry(carrier, cx);
            answer.as_mut().poll(cx)
        })
        .await
    }

    /// Waits until nothing is under way, or the connection has ended.
    async fn done(&mut self) {
        poll_fn(|cx| {
            self.carry(cx);
            if self.carrier.is_none() || self.sender.is_ready() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    fn carry(&mut self, cx: &mut Context<'_>) {
        carry(&mut self.carrier, cx);
    }
}

/// Does what can be done now. How a connection has ended is told to who asks over it.
fn carry(carrier: &mut Option<Box<Connection<Stream, Full<Bytes>>>>, cx: &mut Context<'_>) {
    if carrier.as_mut().is_some_and(|it| it.poll_unpin(cx).is_ready()) {
        *carrier = None;
    }
}

/// An answer's body. Read to its end it leaves the connection to the next; dropped before, it closes it.
pub(super) struct Answer {
    body: Incoming,
    /// The whole of it has been read.
    ended: bool,
    /// While it is needed.
    talk: Option<Talk>,
    shelf: Shelf,
}

impl Answer {
    pub(super) fn new(body: Incoming, talk: Talk, shelf: Shelf) -> Self {
        Self { ended: body.is_end_stream(), body, talk: Some(talk), shelf }
    }

    /// Waits until the request is gone, too, which an origin may answer while it still reads it. An answer that was not
    /// read to its end is not waited for.
    pub(super) async fn asked(&mut self) {
        if let Some(talk) = self.talk.as_mut().filter(|_| self.ended) {
            talk.done().await;
        }
    }

    fn leave(&mut self) {
        if let Some(talk) = self.talk.take_if(Talk::is_free) {
            self.shelf.put(talk);
        }
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        if let Some(talk) = &mut self.talk {
            talk.carry(cx);
        }
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        match &frame {
            Some(Err(_)) => self.talk = None,
            Some(Ok(_)) if !self.body.is_end_stream() => {}
            Some(Ok(_)) | None => {
                self.ended = true;
                self.leave();
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        // Where there is nothing to read nobody reads.
        if self.ended {
            self.leave();
        }
    }
}
