//! Chaos: a workload on real instances through a real server while things break, and its history held against the
//! promises.

mod client;
mod counters;
mod faults;
mod spaces;
mod world;

use world::{Setup, World};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_world_starts() {
    let world = World::start(Setup::new(3, 1)).await;
    assert!(world.direct().await.is_some());
}
