//! Whom the line owes a call.

use serde::{Deserialize, Serialize};
use sqlx::FromRow;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    Store, StoreError, Tx,
    codec::{from_word, id, maybe_id, word},
    sql::sql,
};
use crate::{
    domain::{
        ids::{CallId, CaseId},
        time::UnixMs,
    },
    telemetry::Private,
};

const AT: &str = "callbacks";

/// Why a call is owed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CallbackKind {
    /// The caller was not heard.
    Missed,
    /// A unit has replied: ask the caller.
    Followup,
}

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CallbackState {
    Open,
    Done,
}

/// One entry of the call-back list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallbackRow {
    pub id: Uuid,
    pub kind: CallbackKind,
    pub call_id: Option<CallId>,
    pub case_id: Option<CaseId>,
    /// Digits to dial; none when the caller withheld them.
    pub phone: Option<Private<String>>,
    /// `silent` (answered, caller not heard), `cancelled` (gave up before the answer), `interrupted` …
    pub reason: String,
    pub state: CallbackState,
    pub created: UnixMs,
}

impl Tx {
    /// Puts a call on the list; one entry a kind and call.
    ///
    /// * returns — whether it was new.
    pub async fn add_callback(
        &mut self,
        kind: CallbackKind,
        call: Option<CallId>,
        case: Option<CaseId>,
        phone: Option<&Private<String>>,
        reason: &str,
    ) -> Result<bool, StoreError> {
        let (id, now) = (self.clock().uuid(), self.now());
        // Whoever called from the number that is to be dialled has its hash.
        let done = sql("INSERT INTO callbacks (id, kind, call_id, case_id, phone, reason, state, created, phone_hash)
             VALUES ($1, $2, $3, $4, $5, $6, 'open', $7, (SELECT caller_hash FROM calls WHERE id = $3 AND caller = $5))
             ON CONFLICT (kind, call_id) DO NOTHING")
        .bind(id.to_string())
        .bind(word(&kind))
        .bind(call.map(|id| id.to_string()))
        .bind(case.map(|id| id.to_string()))
        .bind(phone.map(|phone| phone.reveal().clone()))
        .bind(reason)
        .bind(now.0)
        .execute(self.connection())
        .await
        .map_err(StoreError::at("adding a call-back"))?;
        Ok(done == 1)
    }
}

impl Store {
    /// The call-back list, oldest first: who waited longest is called first.
    ///
    /// * `after` — the last entry of the page before.
    /// * `limit` — rows, at most 500.
    pub async fn callbacks(
        &self,
        kind: Option<CallbackKind>,
        state: Option<CallbackState>,
        after: Option<Uuid>,
        limit: u32,
    ) -> Result<Vec<CallbackRow>, StoreError> {
        let rows: Vec<Row> = sql("SELECT * FROM callbacks
             WHERE (CAST($1 AS TEXT) IS NULL OR kind = $1) AND (CAST($2 AS TEXT) IS NULL OR state = $2)
                 AND (CAST($3 AS TEXT) IS NULL OR id > $3)
             ORDER BY id LIMIT $4")
        .bind(kind.as_ref().map(word))
        .bind(state.as_ref().map(word))
        .bind(after.map(|id| id.to_string()))
        .bind(i64::from(limit.min(500)))
        .fetch_all(self.readers())
        .await
        .map_err(StoreError::at("listing call-backs"))?;
        rows.into_iter().map(Row::read).collect()
    }
}

#[derive(FromRow)]
struct Row {
    id: String,
    kind: String,
    call_id: Option<String>,
    case_id: Option<String>,
    phone: Option<String>,
    reason: String,
    state: String,
    created: i64,
}

impl Row {
    fn read(self) -> Result<CallbackRow, StoreError> {
        Ok(CallbackRow {
            id: id(AT, &self.id)?,
            kind: from_word(AT, self.kind)?,
            call_id: maybe_id(AT, self.call_id.as_deref())?,
            case_id: maybe_id(AT, self.case_id.as_deref())?,
            phone: self.phone.map(Private),
            reason: self.reason,
            state: from_word(AT, self.state)?,
            created: UnixMs(self.created),
        })
    }
}
