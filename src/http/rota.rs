//! Officials' turns on the lines, and where they sit.

use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
};
use jiff::{ToSpan, civil::Date};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::{
    App,
    extract::{Asked, Body, Id, SeeCity, SetRota, SignIn, Who},
    problem::{Kind, Problem},
    view::{Moment, Page},
};
use crate::{
    domain::{
        audit::Action,
        calendar::local,
        rota::{DayPlan, day},
        seat::SeatId,
    },
    store::{AuditEntry, TurnRow},
    switchboard::Switchboard,
    users::By,
};

/// Days shown at once, at most.
const MOST_DAYS: i32 = 366;
/// Days shown where nobody says how many.
const USUAL_DAYS: i64 = 6;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(show)).routes(routes!(put)).routes(routes!(sign_in, sign_out))
}

/// Which days.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Wanted {
    /// `2026-11-27`; usually today.
    from: Option<String>,
    /// The last day; usually six days later.
    to: Option<String>,
}

/// One turn.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TurnView {
    id: Uuid,
    /// Name of the official's account.
    person: String,
    unit: Option<String>,
    rank: String,
    #[schema(value_type = String, format = DateTime)]
    starts: Moment,
    #[schema(value_type = String, format = DateTime)]
    ends: Moment,
    /// The desk whose callers go there first; null: all.
    desk: Option<String>,
    topics: Vec<String>,
}

/// Whose turn it is and will be.
#[utoipa::path(get, path = "/api/v1/rota", tag = "seats", params(Wanted),
    responses((status = 200, description = "The turns that begin on these days, in order", body = Page<TurnView>), (status = "default", response = super::docs::AnyProblem)))]
async fn show(
    State(app): State<App>,
    _: Who<SeeCity>,
    Asked(query): Asked<Wanted>,
) -> Result<Json<Page<TurnView>>, Problem> {
    let from = match &query.from {
        Some(text) => date("from", text)?,
        None => local(app.clock.now()).date(),
    };
    let to = match &query.to {
        Some(text) => date("to", text)?,
        None => from.saturating_add(USUAL_DAYS.days()),
    };
    let days = from.until(to).map_or(-1, |span| span.get_days());
    if !(0..MOST_DAYS).contains(&days) {
        return Err(bad("to", "at most a year after `from`"));
    }
    let (begin, _) = day(from).ok_or_else(|| bad("from", "is no day of the calendar"))?;
    let (_, end) = day(to).ok_or_else(|| bad("to", "is no day of the calendar"))?;
    Ok(Json(page(app.store.turns(begin, end).await?)))
}

/// Puts a day's turns in the place of those that were there.
#[utoipa::path(put, path = "/api/v1/rota/{date}", tag = "seats", request_body = DayPlan,
    params(("date" = String, Path, format = Date, description = "The day on which the turns begin")),
    responses((status = 200, description = "The day's turns", body = Page<TurnView>),
        (status = "default", response = super::docs::AnyProblem)))]
async fn put(
    State(app): State<App>,
    who: Who<SetRota>,
    Path(text): Path<String>,
    Body(plan): Body<DayPlan>,
) -> Result<Json<Page<TurnView>>, Problem> {
    let date = date("date", &text)?;
    let desks = app.switchboard.as_ref().map(Switchboard::desks);
    let turns = app.users.set_rota(&By::from(&who.user), date, plan, desks).await?;
    Ok(Json(page(turns)))
}

/// Signs an official in at a seat, whose telephone has to be registered: in their turn callers go there first, and the calls
/// taken there are marked as theirs. Whoever sat there as an official before sits there no longer.
#[utoipa::path(put, path = "/api/v1/seats/{id}/official", tag = "seats",
    params(("id" = String, Path, description = "The seat's extension, `8001`")),
    responses((status = 204, description = "They sit there"), (status = 503, description = "This process takes no calls", body = Problem, content_type = "application/problem+json"),
        (status = "default", response = super::docs::AnyProblem)))]
async fn sign_in(State(app): State<App>, who: Who<SignIn>, Id(seat): Id<String>) -> Result<StatusCode, Problem> {
    let seat = SeatId::from(seat.as_str());
    super::seats::known(&app, &seat).await?;
    let mut tx = app.store.begin().await?;
    tx.sign_in(&seat, who.user.id).await?;
    tx.audit(entry(&who, Action::OfficialSignedIn, &seat));
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Signs an official out of the seat where they sit.
#[utoipa::path(delete, path = "/api/v1/seats/{id}/official", tag = "seats",
    params(("id" = String, Path, description = "The seat's extension, `8001`")),
    responses((status = 204, description = "They sit there no longer"), (status = "default", response = super::docs::AnyProblem)))]
async fn sign_out(State(app): State<App>, who: Who<SignIn>, Id(seat): Id<String>) -> Result<StatusCode, Problem> {
    let seat = SeatId::from(seat.as_str());
    let mut tx = app.store.begin().await?;
    if !tx.sign_out(&seat, who.user.id).await? {
        return Err(Kind::NotFound.because(format!("you do not sit at `{seat}`")));
    }
    tx.audit(entry(&who, Action::OfficialSignedOut, &seat));
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

fn entry(who: &Who<SignIn>, action: Action, seat: &SeatId) -> AuditEntry {
    let (user, name) = (Some(who.user.id), who.user.name.clone());
    AuditEntry { user, name, action, subject: format!("seat:{seat}"), detail: json!({}) }
}

fn page(turns: Vec<TurnRow>) -> Page<TurnView> {
    let view = |turn: TurnRow| TurnView {
        id: turn.id,
        person: turn.name,
        unit: turn.unit,
        rank: turn.rank,
        starts: Moment(turn.starts),
        ends: Moment(turn.ends),
        desk: turn.desk.map(|desk| desk.to_string()),
        topics: turn.topics,
    };
    Page { items: turns.into_iter().map(view).collect(), next: None }
}

fn date(field: &str, text: &str) -> Result<Date, Problem> {
    text.parse().map_err(|_| bad(field, &format!("`{text}` is no day such as 2026-11-27")))
}

fn bad(field: &str, problem: &str) -> Problem {
    Kind::BadRequest.because(format!("{field}: {problem}")).with("field", field)
}
