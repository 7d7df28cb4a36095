//! Many events of the log at once, over a connection that nothing else goes over: of a page no tree of values is made, it is
//! read into events where it arrived.

use std::time::Duration;

use tokio::time::Instant;

use super::Context;
use super::codec::logged;
use super::handshake::is_as_compared;
use super::link::Generation;
use super::log::{ends_at, foreign};
use super::resp::{Frame, Token};
use super::socket::Socket;
use crate::backend::{BackendError, Logged};
use crate::model::{Seq, Shard};

/// A connection that lay idle for longer may be dead without anybody knowing.
const IDLE_MAX: Duration = Duration::from_secs(1);

/// A connection to read one shard's log over, as long as there is much to read.
pub(super) struct Reader {
    shard: Shard,
    socket: Socket,
    used: Instant,
}

/// See [`crate::backend::Backend::read_log`]; `None` where the server is another one than the generation's was.
pub(super) async fn read_log(
    context: &Context,
    generation: &Generation,
    shard: Shard,
    after: Seq,
    max: usize,
) -> Result<Option<Vec<Logged>>, BackendError> {
    let fit = |it: &Reader| it.shard == shard && it.used.elapsed() < IDLE_MAX;
    let mut socket = if let Some(reader) = generation.reader.take().filter(fit) {
        reader.socket
    } else {
        let mut socket = Socket::open(&generation.opener).await?;
        if !is_as_compared(context, &mut socket, shard).await? {
            return Ok(None);
        }
        socket
    };
    let log = context.keys.shard(shard).log();
    let mut from = format!("({after}-0");
    let mut events = Vec::with_capacity(max);
    while events.len() < max {
        let wanted = max - events.len();
        let command = ["XRANGE", &log, &from, "+", "COUNT", &wanted.to_string()];
        let (count, last) = socket.ask_for(&command, |_| {}, |page| take_in(page, &mut events)).await?;
        // a page of nothing but foreign entries must not look like the log's end
        if count < wanted {
            break;
        }
        from = format!("({last}");
    }
    socket.forget_read();
    generation.reader.put(Reader { shard, socket, used: Instant::now() });
    ends_at(context, shard, &events);
    Ok(Some(events))
}

/// Adds the events of a page; how many entries it has, and the id of the last.
pub(super) fn take_in(
    mut page: Frame<'_>,
    events: &mut Vec<Logged>,
) -> Result<(usize, String), BackendError> {
    let wrong = || BackendError::Protocol("read_log: not a list of entries".to_owned());
    let Some(Token::List(entries)) = page.next() else { return Err(wrong()) };
    let (mut last, mut fields): (&[u8], Vec<&[u8]>) = (b"", Vec::new());
    for _ in 0..entries {
        let (Some(Token::List(2)), Some(Token::Text(id))) = (page.next(), page.next()) else {
            return Err(wrong());
        };
        let Some(Token::List(count)) = page.next() else { return Err(wrong()) };
        fields.clear();
        for _ in 0..count {
            fields.push(page.next().and_then(Token::text).ok_or_else(wrong)?);
        }
        match logged(id, &fields) {
            Some((_, event)) => events.push(event),
            None => foreign(id),
        }
        last = id;
    }
    Ok((usize::try_from(entries).unwrap_or(usize::MAX), String::from_utf8_lossy(last).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENT: &str =
        "*12\r\n+lin\r\n+a\r\n+p\r\n+b\r\n+n\r\n+c\r\n+at\r\n+7\r\n+us\r\n+1\r\n+tag\r\n+t\r\n";

    fn read(page: &str) -> Result<(Vec<Seq>, usize, String), BackendError> {
        let mut events = Vec::new();
        let (count, last) = take_in(Frame::of(page.as_bytes()), &mut events)?;
        Ok((events.iter().map(|it| it.seq).collect(), count, last))
    }

    #[test]
    fn events_are_read_and_what_others_wrote_is_passed_over() {
        let page =
            format!("*3\r\n*2\r\n+5-0\r\n{EVENT}*2\r\n+5-1\r\n*2\r\n+a\r\n+b\r\n*2\r\n+6-0\r\n{EVENT}");
        assert_eq!(read(&page).unwrap(), (vec![5, 6], 3, "6-0".to_owned()));
        assert_eq!(read("*0\r\n").unwrap(), (vec![], 0, String::new()));
    }

    #[test]
    fn what_is_no_page_is_told() {
        for page in [
            "+a\r\n",
            "*1\r\n+5-0\r\n",
            "*1\r\n*2\r\n+5-0\r\n+a\r\n",
            "*1\r\n*2\r\n+5-0\r\n*2\r\n+a\r\n_\r\n",
        ] {
            assert!(read(page).is_err(), "{page}");
        }
    }
}
