//! Requests by HTTP: as fast as they are answered, or at a fixed rate.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::connection::{Answer, Connection, Expected};
use super::poll::{Poll, Wait};
use super::{Histogram, histogram, now, record};

/// When requests are sent.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pace {
    /// So many, each connection's next as soon as its last is answered.
    Count(u64),
    /// For so long, each connection's next as soon as its last is answered.
    Saturated(Duration),
    /// For so long, so many a second. Latency counts from when a request was due, not from when a connection was free
    /// to send it: a server that stops answers for everything that had to wait.
    Rate(f64, Duration),
}

/// What a run saw.
pub(crate) struct Run {
    /// Requests answered: all that were sent.
    pub(crate) requests: u64,
    /// How many of them by the tier that was expected.
    pub(crate) expected: u64,
    /// Bytes of the answers' bodies.
    pub(crate) bytes: u64,
    /// From the first request to the last answer.
    pub(crate) elapsed: Duration,
    /// From when a request was due to its whole answer.
    pub(crate) latency: Histogram,
}

/// Connections to one server.
pub(crate) struct Generator {
    connections: Vec<Connection>,
    idle: VecDeque<usize>,
    poll: Poll,
    expected: Expected,
}

impl Generator {
    /// Opens so many connections.
    pub(crate) fn open(addr: SocketAddr, count: usize, expected: Expected) -> io::Result<Self> {
        let poll = Poll::new()?;
        let mut connections = Vec::new();
        for number in 0..count {
            let connection = Connection::open(addr)?;
            poll.add(&connection, number)?;
            connections.push(connection);
        }
        Ok(Self { connections, idle: (0..count).collect(), poll, expected })
    }

    /// Sends what `next` writes, and waits for every answer.
    pub(crate) fn run(&mut self, pace: Pace, next: &mut dyn FnMut(&mut Vec<u8>)) -> io::Result<Run> {
        let begin = now();
        let mut run =
            Run { requests: 0, expected: 0, bytes: 0, elapsed: Duration::ZERO, latency: histogram() };
        let mut request = Vec::new();
        let mut sent = 0;
        loop {
            let mut ended = false;
            while let Some(number) = self.idle.front().copied() {
                match due(pace, begin, sent) {
                    Due::Since(since) => {
                        request.clear();
                        next(&mut request);
                        self.connections[number].send(&request, since)?;
                        self.idle.pop_front();
                        sent += 1;
                    }
                    Due::Later => break,
                    Due::Never => {
                        ended = true;
                        break;
                    }
                }
            }
            if ended && run.requests == sent {
                run.elapsed = begin.elapsed();
                return Ok(run);
            }
            let wait = if matches!(pace, Pace::Rate(..)) && !ended { Wait::Awake } else { Wait::Asleep };
            for number in self.poll.ready(wait)? {
                if let Some(Answer { since, told, bytes }) =
                    self.connections[number].receive(self.expected)?
                {
                    record(&mut run.latency, since);
                    run.requests += 1;
                    run.expected += u64::from(told);
                    run.bytes += bytes;
                    self.idle.push_back(number);
                }
            }
        }
    }
}

/// The next request.
enum Due {
    /// Has been due since then.
    Since(Instant),
    /// Is not due yet.
    Later,
    /// Will not be sent.
    Never,
}

fn due(pace: Pace, begin: Instant, sent: u64) -> Due {
    let now = now();
    match pace {
        Pace::Count(count) if sent < count => Due::Since(now),
        Pace::Saturated(length) if now < begin + length => Due::Since(now),
        Pace::Rate(rate, length) => {
            // Far fewer requests than a double can tell apart.
            #[expect(clippy::cast_precision_loss, reason = "fewer than 2^52")]
            let since = begin + Duration::from_secs_f64(sent as f64 / rate);
            match since {
                since if begin + length <= since => Due::Never,
                since if now < since => Due::Later,
                since => Due::Since(since),
            }
        }
        Pace::Count(_) | Pace::Saturated(_) => Due::Never,
    }
}
