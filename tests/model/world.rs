//! Both sides of a history, step by step.

use std::time::Duration;

use coherd::backend::memory::{Inbox, LEAP, Limits, ShardState};
use coherd::backend::{Along, Arrival, BackendError, Found, InboxEntry, Look, Signal, Taken, Token};
use coherd::model::{Seq, Shard};
use proptest::test_runner::TestCaseError;

use super::command::{Answer, Command};
use super::pairs::Pairs;
use super::queues::{Ids, coarse};
use super::real::{Control, MANY, Real};
use super::resolve::{Past, entries, question};
use super::steps::{Step, UNIT};
use super::vandal::{Begins, Ctl, Harm, Log, strike};
use super::writes::PARTITIONS;
use crate::conformance::fixture::Settings;

/// With each unit this much more passes, so that what lasts a whole number of units has ended after them for sure.
const MORE: Duration = Duration::from_millis(20);
/// A history that takes longer than this is given up: time would have passed that no step speaks of. Below the time for
/// which a lineage's beginning is in doubt (two seconds), and above what any history takes on a machine that is not busy.
const LATE_MS: u64 = 1_500;

/// A server and a model that began empty together.
pub(crate) struct World<'a> {
    real: &'a mut Real,
    model: ShardState,
    inbox: Inbox,
    pairs: Pairs,
    harm: Harm,
    past: Past,
    commands: Vec<Command>,
    /// The inbox's ids: the server's and the model's.
    ids: Vec<(String, String)>,
    lines: Ids,
    control: Control,
    started: u64,
    /// How much has passed by [`Step::Pass`].
    passed: u64,
}

impl<'a> World<'a> {
    /// Both are empty.
    pub(crate) async fn begin(real: &'a mut Real) -> Self {
        real.clear().await;
        let (started, _) = real.look().await;
        let model = ShardState::new(Shard(0), limits(real), 7);
        Self {
            real,
            model,
            inbox: Inbox::default(),
            pairs: Pairs::default(),
            harm: Harm::empty(),
            past: Past::default(),
            commands: Vec::new(),
            ids: Vec::new(),
            lines: Ids::default(),
            control: None,
            started,
            passed: 0,
        }
    }

    /// Whether the history has taken too long to go on.
    pub(crate) fn is_late(&self) -> bool {
        self.started + LATE_MS < self.past.now
    }

    /// One step, and a look at everything that can be seen.
    pub(crate) async fn step(&mut self, step: Step) -> Result<(), TestCaseError> {
        let (now, _) = self.real.look().await;
        self.past.now = now;
        let told = format!("{step:?}");
        match step {
            Step::Ask(ask) => {
                let Some(command) = self.past.resolve(ask) else { return Ok(()) };
                self.commands.push(command.clone());
                self.run(command).await?;
            }
            Step::Again(index) => {
                if !self.commands.is_empty() {
                    let command = index.get(&self.commands).clone();
                    self.run(command).await?;
                }
            }
            Step::Pass(units) => {
                let by = (UNIT + MORE) * u32::try_from(units).unwrap();
                self.real.age(by).await;
                self.passed += u64::try_from(by.as_millis()).unwrap();
                self.real.restore_functions().await;
                self.harm.functions_gone = false;
            }
            Step::Vandal(vandal) => {
                let (sides, seen) =
                    ((&mut self.model, &mut self.inbox), (self.past.head.as_ref(), now + self.passed));
                strike(&vandal, self.real, sides, &mut self.harm, seen).await;
                self.control = self.real.look().await.1;
            }
        }
        self.observe(&told).await
    }

    /// Carries out a command on both sides.
    async fn run(&mut self, command: Command) -> Result<(), TestCaseError> {
        let members = self.model.members().len();
        let head = self.control.as_ref().map_or(0, |(_, seq)| *seq);
        // Whoever sends it may have been told of more than there is, before the control record was lost.
        let remembers = matches!(command, Command::Publish(_) | Command::Beat(_) | Command::Settle(..))
            && head < self.real.highest;
        let (begins, whole) = (self.harm.begins(&command, members, head), self.harm.members_whole(members));
        let before = self.past.now;
        let real = self.real.run(&command).await;
        let real = real.map_err(|error| TestCaseError::fail(format!("{command:?}: {error}")))?;
        let (after, control) = self.real.look().await;
        // also where this step fails: the instances remember
        let known = self.real.highest.max(command.known());
        self.real.highest = known.max(control.as_ref().map_or(0, |(_, seq)| *seq));
        let begun =
            control.as_ref().map(|(lineage, _)| lineage) != self.control.as_ref().map(|(lineage, _)| lineage);
        let told = format!("{command:?}\nanswered by {real:?}");

        if real == Answer::NoFunction {
            return same(&told, "only a lost function is not found", &self.harm.functions_gone, &true);
        }
        let logged = command.logged(&real);
        let idle = logged == 0
            || matches!((&real, &command), (Answer::Id(id), Command::Fcall(..)) if Some(id) != self.next_id(&control).as_ref());
        let expected = begins == Begins::Yes || begins == Begins::Logging && !idle;
        if !(begun && remembers) {
            same(&told, "a lineage was begun", &begun, &expected)?;
        }
        if let Some((lineage, seq)) = control.as_ref().filter(|_| begun) {
            let start = seq - logged;
            self.check_start(start, known, &command, (before, after)).map_err(TestCaseError::fail)?;
            let bare =
                matches!(command, Command::Fcall(..)) && (self.harm.ctl == Ctl::Gone || self.harm.bare);
            self.harm = Harm { functions_gone: self.harm.functions_gone, ..Harm::begun(bare) };
            self.model.limit(if bare { Limits::default() } else { limits(self.real) });
            let model = self.model.begin_lineage(start);
            same(&told, "the lineage is new", &self.pairs.begin(&model, lineage.clone()), &true)?;
        }
        self.control = control;
        let [at, prev, start, lost] = self.real.birth;
        self.model.born(at + self.passed, prev, start, lost);

        let model = coarse(self.model(&command, before + self.passed, &real), before + self.passed);
        // The instance may remember more than the command says, and doubt less.
        self.model.born(at + self.passed, prev, start, lost);
        let real = coarse(real, before);
        if matches!(command, Command::Beat(_)) {
            self.harm.bare = false;
            self.model.limit(limits(self.real));
        }
        if matches!(command, Command::Beat(_)) || matches!(command, Command::Forget(..)) && whole {
            self.harm.members_counted = self.model.members().len();
        }
        let model = self.named(model, &real);
        same(&told, "the answer", &real, &model)?;
        self.compare_signals(&told, (before, after)).await?;
        self.remember(&command, &real);
        Ok(())
    }

    /// The id of the newest event.
    fn next_id(&self, control: &Control) -> Option<String> {
        let before = self.control.as_ref().map(|(_, seq)| *seq);
        let (_, seq) = control.as_ref()?;
        (before != Some(*seq)).then(|| format!("{seq}-0"))
    }

    /// A lineage starts at the time, or where that is not above whatever its beginner knew of, far above that.
    fn check_start(
        &self,
        start: Seq,
        known: Seq,
        command: &Command,
        (before, after): (u64, u64),
    ) -> Result<(), String> {
        let old =
            if self.harm.ctl == Ctl::Gone { 0 } else { self.control.as_ref().map_or(0, |(_, seq)| *seq) };
        let least = (before * 128).max(old + 1).max(command.known() + 1);
        let most = (after * 128).max(known + LEAP);
        if (least..=most).contains(&start) {
            Ok(())
        } else {
            Err(format!("{start} is not in {least}..={most}"))
        }
    }

    /// What the model says to a command.
    fn model(&mut self, command: &Command, now: u64, real: &Answer) -> Answer {
        match command.clone() {
            Command::Lookup(lookup) => Answer::found(self.model.lookup(now, &lookup)),
            Command::Fill(mut fill) => {
                fill.token = self.pairs.to_model(&fill.token);
                Answer::Filled(self.model.fill(now, fill))
            }
            Command::Release(entry, load) => {
                self.model.release(now, &entry, &load);
                Answer::Done
            }
            Command::Publish(publication) => match self.model.publish(now, publication) {
                Ok(published) => Answer::Published(published),
                Err(BackendError::Full(lines)) => Answer::Full(lines),
                Err(error) => panic!("{error}"),
            },
            Command::Fcall(_, Some(publication)) => Answer::Id(format!(
                "{}-0",
                self.model.publish(now, publication).expect("nothing is full").token.seq
            )),
            Command::Fcall(_, None) => Answer::Refused,
            Command::Beat(beat) => Answer::Head(self.model.beat(now, beat)),
            Command::Confirm(who, cursor) => {
                self.model.confirm(&who, cursor);
                Answer::Done
            }
            Command::Head => Answer::Token(self.model.head(now)),
            Command::ReadLog(_, max) if self.harm.log == Log::Junk && 0 < max => Answer::Refused,
            Command::ReadLog(after, max) => Answer::Log(self.model.read_log(after, max)),
            Command::Members if self.harm.members_junk => Answer::Refused,
            Command::Members => Answer::Members(self.model.members()),
            Command::Forget(who, beats) => {
                self.model.forget(&who, beats);
                Answer::Done
            }
            Command::Admit(namespace, caller, quota) => {
                let arrival = Arrival { namespace: &namespace, caller, quota };
                Answer::verdict(self.model.admit(now, arrival))
            }
            Command::InboxAdd => {
                let model = self.inbox.add(now, vec![("field".into(), "value".into())]);
                if let (Answer::Id(id), Some(model)) = (real, model) {
                    self.ids.push((id.clone(), model));
                }
                real.clone()
            }
            Command::InboxTake(_, max) => {
                let taken = self.inbox.take(now, max);
                Answer::Taken(self.real_ids(taken))
            }
            Command::InboxAdopt(_, max, idle) => {
                let taken = self.inbox.adopt(now, max, idle);
                Answer::Taken(self.real_ids(taken))
            }
            Command::InboxDone(ids) => {
                let model =
                    self.ids.iter().filter(|(real, _)| ids.contains(real)).map(|(_, model)| model.clone());
                self.inbox.done(&model.collect::<Vec<_>>());
                Answer::Done
            }
            Command::Take(take) => Answer::Queue(self.model.take_writes(now, &take)),
            Command::Value(line) => Answer::Value(self.model.value_of_write(now, &line)),
            Command::Settle(partition, settled) => {
                let settled =
                    settled.into_iter().map(|(line, settled)| (self.lines.to_model(&line), settled));
                let settled = settled.collect();
                Answer::Settled(self.model.settle_writes(now, partition, settled))
            }
            Command::Leave(leave) => {
                self.model.leave_writes(now, &leave);
                Answer::Done
            }
            Command::Survey(look) => Answer::Survey(self.model.survey(now, look)),
            Command::Waiting(partition) => Answer::Waiting(self.model.waiting_writes(now, partition, MANY)),
            Command::Letters => Answer::Letters(self.model.dead_writes("", MANY)),
            Command::DropDead(ids) => {
                let ids: Vec<String> = ids.iter().map(|id| self.lines.model_id(id)).collect();
                Answer::Count(self.model.drop_dead(&ids))
            }
        }
    }

    /// What the model answered, in the server's names.
    fn named(&mut self, model: Answer, real: &Answer) -> Answer {
        let model = self.pairs.answer(model, real);
        self.lines.answer(model, real, &self.pairs)
    }

    fn real_ids(&self, entries: Vec<InboxEntry>) -> Vec<InboxEntry> {
        let name = |entry: InboxEntry| {
            let pair = self.ids.iter().rev().find(|(_, model)| *model == entry.id);
            InboxEntry { id: pair.map_or(entry.id, |(real, _)| real.clone()), ..entry }
        };
        entries.into_iter().map(name).collect()
    }

    async fn compare_signals(
        &mut self,
        told: &str,
        (before, after): (u64, u64),
    ) -> Result<(), TestCaseError> {
        let real = self.real.signals().await;
        for signal in &real {
            if let Signal::Event { logged, .. } = signal {
                same(told, "the time", &(before..=after).contains(&(logged.at_us / 1000)), &true)?;
            }
        }
        let model = self.model.announcements();
        let model = self.pairs.signals(model, &real);
        same(told, "what was announced", &real, &model)
    }

    /// What later steps may speak of.
    fn remember(&mut self, command: &Command, answer: &Answer) {
        self.past.head =
            self.control.as_ref().map(|(lineage, seq)| Token { lineage: lineage.clone(), seq: *seq });
        self.past.tokens.extend(answer.token().cloned());
        if let (Command::Lookup(lookup), Answer::Found(Found::Leased { token, .. })) = (command, answer)
            && let Some(claim) = &lookup.claim
        {
            self.past.leases.push((lookup.entry.clone(), claim.load.clone(), token.clone()));
        }
        if let (Command::Publish(publication), Answer::Published(published)) = (command, answer)
            && let Some(Along::Quarantine { entry, load, .. }) = &publication.along
        {
            self.past.held.push((entry.clone(), load.clone(), published.token.seq));
        }
        if let (Command::Take(take), Answer::Queue(Taken::Own { writes, .. })) = (command, answer) {
            let lines = writes.iter().map(|write| (take.partition, write.line.clone()));
            self.past.lines.extend(lines);
        }
        if let Answer::Taken(entries) = answer {
            self.past.taken.extend(entries.iter().map(|entry| entry.id.clone()));
        }
    }

    /// Everything that can be seen without a change.
    async fn observe(&mut self, told: &str) -> Result<(), TestCaseError> {
        let (now, _) = self.real.look().await;
        let now = now + self.passed;
        let peeked = self.real.instance().peek(&entries()).await;
        let peeked = peeked.map_err(|error| TestCaseError::fail(format!("{told}: {error}")))?;
        let model: Vec<_> = entries()
            .iter()
            .map(|entry| self.model.peek(now, entry).map(|stored| self.pairs.stored(stored)))
            .collect();
        same(told, "the entries", &peeked, &model)?;

        let look = Look { beyond: 1, worker: super::resolve::named(0), gone: UNIT };
        let mut looks =
            vec![Command::Members, Command::ReadLog(0, 1000), Command::Letters, Command::Survey(look)];
        looks.extend((0..PARTITIONS).map(Command::Waiting));
        if self.harm.ctl != Ctl::Gone {
            looks.push(Command::Head);
            looks.extend(entries().iter().map(|entry| Command::Lookup(question(entry, None, None))));
        }
        for look in looks {
            let real = self.real.run(&look).await;
            let real = real.map_err(|error| TestCaseError::fail(format!("{told}: {look:?}: {error}")))?;
            if let Answer::Letters(letters) = &real {
                self.past.letters = letters.iter().map(|letter| letter.id.clone()).collect();
            }
            let model = coarse(self.model(&look, now, &real), now);
            let real = coarse(real, now - self.passed);
            let model = self.named(model, &real);
            same(told, &format!("{look:?}"), &real, &model)?;
        }
        Ok(())
    }
}

fn limits(real: &Real) -> Limits {
    let Settings { log_max_events, watermarks_max } = real.settings;
    Limits { log_max_events, watermarks_max, ..Limits::default() }
}

fn same<T: PartialEq + std::fmt::Debug>(
    told: &str,
    what: &str,
    real: &T,
    model: &T,
) -> Result<(), TestCaseError> {
    if real == model {
        return Ok(());
    }
    Err(TestCaseError::fail(format!("after {told}\n{what}\n  server: {real:?}\n  model:  {model:?}")))
}
