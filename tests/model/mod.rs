//! The scripts against the model: random histories of every operation, retries, time and vandalism, run on a real server
//! and on [`coherd::backend::memory::ShardState`] side by side. After each step both must have answered, announced and
//! kept the same.
//!
//! `PROPTEST_CASES=10000 cargo nextest run model::` is the long form.

#![expect(clippy::unwrap_used, reason = "an operation that fails fails its case")]

mod command;
mod pairs;
mod queues;
mod real;
mod resolve;
mod steps;
mod texts;
mod vandal;
mod world;
mod writes;
mod wrong;

use std::{env, fmt};

use proptest::strategy::Strategy;
use proptest::test_runner::{Config, TestCaseError, TestError, TestRunner};
use tokio::sync::Mutex;

use self::real::Real;
use self::steps::Step;
use self::world::World;
use super::conformance::fixture::Settings;

/// Histories, where `PROPTEST_CASES` does not say how many.
const CASES: u32 = 150;
/// Steps of the longest history.
const STEPS_MAX: usize = 50;

#[test]
fn the_scripts_do_what_the_model_says() {
    check(Settings::default(), steps::step());
}

#[test]
fn the_scripts_do_with_writes_what_the_model_does() {
    check(Settings::default(), steps::step_of_writes());
}

#[test]
fn the_scripts_forget_what_the_model_forgets() {
    check(Settings { log_max_events: 4, watermarks_max: 5 }, steps::step());
}

#[test]
fn the_function_takes_the_texts_that_the_model_takes() {
    run(Settings { log_max_events: 4, watermarks_max: 5 }, texts::text(), &async |real, text| {
        texts::compare(real, &text).await
    });
}

fn check(settings: Settings, step: impl Strategy<Value = Step>) {
    run(settings, proptest::collection::vec(step, 1..STEPS_MAX).prop_map(History), &async |real, history| {
        let mut world = World::begin(real).await;
        for step in history.0 {
            world.step(step).await?;
            if world.is_late() {
                break;
            }
        }
        Ok(())
    });
}

/// Steps, printed a line each.
#[derive(Clone)]
struct History(Vec<Step>);

impl fmt::Debug for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|step| write!(f, "\n  {step:?}"))
    }
}

/// Runs cases one after the other on one server.
fn run<S: Strategy>(
    settings: Settings,
    cases: S,
    case: &impl AsyncFn(&mut Real, S::Value) -> Result<(), TestCaseError>,
) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let real = Mutex::new(runtime.block_on(Real::start(settings)));
    let mut config = Config { failure_persistence: None, ..Config::default() };
    if env::var_os("PROPTEST_CASES").is_none() {
        config.cases = CASES;
    }
    let result = TestRunner::new(config)
        .run(&cases, |value| runtime.block_on(async { case(&mut *real.lock().await, value).await }));
    match result {
        Ok(()) => {}
        Err(TestError::Fail(why, value)) => panic!("server and model differ {why}\nin {value:?}"),
        Err(TestError::Abort(why)) => panic!("{why}"),
    }
    let _still = runtime.enter();
    drop(real);
}
