//! What can go wrong with rows.

use std::path::PathBuf;

/// Why the store could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error(
        "database.url: `{0}` is neither sqlite://FILE nor postgres://USER@HOST/DATABASE, for instance sqlite://var/hotline.db"
    )]
    Url(String),
    #[error("database: {path} cannot be written; check its owner and the disk, or set database.url")]
    Unwritable {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("database {place} cannot be opened; is it running, and is database.url right?")]
    Open {
        place: String,
        #[source]
        source: sqlx::Error,
    },
    #[error("database {place} has tables of version {found}, this program knows {known}; start a newer hotline")]
    Newer { place: String, found: i64, known: i64 },
    #[error("database {0} has no tables of a line; is database.url right?")]
    Missing(String),
    #[error(
        "database {0}: a restore into it did not finish; empty it, and the recordings and keys that came with it, and restore again"
    )]
    Unfinished(String),
    #[error("database {place}: migration {number} differs from the one that was applied; it was edited afterwards")]
    Edited { place: String, number: i64 },
    #[error("database {place}: migration {number} failed")]
    Migration {
        place: String,
        number: i64,
        #[source]
        source: sqlx::Error,
    },
    /// A row with the same unique value is there already.
    #[error("{what}: there is one already")]
    Duplicate { what: &'static str },
    #[error("database: {what} failed")]
    Sql {
        what: &'static str,
        #[source]
        source: sqlx::Error,
    },
    #[error("database: {what} holds `{value}`, which this program cannot read")]
    Unreadable { what: &'static str, value: String },
}

impl StoreError {
    /// Names what was being done; a violated unique key becomes [`StoreError::Duplicate`].
    pub(super) fn at(what: &'static str) -> impl Fn(sqlx::Error) -> Self {
        move |source| match &source {
            sqlx::Error::Database(error) if error.is_unique_violation() => Self::Duplicate { what },
            _ => Self::Sql { what, source },
        }
    }

    /// Whether trying again later may help: the database is away or busy, not the data wrong.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Sql { .. } | Self::Open { .. })
    }
}
