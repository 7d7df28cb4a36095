//! Writes at the origin: they take effect at their own time, and go on when their clients have gone.

use std::future::pending;
use std::io;

use hyper::{Response, StatusCode};
use tokio::sync::oneshot;
use tokio::time::sleep;

use super::register::{Effect, Fault, Write};
use super::{Body, InFlight, Shared, Task, plain, spawn};

/// Answers a write; an error closes the connection.
pub(super) async fn answer(key: String, write: Write, shared: Shared) -> io::Result<Response<Body>> {
    let (answer, answered) = oneshot::channel();
    let writing = spawn({
        let shared = shared.clone();
        async move {
            // Whoever sent it may be gone.
            answer.send(handle(&key, write, &shared).await).ok();
        }
    });
    {
        let mut state = shared.lock();
        state.writing.retain(|task: &Task| !task.is_finished());
        state.writing.push(writing);
    }
    drop(shared);
    match answered.await.unwrap_or(Err(io::ErrorKind::ConnectionAborted.into()))? {
        Some(status) => Ok(plain(status)),
        None => pending().await,
    }
}

/// The answer, if there will be any.
async fn handle(key: &str, write: Write, shared: &Shared) -> io::Result<Option<StatusCode>> {
    let _in_flight = InFlight::new(shared.clone());
    let arrived = shared.watch.as_ref().map_or(0, |watch| watch.arrived());
    let (behaviour, fault, gates) = {
        let mut state = shared.lock();
        let general = state.came(key);
        let register = state.register(key);
        let behaviour = register.behaviour.clone().unwrap_or(general);
        let fault = register.faults.pop_front().or(behaviour.writes).or(behaviour.fault);
        (behaviour, fault, [register.gate.clone(), register.write_gate.clone()])
    };
    for gate in gates.into_iter().flatten() {
        gate.pass().await;
    }
    sleep(behaviour.delay + behaviour.jitter.mul_f64(rand::random::<f64>().powi(4))).await;
    let without = match fault {
        Some(Fault::Status(status)) => {
            Some((Effect::of_status(status), StatusCode::from_u16(status).map_err(io::Error::other)))
        }
        Some(Fault::Close) => Some((Effect::Failed, Err(io::ErrorKind::ConnectionAborted.into()))),
        Some(Fault::Hang) => {
            decide(key, write, arrived, shared, Some(Effect::Failed));
            return Ok(None);
        }
        Some(Fault::LandLate(late)) => {
            sleep(late).await;
            None
        }
        Some(Fault::Truncate | Fault::AnswerLate(_)) | None => None,
    };
    if let Some((effect, answer)) = without {
        decide(key, write, arrived, shared, Some(effect));
        return answer.map(Some);
    }
    let status = decide(key, write, arrived, shared, None);
    let gate = shared.lock().register(key).answer_gate.clone();
    if let Some(gate) = gate {
        gate.pass().await;
    }
    match fault {
        Some(Fault::AnswerLate(late)) => sleep(late).await,
        Some(Fault::Truncate) => return Err(io::ErrorKind::ConnectionAborted.into()),
        _ => {}
    }
    Ok(Some(status))
}

/// Decides what becomes of a write, and tells whoever wants to know while nothing else can happen. Without an `effect`
/// it has the one that the register gives it: what is answered to that.
fn decide(key: &str, mut write: Write, arrived: u64, shared: &Shared, effect: Option<Effect>) -> StatusCode {
    let mut state = shared.lock();
    let register = state.register(key);
    let (effect, status) =
        effect.map_or_else(|| register.write(&write), |effect| (effect, StatusCode::BAD_GATEWAY));
    write.effect = effect;
    if let Some(watch) = &shared.watch {
        watch.wrote(arrived, key, &write);
    }
    register.writes.push(write);
    status
}
