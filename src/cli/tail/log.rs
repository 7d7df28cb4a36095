//! The log itself, read from Valkey. Announcements only say that there is something to read, so that nothing depends on
//! their order or their coming at all.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

use super::super::exit::Fault;
use super::super::print::Print;
use super::From;
use super::line::Form;
use crate::backend::{Backend, BackendError, Signal, Subscription};
use crate::coherence::{Path, form};
use crate::model::{LogId, Seq, Shard};

/// Events read at once.
const BATCH_MAX: usize = 500;
/// How often the log is looked at without an announcement.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// After a failure.
const PAUSE: Duration = Duration::from_millis(500);

/// Why a session ended.
enum Ended {
    /// The backend failed: another session goes on where this one was.
    Backend(BackendError),
    /// The output did.
    Output(Fault),
}

impl std::convert::From<BackendError> for Ended {
    fn from(error: BackendError) -> Self {
        Self::Backend(error)
    }
}

/// Shows every event of the log from `from` on; only a failing output ends it.
pub(super) async fn follow<T>(
    backend: &dyn Backend,
    from: &From,
    form: Form,
    print: &mut Print,
) -> Result<T, Fault> {
    let mut places = None;
    let mut failing = false;
    loop {
        match session(backend, from, &mut places, &mut failing, form, print).await {
            Ended::Output(fault) => return Err(fault),
            Ended::Backend(error) => {
                if !std::mem::replace(&mut failing, true) {
                    print.note(&format!("coherd: {error}, trying again; nothing is lost that the log keeps"));
                }
                sleep(PAUSE).await;
            }
        }
    }
}

/// The last event shown of each shard.
struct Places {
    shown: Vec<(Shard, Seq)>,
}

async fn session(
    backend: &dyn Backend,
    from: &From,
    places: &mut Option<Places>,
    failing: &mut bool,
    form: Form,
    print: &mut Print,
) -> Ended {
    let going = async {
        // Before the first look: what comes after it is announced.
        let mut subscription = backend.subscribe().await?;
        let places = match places {
            Some(places) => places,
            none => none.insert(Places::find(backend, from).await?),
        };
        let mut changed: BTreeSet<Shard> = backend.shards().all().collect();
        loop {
            for shard in std::mem::take(&mut changed) {
                places.read(backend, shard, form, print).await?;
            }
            *failing = false;
            changed = news(backend, subscription.as_mut(), places).await?;
        }
    };
    let ended: Result<std::convert::Infallible, Ended> = going.await;
    match ended {
        Err(ended) => ended,
    }
}

/// Waits until there may be something to read, and says where.
async fn news(
    backend: &dyn Backend,
    subscription: &mut dyn Subscription,
    places: &Places,
) -> Result<BTreeSet<Shard>, BackendError> {
    let look = Instant::now() + LOOK_EVERY;
    loop {
        let signal = tokio::select! {
            () = sleep_until(look) => return Ok(backend.shards().all().collect()),
            signal = subscription.next() => signal,
        };
        match signal {
            None => return Err(BackendError::Unavailable("the subscription ended".to_owned())),
            Some(Signal::Lost | Signal::Oversized) => return Ok(backend.shards().all().collect()),
            Some(Signal::Event { shard, logged, .. }) if places.shown(shard) < logged.seq => {
                return Ok(BTreeSet::from([shard]));
            }
            Some(_) => {}
        }
    }
}

impl Places {
    async fn find(backend: &dyn Backend, from: &From) -> Result<Self, BackendError> {
        let mut shown = Vec::new();
        for shard in backend.shards().all() {
            let wanted = match from {
                From::Start => Some(0),
                From::Now => None,
                From::Id(id) => id.seq(shard).map(|seq| seq.saturating_sub(1)),
            };
            let seq = match wanted {
                Some(seq) => seq,
                None => backend.head(shard).await?.seq,
            };
            shown.push((shard, seq));
        }
        Ok(Self { shown })
    }

    fn shown(&self, shard: Shard) -> Seq {
        self.shown.iter().find(|(of, _)| *of == shard).map_or(0, |(_, seq)| *seq)
    }

    /// Shows what a shard's log holds beyond what was shown.
    async fn read(
        &mut self,
        backend: &dyn Backend,
        shard: Shard,
        form: Form,
        print: &mut Print,
    ) -> Result<(), Ended> {
        let Some((_, place)) = self.shown.iter_mut().find(|(of, _)| *of == shard) else { return Ok(()) };
        loop {
            let events = backend.read_log(shard, *place, BATCH_MAX).await?;
            let last = events.len() < BATCH_MAX;
            for logged in events {
                // From the start on, whatever comes first is the start.
                if *place != 0 && logged.seq != *place + 1 {
                    let id = |seq| LogId::new(vec![(shard, seq)]);
                    let (after, before) = (id(*place), id(logged.seq));
                    print.note(&format!(
                        "coherd: the log has nothing between {after} and {before}: events were trimmed, or a new history began"
                    ));
                }
                let id = LogId::new(vec![(shard, logged.seq)]);
                for json in form::render(&id, logged.at_us / 1000, Path::Stream, &logged.event) {
                    form.show(&json, print).map_err(Ended::Output)?;
                }
                *place = logged.seq;
            }
            if last {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::super::super::testing::{Captured, memory, store};
    use super::*;
    use crate::backend::Publication;
    use crate::backend::memory::Memory;
    use crate::model::{Event, ShardCount, Tag, Target};

    async fn publish(backend: &Memory, shard: Shard, tag: &str) -> Seq {
        let event = Event::hard(vec![Target::Tag(Tag::new(tag).unwrap())]);
        let publication = Publication {
            event,
            entries: Vec::new(),
            confirm: false,
            along: None,
            known: 0,
            repeat_after: 0,
        };
        backend.publish(shard, publication).await.unwrap().token.seq
    }

    /// Follows until so many lines are there, doing `meanwhile`.
    async fn followed(
        backend: &Memory,
        from: From,
        lines: usize,
        meanwhile: impl Future<Output = ()>,
    ) -> Captured {
        let captured = Captured::default();
        let mut print = captured.print();
        tokio::select! {
            ended = follow::<Infallible>(backend, &from, Form::Human, &mut print) => panic!("{ended:?}"),
            () = async {
                meanwhile.await;
                captured.lines(lines).await;
            } => {}
        }
        captured
    }

    fn tags(captured: &Captured) -> Vec<String> {
        let tag = |line: &str| line.split_once("tag=").unwrap().1.split(' ').next().unwrap().to_owned();
        captured.out().lines().map(tag).collect()
    }

    #[tokio::test]
    async fn from_the_start_from_an_id_and_from_now() {
        let backend = memory(ShardCount::ONE);
        publish(&backend, Shard(0), "a").await;
        let second = publish(&backend, Shard(0), "b").await;
        let captured = followed(&backend, From::Start, 2, async {}).await;
        assert_eq!((tags(&captured), captured.err()), (vec!["a".to_owned(), "b".to_owned()], String::new()));
        let captured = followed(&backend, From::Id(LogId::single(second)), 1, async {}).await;
        assert_eq!(tags(&captured), ["b"]);
        assert!(captured.out().contains(&format!(" {second}-0 hard tag=b via=stream")), "{}", captured.out());
        // Whichever of these comes after it began, it is none of the first two.
        let captured = followed(&backend, From::Now, 1, async {
            for _ in 0..10 {
                sleep(Duration::from_millis(20)).await;
                publish(&backend, Shard(0), "c").await;
            }
        })
        .await;
        assert!(tags(&captured).iter().all(|tag| tag == "c"), "{}", captured.out());
    }

    #[tokio::test]
    async fn every_shard_is_followed_with_its_number_in_the_id() {
        let backend = memory(ShardCount::new(2));
        let captured = followed(&backend, From::Start, 2, async {
            publish(&backend, Shard(0), "a").await;
            publish(&backend, Shard(1), "b").await;
        })
        .await;
        assert!(captured.out().lines().any(|line| line.contains("-0.1 hard tag=b")), "{}", captured.out());
    }

    #[tokio::test]
    async fn what_the_log_no_longer_has_is_told() {
        let backend = memory(ShardCount::ONE);
        let first = publish(&backend, Shard(0), "a").await;
        let captured = followed(&backend, From::Id(LogId::single(first - 5)), 1, async {}).await;
        assert!(captured.err().contains("the log has nothing between"), "{}", captured.err());
    }

    #[tokio::test]
    async fn a_cut_connection_loses_nothing() {
        let store = store(ShardCount::ONE);
        let (backend, other) = (Memory::join(&store), Memory::join(&store));
        publish(&backend, Shard(0), "a").await;
        let captured = Captured::default();
        let mut print = captured.print();
        tokio::select! {
            ended = follow::<Infallible>(&backend, &From::Start, Form::Human, &mut print) => panic!("{ended:?}"),
            () = async {
                captured.lines(1).await;
                backend.cut(true);
                captured.said("trying again").await;
                publish(&other, Shard(0), "b").await;
                backend.cut(false);
                captured.lines(2).await;
            } => {}
        }
        assert_eq!(tags(&captured), ["a", "b"]);
        assert!(captured.err().contains("trying again"), "{}", captured.err());
    }
}
