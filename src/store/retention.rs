//! Recordings whose time is over, and those that are kept all the same.

use super::{
    Store, StoreError, Tx,
    calls::{CallRow, Row},
    codec::id,
    sql::sql,
};
use crate::domain::{ids::CallId, time::UnixMs};

/// A sealed recording that is old enough, and what decides whether it may go.
#[derive(Clone, Debug, PartialEq)]
pub struct OldRecording {
    pub call: CallRow,
    /// State of the case that the call made, `void`; none where it made none.
    pub case_state: Option<String>,
}

impl Tx {
    /// Keeps the recording of a call however old it is, or lets it go with the others again.
    ///
    /// * returns — whether there is such a call, and its recording is not being deleted already.
    pub async fn hold_call(&mut self, call: CallId, hold: bool) -> Result<bool, StoreError> {
        let done = sql("UPDATE calls SET hold = $2
             WHERE id = $1 AND recording_state <> 'deleting' AND recording_state <> 'deleted'")
        .bind(call.to_string())
        .bind(i64::from(hold))
        .execute(self.connection())
        .await
        .map_err(StoreError::at("holding a recording"))?;
        Ok(done == 1)
    }

    /// Decides that a recording goes; from now on nobody can hold or hear it.
    ///
    /// * returns — whether it may: it is sealed and nobody holds it.
    pub async fn begin_deleting(&mut self, call: CallId) -> Result<bool, StoreError> {
        let done = sql("UPDATE calls SET recording_state = 'deleting'
             WHERE id = $1 AND recording_state = 'sealed' AND hold = 0")
        .bind(call.to_string())
        .execute(self.connection())
        .await
        .map_err(StoreError::at("beginning to delete a recording"))?;
        Ok(done == 1)
    }

    /// The recording is gone; where it stood and what it hashed to remains.
    ///
    /// * returns — whether it was being deleted.
    pub async fn recording_deleted(&mut self, call: CallId) -> Result<bool, StoreError> {
        let done = sql("UPDATE calls SET recording_state = 'deleted' WHERE id = $1 AND recording_state = 'deleting'")
            .bind(call.to_string())
            .execute(self.connection())
            .await
            .map_err(StoreError::at("noting that a recording was deleted"))?;
        Ok(done == 1)
    }
}

impl Store {
    /// Recordings that nobody holds, oldest first of each kind.
    ///
    /// * `until` — of calls that made a case and ended by then.
    /// * `invalid_until` — of calls that made none, or a void one, and ended by then.
    /// * `limit` — rows of each of the three kinds, at most 500.
    pub async fn old_recordings(
        &self,
        until: UnixMs,
        invalid_until: UnixMs,
        limit: u32,
    ) -> Result<Vec<OldRecording>, StoreError> {
        // Three statements, since each has an index of its own; one with OR would read every sealed row.
        const KINDS: [(bool, &str); 3] = [
            (
                true,
                "SELECT c.*, CAST(NULL AS TEXT) AS case_state FROM calls c
                 WHERE c.recording_state = 'sealed' AND c.case_id IS NULL AND c.ended <= $1 AND c.hold = 0
                 ORDER BY c.ended LIMIT $2",
            ),
            (
                true,
                "SELECT c.*, k.state AS case_state FROM cases k JOIN calls c ON c.id = k.call_id
                 WHERE k.state = 'void' AND c.recording_state = 'sealed' AND c.ended <= $1 AND c.hold = 0
                 ORDER BY c.ended LIMIT $2",
            ),
            (
                false,
                "SELECT c.*, k.state AS case_state FROM calls c JOIN cases k ON k.id = c.case_id
                 WHERE c.recording_state = 'sealed' AND c.ended <= $1 AND c.hold = 0
                 ORDER BY c.ended LIMIT $2",
            ),
        ];
        let mut all: Vec<OldRecording> = Vec::new();
        for (invalid, text) in KINDS {
            let rows: Vec<OldRow> = sql(text)
                .bind(if invalid { invalid_until.0 } else { until.0 })
                .bind(i64::from(limit.min(500)))
                .fetch_all(self.readers())
                .await
                .map_err(StoreError::at("looking for old recordings"))?;
            for row in rows {
                let old = OldRecording { call: row.call.read()?, case_state: row.case_state };
                if !all.iter().any(|known| known.call.id == old.call.id) {
                    all.push(old);
                }
            }
        }
        Ok(all)
    }

    /// Recordings whose deletion was begun and not finished.
    ///
    /// * `limit` — rows, at most 500.
    pub async fn half_deleted(&self, limit: u32) -> Result<Vec<CallRow>, StoreError> {
        let rows: Vec<Row> = sql("SELECT * FROM calls WHERE recording_state = 'deleting' ORDER BY ended LIMIT $1")
            .bind(i64::from(limit.min(500)))
            .fetch_all(self.readers())
            .await
            .map_err(StoreError::at("looking for recordings that are being deleted"))?;
        rows.into_iter().map(Row::read).collect()
    }

    /// Which of the calls between two ids, both included, have a sealed recording.
    pub async fn sealed_between(&self, first: CallId, last: CallId) -> Result<Vec<CallId>, StoreError> {
        let rows: Vec<(String,)> =
            sql("SELECT id FROM calls WHERE id >= $1 AND id <= $2 AND recording_state = 'sealed'")
                .bind(first.to_string())
                .bind(last.to_string())
                .fetch_all(self.readers())
                .await
                .map_err(StoreError::at("looking for known recordings"))?;
        rows.iter().map(|(text,)| id("calls", text)).collect()
    }
}

#[derive(sqlx::FromRow)]
struct OldRow {
    #[sqlx(flatten)]
    call: Row,
    case_state: Option<String>,
}
