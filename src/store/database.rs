//! The two databases: how each is opened, written to and closed. What else differs between them stands here too.

use std::{
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use sqlx::{
    Connection, PgConnection, PgPool, Postgres, Sqlite, SqliteConnection, SqlitePool, Transaction,
    error::DatabaseError,
    postgres::{PgConnectOptions, PgPoolOptions},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use super::{StoreError, sql::Place};

/// Connections that read SQLite at once.
const READERS: u32 = 8;
/// What each of them keeps of the file, in SQLite's own way of saying 256 KiB. By default it is 2 MB, which eight of them reach
/// after thousands of calls only: that looked like a leak. The system keeps the file as well.
const READ_CACHE: &str = "-256";
/// Connections to PostgreSQL of one process; its own default allows 100 of all processes.
const CONNECTIONS: u32 = 24;
/// How long a writer waits for another process (a second `hotline` command) before it gives up.
const BUSY: Duration = Duration::from_secs(10);
/// How long until a file that another process holds for itself is tried again.
const AGAIN: Duration = Duration::from_millis(20);
/// How long a task waits for a connection of the pool.
const PATIENCE: Duration = Duration::from_secs(30);
/// PostgreSQL that gives no connection for so long is away: who asks hears so before their own patience ends.
const AWAY: Duration = Duration::from_secs(10);

/// Which of the two, where they differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    Sqlite,
    Postgres,
}

/// An open database.
#[derive(Debug)]
pub(super) enum Database {
    /// A file: one connection that writes, many that read.
    Sqlite {
        writer: SqlitePool,
        readers: SqlitePool,
    },
    Postgres {
        pool: PgPool,
    },
}

/// An open write of either.
#[derive(Debug)]
pub(super) enum Writing {
    Sqlite(Transaction<'static, Sqlite>),
    Postgres(Transaction<'static, Postgres>),
}

/// Opens the first connection to a file. The one statement of it that needs the file for itself turns the journal to WAL, and
/// for that one SQLite answers "locked" at once, whatever `busy_timeout` says: two that start together both wait here instead.
async fn patiently<F>(open: impl Fn() -> F) -> Result<SqlitePool, sqlx::Error>
where
    F: Future<Output = Result<SqlitePool, sqlx::Error>>,
{
    let last = tokio::time::Instant::now() + BUSY;
    loop {
        match open().await {
            Err(error) if is_locked(&error) && tokio::time::Instant::now() < last => tokio::time::sleep(AGAIN).await,
            answer => return answer,
        }
    }
}

/// SQLite's own number of it (`SQLITE_BUSY`, or an extended form of it).
fn is_locked(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(DatabaseError::code).and_then(|code| code.parse::<i32>().ok());
    code.is_some_and(|code| code & 0xff == 5)
}

/// Where a database is, for people: a file, or host and name. Never a password.
pub(super) fn place(url: &str) -> Result<String, StoreError> {
    if is_postgres(url) {
        return Ok(describe(&postgres_options(url)?));
    }
    Ok(file_of(url)?.display().to_string())
}

impl Database {
    /// Opens what `url` names. The tables are brought up to date by `migrations`.
    pub(super) async fn open(url: &str) -> Result<Self, StoreError> {
        if is_postgres(url) { Self::open_postgres(url).await } else { Self::open_sqlite(url).await }
    }

    /// Opens what is there; makes nothing.
    pub(super) async fn open_existing(url: &str) -> Result<Self, StoreError> {
        if !is_postgres(url) && !file_of(url)?.is_file() {
            return Err(StoreError::Missing(place(url)?));
        }
        Self::open(url).await
    }

    async fn open_sqlite(url: &str) -> Result<Self, StoreError> {
        let file = file_of(url)?;
        prove_writable(&file).await?;
        let opened = |source| StoreError::Open { place: file.display().to_string(), source };
        let options = SqliteConnectOptions::new()
            .filename(&file)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(BUSY)
            .foreign_keys(true);
        // Where there is no room SQLite undoes a transaction by itself; the driver goes on to count it as open, and would begin
        // no other on that connection ever again. The pool closes it and opens another one.
        let pool = || {
            let pool = SqlitePoolOptions::new().acquire_timeout(PATIENCE).idle_timeout(None).max_lifetime(None);
            pool.before_acquire(|connection, _| {
                let free = !connection.is_in_transaction();
                Box::pin(async move { Ok(free) })
            })
        };
        let first = || pool().max_connections(1).connect_with(options.clone());
        let writer = patiently(first).await.map_err(opened)?;
        let readers = pool().max_connections(READERS);
        let readers = readers
            .connect_with(options.pragma("query_only", "ON").pragma("cache_size", READ_CACHE))
            .await
            .map_err(opened)?;
        Ok(Self::Sqlite { writer, readers })
    }

    async fn open_postgres(url: &str) -> Result<Self, StoreError> {
        let options = postgres_options(url)?;
        let place = describe(&options);
        let pool = PgPoolOptions::new().max_connections(CONNECTIONS).acquire_timeout(AWAY);
        let pool = pool.connect_with(options).await.map_err(|source| StoreError::Open { place, source })?;
        Ok(Self::Postgres { pool })
    }

    pub(super) async fn begin(&self) -> Result<Writing, sqlx::Error> {
        Ok(match self {
            Self::Sqlite { writer, .. } => Writing::Sqlite(Box::pin(writer.begin_with("BEGIN IMMEDIATE")).await?),
            Self::Postgres { pool } => Writing::Postgres(Box::pin(pool.begin()).await?),
        })
    }

    pub(super) const fn dialect(&self) -> Dialect {
        match self {
            Self::Sqlite { .. } => Dialect::Sqlite,
            Self::Postgres { .. } => Dialect::Postgres,
        }
    }

    /// Begins to read what stands there now, whatever others write from here on.
    pub(super) async fn freeze(&self) -> Result<Writing, sqlx::Error> {
        Ok(match self {
            Self::Sqlite { readers, .. } => Writing::Sqlite(Box::pin(readers.begin()).await?),
            Self::Postgres { pool } => {
                let mut tx = Box::pin(pool.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")).await?;
                // A table is read as fast as the backup is written.
                let patience = "SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0";
                Box::pin(sqlx::raw_sql(patience).execute(&mut *tx)).await?;
                Writing::Postgres(tx)
            }
        })
    }

    pub(super) const fn readers(&self) -> Place<'_> {
        match self {
            Self::Sqlite { readers, .. } => Place::SqlitePool(readers),
            Self::Postgres { pool } => Place::PostgresPool(pool),
        }
    }

    /// The pools: name, how many connections are open, how many of them are idle.
    pub(super) fn connections(&self) -> Vec<(&'static str, u32, u32)> {
        let idle = |idle: usize| u32::try_from(idle).unwrap_or(u32::MAX);
        match self {
            Self::Sqlite { writer, readers } => vec![
                ("writer", writer.size(), idle(writer.num_idle())),
                ("readers", readers.size(), idle(readers.num_idle())),
            ],
            Self::Postgres { pool } => vec![("all", pool.size(), idle(pool.num_idle()))],
        }
    }

    pub(super) async fn close(&self) {
        match self {
            Self::Sqlite { writer, readers } => {
                readers.close().await;
                writer.close().await;
            }
            Self::Postgres { pool } => pool.close().await,
        }
    }
}

impl Writing {
    pub(super) fn place(&mut self) -> Place<'_> {
        match self {
            Self::Sqlite(tx) => Place::SqliteConnection(tx as &mut SqliteConnection),
            Self::Postgres(tx) => Place::PostgresConnection(tx as &mut PgConnection),
        }
    }

    pub(super) const fn dialect(&self) -> Dialect {
        match self {
            Self::Sqlite(_) => Dialect::Sqlite,
            Self::Postgres(_) => Dialect::Postgres,
        }
    }

    pub(super) async fn commit(self) -> Result<(), sqlx::Error> {
        match self {
            Self::Sqlite(tx) => Box::pin(tx.commit()).await,
            Self::Postgres(mut tx) => {
                // `COMMIT` after a failed statement rolls back and says nothing; any other statement says so.
                Box::pin(sqlx::raw_sql("SELECT 1").execute(&mut *tx)).await?;
                Box::pin(tx.commit()).await
            }
        }
    }

    pub(super) async fn roll_back(self) -> Result<(), sqlx::Error> {
        match self {
            Self::Sqlite(tx) => Box::pin(tx.rollback()).await,
            Self::Postgres(tx) => Box::pin(tx.rollback()).await,
        }
    }
}

fn is_postgres(url: &str) -> bool {
    url.starts_with("postgres://") || url.starts_with("postgresql://")
}

/// Reads the address and bounds what a statement may take: a lock that somebody keeps must not hang the house.
fn postgres_options(url: &str) -> Result<PgConnectOptions, StoreError> {
    let options = PgConnectOptions::from_str(url).map_err(|_| StoreError::Url(without_password(url)))?;
    Ok(options.application_name("hotline").options([
        ("statement_timeout", "30s"),
        ("lock_timeout", "10s"),
        ("idle_in_transaction_session_timeout", "60s"),
        ("timezone", "UTC"),
    ]))
}

fn describe(options: &PgConnectOptions) -> String {
    format!("{}:{}/{}", options.get_host(), options.get_port(), options.get_database().unwrap_or_default())
}

/// The address as it may be shown.
fn without_password(url: &str) -> String {
    match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, rest))) => format!("{scheme}://…@{rest}"),
        _ => url.to_owned(),
    }
}

/// The file that an address names.
fn file_of(url: &str) -> Result<PathBuf, StoreError> {
    match url.strip_prefix("sqlite://") {
        Some(path) if !path.is_empty() && !path.contains(['?', '#']) && path != ":memory:" => Ok(path.into()),
        _ => Err(StoreError::Url(without_password(url))),
    }
}

/// SQLite says "unable to open database file" for everything; this names the folder or file and the reason.
async fn prove_writable(file: &Path) -> Result<(), StoreError> {
    if let Some(folder) = file.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        tokio::fs::create_dir_all(folder)
            .await
            .map_err(|source| StoreError::Unwritable { path: folder.to_owned(), source })?;
    }
    tokio::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(file)
        .await
        .map_err(|source| StoreError::Unwritable { path: file.to_owned(), source })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_without_its_password() {
        assert_eq!(place("postgres://city:secret@db.example:5433/line").expect("an address"), "db.example:5433/line");
        assert_eq!(without_password("mysql://city:se@cret@db/line"), "mysql://…@db/line");
        assert_eq!(place("sqlite://var/hotline.db").expect("an address"), "var/hotline.db");
    }
}
