//! One keep-alive connection of the load generator: a request out, its answer in.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Instant;

/// Bytes that an answer has room for at first, and at most.
const ANSWER_BYTES: usize = 16 * 1024;
const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Most headers of an answer.
const HEADERS_MAX: usize = 32;

/// What an answer is to be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expected {
    /// Its status.
    pub(crate) status: u16,
    /// What its `Cache-Status` is to hold, if anything.
    pub(crate) tier: Option<&'static str>,
}

/// A whole answer.
pub(super) struct Answer {
    /// Since when its request was due.
    pub(super) since: Instant,
    /// Whether its `Cache-Status` holds what is expected.
    pub(super) told: bool,
    /// Of its body.
    pub(super) bytes: u64,
}

/// One connection, with at most one request under way.
pub(super) struct Connection {
    stream: TcpStream,
    answer: Vec<u8>,
    filled: usize,
    /// Since when the request under way has been due.
    since: Option<Instant>,
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

impl Connection {
    pub(super) fn open(addr: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(addr)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(Self { stream, answer: vec![0; ANSWER_BYTES], filled: 0, since: None })
    }

    /// Sends a request that has been due since then. Requests are small and the connection is idle: the kernel takes
    /// them whole.
    pub(super) fn send(&mut self, request: &[u8], since: Instant) -> io::Result<()> {
        self.since = Some(since);
        self.filled = 0;
        self.stream.write_all(request)
    }

    /// Reads on until the answer is whole.
    ///
    /// # Errors
    ///
    /// If the answer has another status or no length, or longer than what is expected here.
    pub(super) fn receive(&mut self, expected: Expected) -> io::Result<Option<Answer>> {
        if self.filled == self.answer.len() && self.filled < ANSWER_BYTES_MAX {
            self.answer.resize(2 * self.filled, 0);
        }
        match self.stream.read(&mut self.answer[self.filled..]) {
            Ok(0) => return Err(malformed("it ends", &self.answer[..self.filled])),
            Ok(read) => self.filled += read,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(error),
        }
        let bytes = &self.answer[..self.filled];
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut head = httparse::Response::new(&mut headers);
        let Ok(httparse::Status::Complete(body_at)) = head.parse(bytes).map_err(io::Error::other) else {
            return Ok(None);
        };
        if head.code != Some(expected.status) {
            return Err(malformed("it has another status", bytes));
        }
        let length = header(head.headers, "content-length").and_then(|text| text.parse::<usize>().ok());
        let length = length.ok_or_else(|| malformed("it has no length", bytes))?;
        if self.filled < body_at + length {
            return Ok(None);
        }
        let told = expected.tier.is_none_or(|tier| {
            header(head.headers, "cache-status").is_some_and(|status| status.contains(tier))
        });
        let since = self.since.take().ok_or_else(|| malformed("nobody asked for it", bytes))?;
        Ok(Some(Answer { since, told, bytes: length as u64 }))
    }
}

fn header<'a>(headers: &[httparse::Header<'a>], name: &str) -> Option<&'a str> {
    let header = headers.iter().find(|header| header.name.eq_ignore_ascii_case(name))?;
    std::str::from_utf8(header.value).ok()
}

fn malformed(how: &str, answer: &[u8]) -> io::Error {
    let answer = String::from_utf8_lossy(&answer[..answer.len().min(600)]);
    io::Error::new(io::ErrorKind::InvalidData, format!("an answer is not as it should be, {how}: {answer}"))
}
