//! What handlers take in: the asking person with a right, ids, queries and bodies, each with its own words when wrong.

use std::{marker::PhantomData, str::FromStr};

use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Path, Query, Request, rejection::BytesRejection},
    http::{StatusCode, header, request::Parts},
};
use serde::de::DeserializeOwned;

use super::{
    App,
    cases::actor_of,
    credentials::{caller, covers, pay},
    problem::{Kind, Problem},
    rights::{Right, Verdict, judge},
};
use crate::{
    domain::case::Actor,
    store::{SessionRow, TokenRow, UserRow},
    users::{Caller, Credential},
};

/// A right as a type, so that a handler's signature says what it needs.
pub(super) trait Needs: Send + Sync {
    const RIGHT: Right;
}

macro_rules! needs {
    ($($name:ident)+) => {$(
        #[derive(Clone, Copy, Debug)]
        pub(super) struct $name;
        impl Needs for $name {
            const RIGHT: Right = Right::$name;
        }
    )+};
}

needs! {
    OwnAccount SeeCity SetCalendar SeeCalls HearCalls HoldCalls RevealCalls SeeCases MoveCases OpenCases RevealCases
    SeeSeats SetSeats SetRota SignIn ControlCalls
    SeeCallbacks SeeCorrections SeeUsers KeepUsers GrantRoles RecoverTotp SeeAudit SeeEvents
}

/// The person who asks, who has the right `R`.
pub(super) struct Who<R> {
    pub(super) user: UserRow,
    pub(super) shown: Credential,
    right: PhantomData<R>,
}

impl<R> Who<R> {
    /// The token, where it was one.
    pub(super) const fn token(&self) -> Option<&TokenRow> {
        match &self.shown {
            Credential::Token(token) => Some(token),
            Credential::Session(_) => None,
        }
    }

    /// The log-in, where it was one.
    pub(super) const fn session(&self) -> Option<&SessionRow> {
        match &self.shown {
            Credential::Session(session) => Some(session),
            Credential::Token(_) => None,
        }
    }
}

impl<R: Needs> FromRequestParts<App> for Who<R> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let unknown = || Kind::Unauthorized.because("log in, or send `Authorization: Bearer TOKEN`");
        let Caller { user, shown } = caller(parts, app).await?.ok_or_else(unknown)?;
        app.limits.prove(&parts.headers);
        if R::RIGHT != Right::OwnAccount {
            pay(app, &user)?;
        }
        match judge(R::RIGHT, &user.roles) {
            Verdict::Allowed if covers(&shown, R::RIGHT) => Ok(Self { user, shown, right: PhantomData }),
            Verdict::Allowed => Err(Kind::Forbidden.because(format!("`{}` is not in the token's scope", R::RIGHT))),
            Verdict::Forbidden => Err(Kind::Forbidden.problem()),
            Verdict::Hidden => Err(Kind::NotFound.problem()),
        }
    }
}

/// The person behind a request, whatever they may do.
pub(super) async fn person(parts: &mut Parts, app: &App) -> Result<Option<UserRow>, Problem> {
    Ok(caller(parts, app).await?.map(|caller| caller.user))
}

impl<R> Who<R> {
    /// Whether the person has another right too, and their token covers it.
    pub(super) fn may(&self, right: Right) -> bool {
        judge(right, &self.user.roles) == Verdict::Allowed && covers(&self.shown, right)
    }

    /// Who acts, for the services.
    pub(super) fn actor(self) -> Actor {
        actor_of(self.user)
    }
}

/// The id in the path. Text that is no id names nothing that exists.
pub(super) struct Id<T>(pub(super) T);

impl<T: FromStr + Send, S: Send + Sync> FromRequestParts<S> for Id<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let text = named("id", parts, state).await?;
        text.parse().map(Self).map_err(|_| Kind::NotFound.because(format!("`{text}` is no id")))
    }
}

/// The action in the path.
pub(super) struct Action(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for Action {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        named("action", parts, state).await.map(Self)
    }
}

async fn named<S: Send + Sync>(name: &str, parts: &mut Parts, state: &S) -> Result<String, Problem> {
    let texts: Result<Path<Vec<(String, String)>>, _> = Path::from_request_parts(parts, state).await;
    let Path(texts) = texts.map_err(|_| Kind::NotFound.problem())?;
    Ok(texts.into_iter().find(|(known, _)| known == name).map(|(_, text)| text).unwrap_or_default())
}

/// The query, read as `T`.
pub(super) struct Asked<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Asked<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let query = Query::from_request_parts(parts, state).await;
        query.map(|Query(query)| Self(query)).map_err(|error| Kind::BadRequest.because(error.body_text()))
    }
}

/// A JSON body, read as `T`.
pub(super) struct Body<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        if kind.split(';').next().is_none_or(|kind| !kind.trim().eq_ignore_ascii_case("application/json")) {
            return Err(Kind::MediaType.problem());
        }
        let bytes = Bytes::from_request(request, state).await.map_err(|error| unread(&error))?;
        let mut json = serde_json::Deserializer::from_slice(&bytes);
        let value = serde_path_to_error::deserialize(&mut json).map_err(|error| unreadable(&error))?;
        json.end().map(|()| Self(value)).map_err(|error| Kind::BadRequest.because(error.to_string()))
    }
}

/// JSON that is not what was asked for, with the key that is wrong.
pub(super) fn unreadable(error: &serde_path_to_error::Error<serde_json::Error>) -> Problem {
    match error.path().to_string().as_str() {
        "." => Kind::BadRequest.because(error.inner().to_string()),
        field => Kind::BadRequest.because(format!("{field}: {}", error.inner())).with("field", field),
    }
}

fn unread(error: &BytesRejection) -> Problem {
    if error.status() == StatusCode::PAYLOAD_TOO_LARGE {
        Kind::TooLarge.because(format!("a body holds at most {} bytes", super::LARGEST_BODY))
    } else {
        Kind::BadRequest.because(error.body_text())
    }
}
