//! Just enough of Valkey's protocol: commands out, answers counted, over a plain socket.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// Read at once.
const CHUNK: usize = 64 * 1024;
/// Answers that one pipeline waits for, so that neither side's buffers fill.
const AT_ONCE: usize = 1_000;

/// A connection to Valkey.
pub(crate) struct Resp {
    stream: TcpStream,
    answers: Answers,
}

impl Resp {
    pub(crate) fn open(addr: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(addr)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { stream, answers: Answers::default() })
    }

    /// One command, and its answer as it came.
    pub(crate) fn call(&mut self, args: &[&str]) -> io::Result<String> {
        self.stream.write_all(&command(args))?;
        loop {
            if let Some(answer) = self.answers.next()? {
                return Ok(String::from_utf8_lossy(answer).into_owned());
            }
            self.answers.fill(&mut self.stream)?;
        }
    }

    /// So many commands; their answers are checked for errors and dropped.
    pub(crate) fn pipeline(
        &mut self,
        count: usize,
        mut next: impl FnMut(usize) -> Vec<u8>,
    ) -> io::Result<()> {
        for first in (0..count).step_by(AT_ONCE) {
            let numbers = first..count.min(first + AT_ONCE);
            let missing = numbers.len();
            let commands: Vec<u8> = numbers.flat_map(&mut next).collect();
            self.stream.write_all(&commands)?;
            let mut answered = 0;
            while answered < missing {
                match self.answers.next()? {
                    Some(_) => answered += 1,
                    None => self.answers.fill(&mut self.stream)?,
                }
            }
        }
        Ok(())
    }

    /// How many answers, or messages, are there within one read.
    pub(crate) fn count(&mut self) -> io::Result<u64> {
        self.answers.fill(&mut self.stream)?;
        let mut count = 0;
        while self.answers.next()?.is_some() {
            count += 1;
        }
        Ok(count)
    }

    /// The same of a socket that does not wait: none if nothing is there.
    pub(crate) fn look(&mut self) -> io::Result<u64> {
        match self.count() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            counted => counted,
        }
    }

    /// Sends what [`command`] made.
    pub(crate) fn send(&mut self, commands: &[u8]) -> io::Result<()> {
        self.stream.write_all(commands)
    }

    pub(crate) fn stream(&mut self) -> &mut TcpStream {
        &mut self.stream
    }
}

/// A command as it is sent.
pub(crate) fn command(args: &[&str]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", args.len()).into_bytes();
    for arg in args {
        bytes.extend_from_slice(format!("${}\r\n{arg}\r\n", arg.len()).as_bytes());
    }
    bytes
}

/// What came and was not taken yet.
#[derive(Default)]
struct Answers {
    bytes: Vec<u8>,
    taken: usize,
}

impl Answers {
    fn fill(&mut self, stream: &mut TcpStream) -> io::Result<()> {
        self.bytes.drain(..self.taken);
        self.taken = 0;
        let filled = self.bytes.len();
        self.bytes.resize(filled + CHUNK, 0);
        let read = stream.read(&mut self.bytes[filled..]);
        self.bytes.truncate(filled + *read.as_ref().unwrap_or(&0));
        if read? == 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
    }

    /// The next answer, if it is there as a whole.
    fn next(&mut self) -> io::Result<Option<&[u8]>> {
        let rest = &self.bytes[self.taken..];
        if rest.first() == Some(&b'-') {
            return Err(io::Error::other(String::from_utf8_lossy(&rest[..rest.len().min(200)])));
        }
        let Some(length) = length(rest) else { return Ok(None) };
        let from = self.taken;
        self.taken += length;
        Ok(Some(&self.bytes[from..self.taken]))
    }
}

/// Bytes of the first answer, if it is there as a whole.
fn length(bytes: &[u8]) -> Option<usize> {
    let line = bytes.iter().position(|byte| *byte == b'\n')? + 1;
    let number = || str::from_utf8(bytes.get(1..line - 2)?).ok()?.parse::<i64>().ok();
    match bytes[0] {
        b'$' => {
            let end = usize::try_from(number()?).map_or(line, |body| line + body + 2);
            (end <= bytes.len()).then_some(end)
        }
        b'*' => {
            let mut end = line;
            for _ in 0..usize::try_from(number()?).unwrap_or(0) {
                end += length(&bytes[end..])?;
            }
            Some(end)
        }
        _ => Some(line),
    }
}
