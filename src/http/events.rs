//! `/events`: server-sent events of what is applied here, of attachment and of tasks.

use std::borrow::Cow;
use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use futures_util::stream::unfold;
use serde_json::{Value, json};
use tokio::sync::{broadcast, watch};
use tokio::time::{Interval, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::coherence::{Notice, form};
use crate::model::{Event, Namespace, Target};
use crate::supervisor::Board;

/// How often a silent stream says that it is there.
const HEARTBEAT: Duration = Duration::from_secs(15);

struct Follower {
    notices: broadcast::Receiver<Notice>,
    seen: BTreeSet<Namespace>,
    tasks: watch::Receiver<Board>,
    known: Board,
    /// The supervisor is gone: nothing more is heard of tasks.
    tasks_over: bool,
    heartbeat: Interval,
    stop: CancellationToken,
    ready: VecDeque<Bytes>,
    over: bool,
}

/// The events, each in the frame of server-sent events. It ends when `stop` is cancelled, or when the client takes them
/// so slowly that some were lost: it had better look at the log.
///
/// `seen`: the namespaces whose events are shown, and those for the whole cluster, without tags; empty: all events.
pub(super) fn stream(
    notices: broadcast::Receiver<Notice>,
    seen: BTreeSet<Namespace>,
    mut tasks: watch::Receiver<Board>,
    stop: CancellationToken,
) -> impl Stream<Item = Bytes> {
    let known = tasks.borrow_and_update().clone();
    let mut heartbeat = interval(HEARTBEAT);
    heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (ready, tasks_over, over) = (VecDeque::new(), false, false);
    // The first heartbeat comes at once: the client sees that it is connected.
    let follower = Follower { notices, seen, tasks, known, tasks_over, heartbeat, stop, ready, over };
    unfold(follower, |mut follower| async move {
        while follower.ready.is_empty() {
            if follower.over {
                return None;
            }
            follower.wait().await;
        }
        follower.ready.pop_front().map(|bytes| (bytes, follower))
    })
}

impl Follower {
    async fn wait(&mut self) {
        tokio::select! {
            biased;
            () = self.stop.cancelled() => self.over = true,
            notice = self.notices.recv() => match notice {
                Ok(notice) => self.ready.extend(notice_frames(&notice, &self.seen)),
                Err(broadcast::error::RecvError::Lagged(missed)) => {
                    self.ready.push_back(format!(": {missed} events were lost on the way, read the log\n\n").into());
                    self.over = true;
                }
                Err(broadcast::error::RecvError::Closed) => self.over = true,
            },
            changed = self.tasks.changed(), if !self.tasks_over => {
                self.tasks_over = changed.is_err();
                let board = self.tasks.borrow_and_update().clone();
                self.ready.extend(task_frames(&self.known, &board));
                self.known = board;
            }
            _tick = self.heartbeat.tick() => self.ready.push_back(Bytes::from_static(b":\n\n")),
        }
    }
}

fn notice_frames(notice: &Notice, seen: &BTreeSet<Namespace>) -> Vec<Bytes> {
    match notice {
        Notice::Applied { id, event, at_ms, path } => {
            let Some(event) = narrowed(event, seen) else { return Vec::new() };
            let lines = form::render(id, *at_ms, *path, &event);
            lines
                .iter()
                .map(|line| format!("event: invalidation\nid: {id}\ndata: {line}\n\n").into())
                .collect()
        }
        Notice::Attached(attached) => {
            vec![frame("attachment", &json!({ "attached": attached }))]
        }
    }
}

/// What of an event may be shown: a tag says nothing of whose values carry it.
fn narrowed<'a>(event: &'a Event, seen: &BTreeSet<Namespace>) -> Option<Cow<'a, Event>> {
    if seen.is_empty() {
        return Some(Cow::Borrowed(event));
    }
    let mut shown = event.clone();
    shown.targets.retain(|target| match target {
        Target::Key(namespace, _) | Target::Prefix(namespace, _) | Target::Namespace(namespace) => {
            seen.contains(namespace)
        }
        Target::Tag(_) => false,
        Target::All => true,
    });
    (!shown.targets.is_empty()).then_some(Cow::Owned(shown))
}

fn task_frames(before: &Board, now: &Board) -> Vec<Bytes> {
    let changed = now.iter().filter(|(name, task)| before.get(*name) != Some(*task));
    changed
        .map(|(name, task)| {
            let document =
                json!({ "task": name, "up": task.up, "restarts": task.restarts, "given_up": task.given_up });
            frame("task", &document)
        })
        .collect()
}

/// JSON has no line breaks of its own: one line of data.
fn frame(event: &str, document: &Value) -> Bytes {
    format!("event: {event}\ndata: {document}\n\n").into()
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures_util::StreamExt as _;

    use super::*;
    use crate::coherence::Path;
    use crate::model::{LogId, Tag};
    use crate::supervisor::TaskStatus;

    fn applied(seq: u64) -> Notice {
        let event = Event::hard(vec![Target::Tag(Tag::new("t").unwrap())]);
        Notice::Applied { id: LogId::single(seq), event, at_ms: 0, path: Path::Pubsub }
    }

    #[tokio::test(start_paused = true)]
    async fn a_follower_sees_events_attachment_tasks_and_heartbeats() {
        let (notices, receiver) = broadcast::channel(8);
        let (board, tasks) = watch::channel(Board::new());
        let stop = CancellationToken::new();
        let mut stream = pin!(stream(receiver, BTreeSet::new(), tasks, stop.clone()));
        assert_eq!(stream.next().await.unwrap(), ":\n\n");
        notices.send(applied(7)).unwrap();
        notices.send(Notice::Attached(false)).unwrap();
        let text = stream.next().await.unwrap();
        let text = std::str::from_utf8(&text).unwrap();
        assert!(
            text.starts_with("event: invalidation\nid: 7-0\ndata: {\"id\":\"7-0\",\"at\":\"1970-01-01T"),
            "{text}"
        );
        assert!(text.contains(r#""path":"pubsub""#) && text.ends_with("}\n\n"), "{text}");
        let attachment = "event: attachment\ndata: {\"attached\":false}\n\n";
        assert_eq!(stream.next().await.unwrap(), attachment);
        board.send_modify(|board| {
            board.insert("t", TaskStatus::default());
        });
        let task = "event: task\ndata: {\"given_up\":false,\"restarts\":0,\"task\":\"t\",\"up\":false}\n\n";
        assert_eq!(stream.next().await.unwrap(), task);
        drop(board);
        assert_eq!(stream.next().await.unwrap(), ":\n\n", "after fifteen seconds of silence");
        stop.cancel();
        assert_eq!(stream.next().await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_follower_that_is_too_slow_is_told_so_and_dropped() {
        let (notices, receiver) = broadcast::channel(2);
        let (_board, tasks) = watch::channel(Board::new());
        let mut stream = pin!(stream(receiver, BTreeSet::new(), tasks, CancellationToken::new()));
        for seq in 0..5 {
            notices.send(applied(seq)).unwrap();
        }
        let text = stream.next().await.unwrap();
        assert!(text.starts_with(b": 3 events were lost"), "{text:?}");
        assert_eq!(stream.next().await, None);
    }
}
