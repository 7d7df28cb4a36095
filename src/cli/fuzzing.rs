//! What an instance streams to `coherd tail`: see [`crate::fuzzing`].

use super::tail::sse::Parser;

/// A stream, whole and in small pieces.
pub(crate) fn server_sent_events(bytes: &[u8]) {
    let (mut whole, mut items) = (Parser::default(), Vec::new());
    let fed = whole.feed(bytes, &mut items);
    for size in [1, 3, 7] {
        let (mut parser, mut pieces) = (Parser::default(), Vec::new());
        let parts = bytes.chunks(size).try_for_each(|piece| parser.feed(piece, &mut pieces));
        assert_eq!((parts.is_ok(), &pieces), (fed.is_ok(), &items), "in pieces of {size}");
    }
}
