//! Log-ins of browsers.

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode},
};
use axum_extra::extract::cookie::CookieJar;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    App,
    credentials::{cookie, covers, set_cookie},
    extract::{Body, Id, OwnAccount, Who},
    problem::{Kind, Problem},
    rights::{Right, Verdict, judge},
    serve::Peer,
    view::{Moment, Page},
};
use crate::{
    domain::{
        ids::{SessionId, UserId},
        role::Role,
    },
    store::{SessionRow, UserRow},
    telemetry::Private,
    users::{Caller, Credential, LogIn, Owed, UserError},
};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(log_in, list)).routes(routes!(current, log_out)).routes(routes!(end))
}

/// Name, password and code.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct LogInRequest {
    #[schema(value_type = String)]
    name: Private<String>,
    #[schema(value_type = String, format = Password)]
    password: Private<String>,
    /// Six digits, where the person has a second factor.
    #[schema(value_type = Option<String>)]
    totp: Option<Private<String>>,
}

/// Who is logged in, what they may do, and for how long.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CallerView {
    /// The session; null with a token.
    #[schema(value_type = Option<String>, format = Uuid)]
    id: Option<SessionId>,
    user: PersonView,
    roles: Vec<Role>,
    unit: Option<String>,
    extension: Option<String>,
    /// Names of rights, within the scope of the token.
    rights: Vec<&'static str>,
    /// Until it is done, every other route is 403.
    must_change_password: bool,
    totp: TotpView,
    /// When the session ends if nobody uses it; null with a token.
    #[schema(value_type = Option<String>, format = DateTime)]
    idle_end: Option<Moment>,
    /// When it ends, whatever happens.
    #[schema(value_type = String, format = DateTime)]
    absolute_end: Moment,
}

/// Somebody, in short.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PersonView {
    #[schema(value_type = String, format = Uuid)]
    id: UserId,
    name: String,
}

/// How it stands with the second factor.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum TotpView {
    Off,
    /// Off, and needed: until there is one, every other route is 403.
    Required,
    On,
}

impl CallerView {
    fn of(app: &App, user: &UserRow, shown: &Credential) -> Self {
        let session = match shown {
            Credential::Session(session) => Some(session),
            Credential::Token(_) => None,
        };
        let may = |right: &Right| judge(*right, &user.roles) == Verdict::Allowed && covers(shown, *right);
        Self {
            id: session.map(|session| session.id),
            user: PersonView { id: user.id, name: user.name.clone() },
            roles: user.roles.clone(),
            unit: user.unit.clone(),
            extension: user.extension.clone(),
            rights: Right::all().filter(may).map(Right::as_str).collect(),
            must_change_password: app.users.owes(user) == Some(Owed::Password),
            totp: match user.totp {
                true => TotpView::On,
                false if app.users.needs_totp(&user.roles) => TotpView::Required,
                false => TotpView::Off,
            },
            idle_end: session.map(|session| Moment(app.sessions.idle_end(session))),
            absolute_end: match shown {
                Credential::Session(session) => Moment(session.ends),
                Credential::Token(token) => Moment(token.ends),
            },
        }
    }
}

/// Logs in: the answer sets the cookie `hotline_session`.
///
/// A name that nobody has is answered as a wrong password is. After too many wrong ones the name is locked for a while.
#[utoipa::path(post, path = "/api/v1/sessions", tag = "sessions", security(()), request_body = LogInRequest,
    responses((status = 201, description = "Logged in", body = CallerView),
        (status = 401, description = "Wrong, or (`totp-needed`) a code is missing", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "Locked", body = Problem, content_type = "application/problem+json"),
        (status = "default", response = super::docs::AnyProblem)))]
async fn log_in(
    State(app): State<App>,
    peer: Peer,
    headers: HeaderMap,
    Body(request): Body<LogInRequest>,
) -> Result<(StatusCode, CookieJar, Json<CallerView>), Problem> {
    let LogInRequest { name, password, totp: code } = request;
    let log_in = LogIn { name, password, code, address: Some(peer.address), before: cookie(&headers) };
    let (secret, Caller { user, shown }) = app.sessions.log_in(log_in).await.map_err(|error| match error {
        UserError::Wrong => Kind::Unauthorized.because("the name, the password or the code is wrong"),
        error => error.into(),
    })?;
    let view = CallerView::of(&app, &user, &shown);
    Ok((StatusCode::CREATED, set_cookie(Some(&secret), peer, &headers), Json(view)))
}

/// Who is logged in; with a token, whom it stands for.
#[utoipa::path(get, path = "/api/v1/sessions/current", tag = "sessions",
    responses((status = 200, description = "The person, their rights and the end of it", body = CallerView),
        (status = "default", response = super::docs::AnyProblem)))]
async fn current(State(app): State<App>, who: Who<OwnAccount>) -> Json<CallerView> {
    Json(CallerView::of(&app, &who.user, &who.shown))
}

/// Logs out.
#[utoipa::path(delete, path = "/api/v1/sessions/current", tag = "sessions",
    responses((status = 204, description = "Logged out; the cookie is taken back"),
        (status = "default", response = super::docs::AnyProblem)))]
async fn log_out(
    State(app): State<App>,
    who: Who<OwnAccount>,
    peer: Peer,
    headers: HeaderMap,
) -> Result<(StatusCode, CookieJar), Problem> {
    let session = who.session().ok_or_else(|| Kind::NotFound.because("a token is no log-in"))?;
    app.sessions.end(&who.user, session.id).await?;
    Ok((StatusCode::NO_CONTENT, set_cookie(None, peer, &headers)))
}

/// One log-in.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SessionView {
    #[schema(value_type = String, format = Uuid)]
    id: SessionId,
    #[schema(value_type = String, format = DateTime)]
    created: Moment,
    /// The latest request, to the minute.
    #[schema(value_type = String, format = DateTime)]
    seen: Moment,
    #[schema(value_type = String, format = DateTime)]
    idle_end: Moment,
    #[schema(value_type = String, format = DateTime)]
    absolute_end: Moment,
    /// The one that asks.
    current: bool,
}

/// One's own log-ins, oldest first; at most 20.
#[utoipa::path(get, path = "/api/v1/sessions", tag = "sessions",
    responses((status = 200, description = "All of them on one page", body = Page<SessionView>),
        (status = "default", response = super::docs::AnyProblem)))]
async fn list(State(app): State<App>, who: Who<OwnAccount>) -> Result<Json<Page<SessionView>>, Problem> {
    let view = |session: SessionRow| SessionView {
        id: session.id,
        created: Moment(session.created),
        seen: Moment(session.seen),
        idle_end: Moment(app.sessions.idle_end(&session)),
        absolute_end: Moment(session.ends),
        current: who.session().is_some_and(|current| current.id == session.id),
    };
    let items = app.sessions.list(who.user.id).await?.into_iter().map(view).collect();
    Ok(Json(Page { items, next: None }))
}

/// Ends one of one's own log-ins, for instance on a machine that was left behind.
#[utoipa::path(delete, path = "/api/v1/sessions/{id}", tag = "sessions", params(("id" = String, Path, format = Uuid, description = "The session")),
    responses((status = 204, description = "It has ended"), (status = "default", response = super::docs::AnyProblem)))]
async fn end(State(app): State<App>, who: Who<OwnAccount>, Id(id): Id<SessionId>) -> Result<StatusCode, Problem> {
    if app.sessions.end(&who.user, id).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Kind::NotFound.because(format!("there is no session {id} of yours")))
    }
}
