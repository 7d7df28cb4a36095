//! An origin that costs little: it remembers the greatest number of each path that was written, on the generator's core.

use std::collections::HashMap;
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::now;

/// Most bytes of a request.
const REQUEST_BYTES_MAX: usize = 16 * 1024;
/// Most headers of a request.
const HEADERS_MAX: usize = 32;
/// How long nothing may come before what is measured counts as stuck.
const PATIENCE: Duration = Duration::from_secs(10);
/// The number of a write.
const WRITE_SEQ: &str = "coherd-write-seq";

const TOOK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
const OLDER: &[u8] = b"HTTP/1.1 412 Precondition Failed\r\nContent-Length: 0\r\n\r\n";

/// An origin for writes, until the process ends.
pub(crate) struct Register {
    pub(crate) addr: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// Requests wait.
    closed: bool,
    /// By path.
    held: HashMap<String, u64>,
    /// When the last path that was new came.
    last: Option<Instant>,
}

impl Register {
    /// Listens on a free port.
    pub(crate) fn start() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let addr = listener.local_addr()?;
        let shared = Arc::<Shared>::default();
        let of = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let shared = Arc::clone(&of);
                // One that goes away is no fault: what it did not bring is missing in the end.
                thread::spawn(move || drop(shared.serve(stream)));
            }
        });
        Ok(Self { addr, shared })
    }

    /// Forgets what it was told. While it is closed, requests wait for their answers.
    pub(crate) fn begin(&self, closed: bool) {
        *self.shared.state() = State { closed, ..State::default() };
        self.shared.changed.notify_all();
    }

    /// Answers from now on.
    pub(crate) fn open(&self) {
        self.shared.state().closed = false;
        self.shared.changed.notify_all();
    }

    /// Waits until it has so many paths; when the last of them came.
    ///
    /// # Errors
    ///
    /// If none comes for 10 s.
    pub(crate) fn wait(&self, paths: u64) -> io::Result<Instant> {
        let mut state = self.shared.state();
        loop {
            let held = state.held.len();
            match state.last {
                Some(last) if paths <= held as u64 => return Ok(last),
                _ => {}
            }
            let (next, _) =
                self.shared.changed.wait_timeout(state, PATIENCE).unwrap_or_else(PoisonError::into_inner);
            state = next;
            if state.held.len() == held && state.last.is_none_or(|last| PATIENCE < last.elapsed()) {
                let fault = format!("the origin has {held} of {paths} writes");
                return Err(io::Error::new(io::ErrorKind::TimedOut, fault));
            }
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers the requests of a connection, one after the other.
    fn serve(&self, mut stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let mut buffer = vec![0; REQUEST_BYTES_MAX];
        let mut filled = 0;
        loop {
            let read = stream.read(&mut buffer[filled..])?;
            if read == 0 {
                return Ok(());
            }
            filled += read;
            while let Some((path, seq, end)) = whole(&buffer[..filled])? {
                buffer.copy_within(end..filled, 0);
                filled -= end;
                let answer = if self.take(path, seq) { TOOK } else { OLDER };
                stream.write_all(answer)?;
            }
        }
    }

    /// Whether the write is not older than what is there.
    fn take(&self, path: String, seq: u64) -> bool {
        let mut state = self.state();
        while state.closed {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        match state.held.insert(path.clone(), seq) {
            None => {
                state.last = Some(now());
                self.changed.notify_all();
                true
            }
            Some(before) if seq < before => {
                state.held.insert(path, before);
                false
            }
            Some(_) => true,
        }
    }
}

/// Path, number and end of the first request, once it is there as a whole.
fn whole(bytes: &[u8]) -> io::Result<Option<(String, u64, usize)>> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut head = httparse::Request::new(&mut headers);
    let httparse::Status::Complete(body_at) = head.parse(bytes).map_err(io::Error::other)? else {
        return Ok(None);
    };
    let number = |name: &str| {
        let header = head.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(header.value).ok()?.parse::<u64>().ok()
    };
    let end = body_at + usize::try_from(number("content-length").unwrap_or(0)).map_err(io::Error::other)?;
    let seq = number(WRITE_SEQ).ok_or_else(|| io::Error::other("a write without its number"))?;
    Ok((end <= bytes.len()).then(|| (head.path.unwrap_or_default().to_owned(), seq, end)))
}
