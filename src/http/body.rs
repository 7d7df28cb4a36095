//! Bodies: what is sent, shared and never copied, and how a request's is read within its limits.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::fmt;
use std::mem;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use base64_simd::STANDARD as BASE64;
use bytes::{Bytes, BytesMut};
use futures_util::Stream;
use http_body_util::BodyExt as _;
use hyper::body::{Frame, SizeHint};

use super::deadline::within;
use super::problem::{Code, Problem};
use super::room::Room;

/// Bytes that are encoded as base64 at a time; a multiple of three, so that no padding falls between two pieces.
const BASE64_STEP: usize = 48 * 1024;
/// Bytes of a piece that is copied rather than sent from where it is.
const COPIED_MAX: usize = 8 * 1024;

/// A response's body.
pub struct Body {
    kind: Kind,
}

enum Kind {
    Whole(Bytes),
    Parts(VecDeque<Part>),
    Stream(Pin<Box<dyn Stream<Item = Bytes> + Send>>),
}

/// A piece of a body.
pub enum Part {
    /// As it is.
    Plain(Bytes),
    /// To be sent as base64, encoded when its turn comes.
    Base64(Bytes),
}

impl Part {
    fn len(&self) -> u64 {
        match self {
            Self::Plain(bytes) => bytes.len() as u64,
            Self::Base64(bytes) => (bytes.len() as u64).div_ceil(3) * 4,
        }
    }
}

impl Body {
    /// Nothing.
    pub fn empty() -> Self {
        Self::from(Bytes::new())
    }

    /// Pieces, one after another; the length is known.
    pub fn parts(mut parts: VecDeque<Part>) -> Self {
        parts.retain(|part| 0 < part.len());
        Self { kind: Kind::Parts(parts) }
    }

    /// Pieces as they come; the length is not known.
    pub fn stream(stream: impl Stream<Item = Bytes> + Send + 'static) -> Self {
        Self { kind: Kind::Stream(Box::pin(stream)) }
    }

    /// Its length, where it is known.
    pub fn len(&self) -> Option<u64> {
        match &self.kind {
            Kind::Whole(bytes) => Some(bytes.len() as u64),
            Kind::Parts(parts) => Some(parts.iter().map(Part::len).sum()),
            Kind::Stream(_) => None,
        }
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.len() == Some(0)
    }

    /// Moves what comes next of it to the end of `out`, until that has `enough` bytes or nothing is left; nothing of a
    /// stream. A large piece is not copied, and comes after them.
    pub(super) fn gather(&mut self, out: &mut Vec<u8>, enough: usize) -> Option<Bytes> {
        while out.len() < enough {
            let piece = match &mut self.kind {
                Kind::Whole(bytes) => some(mem::take(bytes))?,
                Kind::Parts(parts) => match parts.pop_front()? {
                    Part::Plain(bytes) => bytes,
                    Part::Base64(mut bytes) => {
                        BASE64.encode_append(bytes.split_to(BASE64_STEP.min(bytes.len())), out);
                        if !bytes.is_empty() {
                            parts.push_front(Part::Base64(bytes));
                        }
                        continue;
                    }
                },
                Kind::Stream(_) => return None,
            };
            if COPIED_MAX < piece.len() {
                return Some(piece);
            }
            out.extend_from_slice(&piece);
        }
        None
    }

    /// All of it, where it is not a stream.
    pub(super) fn whole(self) -> Option<Vec<u8>> {
        match self.kind {
            Kind::Whole(bytes) => Some(bytes.into()),
            Kind::Parts(mut parts) => Some(std::iter::from_fn(|| next(&mut parts)).flatten().collect()),
            Kind::Stream(_) => None,
        }
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body").field("len", &self.len()).finish_non_exhaustive()
    }
}

impl<T: Into<Bytes>> From<T> for Body {
    fn from(bytes: T) -> Self {
        Self { kind: Kind::Whole(bytes.into()) }
    }
}

fn some(bytes: Bytes) -> Option<Bytes> {
    (!bytes.is_empty()).then_some(bytes)
}

fn next(parts: &mut VecDeque<Part>) -> Option<Bytes> {
    match parts.pop_front()? {
        Part::Plain(bytes) => Some(bytes),
        Part::Base64(mut bytes) => {
            let step = bytes.split_to(BASE64_STEP.min(bytes.len()));
            if !bytes.is_empty() {
                parts.push_front(Part::Base64(bytes));
            }
            Some(BASE64.encode_to_string(step).into())
        }
    }
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match &mut self.kind {
            Kind::Whole(bytes) => Poll::Ready(some(mem::take(bytes)).map(|bytes| Ok(Frame::data(bytes)))),
            Kind::Parts(parts) => Poll::Ready(next(parts).map(|bytes| Ok(Frame::data(bytes)))),
            Kind::Stream(stream) => stream.as_mut().poll_next(cx).map(|b| b.map(|b| Ok(Frame::data(b)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        self.len().map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

/// Reads a request's body: at most `max` bytes, all of it within `limit`, and as far as there is room for it among all
/// others. It has its room as long as that lives.
pub(super) async fn read<B>(
    body: B,
    max: usize,
    limit: Duration,
    room: &mut Room<'_>,
) -> Result<Bytes, Problem>
where
    B: hyper::body::Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>>,
{
    if (max as u64) < body.size_hint().lower() {
        return Err(too_large(max));
    }
    within(limit, collect(body, max, room)).await.unwrap_or_else(|| {
        let limit = humantime::format_duration(limit);
        Err(Problem::new(Code::RequestTimeout, format!("the body did not arrive within {limit}")))
    })
}

/// One piece as it is; several in one: a piece of one byte holds on to more than that.
async fn collect<B>(body: B, max: usize, room: &mut Room<'_>) -> Result<Bytes, Problem>
where
    B: hyper::body::Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>>,
{
    let mut body = pin!(body);
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Problem::new(Code::BadRequest, "the body broke off"))?;
        let Ok(piece) = frame.into_data() else { continue };
        let length = whole.len() + piece.len();
        if max < length {
            return Err(too_large(max));
        }
        room.hold(length)?;
        if whole.is_empty() && body.is_end_stream() {
            return Ok(piece);
        }
        whole.extend_from_slice(&piece);
    }
    Ok(whole.freeze())
}

fn too_large(max: usize) -> Problem {
    Problem::new(Code::TooLarge, format!("the body has more than {max} bytes"))
}

#[cfg(test)]
mod tests {
    use super::super::room::Rooms;
    use super::*;
    use base64::Engine as _;
    use http_body_util::{Full, StreamBody};
    use hyper::body::Body as _;

    #[test]
    fn base64_in_pieces_is_base64_as_a_whole_and_its_length_is_known_before() {
        for length in [0, 1, 2, 3, BASE64_STEP - 1, BASE64_STEP, BASE64_STEP + 1, 3 * BASE64_STEP + 2] {
            let bytes = Bytes::from(vec![7; length]);
            let body = Body::parts(VecDeque::from([Part::Plain("\"".into()), Part::Base64(bytes.clone())]));
            let expected = format!("\"{}", base64::engine::general_purpose::STANDARD.encode(&bytes));
            assert_eq!(body.size_hint().exact(), Some(expected.len() as u64));
            assert_eq!(body.whole().unwrap(), expected.as_bytes());
        }
    }

    #[test]
    fn what_is_gathered_piece_by_piece_is_the_whole() {
        for length in [0, 1, COPIED_MAX, COPIED_MAX + 1, BASE64_STEP, 3 * BASE64_STEP + 2] {
            let bytes = Bytes::from(vec![7; length]);
            let body = || {
                let (plain, coded) = (Part::Plain(bytes.clone()), Part::Base64(bytes.clone()));
                Body::parts(VecDeque::from([Part::Plain("a".into()), plain, coded, Part::Plain("z".into())]))
            };
            for enough in [1, COPIED_MAX, 1 << 20] {
                let (mut body, mut all) = (body(), Vec::new());
                while !body.is_empty() {
                    let mut out = Vec::new();
                    let large = body.gather(&mut out, enough);
                    assert!(!out.is_empty() || large.is_some(), "{length} bytes, {enough}");
                    all.extend(out);
                    all.extend(large.unwrap_or_default());
                }
                assert_eq!(all, body_of(&bytes), "{length} bytes, {enough}");
            }
        }
        let mut whole = Body::from(vec![7; COPIED_MAX + 1]);
        let mut out = b"head".to_vec();
        assert_eq!(whole.gather(&mut out, 1 << 20).map(|large| large.len()), Some(COPIED_MAX + 1));
        assert!(whole.is_empty() && out == b"head");
    }

    fn body_of(bytes: &Bytes) -> Vec<u8> {
        let coded = base64::engine::general_purpose::STANDARD.encode(bytes);
        [b"a", &**bytes, coded.as_bytes(), b"z"].concat()
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_body_has_a_size_limit_and_a_time_limit() {
        let second = Duration::from_secs(1);
        let rooms = Rooms::of_bytes(1 << 20);
        let room = || rooms.enter();
        assert_eq!(read(Full::new(Bytes::from("12345")), 5, second, &mut room()).await.unwrap(), "12345");
        let over = read(Full::new(Bytes::from("123456")), 5, second, &mut room()).await.unwrap_err();
        assert_eq!(over.code(), Code::TooLarge);
        let frame = |text: &'static str| Ok::<_, Infallible>(Frame::data(Bytes::from(text)));
        let pieces = |last| StreamBody::new(futures_util::stream::iter([frame("123"), frame(last)]));
        assert_eq!(read(pieces("45"), 5, second, &mut room()).await.unwrap(), "12345");
        assert_eq!(read(pieces("456"), 5, second, &mut room()).await.unwrap_err().code(), Code::TooLarge);
        let stuck = StreamBody::new(futures_util::stream::pending::<Result<Frame<Bytes>, Infallible>>());
        assert_eq!(read(stuck, 5, second, &mut room()).await.unwrap_err().code(), Code::RequestTimeout);
    }

    #[tokio::test]
    async fn bodies_that_find_no_room_are_refused_until_others_are_done() {
        let rooms = Rooms::of_bytes(8 << 10);
        let second = Duration::from_secs(1);
        let body = |kib: usize| Full::new(Bytes::from(vec![7; kib << 10]));
        let (mut first, mut second_one) = (rooms.enter(), rooms.enter());
        assert_eq!(read(body(6), 1 << 20, second, &mut first).await.unwrap().len(), 6 << 10);
        let refused = read(body(3), 1 << 20, second, &mut second_one).await.unwrap_err();
        assert_eq!(refused.code(), Code::Overloaded);
        assert_eq!(read(body(2), 1 << 20, second, &mut rooms.enter()).await.unwrap().len(), 2 << 10);
        drop(first);
        assert_eq!(read(body(8), 1 << 20, second, &mut second_one).await.unwrap().len(), 8 << 10);
    }
}
