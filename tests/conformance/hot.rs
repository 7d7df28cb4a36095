//! The hottest keys, as instances leave them to those after them.

use std::sync::Arc;

use coherd::backend::{Backend, HOT_KEYS_MAX, HotKey};
use coherd::model::{Key, Namespace};

use super::fixture::Fixture;
use super::kit::{two, users};

async fn keep(backend: &Arc<dyn Backend>, keys: &[(&str, u16)]) {
    let key = |(key, heat): &(&str, u16)| HotKey { heat: *heat, key: Key::new(key).unwrap() };
    let keys: Vec<HotKey> = keys.iter().map(key).collect();
    backend.keep_hot(&users(), &keys).await.unwrap();
}

async fn kept(backend: &Arc<dyn Backend>) -> Vec<String> {
    backend.hot(&users()).await.unwrap().iter().map(ToString::to_string).collect()
}

pub(crate) async fn the_hottest_keys_come_first_for_every_instance<F: Fixture>() {
    let it = two::<F>().await;
    assert!(kept(&it.b).await.is_empty());
    keep(&it.a, &[("cold", 1), ("ü/{x} y", u16::MAX), ("warm", 9), ("as warm", 9)]).await;
    assert_eq!(kept(&it.b).await, ["ü/{x} y", "warm", "as warm", "cold"]);
    assert!(it.a.hot(&Namespace::new("other").unwrap()).await.unwrap().is_empty());
}

pub(crate) async fn what_several_keep_is_merged_by_the_greater_heat<F: Fixture>() {
    let it = two::<F>().await;
    keep(&it.a, &[("x", 5), ("y", 4)]).await;
    keep(&it.b, &[("x", 3), ("y", 6), ("z", 1)]).await;
    keep(&it.a, &[]).await;
    assert_eq!(kept(&it.a).await, ["y", "x", "z"]);
}

pub(crate) async fn of_more_keys_than_are_kept_the_coldest_go<F: Fixture>() {
    let it = two::<F>().await;
    let named = |name: &str, heat: u16| HotKey { heat, key: Key::new(name).unwrap() };
    let half = HOT_KEYS_MAX * 2 / 3;
    for (at, by) in [(&it.a, "a"), (&it.b, "b")] {
        let heat = |n: usize| u16::try_from(n + 1).unwrap();
        let keys: Vec<HotKey> = (0..half).map(|n| named(&format!("{by}{n}"), heat(n))).collect();
        at.keep_hot(&users(), &keys).await.unwrap();
    }
    let kept = kept(&it.a).await;
    assert_eq!(kept.len(), HOT_KEYS_MAX);
    assert_eq!(kept[..2], [format!("b{}", half - 1), format!("a{}", half - 1)]);
    assert!(!kept.contains(&"a0".to_owned()) && !kept.contains(&"b100".to_owned()));
}

pub(crate) async fn what_is_kept_outlives_a_lineage_and_not_the_store<F: Fixture>() {
    let it = two::<F>().await;
    keep(&it.a, &[("x", 5)]).await;
    it.begin_another_lineage().await;
    assert_eq!(kept(&it.b).await, ["x"]);
    it.lose(0).await;
    assert!(kept(&it.b).await.is_empty());
}
