//! `Idempotency-Key`: a creating call that is sent again is not done again, it gets the answer that it got.
//!
//! The key belongs to the person and to what was asked for; the answer is kept for a day. An answer that holds a secret
//! shown once is not kept, only that it was given. A refusal changed nothing and may be sent again as it is.

use axum::{
    Extension, Json,
    body::{Body, to_bytes},
    extract::{FromRequestParts, Request, State},
    http::{HeaderName, HeaderValue, Method, StatusCode, header, request::Parts},
    middleware::Next,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::{
    App, LARGEST_BODY, PATIENCE,
    extract::person,
    problem::{Kind, Problem},
};
use crate::{
    domain::time::UnixMs,
    store::{Claim, Once},
};

const KEY: HeaderName = HeaderName::from_static("idempotency-key");
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
/// Longest key, bytes.
const LONGEST_KEY: usize = 255;
/// Largest answer kept, bytes; ours are far smaller.
const LARGEST_ANSWER: usize = 1024 * 1024;
/// When somebody comes again whose first request is still running, seconds.
const SOON: u64 = 2;

/// Put into an answer that holds a password, a token or what was revealed: it is never kept nor shown again.
#[derive(Clone, Copy, Debug)]
pub(super) struct ShownOnce;

/// An answer that holds such a thing.
#[derive(Debug)]
pub(super) struct Secret<T>(pub(super) T);

impl<T: Serialize> IntoResponse for Secret<T> {
    fn into_response(self) -> Response {
        (Extension(ShownOnce), Json(self.0)).into_response()
    }
}

/// The key of a request, for a service that settles it with what it creates; nothing where none was sent.
#[derive(Debug)]
pub(super) struct Keyed(pub(super) Option<Once>);

impl<S: Send + Sync> FromRequestParts<S> for Keyed {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(Self(parts.extensions.get::<Once>().cloned()))
    }
}

/// The layer around all routes; only a `POST` with a key feels it.
pub(super) async fn once(State(app): State<App>, request: Request, next: Next) -> Response {
    if request.method() != Method::POST || !request.headers().contains_key(KEY) {
        return next.run(request).await;
    }
    keyed(&app, request, next).await.unwrap_or_else(IntoResponse::into_response)
}

async fn keyed(app: &App, request: Request, next: Next) -> Result<Response, Problem> {
    let (mut parts, body) = request.into_parts();
    let key = key(&parts)?;
    // A stranger is refused by the route itself, in its own words.
    let Some(user) = person(&mut parts, app).await? else {
        return Ok(next.run(Request::from_parts(parts, body)).await);
    };
    let large = |_| Kind::TooLarge.because(format!("a body holds at most {LARGEST_BODY} bytes"));
    let body = to_bytes(body, LARGEST_BODY).await.map_err(large)?;
    let mut hash = Sha256::new();
    hash.update(format!("{} {}\n", parts.method, parts.uri));
    hash.update(&body);
    let once = Once { user: user.id, key, request: hex::encode(hash.finalize()) };

    let mut tx = app.store.begin().await?;
    // Twice the longest a handler may take: whoever claimed it is gone.
    let abandoned = UnixMs(tx.now().0 - 2 * i64::try_from(PATIENCE.as_millis()).unwrap_or(i64::MAX / 2));
    let claim = tx.claim(&once, abandoned).await?;
    tx.commit().await?;
    match claim {
        Claim::New => {}
        Claim::Running => return Err(Kind::Running.problem().with(super::problem::RETRY_AFTER, SOON)),
        Claim::Other => {
            return Err(Kind::KeyReused
                .because("Idempotency-Key: was used for another request")
                .with("field", "Idempotency-Key"));
        }
        Claim::Done => {
            return Err(Kind::Done.because("it was done; what it answered is shown once and not kept"));
        }
        Claim::Answered { status, kind, body } => return Ok(replayed(status, &kind, body)),
    }
    parts.extensions.insert(once.clone());
    let answer = next.run(Request::from_parts(parts, Body::from(body))).await;
    keep(app, &once, answer).await
}

/// Keeps a good answer; gives the key back after a refusal.
async fn keep(app: &App, once: &Once, answer: Response) -> Result<Response, Problem> {
    if !answer.status().is_success() {
        app.store.unclaim(once).await?;
        return Ok(answer);
    }
    if answer.extensions().get::<ShownOnce>().is_some() {
        app.store.answered(once, None).await?;
        return Ok(answer);
    }
    let (parts, body) = answer.into_parts();
    let body = to_bytes(body, LARGEST_ANSWER).await.map_err(|error| Problem::ours(&error, false))?;
    let kind = parts.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let text = String::from_utf8_lossy(&body);
    app.store.answered(once, Some((parts.status.as_u16(), kind, &text))).await?;
    Ok(Response::from_parts(parts, Body::from(body)))
}

fn replayed(status: u16, kind: &str, body: String) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
    if let Ok(kind) = HeaderValue::from_str(kind)
        && !kind.is_empty()
    {
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
    }
    response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    response
}

fn key(parts: &Parts) -> Result<String, Problem> {
    let mut sent = parts.headers.get_all(KEY).iter();
    let key = sent.next().and_then(|key| key.to_str().ok()).unwrap_or_default();
    if key.is_empty() || key.len() > LONGEST_KEY || sent.next().is_some() {
        let what = format!("Idempotency-Key: is not one text of 1 to {LONGEST_KEY} ASCII letters");
        return Err(Kind::BadRequest.because(what).with("field", "Idempotency-Key"));
    }
    Ok(key.to_owned())
}
