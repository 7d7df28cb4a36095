//! The only way to stdout and stderr. What comes from elsewhere cannot move the cursor: control characters are shown,
//! not sent, except where the bytes themselves were asked for.

use std::borrow::Cow;
use std::fmt;
use std::io::{self, ErrorKind, Write};

use super::exit::{Exit, Fault, told};

/// Where a command writes.
pub(super) struct Print {
    out: Box<dyn Write + Send>,
    err: Box<dyn Write + Send>,
}

impl Print {
    /// The process's own; each write locks.
    pub(super) fn stdio() -> Self {
        Self::new(io::stdout(), io::stderr())
    }

    /// Two other places.
    pub(super) fn new(out: impl Write + Send + 'static, err: impl Write + Send + 'static) -> Self {
        Self { out: Box::new(out), err: Box::new(err) }
    }

    /// A line for stdout, for people.
    pub(super) fn line(&mut self, text: &str) -> Result<(), Fault> {
        self.bytes(format!("{}\n", visible(text)).as_bytes())
    }

    /// Bytes for stdout as they are: for programs. They are flushed: whoever follows sees them at once.
    pub(super) fn bytes(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        self.out.write_all(bytes).and_then(|()| self.out.flush()).map_err(|error| match error.kind() {
            ErrorKind::BrokenPipe => Fault::ReaderGone,
            _ => Fault::failed(format!("stdout does not take it: {}", told(&error))),
        })
    }

    /// A document for stdout as it is, ended by a line break.
    pub(super) fn document(&mut self, document: &[u8]) -> Result<(), Fault> {
        self.bytes(document)?;
        if document.ends_with(b"\n") { Ok(()) } else { self.bytes(b"\n") }
    }

    /// A line for stderr.
    pub(super) fn note(&mut self, text: &str) {
        let line = format!("{}\n", visible(text));
        // There is nowhere left to say that stderr does not take it.
        drop(self.err.write_all(line.as_bytes()));
    }

    /// The exit code of a command that ended so; what is to be said of it is said, line by line.
    pub(super) fn end(&mut self, ended: Result<Exit, Fault>) -> Exit {
        match ended {
            Ok(exit) => exit,
            Err(Fault::ReaderGone) => Exit::Done,
            Err(Fault::Told(exit, message)) => {
                message.lines().for_each(|line| self.note(&format!("coherd: {line}")));
                exit
            }
            Err(Fault::Misconfigured(faults)) => {
                for fault in &faults {
                    self.note(&fault.to_string());
                }
                Exit::Usage
            }
        }
    }
}

impl fmt::Debug for Print {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Print").finish_non_exhaustive()
    }
}

/// The text with its control characters spelt out.
pub(super) fn visible(text: &str) -> Cow<'_, str> {
    if !text.contains(char::is_control) {
        return Cow::Borrowed(text);
    }
    let spell = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    Cow::Owned(text.chars().map(spell).collect())
}

#[cfg(test)]
mod tests {
    use super::super::testing::Captured;
    use super::*;

    struct Closed(ErrorKind);

    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_comes_from_elsewhere_cannot_move_the_cursor() {
        let captured = Captured::default();
        let mut print = captured.print();
        print.line("a\x1b[2Jb\nc\u{9b}ä").unwrap();
        assert_eq!(captured.out(), "a\\u{1b}[2Jb\\nc\\u{9b}ä\n");
        print.end(Err(Fault::usage("one\ntwo\x1b")));
        assert_eq!(captured.err(), "coherd: one\ncoherd: two\\u{1b}\n");
        print.bytes(b"\x1b").unwrap();
        assert!(captured.out().ends_with('\x1b'));
    }

    #[test]
    fn a_reader_that_went_away_is_no_failure_and_a_full_disk_is() {
        let captured = Captured::default();
        let mut print = Print::new(Closed(ErrorKind::BrokenPipe), captured.half_err());
        let ended = print.line("x").map(|()| Exit::Failed);
        assert_eq!((print.end(ended), captured.err().as_str()), (Exit::Done, ""));
        let mut print = Print::new(Closed(ErrorKind::StorageFull), captured.half_err());
        let ended = print.line("x").map(|()| Exit::Done);
        assert_eq!(print.end(ended), Exit::Failed);
        assert!(captured.err().starts_with("coherd: stdout does not take it: "), "{}", captured.err());
    }
}
