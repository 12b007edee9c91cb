//! A lost second factor, taken away by two administrators together.

use axum::{Json, extract::State, http::StatusCode};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    super::{
        App,
        docs::AnyProblem,
        extract::{Id, RecoverTotp, Who},
        idempotency::Secret,
        problem::Problem,
        view::Moment,
    },
    actions::OneTimePassword,
};
use crate::domain::ids::UserId;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(ask)).routes(routes!(approve))
}

/// A wish that waits for a second administrator.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct WishView {
    /// Until when it may be approved.
    #[schema(value_type = String, format = DateTime)]
    open_until: Moment,
}

/// Asks to take a person's second factor away. An administrator of another kind approves it within 24 hours.
#[utoipa::path(post, path = "/api/v1/users/{id}/totp-recovery", tag = "users", params(("id" = String, Path, format = Uuid, description = "The person")),
    responses((status = 202, description = "Asked; an older wish is replaced", body = WishView),
        (status = 422, description = "They have no second factor", body = Problem, content_type = "application/problem+json"),
        (status = "default", response = AnyProblem)))]
async fn ask(
    State(app): State<App>,
    who: Who<RecoverTotp>,
    Id(id): Id<UserId>,
) -> Result<(StatusCode, Json<WishView>), Problem> {
    let open_until = Moment(app.users.ask_recovery(&who.user, id).await?);
    Ok((StatusCode::ACCEPTED, Json(WishView { open_until })))
}

/// Approves it: the second factor is gone, log-ins end, the person gets a one-time password.
#[utoipa::path(post, path = "/api/v1/users/{id}/totp-recovery/approve", tag = "users", params(("id" = String, Path, format = Uuid, description = "The person")),
    responses((status = 200, description = "The password, shown this once", body = OneTimePassword),
        (status = 422, description = "Nobody asked (`not_asked`), the same person did (`same_person`) or one of the same kind (`same_kind`)", body = Problem, content_type = "application/problem+json"),
        (status = "default", response = AnyProblem)))]
async fn approve(
    State(app): State<App>,
    who: Who<RecoverTotp>,
    Id(id): Id<UserId>,
) -> Result<Secret<OneTimePassword>, Problem> {
    let password = app.users.approve_recovery(&who.user, id).await?;
    Ok(Secret(OneTimePassword { one_time_password: password.0 }))
}
