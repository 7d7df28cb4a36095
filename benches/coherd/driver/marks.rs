//! Marks that are published on one connection and seen on several others: how long until the last has it.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::poll::{Poll, Wait};
use super::{Histogram, histogram, now, record};

/// How a mark begins; eight digits follow.
const BEGINNING: &[u8] = b"mark-";
/// Bytes of a mark.
pub(crate) const MARK_BYTES: usize = BEGINNING.len() + 8;
/// Publishers: with several, one answer that is late does not hold back the next mark.
const PUBLISHERS: usize = 8;
/// How long after the last mark was published the last stream may take to have it.
const PATIENCE: Duration = Duration::from_secs(5);
/// Between two marks before the streams are known to flow.
const KNOCK: Duration = Duration::from_millis(20);

/// The text of a mark.
fn mark(number: usize) -> String {
    format!("mark-{number:08}")
}

/// What a run saw.
pub(crate) struct Propagation {
    /// Marks published.
    pub(crate) marks: u64,
    /// From when a mark was due to be published until the last stream had it.
    pub(crate) latency: Histogram,
}

/// Publishers, and streams that marks come out of.
pub(crate) struct Marks {
    publishers: Vec<TcpStream>,
    streams: Vec<Stream>,
    poll: Poll,
    published: Vec<Mark>,
    /// Marks before this one were published before the streams were known to flow.
    first: usize,
    /// Marks from `first` on that a stream still lacks.
    missing: usize,
    latency: Histogram,
}

struct Stream {
    socket: TcpStream,
    /// What may be the beginning of a mark.
    rest: Vec<u8>,
}

struct Mark {
    due: Instant,
    /// A bit for each stream that lacks it.
    lacking: u32,
}

impl Marks {
    /// Publishers to the first address, and a stream from each of the others, begun by `hello`.
    pub(crate) fn open(publish: SocketAddr, streams: &[SocketAddr], hello: &[u8]) -> io::Result<Self> {
        let poll = Poll::new()?;
        let connect = |addr, number| {
            let socket = TcpStream::connect(addr)?;
            socket.set_nodelay(true)?;
            socket.set_nonblocking(true)?;
            poll.add(&socket, number)?;
            Ok::<_, io::Error>(socket)
        };
        let mut open = Vec::new();
        for (number, addr) in streams.iter().enumerate() {
            let mut socket = connect(*addr, number)?;
            socket.write_all(hello)?;
            open.push(Stream { socket, rest: Vec::new() });
        }
        let publishers = (0..PUBLISHERS).map(|number| connect(publish, streams.len() + number));
        let publishers = publishers.collect::<io::Result<_>>()?;
        let (published, latency) = (Vec::new(), histogram());
        Ok(Self { publishers, streams: open, poll, published, first: 0, missing: 0, latency })
    }

    /// Publishes a mark now and then until every stream has had the same one.
    pub(crate) fn knock(&mut self, message: &dyn Fn(&str) -> String) -> io::Result<()> {
        let begin = now();
        while !self.published.iter().any(|mark| mark.lacking == 0) {
            if PATIENCE < begin.elapsed() {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "a stream has no mark"));
            }
            self.publish(now(), message)?;
            let sent = now();
            while sent.elapsed() < KNOCK {
                self.receive()?;
            }
        }
        self.first = self.published.len();
        self.missing = 0;
        Ok(())
    }

    /// Publishes so many marks a second for so long, and waits until every stream has every one of them.
    pub(crate) fn run(
        &mut self,
        rate: f64,
        length: Duration,
        message: &dyn Fn(&str) -> String,
    ) -> io::Result<Propagation> {
        self.latency.reset();
        let begin = now();
        let mut marks = 0_u32;
        loop {
            let due = begin + Duration::from_secs_f64(f64::from(marks) / rate);
            if begin + length <= due {
                break;
            }
            if due <= now() {
                self.publish(due, message)?;
                marks += 1;
            }
            self.receive()?;
        }
        let end = now();
        while self.missing != 0 {
            if PATIENCE < end.elapsed() {
                let fault = format!("{} of {marks} marks did not arrive", self.missing);
                return Err(io::Error::new(io::ErrorKind::TimedOut, fault));
            }
            self.receive()?;
        }
        Ok(Propagation { marks: marks.into(), latency: self.latency.clone() })
    }

    fn publish(&mut self, due: Instant, message: &dyn Fn(&str) -> String) -> io::Result<()> {
        let number = self.published.len();
        self.published.push(Mark { due, lacking: (1 << self.streams.len()) - 1 });
        self.missing += 1;
        let publisher = number % self.publishers.len();
        self.publishers[publisher].write_all(message(&mark(number)).as_bytes())
    }

    /// Reads what is there.
    fn receive(&mut self) -> io::Result<()> {
        let Self { publishers, streams, poll, published, first, missing, latency } = self;
        let mut buffer = [0; 16 * 1024];
        for number in poll.ready(Wait::Awake)? {
            let Some(stream) = streams.get_mut(number) else {
                // Its answers: a publication that failed is a mark that does not arrive.
                read(&mut publishers[number - streams.len()], &mut buffer)?;
                continue;
            };
            stream.rest.extend_from_slice(read(&mut stream.socket, &mut buffer)?);
            while let Some((mark, end)) = find(&stream.rest) {
                stream.rest.drain(..end);
                let Some(found) = published.get_mut(mark) else { continue };
                let lacked = found.lacking;
                found.lacking &= !(1 << number);
                // An event may name its mark more than once.
                if lacked != 0 && found.lacking == 0 && *first <= mark {
                    *missing -= 1;
                    record(latency, found.due);
                }
            }
            let keep = stream.rest.len().min(MARK_BYTES - 1);
            stream.rest.drain(..stream.rest.len() - keep);
        }
        Ok(())
    }
}

fn read<'a>(socket: &mut TcpStream, buffer: &'a mut [u8]) -> io::Result<&'a [u8]> {
    match socket.read(buffer) {
        Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
        Ok(read) => Ok(&buffer[..read]),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(&[]),
        Err(error) => Err(error),
    }
}

/// The first whole mark, and where it ends.
fn find(bytes: &[u8]) -> Option<(usize, usize)> {
    let at = bytes.windows(MARK_BYTES).position(|window| window.starts_with(BEGINNING))?;
    let digits = std::str::from_utf8(&bytes[at + BEGINNING.len()..at + MARK_BYTES]).ok()?;
    Some((digits.parse().ok()?, at + MARK_BYTES))
}
