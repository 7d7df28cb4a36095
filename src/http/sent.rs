//! An answer of HTTP/1.1 as it is sent on the fast path: what is small goes with the head in one piece.

use std::cell::RefCell;
use std::io;
use std::io::IoSlice;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::{Buf as _, Bytes};
use hyper::StatusCode;
use hyper::header::CONTENT_LENGTH;
use hyper::http::response::Parts;
use tokio::io::{AsyncWrite, AsyncWriteExt as _};

use super::body::Body;

/// What is gathered of a body before it is sent.
const GATHERED: usize = 64 * 1024;
/// Most room that is kept for the next answer.
const KEPT: usize = 16 * 1024;
/// Bytes of a date as HTTP has it (RFC 9110, section 5.6.7).
const DATE_BYTES: usize = 29;
/// Of the year 9999.
const LAST_SECOND: u64 = 253_402_300_799;

/// Where answers are put together.
#[derive(Default)]
pub(super) struct Sent {
    out: Vec<u8>,
}

impl Sent {
    /// Sends an answer; `head`: to a `HEAD`. Fails on a body whose end nothing would tell.
    pub(super) async fn send<T: AsyncWrite + Unpin>(
        &mut self,
        io: &mut T,
        parts: &Parts,
        body: &mut Body,
        head: bool,
    ) -> io::Result<()> {
        let Some(length) = body.len() else { return Err(io::ErrorKind::Unsupported.into()) };
        self.out.clear();
        self.out.shrink_to(KEPT);
        self.head(parts, (!head && !bodiless(parts.status)).then_some(length));
        loop {
            let large = body.gather(&mut self.out, GATHERED);
            if self.out.is_empty() && large.is_none() {
                break;
            }
            write_both(io, &self.out, large.unwrap_or_default()).await?;
            self.out.clear();
        }
        io.flush().await
    }

    fn head(&mut self, parts: &Parts, length: Option<u64>) {
        let out = &mut self.out;
        out.extend_from_slice(b"HTTP/1.1 ");
        out.extend_from_slice(parts.status.as_str().as_bytes());
        out.push(b' ');
        out.extend_from_slice(parts.status.canonical_reason().unwrap_or("").as_bytes());
        for (name, value) in &parts.headers {
            field(out, name.as_str(), value.as_bytes());
        }
        if let Some(length) = length.filter(|_| !parts.headers.contains_key(CONTENT_LENGTH)) {
            field(out, "content-length", itoa::Buffer::new().format(length).as_bytes());
        }
        date(|date| field(out, "date", date));
        out.extend_from_slice(b"\r\n\r\n");
    }
}

fn field(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
}

/// Whether answers of that status have no body, whatever is said of its length.
fn bodiless(status: StatusCode) -> bool {
    matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) || status.is_informational()
}

async fn write_both<T: AsyncWrite + Unpin>(io: &mut T, first: &[u8], second: Bytes) -> io::Result<()> {
    if second.is_empty() {
        return io.write_all(first).await;
    }
    let mut both = first.chain(second);
    while both.has_remaining() {
        let mut slices = [IoSlice::new(&[]); 2];
        let count = both.chunks_vectored(&mut slices);
        let written = io.write_vectored(&slices[..count]).await?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        both.advance(written);
    }
    Ok(())
}

/// The time of day as HTTP has it, written once a second by each thread.
fn date<R>(with: impl FnOnce(&[u8]) -> R) -> R {
    thread_local! {
        static DATE: RefCell<(u64, [u8; DATE_BYTES])> = const { RefCell::new((u64::MAX, [0; DATE_BYTES])) };
    }
    // Of a year with four digits.
    let second = now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()).min(LAST_SECOND);
    DATE.with_borrow_mut(|(of, text)| {
        if *of != second {
            *of = second;
            let written = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(second));
            text.copy_from_slice(&written.as_bytes()[..DATE_BYTES]);
        }
        with(text)
    })
}

#[expect(
    clippy::disallowed_methods,
    reason = "answers say what time it is by the calendar, and nothing depends on it"
)]
fn now() -> SystemTime {
    SystemTime::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_date_is_now_as_http_has_it() {
        let text = date(|text| String::from_utf8(text.to_vec()).unwrap());
        let said = httpdate::parse_http_date(&text).unwrap();
        let past = now().duration_since(said).expect("it is not to come");
        assert!(past < Duration::from_secs(20), "{text}");
    }

    #[tokio::test]
    async fn a_body_that_may_go_on_for_ever_is_not_sent() {
        let stream = futures_util::stream::pending();
        let (parts, mut body) = hyper::Response::new(Body::stream(stream)).into_parts();
        let mut out = Vec::new();
        let sent = Sent::default().send(&mut out, &parts, &mut body, false).await;
        assert_eq!((sent.unwrap_err().kind(), out), (io::ErrorKind::Unsupported, Vec::new()));
    }
}
