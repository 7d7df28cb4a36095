//! The terms of locks across the cluster.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::model::Key;

/// What proves to hold a lock: made by whoever asks for it, before it asks, so that it can ask again.
#[derive(Clone, PartialEq, Eq)]
pub struct LockToken(Arc<str>);

/// Grows from one holder of a lock to the next, whatever happens to the store meanwhile: what a lock protects can refuse
/// whoever comes with a smaller one than it has seen.
pub type Fence = u64;

/// A wish for a lock.
#[derive(Clone, Copy, Debug)]
pub struct LockAsk<'a> {
    /// Which.
    pub name: &'a Key,
    /// Who asks. Whoever has it already has it again, under the same fence.
    pub token: &'a LockToken,
    /// How long it is held unless it is extended or given up.
    pub ttl: Duration,
    /// If it is taken, somebody waits: a [`super::Signal::Unlocked`] comes when it is given up.
    pub wanted: bool,
}

/// What became of a [`LockAsk`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Locked {
    /// It is the asker's, for its ttl from now.
    Held(Fence),
    /// Another holds it.
    Busy {
        /// For so long, unless that one extends it or gives it up.
        left: Duration,
    },
}

impl LockToken {
    const DIGITS: usize = 32;

    /// One that nobody guesses.
    pub fn random() -> Self {
        Self(format!("{:032x}", rand::random::<u128>()).into())
    }

    /// One that was given out; `None` if it never was.
    pub fn parse(text: &str) -> Option<Self> {
        let digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        (text.len() == Self::DIGITS && text.bytes().all(digit)).then(|| Self(text.into()))
    }

    /// 32 hexadecimal digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whoever reads it in a log could give up the lock.
impl fmt::Debug for LockToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LockToken")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_as_it_was_given_out_and_nothing_else_is() {
        let token = LockToken::random();
        assert_eq!(LockToken::parse(token.as_str()), Some(token.clone()));
        assert_ne!(token, LockToken::random());
        for other in ["", "1234", &token.as_str().replace(|_| true, "|"), &format!("{}0", token.as_str())] {
            assert_eq!(LockToken::parse(other), None, "{other}");
        }
        assert!(!format!("{token:?}").contains(token.as_str()));
    }
}
