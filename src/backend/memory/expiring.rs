//! A map whose items end at a given time and whose total cost is bounded.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;

/// The end of what never ends; such an item is not evicted either.
pub(super) const FOREVER: u64 = u64::MAX;

/// Items with an end, in milliseconds of the caller's clock, and a cost. Beyond `cost_max` the soonest to end go first:
/// they are worth least, and the order is kept anyway for the ends.
#[derive(Clone, Debug)]
pub(super) struct Expiring<K, V> {
    items: HashMap<K, Item<V>>,
    order: BTreeSet<(u64, K)>,
    cost: usize,
    cost_max: usize,
}

#[derive(Clone, Debug)]
pub(super) struct Item<V> {
    pub(super) value: V,
    pub(super) until: u64,
    cost: usize,
}

impl<K: Clone + Eq + Hash + Ord, V> Expiring<K, V> {
    pub(super) fn new(cost_max: usize) -> Self {
        Self { items: HashMap::new(), order: BTreeSet::new(), cost: 0, cost_max }
    }

    pub(super) fn get(&self, now: u64, key: &K) -> Option<&Item<V>> {
        self.items.get(key).filter(|item| now < item.until)
    }

    pub(super) fn get_mut(&mut self, now: u64, key: &K) -> Option<&mut Item<V>> {
        self.items.get_mut(key).filter(|item| now < item.until)
    }

    /// Puts an item, after dropping those that have ended. One that alone exceeds the bound is gone at once.
    pub(super) fn insert(&mut self, now: u64, key: K, item: (V, u64), cost: usize) {
        let (value, until) = item;
        self.remove(&key);
        self.order.insert((until, key.clone()));
        self.items.insert(key, Item { value, until, cost });
        self.cost = self.cost.saturating_add(cost);
        while let Some((first, key)) = self.order.first()
            && (*first <= now || (self.cost_max < self.cost && *first != FOREVER))
        {
            let key = key.clone();
            self.remove(&key);
        }
    }

    pub(super) fn remove(&mut self, key: &K) -> Option<V> {
        let (key, item) = self.items.remove_entry(key)?;
        self.order.remove(&(item.until, key));
        self.cost = self.cost.saturating_sub(item.cost);
        Some(item.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(map: &Expiring<u8, ()>) -> Vec<u8> {
        assert_eq!(map.items.len(), map.order.len());
        assert_eq!(map.cost, map.items.values().map(|item| item.cost).sum::<usize>());
        let mut keys: Vec<u8> = map.items.keys().copied().collect();
        keys.sort_unstable();
        keys
    }

    #[test]
    fn an_item_ends_at_its_time_and_its_memory_goes_with_the_next_insertion() {
        let mut map = Expiring::new(100);
        map.insert(0, 1, ((), 10), 1);
        assert!(map.get(9, &1).is_some() && map.get(10, &1).is_none() && map.get_mut(10, &1).is_none());
        map.insert(10, 2, ((), 20), 1);
        assert_eq!(keys(&map), [2]);
    }

    #[test]
    fn beyond_the_bound_the_soonest_to_end_go_but_never_what_has_no_end() {
        let mut map = Expiring::new(10);
        map.insert(0, 1, ((), FOREVER), 4);
        map.insert(0, 2, ((), 30), 4);
        map.insert(0, 3, ((), 20), 4);
        assert_eq!(keys(&map), [1, 2]);
        map.insert(0, 4, ((), FOREVER), 20);
        assert_eq!(keys(&map), [1, 4]);
    }

    #[test]
    fn a_replaced_item_leaves_nothing_behind() {
        let mut map = Expiring::new(10);
        map.insert(0, 1, ((), 10), 9);
        map.insert(0, 1, ((), 20), 3);
        assert_eq!(keys(&map), [1]);
        assert_eq!((map.cost, map.get(15, &1).map(|item| item.until)), (3, Some(20)));
        assert!(map.remove(&1).is_some() && map.remove(&1).is_none());
    }
}
