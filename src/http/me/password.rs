//! One's own password.

use axum::{
    extract::State,
    http::{HeaderMap, StatusCode},
};
use axum_extra::extract::cookie::CookieJar;
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::super::{
    App,
    credentials::set_cookie,
    docs::AnyProblem,
    extract::{Body, OwnAccount, Who},
    problem::Problem,
    serve::Peer,
};
use crate::telemetry::Private;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(change))
}

/// The password as it is and as it is to be.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PasswordRequest {
    #[schema(value_type = String, format = Password)]
    old: Private<String>,
    #[schema(value_type = String, format = Password)]
    new: Private<String>,
}

/// Changes one's own password. All log-ins end; the one that asks goes on under a new cookie.
#[utoipa::path(post, path = "/api/v1/me/password", tag = "me", request_body = PasswordRequest,
    responses((status = 204, description = "Changed"),
        (status = 422, description = "The old one is wrong (`wrong`), or the new one may not be used (`weak`: `short`, `long`, `plain`, `name`, `common`, `former`)", body = Problem, content_type = "application/problem+json"),
        (status = "default", response = AnyProblem)))]
async fn change(
    State(app): State<App>,
    who: Who<OwnAccount>,
    peer: Peer,
    headers: HeaderMap,
    Body(request): Body<PasswordRequest>,
) -> Result<(StatusCode, CookieJar), Problem> {
    app.users.change_password(&who.user, request.old, request.new).await?;
    let cookies = match who.session() {
        Some(_) => set_cookie(Some(&app.sessions.again(who.user.id).await?), peer, &headers),
        None => CookieJar::new(),
    };
    Ok((StatusCode::NO_CONTENT, cookies))
}
