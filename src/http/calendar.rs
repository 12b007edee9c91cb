//! The calendar: which days are worked, where that is known from, and a new year put into force.

use axum::{
    Json,
    extract::{Path, State},
};
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    App,
    extract::{Asked, Body, SeeCity, SetCalendar, Who},
    problem::{Kind, Problem},
    view::Moment,
};
use crate::{
    cases::KnownYear,
    domain::{
        calendar::{CalendarError, Day, DayKind, Origin, local},
        year::{Holiday, YearPlan},
    },
    store::{RecalculationState, YearOrigin},
};

/// Days a page: a year is shown whole unless less is asked for.
const WHOLE: u32 = 366;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(show)).routes(routes!(put))
}

/// Which days.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Wanted {
    /// 2000 to 2100, usually the present one.
    year: Option<i16>,
    /// `next` of the page before: the last day seen.
    after: Option<String>,
    /// 1 to 366, usually all.
    limit: Option<u32>,
}

/// A year's days.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct YearView {
    year: i16,
    /// Counts what was ever in force; 0 where it is the settings' own or nothing is known.
    revision: u64,
    /// The notice; null where nothing is known but the week's pattern.
    source: Option<String>,
    /// Not announced, or not known at all: due dates may still move.
    provisional: bool,
    /// Absent where no database holds the year.
    import: Option<ImportView>,
    items: Vec<DayView>,
    /// `after` of the next page; null at the end.
    next: Option<String>,
}

/// How a year came to be in force, and how far open cases have been brought to it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ImportView {
    origin: YearOrigin,
    by: String,
    #[schema(value_type = String, format = DateTime)]
    at: Moment,
    recalculation: RecalculationState,
    /// Cases that have new dates.
    changed: u64,
    /// Cases whose dates stayed.
    unchanged: u64,
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DayView {
    #[schema(value_type = String, format = Date)]
    date: String,
    kind: DayKind,
    /// Whether people work on it.
    works: bool,
    /// The holiday's.
    name: Option<String>,
    source: Option<String>,
    provisional: bool,
}

/// The days of a year: kind, source, and whether it is announced yet.
#[utoipa::path(get, path = "/api/v1/calendar", tag = "city", params(Wanted),
    responses((status = 200, description = "The year's days", body = YearView), (status = "default", response = super::docs::AnyProblem)))]
async fn show(State(app): State<App>, _: Who<SeeCity>, Asked(query): Asked<Wanted>) -> Result<Json<YearView>, Problem> {
    let year = in_range(query.year.unwrap_or_else(|| local(app.clock.now()).year()))?;
    let limit = match query.limit.unwrap_or(WHOLE) {
        limit @ 1..=WHOLE => limit,
        limit => return Err(bad("limit", &format!("{limit} is not between 1 and {WHOLE}"))),
    };
    let after: Option<Date> = match &query.after {
        Some(text) => Some(text.parse().map_err(|_| bad("after", "is not the `next` of a page"))?),
        None => None,
    };
    Ok(Json(YearView::of(&app.cases.year(year).await?, year, after, limit)))
}

/// A year to be put into force, in the words of the notice.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct YearRequest {
    /// May be left out; if it is there, it is the path's.
    year: Option<i16>,
    /// The notice's number.
    source: String,
    #[serde(default)]
    provisional: bool,
    holidays: Vec<Holiday>,
    /// 调休: weekend days on which people work.
    makeup_workdays: Vec<String>,
}

/// Puts a year into force, in every process at once; due dates of open cases follow in the background.
#[utoipa::path(put, path = "/api/v1/calendar/{year}", tag = "city", params(("year" = i16, Path, description = "2000 to 2100")),
    request_body = YearRequest,
    responses((status = 200, description = "The year as it is in force now", body = YearView),
        (status = 403, description = "Not for the asking person", body = Problem, content_type = "application/problem+json"),
        (status = "default", response = super::docs::AnyProblem)))]
async fn put(
    State(app): State<App>,
    who: Who<SetCalendar>,
    Path(year): Path<String>,
    Body(body): Body<YearRequest>,
) -> Result<Json<YearView>, Problem> {
    let year = year.parse().map_err(|_| Kind::NotFound.because(format!("`{year}` is no year"))).and_then(in_range)?;
    if body.year.is_some_and(|own| own != year) {
        return Err(bad("year", &format!("is not {year}, as the address says")));
    }
    let YearRequest { year: _, source, provisional, holidays, makeup_workdays } = body;
    let plan = YearPlan { year, source, provisional, holidays, makeup_workdays };
    app.cases.import_year(&plan, Some(&who.actor())).await?;
    Ok(Json(YearView::of(&app.cases.year(year).await?, year, None, WHOLE)))
}

impl YearView {
    fn of(known: &KnownYear, year: i16, after: Option<Date>, limit: u32) -> Self {
        let Origin { revision, source, provisional, .. } = known.calendar.origin(year);
        let view = |day: Day<'_>| DayView {
            date: day.date.to_string(),
            kind: day.kind,
            works: day.kind.is_worked(),
            name: day.name.map(str::to_owned),
            source: source.clone(),
            provisional,
        };
        let days = known.calendar.days(year);
        let mut left = days.filter(|day| after.is_none_or(|after| day.date > after)).peekable();
        let items: Vec<_> = left.by_ref().take(limit as usize).map(view).collect();
        let next = items.last().filter(|_| left.peek().is_some()).map(|day| day.date.clone());
        let import = known.row.as_ref().map(|row| ImportView {
            origin: row.origin,
            by: row.made_by.clone(),
            at: Moment(row.made),
            recalculation: row.recalculation.state,
            changed: row.recalculation.changed,
            unchanged: row.recalculation.unchanged,
        });
        Self { year, revision, source: source.clone(), provisional, import, items, next }
    }
}

fn in_range(year: i16) -> Result<i16, Problem> {
    if YearPlan::YEARS.contains(&year) {
        return Ok(year);
    }
    let (first, last) = (YearPlan::YEARS.start(), YearPlan::YEARS.end());
    Err(bad("year", &format!("{year} is not between {first} and {last}")))
}

fn bad(field: &str, problem: &str) -> Problem {
    Kind::BadRequest.because(format!("{field}: {problem}")).with("field", field)
}

/// Mistakes in a year that somebody sent, each with its key.
pub(super) fn unusable(error: &CalendarError) -> Option<Problem> {
    let CalendarError::Year { problems, .. } = error else { return None };
    let list: Vec<_> =
        problems.0.iter().map(|(field, problem)| serde_json::json!({ "field": field, "problem": problem })).collect();
    Some(Kind::BadRequest.because(error.to_string()).with("problems", list))
}
