//! Whose a queue shall be: each worker that is there has its share, and few queues move when one comes or goes.
//!
//! Rendezvous hashing (Thaler and Ravishankar, 1998) with a bound: queue by queue, the worker with the highest hash of
//! those that have less than their share. Whoever sees the same workers comes to the same shares. Who has a queue is up
//! to its lease; shares only say to whom it is handed.

use std::collections::BTreeMap;
use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::backend::Partition;
use crate::model::Shard;

/// Who is to have each queue of each shard.
#[derive(Clone, Debug, Default)]
pub(super) struct Shares(BTreeMap<Shard, Share>);

#[derive(Clone, Debug)]
struct Share {
    workers: Vec<String>,
    /// Of each partition.
    of: Vec<Arc<str>>,
}

impl Shares {
    /// Those are there; says whether that is news.
    pub(super) fn set(&mut self, shard: Shard, workers: Vec<String>, partitions: Partition) -> bool {
        if self.0.get(&shard).is_some_and(|share| share.workers == workers) {
            return false;
        }
        let names: Vec<Arc<str>> = workers.iter().map(|name| Arc::from(name.as_str())).collect();
        let of = share(&names, shard, partitions).into_iter().map(|worker| Arc::clone(&names[worker]));
        let share = Share { of: of.collect(), workers };
        self.0.insert(shard, share);
        true
    }

    /// Who is to have a queue, if anybody is known to be there.
    pub(super) fn of(&self, shard: Shard, partition: Partition) -> Option<&Arc<str>> {
        self.0.get(&shard)?.of.get(usize::from(partition))
    }
}

/// The worker of each partition, by its place in `workers`; empty if there are none.
fn share(workers: &[Arc<str>], shard: Shard, partitions: Partition) -> Vec<usize> {
    let partitions = usize::from(partitions);
    if workers.is_empty() {
        return Vec::new();
    }
    let (least, mut one_more) = (partitions / workers.len(), partitions % workers.len());
    let mut has = vec![0; workers.len()];
    let mut of = Vec::with_capacity(partitions);
    for partition in 0..partitions {
        let seed = u64::from(shard.0) << 32 | partition as u64;
        let open = |worker: &usize| has[*worker] < least || has[*worker] == least && 0 < one_more;
        let best = (0..workers.len())
            .filter(open)
            .max_by_key(|worker| (xxh3_64_with_seed(workers[*worker].as_bytes(), seed), *worker));
        // The shares add up to all partitions.
        let Some(best) = best else { break };
        if has[best] == least {
            one_more -= 1;
        }
        has[best] += 1;
        of.push(best);
    }
    of
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(numbers: impl IntoIterator<Item = u32>) -> Vec<Arc<str>> {
        numbers.into_iter().map(|number| Arc::from(format!("worker-{number}"))).collect()
    }

    #[test]
    fn every_queue_is_somebodys_and_nobody_has_two_more_than_another() {
        for workers in 1..12 {
            for partitions in [1, 7, 8, 64, 1024] {
                let of = share(&named(0..workers), Shard(3), partitions);
                assert_eq!(of.len(), usize::from(partitions));
                let has = |worker| of.iter().filter(|of| **of == worker).count();
                let counts: Vec<usize> = (0..workers as usize).map(has).collect();
                let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
                assert!(most - least <= 1, "{partitions} over {workers}: {counts:?}");
            }
        }
    }

    #[test]
    fn few_queues_move_when_a_worker_goes() {
        let (before, after) = (named(0..5), named([0, 1, 3, 4]));
        let of = |workers: &[Arc<str>]| -> Vec<Arc<str>> {
            share(workers, Shard(0), 200).into_iter().map(|at| Arc::clone(&workers[at])).collect()
        };
        let moved = of(&before).iter().zip(of(&after)).filter(|(before, after)| *before != after).count();
        assert!((40..100).contains(&moved), "40 were its own: {moved}");
    }

    #[test]
    fn only_other_workers_are_news() {
        let mut shares = Shares::default();
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert!(shares.of(Shard(0), 0).is_none());
        assert!(shares.set(Shard(0), names(&["a"]), 2));
        assert!(!shares.set(Shard(0), names(&["a"]), 2));
        assert!(shares.set(Shard(0), names(&["a", "b"]), 2));
        assert_ne!(shares.of(Shard(0), 0), shares.of(Shard(0), 1));
        assert!(shares.of(Shard(0), 2).is_none());
    }
}
