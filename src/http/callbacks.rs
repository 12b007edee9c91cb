//! Whom the line owes a call.

use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::{
    App,
    extract::{Asked, SeeCallbacks, Who},
    problem::Problem,
    view::{Moment, Page, after, limit},
};
use crate::{
    domain::{
        ids::{CallId, CaseId},
        mask,
    },
    store::{CallbackKind, CallbackRow, CallbackState},
};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list))
}

/// One entry of the call-back list.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CallbackView {
    id: Uuid,
    kind: CallbackKind,
    #[schema(value_type = Option<String>, format = Uuid)]
    call_id: Option<CallId>,
    #[schema(value_type = Option<String>, format = Uuid)]
    case_id: Option<CaseId>,
    /// Masked; null when withheld.
    phone: Option<String>,
    /// `silent`, `cancelled`, `interrupted` …
    reason: String,
    state: CallbackState,
    #[schema(value_type = String, format = DateTime)]
    created: Moment,
}

/// Which entries.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Wanted {
    kind: Option<CallbackKind>,
    state: Option<CallbackState>,
    /// `next` of the page before.
    after: Option<String>,
    /// 1 to 200, usually 50.
    limit: Option<u32>,
}

/// The call-back list: who has waited longest stands first.
#[utoipa::path(get, path = "/api/v1/callbacks", tag = "callbacks", params(Wanted),
    responses((status = 200, description = "A page of entries", body = Page<CallbackView>), (status = "default", response = super::docs::AnyProblem)))]
async fn list(
    State(app): State<App>,
    _: Who<SeeCallbacks>,
    Asked(query): Asked<Wanted>,
) -> Result<Json<Page<CallbackView>>, Problem> {
    let limit = limit(query.limit)?;
    let after = after(query.after.as_ref())?;
    let rows = app.store.callbacks(query.kind, query.state, after, limit + 1).await?;
    Ok(Json(Page::cut(rows, limit, |row| row.id.to_string(), view)))
}

fn view(row: CallbackRow) -> CallbackView {
    CallbackView {
        id: row.id,
        kind: row.kind,
        call_id: row.call_id,
        case_id: row.case_id,
        phone: row.phone.map(|phone| mask::number(phone.reveal())),
        reason: row.reason,
        state: row.state,
        created: Moment(row.created),
    }
}
