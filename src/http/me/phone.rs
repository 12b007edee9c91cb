//! The telephone of one's own seat in a browser.

use axum::{Json, extract::State};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::super::{
    App,
    docs::AnyProblem,
    extract::{OwnAccount, Who},
    problem::Problem,
    view::Moment,
};
use crate::users::Loan;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(lend))
}

/// What a browser registers with, over a WebSocket at `/sip`.
#[derive(Serialize, ToSchema)]
pub(super) struct LoanView {
    /// The seat.
    extension: String,
    /// What the telephone is called in the digest.
    username: String,
    realm: String,
    #[schema(format = Password)]
    secret: String,
    /// From then on it is not taken any more; who is registered stays so until the registration ends.
    #[schema(value_type = String, format = DateTime)]
    expires: Moment,
}

impl From<Loan> for LoanView {
    fn from(loan: Loan) -> Self {
        let Loan { extension, realm, name: username, secret, expires } = loan;
        Self { extension, username, realm, secret: secret.reveal().clone(), expires: Moment(expires) }
    }
}

/// Lends a secret for the telephone of one's seat: for twelve hours, and no longer than the seat's own is taken.
#[utoipa::path(post, path = "/api/v1/me/sip-secret", tag = "me",
    responses((status = 200, description = "What to register with", body = LoanView),
        (status = 422, description = "The person has no seat", body = Problem, content_type = "application/problem+json"),
        (status = "default", response = AnyProblem)))]
async fn lend(State(app): State<App>, who: Who<OwnAccount>) -> Result<Json<LoanView>, Problem> {
    Ok(Json(app.telephones.lend(&who.user).await?.into()))
}
