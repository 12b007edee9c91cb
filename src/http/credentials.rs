//! What a request shows of who asks: the bearer token of a system or the cookie of a browser.

use axum::http::{HeaderMap, header, request::Parts};
use axum_extra::extract::cookie::{Cookie, CookieJar, SameSite};

use super::{
    App,
    origin::may_use_cookie,
    problem::{Kind, Problem},
    rights::Right,
    serve::Peer,
};
use crate::{
    store::{TokenRow, UserRow},
    telemetry::Private,
    users::{Caller, Credential, Owed},
};

/// What a browser keeps of a log-in.
pub(super) const COOKIE: &str = "hotline_session";

/// The person behind a request's token or cookie.
pub(super) async fn caller(parts: &Parts, app: &App) -> Result<Option<Caller>, Problem> {
    if let Some(token) = bearer(&parts.headers) {
        return Ok(app.users.by_token(token).await?);
    }
    let Some(secret) = cookie(&parts.headers) else { return Ok(None) };
    let caller = app.sessions.by_cookie(secret.reveal()).await?;
    if caller.is_some() && !may_use_cookie(&parts.method, &parts.headers) {
        return Err(Kind::Forbidden.because("a cookie changes something for pages of this very host alone"));
    }
    Ok(caller)
}

/// What a person has to do before anything else.
pub(super) fn pay(app: &App, user: &UserRow) -> Result<(), Problem> {
    match app.users.owes(user) {
        None => Ok(()),
        Some(Owed::Password) => Err(Kind::PasswordOwed.because("POST /api/v1/me/password {old, new} comes first")),
        Some(Owed::Totp) => Err(Kind::TotpOwed.because("POST /api/v1/me/totp and /api/v1/me/totp/confirm come first")),
    }
}

/// Whether somebody who holds a right may use it with what they have shown.
pub(super) fn covers(shown: &Credential, right: Right) -> bool {
    match shown {
        Credential::Token(TokenRow { scope: Some(scope), .. }) => scope.iter().any(|name| name == right.as_str()),
        _ => true,
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}

/// What a browser holds.
pub(super) fn cookie(headers: &HeaderMap) -> Option<Private<String>> {
    CookieJar::from_headers(headers).get(COOKIE).map(|cookie| Private(cookie.value().to_owned()))
}

/// What a browser is to hold from now on; nothing: it is to forget it.
pub(super) fn set_cookie(secret: Option<&Private<String>>, peer: Peer, headers: &HeaderMap) -> CookieJar {
    // A proxy in front of us may speak TLS for us. Who makes this up harms only their own browser.
    let proxied = headers.get("x-forwarded-proto").is_some_and(|scheme| scheme == "https");
    let value = secret.map(|secret| secret.reveal().clone()).unwrap_or_default();
    let mut cookie = Cookie::build((COOKIE, value))
        .path("/")
        .http_only(true)
        .same_site(SameSite::Strict)
        .secure(peer.encrypted || proxied)
        .build();
    if secret.is_none() {
        cookie.make_removal();
    }
    CookieJar::new().add(cookie)
}
