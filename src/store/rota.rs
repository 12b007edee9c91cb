//! Officials' turns on the lines, and at which seats they sit.

use sqlx::FromRow;
use uuid::Uuid;

use super::{
    Store, StoreError, Tx,
    codec::{from_json, id, json},
    sql::sql,
};
use crate::domain::{
    ids::UserId,
    seat::{DeskId, SeatId},
    time::UnixMs,
};

const AT: &str = "rota";
/// Turns given at once; a year has fewer.
const MOST: i64 = 2_000;

/// One turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TurnRow {
    pub id: Uuid,
    pub user: UserId,
    /// Of the account.
    pub name: String,
    pub unit: Option<String>,
    /// As it is announced: 副市长.
    pub rank: String,
    pub starts: UnixMs,
    /// The first moment that is no longer theirs.
    pub ends: UnixMs,
    /// Nothing: all desks.
    pub desk: Option<DeskId>,
    /// As announced.
    pub topics: Vec<String>,
}

/// An official at a seat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignIn {
    pub seat: SeatId,
    pub user: UserId,
    pub name: String,
}

impl Tx {
    /// Puts these turns in the place of those that begin in a stretch of time.
    ///
    /// * `from`, `to` — milliseconds; `to` is not part of it.
    pub async fn set_turns(&mut self, from: UnixMs, to: UnixMs, turns: &[TurnRow]) -> Result<(), StoreError> {
        sql("DELETE FROM rota WHERE starts >= $1 AND starts < $2")
            .bind(from.0)
            .bind(to.0)
            .execute(self.connection())
            .await
            .map_err(StoreError::at("taking turns away"))?;
        for turn in turns {
            sql("INSERT INTO rota (id, user_id, rank, starts, ends, desk, topics) VALUES ($1, $2, $3, $4, $5, $6, $7)")
                .bind(turn.id.to_string())
                .bind(turn.user.to_string())
                .bind(&turn.rank)
                .bind(turn.starts.0)
                .bind(turn.ends.0)
                .bind(turn.desk.as_ref().map(ToString::to_string))
                .bind(json(&turn.topics))
                .execute(self.connection())
                .await
                .map_err(StoreError::at("adding a turn"))?;
        }
        Ok(())
    }

    /// Somebody sits down at a seat; whoever sat there, and wherever they sat, is over.
    pub async fn sign_in(&mut self, seat: &SeatId, user: UserId) -> Result<(), StoreError> {
        let now = self.now();
        sql("DELETE FROM sign_ins WHERE seat = $1 OR user_id = $2")
            .bind(seat.as_str())
            .bind(user.to_string())
            .execute(self.connection())
            .await
            .map_err(StoreError::at("freeing a seat"))?;
        sql("INSERT INTO sign_ins (seat, user_id, since) VALUES ($1, $2, $3)")
            .bind(seat.as_str())
            .bind(user.to_string())
            .bind(now.0)
            .execute(self.connection())
            .await
            .map_err(StoreError::at("signing in at a seat"))?;
        Ok(())
    }

    /// Somebody leaves the seat.
    ///
    /// * returns — whether they sat there.
    pub async fn sign_out(&mut self, seat: &SeatId, user: UserId) -> Result<bool, StoreError> {
        let gone = sql("DELETE FROM sign_ins WHERE seat = $1 AND user_id = $2")
            .bind(seat.as_str())
            .bind(user.to_string())
            .execute(self.connection())
            .await
            .map_err(StoreError::at("signing out"))?;
        Ok(gone > 0)
    }
}

impl Store {
    /// Turns that begin in a stretch of time, in order.
    pub async fn turns(&self, from: UnixMs, to: UnixMs) -> Result<Vec<TurnRow>, StoreError> {
        let rows: Vec<Row> =
            sql("SELECT rota.id, rota.user_id, users.name, users.unit, rota.rank, rota.starts, rota.ends,
                rota.desk, rota.topics FROM rota JOIN users ON users.id = rota.user_id
             WHERE rota.starts >= $1 AND rota.starts < $2 ORDER BY rota.starts, rota.id LIMIT $3")
            .bind(from.0)
            .bind(to.0)
            .bind(MOST)
            .fetch_all(self.readers())
            .await
            .map_err(StoreError::at("reading the rota"))?;
        rows.into_iter().map(turn).collect()
    }

    /// Who sits where.
    pub async fn signed_in(&self) -> Result<Vec<SignIn>, StoreError> {
        let rows: Vec<(String, String, String)> =
            sql("SELECT sign_ins.seat, sign_ins.user_id, users.name FROM sign_ins
             JOIN users ON users.id = sign_ins.user_id ORDER BY sign_ins.seat")
            .fetch_all(self.readers())
            .await
            .map_err(StoreError::at("reading who sits where"))?;
        let read = |(seat, user, name): (String, String, String)| {
            Ok(SignIn { seat: seat.as_str().into(), user: id(AT, &user)?, name })
        };
        rows.into_iter().map(read).collect()
    }

    /// The seats of the officials whose turn it is, each with the desk of the turn.
    pub async fn seats_on_turn(&self, now: UnixMs) -> Result<Vec<(SeatId, Option<DeskId>)>, StoreError> {
        let rows: Vec<(String, Option<String>)> = sql("SELECT sign_ins.seat, rota.desk FROM sign_ins
             JOIN rota ON rota.user_id = sign_ins.user_id WHERE rota.starts <= $1 AND rota.ends > $1
             ORDER BY rota.starts, rota.id")
        .bind(now.0)
        .fetch_all(self.readers())
        .await
        .map_err(StoreError::at("reading whose turn it is"))?;
        Ok(rows.into_iter().map(|(seat, desk)| (seat.as_str().into(), desk.map(|desk| desk.as_str().into()))).collect())
    }
}

fn turn(row: Row) -> Result<TurnRow, StoreError> {
    Ok(TurnRow {
        id: id(AT, &row.id)?,
        user: id(AT, &row.user_id)?,
        name: row.name,
        unit: row.unit,
        rank: row.rank,
        starts: UnixMs(row.starts),
        ends: UnixMs(row.ends),
        desk: row.desk.map(|desk| desk.as_str().into()),
        topics: from_json(AT, &row.topics)?,
    })
}

#[derive(FromRow)]
struct Row {
    id: String,
    user_id: String,
    name: String,
    unit: Option<String>,
    rank: String,
    starts: i64,
    ends: i64,
    desk: Option<String>,
    topics: String,
}

#[cfg(test)]
mod tests {
    use super::{
        super::testing::{MONDAY_NINE, TestStore, on_every_database},
        *,
    };
    use crate::store::UserRow;

    const HOUR: i64 = 3_600_000;

    async fn official(test: &TestStore, name: &str) -> UserId {
        let user = UserRow {
            id: UserId::new(test.clock.uuid()),
            name: name.into(),
            roles: Vec::new(),
            unit: Some("WATER".into()),
            extension: None,
            skills: Vec::new(),
            password: None,
            password_set: None,
            one_time: false,
            totp: false,
            disabled: false,
            version: 1,
            created: MONDAY_NINE,
        };
        let mut tx = test.store.begin().await.expect("a writer");
        tx.add_user(&user).await.expect("added");
        tx.commit().await.expect("committed");
        user.id
    }

    fn turn(test: &TestStore, user: UserId, hours: (i64, i64), desk: Option<&str>) -> TurnRow {
        TurnRow {
            id: test.clock.uuid(),
            user,
            name: "wang".into(),
            unit: Some("WATER".into()),
            rank: "副市长".into(),
            starts: UnixMs(MONDAY_NINE.0 + hours.0 * HOUR),
            ends: UnixMs(MONDAY_NINE.0 + hours.1 * HOUR),
            desk: desk.map(DeskId::from),
            topics: vec!["供热".into()],
        }
    }

    on_every_database! {
        async fn a_day_of_the_rota_is_put_in_the_place_of_the_one_before(test: TestStore) {
            let user = official(&test, "wang").await;
            let (day, later) = (turn(&test, user, (0, 2), Some("main")), turn(&test, user, (30, 31), None));
            let whole = (MONDAY_NINE, UnixMs(MONDAY_NINE.0 + 48 * HOUR));
            let set = async |to: i64, turns: &[TurnRow]| {
                let mut tx = test.store.begin().await.expect("a writer");
                tx.set_turns(MONDAY_NINE, UnixMs(MONDAY_NINE.0 + to * HOUR), turns).await.expect("set");
                tx.commit().await.expect("committed");
            };
            set(48, &[day, later.clone()]).await;
            let other = turn(&test, user, (4, 5), None);
            set(24, std::slice::from_ref(&other)).await;
            assert_eq!(test.store.turns(whole.0, whole.1).await.expect("a look"), [other, later]);
        }

        async fn whose_turn_it_is_depends_on_the_hour_and_on_where_they_sit(test: TestStore) {
            let (wang, li) = (official(&test, "wang").await, official(&test, "li").await);
            let mut tx = test.store.begin().await.expect("a writer");
            let turns = [turn(&test, wang, (0, 2), Some("main")), turn(&test, li, (0, 2), None)];
            tx.set_turns(MONDAY_NINE, UnixMs(MONDAY_NINE.0 + HOUR), &turns).await.expect("set");
            tx.sign_in(&"8001".into(), wang).await.expect("signed in");
            // Another seat for the same person, and then somebody else there.
            tx.sign_in(&"8002".into(), wang).await.expect("signed in");
            tx.commit().await.expect("committed");
            let on_turn = async |hour: i64| {
                test.store.seats_on_turn(UnixMs(MONDAY_NINE.0 + hour * HOUR)).await.expect("a look")
            };
            assert_eq!(on_turn(1).await, [("8002".into(), Some("main".into()))]);
            assert_eq!(on_turn(2).await, [], "it is over");
            let mut tx = test.store.begin().await.expect("a writer");
            tx.sign_in(&"8002".into(), li).await.expect("signed in");
            assert!(!tx.sign_out(&"8002".into(), wang).await.expect("a look"), "not theirs any more");
            tx.commit().await.expect("committed");
            assert_eq!(on_turn(1).await, [("8002".into(), None)]);
            let at: Vec<_> = test.store.signed_in().await.expect("a look").into_iter().map(|it| it.name).collect();
            assert_eq!(at, ["li"]);
        }
    }
}
