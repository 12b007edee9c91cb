//! Cases: found, shown, corrected and moved. Who may make which move is the case's own rule.

use axum::{
    Json,
    extract::State as Of,
    http::{HeaderMap, StatusCode, header},
    response::IntoResponse,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    App,
    condition::{Tagged, version},
    extract::{Action, Asked, Body, Id, MoveCases, OpenCases, RevealCases, SeeCases, Who, unreadable},
    idempotency::{Keyed, Secret},
    problem::{Kind, Problem},
    view::{Page, after, limit},
};
use crate::{
    cases::{CaseError, EventView, NewCase, Reveal, View, Wanted},
    domain::{
        case::{Actor, Command, Edits, Inlet, Refusal, State},
        ids::CaseId,
    },
    store::UserRow,
};

/// Longest search, characters.
const LONGEST_SEARCH: usize = 100;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list, open))
        .routes(routes!(one, edit))
        .routes(routes!(act))
        .routes(routes!(reveal))
        .routes(routes!(events))
}

/// The person as cases know them.
pub(super) fn actor_of(user: UserRow) -> Actor {
    Actor::Person { user: user.id, name: user.name, roles: user.roles, unit: user.unit }
}

/// Which cases.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Search {
    state: Option<State>,
    /// `WATER` or `371526-ZJ`: cases it leads or helps with.
    unit: Option<String>,
    /// Words in number, title, description or address.
    q: Option<String>,
    /// Only those whose unit is late.
    overdue: Option<bool>,
    /// Only those of calls that you took as an official (see the rota).
    mine: Option<bool>,
    /// `next` of the page before.
    after: Option<String>,
    /// 1 to 200, usually 50.
    limit: Option<u32>,
}

/// Cases, latest first. A unit's people find their unit's own.
#[utoipa::path(get, path = "/api/v1/cases", tag = "cases", params(Search),
    responses((status = 200, description = "A page of cases", body = Page<View>), (status = "default", response = super::docs::AnyProblem)))]
async fn list(Of(app): Of<App>, who: Who<SeeCases>, Asked(query): Asked<Search>) -> Result<Json<Page<View>>, Problem> {
    if query.q.as_ref().is_some_and(|words| words.chars().count() > LONGEST_SEARCH) {
        return Err(Kind::BadRequest.because("q: is longer than 100 characters").with("field", "q"));
    }
    let wanted = Wanted {
        state: query.state,
        unit: query.unit,
        q: query.q,
        overdue: query.overdue.unwrap_or(false),
        official: query.mine.unwrap_or(false).then_some(who.user.id),
        after: after(query.after.as_ref())?,
        limit: limit(query.limit)?,
    };
    let (items, next) = app.cases.list(wanted, &who.actor()).await?;
    Ok(Json(Page { items, next: next.map(|id| id.to_string()) }))
}

/// A request from another inlet. For the description alone: the fields stand beside these keys.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct OpenRequest {
    channel: Inlet,
    /// The citizen's or the unit's own words, 1 to 5,000 characters.
    text: String,
    #[serde(flatten)]
    fields: Edits,
}

/// Takes in a request that came otherwise than by telephone; its fields are filled from its words.
///
/// `unit_upload` is the units' own; every other inlet is the centre's.
#[utoipa::path(post, path = "/api/v1/cases", tag = "cases", request_body = OpenRequest,
    params(("Idempotency-Key" = Option<String>, Header, description = "Sent again with the same key and body, it gets the first answer")),
    responses((status = 201, description = "The draft; `Location` names it", body = View),
        (status = 403, description = "Not for the asking person", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Refused, with the reason", body = Problem, content_type = "application/problem+json"),
        (status = "default", response = super::docs::AnyProblem)))]
async fn open(
    Of(app): Of<App>,
    who: Who<OpenCases>,
    Keyed(once): Keyed,
    Body(mut body): Body<Map<String, Value>>,
) -> Result<impl IntoResponse, Problem> {
    let (inlet, text) = (taken(&mut body, "channel")?, taken(&mut body, "text")?);
    let fields: Edits = serde_path_to_error::deserialize(Value::Object(body)).map_err(|error| unreadable(&error))?;
    let new = NewCase { inlet, text, fields };
    let view = app.cases.open(new, app.draftsman.clone(), once, &who.actor()).await?;
    let place = [(header::LOCATION, format!("/api/v1/cases/{}", view.id))];
    Ok((StatusCode::CREATED, place, Json(view)))
}

/// Takes a key that has to be there out of a request.
fn taken<T: serde::de::DeserializeOwned>(body: &mut Map<String, Value>, key: &'static str) -> Result<T, Problem> {
    let value =
        body.remove(key).ok_or_else(|| Kind::BadRequest.because(format!("{key}: is missing")).with("field", key))?;
    serde_json::from_value(value)
        .map_err(|error| Kind::BadRequest.because(format!("{key}: {error}")).with("field", key))
}

/// What was shown.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RevealedFields {
    /// The fields asked for, in full; null where nothing is known.
    #[schema(value_type = Object)]
    fields: Map<String, Value>,
}

/// Shows name, number or address in full, for a purpose. The asking is audited.
#[utoipa::path(post, path = "/api/v1/cases/{id}/reveal", tag = "cases", params(("id" = String, Path, format = Uuid, description = "The case")),
    request_body = Reveal,
    responses((status = 200, description = "The fields in full", body = RevealedFields),
        (status = 403, description = "Not for the asking person", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "No purpose, or no such field", body = Problem, content_type = "application/problem+json"),
        (status = "default", response = super::docs::AnyProblem)))]
async fn reveal(
    Of(app): Of<App>,
    who: Who<RevealCases>,
    Id(id): Id<CaseId>,
    Body(wish): Body<Reveal>,
) -> Result<Secret<RevealedFields>, Problem> {
    Ok(Secret(RevealedFields { fields: app.cases.reveal(id, &wish, &who.actor()).await? }))
}

/// One case, with what the asking person may do now.
#[utoipa::path(get, path = "/api/v1/cases/{id}", tag = "cases", params(("id" = String, Path, format = Uuid, description = "The case")),
    responses((status = 200, description = "The case", body = View, headers(("ETag" = String, description = "Its version"))),
        (status = "default", response = super::docs::AnyProblem)))]
async fn one(Of(app): Of<App>, who: Who<SeeCases>, Id(id): Id<CaseId>) -> Result<Tagged<View>, Problem> {
    let view = app.cases.get(id, &who.actor()).await?;
    Ok(Tagged(view.version, view))
}

/// New values for fields. Fields that are absent stay; `null` empties one. For the description alone: the body is
/// read key by key, to name the one that is wrong.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct EditRequest {
    /// The version that was seen; may also come as `If-Match`.
    version: Option<u64>,
    /// May also stand beside `version` one by one.
    fields: Edits,
}

/// Corrects fields. The machine's values stay in the history.
#[utoipa::path(patch, path = "/api/v1/cases/{id}", tag = "cases",
    params(("id" = String, Path, format = Uuid, description = "The case"), ("If-Match" = Option<String>, Header, description = "The ETag that was seen")),
    request_body = EditRequest,
    responses((status = 200, description = "The case as it is now", body = View),
        (status = 403, description = "Not for the asking person", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "Changed meanwhile: `version` and `changes` tell how", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Refused, with the reason", body = Problem, content_type = "application/problem+json"),
        (status = "default", response = super::docs::AnyProblem)))]
async fn edit(
    Of(app): Of<App>,
    who: Who<MoveCases>,
    Id(id): Id<CaseId>,
    headers: HeaderMap,
    Body(mut body): Body<Map<String, Value>>,
) -> Result<Tagged<View>, Problem> {
    let version = version(&headers, &mut body)?;
    match body.remove("fields") {
        None => {}
        Some(Value::Object(fields)) => body.extend(fields),
        Some(_) => return Err(Kind::BadRequest.because("fields: is no object").with("field", "fields")),
    }
    let edits: Edits = serde_path_to_error::deserialize(Value::Object(body)).map_err(|error| unreadable(&error))?;
    let command = Command::Edit { fields: Box::new(edits) };
    let view = app.cases.run(id, version, command, &who.actor()).await?;
    Ok(Tagged(view.version, view))
}

/// What an action needs besides the version. For the description alone: each action reads its own keys.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ActionRequest {
    /// The version that was seen; may also come as `If-Match`.
    version: Option<u64>,
    /// `confirm`: the case was read back to the caller.
    read_back: Option<bool>,
    /// `answer_on_spot`: what the caller was told.
    answer_text: Option<String>,
    /// `refuse`: `N1` to `N7`; `void`: `silent`, `nuisance`, `test`.
    reason: Option<String>,
    /// `refuse`: the way to go that the caller was told.
    path: Option<String>,
    /// `merge_into`: the case that goes on.
    parent: Option<String>,
    /// `dispatch`: the leading unit, `WATER` or `371526-ZJ`; without it the catalogue's choice.
    lead: Option<String>,
    /// `dispatch`: helping units.
    co: Option<Vec<String>>,
    /// `dispatch`: without it the category's, raised by the urgency.
    time_class: Option<String>,
}

/// Makes a move: `confirm`, `answer_on_spot`, `refuse`, `void`, `merge_into`, `dispatch`.
#[utoipa::path(post, path = "/api/v1/cases/{id}/actions/{action}", tag = "cases",
    params(("id" = String, Path, format = Uuid, description = "The case"), ("action" = String, Path, description = "One of the case's `allowed_actions`"),
        ("If-Match" = Option<String>, Header, description = "The ETag that was seen")),
    request_body = ActionRequest,
    responses((status = 200, description = "The case as it is now", body = View),
        (status = 403, description = "Not for the asking person", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "Changed meanwhile: `version` and `changes` tell how", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Refused, with the reason", body = Problem, content_type = "application/problem+json"),
        (status = "default", response = super::docs::AnyProblem)))]
async fn act(
    Of(app): Of<App>,
    who: Who<MoveCases>,
    Id(id): Id<CaseId>,
    Action(action): Action,
    headers: HeaderMap,
    Body(mut body): Body<Map<String, Value>>,
) -> Result<Tagged<View>, Problem> {
    let version = version(&headers, &mut body)?;
    let view = app.cases.act(id, version, &action, Value::Object(body), &who.actor()).await?;
    Ok(Tagged(view.version, view))
}

/// A page of a history.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Since {
    /// `next` of the page before: the last `seq` seen.
    after: Option<String>,
    /// 1 to 200, usually 50.
    limit: Option<u32>,
}

/// The history, oldest first. It only ever grows.
#[utoipa::path(get, path = "/api/v1/cases/{id}/events", tag = "cases", params(("id" = String, Path, format = Uuid, description = "The case"), Since),
    responses((status = 200, description = "A page of events", body = Page<EventView>), (status = "default", response = super::docs::AnyProblem)))]
async fn events(
    Of(app): Of<App>,
    who: Who<SeeCases>,
    Id(id): Id<CaseId>,
    Asked(query): Asked<Since>,
) -> Result<Json<Page<EventView>>, Problem> {
    let (limit, after) = (limit(query.limit)?, after::<u64>(query.after.as_ref())?.unwrap_or(0));
    let events = app.cases.events(id, &who.actor()).await?;
    let rows = events.into_iter().filter(|event| event.seq > after).take(limit as usize + 1).collect();
    Ok(Json(Page::cut(rows, limit, |event| event.seq.to_string(), |event| event)))
}

impl From<CaseError> for Problem {
    fn from(error: CaseError) -> Self {
        match &error {
            CaseError::NotFound(_) | CaseError::NoCall(_) => Kind::NotFound.because(error.to_string()),
            CaseError::Stale { version, since, .. } => {
                let changes = serde_json::to_value(since).unwrap_or_default();
                Kind::Stale.because(error.to_string()).with("version", *version).with("changes", changes)
            }
            CaseError::Refused(refusal) => refused(refusal),
            CaseError::Calendar(mistakes) => {
                super::calendar::unusable(mistakes).unwrap_or_else(|| Self::ours(&error, false))
            }
            CaseError::Store(inner) => Self::ours(&error, inner.is_passing()),
            CaseError::Broken(_) | CaseError::Damaged(_) | CaseError::Unreadable(_) => Self::ours(&error, false),
        }
    }
}

fn refused(refusal: &Refusal) -> Problem {
    let kind = match refusal {
        Refusal::Right { .. } => Kind::Forbidden,
        Refusal::Unknown(_) => Kind::NotFound,
        Refusal::Body { .. } => Kind::BadRequest,
        _ => Kind::Refused,
    };
    let problem = kind.because(refusal.to_string());
    match refusal {
        Refusal::Unavailable { .. } => problem.with("reason", "unavailable"),
        Refusal::State { state, .. } => problem.with("reason", "state").with("state", state.as_str()),
        Refusal::Missing(fields) => problem.with("reason", "missing").with("fields", fields.clone()),
        Refusal::Fields(wrong) => {
            problem.with("reason", "fields").with("fields", serde_json::to_value(wrong).unwrap_or_default())
        }
        Refusal::Guard { .. } => problem.with("reason", "guard"),
        Refusal::Right { .. } | Refusal::Unknown(_) | Refusal::Body { .. } => problem,
    }
}
