//! Wall clocks that are stepped.

use std::time::Duration;

use super::seen;
use crate::chaos::client::Client;
use crate::chaos::faults::Kind;
use crate::chaos::world::{Endpoint, Setup, World};
use crate::harness::clock::Clocks;

const HOLD: Duration = Duration::from_millis(1_500);
/// A step, in seconds, give or take what a test takes itself.
const STEP: std::ops::Range<u64> = 3_500..3_700;

/// A world whose clocks can be stepped; `None` where there can be none.
#[expect(clippy::print_stderr, reason = "a test that is left out says so")]
async fn world() -> Option<World> {
    let clocks = Clocks::build();
    if clocks.is_none() {
        eprintln!("left out: clocks cannot be stepped without Linux and a C compiler");
    }
    Some(World::start(Setup { clocks: Some(clocks?), ..Setup::new(2, 1) }).await)
}

/// By how much an HTTP date is off.
fn off(date: &str) -> u64 {
    let date = httpdate::parse_http_date(date).expect("an HTTP date");
    #[expect(clippy::disallowed_methods, reason = "the true time of day is what it is held against")]
    let now = std::time::SystemTime::now();
    date.duration_since(now).unwrap_or_else(|error| error.duration()).as_secs()
}

#[tokio::test]
async fn an_instance_is_an_hour_off() {
    let Some(world) = world().await else { return };
    let stepped = async |at: &Endpoint| {
        let answer = Client::new(HOLD).send("GET", &format!("{}/healthz", at.data), &[], "").await;
        answer
            .is_ok_and(|answer| STEP.contains(&off(answer.header("date").expect("HTTP answers have a date"))))
    };
    let (struck, stepped) = seen(Kind::InstanceClock, &world, HOLD, stepped).await;
    assert_eq!(stepped.len(), 1, "{struck:?}, {stepped:?}");
    assert!(struck.target.starts_with(&stepped[0]), "{struck:?}, {stepped:?}");
}

#[tokio::test]
async fn the_server_is_an_hour_off() {
    let Some(world) = world().await else { return };
    let time = async || {
        let mut server = world.direct().await.expect("the server is there");
        let time = server.command(&["TIME"]).await.expect("the server answers");
        time.items()[0].text().parse::<u64>().expect("a number of seconds")
    };
    let before = time().await;
    let stepped = async |_: &Endpoint| STEP.contains(&time().await.abs_diff(before));
    let (_, stepped) = seen(Kind::ServerClock, &world, HOLD, stepped).await;
    assert!(!stepped.is_empty());
    assert!(time().await.abs_diff(before) < 60, "the clock is right again");
}
