//! The server's side: two instances, a client that only looks, and an ear on everything that is announced.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use coherd::backend::{Arrival, Backend, BackendError, Signal, Subscription};
use coherd::model::{LineageId, Seq, Shard};
use tokio::time::timeout;

use super::command::{Answer, Command};
use crate::conformance::fixture::{Fixture as _, Settings};
use crate::conformance::valkey::Connected;
use crate::harness::resp::{Connection, Reply};
use crate::harness::wait::SOON;

/// The only shard.
const SHARD: Shard = Shard(0);
/// More writes than a history has.
pub(crate) const MANY: usize = 1000;

/// Makes everything that the server keeps older: what is kept with a time-out ends sooner, what is fresh until a moment
/// is so until an earlier one, what was taken from a stream was taken before, what is to be done later is due earlier, what
/// began did so before, what was spent of a limit was spent before. Nobody can set a server's clock.
const AGE: &str = r"
local by = tonumber(ARGV[1])
for _, key in ipairs(redis.call('KEYS', '*')) do
  local left = redis.call('PTTL', key)
  if 0 <= left and left <= by then
    redis.call('DEL', key)
  else
    if 0 <= left then
      redis.call('PEXPIRE', key, left - by)
    end
    if string.find(key, 'coherd:{main}:r:', 1, true) == 1 then
      redis.call('SET', key, string.format('%.2f', redis.call('GET', key) - by * 1000), 'KEEPTTL')
    end
    local kind = redis.call('TYPE', key).ok
    for _, field in ipairs(kind == 'hash' and {'x', 's', 'born'} or {}) do
      if redis.call('HEXISTS', key, field) == 1 then
        redis.call('HINCRBY', key, field, -by)
      end
    end
    for _, line in ipairs(kind == 'zset' and redis.call('ZRANGE', key, 0, -1) or {}) do
      redis.call('ZINCRBY', key, -by, line)
    end
    local taken = kind == 'stream' and redis.pcall('XPENDING', key, 'coherd', '-', '+', 10000) or {}
    for _, entry in ipairs(taken.err and {} or taken) do
      redis.call('XCLAIM', key, 'coherd', entry[2], 0, entry[1], 'IDLE', entry[3] + by, 'JUSTID')
    end
  end
end
";

/// Where the control record stands, if it can be read.
pub(crate) type Control = Option<(LineageId, Seq)>;

/// A server and who uses it.
pub(crate) struct Real {
    /// Runs as long as this is held.
    _fixture: Connected,
    instances: [Arc<dyn Backend>; 2],
    admin: Connection,
    ears: Box<dyn Subscription>,
    pub(crate) settings: Settings,
    /// FUNCTION DUMP.
    functions: Vec<u8>,
    turn: usize,
    /// The highest number that anybody was told, in whatever history: instances remember.
    pub(crate) highest: Seq,
    /// When the lineage began, after which number, at which one, and up to which one pending writes may be outdated.
    pub(crate) birth: [u64; 4],
}

impl Real {
    /// Starts one.
    pub(crate) async fn start(settings: Settings) -> Self {
        let fixture = Connected::start(settings).await;
        let instances = fixture.instances();
        // A node for each event: the server trims whole nodes, and so keeps exactly as many as it is told.
        fixture.server().command(&["CONFIG", "SET", "stream-node-max-entries", "1"]).await;
        for instance in &instances {
            // The connection that waits for the inbox is made now, or its handshake would fall among the steps.
            instance.inbox("warm", 1, Duration::ZERO).await.unwrap();
        }
        let ears = instances[0].subscribe().await.unwrap();
        let mut admin = fixture.server().connect().await;
        let Reply::Text(functions) = admin.command(&["FUNCTION", "DUMP"]).await.unwrap() else {
            panic!("no functions");
        };
        let (turn, highest, birth) = (0, 0, [0; 4]);
        Self { _fixture: fixture, instances, admin, ears, settings, functions, turn, highest, birth }
    }

    /// An empty server, and nothing announced that was not heard.
    pub(crate) async fn clear(&mut self) {
        let (now, _) = self.look().await;
        if now * 128 <= self.highest {
            // Instances remember numbers ahead of the clock: a lineage begun by one of them may end with the other.
            *self = Self::start(self.settings).await;
        }
        self.command(&["FLUSHALL"]).await;
        self.restore_functions().await;
        self.signals().await;
    }

    /// FUNCTION FLUSH, undone.
    pub(crate) async fn restore_functions(&mut self) {
        let restore = [b"FUNCTION".as_slice(), b"RESTORE", &self.functions, b"REPLACE"];
        self.admin.command(&restore).await.unwrap();
    }

    /// Any command, as somebody else sends it. A refusal is an answer.
    pub(crate) async fn command<W: AsRef<[u8]>>(&mut self, words: &[W]) -> Reply {
        self.admin.command(words).await.unwrap()
    }

    /// Lets time pass.
    pub(crate) async fn age(&mut self, by: Duration) {
        let by = by.as_millis().to_string();
        let reply = self.command(&["EVAL", AGE, "0", &by]).await;
        assert!(!matches!(reply, Reply::Error(_)), "{reply:?}");
    }

    /// The server's clock in milliseconds, and the control record.
    pub(crate) async fn look(&mut self) -> (u64, Control) {
        let commands = [
            vec!["TIME"],
            vec!["HMGET", "coherd:{main}:ctl", "lin", "seq"],
            vec!["HMGET", "coherd:{main}:ctl", "born", "prev", "start", "lost"],
        ];
        let replies = self.admin.pipeline(&commands).await.unwrap();
        let time: Vec<u64> = replies[0].items().iter().map(|part| part.text().parse().unwrap()).collect();
        let control = match &replies[1] {
            Reply::Array(parts) if parts.iter().all(|part| *part != Reply::Nil) => {
                Some((LineageId::new(&parts[0].text()), parts[1].text().parse().unwrap()))
            }
            _ => None,
        };
        self.birth = match &replies[2] {
            Reply::Array(parts) => {
                let number = |part: &Reply| match part {
                    Reply::Nil => 0,
                    part => part.text().parse().unwrap_or_default(),
                };
                [number(&parts[0]), number(&parts[1]), number(&parts[2]), number(&parts[3])]
            }
            _ => [0; 4],
        };
        (time[0] * 1000 + time[1] / 1000, control)
    }

    /// What was announced since the last look.
    pub(crate) async fn signals(&mut self) -> Vec<Signal> {
        let mark = Bytes::from_static(b"that was all");
        self.command(&[b"PUBLISH".as_slice(), b"coherd:{main}:inbox", &mark]).await;
        let mut signals = Vec::new();
        loop {
            let signal =
                timeout(SOON, self.ears.next()).await.expect("a signal comes").expect("it is subscribed");
            if signal == Signal::Inbox(mark.clone()) {
                return signals;
            }
            signals.push(signal);
        }
    }

    /// One of the instances, in turn.
    pub(crate) fn instance(&mut self) -> Arc<dyn Backend> {
        self.turn += 1;
        Arc::clone(&self.instances[self.turn % 2])
    }

    /// Carries out a command.
    pub(crate) async fn run(&mut self, command: &Command) -> Result<Answer, BackendError> {
        let instance = self.instance();
        let answer = match command.clone() {
            Command::Lookup(lookup) => instance.lookup(lookup).await.map(Answer::found),
            Command::Fill(fill) => instance.fill(fill).await.map(Answer::Filled),
            Command::Release(entry, load) => instance.release(&entry, &load).await.map(|()| Answer::Done),
            Command::Publish(publication) => {
                instance.publish(SHARD, publication).await.map(Answer::Published)
            }
            Command::Fcall(words, _) => Ok(self.fcall(&words).await),
            Command::Beat(beat) => instance.beat(SHARD, beat).await.map(Answer::Head),
            Command::Confirm(who, cursor) => {
                instance.confirm(SHARD, &who, cursor).await.map(|()| Answer::Done)
            }
            Command::Head => instance.head(SHARD).await.map(Answer::Token),
            Command::ReadLog(after, max) => instance.read_log(SHARD, after, max).await.map(Answer::Log),
            Command::Members => instance.members(SHARD).await.map(Answer::Members),
            Command::Forget(who, beats) => instance.forget(SHARD, &who, beats).await.map(|()| Answer::Done),
            Command::Admit(namespace, caller, quota) => {
                let arrival = Arrival { namespace: &namespace, caller, quota };
                instance.admit(arrival).await.map(Answer::verdict)
            }
            Command::InboxAdd => {
                let id = self.command(&["XADD", "coherd:{main}:inbox", "*", "field", "value"]).await;
                Ok(Answer::Id(id.text()))
            }
            Command::InboxTake(who, max) => {
                instance.inbox(&who, max, Duration::ZERO).await.map(Answer::Taken)
            }
            Command::InboxAdopt(who, max, idle) => {
                instance.inbox_adopt(&who, max, idle).await.map(Answer::Taken)
            }
            Command::InboxDone(ids) => instance.inbox_done(&ids).await.map(|()| Answer::Done),
            Command::Take(take) => instance.take_writes(SHARD, take).await.map(Answer::Queue),
            Command::Value(line) => instance.value_of_write(SHARD, &line).await.map(Answer::Value),
            Command::Settle(partition, settled) => {
                instance.settle_writes(SHARD, partition, settled).await.map(Answer::Settled)
            }
            Command::Leave(leave) => instance.leave_writes(SHARD, leave).await.map(|()| Answer::Done),
            Command::Survey(look) => instance.survey(SHARD, look).await.map(Answer::Survey),
            Command::Waiting(partition) => {
                instance.waiting_writes(SHARD, partition, MANY).await.map(Answer::Waiting)
            }
            Command::Letters => instance.dead_writes(SHARD, "", MANY).await.map(Answer::Letters),
            Command::DropDead(ids) => instance.drop_dead(SHARD, &ids).await.map(Answer::Count),
        };
        match answer {
            Err(BackendError::Full(lines)) => Ok(Answer::Full(lines)),
            Err(BackendError::Refused(_)) => Ok(Answer::Refused),
            other => other,
        }
    }

    async fn fcall(&mut self, words: &[Vec<u8>]) -> Answer {
        let mut call = vec![b"FCALL".to_vec(), b"coherd_invalidate".to_vec()];
        call.extend_from_slice(words);
        match self.command(&call).await {
            Reply::Error(why) if why.contains("Function not found") => Answer::NoFunction,
            Reply::Error(why) => {
                assert!(why.starts_with("ERR ") && !why.contains("script"), "{why}");
                Answer::Refused
            }
            id => Answer::Id(id.text()),
        }
    }
}
