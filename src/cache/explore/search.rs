//! Every state that can be reached, the nearest first.

use std::collections::{BTreeSet, HashSet, VecDeque};
use std::fmt;
use std::time::Duration;

use super::config::Config;
use super::fingerprint::Fingerprint;
use super::world::{Action, World};
use crate::clock::Clock;

/// What was found.
#[derive(Debug)]
pub(super) struct Explored {
    pub(super) states: usize,
    pub(super) transitions: u64,
    pub(super) took: Duration,
    /// The shortest way to a violation.
    pub(super) violation: Option<(&'static str, Vec<Action>)>,
    /// What happened on the way, each once.
    pub(super) met: BTreeSet<&'static str>,
    /// There was more than was looked at.
    pub(super) cut_short: bool,
}

/// Looks at every state of a configuration, or at the nearest `states_max`, up to the first violation; and says what it
/// found.
#[expect(
    clippy::print_stdout,
    reason = "the number of states and the way to a violation are what is asked for"
)]
pub(super) fn explore(config: &'static Config, states_max: usize) -> Explored {
    let found = search(config, states_max);
    println!("{config:?}: {found}");
    found
}

fn search(config: &'static Config, states_max: usize) -> Explored {
    let began = Clock::Boottime.now();
    let mut fingerprint = Fingerprint::default();
    let mut seen: HashSet<u128> = HashSet::new();
    let mut came: Vec<(u32, Action)> = Vec::new();
    let mut next: VecDeque<(u32, World)> = VecDeque::new();
    let mut actions = Vec::new();
    let mut transitions = 0;
    let first = World::new(config);
    seen.insert(fingerprint.of(&first));
    next.push_back((u32::MAX, first));
    let mut met = BTreeSet::new();
    let (mut violation, mut cut_short) = (None, false);
    'all: while let Some((from, mut world)) = next.pop_front() {
        world.possible(&mut actions);
        for action in actions.drain(..) {
            transitions += 1;
            let mut after = world.clone();
            after.act(action);
            met.extend(after.met.drain(..));
            if let Some(what) = after.violation {
                violation = Some((what, path(&came, from, action)));
                break 'all;
            }
            if !seen.insert(fingerprint.of(&after)) {
                continue;
            }
            if states_max < seen.len() {
                cut_short = true;
                break 'all;
            }
            let id = u32::try_from(came.len()).expect("fewer states than that fit into memory");
            came.push((from, action));
            next.push_back((id, after));
        }
    }
    Explored {
        states: seen.len(),
        transitions,
        took: Clock::Boottime.now().since(began),
        met,
        violation,
        cut_short,
    }
}

/// How the state `from` was reached, and on by `last`.
fn path(came: &[(u32, Action)], from: u32, last: Action) -> Vec<Action> {
    let mut path = vec![last];
    let mut at = from;
    while let Some((before, action)) = came.get(at as usize) {
        path.push(*action);
        at = *before;
    }
    path.reverse();
    path
}

impl fmt::Display for Explored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { states, transitions, took, met, violation, cut_short } = self;
        let all = if *cut_short { "the nearest" } else { "all" };
        write!(f, "{all} {states} states, {transitions} transitions, {:.1} s", took.as_secs_f64())?;
        write!(f, "; met: {}", met.iter().copied().collect::<Vec<_>>().join(", "))?;
        if let Some((what, path)) = violation {
            write!(f, "\nVIOLATION: {what}")?;
            for (step, action) in path.iter().enumerate() {
                write!(f, "\n  {:>2} {action:?}", step + 1)?;
            }
        }
        Ok(())
    }
}
