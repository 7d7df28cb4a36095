//! The hottest keys: how old a list is shows by what is left of its time.

use super::*;
use crate::backend::HotKey;

const HOT: &str = "coherd:{main}:hot:users";
const HOUR: u64 = 3_600_000;

async fn keep(it: &Fixture, key: &str, heat: u16) -> Vec<String> {
    let namespace = Namespace::new("users").unwrap();
    it.backend.keep_hot(&namespace, &[HotKey { heat, key: Key::new(key).unwrap() }]).await.unwrap();
    it.backend.hot(&namespace).await.unwrap().iter().map(ToString::to_string).collect()
}

async fn left(it: &Fixture) -> u64 {
    it.admin("PTTL", &[HOT]).await.as_u64().unwrap()
}

#[tokio::test]
async fn a_list_is_merged_for_an_hour_and_then_colder_than_what_comes() {
    let it = Fixture::start().await;
    keep(&it, "a", 9).await;
    let whole = left(&it).await;
    assert!(23 * HOUR < whole && whole <= 24 * HOUR, "{whole}");
    it.admin("PEXPIRE", &[HOT, &(23 * HOUR + 60_000).to_string()]).await;
    assert_eq!(keep(&it, "b", 1).await, ["a", "b"]);
    assert!(left(&it).await <= 23 * HOUR + 60_000, "a list that is added to does not begin anew");
    it.admin("PEXPIRE", &[HOT, &(23 * HOUR).to_string()]).await;
    assert_eq!(keep(&it, "c", 1).await, ["c", "b", "a"]);
    assert!(23 * HOUR < left(&it).await);
}

#[tokio::test]
async fn what_others_put_in_its_place_is_replaced_and_what_is_no_key_passed_over() {
    let it = Fixture::start().await;
    it.admin("SET", &[HOT, "x"]).await;
    assert_eq!(it.backend.hot(&Namespace::new("users").unwrap()).await.unwrap(), []);
    assert_eq!(keep(&it, "a", 1).await, ["a"]);
    it.admin("ZADD", &[HOT, "inf", "", "inf", &"k".repeat(513)]).await;
    it.admin("PERSIST", &[HOT]).await;
    assert_eq!(keep(&it, "b", 1).await, ["b", "a"]);
    assert!(left(&it).await <= 24 * HOUR);
}
