//! What the database is tied to outside of it: its keys.

use super::{Store, StoreError, sql::sql};

impl Store {
    /// Ties the database to something, unless it is tied already.
    ///
    /// * returns — what it is tied to.
    pub async fn mark(&self, name: &'static str, value: &str) -> Result<String, StoreError> {
        let what = StoreError::at("reading what the database belongs to");
        let mut tx = self.begin().await?;
        sql("INSERT INTO marks (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING")
            .bind(name)
            .bind(value)
            .execute(tx.connection())
            .await
            .map_err(&what)?;
        let (known,): (String,) =
            sql("SELECT value FROM marks WHERE name = $1").bind(name).fetch_one(tx.connection()).await.map_err(what)?;
        tx.commit().await?;
        Ok(known)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{TestStore, on_every_database};

    on_every_database! {
        async fn a_database_belongs_to_the_first_that_marks_it(test: TestStore) {
            assert_eq!(test.store.mark("index_key", "ours").await.expect("marked"), "ours");
            assert_eq!(test.store.mark("index_key", "others").await.expect("a look"), "ours");
            assert_eq!(test.store.mark("another", "others").await.expect("marked"), "others");
        }
    }
}
