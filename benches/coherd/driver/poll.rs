//! Which of many sockets have something to read.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};

/// Sockets told of at once, at most.
const EVENTS_MAX: usize = 64;
/// How long nothing may come before what is measured counts as stuck.
const PATIENCE: Timespec = Timespec { tv_sec: 10, tv_nsec: 0 };

/// How to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    /// Asleep, until something comes.
    Asleep,
    /// Not at all: the caller looks again and again. A wake-up takes longer than many an answer, and would count.
    Awake,
}

/// Many sockets.
pub(super) struct Poll {
    epoll: OwnedFd,
    events: Vec<Event>,
}

impl Poll {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self { epoll: epoll::create(CreateFlags::CLOEXEC)?, events: Vec::with_capacity(EVENTS_MAX) })
    }

    /// Adds a socket, told of by that number.
    pub(super) fn add(&self, socket: impl AsFd, number: usize) -> io::Result<()> {
        let data = EventData::new_u64(number as u64);
        Ok(epoll::add(&self.epoll, socket, data, EventFlags::IN)?)
    }

    /// The numbers of those that have something to read.
    pub(super) fn ready(&mut self, wait: Wait) -> io::Result<impl Iterator<Item = usize>> {
        let timeout = match wait {
            Wait::Asleep => PATIENCE,
            Wait::Awake => Timespec { tv_sec: 0, tv_nsec: 0 },
        };
        self.events.clear();
        let count = epoll::wait(&self.epoll, spare_capacity(&mut self.events), Some(&timeout))?;
        if count == 0 && wait == Wait::Asleep {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "nothing came for 10 s"));
        }
        Ok(self.events.iter().map(|event| usize::try_from(event.data.u64()).unwrap_or(usize::MAX)))
    }
}
