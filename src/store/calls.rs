//! Calls: when, who, how they ended, where the recording is.

use std::time::Duration;

use sqlx::FromRow;

use super::{
    Store, StoreError, Tx,
    codec::{from_json, from_word, id, json, maybe_id, signed, unsigned, word},
    sql::sql,
};
use crate::{
    domain::{
        call::{Direction, EndReason, Fork, Origin, RecordingState},
        ids::{CallId, CaseId, UserId},
        quality::Quality,
        time::UnixMs,
    },
    telemetry::Private,
};

const AT: &str = "calls";

/// One call. A view: the recording's sidecar is the truth.
#[derive(Clone, Debug, PartialEq)]
pub struct CallRow {
    pub id: CallId,
    pub direction: Direction,
    /// Digits; none when withheld.
    pub caller: Option<Private<String>>,
    pub called: String,
    pub origin: Origin,
    /// Extension of the seat that took it; none while the line answers by itself.
    pub seat: Option<String>,
    /// Who sat there as an official when the call was taken.
    pub official: Option<UserId>,
    /// What the switch calls it that forked it to us.
    pub session_id: Option<String>,
    pub started: UnixMs,
    pub answered: Option<UnixMs>,
    pub ended: Option<UnixMs>,
    pub end_reason: Option<EndReason>,
    pub recording_state: RecordingState,
    pub recording: Option<StoredRecording>,
    pub case_id: Option<CaseId>,
    /// Whether the recording is kept however old it is.
    pub hold: bool,
    /// What the caller's number is found by; see the room `vault`.
    pub caller_hash: Option<String>,
    /// How well it could be heard; none for a call without sound.
    pub quality: Option<Quality>,
}

/// Where a sealed recording lies and what it must hash to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRecording {
    /// Key in the object store, `2026/11/23/<call>.wav`.
    pub key: String,
    /// Hex.
    pub sha256: String,
    /// Per channel, 8,000 a second.
    pub samples: u64,
}

impl CallRow {
    /// A call that begins now.
    pub fn begun(
        id: CallId,
        direction: Direction,
        caller: Option<Private<String>>,
        called: String,
        at: UnixMs,
    ) -> Self {
        Self {
            id,
            direction,
            caller,
            called,
            origin: Origin::Line,
            seat: None,
            session_id: None,
            started: at,
            answered: None,
            ended: None,
            end_reason: None,
            recording_state: RecordingState::None,
            recording: None,
            case_id: None,
            hold: false,
            caller_hash: None,
            official: None,
            quality: None,
        }
    }

    /// The same, to be found by its caller.
    #[must_use]
    pub fn found_by(self, caller_hash: Option<String>) -> Self {
        Self { caller_hash, ..self }
    }

    /// The same, forked to us by a switch that said this.
    #[must_use]
    pub fn forked(self, fork: Option<&Fork>) -> Self {
        let Some(fork) = fork else { return self };
        Self { origin: fork.origin(), seat: fork.seat.clone(), session_id: fork.session_id.clone(), ..self }
    }

    /// The same, taken by this seat of ours.
    #[must_use]
    pub fn taken_by(self, seat: Option<String>) -> Self {
        Self { seat: seat.or(self.seat), ..self }
    }
}

impl Tx {
    /// Writes a call; a row with the same id stays as it is.
    ///
    /// * returns — whether it was new.
    pub async fn add_call(&mut self, call: &CallRow) -> Result<bool, StoreError> {
        let recording = call.recording.as_ref();
        let done = sql("INSERT INTO calls (id, direction, caller, called, seat, started, answered, ended, end_reason,
                 recording_state, recording_key, sha256, samples, case_id, hold, caller_hash, origin, session_id, quality)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)
             ON CONFLICT (id) DO NOTHING")
        .bind(call.id.to_string())
        .bind(word(&call.direction))
        .bind(call.caller.as_ref().map(|caller| caller.reveal().clone()))
        .bind(&call.called)
        .bind(&call.seat)
        .bind(call.started.0)
        .bind(call.answered.map(|at| at.0))
        .bind(call.ended.map(|at| at.0))
        .bind(call.end_reason.as_ref().map(word))
        .bind(word(&call.recording_state))
        .bind(recording.map(|it| it.key.clone()))
        .bind(recording.map(|it| it.sha256.clone()))
        .bind(recording.map(|it| signed(it.samples)))
        .bind(call.case_id.map(|id| id.to_string()))
        .bind(i64::from(call.hold))
        .bind(&call.caller_hash)
        .bind(word(&call.origin))
        .bind(&call.session_id)
        .bind(call.quality.as_ref().map(json))
        .execute(self.connection())
        .await
        .map_err(StoreError::at("adding a call"))?;
        Ok(done == 1)
    }

    /// The 200 went out.
    pub async fn call_answered(&mut self, id: CallId, at: UnixMs, state: RecordingState) -> Result<(), StoreError> {
        sql("UPDATE calls SET answered = $2, recording_state = $3 WHERE id = $1 AND ended IS NULL")
            .bind(id.to_string())
            .bind(at.0)
            .bind(word(&state))
            .execute(self.connection())
            .await
            .map_err(StoreError::at("answering a call"))?;
        Ok(())
    }

    /// A seat took the call, or the switch that forked it to us said more about it in mid-call.
    pub async fn call_told(&mut self, call: &CallRow) -> Result<(), StoreError> {
        sql("UPDATE calls SET caller = $2, caller_hash = $3, called = $4, seat = $5, session_id = $6, origin = $7,
             official = (SELECT user_id FROM sign_ins WHERE seat = $5) WHERE id = $1")
        .bind(call.id.to_string())
        .bind(call.caller.as_ref().map(|caller| caller.reveal().clone()))
        .bind(&call.caller_hash)
        .bind(&call.called)
        .bind(&call.seat)
        .bind(&call.session_id)
        .bind(word(&call.origin))
        .execute(self.connection())
        .await
        .map_err(StoreError::at("noting who speaks in a call"))?;
        Ok(())
    }

    /// The call is over; its recording is sealed, was never begun, or could not be finished.
    ///
    /// A call that has ended already keeps its end; only a recording it lacks is added (a recovered one).
    pub async fn call_ended(
        &mut self,
        id: CallId,
        at: UnixMs,
        reason: EndReason,
        state: RecordingState,
        recording: Option<&StoredRecording>,
    ) -> Result<(), StoreError> {
        sql("UPDATE calls SET ended = COALESCE(ended, $2), end_reason = COALESCE(end_reason, $3),
                 recording_state = CASE WHEN recording_key IS NULL THEN $4 ELSE recording_state END,
                 sha256 = CASE WHEN recording_key IS NULL THEN $6 ELSE sha256 END,
                 samples = CASE WHEN recording_key IS NULL THEN $7 ELSE samples END,
                 recording_key = COALESCE(recording_key, $5)
             WHERE id = $1")
        .bind(id.to_string())
        .bind(at.0)
        .bind(word(&reason))
        .bind(word(&state))
        .bind(recording.map(|it| it.key.clone()))
        .bind(recording.map(|it| it.sha256.clone()))
        .bind(recording.map(|it| signed(it.samples)))
        .execute(self.connection())
        .await
        .map_err(StoreError::at("ending a call"))?;
        Ok(())
    }

    /// How well the call could be heard.
    pub async fn call_quality(&mut self, id: CallId, quality: &Quality) -> Result<(), StoreError> {
        sql("UPDATE calls SET quality = $2 WHERE id = $1")
            .bind(id.to_string())
            .bind(json(quality))
            .execute(self.connection())
            .await
            .map_err(StoreError::at("rating a call"))?;
        Ok(())
    }

    /// The case that the call made.
    pub async fn call_made_case(&mut self, id: CallId, case: CaseId) -> Result<(), StoreError> {
        sql("UPDATE calls SET case_id = $2 WHERE id = $1")
            .bind(id.to_string())
            .bind(case.to_string())
            .execute(self.connection())
            .await
            .map_err(StoreError::at("linking a call to its case"))?;
        Ok(())
    }

    /// Makes a call that has no hash yet findable by its caller.
    pub async fn hash_caller(&mut self, id: CallId, caller_hash: &str) -> Result<(), StoreError> {
        for text in [
            "UPDATE calls SET caller_hash = $2 WHERE id = $1",
            "UPDATE callbacks SET phone_hash = $2
             WHERE call_id = $1 AND phone = (SELECT caller FROM calls WHERE id = $1)",
        ] {
            let update = sql(text).bind(id.to_string()).bind(caller_hash);
            update.execute(self.connection()).await.map_err(StoreError::at("hashing a caller's number"))?;
        }
        Ok(())
    }

    /// The call as this transaction sees it.
    pub async fn call(&mut self, id: CallId) -> Result<Option<CallRow>, StoreError> {
        one(sql(ONE).bind(id.to_string()).fetch_optional(self.connection()).await)
    }
}

impl Store {
    /// One call.
    pub async fn call(&self, id: CallId) -> Result<Option<CallRow>, StoreError> {
        one(sql(ONE).bind(id.to_string()).fetch_optional(self.readers()).await)
    }

    /// Calls, latest first.
    ///
    /// * `after` — the last call of the page before.
    /// * `limit` — rows, at most 500.
    pub async fn calls(&self, after: Option<CallId>, limit: u32) -> Result<Vec<CallRow>, StoreError> {
        let rows: Vec<Row> =
            sql("SELECT * FROM calls WHERE (CAST($1 AS TEXT) IS NULL OR id < $1) ORDER BY id DESC LIMIT $2")
                .bind(after.map(|id| id.to_string()))
                .bind(i64::from(limit.min(500)))
                .fetch_all(self.readers())
                .await
                .map_err(StoreError::at("listing calls"))?;
        rows.into_iter().map(Row::read).collect()
    }

    /// Calls of one number, latest first.
    ///
    /// * `caller_hash` — what the number is found by.
    /// * `after` — the last call of the page before.
    /// * `limit` — rows, at most 500.
    pub async fn calls_of(
        &self,
        caller_hash: &str,
        after: Option<CallId>,
        limit: u32,
    ) -> Result<Vec<CallRow>, StoreError> {
        let rows: Vec<Row> = sql("SELECT * FROM calls
             WHERE caller_hash = $1 AND (CAST($2 AS TEXT) IS NULL OR id < $2) ORDER BY id DESC LIMIT $3")
        .bind(caller_hash)
        .bind(after.map(|id| id.to_string()))
        .bind(i64::from(limit.min(500)))
        .fetch_all(self.readers())
        .await
        .map_err(StoreError::at("listing a caller's calls"))?;
        rows.into_iter().map(Row::read).collect()
    }

    /// Calls with a number and no hash of it, oldest first: written by a version that made none.
    ///
    /// * `after` — the last call of the page before.
    /// * `limit` — rows, at most 500.
    pub async fn calls_without_hash(&self, after: Option<CallId>, limit: u32) -> Result<Vec<CallRow>, StoreError> {
        let rows: Vec<Row> = sql("SELECT * FROM calls WHERE caller_hash IS NULL AND caller IS NOT NULL
                 AND (CAST($1 AS TEXT) IS NULL OR id > $1) ORDER BY id LIMIT $2")
        .bind(after.map(|id| id.to_string()))
        .bind(i64::from(limit.min(500)))
        .fetch_all(self.readers())
        .await
        .map_err(StoreError::at("looking for calls without a hash"))?;
        rows.into_iter().map(Row::read).collect()
    }

    /// Calls without an end that began before `before`: their process is gone. So is that of a call from far ahead, since
    /// when the clock was set back.
    pub async fn open_calls(&self, before: UnixMs) -> Result<Vec<CallRow>, StoreError> {
        let rows: Vec<Row> =
            sql("SELECT * FROM calls WHERE ended IS NULL AND (started < $1 OR started > $2) ORDER BY id")
                .bind(before.0)
                .bind((before + AHEAD).0)
                .fetch_all(self.readers())
                .await
                .map_err(StoreError::at("listing open calls"))?;
        rows.into_iter().map(Row::read).collect()
    }
}

const ONE: &str = "SELECT * FROM calls WHERE id = $1";
/// Further ahead of each other than this no two machines of a line are.
const AHEAD: Duration = Duration::from_mins(5);

fn one(row: Result<Option<Row>, sqlx::Error>) -> Result<Option<CallRow>, StoreError> {
    row.map_err(StoreError::at("reading a call"))?.map(Row::read).transpose()
}

#[derive(FromRow)]
pub(super) struct Row {
    id: String,
    direction: String,
    caller: Option<String>,
    called: String,
    seat: Option<String>,
    started: i64,
    answered: Option<i64>,
    ended: Option<i64>,
    end_reason: Option<String>,
    recording_state: String,
    recording_key: Option<String>,
    sha256: Option<String>,
    samples: Option<i64>,
    case_id: Option<String>,
    hold: i64,
    caller_hash: Option<String>,
    origin: String,
    session_id: Option<String>,
    quality: Option<String>,
    official: Option<String>,
}

impl Row {
    pub(super) fn read(self) -> Result<CallRow, StoreError> {
        let recording = match (self.recording_key, self.sha256, self.samples) {
            (Some(key), Some(sha256), Some(samples)) => {
                Some(StoredRecording { key, sha256, samples: unsigned(samples) })
            }
            _ => None,
        };
        Ok(CallRow {
            id: id(AT, &self.id)?,
            direction: from_word(AT, self.direction)?,
            caller: self.caller.map(Private),
            called: self.called,
            origin: from_word(AT, self.origin)?,
            seat: self.seat,
            session_id: self.session_id,
            started: UnixMs(self.started),
            answered: self.answered.map(UnixMs),
            ended: self.ended.map(UnixMs),
            end_reason: self.end_reason.map(|word| from_word(AT, word)).transpose()?,
            recording_state: from_word(AT, self.recording_state)?,
            recording,
            case_id: maybe_id(AT, self.case_id.as_deref())?,
            hold: self.hold != 0,
            caller_hash: self.caller_hash,
            official: maybe_id(AT, self.official.as_deref())?,
            quality: self.quality.map(|text| from_json(AT, &text)).transpose()?,
        })
    }
}
