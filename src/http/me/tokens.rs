//! One's own tokens, for systems that act in one's name.

use axum::{Json, extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::super::{
    App,
    docs::AnyProblem,
    extract::{Body, Id, OwnAccount, Who},
    idempotency::Secret,
    problem::{Kind, Problem},
    rights::Right,
    view::{Moment, Page},
};
use crate::{
    domain::ids::TokenId,
    store::TokenRow,
    users::{By, NewToken},
};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list, make)).routes(routes!(revoke))
}

/// One token. The token itself was shown when it was made.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TokenView {
    #[schema(value_type = String, format = Uuid)]
    id: TokenId,
    /// What it is for.
    name: String,
    /// Names of rights; null: all that its person has.
    scope: Option<Vec<String>>,
    #[schema(value_type = String, format = DateTime)]
    created: Moment,
    #[schema(value_type = String, format = DateTime)]
    ends: Moment,
    /// The city's day it was last used on, `2026-11-23`.
    #[schema(format = Date)]
    last_used: Option<String>,
}

impl From<TokenRow> for TokenView {
    fn from(row: TokenRow) -> Self {
        let dashed = |day: String| match (day.get(..4), day.get(4..6), day.get(6..)) {
            (Some(year), Some(month), Some(date)) => format!("{year}-{month}-{date}"),
            _ => day,
        };
        Self {
            id: row.id,
            name: row.name,
            scope: row.scope,
            created: Moment(row.created),
            ends: Moment(row.ends),
            last_used: row.used_day.map(dashed),
        }
    }
}

/// A token to be made.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TokenRequest {
    /// What it is for, at most 64 signs.
    #[serde(default)]
    name: String,
    /// Names of rights; absent: all that its person has.
    scope: Option<Vec<String>>,
    /// How long it lives, 1 to 3650; absent: as the line's settings say.
    days: Option<u32>,
}

/// A new token.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct NewTokenView {
    /// Shown this once: 64 hex digits.
    token: String,
    #[serde(flatten)]
    about: TokenView,
}

/// One's own tokens, oldest first; at most 50.
#[utoipa::path(get, path = "/api/v1/me/tokens", tag = "me",
    responses((status = 200, description = "All of them on one page", body = Page<TokenView>), (status = "default", response = AnyProblem)))]
async fn list(State(app): State<App>, who: Who<OwnAccount>) -> Result<Json<Page<TokenView>>, Problem> {
    let items = app.users.tokens(who.user.id).await?.into_iter().map(TokenView::from).collect();
    Ok(Json(Page { items, next: None }))
}

/// Makes a token. It never may more than its person may at the moment; one made with a token may no more than that.
#[utoipa::path(post, path = "/api/v1/me/tokens", tag = "me", request_body = TokenRequest,
    params(("Idempotency-Key" = Option<String>, Header, description = "Sent again with the same key and body, it is not made again: 409")),
    responses((status = 201, description = "The token, shown this once", body = NewTokenView), (status = "default", response = AnyProblem)))]
async fn make(
    State(app): State<App>,
    who: Who<OwnAccount>,
    Body(request): Body<TokenRequest>,
) -> Result<(StatusCode, Secret<NewTokenView>), Problem> {
    for name in request.scope.iter().flatten() {
        let unknown = |error: super::super::rights::NoRight| {
            Kind::BadRequest.because(format!("scope: {error}")).with("field", "scope")
        };
        name.parse::<Right>().map_err(unknown)?;
    }
    let new = NewToken { name: request.name, scope: request.scope, days: request.days };
    let (token, row) = app.users.make_token(&By::from(&who.user), &who.user, new, who.token()).await?;
    Ok((StatusCode::CREATED, Secret(NewTokenView { token: token.0, about: row.into() })))
}

/// Takes one of one's own tokens back.
#[utoipa::path(delete, path = "/api/v1/me/tokens/{id}", tag = "me", params(("id" = String, Path, format = Uuid, description = "The token")),
    responses((status = 204, description = "It is taken no more"), (status = "default", response = AnyProblem)))]
async fn revoke(State(app): State<App>, who: Who<OwnAccount>, Id(id): Id<TokenId>) -> Result<StatusCode, Problem> {
    if app.users.revoke_token(&who.user, id).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Kind::NotFound.because(format!("there is no token {id} of yours")))
    }
}
