//! The harness's own word with a server: RESP2 over one connection, so that no client library stands between.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// What a server answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// A status or a bulk string.
    Text(Vec<u8>),
    /// A refusal, with its code first.
    Error(String),
    /// A number.
    Integer(i64),
    /// Nothing there.
    Nil,
    /// Several.
    Array(Vec<Self>),
}

impl Reply {
    /// The text of a status, a bulk string or a number.
    ///
    /// # Panics
    ///
    /// If it is something else.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Text(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            Self::Integer(number) => number.to_string(),
            other => panic!("not a text: {other:?}"),
        }
    }

    /// The number.
    ///
    /// # Panics
    ///
    /// If it is none.
    pub(crate) fn integer(&self) -> i64 {
        match self {
            Self::Integer(number) => *number,
            other => panic!("not a number: {other:?}"),
        }
    }

    /// The parts of an array.
    ///
    /// # Panics
    ///
    /// If it is none.
    pub(crate) fn items(&self) -> &[Self] {
        match self {
            Self::Array(items) => items,
            other => panic!("not an array: {other:?}"),
        }
    }
}

/// One connection.
pub(crate) struct Connection {
    stream: BufReader<TcpStream>,
}

impl Connection {
    /// Connects, and authenticates if there is a password.
    pub(crate) async fn open(addr: SocketAddr, password: Option<&str>) -> io::Result<Self> {
        let mut connection = Self { stream: BufReader::new(TcpStream::connect(addr).await?) };
        if let Some(password) = password
            && let Reply::Error(error) = connection.command(&["AUTH", password]).await?
        {
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, error));
        }
        Ok(connection)
    }

    /// Sends a command and reads its answer; a refusal is an answer.
    pub(crate) async fn command<W: AsRef<[u8]>>(&mut self, words: &[W]) -> io::Result<Reply> {
        self.stream.write_all(&request(words)).await?;
        self.read().await
    }

    /// Sends commands at once and reads their answers.
    pub(crate) async fn pipeline<W: AsRef<[u8]>>(&mut self, commands: &[Vec<W>]) -> io::Result<Vec<Reply>> {
        let requests: Vec<u8> = commands.iter().flat_map(|words| request(words)).collect();
        self.stream.write_all(&requests).await?;
        let mut replies = Vec::with_capacity(commands.len());
        for _ in commands {
            replies.push(self.read().await?);
        }
        Ok(replies)
    }

    /// Reads the next answer, or the next message of a subscription.
    pub(crate) async fn read(&mut self) -> io::Result<Reply> {
        let mut line = String::new();
        if self.stream.read_line(&mut line).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let line = line.trim_end();
        let (kind, rest) = line.split_at_checked(1).ok_or_else(|| malformed(line))?;
        let number = || rest.parse::<i64>().map_err(|_| malformed(line));
        Ok(match kind {
            "+" => Reply::Text(rest.as_bytes().to_vec()),
            "-" => Reply::Error(rest.to_owned()),
            ":" => Reply::Integer(number()?),
            "$" => match usize::try_from(number()?) {
                Ok(length) => self.bulk(length).await?,
                Err(_) => Reply::Nil,
            },
            "*" => match usize::try_from(number()?) {
                Ok(length) => self.array(length).await?,
                Err(_) => Reply::Nil,
            },
            _ => return Err(malformed(line)),
        })
    }

    async fn bulk(&mut self, length: usize) -> io::Result<Reply> {
        let mut bytes = vec![0; length + 2];
        self.stream.read_exact(&mut bytes).await?;
        bytes.truncate(length);
        Ok(Reply::Text(bytes))
    }

    async fn array(&mut self, length: usize) -> io::Result<Reply> {
        let mut items = Vec::new();
        for _ in 0..length {
            items.push(Box::pin(self.read()).await?);
        }
        Ok(Reply::Array(items))
    }
}

/// A command as the wire has it.
fn request<W: AsRef<[u8]>>(words: &[W]) -> Vec<u8> {
    let mut request = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        let word = word.as_ref();
        request.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        request.extend_from_slice(word);
        request.extend_from_slice(b"\r\n");
    }
    request
}

fn malformed(line: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("not RESP2: {line:?}"))
}
