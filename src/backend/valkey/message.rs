//! What the messages of a subscription say.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;

use super::codec::{Hurry, announced, hurry};
use super::keys::Keyspace;
use super::resp::{Frame, Token};
use super::socket::Came;
use crate::backend::Signal;
use crate::model::{Key, Namespace, Shard};

/// What comes over a channel.
#[derive(Clone, Copy)]
enum Channel {
    Events(Shard),
    Signals(Shard),
    Inbox,
}

/// What was heard and not told yet.
pub(super) struct Heard {
    keys: Keyspace,
    channels: HashMap<Vec<u8>, Channel>,
    signals: VecDeque<Signal>,
    over: bool,
}

impl Heard {
    /// Of these shards' channels, and of the inbox's.
    pub(super) fn of(keys: &Keyspace, shards: &[Shard]) -> Self {
        let mut channels = HashMap::from([(keys.inbox().into_bytes(), Channel::Inbox)]);
        for shard in shards {
            let (events, signals) = keys.channels(*shard);
            channels.insert(events.into_bytes(), Channel::Events(*shard));
            channels.insert(signals.into_bytes(), Channel::Signals(*shard));
        }
        Self { keys: keys.clone(), channels, signals: VecDeque::new(), over: false }
    }

    /// The server has said that it sends nothing more over some channel.
    pub(super) fn is_over(&self) -> bool {
        self.over
    }

    /// How many signals are not told yet.
    pub(super) fn len(&self) -> usize {
        self.signals.len()
    }

    /// The next signal.
    pub(super) fn pop(&mut self) -> Option<Signal> {
        self.signals.pop_front()
    }

    /// Any entry may have been changed before it was listened.
    pub(super) fn begin_touched(&mut self) {
        self.signals.push_front(Signal::TouchedAny);
    }

    /// Takes in a message.
    pub(super) fn hear(&mut self, came: Came<'_>) {
        let Came::Frame(mut frame) = came else { return self.signals.push_back(Signal::Oversized) };
        let _push = frame.next();
        match frame.next().and_then(Token::text) {
            Some(b"message" | b"smessage") => match frame.texts() {
                Some([channel, payload]) => self.read(channel, payload),
                None => self.signals.push_back(Signal::Lost),
            },
            Some(b"invalidate") => self.touched(frame),
            // with a slot that leaves a server of a Cluster
            Some(b"unsubscribe" | b"sunsubscribe") => self.over = true,
            // "subscribe": whether all of them are is asked for
            _ => {}
        }
    }

    /// What a message says; one that cannot be read is lost.
    fn read(&mut self, channel: &[u8], payload: &[u8]) {
        match self.channels.get(channel) {
            Some(Channel::Events(shard)) => self.signals.extend(announced(payload).map(|event| {
                event.map_or(Signal::Lost, |(lineage, logged)| Signal::Event {
                    shard: *shard,
                    lineage,
                    logged,
                })
            })),
            Some(Channel::Signals(shard)) => {
                let signal = hurry(payload).and_then(|hurry| hurried(*shard, hurry));
                self.signals.push_back(signal.unwrap_or(Signal::Lost));
            }
            Some(Channel::Inbox) => {
                self.signals.push_back(Signal::Inbox(Bytes::copy_from_slice(payload)));
            }
            None => {}
        }
    }

    /// The keys that were changed; nothing instead of them is everything.
    fn touched(&mut self, mut keys: Frame<'_>) {
        if !matches!(keys.next(), Some(Token::List(_))) {
            return self.signals.push_back(Signal::TouchedAny);
        }
        let key = |token: Token<'_>| self.keys.entry_of(std::str::from_utf8(token.text()?).ok()?);
        let entries: Vec<_> = keys.filter_map(key).collect();
        if !entries.is_empty() {
            self.signals.push_back(Signal::Touched(entries));
        }
    }
}

fn hurried(shard: Shard, hurry: Hurry) -> Option<Signal> {
    match hurry {
        Hurry::Wake { ns, key, filled } => {
            Some(Signal::Wake { namespace: Namespace::new(&ns).ok()?, key: Key::new(&key).ok()?, filled })
        }
        Hurry::Unlocked { name } => Some(Signal::Unlocked(Key::new(&name).ok()?)),
        Hurry::Work { partition } => Some(Signal::Work(shard, partition)),
        Hurry::Confirmed { instance, cursor } => {
            Some(Signal::Confirmed { shard, instance, cursor: cursor.parse().ok()? })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ShardCount;

    fn told(frames: &[&'static str]) -> (Vec<Signal>, bool) {
        let keys = Keyspace::new("main", ShardCount::ONE, false);
        let mut heard = Heard::of(&keys, &[Shard(0)]);
        for frame in frames {
            heard.hear(Came::Frame(Frame::of(frame.as_bytes())));
        }
        (heard.signals.into(), heard.over)
    }

    #[test]
    fn messages_of_other_channels_and_confirmations_say_nothing() {
        let other = ">3\r\n$7\r\nmessage\r\n+other\r\n+x\r\n";
        assert_eq!(told(&[other, ">3\r\n$9\r\nsubscribe\r\n+c\r\n:1\r\n"]), (vec![], false));
    }

    #[test]
    fn what_cannot_be_read_is_lost() {
        let nonsense = ">3\r\n+message\r\n+coherd:{main}:events\r\n+x\r\n";
        assert_eq!(told(&[nonsense, ">3\r\n+message\r\n+c\r\n_\r\n"]).0, [Signal::Lost, Signal::Lost]);
    }

    #[test]
    fn a_channel_that_the_server_takes_back_ends_it() {
        assert!(told(&[">3\r\n$12\r\nsunsubscribe\r\n+c\r\n:0\r\n"]).1);
    }

    #[test]
    fn changes_of_entries_are_told_and_those_of_everything() {
        let some = ">2\r\n$10\r\ninvalidate\r\n*2\r\n+coherd:{main}:e:users:v2:7\r\n+coherd:{main}:ctl\r\n";
        let (signals, _) = told(&[some, ">2\r\n$10\r\ninvalidate\r\n_\r\n"]);
        assert!(matches!(&signals[..], [Signal::Touched(entries), Signal::TouchedAny] if entries.len() == 1));
        assert_eq!(told(&[">2\r\n$10\r\ninvalidate\r\n*1\r\n+coherd:{main}:ctl\r\n"]).0, []);
    }
}
