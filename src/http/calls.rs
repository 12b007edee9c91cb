//! Calls, what was said in them, and their outline for a waveform.

use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    App,
    audit::note,
    extract::{Asked, Body, HearCalls, HoldCalls, Id, RevealCalls, SeeCalls, Who},
    idempotency::Secret,
    problem::{Kind, Problem},
    rights::Right,
    view::{Moment, Page, after, limit},
};
use crate::{
    cases::{Fields, Reveal},
    domain::{
        audit::Action,
        call::{Direction, EndReason, Origin, RecordingState},
        ids::{CallId, CaseId, UserId},
        mask,
        quality::Quality,
        transcript::Transcript,
    },
    recording::Peaks,
    store::{AuditEntry, CallRow, StoredRecording},
};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(one))
        .routes(routes!(transcript))
        .routes(routes!(draft))
        .routes(routes!(reveal))
        .routes(routes!(hold))
        .routes(routes!(peaks))
}

/// One call.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CallView {
    #[schema(value_type = String, format = Uuid)]
    id: CallId,
    direction: Direction,
    /// Masked, `138****2219`; null when withheld.
    caller: Option<String>,
    called: String,
    origin: Origin,
    /// Extension that took it; null while the line answers by itself.
    seat: Option<String>,
    /// The official who sat there when it was taken.
    #[schema(value_type = Option<String>, format = Uuid)]
    official: Option<UserId>,
    /// What the switch calls it that forked it to the line; null for others.
    session_id: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    started: Moment,
    #[schema(value_type = Option<String>, format = DateTime)]
    answered: Option<Moment>,
    #[schema(value_type = Option<String>, format = DateTime)]
    ended: Option<Moment>,
    end_reason: Option<EndReason>,
    recording_state: RecordingState,
    /// Length of the recording once it is sealed.
    recording_ms: Option<u64>,
    /// Whether the recording is kept however old it is.
    hold: bool,
    #[schema(value_type = Option<String>, format = Uuid)]
    case_id: Option<CaseId>,
    /// How well both sides could be heard; null until the call is over, and for calls without sound.
    quality: Option<Quality>,
}

impl CallView {
    fn of(call: CallRow) -> Self {
        Self {
            id: call.id,
            direction: call.direction,
            caller: call.caller.map(|caller| mask::number(caller.reveal())),
            called: call.called,
            origin: call.origin,
            seat: call.seat,
            official: call.official,
            session_id: call.session_id,
            started: Moment(call.started),
            answered: call.answered.map(Moment),
            ended: call.ended.map(Moment),
            end_reason: call.end_reason,
            recording_state: call.recording_state,
            recording_ms: call.recording.map(|recording| recording.samples / 8),
            hold: call.hold,
            case_id: call.case_id,
            quality: call.quality,
        }
    }
}

/// Which page of which calls.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Calls {
    /// Only those that came from this number, however it is written.
    phone: Option<String>,
    /// `next` of the page before.
    after: Option<String>,
    /// 1 to 200, usually 50.
    limit: Option<u32>,
}

/// Calls, latest first.
#[utoipa::path(get, path = "/api/v1/calls", tag = "calls", params(Calls),
    responses((status = 200, description = "A page of calls", body = Page<CallView>), (status = "default", response = super::docs::AnyProblem)))]
async fn list(
    State(app): State<App>,
    _: Who<SeeCalls>,
    Asked(query): Asked<Calls>,
) -> Result<Json<Page<CallView>>, Problem> {
    let limit = limit(query.limit)?;
    let after = after(query.after.as_ref())?;
    let rows = match &query.phone {
        None => app.store.calls(after, limit + 1).await?,
        Some(phone) => {
            let hash = app.vault.fingerprint(phone);
            let hash = hash.ok_or_else(|| Kind::BadRequest.because("phone: has no digits").with("field", "phone"))?;
            app.store.calls_of(&hash, after, limit + 1).await?
        }
    };
    Ok(Json(Page::cut(rows, limit, |call| call.id.to_string(), CallView::of)))
}

/// One call.
#[utoipa::path(get, path = "/api/v1/calls/{id}", tag = "calls", params(("id" = String, Path, format = Uuid, description = "The call")),
    responses((status = 200, description = "The call", body = CallView), (status = "default", response = super::docs::AnyProblem)))]
async fn one(State(app): State<App>, _: Who<SeeCalls>, Id(id): Id<CallId>) -> Result<Json<CallView>, Problem> {
    Ok(Json(CallView::of(find(&app, id).await?)))
}

/// What is to become of a recording.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct HoldRequest {
    hold: bool,
}

/// Keeps a recording however old it is (a dispute, a study), or lets it go with the others again.
#[utoipa::path(put, path = "/api/v1/calls/{id}/hold", tag = "calls", params(("id" = String, Path, format = Uuid, description = "The call")),
    request_body = HoldRequest,
    responses((status = 200, description = "The call", body = CallView), (status = "default", response = super::docs::AnyProblem)))]
async fn hold(
    State(app): State<App>,
    who: Who<HoldCalls>,
    Id(id): Id<CallId>,
    Body(request): Body<HoldRequest>,
) -> Result<Json<CallView>, Problem> {
    let mut tx = app.store.begin().await?;
    let held = tx.hold_call(id, request.hold).await?;
    if held {
        tx.audit(AuditEntry {
            user: Some(who.user.id),
            name: who.user.name,
            action: if request.hold { Action::HoldSet } else { Action::HoldCleared },
            subject: format!("call:{id}"),
            detail: json!({}),
        });
    }
    tx.commit().await?;
    let call = find(&app, id).await?;
    if !held {
        let state = call.recording_state.name();
        return Err(Kind::Refused.because("the recording is deleted already").with("recording_state", state));
    }
    tracing::info!(call.id = %id, user.id = %who.user.id, hold = request.hold, "the hold on a recording was changed");
    Ok(Json(CallView::of(call)))
}

/// What was said; empty and not final until the recording was heard. Each reading is noted in the audit.
///
/// Who may not hear the sound finds numbers masked, and of a secret caller nothing.
#[utoipa::path(get, path = "/api/v1/calls/{id}/transcript", tag = "calls", params(("id" = String, Path, format = Uuid, description = "The call")),
    responses((status = 200, description = "Utterances in the order they began", body = Transcript), (status = "default", response = super::docs::AnyProblem)))]
async fn transcript(
    State(app): State<App>,
    who: Who<SeeCalls>,
    Id(id): Id<CallId>,
) -> Result<Json<Transcript>, Problem> {
    let call = find(&app, id).await?;
    let Some(transcript) = app.store.transcript(id).await? else { return Ok(Json::default()) };
    note(&app, &who.user, Action::TranscriptRead, format!("call:{id}"), json!({})).await?;
    let (hears, actor) = (who.may(Right::HearCalls), who.actor());
    Ok(Json(if hears { transcript } else { app.cases.dim_transcript(transcript, call.case_id, &actor).await? }))
}

/// The fields that the words so far fill, while a caller talks and after; they are no case and nobody's decision. Once the call
/// has made its case, that one counts. Each reading is noted in the audit as one of the transcript.
#[utoipa::path(get, path = "/api/v1/calls/{id}/draft", tag = "calls", params(("id" = String, Path, format = Uuid, description = "The call")),
    responses((status = 200, description = "The fields; all empty while nothing was heard", body = Fields), (status = "default", response = super::docs::AnyProblem)))]
async fn draft(State(app): State<App>, who: Who<HearCalls>, Id(id): Id<CallId>) -> Result<Json<Fields>, Problem> {
    let call = find(&app, id).await?;
    let transcript = app.store.transcript(id).await?.unwrap_or_default();
    note(&app, &who.user, Action::TranscriptRead, format!("call:{id}"), json!({})).await?;
    let write = app.draftsman.clone();
    let fields = tokio::task::spawn_blocking(move || {
        write(&transcript, call.caller.as_ref().map(|caller| caller.reveal().as_str()), call.started)
    });
    Ok(Json(Fields::of(&fields.await.map_err(|_| Kind::Internal.problem())?)))
}

/// What was shown.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RevealedCaller {
    /// The number in full; null when withheld.
    caller: Option<String>,
}

/// Shows the number a call came from, for a purpose. The asking is audited.
#[utoipa::path(post, path = "/api/v1/calls/{id}/reveal", tag = "calls", params(("id" = String, Path, format = Uuid, description = "The call")),
    request_body = Reveal,
    responses((status = 200, description = "The number in full", body = RevealedCaller), (status = "default", response = super::docs::AnyProblem)))]
async fn reveal(
    State(app): State<App>,
    who: Who<RevealCalls>,
    Id(id): Id<CallId>,
    Body(wish): Body<Reveal>,
) -> Result<Secret<RevealedCaller>, Problem> {
    Ok(Secret(RevealedCaller { caller: app.cases.reveal_caller(id, &wish, &who.actor()).await? }))
}

/// How fine an outline is wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Fineness {
    /// 1 to 10,000, usually 1,000.
    points: Option<usize>,
}

/// The outline of both sides of the recording.
#[utoipa::path(get, path = "/api/v1/calls/{id}/peaks", tag = "calls", params(("id" = String, Path, format = Uuid, description = "The call"), Fineness),
    responses((status = 200, description = "Smallest and largest value of each side, by time", body = Peaks), (status = "default", response = super::docs::AnyProblem)))]
async fn peaks(
    State(app): State<App>,
    _: Who<SeeCalls>,
    Id(id): Id<CallId>,
    Asked(query): Asked<Fineness>,
) -> Result<Json<Peaks>, Problem> {
    let points = query.points.unwrap_or(1_000);
    if !(1..=10_000).contains(&points) {
        return Err(Kind::BadRequest.because("points: is not between 1 and 10000").with("field", "points"));
    }
    let recording = sealed(&app, id).await?;
    Ok(Json(app.archive.peaks(&recording.key, points).await?))
}

/// The call, or 404.
pub(super) async fn find(app: &App, id: CallId) -> Result<CallRow, Problem> {
    app.store.call(id).await?.ok_or_else(|| Kind::NotFound.because(format!("there is no call {id}")))
}

/// The sealed recording of a call, or 404 with the reason.
pub(super) async fn sealed(app: &App, id: CallId) -> Result<StoredRecording, Problem> {
    let call = find(app, id).await?;
    let state = call.recording_state;
    call.recording.filter(|_| state == RecordingState::Sealed).ok_or_else(|| {
        Kind::NotFound.because(format!("call {id} has no sealed recording")).with("recording_state", state.name())
    })
}
