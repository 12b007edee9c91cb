//! Brings the tables up to date. Append-only: a published migration is never edited, only followed by another.

use std::path::Path;

use sha2::{Digest, Sha256};
use sqlx::SqlitePool;

use super::StoreError;
use crate::clock::Clock;

/// Number and text, in order. A second database gets a folder beside this one with the same numbers.
const SQLITE: &[(i64, &str)] = &[(1, include_str!("migrations/sqlite/0001_first.sql"))];

/// Applies what is missing, all in one transaction: two processes that start together do it once.
pub(super) async fn run(writer: &SqlitePool, file: &Path, clock: &Clock) -> Result<(), StoreError> {
    let what = StoreError::at("reading applied migrations");
    let mut tx = writer.begin_with("BEGIN IMMEDIATE").await.map_err(&what)?;
    sqlx::query(
        "CREATE TABLE IF NOT EXISTS migrations (number BIGINT NOT NULL PRIMARY KEY, sha256 TEXT NOT NULL, applied BIGINT NOT NULL)",
    )
    .execute(&mut *tx)
    .await
    .map_err(&what)?;
    let applied: Vec<(i64, String)> = sqlx::query_as("SELECT number, sha256 FROM migrations ORDER BY number")
        .fetch_all(&mut *tx)
        .await
        .map_err(&what)?;
    let known = SQLITE.last().map_or(0, |(number, _)| *number);
    if let Some((found, _)) = applied.last().filter(|(number, _)| *number > known) {
        return Err(StoreError::Newer { file: file.to_owned(), found: *found, known });
    }
    for (number, text) in SQLITE {
        let number = *number;
        let sha256 = hex::encode(Sha256::digest(text));
        match applied.iter().find(|(applied, _)| *applied == number) {
            Some((_, applied)) if *applied == sha256 => {}
            Some(_) => return Err(StoreError::Edited { file: file.to_owned(), number }),
            None => {
                let failed = |source| StoreError::Migration { file: file.to_owned(), number, source };
                sqlx::raw_sql(*text).execute(&mut *tx).await.map_err(failed)?;
                sqlx::query("INSERT INTO migrations (number, sha256, applied) VALUES ($1, $2, $3)")
                    .bind(number)
                    .bind(sha256)
                    .bind(clock.now().0)
                    .execute(&mut *tx)
                    .await
                    .map_err(failed)?;
            }
        }
    }
    tx.commit().await.map_err(what)
}
