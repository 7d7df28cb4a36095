//! What is said of a write: by its client, by the instance that took it, by the origin.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a write means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Mode {
    /// To the origin; the copies are dropped.
    Invalidate,
    /// To the origin, then to the cache.
    Through,
    /// To the cache, and to the origin later.
    Behind,
}

impl Mode {
    /// As in `write = "…"` and `?mode=…`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Invalidate => "invalidate",
            Self::Through => "through",
            Self::Behind => "behind",
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a client knows once its write has ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Answer {
    /// Nothing: it may have been taken, or be taken yet.
    Unknown {
        /// The status of the refusal; 0 without any answer.
        status: u16,
        /// The problem's `code`.
        code: String,
    },
    /// It was taken: 200 or 202.
    Accepted(Accepted),
}

/// What the answer to a write that was taken says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Accepted {
    /// `Coherd-Log-Id`.
    pub(crate) log_id: String,
    /// `Coherd-Write-Id`, of a write that is pending.
    pub(crate) id: Option<String>,
    /// `Coherd-Durability`, of a write that is pending.
    pub(crate) durability: Option<String>,
    /// `wait=all` was answered: no instance answers with anything older any more.
    pub(crate) everywhere: bool,
}

impl Accepted {
    /// The number in the log id, which is the fence of a write that is pending.
    pub(crate) fn seq(&self) -> Option<u64> {
        self.log_id.split('-').next()?.parse().ok()
    }
}

/// What the origin did with a write that it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Done {
    /// It took effect.
    Applied,
    /// It had taken effect before, and nothing came between.
    Repeated,
    /// A newer one was there already.
    Superseded,
    /// The origin said that it will never take it.
    Refused,
    /// It met an error, or no answer, and had no effect.
    Failed,
}
