//! The fast path of HTTP/1.1: requests that lie there whole and ask nothing of the connection, as nearly all do, are read
//! and answered from here. Any other goes to hyper, from its first byte on and with the connection: one whose body comes
//! in pieces, that is framed in any way but by one `Content-Length`, asks for an upgrade or to be told to continue, or is
//! wrong.

use std::mem::MaybeUninit;

use bytes::{Buf as _, Bytes, BytesMut};
use http_body_util::Full;
use httparse::{Header, Status};
use hyper::header::{CONNECTION, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, Uri};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};
use tracing::debug;

use super::front::Desk;
use super::line::Line;
use super::sent::Sent;
use crate::clock::Clock;

/// Most headers of a request that is read here.
const HEADERS_MAX: usize = 32;
/// Bytes that are taken at once: a request with its body is whole in it, or is not for here.
const STEP: usize = 8 * 1024;

/// What a connection's requests leave to the next.
#[derive(Default)]
pub(super) struct Fast {
    room: BytesMut,
    /// What was read and is not used.
    read: Bytes,
    /// Empty, with the room of the last answer's.
    headers: HeaderMap,
    sent: Sent,
}

/// Why there is no other request for here.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The client says no more, or it has been told that this was the last.
    Over,
    /// There is something to read for hyper.
    Other,
}

/// What lies there that is no request for here.
#[derive(Debug, PartialEq, Eq)]
enum Not {
    /// Nothing, or the begin of a head.
    Whole,
    /// Something else.
    Plain,
}

impl Fast {
    /// What was read and not used.
    pub(super) fn into_read(self) -> Bytes {
        self.read
    }

    /// Answers one request after another. May be dropped while no request is under way.
    pub(super) async fn answer<T, D>(&mut self, io: &mut T, line: &Line<D>, clock: &Clock) -> End
    where
        T: AsyncRead + AsyncWrite + Unpin,
        D: Desk,
    {
        loop {
            let request = match self.next() {
                Ok(request) => request,
                Err(Not::Whole) if self.fill(io).await => continue,
                // Half a word is answered.
                Err(Not::Whole) if self.read.is_empty() => return End::Over,
                Err(Not::Whole | Not::Plain) => return End::Other,
            };
            let arrived = clock.now();
            let mut busy = line.traffic.begin(arrived);
            let head = *request.method() == Method::HEAD;
            let response = line.answer(arrived, request).await;
            let (parts, mut body) = response.into_parts();
            busy.unread(true);
            if let Err(error) = self.sent.send(io, &parts, &mut body, head).await {
                debug!(%error, "an answer was not sent");
                return End::Over;
            }
            drop(busy);
            self.headers = parts.headers;
            if self.headers.contains_key(CONNECTION) {
                return End::Over;
            }
            self.headers.clear();
        }
    }

    /// Reads once; whether there was anything. May be dropped.
    async fn fill<T: AsyncRead + Unpin>(&mut self, io: &mut T) -> bool {
        if self.read.is_empty() {
            // What the last one was read from is free again, unless its answer still holds on to it.
            self.read = Bytes::new();
        }
        self.room.reserve(STEP);
        let Ok(1..) = io.read_buf(&mut self.room).await else { return false };
        let more = self.room.split().freeze();
        self.read = if self.read.is_empty() { more } else { [&*self.read, &more].concat().into() };
        true
    }

    /// Takes the next request, if it is there.
    fn next(&mut self) -> Result<Request<Full<Bytes>>, Not> {
        if self.read.is_empty() {
            return Err(Not::Whole);
        }
        let mut lines = [const { MaybeUninit::uninit() }; HEADERS_MAX];
        let mut head = httparse::Request::new(&mut []);
        match head.parse_with_uninit_headers(&self.read, &mut lines) {
            Ok(Status::Complete(head_bytes)) => {
                let room = std::mem::take(&mut self.headers);
                let taken = request(&self.read, &head, head_bytes, room);
                let (request, bytes) = taken.ok_or(Not::Plain)?;
                self.read.advance(bytes);
                Ok(request)
            }
            Ok(Status::Partial) if self.read.len() < STEP => Err(Not::Whole),
            Ok(Status::Partial) | Err(_) => Err(Not::Plain),
        }
    }
}

/// What `head` begins, if it is all in `read` and for here, and its bytes; its headers are put into `headers`.
fn request(
    read: &Bytes,
    head: &httparse::Request<'_, '_>,
    head_bytes: usize,
    mut headers: HeaderMap,
) -> Option<(Request<Full<Bytes>>, usize)> {
    if head.version != Some(1) {
        return None;
    }
    let bytes = head_bytes.checked_add(body_bytes(head.headers)?).filter(|bytes| *bytes <= read.len())?;
    let path = head.path.filter(|path| path.starts_with('/'))?;
    for Header { name, value } in head.headers.iter() {
        let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
        headers.append(name, HeaderValue::from_maybe_shared(read.slice_ref(value)).ok()?);
    }
    // Its own memory: a value that is kept is not to hold on to a whole step.
    let mut request = Request::new(Full::new(Bytes::copy_from_slice(&read[head_bytes..bytes])));
    *request.method_mut() = Method::from_bytes(head.method?.as_bytes()).ok()?;
    *request.uri_mut() = Uri::from_maybe_shared(read.slice_ref(path.as_bytes())).ok()?;
    *request.headers_mut() = headers;
    Some((request, bytes))
}

/// How long the body is; `None` where the headers ask for what is not done here.
fn body_bytes(headers: &[Header<'_>]) -> Option<usize> {
    let mut body = None;
    for Header { name, value } in headers {
        let is = |other: &str| name.eq_ignore_ascii_case(other);
        match name.len() {
            10 if is("connection") && !value.eq_ignore_ascii_case(b"keep-alive") => return None,
            6 if is("expect") => return None,
            7 if is("upgrade") => return None,
            17 if is("transfer-encoding") => return None,
            14 if is("content-length") => {
                let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
                let length = str::from_utf8(value).ok().filter(|_| digits)?.parse().ok()?;
                if body.replace(length).is_some() {
                    return None;
                }
            }
            _ => {}
        }
    }
    Some(body.unwrap_or(0))
}

#[cfg(test)]
#[path = "fast_tests.rs"]
mod tests;
