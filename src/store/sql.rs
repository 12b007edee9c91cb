//! One statement for every database: a text with `$1`, `$2` …, its values, and the place it runs at.
//!
//! sqlx types a statement by its database; here the choice is made when it runs, so that a story is written once.
//! Values are texts and whole numbers, as the tables hold nothing else (see `migrations`).

use std::borrow::Cow;

use futures::future::BoxFuture;
use sqlx::{
    AssertSqlSafe, FromRow, PgConnection, PgPool, Postgres, Sqlite, SqliteConnection, SqlitePool,
    postgres::PgRow,
    query::{Query, QueryAs},
    sqlite::SqliteRow,
};

/// Where a statement runs.
pub(super) enum Place<'c> {
    SqlitePool(&'c SqlitePool),
    SqliteConnection(&'c mut SqliteConnection),
    PostgresPool(&'c PgPool),
    PostgresConnection(&'c mut PgConnection),
}

/// What a statement carries.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Text(Option<String>),
    Number(Option<i64>),
}

/// A row of either database.
pub(super) trait AnyRow: for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin {}
impl<T: for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin> AnyRow for T {}

/// A statement with its values. What runs it is boxed: the futures of two drivers side by side would be kilobytes in every
/// caller's own.
#[must_use = "a statement does nothing until it runs"]
pub(super) struct Sql {
    text: Cow<'static, str>,
    values: Vec<Value>,
}

/// A statement that stands in the program.
pub(super) const fn sql(text: &'static str) -> Sql {
    Sql { text: Cow::Borrowed(text), values: Vec::new() }
}

/// A statement put together from pieces that stand in the program; what people write goes into its values alone. It is
/// planned each time for the values at hand.
pub(super) const fn built(text: String) -> Sql {
    Sql { text: Cow::Owned(text), values: Vec::new() }
}

/// The statement as sqlx wants it for one database.
macro_rules! bound {
    ($sql:expr, $query:path) => {{
        let stands = matches!($sql.text, Cow::Borrowed(_));
        let query = $query(AssertSqlSafe($sql.text)).persistent(stands);
        $sql.values.into_iter().fold(query, |query, value| match value {
            Value::Text(text) => query.bind(text),
            Value::Number(number) => query.bind(number),
        })
    }};
}

impl Sql {
    /// Gives the next `$n` its value.
    pub(super) fn bind(mut self, value: impl Into<Value>) -> Self {
        self.values.push(value.into());
        self
    }

    /// Runs it.
    ///
    /// * returns — how many rows it touched.
    pub(super) fn execute(self, place: Place<'_>) -> BoxFuture<'_, Result<u64, sqlx::Error>> {
        Box::pin(async move {
            Ok(match place {
                Place::SqlitePool(pool) => self.sqlite().execute(pool).await?.rows_affected(),
                Place::SqliteConnection(connection) => self.sqlite().execute(connection).await?.rows_affected(),
                Place::PostgresPool(pool) => self.postgres().execute(pool).await?.rows_affected(),
                Place::PostgresConnection(connection) => self.postgres().execute(connection).await?.rows_affected(),
            })
        })
    }

    /// All rows.
    pub(super) fn fetch_all<'c, T: AnyRow + 'c>(self, place: Place<'c>) -> BoxFuture<'c, Result<Vec<T>, sqlx::Error>> {
        Box::pin(async move {
            match place {
                Place::SqlitePool(pool) => self.sqlite_as().fetch_all(pool).await,
                Place::SqliteConnection(connection) => self.sqlite_as().fetch_all(connection).await,
                Place::PostgresPool(pool) => self.postgres_as().fetch_all(pool).await,
                Place::PostgresConnection(connection) => self.postgres_as().fetch_all(connection).await,
            }
        })
    }

    /// The row, if there is one.
    pub(super) fn fetch_optional<'c, T: AnyRow + 'c>(
        self,
        place: Place<'c>,
    ) -> BoxFuture<'c, Result<Option<T>, sqlx::Error>> {
        Box::pin(async move {
            match place {
                Place::SqlitePool(pool) => self.sqlite_as().fetch_optional(pool).await,
                Place::SqliteConnection(connection) => self.sqlite_as().fetch_optional(connection).await,
                Place::PostgresPool(pool) => self.postgres_as().fetch_optional(pool).await,
                Place::PostgresConnection(connection) => self.postgres_as().fetch_optional(connection).await,
            }
        })
    }

    /// The one row.
    pub(super) async fn fetch_one<T: AnyRow>(self, place: Place<'_>) -> Result<T, sqlx::Error> {
        self.fetch_optional(place).await?.ok_or(sqlx::Error::RowNotFound)
    }

    fn sqlite(self) -> Query<'static, Sqlite, <Sqlite as sqlx::Database>::Arguments> {
        bound!(self, sqlx::query)
    }

    fn postgres(self) -> Query<'static, Postgres, <Postgres as sqlx::Database>::Arguments> {
        bound!(self, sqlx::query)
    }

    fn sqlite_as<T: AnyRow>(self) -> QueryAs<'static, Sqlite, T, <Sqlite as sqlx::Database>::Arguments> {
        bound!(self, sqlx::query_as)
    }

    fn postgres_as<T: AnyRow>(self) -> QueryAs<'static, Postgres, T, <Postgres as sqlx::Database>::Arguments> {
        bound!(self, sqlx::query_as)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(Some(text.to_owned()))
    }
}

impl From<&String> for Value {
    fn from(text: &String) -> Self {
        Self::Text(Some(text.clone()))
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(Some(text))
    }
}

impl From<Option<String>> for Value {
    fn from(text: Option<String>) -> Self {
        Self::Text(text)
    }
}

impl From<&Option<String>> for Value {
    fn from(text: &Option<String>) -> Self {
        Self::Text(text.clone())
    }
}

impl From<Option<&str>> for Value {
    fn from(text: Option<&str>) -> Self {
        Self::Text(text.map(str::to_owned))
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Number(Some(number))
    }
}

impl From<Option<i64>> for Value {
    fn from(number: Option<i64>) -> Self {
        Self::Number(number)
    }
}
