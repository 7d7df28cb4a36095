//! Answers as they came, as values.

use bytes::Bytes;
use fred::error::{Error, ErrorKind};
use fred::types::Value;

use super::resp::{Frame, Token};

/// Lists within lists that are read.
const DEPTH_MAX: usize = 16;

/// What a whole frame says; its texts are parts of the frame's own memory.
pub(super) fn value(frame: &Bytes) -> Result<Value, Error> {
    read(frame, &mut Frame::of(frame), DEPTH_MAX)
}

fn read(whole: &Bytes, tokens: &mut Frame<'_>, depth: usize) -> Result<Value, Error> {
    let wrong = || Error::new(ErrorKind::Protocol, "an answer is no RESP3");
    match tokens.next().ok_or_else(wrong)? {
        Token::Null => Ok(Value::Null),
        Token::Text(text) => Ok(Value::Bytes(whole.slice_ref(text))),
        Token::Error(why) => Err(Error::new(ErrorKind::Unknown, String::from_utf8_lossy(why).into_owned())),
        Token::List(_) | Token::Push(_) if depth == 0 => Err(wrong()),
        Token::List(count) | Token::Push(count) => {
            // A frame that is whole has that many.
            (0..count).map(|_| read(whole, tokens, depth - 1)).collect::<Result<_, _>>().map(Value::Array)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(frame: &str) -> Result<Value, String> {
        value(&Bytes::copy_from_slice(frame.as_bytes())).map_err(|error| error.details().to_owned())
    }

    #[test]
    fn a_frame_is_read_as_what_it_says() {
        let text = |text: &str| Value::Bytes(text.to_owned().into());
        assert_eq!(of("+OK\r\n"), Ok(text("OK")));
        assert_eq!(of(":7\r\n"), Ok(text("7")));
        assert_eq!(of("_\r\n"), Ok(Value::Null));
        assert_eq!(of("$-1\r\n"), Ok(Value::Null));
        assert_eq!(of("*0\r\n"), Ok(Value::Array(vec![])));
        let nested = "*3\r\n$1\r\na\r\n*2\r\n_\r\n:1\r\n%1\r\n+k\r\n+v\r\n";
        let (inner, map) = (vec![Value::Null, text("1")], vec![text("k"), text("v")]);
        assert_eq!(of(nested), Ok(Value::Array(vec![text("a"), Value::Array(inner), Value::Array(map)])));
        assert_eq!(of("-NOSCRIPT no\r\n"), Err("NOSCRIPT no".to_owned()));
        assert_eq!(of("*2\r\n+a\r\n-ERR no\r\n"), Err("ERR no".to_owned()));
    }

    #[test]
    fn what_is_too_deep_is_refused() {
        let deep = |depth: usize| "*1\r\n".repeat(depth) + "+a\r\n";
        assert!(of(&deep(DEPTH_MAX)).is_ok());
        assert!(of(&deep(DEPTH_MAX + 1)).is_err());
    }
}
