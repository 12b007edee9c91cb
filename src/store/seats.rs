//! Seats: the operators' telephones, each with what it shows when it registers.

use sqlx::FromRow;

use super::{Store, StoreError, Tx, codec::maybe_id, sql::sql};
use crate::{
    domain::{ids::UserId, time::UnixMs},
    telemetry::Private,
};

const AT: &str = "seats";

/// One seat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeatRow {
    /// `8001`.
    pub extension: String,
    /// Whose it is; nothing: a telephone that belongs to nobody in particular.
    pub user: Option<UserId>,
    /// HA1 by MD5, sealed.
    pub ha1_md5: Private<String>,
    /// HA1 by SHA-256, sealed.
    pub ha1_sha256: Private<String>,
    pub created: UnixMs,
    /// When the secret was made.
    pub changed: UnixMs,
}

impl Tx {
    /// Adds a seat, or gives the one of this extension to another person and with another secret.
    pub async fn put_seat(&mut self, seat: &SeatRow) -> Result<(), StoreError> {
        sql("INSERT INTO seats (extension, user_id, ha1_md5, ha1_sha256, created, changed)
             VALUES ($1, $2, $3, $4, $5, $6)
             ON CONFLICT (extension) DO UPDATE SET user_id = excluded.user_id, ha1_md5 = excluded.ha1_md5,
                ha1_sha256 = excluded.ha1_sha256, changed = excluded.changed")
        .bind(&seat.extension)
        .bind(seat.user.map(|user| user.to_string()))
        .bind(seat.ha1_md5.reveal())
        .bind(seat.ha1_sha256.reveal())
        .bind(seat.created.0)
        .bind(seat.changed.0)
        .execute(self.connection())
        .await
        .map_err(StoreError::at("keeping a seat"))?;
        Ok(())
    }

    /// Takes a person's seats away: the extension is another's from now on, or nobody's.
    pub async fn remove_seats(&mut self, user: UserId) -> Result<(), StoreError> {
        sql("DELETE FROM seats WHERE user_id = $1")
            .bind(user.to_string())
            .execute(self.connection())
            .await
            .map_err(StoreError::at("removing a seat"))?;
        Ok(())
    }
}

impl Store {
    /// The seat of an extension, if a telephone may register for it: not while its person's account is closed.
    pub async fn open_seat(&self, extension: &str) -> Result<Option<SeatRow>, StoreError> {
        let row: Option<Row> =
            sql("SELECT seats.extension, seats.user_id, seats.ha1_md5, seats.ha1_sha256, seats.created,
                seats.changed FROM seats LEFT JOIN users ON users.id = seats.user_id
             WHERE seats.extension = $1 AND (seats.user_id IS NULL OR users.disabled = 0)")
            .bind(extension)
            .fetch_optional(self.readers())
            .await
            .map_err(StoreError::at("reading a seat"))?;
        row.map(seat).transpose()
    }
}

fn seat(row: Row) -> Result<SeatRow, StoreError> {
    Ok(SeatRow {
        extension: row.extension,
        user: maybe_id(AT, row.user_id.as_deref())?,
        ha1_md5: Private(row.ha1_md5),
        ha1_sha256: Private(row.ha1_sha256),
        created: UnixMs(row.created),
        changed: UnixMs(row.changed),
    })
}

#[derive(FromRow)]
struct Row {
    extension: String,
    user_id: Option<String>,
    ha1_md5: String,
    ha1_sha256: String,
    created: i64,
    changed: i64,
}

#[cfg(test)]
mod tests {
    use super::{
        super::testing::{MONDAY_NINE, TestStore, on_every_database},
        *,
    };
    use crate::store::UserRow;

    fn li(test: &TestStore) -> UserRow {
        UserRow {
            id: UserId::new(test.clock.uuid()),
            name: "li".into(),
            roles: Vec::new(),
            unit: None,
            extension: Some("8001".into()),
            skills: vec!["聊城话".into()],
            password: None,
            password_set: None,
            one_time: false,
            totp: false,
            disabled: false,
            version: 1,
            created: MONDAY_NINE,
        }
    }

    fn seat_of(user: Option<UserId>) -> SeatRow {
        SeatRow {
            extension: "8001".into(),
            user,
            ha1_md5: Private("aa".into()),
            ha1_sha256: Private("bb".into()),
            created: MONDAY_NINE,
            changed: MONDAY_NINE,
        }
    }

    on_every_database! {
        async fn a_seat_is_kept_and_another_secret_takes_the_place_of_the_one_before(test: TestStore) {
            let (first, later) = (seat_of(None), UnixMs(MONDAY_NINE.0 + 1));
            let second = SeatRow { ha1_md5: Private("cc".into()), created: later, changed: later, ..first.clone() };
            let mut tx = test.store.begin().await.expect("a writer");
            tx.put_seat(&first).await.expect("kept");
            tx.commit().await.expect("committed");
            assert_eq!(test.store.open_seat("8001").await.expect("a look"), Some(first.clone()));
            assert_eq!(test.store.open_seat("8002").await.expect("a look"), None);

            let mut tx = test.store.begin().await.expect("a writer");
            tx.put_seat(&second).await.expect("kept");
            tx.commit().await.expect("committed");
            let kept = SeatRow { created: first.created, ..second };
            assert_eq!(test.store.open_seat("8001").await.expect("a look"), Some(kept));
        }

        async fn the_seat_of_a_closed_account_is_not_open(test: TestStore) {
            let mut li = li(&test);
            let mut tx = test.store.begin().await.expect("a writer");
            tx.add_user(&li).await.expect("added");
            tx.put_seat(&seat_of(Some(li.id))).await.expect("kept");
            tx.commit().await.expect("committed");
            assert!(test.store.open_seat("8001").await.expect("a look").is_some());

            li.disabled = true;
            let mut tx = test.store.begin().await.expect("a writer");
            assert!(tx.update_user(&li, 1).await.expect("closed"));
            tx.commit().await.expect("committed");
            assert_eq!(test.store.open_seat("8001").await.expect("a look"), None);
        }

        async fn a_person_s_seats_can_be_taken_away_and_nobody_else_s(test: TestStore) {
            let li = li(&test);
            let nobody_s = SeatRow { extension: "8002".into(), ..seat_of(None) };
            let mut tx = test.store.begin().await.expect("a writer");
            tx.add_user(&li).await.expect("added");
            tx.put_seat(&seat_of(Some(li.id))).await.expect("kept");
            tx.put_seat(&nobody_s).await.expect("kept");
            tx.remove_seats(li.id).await.expect("removed");
            tx.commit().await.expect("committed");
            assert_eq!(test.store.open_seat("8001").await.expect("a look"), None);
            assert_eq!(test.store.open_seat("8002").await.expect("a look"), Some(nobody_s));
        }
    }
}
