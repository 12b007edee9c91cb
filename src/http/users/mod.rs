//! Who has a log-in. The administrators are separate: one keeps the accounts, another gives roles and passwords, the
//! third reads.

mod actions;
mod recovery;
mod refusal;

use axum::{Json, extract::State, http::StatusCode};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    App,
    docs::AnyProblem,
    extract::{Asked, Body, GrantRoles, Id, KeepUsers, SeeUsers, Who},
    problem::{Kind, Problem},
    view::{Moment, Page, after, limit},
};
use crate::{
    domain::{ids::UserId, role::Role},
    store::UserRow,
    users::{By, Change, Opening, Owed},
};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list, open))
        .routes(routes!(one, change))
        .routes(routes!(set_roles))
        .merge(actions::routes())
        .merge(recovery::routes())
}

/// One person.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct UserView {
    #[schema(value_type = String, format = Uuid)]
    id: UserId,
    name: String,
    roles: Vec<Role>,
    unit: Option<String>,
    extension: Option<String>,
    /// What they are good at, as desks ask for it.
    skills: Vec<String>,
    state: UserState,
    /// Until when wrong passwords have locked the log-in.
    #[schema(value_type = Option<String>, format = DateTime)]
    locked_until: Option<Moment>,
    /// Whether there is a password to log in with.
    password: bool,
    must_change_password: bool,
    /// Whether a log-in needs a code.
    totp: bool,
    version: u64,
    #[schema(value_type = String, format = DateTime)]
    created: Moment,
}

#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum UserState {
    Active,
    /// No log-in and no token is taken.
    Disabled,
}

async fn view(app: &App, row: UserRow) -> Result<UserView, Problem> {
    let locked_until = app.users.locked_until(&row).await?;
    Ok(UserView {
        id: row.id,
        must_change_password: app.users.owes(&row) == Some(Owed::Password),
        name: row.name,
        roles: row.roles,
        unit: row.unit,
        extension: row.extension,
        skills: row.skills,
        state: if row.disabled { UserState::Disabled } else { UserState::Active },
        locked_until: locked_until.map(Moment),
        password: row.password.is_some(),
        totp: row.totp,
        version: row.version,
        created: Moment(row.created),
    })
}

/// A page of a list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Paging {
    /// `next` of the page before.
    after: Option<String>,
    /// 1 to 200, usually 50.
    limit: Option<u32>,
}

/// People, in the order they were added.
#[utoipa::path(get, path = "/api/v1/users", tag = "users", params(Paging),
    responses((status = 200, description = "A page of people", body = Page<UserView>), (status = "default", response = AnyProblem)))]
async fn list(
    State(app): State<App>,
    _: Who<SeeUsers>,
    Asked(query): Asked<Paging>,
) -> Result<Json<Page<UserView>>, Problem> {
    let limit = limit(query.limit)?;
    let rows = app.users.list(after(query.after.as_ref())?, limit + 1).await?;
    let Page { items: rows, next } = Page::cut(rows, limit, |row| row.id.to_string(), |row| row);
    let mut items = Vec::with_capacity(rows.len());
    for row in rows {
        items.push(view(&app, row).await?);
    }
    Ok(Json(Page { items, next }))
}

/// One person.
#[utoipa::path(get, path = "/api/v1/users/{id}", tag = "users", params(("id" = String, Path, format = Uuid, description = "The person")),
    responses((status = 200, description = "The person", body = UserView), (status = "default", response = AnyProblem)))]
async fn one(State(app): State<App>, _: Who<SeeUsers>, Id(id): Id<UserId>) -> Result<Json<UserView>, Problem> {
    Ok(Json(view(&app, app.users.get(id).await?).await?))
}

/// An account to be opened.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct OpeningRequest {
    /// 1 to 64 letters, digits, `.`, `_` or `-`.
    name: String,
    /// `WATER` or `371526-ZJ`.
    unit: Option<String>,
    /// Seat, digits.
    extension: Option<String>,
    /// What they are good at, as desks ask for it: dialects, topics.
    #[serde(default)]
    skills: Vec<String>,
}

/// Opens an account. It can do nothing until the security administrator has given it roles and a password.
#[utoipa::path(post, path = "/api/v1/users", tag = "users", request_body = OpeningRequest,
    params(("Idempotency-Key" = Option<String>, Header, description = "Sent again with the same key and body, it gets the first answer")),
    responses((status = 201, description = "The account", body = UserView),
        (status = 422, description = "The name or the extension is taken", body = Problem, content_type = "application/problem+json"),
        (status = "default", response = AnyProblem)))]
async fn open(
    State(app): State<App>,
    who: Who<KeepUsers>,
    Body(request): Body<OpeningRequest>,
) -> Result<(StatusCode, Json<UserView>), Problem> {
    let OpeningRequest { name, unit, extension, skills } = request;
    known(&app, unit.as_deref())?;
    let row = app.users.open(&By::from(&who.user), Opening { name, unit, extension, skills }).await?;
    Ok((StatusCode::CREATED, Json(view(&app, row).await?)))
}

/// What is to be changed; what is absent stays, `null` empties.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(clippy::option_option, reason = "absent, null and a value are three different wishes")]
pub(super) struct ChangeRequest {
    /// The version that was seen.
    version: u64,
    name: Option<String>,
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    unit: Option<Option<String>>,
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    extension: Option<Option<String>>,
    /// All that they are good at.
    skills: Option<Vec<String>>,
}

/// Tells `null` from a key that is absent.
#[expect(clippy::option_option, reason = "absent, null and a value are three different wishes")]
fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// Changes name, unit, extension or skills.
#[utoipa::path(patch, path = "/api/v1/users/{id}", tag = "users", params(("id" = String, Path, format = Uuid, description = "The person")),
    request_body = ChangeRequest,
    responses((status = 200, description = "The person as they are now", body = UserView),
        (status = 409, description = "Changed meanwhile: `version` is the newest", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Refused, with the reason", body = Problem, content_type = "application/problem+json"),
        (status = "default", response = AnyProblem)))]
async fn change(
    State(app): State<App>,
    who: Who<KeepUsers>,
    Id(id): Id<UserId>,
    Body(request): Body<ChangeRequest>,
) -> Result<Json<UserView>, Problem> {
    known(&app, request.unit.as_ref().and_then(Option::as_deref))?;
    let ChangeRequest { version, name, unit, extension, skills } = request;
    let change = Change { name, unit, extension, skills };
    let row = app.users.change(&By::from(&who.user), id, version, change).await?;
    Ok(Json(view(&app, row).await?))
}

/// All roles of a person.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RolesRequest {
    /// The version that was seen.
    version: u64,
    /// All that they are to have.
    roles: Vec<Role>,
}

/// Gives a person exactly these roles. Their log-ins end.
#[utoipa::path(put, path = "/api/v1/users/{id}/roles", tag = "users", params(("id" = String, Path, format = Uuid, description = "The person")),
    request_body = RolesRequest,
    responses((status = 200, description = "The person as they are now", body = UserView),
        (status = 409, description = "Changed meanwhile: `version` is the newest", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "These roles exclude each other, or one needs a unit, or the last administrator would be gone", body = Problem, content_type = "application/problem+json"),
        (status = "default", response = AnyProblem)))]
async fn set_roles(
    State(app): State<App>,
    who: Who<GrantRoles>,
    Id(id): Id<UserId>,
    Body(request): Body<RolesRequest>,
) -> Result<Json<UserView>, Problem> {
    let row = app.users.set_roles(&By::from(&who.user), id, request.version, request.roles).await?;
    Ok(Json(view(&app, row).await?))
}

/// Whether the city has such a unit.
fn known(app: &App, unit: Option<&str>) -> Result<(), Problem> {
    match unit {
        Some(unit) if app.city.unit(unit).is_none() => {
            Err(Kind::BadRequest.because(format!("unit: there is no unit `{unit}`")).with("field", "unit"))
        }
        _ => Ok(()),
    }
}
