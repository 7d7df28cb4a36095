//! What both sides say of the queues of writes, made comparable: ids of lines, which each side makes up, and times, of
//! which only whole units are the same.

use std::time::Duration;

use coherd::backend::{Backlog, Dead, Line, Pending, Survey, Taken, Waiting};

use super::command::{Answer, in_units};
use super::pairs::Pairs;
use super::steps::UNIT;

/// Ids of lines and of dead letters: the server's and the model's.
#[derive(Debug, Default)]
pub(crate) struct Ids(Vec<(String, String)>);

impl Ids {
    /// The model's id of a line that was taken from the server.
    pub(crate) fn to_model(&self, line: &Line) -> Line {
        Line { id: self.model_id(&line.id), ..line.clone() }
    }

    /// The model's id of what the server calls so.
    pub(crate) fn model_id(&self, real: &str) -> String {
        let pair = self.0.iter().rev().find(|(of, _)| of == real);
        pair.map_or_else(|| "0-0".to_owned(), |(_, model)| model.clone())
    }

    /// The model's answer in the server's words. Ids that both meet for the first time become pairs.
    pub(crate) fn answer(&mut self, model: Answer, real: &Answer, pairs: &Pairs) -> Answer {
        match (model, real) {
            (Answer::Queue(Taken::Own { writes, superseded, more, due }), Answer::Queue(real)) => {
                let real = if let Taken::Own { writes, .. } = real { &writes[..] } else { &[] };
                let mut real = real.iter().map(|write| &write.line);
                let name = |write| self.pending(write, real.next(), pairs);
                Answer::Queue(Taken::Own {
                    writes: writes.into_iter().map(name).collect(),
                    superseded,
                    more,
                    due,
                })
            }
            (Answer::Waiting(waiting), Answer::Waiting(real)) => {
                let mut real = real.iter().map(|waiting| &waiting.line);
                let name = |it: Waiting| Waiting { line: self.line(it.line, real.next()), ..it };
                Answer::Waiting(waiting.into_iter().map(name).collect())
            }
            (Answer::Letters(letters), Answer::Letters(real)) => {
                let mut real = real.iter().map(|letter| &letter.pending.line);
                let name = |letter: Dead| {
                    let pending = self.pending(letter.pending, real.next(), pairs);
                    Dead { id: pending.line.id.clone(), pending, ..letter }
                };
                Answer::Letters(letters.into_iter().map(name).collect())
            }
            (other, _) => other,
        }
    }

    fn pending(&mut self, model: Pending, real: Option<&Line>, pairs: &Pairs) -> Pending {
        let lineage = pairs.lineage(&model.lineage);
        Pending { line: self.line(model.line, real), lineage, ..model }
    }

    fn line(&mut self, model: Line, real: Option<&Line>) -> Line {
        let Some(real) = real.filter(|real| real.seq == model.seq) else { return model };
        let known = self.0.iter().rev().find(|(of, id)| *of == real.id || *id == model.id);
        match known {
            Some((of, id)) if *of != real.id || *id != model.id => model,
            Some(_) => Line { id: real.id.clone(), ..model },
            None => {
                self.0.push((real.id.clone(), model.id));
                Line { id: real.id.clone(), ..model }
            }
        }
    }
}

/// The answer as it is at `now`, as far as that does not depend on how long a step takes.
pub(crate) fn coarse(answer: Answer, now: u64) -> Answer {
    let pending = |write: Pending| Pending { since_ms: age(write.since_ms, now), ..write };
    match answer {
        Answer::Queue(Taken::Own { writes, superseded, more, due }) => Answer::Queue(Taken::Own {
            writes: writes.into_iter().map(pending).collect(),
            superseded,
            more,
            due: due.map(in_units),
        }),
        Answer::Queue(Taken::Other { left }) => Answer::Queue(Taken::Other { left: in_units(left) }),
        Answer::Waiting(waiting) => {
            let coarse =
                |it: Waiting| Waiting { since_ms: age(it.since_ms, now), due: it.due.map(in_units), ..it };
            Answer::Waiting(waiting.into_iter().map(coarse).collect())
        }
        Answer::Letters(letters) => {
            let coarse = |letter: Dead| {
                // The id tells it, and cannot be aged.
                let died = letter.id.split('-').next().and_then(|at| at.parse().ok());
                let (died_ms, since_ms) = (u64::from(died != Some(letter.died_ms)), letter.pending.since_ms);
                let pending = Pending { since_ms: since_ms.min(1), ..letter.pending };
                Dead { pending, died_ms, ..letter }
            };
            Answer::Letters(letters.into_iter().map(coarse).collect())
        }
        Answer::Survey(survey) => {
            let oldest = survey.backlog.oldest.map(|_| Duration::ZERO);
            Answer::Survey(Survey { backlog: Backlog { oldest, ..survey.backlog }, ..survey })
        }
        other => other,
    }
}

/// In whole units; nobody knows that of what was never written.
fn age(since_ms: u64, now: u64) -> u64 {
    let unit = u64::try_from(UNIT.as_millis()).unwrap();
    if since_ms == 0 { u64::MAX } else { now.saturating_sub(since_ms) / unit }
}
