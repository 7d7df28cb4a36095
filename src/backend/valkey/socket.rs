//! A connection without a client: what comes is read by whoever waits for it, where it arrived, as many frames as one read
//! brings. It is what carries messages, of which there may be hundreds of thousands a second, each to be heard at once.
//!
//! Nothing is read before somebody asks for it: who is slow holds up the server, which keeps what may wait for a
//! connection within bounds of its own (`client-output-buffer-limit`) and ends it beyond them.

use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use fred::error::{Error, ErrorKind};
use fred::types::config::Config;
use socket2_05::SockRef;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::connection::Opener;
use super::errors::explain;
use super::resp::{Found, Frame, Malformed, Scan, Token};
use super::tls::encrypted;
use crate::backend::BackendError;

/// Room for one read.
const READ_BYTES: usize = 64 << 10;
/// The largest frame that is kept until all of it is there.
pub(super) const FRAME_BYTES_MAX: usize = 64 << 20;
/// More room than this is given back once it is empty.
const ROOM_BYTES_MAX: usize = 1 << 20;

/// A way to the server, encrypted or not.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// What one read may have brought.
#[derive(Debug)]
pub(super) enum Came<'a> {
    /// A frame.
    Frame(Frame<'a>),
    /// The end of one that was too large to be kept: nothing is known of it but that.
    Oversized,
}

/// A live connection. Dropping it closes it.
pub(super) struct Socket {
    stream: Box<dyn Stream>,
    /// What is still to be sent.
    sending: BytesMut,
    unflushed: bool,
    /// What has come, and how much of that was read.
    came: BytesMut,
    read: usize,
    scan: Scan,
    /// Bytes to come that belong to what is too large.
    skipped: usize,
    oversized: bool,
    command_timeout: Duration,
}

impl Socket {
    /// Connects and authenticates, nothing more.
    pub(super) async fn open(opener: &Opener) -> Result<Self, BackendError> {
        let limit = opener.connect_timeout().saturating_add(opener.command_timeout());
        let opened = timeout(limit, async {
            let connecting = timeout(opener.connect_timeout(), connect(opener));
            let stream = connecting.await.map_err(|_| BackendError::TimedOut)??;
            let mut socket = Self::over(stream, opener.command_timeout());
            socket.greet(opener.config()).await?;
            Ok(socket)
        });
        opened.await.unwrap_or(Err(BackendError::TimedOut))
    }

    /// Over a stream that is there, as it is.
    pub(super) fn over(stream: Box<dyn Stream>, command_timeout: Duration) -> Self {
        Self {
            stream,
            sending: BytesMut::new(),
            unflushed: false,
            came: BytesMut::with_capacity(READ_BYTES),
            read: 0,
            scan: Scan::default(),
            skipped: 0,
            oversized: false,
            command_timeout,
        }
    }

    /// RESP3, for messages come between answers; the user and the database that the settings name.
    async fn greet(&mut self, config: &Config) -> Result<(), BackendError> {
        let hello = match (&config.username, &config.password) {
            (user, Some(password)) => {
                vec!["HELLO", "3", "AUTH", user.as_deref().unwrap_or("default"), password]
            }
            (_, None) => vec!["HELLO", "3"],
        };
        self.ask(&hello, |_| {}).await?;
        if let Some(database) = config.database {
            self.ask(&["SELECT", &database.to_string()], |_| {}).await?;
        }
        Ok(())
    }

    /// How long an answer may take.
    pub(super) fn command_timeout(&self) -> Duration {
        self.command_timeout
    }

    /// Takes in a command, which the next [`Self::turn`] sends.
    pub(super) fn send(&mut self, words: &[&str]) {
        self.sending.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
        for word in words {
            self.sending.extend_from_slice(format!("${}\r\n{word}\r\n", word.len()).as_bytes());
        }
    }

    /// Takes in commands as they are sent.
    pub(super) fn put(&mut self, commands: &[u8]) {
        self.sending.extend_from_slice(commands);
    }

    /// Bytes that are still to be sent.
    pub(super) fn to_send(&self) -> usize {
        self.sending.len()
    }

    /// The texts of the answer to a command, within the usual time. What comes before it is `heard`.
    pub(super) async fn ask(
        &mut self,
        words: &[&str],
        heard: impl FnMut(Came<'_>),
    ) -> Result<Vec<String>, BackendError> {
        self.ask_for(words, heard, |frame| Ok(texts(frame))).await
    }

    /// What `read` makes of the answer to a command, unless that is a refusal.
    pub(super) async fn ask_for<T>(
        &mut self,
        words: &[&str],
        mut heard: impl FnMut(Came<'_>),
        read: impl FnOnce(Frame<'_>) -> Result<T, BackendError>,
    ) -> Result<T, BackendError> {
        self.send(words);
        let answered = timeout(self.command_timeout, async {
            loop {
                while let Some(came) = self.next().map_err(|Malformed| malformed(words[0]))? {
                    match came {
                        Came::Frame(mut frame) if !frame.is_push() => {
                            let whole = frame.clone();
                            let Some(Token::Error(why)) = frame.next() else { return read(whole) };
                            let why = String::from_utf8_lossy(why).into_owned();
                            return Err(explain(&Error::new(ErrorKind::Unknown, why)));
                        }
                        other => heard(other),
                    }
                }
                self.turn().await.map_err(|error| BackendError::Unavailable(error.to_string()))?;
            }
        });
        answered.await.unwrap_or(Err(BackendError::TimedOut))
    }

    /// The next of what has come; `None` until more comes.
    pub(super) fn next(&mut self) -> Result<Option<Came<'_>>, Malformed> {
        loop {
            let passed = self.skipped.min(self.came.len() - self.read);
            self.read += passed;
            self.skipped -= passed;
            if self.skipped != 0 {
                return Ok(None);
            }
            match self.scan.look(&self.came[self.read..])? {
                Found::Whole(length) => {
                    let begin = self.read;
                    self.read += length;
                    if std::mem::take(&mut self.oversized) {
                        return Ok(Some(Came::Oversized));
                    }
                    return Ok(Some(Came::Frame(Frame::of(&self.came[begin..self.read]))));
                }
                Found::Part(length) if FRAME_BYTES_MAX < length => {
                    // a list of so much, of which nobody knows where it ends
                    if length <= self.came.len() - self.read + 1 {
                        return Err(Malformed);
                    }
                    self.scan.pass_over();
                    (self.skipped, self.oversized) = (length, true);
                }
                Found::Part(_) => return Ok(None),
            }
        }
    }

    /// Sends what is to be sent and waits until something comes; an error once the connection is gone. Dropping it loses
    /// nothing.
    pub(super) async fn turn(&mut self) -> io::Result<()> {
        self.forget_read();
        self.came.reserve(READ_BYTES);
        poll_fn(|context| {
            // what cannot be sent now does not keep from reading
            if let Poll::Ready(Err(error)) = self.poll_send(context) {
                return Poll::Ready(Err(error));
            }
            let read = ready!(pin!(self.stream.read_buf(&mut self.came)).poll(context))?;
            let gone = || io::Error::new(io::ErrorKind::UnexpectedEof, "the connection was closed");
            Poll::Ready(if read == 0 { Err(gone()) } else { Ok(()) })
        })
        .await
    }

    /// Makes room of what was read.
    pub(super) fn forget_read(&mut self) {
        self.came.advance(std::mem::take(&mut self.read));
        if self.came.is_empty() && ROOM_BYTES_MAX < self.came.capacity() {
            self.came = BytesMut::new();
        }
    }

    fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.sending.is_empty() {
            ready!(pin!(self.stream.write_buf(&mut self.sending)).poll(context))?;
            self.unflushed = true;
        }
        if self.unflushed {
            ready!(pin!(self.stream.flush()).poll(context))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }
}

fn malformed(asked: &str) -> BackendError {
    BackendError::Protocol(format!("{asked}: the answer is no RESP3"))
}

fn texts(frame: Frame<'_>) -> Vec<String> {
    frame.filter_map(Token::text).map(|text| String::from_utf8_lossy(text).into_owned()).collect()
}

async fn connect(opener: &Opener) -> Result<Box<dyn Stream>, BackendError> {
    let servers = opener.servers();
    let Some(server) = servers.first() else {
        return Err(BackendError::Refused("the address names no server".to_owned()));
    };
    let unreachable = |error: io::Error| BackendError::Unavailable(error.to_string());
    let tcp = TcpStream::connect((&*server.host, server.port)).await.map_err(unreachable)?;
    tcp.set_nodelay(true).map_err(unreachable)?;
    SockRef::from(&tcp).set_tcp_user_timeout(Some(opener.user_timeout())).map_err(unreachable)?;
    let Some(tls) = &opener.config().tls else { return Ok(Box::new(tcp)) };
    Ok(Box::new(encrypted(tls, &server.host, tcp).await?))
}
