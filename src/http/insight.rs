//! What the cases teach. Nothing here says who a caller is.

use axum::{Json, extract::State};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    App,
    extract::{Asked, SeeCorrections, Who},
    problem::Problem,
    view::{Page, after, limit},
};
use crate::cases::Correction;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(corrections))
}

/// Which corrections.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Wanted {
    /// Only this field's, for instance `category`.
    field: Option<String>,
    /// `next` of the page before.
    after: Option<String>,
    /// 1 to 200, usually 50.
    limit: Option<u32>,
}

/// What was heard and what the operators meant, oldest first. Each page is audited.
#[utoipa::path(get, path = "/api/v1/insight/corrections", tag = "insight", params(Wanted),
    responses((status = 200, description = "A page of corrections", body = Page<Correction>), (status = "default", response = super::docs::AnyProblem)))]
async fn corrections(
    State(app): State<App>,
    who: Who<SeeCorrections>,
    Asked(query): Asked<Wanted>,
) -> Result<Json<Page<Correction>>, Problem> {
    let (limit, after) = (limit(query.limit)?, after(query.after.as_ref())?);
    app.cases.corrections_given(Some(&who.actor()), query.field.as_deref()).await?;
    let (items, next) = app.cases.corrections(query.field.as_deref(), after.as_ref(), limit).await?;
    Ok(Json(Page { items, next: next.map(|next| next.to_string()) }))
}
