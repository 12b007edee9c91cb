//! Accounts closed, opened again, unlocked, given a new password.

use axum::{Json, extract::State};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    super::{
        App,
        docs::AnyProblem,
        extract::{GrantRoles, Id, KeepUsers, Who},
        idempotency::Secret,
        problem::Problem,
    },
    UserView, view,
};
use crate::{domain::ids::UserId, users::By};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(disable))
        .routes(routes!(enable))
        .routes(routes!(unlock))
        .routes(routes!(reset_password))
}

/// A password that has to be changed at the first log-in.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct OneTimePassword {
    /// Shown this once.
    pub(super) one_time_password: String,
}

/// Closes an account: its log-ins end, no log-in and no token is taken any more.
#[utoipa::path(post, path = "/api/v1/users/{id}/actions/disable", tag = "users", params(("id" = String, Path, format = Uuid, description = "The person")),
    responses((status = 200, description = "The person as they are now", body = UserView),
        (status = 422, description = "The last system or security administrator stays", body = Problem, content_type = "application/problem+json"),
        (status = "default", response = AnyProblem)))]
async fn disable(State(app): State<App>, who: Who<KeepUsers>, Id(id): Id<UserId>) -> Result<Json<UserView>, Problem> {
    Ok(Json(view(&app, app.users.disable(&By::from(&who.user), id).await?).await?))
}

/// Opens an account again.
#[utoipa::path(post, path = "/api/v1/users/{id}/actions/enable", tag = "users", params(("id" = String, Path, format = Uuid, description = "The person")),
    responses((status = 200, description = "The person as they are now", body = UserView), (status = "default", response = AnyProblem)))]
async fn enable(State(app): State<App>, who: Who<KeepUsers>, Id(id): Id<UserId>) -> Result<Json<UserView>, Problem> {
    Ok(Json(view(&app, app.users.enable(&By::from(&who.user), id).await?).await?))
}

/// Lets somebody try again at once whom wrong passwords have locked.
#[utoipa::path(post, path = "/api/v1/users/{id}/actions/unlock", tag = "users", params(("id" = String, Path, format = Uuid, description = "The person")),
    responses((status = 200, description = "The person as they are now", body = UserView), (status = "default", response = AnyProblem)))]
async fn unlock(State(app): State<App>, who: Who<GrantRoles>, Id(id): Id<UserId>) -> Result<Json<UserView>, Problem> {
    Ok(Json(view(&app, app.users.unlock(&By::from(&who.user), id).await?).await?))
}

/// Gives a person a one-time password. Their log-ins end.
#[utoipa::path(post, path = "/api/v1/users/{id}/actions/reset_password", tag = "users", params(("id" = String, Path, format = Uuid, description = "The person")),
    responses((status = 200, description = "The password, shown this once", body = OneTimePassword), (status = "default", response = AnyProblem)))]
async fn reset_password(
    State(app): State<App>,
    who: Who<GrantRoles>,
    Id(id): Id<UserId>,
) -> Result<Secret<OneTimePassword>, Problem> {
    let password = app.users.reset_password(&By::from(&who.user), id).await?;
    Ok(Secret(OneTimePassword { one_time_password: password.0 }))
}
