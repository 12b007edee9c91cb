//! Who read, revealed, exported, logged in and changed rights: for the auditor alone. Reading it is noted in it.

use axum::{
    Json,
    body::{Body, Bytes},
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use futures::stream;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    App,
    extract::{Asked, SeeAudit, Who},
    problem::{Kind, Problem},
    view::{Moment, Page, after, limit},
};
use crate::{
    domain::{audit::Action, ids::UserId, time::UnixMs},
    store::{AuditEntry, AuditFilter, AuditRow, Store, StoreError, UserRow},
};

/// Entries read and sent at once.
const PIECE: u32 = 500;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(export))
}

/// Notes what a person is about to read; what cannot be noted is not read.
pub(super) async fn note(
    app: &App,
    user: &UserRow,
    action: Action,
    subject: String,
    detail: Value,
) -> Result<(), Problem> {
    let mut tx = app.store.begin().await?;
    tx.audit(AuditEntry { user: Some(user.id), name: user.name.clone(), action, subject, detail });
    Ok(tx.commit().await?)
}

/// One entry.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct EntryView {
    seq: u64,
    #[schema(value_type = String, format = DateTime)]
    at: Moment,
    /// Null: the program itself, the machine's own command line, or a stranger.
    user: Option<String>,
    name: String,
    /// A word of `action`; a newer program may have written others.
    action: String,
    /// `call:ID`, `case:ID`, `user:ID` …
    subject: String,
    #[schema(value_type = Object)]
    detail: Value,
    /// Hash of the entry before.
    prev: String,
    hash: String,
}

impl EntryView {
    fn of(row: AuditRow) -> Self {
        let AuditRow { record, hash } = row;
        let detail = serde_json::from_str(&record.detail).unwrap_or(Value::String(record.detail));
        Self {
            seq: record.seq,
            at: Moment(record.at),
            user: record.user,
            name: record.name,
            action: record.action,
            subject: record.subject,
            detail,
            prev: record.prev,
            hash,
        }
    }
}

/// Which entries.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Wanted {
    /// Id of a person.
    user: Option<String>,
    action: Option<Action>,
    /// `call:ID`, `case:ID`, `user:ID` …
    subject: Option<String>,
    /// RFC 3339: from this moment on.
    from: Option<String>,
    /// RFC 3339: before this moment.
    to: Option<String>,
    /// `next` of the page before.
    after: Option<String>,
    /// 1 to 200, usually 50.
    limit: Option<u32>,
}

impl Wanted {
    fn filter(&self, limit: u32) -> Result<AuditFilter, Problem> {
        let user = self.user.as_ref().map(|text| text.parse::<UserId>());
        let user = user.transpose().map_err(|_| wrong("user", "is no id"))?;
        Ok(AuditFilter {
            user,
            action: self.action,
            subject: self.subject.clone(),
            from: moment("from", self.from.as_ref())?,
            to: moment("to", self.to.as_ref())?,
            after: after(self.after.as_ref())?,
            limit,
        })
    }
}

/// Entries, latest first. The reading itself becomes one.
#[utoipa::path(get, path = "/api/v1/audit", tag = "audit", params(Wanted),
    responses((status = 200, description = "A page of entries", body = Page<EntryView>), (status = "default", response = super::docs::AnyProblem)))]
async fn list(
    State(app): State<App>,
    who: Who<SeeAudit>,
    Asked(query): Asked<Wanted>,
) -> Result<Json<Page<EntryView>>, Problem> {
    let limit = limit(query.limit)?;
    let filter = query.filter(limit + 1)?;
    let asked = json!({ "user": filter.user, "action": filter.action, "subject": filter.subject,
        "from": filter.from, "to": filter.to, "after": filter.after });
    note(&app, &who.user, Action::AuditRead, "audit".into(), asked).await?;
    let rows = app.store.audit_page(&filter).await?;
    Ok(Json(Page::cut(rows, limit, |row| row.record.seq.to_string(), EntryView::of)))
}

/// The whole audit up to its own entry, oldest first, one JSON object a line. `at` is in milliseconds and `detail` the
/// text that was hashed, so that anybody can check the chain (see docs/OPERATIONS.md).
#[utoipa::path(get, path = "/api/v1/audit/export", tag = "audit",
    responses((status = 200, description = "Entries, one a line", content_type = "application/x-ndjson", body = String), (status = "default", response = super::docs::AnyProblem)))]
async fn export(State(app): State<App>, who: Who<SeeAudit>) -> Result<Response, Problem> {
    note(&app, &who.user, Action::Export, "audit".into(), json!({})).await?;
    let (end, _) = app.store.audit_head().await?;
    let headers = [
        (header::CONTENT_TYPE, "application/x-ndjson"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"audit.ndjson\""),
    ];
    Ok((headers, lines(app.store.clone(), end)).into_response())
}

/// Reads piece by piece, as fast as the client takes it.
fn lines(store: Store, end: u64) -> Body {
    Body::from_stream(stream::try_unfold(0, move |after| {
        let store = store.clone();
        async move {
            let rows = store.audit_after(after, PIECE).await?;
            let rows: Vec<_> = rows.into_iter().filter(|row| row.record.seq <= end).collect();
            let Some(last) = rows.last().map(|row| row.record.seq) else { return Ok(None) };
            let text: String = rows.into_iter().map(line).collect();
            Ok::<_, StoreError>(Some((Bytes::from(text), last)))
        }
    }))
}

fn line(row: AuditRow) -> String {
    let AuditRow { record, hash } = row;
    let mut line = json!({ "seq": record.seq, "at": record.at, "user": record.user, "name": record.name,
        "action": record.action, "subject": record.subject, "detail": record.detail, "prev": record.prev,
        "hash": hash })
    .to_string();
    line.push('\n');
    line
}

fn moment(key: &'static str, text: Option<&String>) -> Result<Option<UnixMs>, Problem> {
    let read = text.map(|text| text.parse::<Timestamp>());
    let read = read.transpose().map_err(|_| wrong(key, "is no moment such as 2026-11-23T09:00:00+08:00"))?;
    Ok(read.map(|at| UnixMs(at.as_millisecond())))
}

fn wrong(key: &'static str, what: &str) -> Problem {
    Kind::BadRequest.because(format!("{key}: {what}")).with("field", key)
}
