//! Reads the server's answers: what is not as expected is an error with the place it was found in, never a panic.

use bytes::Bytes;
use fred::types::Value;

use crate::backend::{BackendError, Token};
use crate::model::{LineageId, Seq};

/// The parts of an array, taken one by one.
pub(super) struct Parts {
    of: &'static str,
    parts: std::vec::IntoIter<Value>,
}

impl Parts {
    /// The parts of what `of` answered.
    pub(super) fn of(of: &'static str, value: Value) -> Result<Self, BackendError> {
        match value {
            Value::Array(parts) => Ok(Self { of, parts: parts.into_iter() }),
            // RESP3 maps, where the order of pairs is nobody's
            Value::Map(map) => {
                let flat: Vec<Value> =
                    map.inner().into_iter().flat_map(|(key, value)| [Value::from(key), value]).collect();
                Ok(Self { of, parts: flat.into_iter() })
            }
            Value::Null => Ok(Self { of, parts: Vec::new().into_iter() }),
            _ => Err(BackendError::Protocol(format!("{of}: not a list"))),
        }
    }

    /// The next part, whatever it is.
    pub(super) fn value(&mut self) -> Result<Value, BackendError> {
        self.parts.next().ok_or_else(|| self.wrong("a part is missing"))
    }

    /// Whether there are no more.
    pub(super) fn is_empty(&self) -> bool {
        self.parts.len() == 0
    }

    /// The next part's bytes.
    pub(super) fn bytes(&mut self) -> Result<Bytes, BackendError> {
        bytes(self.value()?).ok_or_else(|| self.wrong("a part is not text"))
    }

    /// The next part as text.
    pub(super) fn text(&mut self) -> Result<String, BackendError> {
        String::from_utf8(self.bytes()?.into()).map_err(|_| self.wrong("a part is not UTF-8"))
    }

    /// The next part as a number.
    pub(super) fn number(&mut self) -> Result<u64, BackendError> {
        let bytes = self.bytes()?;
        let number = std::str::from_utf8(&bytes).ok().and_then(|text| text.parse().ok());
        number.ok_or_else(|| self.wrong("a part is not a number"))
    }

    /// The next part as a lineage.
    pub(super) fn lineage(&mut self) -> Result<LineageId, BackendError> {
        let bytes = self.bytes()?;
        let text = std::str::from_utf8(&bytes).map_err(|_| self.wrong("a part is not UTF-8"))?;
        Ok(LineageId::new(text))
    }

    /// The next two parts as a place in the log: lineage, number.
    pub(super) fn token(&mut self) -> Result<Token, BackendError> {
        let lineage = self.lineage()?;
        let seq: Seq = self.number()?;
        Ok(Token { lineage, seq })
    }

    /// What is wrong, and where.
    pub(super) fn wrong(&self, what: &str) -> BackendError {
        BackendError::Protocol(format!("{}: {what}", self.of))
    }
}

/// A text's or number's bytes.
pub(super) fn bytes(value: Value) -> Option<Bytes> {
    match value {
        Value::Integer(number) => Some(number.to_string().into()),
        other => other.into_bytes(),
    }
}

/// A text.
pub(super) fn text(value: Value) -> Option<String> {
    String::from_utf8(bytes(value)?.into()).ok()
}

/// A number, where there is one.
pub(super) fn number(value: Value) -> Option<u64> {
    text(value)?.parse().ok()
}
