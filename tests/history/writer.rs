//! The one clock and the one file of a history.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{AcqRel, Acquire};
use std::sync::{Mutex, PoisonError};

use tokio::time::Instant;

use super::record::{Happened, Record};

/// A history being written: to memory, and to a file of JSON lines where one was named.
pub(crate) struct History {
    began: Instant,
    last: AtomicU64,
    written: Mutex<Written>,
}

struct Written {
    records: Vec<Record>,
    file: Option<BufWriter<File>>,
}

impl History {
    /// Begins now, in memory only.
    pub(crate) fn begin() -> Self {
        Self {
            began: Instant::now(),
            last: AtomicU64::new(0),
            written: Mutex::new(Written { records: Vec::new(), file: None }),
        }
    }

    /// Begins now, and keeps what happens in a file.
    pub(crate) fn begin_in(path: &Path) -> Self {
        let file = File::create(path).expect("the history's file can be made");
        let written = Written { records: Vec::new(), file: Some(BufWriter::new(file)) };
        Self { began: Instant::now(), last: AtomicU64::new(0), written: Mutex::new(written) }
    }

    /// The present moment. To be taken before an operation begins; its end is taken by [`Self::record`].
    /// No moment comes twice, so that what came first is known where the clock stands still.
    pub(crate) fn now(&self) -> u64 {
        let now = u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let next = |last: u64| now.max(last + 1);
        let last = self.last.fetch_update(AcqRel, Acquire, |last| Some(next(last)));
        last.map_or(now, next)
    }

    /// Something that began at `started` has ended.
    pub(crate) fn record(&self, started: u64, happened: Happened) {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        let record = Record { started, ended: self.now(), happened };
        if let Some(file) = &mut written.file {
            let line = serde_json::to_string(&record).expect("a record is JSON");
            writeln!(file, "{line}").expect("the history's file can be written");
        }
        written.records.push(record);
    }

    /// What has happened, in the order of its ends.
    pub(crate) fn finish(&self) -> Vec<Record> {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = &mut written.file {
            file.flush().expect("the history's file can be written");
        }
        std::mem::take(&mut written.records)
    }
}
