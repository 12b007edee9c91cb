//! A database for one test.

use std::path::PathBuf;

use sqlx::Connection;
use tempfile::TempDir;

use super::{Store, sql::sql};
use crate::{clock::Clock, domain::time::UnixMs};

/// Monday 2026-11-23, 09:00 in the city.
pub(crate) const MONDAY_NINE: UnixMs = UnixMs(1_795_395_600_000);

/// Address of a PostgreSQL that tests may make schemas in; `./dev test` starts one of its own and sets this.
const POSTGRES: &str = "HOTLINE_TEST_POSTGRES";

/// A fresh database that goes away with the test (PostgreSQL's with its server).
pub(crate) struct TestStore {
    pub store: Store,
    pub clock: Clock,
    url: String,
    folder: TempDir,
}

impl TestStore {
    /// A SQLite file in a folder of its own; the clock stands at [`MONDAY_NINE`].
    pub(crate) async fn sqlite() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let url = format!("sqlite://{}", folder.path().join("hotline.db").display());
        Self::open(url, folder).await
    }

    /// A schema of its own; nothing where the machine has no PostgreSQL for tests.
    pub(crate) async fn postgres() -> Option<Self> {
        let url = schema().await?;
        Some(Self::open(url, tempfile::tempdir().expect("a folder")).await)
    }

    async fn open(url: String, folder: TempDir) -> Self {
        let clock = Clock::standing_at(MONDAY_NINE);
        let store = Store::open(&url, clock.clone()).await.expect("a fresh database");
        Self { store, clock, url, folder }
    }

    /// Runs a statement by hand, as somebody does who meddles with the database.
    pub(crate) async fn meddle(&self, statement: &'static str) {
        let mut tx = self.store.begin().await.expect("a writer");
        sql(statement).execute(tx.connection()).await.expect("meddled");
        tx.commit().await.expect("committed");
    }

    pub(crate) fn url(&self) -> String {
        self.url.clone()
    }

    /// Does what only an administrator of the database could: takes the triggers of tables away, then runs statements.
    pub(crate) async fn tamper(&self, tables: &[&str], statements: &str) {
        if self.url.starts_with("sqlite:") {
            let triggers = format!(
                "SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name IN ('{}')",
                tables.join("','")
            );
            let mut connection = sqlx::SqliteConnection::connect(&self.url).await.expect("the database");
            let names: Vec<(String,)> =
                sqlx::query_as(sqlx::AssertSqlSafe(triggers)).fetch_all(&mut connection).await.expect("triggers");
            let drops: Vec<_> = names.iter().map(|(name,)| format!("DROP TRIGGER {name};")).collect();
            let all = sqlx::AssertSqlSafe(drops.concat() + statements);
            sqlx::raw_sql(all).execute(&mut connection).await.expect("as an administrator may");
        } else {
            let drops: Vec<_> =
                tables.iter().map(|table| format!("ALTER TABLE {table} DISABLE TRIGGER ALL;")).collect();
            let mut connection = sqlx::PgConnection::connect(&self.url).await.expect("the database");
            let all = sqlx::AssertSqlSafe(drops.concat() + statements);
            sqlx::raw_sql(all).execute(&mut connection).await.expect("as an administrator may");
        }
    }

    /// The file, where it is SQLite's.
    pub(crate) fn file(&self) -> PathBuf {
        self.folder.path().join("hotline.db")
    }
}

/// Makes an empty schema.
///
/// * returns — the address of a database that has nothing but it; nothing without PostgreSQL.
pub(crate) async fn schema() -> Option<String> {
    let Ok(url) = std::env::var(POSTGRES) else {
        println!("not run: PostgreSQL; {POSTGRES} names none (`./dev test` starts one)");
        return None;
    };
    let name = format!("test_{}", Clock::system().uuid().simple());
    let mut connection = sqlx::PgConnection::connect(&url).await.expect("the tests' PostgreSQL");
    let make = sqlx::raw_sql(sqlx::AssertSqlSafe(format!("CREATE SCHEMA {name}")));
    make.execute(&mut connection).await.expect("a schema");
    let sign = if url.contains('?') { '&' } else { '?' };
    Some(format!("{url}{sign}options[search_path]={name}"))
}

/// Runs a story on every database there is.
macro_rules! on_every_database {
    ($($(#[$doc:meta])* async fn $name:ident($base:ident: $type:ty) $body:block)+) => {
        mod on_sqlite {
            $($(#[$doc])* #[tokio::test] async fn $name() { super::$name($crate::store::testing::TestStore::sqlite().await).await; })+
        }
        mod on_postgres {
            $($(#[$doc])* #[tokio::test] async fn $name() {
                if let Some(test) = $crate::store::testing::TestStore::postgres().await {
                    super::$name(test).await;
                }
            })+
        }
        $(async fn $name($base: $type) $body)+
    };
}
pub(crate) use on_every_database;
