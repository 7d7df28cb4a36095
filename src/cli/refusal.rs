//! What an instance says when it refuses: an RFC 9457 problem, or whatever stands in its place.

use serde_json::Value;

use super::client::Answer;
use super::exit::Fault;
use super::print::visible;

/// The longest refusal that is read, in bytes.
const REFUSAL_BYTES_MAX: usize = 1 << 20;
/// The longest part of a refusal that is no problem and shown all the same, in characters.
const QUOTED_CHARS_MAX: usize = 300;

/// A refusal, read.
#[derive(Debug)]
pub(super) struct Refusal {
    status: String,
    /// The problem, with its own members; `null` where it is none.
    pub(super) problem: Value,
    text: String,
}

impl Refusal {
    /// Reads it.
    pub(super) async fn read(answer: &mut Answer) -> Result<Self, Fault> {
        let status = answer.status.to_string();
        let body = answer.whole(REFUSAL_BYTES_MAX).await?;
        let problem = serde_json::from_slice(&body).unwrap_or(Value::Null);
        let text = String::from_utf8_lossy(&body).trim().chars().take(QUOTED_CHARS_MAX).collect();
        Ok(Self { status, problem, text })
    }

    /// In one line: `404 Not Found: unknown_namespace: namespace …`.
    pub(super) fn line(&self) -> String {
        let member = |name: &str| self.problem.get(name).and_then(Value::as_str);
        let line = match (member("code"), member("detail")) {
            (Some(code), Some(detail)) => format!("{}: {code}: {detail}", self.status),
            (Some(code), None) => format!("{}: {code}", self.status),
            _ if self.text.is_empty() => self.status.clone(),
            _ => format!("{}: {}", self.status, self.text),
        };
        visible(&line).into_owned()
    }
}

/// An answer that is a success, or why it is none.
pub(super) async fn succeeded(mut answer: Answer) -> Result<Answer, Fault> {
    if answer.status.is_success() {
        return Ok(answer);
    }
    let refusal = Refusal::read(&mut answer).await?;
    Err(Fault::failed(format!("{} answered {}", answer.url(), refusal.line())))
}
