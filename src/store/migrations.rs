//! Brings the tables up to date. Append-only: a published migration is never edited, only followed by another.

use sha2::{Digest, Sha256};

use super::{
    StoreError,
    database::{Database, Dialect, Writing},
    dump,
    sql::{Place, sql},
};
use crate::clock::Clock;

/// One step: the same tables, columns and indexes for both databases.
struct Migration {
    number: i64,
    sqlite: &'static str,
    postgres: &'static str,
}

macro_rules! migrations {
    ($($number:literal $name:literal)+) => {
        /// In order. Each number has a file in both folders.
        const ALL: &[Migration] = &[$(Migration {
            number: $number,
            sqlite: include_str!(concat!("migrations/sqlite/", $name, ".sql")),
            postgres: include_str!(concat!("migrations/postgres/", $name, ".sql")),
        }),+];
    };
}

migrations! {
    1 "0001_first"
    2 "0002_vault"
    3 "0003_people"
    4 "0004_audit"
    5 "0005_events"
    6 "0006_cases"
    7 "0007_calendar"
    8 "0008_forked"
    9 "0009_quality"
    10 "0010_seats"
    11 "0011_skills"
    12 "0012_rota"
}

/// The newest migration.
pub(super) const LATEST: i64 = ALL[ALL.len() - 1].number;

/// Key of the advisory lock under which PostgreSQL's tables are made: `hotline` in ASCII.
const LOCK: i64 = 0x0068_6f74_6c69_6e65;

impl Migration {
    const fn text(&self, dialect: Dialect) -> &'static str {
        match dialect {
            Dialect::Sqlite => self.sqlite,
            Dialect::Postgres => self.postgres,
        }
    }
}

/// Applies what is missing, all in one transaction: two processes that start together do it once.
///
/// * `place` — the database, for people.
/// * `until` — the last one to be applied; one after it that was applied already is an error.
pub(super) async fn run(database: &Database, place: &str, clock: &Clock, until: i64) -> Result<(), StoreError> {
    let what = StoreError::at("reading applied migrations");
    let mut tx = database.begin().await.map_err(&what)?;
    let dialect = tx.dialect();
    if dialect == Dialect::Postgres {
        sql("SELECT CAST(pg_advisory_xact_lock($1) AS TEXT)").bind(LOCK).execute(tx.place()).await.map_err(&what)?;
    }
    sql("CREATE TABLE IF NOT EXISTS migrations
            (number BIGINT NOT NULL PRIMARY KEY, sha256 TEXT NOT NULL, applied BIGINT NOT NULL)")
    .execute(tx.place())
    .await
    .map_err(&what)?;
    let applied: Vec<(i64, String)> =
        sql("SELECT number, sha256 FROM migrations ORDER BY number").fetch_all(tx.place()).await.map_err(&what)?;
    if let Some((found, _)) = applied.last().filter(|(number, _)| *number > until) {
        return Err(StoreError::Newer { place: place.to_owned(), found: *found, known: until });
    }
    for migration in ALL.iter().filter(|migration| migration.number <= until) {
        let (number, text) = (migration.number, migration.text(dialect));
        let sha256 = hex::encode(Sha256::digest(text));
        match applied.iter().find(|(applied, _)| *applied == number) {
            Some((_, applied)) if *applied == sha256 => {}
            Some(_) => return Err(StoreError::Edited { place: place.to_owned(), number }),
            None => {
                let failed = |source| StoreError::Migration { place: place.to_owned(), number, source };
                apply(&mut tx, text).await.map_err(failed)?;
                sql("INSERT INTO migrations (number, sha256, applied) VALUES ($1, $2, $3)")
                    .bind(number)
                    .bind(sha256)
                    .bind(clock.now().0)
                    .execute(tx.place())
                    .await
                    .map_err(failed)?;
            }
        }
    }
    tx.commit().await.map_err(what)
}

/// Whether this program knows the tables that are there, be they older or its own.
pub(super) async fn check(database: &Database, place: &str) -> Result<(), StoreError> {
    let what = StoreError::at("reading applied migrations");
    let mut tx = database.freeze().await.map_err(&what)?;
    if !dump::tables(&mut tx).await?.contains("migrations") {
        return Err(StoreError::Missing(place.to_owned()));
    }
    let found = applied(tx.place()).await.map_err(&what)?;
    tx.roll_back().await.map_err(what)?;
    if found > LATEST {
        return Err(StoreError::Newer { place: place.to_owned(), found, known: LATEST });
    }
    Ok(())
}

/// The number of the latest one that was applied.
pub(super) async fn applied(place: Place<'_>) -> Result<i64, sqlx::Error> {
    let latest = sql("SELECT CAST(COALESCE(MAX(number), 0) AS BIGINT) FROM migrations").fetch_one(place).await;
    latest.map(|(number,): (i64,)| number)
}

async fn apply(tx: &mut Writing, text: &'static str) -> Result<(), sqlx::Error> {
    match tx {
        Writing::Sqlite(tx) => sqlx::raw_sql(text).execute(&mut **tx).await.map(|_| ()),
        Writing::Postgres(tx) => sqlx::raw_sql(text).execute(&mut **tx).await.map(|_| ()),
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    use super::{super::testing::TestStore, *};

    /// Table, column, kind, whether it may be empty.
    type Column = (String, String, String, String);

    #[test]
    fn both_folders_hold_the_same_numbers_in_order() {
        let names = |folder: &str| -> BTreeSet<String> {
            let folder = Path::new("src/store/migrations").join(folder);
            let entries = fs::read_dir(folder).expect("the migrations' folder");
            entries.map(|entry| entry.expect("a file").file_name().to_string_lossy().into_owned()).collect()
        };
        let numbers: Vec<_> = names("sqlite").iter().map(|name| name[..4].parse::<i64>().expect("0001_…")).collect();
        assert_eq!(names("sqlite"), names("postgres"));
        assert_eq!(numbers, ALL.iter().map(|migration| migration.number).collect::<Vec<_>>());
        assert!(ALL.windows(2).all(|pair| pair[0].number < pair[1].number));
    }

    #[tokio::test]
    async fn both_databases_have_the_same_tables_columns_and_indexes() {
        let sqlite = TestStore::sqlite().await;
        let Some(postgres) = TestStore::postgres().await else { return };
        let columns: Vec<Column> =
            sql("SELECT m.name, c.name, lower(c.type), CASE WHEN c.\"notnull\" = 1 THEN 'NO' ELSE 'YES' END
             FROM sqlite_master m JOIN pragma_table_info(m.name) c WHERE m.type = 'table' ORDER BY 1, 2")
            .fetch_all(sqlite.store.readers())
            .await
            .expect("SQLite's columns");
        let others: Vec<Column> =
            sql("SELECT CAST(table_name AS TEXT), CAST(column_name AS TEXT), CAST(data_type AS TEXT),
                 CAST(is_nullable AS TEXT)
             FROM information_schema.columns WHERE table_schema = current_schema() ORDER BY 1, 2")
            .fetch_all(postgres.store.readers())
            .await
            .expect("PostgreSQL's columns");
        let shared = |rows: Vec<Column>| -> BTreeSet<_> {
            rows.into_iter().filter(|(table, ..)| !of_one_database(table)).collect()
        };
        let (columns, others) = (shared(columns), shared(others));
        assert!(columns.len() > 50, "{columns:?}");
        assert_eq!(columns.difference(&others).collect::<Vec<_>>(), others.difference(&columns).collect::<Vec<_>>());

        let indexes: Vec<(String,)> =
            sql("SELECT name FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL ORDER BY 1")
                .fetch_all(sqlite.store.readers())
                .await
                .expect("SQLite's indexes");
        let others: Vec<(String,)> =
            sql("SELECT CAST(indexname AS TEXT) FROM pg_indexes WHERE schemaname = current_schema()
                 AND indexname NOT LIKE '%_pkey' AND indexname NOT LIKE '%_key' ORDER BY 1")
            .fetch_all(postgres.store.readers())
            .await
            .expect("PostgreSQL's indexes");
        let named = |rows: Vec<(String,)>| -> BTreeSet<_> {
            rows.into_iter().map(|(name,)| name).filter(|name| !of_one_database(name)).collect()
        };
        assert_eq!(named(indexes), named(others));
    }

    /// What only one of them has: SQLite's own tables, and the words that cases are found by (see `cases`).
    fn of_one_database(name: &str) -> bool {
        name.starts_with("sqlite_") || name.starts_with("case_words")
    }
}
