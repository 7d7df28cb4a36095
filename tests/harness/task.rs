//! Tasks of the harness itself, which end with whoever holds them.

use std::future::Future;

use tokio_util::task::AbortOnDropHandle;

/// A running task, aborted when it is dropped.
pub(crate) type Task = AbortOnDropHandle<()>;

/// Starts a task.
#[expect(clippy::disallowed_methods, reason = "the supervisor is part of what is tested")]
pub(crate) fn spawn(task: impl Future<Output = ()> + Send + 'static) -> Task {
    AbortOnDropHandle::new(tokio::spawn(task))
}
