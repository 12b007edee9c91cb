//! One's own second factor.

use axum::{extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::super::{
    App,
    docs::AnyProblem,
    extract::{Body, OwnAccount, Who},
    idempotency::Secret,
    problem::Problem,
};
use crate::telemetry::Private;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(enrol, remove)).routes(routes!(confirm))
}

/// What the person's device needs, shown once.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct EnrolmentView {
    /// Base 32, to be typed.
    secret: String,
    /// `otpauth://totp/…`, to be shown as a QR code.
    otpauth_url: String,
}

/// A code from the device.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CodeRequest {
    /// Six digits.
    #[schema(value_type = String)]
    code: Private<String>,
}

/// A code and the password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RemovalRequest {
    /// Six digits.
    #[schema(value_type = String)]
    code: Private<String>,
    #[schema(value_type = String, format = Password)]
    password: Private<String>,
}

/// Makes a second factor (RFC 6238: SHA-1, six digits, 30 s). It comes into force with its first code.
#[utoipa::path(post, path = "/api/v1/me/totp", tag = "me",
    responses((status = 201, description = "The secret, shown this once", body = EnrolmentView),
        (status = 422, description = "There is one already", body = Problem, content_type = "application/problem+json"),
        (status = "default", response = AnyProblem)))]
async fn enrol(State(app): State<App>, who: Who<OwnAccount>) -> Result<(StatusCode, Secret<EnrolmentView>), Problem> {
    let made = app.sessions.enrol_totp(&who.user).await?;
    Ok((StatusCode::CREATED, Secret(EnrolmentView { secret: made.secret.0, otpauth_url: made.url.0 })))
}

/// Puts the second factor in force.
#[utoipa::path(post, path = "/api/v1/me/totp/confirm", tag = "me", request_body = CodeRequest,
    responses((status = 204, description = "Log-ins need a code from now on"),
        (status = 422, description = "The code is wrong, or there is nothing to confirm", body = Problem, content_type = "application/problem+json"),
        (status = "default", response = AnyProblem)))]
async fn confirm(
    State(app): State<App>,
    who: Who<OwnAccount>,
    Body(request): Body<CodeRequest>,
) -> Result<StatusCode, Problem> {
    app.sessions.confirm_totp(&who.user, request.code.reveal()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Takes the second factor away, with a code and the password.
#[utoipa::path(delete, path = "/api/v1/me/totp", tag = "me", request_body = RemovalRequest,
    responses((status = 204, description = "Log-ins need no code any more"),
        (status = 422, description = "Code or password are wrong, or there is none", body = Problem, content_type = "application/problem+json"),
        (status = "default", response = AnyProblem)))]
async fn remove(
    State(app): State<App>,
    who: Who<OwnAccount>,
    Body(request): Body<RemovalRequest>,
) -> Result<StatusCode, Problem> {
    app.sessions.remove_totp(&who.user, request.password, request.code.reveal()).await?;
    Ok(StatusCode::NO_CONTENT)
}
