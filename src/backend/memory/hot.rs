//! The hottest keys of each namespace, as instances that stopped have left them. Pure: time is an argument.

use std::cmp::Reverse;
use std::collections::HashMap;

use super::shard::after;
use crate::backend::{HOT_KEPT, HOT_KEYS_MAX, HOT_MERGED, HotKey};
use crate::model::{Key, Namespace};

/// A list for each namespace that is configured somewhere.
#[derive(Clone, Debug, Default)]
pub(super) struct Hot(HashMap<Namespace, List>);

#[derive(Clone, Debug, Default)]
struct List {
    heat: HashMap<Key, u16>,
    /// In milliseconds, as `until`.
    merged_until: u64,
    until: u64,
}

impl Hot {
    /// See [`crate::backend::Backend::keep_hot`].
    pub(super) fn keep(&mut self, now: u64, namespace: &Namespace, keys: &[HotKey]) {
        let list = self.0.entry(namespace.clone()).or_default();
        if list.until <= now {
            list.heat.clear();
        }
        if list.merged_until <= now {
            list.heat.values_mut().for_each(|heat| *heat = 0);
            (list.merged_until, list.until) = (after(now, HOT_MERGED), after(now, HOT_KEPT));
        }
        for HotKey { heat, key } in keys {
            let kept = list.heat.entry(key.clone()).or_default();
            *kept = (*kept).max(*heat);
        }
        let coldest = list.sorted().split_off(HOT_KEYS_MAX.min(list.heat.len()));
        for key in coldest {
            list.heat.remove(&key);
        }
    }

    /// See [`crate::backend::Backend::hot`].
    pub(super) fn keys(&self, now: u64, namespace: &Namespace) -> Vec<Key> {
        self.0.get(namespace).filter(|list| now < list.until).map(List::sorted).unwrap_or_default()
    }
}

impl List {
    /// Hottest first; of the same heat in the order of a sorted set that is read backwards.
    fn sorted(&self) -> Vec<Key> {
        let mut keys: Vec<_> = self.heat.iter().map(|(key, heat)| Reverse((*heat, key))).collect();
        keys.sort_unstable();
        keys.into_iter().map(|Reverse((_, key))| key.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3_600_000;

    fn kept(hot: &mut Hot, now: u64, keys: &[(&str, u16)]) -> Vec<String> {
        let namespace = Namespace::new("users").unwrap();
        let key = |(key, heat): &(&str, u16)| HotKey { heat: *heat, key: Key::new(key).unwrap() };
        let keys: Vec<HotKey> = keys.iter().map(key).collect();
        hot.keep(now, &namespace, &keys);
        hot.keys(now, &namespace).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_list_is_merged_for_an_hour_and_then_colder_than_what_comes() {
        let mut hot = Hot::default();
        assert_eq!(kept(&mut hot, 5, &[("a", 9), ("b", 7)]), ["a", "b"]);
        assert_eq!(kept(&mut hot, HOUR, &[("b", 8), ("c", 1)]), ["a", "b", "c"]);
        assert_eq!(kept(&mut hot, HOUR + 5, &[("c", 1)]), ["c", "b", "a"]);
        assert_eq!(kept(&mut hot, 2 * HOUR, &[("a", 2)]), ["a", "c", "b"]);
    }

    #[test]
    fn a_list_is_kept_for_a_day_from_its_beginning() {
        let mut hot = Hot::default();
        kept(&mut hot, 0, &[("a", 9)]);
        let users = Namespace::new("users").unwrap();
        assert_eq!(hot.keys(24 * HOUR - 1, &users).len(), 1);
        assert!(hot.keys(24 * HOUR, &users).is_empty());
        assert_eq!(kept(&mut hot, 24 * HOUR, &[("b", 1)]), ["b"]);
    }
}
