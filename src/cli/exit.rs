//! How a command ends: its exit code, and what it says when it ends early.

use std::error::Error;
use std::process::ExitCode;

use crate::config::Faults;

/// The exit codes of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// 0: done.
    Done,
    /// 1: failed.
    Failed,
    /// 2: bad usage or configuration.
    Usage,
    /// 3: what it needs is not there.
    Unreachable,
}

impl Exit {
    /// The number.
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Unreachable => 3,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// Why a command ends early.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Nobody reads stdout any more (`coherd tail | head`): nothing is wrong, and there is nobody to tell.
    ReaderGone,
    /// The code, and what goes to stderr: without secrets.
    Told(Exit, String),
    /// The configuration has faults, each a line of its own.
    Misconfigured(Faults),
}

impl Fault {
    /// It was tried and did not work.
    pub(super) fn failed(message: impl Into<String>) -> Self {
        Self::Told(Exit::Failed, message.into())
    }

    /// It makes no sense as it was asked for.
    pub(super) fn usage(message: impl Into<String>) -> Self {
        Self::Told(Exit::Usage, message.into())
    }

    /// What is needed is not there.
    pub(super) fn unreachable(message: impl Into<String>) -> Self {
        Self::Told(Exit::Unreachable, message.into())
    }
}

/// What an error says, with what its sources say, each once.
pub(super) fn told(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let more = error.to_string();
        // some errors repeat their source
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("outer")]
    struct Outer(#[source] Middle);

    #[derive(Debug, thiserror::Error)]
    #[error("middle, inner")]
    struct Middle(#[source] io::Error);

    #[test]
    fn the_codes_are_those_of_the_contract() {
        let codes = [Exit::Done, Exit::Failed, Exit::Usage, Exit::Unreachable].map(Exit::code);
        assert_eq!(codes, [0, 1, 2, 3]);
    }

    #[test]
    fn a_chain_of_errors_says_each_cause_once() {
        assert_eq!(told(&Outer(Middle(io::Error::other("inner")))), "outer: middle, inner");
    }
}
