//! Tasks of the tests and of the harness itself, which end with whoever holds them.

use std::future::Future;

use tokio_util::task::AbortOnDropHandle;

/// A running task, aborted when it is dropped.
pub(crate) type Task<T = ()> = AbortOnDropHandle<T>;

/// Starts a task.
#[expect(clippy::disallowed_methods, reason = "the supervisor is part of what is tested")]
pub(crate) fn spawn<T: Send + 'static>(task: impl Future<Output = T> + Send + 'static) -> Task<T> {
    AbortOnDropHandle::new(tokio::spawn(task))
}
