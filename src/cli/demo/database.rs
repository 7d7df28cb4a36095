//! The demo's system of record: a SQLite file in a temporary folder, with rows that take their time.

use std::path::PathBuf;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode};
use sqlx::{ConnectOptions as _, Executor as _, SqliteConnection};
use tempfile::TempDir;
use tokio::time::Instant;

use super::super::client::in_path;
use super::super::exit::{Fault, told};

/// What the instances ask. A row's `work` is how far is counted before it is answered: it makes a load as slow as
/// those that are worth caching. The statement sees the database as it was when it began.
pub(super) const SELECT: &str = "\
    WITH RECURSIVE counted (n) AS (\
      SELECT 1 UNION ALL SELECT n + 1 FROM counted WHERE n < (SELECT work FROM users WHERE id = ?1)\
    ) \
    SELECT json_object('id', id, 'name', name) FROM users WHERE id = ?1 AND 0 < (SELECT max(n) FROM counted)";

/// What a write does: a user's name, unless a newer write was there.
pub(super) const UPSERT: &str = "\
    UPDATE users SET name = json_extract(?2, '$.name'), write_seq = ?3 WHERE id = ?1 AND write_seq <= ?3";

/// Its name in the folder.
const FILE: &str = "users.db";
/// What an ordinary row takes.
pub(super) const USUAL: Duration = Duration::from_millis(20);
/// A count whose time is measured to know what a row's `work` takes on this machine.
const SAMPLE: u32 = 100_000;
/// The fastest that a machine is believed to count, so that a clock that jumps makes no row that takes minutes.
const PER_SECOND_MAX: f64 = 1e8;

const TABLE: &str = "\
    CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT NOT NULL, work INTEGER NOT NULL,
                        write_seq INTEGER NOT NULL DEFAULT 0);
    WITH RECURSIVE ids (id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM ids WHERE id < 100)
    INSERT INTO users SELECT id, 'User ' || id, 0, 0 FROM ids;";

/// The database, and the connection that changes it. The folder goes when this is dropped.
pub(super) struct Database {
    writer: SqliteConnection,
    per_second: f64,
    folder: TempDir,
}

impl Database {
    /// A hundred users, each of whom takes [`USUAL`] to select.
    pub(super) async fn create() -> Result<Self, Fault> {
        let folder = tempfile::Builder::new().prefix("coherd-demo-").tempdir();
        let folder =
            folder.map_err(|error| Fault::failed(format!("no temporary folder: {}", told(&error))))?;
        let options = SqliteConnectOptions::new()
            .filename(folder.path().join(FILE))
            .create_if_missing(true)
            // A change does not wait for a statement that is still reading.
            .journal_mode(SqliteJournalMode::Wal)
            .disable_statement_logging();
        let mut writer = options.connect().await.map_err(|error| broken(&error))?;
        writer.execute(TABLE).await.map_err(|error| broken(&error))?;
        let mut database = Self { writer, per_second: PER_SECOND_MAX, folder };
        database.per_second = database.measure().await?;
        let work = database.work(USUAL);
        let all = sqlx::query("UPDATE users SET work = ?1").bind(work);
        all.execute(&mut database.writer).await.map_err(|error| broken(&error))?;
        Ok(database)
    }

    /// Changes a user; from then on the row takes so long to select. Answers how long the change took.
    pub(super) async fn write(&mut self, id: u32, name: &str, takes: Duration) -> Result<Duration, Fault> {
        let began = Instant::now();
        let update = sqlx::query("UPDATE users SET name = ?2, work = ?3 WHERE id = ?1");
        let update = update.bind(id).bind(name).bind(self.work(takes));
        update.execute(&mut self.writer).await.map_err(|error| broken(&error))?;
        Ok(began.elapsed())
    }

    /// Takes no change of others until [`Self::unlock`].
    pub(super) async fn lock(&mut self) -> Result<(), Fault> {
        self.writer.execute("BEGIN IMMEDIATE").await.map(drop).map_err(|error| broken(&error))
    }

    /// Takes changes again.
    pub(super) async fn unlock(&mut self) -> Result<(), Fault> {
        self.writer.execute("COMMIT").await.map(drop).map_err(|error| broken(&error))
    }

    /// What a user is called.
    pub(super) async fn name(&mut self, id: u32) -> Result<String, Fault> {
        let name = sqlx::query_scalar("SELECT name FROM users WHERE id = ?1").bind(id);
        name.fetch_one(&mut self.writer).await.map_err(|error| broken(&error))
    }

    /// Where it is.
    pub(super) fn file(&self) -> PathBuf {
        self.folder.path().join(FILE)
    }

    /// For `origin.url`.
    pub(super) fn url(&self) -> String {
        format!("sqlite://{}", in_path(&self.file().to_string_lossy()))
    }

    /// How far this machine counts in a second.
    async fn measure(&mut self) -> Result<f64, Fault> {
        let prepare = sqlx::query("UPDATE users SET work = ?1 WHERE id = 1").bind(SAMPLE);
        prepare.execute(&mut self.writer).await.map_err(|error| broken(&error))?;
        let began = Instant::now();
        sqlx::query(SELECT).bind("1").fetch_one(&mut self.writer).await.map_err(|error| broken(&error))?;
        let per_second = f64::from(SAMPLE) / began.elapsed().as_secs_f64();
        Ok(per_second.min(PER_SECOND_MAX))
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "at the most a hundred million a second, for seconds"
    )]
    fn work(&self, takes: Duration) -> i64 {
        (self.per_second * takes.as_secs_f64()) as i64
    }
}

/// What a row with that name is as a value.
pub(super) fn value(id: u32, name: &str) -> String {
    serde_json::json!({ "id": id, "name": name }).to_string()
}

fn broken(error: &sqlx::Error) -> Fault {
    Fault::failed(format!("the demo's database fails: {}", told(error)))
}
