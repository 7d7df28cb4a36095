//! PostgreSQL: an outbox table that triggers fill within the transaction of the change, and the task that empties it.
//!
//! A batch is deleted, published and committed, in this order: an instance that dies in between leaves the rows as they were,
//! and any other takes them. Rows that another instance has in hand are passed over (`SKIP LOCKED`), so that all may read at
//! the same time. There is no cursor that a row could commit behind. A notice only says that it is time to look; without one
//! the table is looked at every `poll_interval`.

mod outbox;
mod template;
mod triggers;

use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use sqlx::{ConnectOptions as _, Postgres};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

pub use template::{Template, TemplateError};
pub use triggers::{Triggers, remove, remove_all};

use super::Gauges;
use crate::coherence::{Coherence, PublishError};
use crate::config::SqlTable;
use crate::supervisor::{Stage, Supervisor, TaskError};
use crate::telemetry::Throttle;
use outbox::Outbox;

/// Longer than anything takes that is answered at all: a connection, a batch.
const PATIENCE: Duration = Duration::from_secs(30);
/// A transaction that an instance has left open for so long is undone by the database, and its rows are free for others.
const IDLE_MAX: Duration = Duration::from_secs(10);
/// After a batch that the log did not take, at first and at the most.
const PAUSE: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// One `[[sources]]` of `kind = "postgres"`. Not to be printed: it may hold a password.
pub struct Settings {
    /// For logs.
    pub name: String,
    /// `postgres://…`
    pub url: String,
    /// In place of one in the URL.
    pub password: Option<String>,
    /// The table.
    pub outbox: SqlTable,
    /// Where its notices come.
    pub channel: String,
    /// Rows taken at once.
    pub batch: u32,
    /// Between two looks without a notice.
    pub poll_interval: Duration,
}

/// The URL is none.
#[derive(Debug, thiserror::Error)]
#[error("its `url` cannot be read")]
pub struct SettingsError(#[source] sqlx::Error);

/// Why a source is not read.
#[derive(Debug, thiserror::Error)]
enum SourceError {
    /// The database does not answer, or with an error.
    #[error("the database of source `{0}`: {1}")]
    Database(String, sqlx::Error),
    /// Not in time.
    #[error("the database of source `{0}` has not answered within {limit}", limit = humantime::format_duration(PATIENCE))]
    TimedOut(String),
}

/// Why a batch is still in the table.
#[derive(Debug, thiserror::Error)]
enum BatchError {
    /// The log did not take it.
    #[error(transparent)]
    Unpublished(#[from] PublishError),
    /// The database.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

/// A source that is read as long as its stage runs.
pub struct Source {
    settings: Settings,
    options: PgConnectOptions,
    outbox: Outbox,
    coherence: Arc<Coherence>,
    gauges: Gauges,
    throttle: Throttle,
}

impl Source {
    /// Checks the URL; connects to nothing yet.
    pub fn new(
        settings: Settings,
        coherence: &Arc<Coherence>,
        gauges: Gauges,
    ) -> Result<Self, SettingsError> {
        let mut options: PgConnectOptions = settings.url.parse().map_err(SettingsError)?;
        if let Some(password) = &settings.password {
            options = options.password(password);
        }
        if options.get_application_name().is_none() {
            options = options.application_name("coherd");
        }
        let options = options
            .options([
                ("statement_timeout", PATIENCE.as_millis().to_string()),
                ("idle_in_transaction_session_timeout", IDLE_MAX.as_millis().to_string()),
            ])
            .disable_statement_logging();
        let outbox = Outbox::new(&settings.outbox, settings.batch);
        Ok(Self {
            settings,
            options,
            outbox,
            coherence: Arc::clone(coherence),
            gauges,
            throttle: Throttle::default(),
        })
    }

    /// Hands it to the supervisor, which connects anew where a session ends.
    pub fn start(self, supervisor: &Supervisor) {
        let source = Arc::new(self);
        supervisor.task(Stage::Coherence, "feeds.postgres", move |stop| {
            let source = Arc::clone(&source);
            async move {
                let ended = Box::pin(source.session(&stop)).await;
                if !stop.is_cancelled() {
                    source.gauges.reached(false);
                }
                ended.map_err(TaskError::from)
            }
        });
    }

    /// From a connection to its end.
    async fn session(&self, stop: &CancellationToken) -> Result<(), SourceError> {
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .max_lifetime(None)
            .idle_timeout(None)
            .acquire_timeout(PATIENCE)
            .connect_lazy_with(self.options.clone());
        let listening = async {
            let mut listener = PgListener::connect_with(&pool).await?;
            // What is missed between two connections is found by looking: a session has one.
            listener.eager_reconnect(false);
            listener.listen(&self.settings.channel).await?;
            Ok::<_, sqlx::Error>(listener)
        };
        let result = match Box::pin(stop.run_until_cancelled(self.answered(listening))).await {
            None => Ok(()),
            Some(Err(error)) => Err(error),
            Some(Ok(mut listener)) => {
                info!(source.name = %self.settings.name, "reading the outbox");
                self.follow(&mut listener, stop).await
            }
        };
        // An answer that is still on its way is not waited for.
        drop(timeout(Duration::from_millis(100), pool.close()).await);
        result
    }

    /// Looks whenever there may be something, until stopped.
    async fn follow(&self, listener: &mut PgListener, stop: &CancellationToken) -> Result<(), SourceError> {
        let mut pause = PAUSE;
        while !stop.is_cancelled() {
            // Noticed before the look: one that comes during it is kept.
            while listener.next_buffered().is_some() {}
            let looked = match timeout(PATIENCE, self.batch(listener)).await {
                Ok(looked) => looked,
                Err(_elapsed) => return Err(SourceError::TimedOut(self.settings.name.clone())),
            };
            match looked {
                Ok(rows) => {
                    self.gauges.reached(true);
                    pause = PAUSE;
                    if rows < u64::from(self.settings.batch) && !self.noticed(listener, stop).await? {
                        return Ok(());
                    }
                }
                Err(BatchError::Database(error)) => return Err(self.failed(error)),
                Err(BatchError::Unpublished(error)) => {
                    self.gauges.reached(true);
                    if let Some(suppressed) = self.throttle.pass() {
                        let name = &self.settings.name;
                        warn!(source.name = %name, error = %error, suppressed, "changes wait in the outbox for the log");
                    }
                    stop.run_until_cancelled(sleep(pause)).await;
                    pause = (pause * 2).min(PAUSE_MAX);
                }
            }
        }
        Ok(())
    }

    /// Waits for a notice, or until it is time to look without one. False: to be stopped.
    async fn noticed(
        &self,
        listener: &mut PgListener,
        stop: &CancellationToken,
    ) -> Result<bool, SourceError> {
        tokio::select! {
            biased;
            () = stop.cancelled() => Ok(false),
            notice = listener.try_recv() => match notice {
                Ok(Some(_)) => Ok(true),
                Ok(None) => Err(self.failed(sqlx::Error::from(std::io::Error::from(std::io::ErrorKind::UnexpectedEof)))),
                Err(error) => Err(self.failed(error)),
            },
            () = sleep(self.settings.poll_interval) => Ok(true),
        }
    }

    /// Takes rows, publishes what they say, and lets go of them. How many they were.
    async fn batch(&self, listener: &mut PgListener) -> Result<u64, BatchError> {
        let mut transaction: sqlx::Transaction<'_, Postgres> = sqlx::Acquire::begin(listener).await?;
        let taken = self.outbox.publish(&mut transaction, &self.coherence, &self.settings.name).await;
        match taken {
            Ok(taken) => {
                transaction.commit().await?;
                if let Some(oldest) = taken.oldest {
                    debug!(source.name = %self.settings.name, rows = taken.rows, "published what was in the outbox");
                    self.gauges.lag(oldest);
                }
                Ok(taken.rows)
            }
            Err(error) => {
                transaction.rollback().await?;
                Err(error)
            }
        }
    }

    async fn answered<T>(
        &self,
        asking: impl Future<Output = Result<T, sqlx::Error>>,
    ) -> Result<T, SourceError> {
        match timeout(PATIENCE, asking).await {
            Ok(answer) => answer.map_err(|error| self.failed(error)),
            Err(_elapsed) => Err(SourceError::TimedOut(self.settings.name.clone())),
        }
    }

    fn failed(&self, error: sqlx::Error) -> SourceError {
        SourceError::Database(self.settings.name.clone(), error)
    }
}
