//! Commands and their answers over a connection of our own, one behind the other: what is asked together is one write, and
//! what came with one read is answered together.
//!
//! A client writes each command by itself, and makes a tree of every answer before anybody looks at it: where a process
//! does little else than to ask, that is most of what it does. What may wait in the server, sentinels and the map of a
//! Cluster are asked over a client.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use fred::error::{Error, ErrorKind};
use fred::types::Value;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use super::connection::Task;
use super::resp::Malformed;
use super::socket::{Came, Socket};
use super::value::value;

/// Asks that may wait to be sent, and as many again for their answers; beyond them one fails at once.
const ASKS_MAX: usize = 16_384;
/// Bytes on their way to the server beyond which nothing more is taken in.
const SENDING_MAX: usize = 64 << 20;
/// Asks that are taken in at once.
const TAKEN: usize = 128;

/// Commands that go together, as they are sent.
#[derive(Default)]
pub(super) struct Commands {
    bytes: BytesMut,
    count: usize,
}

impl Commands {
    /// One more, of so many words.
    pub(super) fn begin(&mut self, words: usize) {
        self.count += 1;
        self.line(b'*', words);
    }

    /// Its next word.
    pub(super) fn word(&mut self, word: &[u8]) {
        self.bytes.reserve(word.len() + 16);
        self.line(b'$', word.len());
        self.bytes.extend_from_slice(word);
        self.bytes.extend_from_slice(b"\r\n");
    }

    fn line(&mut self, kind: u8, number: usize) {
        self.bytes.extend_from_slice(&[kind]);
        self.bytes.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
        self.bytes.extend_from_slice(b"\r\n");
    }
}

/// The near end. Clones share it.
#[derive(Clone)]
pub(super) struct Pipe {
    asks: mpsc::Sender<Ask>,
}

struct Ask {
    commands: Commands,
    /// What has been answered, each as it came; `None`: it was too large.
    answers: Vec<Option<Bytes>>,
    tell: oneshot::Sender<Vec<Option<Bytes>>>,
}

impl Pipe {
    /// Over that connection, as long as the task lasts.
    #[expect(
        clippy::disallowed_methods,
        reason = "as a client's own task: it ends with whoever holds it, who looks at its end"
    )]
    pub(super) fn over(socket: Socket) -> (Self, Task) {
        let (asks, asked) = mpsc::channel(ASKS_MAX);
        let task = tokio::spawn(async move {
            let error = carry(socket, asked).await;
            Err(error)
        });
        (Self { asks }, AbortOnDropHandle::new(task))
    }

    /// The answers to commands, in their order.
    pub(super) async fn ask(
        &self,
        commands: Commands,
        limit: Duration,
    ) -> Result<Vec<Result<Value, Error>>, Error> {
        let (tell, told) = oneshot::channel();
        let answers = Vec::with_capacity(commands.count);
        self.asks.try_send(Ask { commands, answers, tell }).map_err(|refused| match refused {
            mpsc::error::TrySendError::Full(_) => {
                Error::new(ErrorKind::Backpressure, "too many commands are waiting")
            }
            mpsc::error::TrySendError::Closed(_) => gone(),
        })?;
        let late = |_| Error::new(ErrorKind::Timeout, "no answer in time");
        let answers = timeout(limit, told).await.map_err(late)?.map_err(|_| gone())?;
        let read = |answer: Option<Bytes>| match answer {
            Some(answer) => value(&answer),
            None => Err(Error::new(ErrorKind::Protocol, "an answer is too large")),
        };
        Ok(answers.into_iter().map(read).collect())
    }
}

fn gone() -> Error {
    Error::new(ErrorKind::IO, "the connection was lost")
}

/// Sends what is asked and tells what is answered, until the connection is gone or nobody asks any more.
async fn carry(mut socket: Socket, mut asks: mpsc::Receiver<Ask>) -> Error {
    let (mut open, mut taken): (VecDeque<Ask>, Vec<Ask>) = (VecDeque::new(), Vec::with_capacity(TAKEN));
    loop {
        loop {
            let answer = match socket.next() {
                Ok(None) => break,
                Err(Malformed) => return Error::new(ErrorKind::Protocol, "an answer is no RESP3"),
                Ok(Some(Came::Frame(frame))) if frame.is_push() => continue,
                Ok(Some(Came::Frame(frame))) => Some(Bytes::copy_from_slice(frame.bytes())),
                Ok(Some(Came::Oversized)) => None,
            };
            let Some(ask) = open.front_mut() else {
                return Error::new(ErrorKind::Protocol, "an answer to nothing");
            };
            ask.answers.push(answer);
            if ask.answers.len() == ask.commands.count
                && let Some(ask) = open.pop_front()
            {
                // Whoever asked may be gone.
                drop(ask.tell.send(ask.answers));
            }
        }
        let room = open.len() < ASKS_MAX && socket.to_send() < SENDING_MAX;
        tokio::select! {
            biased;
            count = asks.recv_many(&mut taken, TAKEN), if room => {
                if count == 0 {
                    return gone();
                }
                for ask in taken.drain(..) {
                    socket.put(&ask.commands.bytes);
                    open.push_back(Ask { commands: Commands { bytes: BytesMut::new(), ..ask.commands }, ..ask });
                }
            }
            turned = socket.turn() => {
                if let Err(error) = turned {
                    return Error::new(ErrorKind::IO, error.to_string());
                }
            }
        }
    }
}
