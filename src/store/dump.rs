//! Everything as of one moment, table by table, in a form that both databases write and read: a row is a JSON array of
//! texts, whole numbers and nulls, as the tables hold nothing else.
//!
//! Which columns there are is asked of the database itself, so a new column is never forgotten; a new table has to be named
//! in [`TABLES`], and a test says so.

use std::collections::BTreeSet;

use futures::{StreamExt, stream::BoxStream};
use serde::{Deserialize, Serialize};
use sqlx::{AssertSqlSafe, FromRow};

use super::{
    Store, StoreError, Tx,
    codec::unsigned,
    database::{Database, Dialect, Writing},
    migrations,
    sql::{Place, Value, built, sql},
};

/// Rows that have no place in a backup are left: what only one database has, or what must not come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Kept,
    /// Made anew from what is kept, by the program or its migrations.
    Derived,
    /// Log-ins and sign-ins at seats end, and screens that follow along begin anew: an old place in the stream would name other events.
    Dropped,
}

/// All tables, each after those that it refers to.
const TABLES: &[(&str, Fate)] = &[
    ("migrations", Fate::Derived),
    ("cases", Fate::Kept),
    ("case_units", Fate::Kept),
    ("case_events", Fate::Kept),
    ("case_numbers", Fate::Kept),
    ("calls", Fate::Kept),
    ("transcripts", Fate::Kept),
    ("callbacks", Fate::Kept),
    ("users", Fate::Kept),
    ("user_roles", Fate::Kept),
    ("seats", Fate::Kept),
    ("rota", Fate::Kept),
    ("sign_ins", Fate::Dropped),
    ("tokens", Fate::Kept),
    ("passwords", Fate::Kept),
    ("sessions", Fate::Dropped),
    ("failures", Fate::Kept),
    ("totp_recoveries", Fate::Kept),
    ("marks", Fate::Kept),
    ("audit", Fate::Kept),
    ("audit_head", Fate::Kept),
    ("audit_exports", Fate::Kept),
    ("jobs", Fate::Kept),
    ("idempotency", Fate::Kept),
    ("stream_events", Fate::Dropped),
    ("stream_head", Fate::Dropped),
    ("corrections", Fate::Kept),
    ("calendar_years", Fate::Kept),
];

/// Its one row is there from the beginning.
const WITH_FIRST_ROW: &str = "audit_head";
/// Is there while a backup is put in.
const RESTORING: &str = "restoring";
/// Values in one statement. SQLite looks each one up among all others: with 8,000 of them a restore takes seven times as long.
const MOST_VALUES: usize = 1_000;

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ColumnKind {
    Text,
    Number,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    pub name: String,
    pub kind: ColumnKind,
}

/// A table that is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableForm {
    pub name: String,
    pub columns: Vec<Column>,
    pub rows: u64,
}

/// The database as it stood at one moment, whatever is written meanwhile.
#[derive(Debug)]
pub struct Frozen {
    inner: Writing,
    /// The latest migration.
    pub schema: i64,
    /// In an order in which they can be filled.
    pub tables: Vec<TableForm>,
}

impl Store {
    /// Holds the present moment to be read.
    ///
    /// On both databases it is one reading transaction: SQLite's write-ahead log and PostgreSQL's row versions keep the moment
    /// while others write, and no second copy of the database is needed.
    pub async fn freeze(&self) -> Result<Frozen, StoreError> {
        let what = StoreError::at("holding the present moment for a backup");
        let mut inner = self.0.database.freeze().await.map_err(&what)?;
        let schema = migrations::applied(inner.place()).await.map_err(&what)?;
        // Tables of other programs beside ours are theirs to keep.
        let there = tables(&mut inner).await?;
        let mut kept = Vec::new();
        for (name, _) in TABLES.iter().filter(|(name, fate)| *fate == Fate::Kept && there.contains(*name)) {
            let columns = columns(&mut inner, name).await?;
            let rows = count(name, inner.place()).await?;
            kept.push(TableForm { name: (*name).to_owned(), columns, rows });
        }
        Ok(Frozen { inner, schema, tables: kept })
    }

    /// The first table that holds something, and how many rows; nothing where a backup can be put in.
    pub async fn occupied(&self) -> Result<Option<(&'static str, u64)>, StoreError> {
        let mut tx = self.begin().await?;
        let there = tables(&mut tx.inner).await?;
        for (name, _) in TABLES.iter().filter(|(name, fate)| *fate == Fate::Kept && there.contains(*name)) {
            let rows = match *name {
                WITH_FIRST_ROW => 0,
                name => count(name, tx.connection()).await?,
            };
            if rows > 0 {
                return Ok(Some((name, rows)));
            }
        }
        tx.roll_back().await?;
        Ok(None)
    }

    /// The number of the latest migration that was applied.
    pub async fn schema(&self) -> Result<i64, StoreError> {
        migrations::applied(self.readers()).await.map_err(StoreError::at("reading applied migrations"))
    }

    /// From here on nobody opens the database, until [`Tx::end_restoring`] is committed: a restore that was cut short must
    /// not look like a line.
    pub async fn begin_restoring(&self) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        let made = sql("CREATE TABLE restoring (id BIGINT NOT NULL PRIMARY KEY)").execute(tx.connection()).await;
        made.map_err(StoreError::at("beginning to restore"))?;
        tx.commit().await
    }
}

/// Refuses a database into which a restore has begun and not ended.
pub(super) async fn refuse_unfinished(database: &Database, place: &str) -> Result<(), StoreError> {
    let what = StoreError::at("looking for an unfinished restore");
    let mut look = database.freeze().await.map_err(&what)?;
    let unfinished = tables(&mut look).await?.contains(RESTORING);
    look.roll_back().await.map_err(what)?;
    if unfinished { Err(StoreError::Unfinished(place.to_owned())) } else { Ok(()) }
}

impl Frozen {
    /// All rows of a table, each as a JSON array in the order of its columns.
    pub fn rows<'a>(&'a mut self, table: &TableForm) -> BoxStream<'a, Result<String, StoreError>> {
        let names: Vec<_> = table.columns.iter().map(|column| quoted(&column.name)).collect();
        self.stream(&names, &quoted(&table.name), "")
    }

    /// Sealed recordings: call, key, SHA-256, samples.
    pub fn recordings(&mut self) -> BoxStream<'_, Result<String, StoreError>> {
        let names = ["id", "recording_key", "sha256", "samples"].map(quoted);
        self.stream(&names, "calls", "WHERE recording_key IS NOT NULL AND recording_state = 'sealed'")
    }

    fn stream(&mut self, names: &[String], table: &str, which: &str) -> BoxStream<'_, Result<String, StoreError>> {
        let (order, names) = (names.first().cloned().unwrap_or_default(), names.join(", "));
        let failed = StoreError::at("reading a table for a backup");
        // Names stand in the program or come from the database's own list of columns.
        match &mut self.inner {
            Writing::Sqlite(tx) => {
                let text = format!("SELECT json_array({names}) FROM {table} {which} ORDER BY {order}");
                let rows = sqlx::query_scalar::<_, String>(AssertSqlSafe(text)).fetch(&mut **tx);
                rows.map(move |row| row.map_err(&failed)).boxed()
            }
            Writing::Postgres(tx) => {
                let text =
                    format!("SELECT CAST(json_build_array({names}) AS TEXT) FROM {table} {which} ORDER BY {order}");
                let rows = sqlx::query_scalar::<_, String>(AssertSqlSafe(text)).fetch(&mut **tx);
                rows.map(move |row| row.map_err(&failed)).boxed()
            }
        }
    }

    /// Lets the moment go.
    pub async fn thaw(self) -> Result<(), StoreError> {
        self.inner.roll_back().await.map_err(StoreError::at("ending to read for a backup"))
    }
}

impl Tx {
    /// Whether a table of a backup fits this database, and how it is filled.
    ///
    /// # Errors
    /// A table or column that is not here, or one that is missing there.
    pub async fn fits(&mut self, table: &TableForm) -> Result<Filling, StoreError> {
        let unknown = |value: String| StoreError::Unreadable { what: "a backup", value };
        let known = TABLES.iter().find(|(name, fate)| *name == table.name && *fate == Fate::Kept);
        let (name, _) = known.ok_or_else(|| unknown(format!("table {}", table.name)))?;
        let ours = columns(&mut self.inner, name).await?;
        let sorted = |columns: &[Column]| -> BTreeSet<_> {
            columns.iter().map(|column| (column.name.clone(), column.kind == ColumnKind::Text)).collect()
        };
        if sorted(&ours) != sorted(&table.columns) || ours.len() != table.columns.len() {
            return Err(unknown(format!("columns of table {name}")));
        }
        if *name == WITH_FIRST_ROW {
            let gone = sql("DELETE FROM audit_head").execute(self.connection()).await;
            gone.map_err(StoreError::at("filling a table from a backup"))?;
        }
        Ok(Filling { table: name, columns: table.columns.clone() })
    }

    /// Adds rows to a table.
    pub async fn fill(&mut self, into: &Filling, rows: Vec<Vec<serde_json::Value>>) -> Result<(), StoreError> {
        let names: Vec<_> = into.columns.iter().map(|column| quoted(&column.name)).collect();
        let at_once = (MOST_VALUES / names.len().max(1)).max(1);
        let mut rows = rows.into_iter().peekable();
        while rows.peek().is_some() {
            let batch: Vec<_> = rows.by_ref().take(at_once).collect();
            let mut next = 0;
            let places: Vec<_> = batch
                .iter()
                .map(|_| {
                    let row: Vec<_> = names
                        .iter()
                        .map(|_| {
                            next += 1;
                            format!("${next}")
                        })
                        .collect();
                    format!("({})", row.join(", "))
                })
                .collect();
            let text =
                format!("INSERT INTO {} ({}) VALUES {}", quoted(into.table), names.join(", "), places.join(", "));
            let mut statement = built(text);
            for row in batch {
                for value in into.values(row)? {
                    statement = statement.bind(value);
                }
            }
            let done = statement.execute(self.connection()).await;
            done.map_err(StoreError::at("filling a table from a backup"))?;
        }
        Ok(())
    }

    /// Rows of a table that was filled.
    pub async fn filled(&mut self, table: &Filling) -> Result<u64, StoreError> {
        count(table.table, self.connection()).await
    }

    /// The restore is whole once this is committed.
    pub async fn end_restoring(&mut self) -> Result<(), StoreError> {
        let gone = sql("DROP TABLE restoring").execute(self.connection()).await;
        gone.map(drop).map_err(StoreError::at("ending to restore"))
    }
}

/// A table that takes rows of a backup.
#[derive(Clone, Debug)]
pub struct Filling {
    table: &'static str,
    columns: Vec<Column>,
}

impl Filling {
    fn values(&self, row: Vec<serde_json::Value>) -> Result<Vec<Value>, StoreError> {
        use serde_json::Value as Json;
        let wrong = || StoreError::Unreadable { what: "a backup", value: format!("a row of table {}", self.table) };
        if row.len() != self.columns.len() {
            return Err(wrong());
        }
        let value = |(value, column): (Json, &Column)| match (value, column.kind) {
            (Json::Null, ColumnKind::Text) => Ok(Value::Text(None)),
            (Json::Null, ColumnKind::Number) => Ok(Value::Number(None)),
            (Json::String(text), ColumnKind::Text) => Ok(Value::Text(Some(text))),
            (Json::Number(number), ColumnKind::Number) => {
                number.as_i64().map(|number| Value::Number(Some(number))).ok_or_else(wrong)
            }
            _ => Err(wrong()),
        };
        row.into_iter().zip(&self.columns).map(value).collect()
    }
}

pub(super) async fn tables(inner: &mut Writing) -> Result<BTreeSet<String>, StoreError> {
    let statement = match inner.dialect() {
        Dialect::Sqlite => "SELECT name FROM sqlite_master WHERE type = 'table'",
        Dialect::Postgres => {
            "SELECT CAST(table_name AS TEXT) FROM information_schema.tables WHERE table_schema = current_schema()"
        }
    };
    let names: Vec<(String,)> =
        sql(statement).fetch_all(inner.place()).await.map_err(StoreError::at("listing tables"))?;
    Ok(names.into_iter().map(|(name,)| name).collect())
}

async fn columns(inner: &mut Writing, table: &str) -> Result<Vec<Column>, StoreError> {
    #[derive(FromRow)]
    struct Row {
        name: String,
        kind: String,
    }
    let statement = match inner.dialect() {
        Dialect::Sqlite => "SELECT name, lower(type) AS kind FROM pragma_table_info($1) ORDER BY cid",
        Dialect::Postgres => {
            "SELECT CAST(column_name AS TEXT) AS name, CAST(data_type AS TEXT) AS kind FROM information_schema.columns
             WHERE table_schema = current_schema() AND table_name = $1 ORDER BY ordinal_position"
        }
    };
    let rows: Vec<Row> =
        sql(statement).bind(table).fetch_all(inner.place()).await.map_err(StoreError::at("listing columns"))?;
    let column = |Row { name, kind }: Row| match kind.as_str() {
        "text" => Ok(Column { name, kind: ColumnKind::Text }),
        "bigint" => Ok(Column { name, kind: ColumnKind::Number }),
        _ => Err(StoreError::Unreadable { what: "a column's kind", value: kind }),
    };
    rows.into_iter().map(column).collect()
}

async fn count(table: &str, place: Place<'_>) -> Result<u64, StoreError> {
    let counted = built(format!("SELECT CAST(COUNT(*) AS BIGINT) FROM {}", quoted(table))).fetch_one(place).await;
    let (rows,): (i64,) = counted.map_err(StoreError::at("counting rows"))?;
    Ok(unsigned(rows))
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', ""))
}

#[cfg(test)]
mod tests {
    use super::{
        super::testing::{TestStore, on_every_database},
        *,
    };

    fn is_named(table: &str) -> bool {
        // What SQLite keeps for itself, and the search index with SQLite's tables below it.
        let derived = table.starts_with("sqlite_") || table.starts_with("case_words");
        derived || TABLES.iter().any(|(name, _)| *name == table)
    }

    on_every_database! {
        async fn every_table_is_kept_derived_or_dropped_and_a_new_one_is_noticed(test: TestStore) {
            let mut look = test.store.0.database.freeze().await.expect("a moment");
            let there = tables(&mut look).await.expect("tables");
            let strangers: Vec<_> = there.iter().filter(|name| !is_named(name)).collect();
            assert!(strangers.is_empty(), "name them in TABLES, or no backup has them: {strangers:?}");
            let gone: Vec<_> = TABLES.iter().filter(|(name, _)| !there.contains(*name)).collect();
            assert!(gone.is_empty(), "{gone:?}");
            assert!(!is_named("a_new_table"));
            let left: Vec<_> = TABLES.iter().filter(|(_, fate)| *fate != Fate::Kept).map(|(name, _)| *name).collect();
            let known = ["migrations", "sign_ins", "sessions", "stream_events", "stream_head"];
            assert_eq!(left, known, "nothing else may be lost");
        }

        async fn a_database_with_an_unfinished_restore_is_opened_by_nobody(test: TestStore) {
            test.store.begin_restoring().await.expect("begun");
            let (url, clock) = (test.url(), test.clock.clone());
            let unfinished = |opened: Result<Store, StoreError>| matches!(opened, Err(StoreError::Unfinished(_)));
            assert!(unfinished(Store::open(&url, clock.clone()).await));
            assert!(unfinished(Store::open_until(&url, clock.clone(), Store::LATEST).await));
            assert!(unfinished(Store::open_as_it_is(&url, clock.clone()).await));

            let mut tx = test.store.begin().await.expect("a writer");
            tx.end_restoring().await.expect("ended");
            tx.commit().await.expect("committed");
            Store::open(&url, clock).await.expect("a database like any other");
        }
    }
}
