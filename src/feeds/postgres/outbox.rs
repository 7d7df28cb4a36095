//! The outbox table: a batch of rows, each an event, on its way to the log.

use futures_util::TryStreamExt as _;
use sqlx::{AssertSqlSafe, PgConnection, Row as _};
use tracing::warn;

use super::super::gather::Gather;
use super::BatchError;
use crate::coherence::form::{self, EVENT_BYTES_MAX, FormError};
use crate::coherence::{Coherence, Door};
use crate::config::SqlTable;
use crate::model::Event;
use crate::telemetry::Throttle;

/// How the table is read.
pub(super) struct Outbox {
    take: String,
    batch: i64,
    throttle: Throttle,
}

/// What a batch was.
pub(super) struct Taken {
    pub(super) rows: u64,
    /// Age of the oldest row in seconds, by the database's clock.
    pub(super) oldest: Option<f64>,
}

impl Outbox {
    pub(super) fn new(table: &SqlTable, batch: u32) -> Self {
        // Materialised: a plan that asked again for each row would take more than it may.
        let take = format!(
            "WITH taken AS MATERIALIZED (SELECT id FROM {table} ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED) \
             DELETE FROM {table} AS o USING taken WHERE o.id = taken.id \
             RETURNING o.id, o.request_id::text, octet_length(o.event::text)::int8, \
             CASE WHEN octet_length(o.event::text) <= {EVENT_BYTES_MAX} THEN o.event::text END, \
             extract(epoch FROM clock_timestamp() - o.at)::float8"
        );
        Self { take, batch: batch.into(), throttle: Throttle::default() }
    }

    /// Takes rows and publishes what they say; once it has returned they may be let go.
    ///
    /// What is malformed is counted, logged by its id, and goes with the others: it would be malformed the next time, too.
    pub(super) async fn publish(
        &self,
        connection: &mut PgConnection,
        coherence: &Coherence,
        source: &str,
    ) -> Result<Taken, BatchError> {
        let mut taken = Taken { rows: 0, oldest: None };
        let mut gather = Gather::new(coherence, Door::Postgres);
        let query = sqlx::query(AssertSqlSafe(self.take.as_str())).bind(self.batch);
        let mut rows = query.fetch(connection);
        // Row by row: a batch may be larger than memory would bear.
        while let Some(row) = rows.try_next().await? {
            let (id, request_id): (i64, String) = (row.try_get(0)?, row.try_get(1)?);
            let (bytes, text): (i64, Option<String>) = (row.try_get(2)?, row.try_get(3)?);
            let age: f64 = row.try_get(4)?;
            taken.rows += 1;
            taken.oldest = Some(taken.oldest.unwrap_or(age).max(age));
            match event(bytes, text.as_deref()) {
                Ok(event) => gather.add(event, &request_id).await?,
                Err(error) => {
                    coherence.count_rejected(&error);
                    if let Some(suppressed) = self.throttle.pass() {
                        warn!(source.name = %source, row.id = id, error = %error, suppressed, "a malformed row was dropped");
                    }
                }
            }
        }
        drop(rows);
        gather.finish().await?;
        Ok(taken)
    }
}

/// Without a text it is longer than is read.
fn event(bytes: i64, text: Option<&str>) -> Result<Event, FormError> {
    match text {
        Some(text) => form::from_json(text.as_bytes()),
        None => Err(FormError::TooLarge(usize::try_from(bytes).unwrap_or(usize::MAX))),
    }
}
