//! What each side calls by a name of its own: lineages and nonces, one to one.

use std::collections::HashMap;

use coherd::backend::{Found, Head, Logged, Published, Signal, Stored, Token};
use coherd::model::{LineageId, Nonce};

use super::command::Answer;

/// Model's name to the server's. What has no pair keeps its name, and differs.
#[derive(Debug, Default)]
pub(crate) struct Pairs {
    lineages: HashMap<String, LineageId>,
    nonces: HashMap<String, Nonce>,
    /// When the server logged what has this nonce.
    times: HashMap<String, u64>,
}

impl Pairs {
    /// Both began a lineage; whether neither ever had it before.
    pub(crate) fn begin(&mut self, model: &LineageId, real: LineageId) -> bool {
        let new = !self.lineages.values().any(|other| *other == real);
        new && self.lineages.insert(model.as_str().to_owned(), real).is_none()
    }

    /// The model's name for a lineage of the server's.
    pub(crate) fn to_model(&self, token: &Token) -> Token {
        let pair = self.lineages.iter().find(|(_, real)| **real == token.lineage);
        let lineage = pair.map_or_else(|| LineageId::new("unknown"), |(model, _)| LineageId::new(model));
        Token { lineage, seq: token.seq }
    }

    /// What the model answered, in the server's names; names that both meet here for the first time become pairs.
    pub(crate) fn answer(&mut self, model: Answer, real: &Answer) -> Answer {
        match (model, real) {
            (Answer::Found(found), _) => Answer::Found(self.found(found)),
            (Answer::Published(it), _) => Answer::Published(Published { token: self.token(&it.token), ..it }),
            (Answer::Token(token), _) => Answer::Token(self.token(&token)),
            (Answer::Head(head), Answer::Head(real)) => Answer::Head(Head {
                token: self.token(&head.token),
                nonce: self.nonce(head.nonce, &real.nonce),
                time_us: real.time_us,
                called: real.called,
            }),
            (Answer::Log(log), Answer::Log(real)) => {
                let mut real = real.iter();
                Answer::Log(log.into_iter().map(|logged| self.logged(logged, real.next())).collect())
            }
            (other, _) => other,
        }
    }

    /// The same for what the model announced.
    pub(crate) fn signals(&mut self, model: Vec<Signal>, real: &[Signal]) -> Vec<Signal> {
        let mut real = real.iter().filter_map(|signal| match signal {
            Signal::Event { logged, .. } => Some(logged),
            _ => None,
        });
        let mut signal = |signal| match signal {
            Signal::Event { shard, lineage, logged } => {
                let real = real.next();
                if let Some(real) = real {
                    self.times.insert(real.nonce.as_str().to_owned(), real.at_us);
                }
                Signal::Event { shard, lineage: self.lineage(&lineage), logged: self.logged(logged, real) }
            }
            other => other,
        };
        model.into_iter().map(&mut signal).collect()
    }

    /// The same for an entry.
    pub(crate) fn stored(&self, stored: Stored) -> Stored {
        Stored { token: self.token(&stored.token), ..stored }
    }

    fn found(&self, found: Found) -> Found {
        match found {
            Found::Fresh(stored) => Found::Fresh(self.stored(stored)),
            Found::NotModified(token) => Found::NotModified(self.token(&token)),
            Found::Leased { token, stale } => {
                Found::Leased { token: self.token(&token), stale: stale.map(|stale| self.stored(stale)) }
            }
            Found::Busy { left, stale } => Found::Busy { left, stale: stale.map(|stale| self.stored(stale)) },
            Found::Nothing { stale } => Found::Nothing { stale: stale.map(|stale| self.stored(stale)) },
            Found::Doubtful => Found::Doubtful,
        }
    }

    /// The server's name for a lineage of the model's.
    pub(crate) fn lineage(&self, model: &LineageId) -> LineageId {
        self.lineages.get(model.as_str()).cloned().unwrap_or_else(|| model.clone())
    }

    fn token(&self, model: &Token) -> Token {
        Token { lineage: self.lineage(&model.lineage), seq: model.seq }
    }

    fn nonce(&mut self, model: Nonce, real: &Nonce) -> Nonce {
        if let Some(pair) = self.nonces.get(model.as_str()) {
            return pair.clone();
        }
        if self.nonces.values().any(|other| other == real) {
            return model;
        }
        self.nonces.insert(model.as_str().to_owned(), real.clone());
        real.clone()
    }

    fn logged(&mut self, model: Logged, real: Option<&Logged>) -> Logged {
        let Some(real) = real else { return model };
        let previous = self.nonce(model.previous, &real.previous);
        let nonce = self.nonce(model.nonce, &real.nonce);
        let at_us = self.times.get(nonce.as_str()).copied().unwrap_or(model.at_us);
        Logged { previous, nonce, at_us, ..model }
    }
}
