//! Commands and their answers over a connection of our own, one behind the other: what is asked together is one write, and
//! what came with one read is answered together.
//!
//! fred writes each command of a pipeline by itself wherever its own queue is empty, which for reads that go together is
//! most of what they cost. What may wait in the server, sentinels and the map of a Cluster are asked over it.

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

#[cfg(test)]
mod tests {
    use futures_util::future::join;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn pipe() -> (Pipe, Task, DuplexStream) {
        let (near, far) = duplex(1 << 20);
        let (pipe, task) = Pipe::over(Socket::over(Box::new(near), SECOND));
        (pipe, task, far)
    }

    fn commands(names: &[&str]) -> Commands {
        let mut commands = Commands::default();
        for name in names {
            commands.begin(2);
            commands.word(name.as_bytes());
            commands.word(b"x");
        }
        commands
    }

    async fn asked(pipe: &Pipe, names: &[&str]) -> Result<Vec<Result<String, String>>, ErrorKind> {
        let answers = pipe.ask(commands(names), SECOND).await.map_err(|error| error.kind().clone())?;
        let text = |answer: Result<Value, Error>| {
            let text = answer.map_err(|error| error.details().to_owned())?;
            Ok(text.into_string().unwrap_or_default())
        };
        Ok(answers.into_iter().map(text).collect())
    }

    /// Waits for so many bytes and says that.
    async fn reply(far: &mut DuplexStream, bytes: usize, answer: &str) {
        far.read_exact(&mut vec![0; bytes]).await.unwrap();
        far.write_all(answer.as_bytes()).await.unwrap();
    }

    #[tokio::test]
    async fn each_hears_the_answers_to_what_it_asked_in_their_order() {
        let (pipe, _task, mut far) = pipe();
        let server = async {
            let mut seen = vec![0; 3 * 18];
            far.read_exact(&mut seen).await.unwrap();
            assert_eq!(
                seen,
                b"*2\r\n$1\r\na\r\n$1\r\nx\r\n*2\r\n$1\r\nb\r\n$1\r\nx\r\n*2\r\n$1\r\nc\r\n$1\r\nx\r\n"
            );
            // In pieces, with a message between that nobody asked for.
            for piece in ["+1\r\n-ERR", " no\r\n>1\r\n+hello\r\n$", "1\r\n3\r\n"] {
                far.write_all(piece.as_bytes()).await.unwrap();
                tokio::task::yield_now().await;
            }
        };
        let asking = join(asked(&pipe, &["a", "b"]), asked(&pipe, &["c"]));
        let ((two, one), ()) = join(asking, server).await;
        assert_eq!(two.unwrap(), [Ok("1".to_owned()), Err("ERR no".to_owned())]);
        assert_eq!(one.unwrap(), [Ok("3".to_owned())]);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_comes_too_late_is_nobody_elses() {
        let (pipe, _task, mut far) = pipe();
        assert_eq!(asked(&pipe, &["a"]).await, Err(ErrorKind::Timeout));
        let (second, ()) = join(asked(&pipe, &["b"]), reply(&mut far, 36, "+late\r\n+2\r\n")).await;
        assert_eq!(second.unwrap(), [Ok("2".to_owned())]);
    }

    #[tokio::test]
    async fn with_the_connection_all_end_who_wait_and_who_come() {
        let (pipe, task, far) = pipe();
        let ends = async { drop(far) };
        let (waited, ()) = join(asked(&pipe, &["a"]), ends).await;
        assert_eq!(waited, Err(ErrorKind::IO));
        assert_eq!(task.await.unwrap().unwrap_err().kind(), &ErrorKind::IO);
        assert_eq!(asked(&pipe, &["a"]).await, Err(ErrorKind::IO));
    }

    #[tokio::test]
    async fn a_server_that_says_what_nobody_understands_is_left() {
        for said in ["+1\r\n+2\r\n", "hello\r\n"] {
            let (pipe, task, mut far) = pipe();
            let (_answer, ()) = join(asked(&pipe, &["a"]), reply(&mut far, 18, said)).await;
            assert_eq!(task.await.unwrap().unwrap_err().kind(), &ErrorKind::Protocol, "{said}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn more_than_may_wait_fails_at_once() {
        let (asks, _held) = mpsc::channel(1);
        let pipe = Pipe { asks };
        let (first, second) = join(asked(&pipe, &["a"]), asked(&pipe, &["b"])).await;
        assert_eq!((first, second), (Err(ErrorKind::Timeout), Err(ErrorKind::Backpressure)));
    }
}
