//! Server-sent events, read as they come in.

/// The longest event, in bytes: the largest that an instance takes, with every byte escaped.
const EVENT_BYTES_MAX: usize = 8 << 20;

/// What a stream brings.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::cli) enum Item {
    /// An event.
    Event {
        /// Its kind; empty where none is named.
        kind: String,
        /// Its data, lines joined.
        data: String,
    },
    /// What the server says beside events; heartbeats, which say nothing, are left out.
    Comment(String),
}

/// An event of more than [`EVENT_BYTES_MAX`].
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("an event has more than {EVENT_BYTES_MAX} bytes")]
pub(in crate::cli) struct TooLong;

/// Puts pieces of a stream together.
#[derive(Debug, Default)]
pub(in crate::cli) struct Parser {
    /// The line that has not ended yet.
    line: Vec<u8>,
    kind: String,
    data: Option<String>,
}

impl Parser {
    /// Takes the next piece; what is complete with it is added to `items`.
    pub(in crate::cli) fn feed(&mut self, piece: &[u8], items: &mut Vec<Item>) -> Result<(), TooLong> {
        for part in piece.split_inclusive(|byte| *byte == b'\n') {
            if EVENT_BYTES_MAX < self.line.len() + part.len() + self.data.as_ref().map_or(0, String::len) {
                return Err(TooLong);
            }
            self.line.extend_from_slice(part);
            if part.ends_with(b"\n") {
                let line = std::mem::take(&mut self.line);
                let line = line.strip_suffix(b"\n").unwrap_or(&line);
                let line = line.strip_suffix(b"\r").unwrap_or(line);
                items.extend(self.take(&String::from_utf8_lossy(line)));
            }
        }
        Ok(())
    }

    fn take(&mut self, line: &str) -> Option<Item> {
        if line.is_empty() {
            let kind = std::mem::take(&mut self.kind);
            return self.data.take().map(|data| Item::Event { kind, data });
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "" if !value.is_empty() => return Some(Item::Comment(value.to_owned())),
            "event" => value.clone_into(&mut self.kind),
            "data" => match &mut self.data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
                None => self.data = Some(value.to_owned()),
            },
            // `id`, `retry`, heartbeats, and what is not known
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: &str, data: &str) -> Item {
        Item::Event { kind: kind.to_owned(), data: data.to_owned() }
    }

    #[test]
    fn events_come_out_whole_wherever_the_stream_is_cut() {
        let stream = b":\n\nevent: invalidation\nid: 7-0\ndata: {\"a\":\ndata: \"\xC3\xA4\"}\n\r\n: 3 lost\n\ndata:x\r\n\r\nevent: e\n\n";
        let expected =
            [event("invalidation", "{\"a\":\n\"ä\"}"), Item::Comment("3 lost".to_owned()), event("", "x")];
        for size in 1..=stream.len() {
            let (mut parser, mut items) = (Parser::default(), Vec::new());
            for piece in stream.chunks(size) {
                parser.feed(piece, &mut items).unwrap();
            }
            assert_eq!(items, expected, "in pieces of {size}");
        }
    }

    #[test]
    fn an_event_without_end_is_given_up() {
        let (mut parser, mut items) = (Parser::default(), Vec::new());
        let piece = vec![b'x'; 1 << 20];
        let fed = (0..9).try_for_each(|_| parser.feed(&piece, &mut items));
        assert_eq!(fed, Err(TooLong));
        let (mut parser, line) = (Parser::default(), [b"data: ".as_slice(), &piece, b"\n"].concat());
        let fed = (0..9).try_for_each(|_| parser.feed(&line, &mut items));
        assert_eq!((fed, items.len()), (Err(TooLong), 0));
    }
}
