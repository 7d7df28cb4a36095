//! What an object must not be older than, as of when.

/// Versions that become obligatory at moments which only grow: whoever starts later gets at least that version.
#[derive(Clone, Debug, Default)]
pub(super) struct Floors(Vec<(u64, u64)>);

impl Floors {
    /// From `at` on nothing older than `version`.
    pub(super) fn raise(&mut self, at: u64, version: u64) {
        match self.0.last_mut() {
            Some((_, last)) if version <= *last => {}
            Some((latest, last)) if at <= *latest => *last = version,
            _ => self.0.push((at, version)),
        }
    }

    /// What holds for whoever starts at `started`, and since when; 0: nothing.
    pub(super) fn at(&self, started: u64) -> (u64, u64) {
        let upto = self.0.partition_point(|(at, _)| *at < started);
        upto.checked_sub(1).map_or((0, 0), |last| self.0[last])
    }

    /// The first moment before `started` that asked for more than `version`.
    pub(super) fn first_above(&self, version: u64, started: u64) -> Option<u64> {
        let first = self.0.partition_point(|(_, asked)| *asked <= version);
        self.0.get(first).map(|(at, _)| *at).filter(|at| *at < started)
    }
}
