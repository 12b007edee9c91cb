//! What happens, as it happens: server-sent events, each only for those who may see the thing itself.
//!
//! A client that comes again with the last id it has read goes on after it, on whichever process it lands. Nothing is
//! kept for a slow client: it is cut off when it is too far behind, and resumes.

mod feed;
mod places;

use std::{convert::Infallible, fmt::Write, sync::Arc, time::Duration};

use axum::{
    body::{Body, Bytes},
    extract::{FromRequestParts, State},
    http::{HeaderMap, header, request::Parts},
    response::{IntoResponse, Response},
};
use futures::stream;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{sync::watch, time::Instant};
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) use feed::Feed;
use places::Place;
pub(super) use places::Places;

use super::{
    App,
    cases::actor_of,
    credentials::covers,
    extract::{Asked, SeeEvents, Who},
    problem::Problem,
    rights::{Right, Verdict, judge},
};
use crate::{
    domain::{announcement::Announcement, calendar::WorkCalendar, case::Actor},
    store::{StoreError, StreamRow},
};

/// A sign of life, so that proxies and clients know that the line is open.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// How often it is seen whether the person may still listen.
const RECHECK: Duration = Duration::from_mins(1);
/// Announcements sent at once.
const PIECE: usize = 200;
/// When a client comes again after its stream ended, milliseconds.
const RETRY_MS: u32 = 2_000;
/// How long somebody with too many streams is told to wait.
const FULL: Duration = Duration::from_secs(10);

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(events))
}

/// Where to go on.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Wanted {
    /// The last id read, for clients that cannot send the header.
    last_event_id: Option<String>,
}

/// The request's head, to ask again later who it is.
struct Head(Parts);

impl FromRequestParts<App> for Head {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Infallible> {
        Ok(Self(parts.clone()))
    }
}

/// What happens, as server-sent events: `call`, `transcript`, `draft`, `case`, `queue`, `seat`, each with the id of the
/// thing and no personal data; only what the asking person may see. `reset`: what lies between the wanted id and now is
/// not to be had any more, so ask for lists anew. A comment every 15 seconds is a sign of life.
#[utoipa::path(get, path = "/api/v1/events", tag = "events",
    params(Wanted, ("Last-Event-ID" = Option<String>, Header, description = "The last id read; goes before the query")),
    responses((status = 200, description = "Events until one side ends", content_type = "text/event-stream", body = String),
        (status = 429, description = "The person has too many streams open", body = Problem, content_type = "application/problem+json"),
        (status = "default", response = super::docs::AnyProblem)))]
async fn events(
    State(app): State<App>,
    who: Who<SeeEvents>,
    Asked(query): Asked<Wanted>,
    Head(head): Head,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let place = app.places.take(who.user.id).ok_or_else(|| Problem::too_many(FULL))?;
    let sent = headers.get("last-event-id").and_then(|id| id.to_str().ok()).map(str::to_owned);
    let reader = Reader::open(app, who, place, head, sent.or(query.last_event_id)).await?;
    let body = Body::from_stream(stream::unfold(reader, |mut reader| async move {
        let text = reader.next().await?;
        Some((Ok::<_, Infallible>(Bytes::from(text)), reader))
    }));
    let headers = [
        (header::CONTENT_TYPE.as_str(), "text/event-stream"),
        (header::CACHE_CONTROL.as_str(), "no-store"),
        // A proxy that collects an answer would hold every event back.
        ("x-accel-buffering", "no"),
    ];
    Ok((headers, body).into_response())
}

/// What a person may hear of.
struct Sees {
    calls: bool,
    cases: bool,
    actor: Actor,
}

impl Sees {
    fn of(who: Who<SeeEvents>) -> Self {
        let may = |right| judge(right, &who.user.roles) == Verdict::Allowed && covers(&who.shown, right);
        Self { calls: may(Right::SeeCalls), cases: may(Right::SeeCases), actor: actor_of(who.user) }
    }

    /// Whether the `GET` of the thing would give it.
    fn sees(&self, row: &StreamRow) -> bool {
        if row.kind.is_of_cases() {
            self.cases && Announcement::is_for(row.units.as_deref(), &self.actor)
        } else {
            self.calls
        }
    }
}

/// One open stream.
struct Reader {
    app: App,
    head: Parts,
    sees: Sees,
    place: Place,
    newest: watch::Receiver<u64>,
    /// Names the database in ids.
    epoch: String,
    /// The last one read, shown or not.
    last: u64,
    /// The last id that the client knows of.
    told: u64,
    /// Whether everything older was caught up with once.
    live: bool,
    /// To be sent first.
    first: Option<String>,
    ended: bool,
    beat: Instant,
    recheck: Instant,
}

/// Why a client has to ask for lists anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reset {
    TooOld,
    /// The id is of another database, or none.
    Unknown,
}

impl Reset {
    const fn as_str(self) -> &'static str {
        match self {
            Self::TooOld => "too_old",
            Self::Unknown => "unknown_id",
        }
    }
}

impl Reader {
    async fn open(
        app: App,
        who: Who<SeeEvents>,
        place: Place,
        head: Parts,
        wanted: Option<String>,
    ) -> Result<Self, StoreError> {
        let newest = app.feed.newest();
        let bounds = app.store.stream_bounds().await?;
        let read = |id: &str| {
            let (epoch, seq) = id.split_once('-')?;
            let seq = seq.parse::<u64>().ok()?;
            (epoch == bounds.epoch && seq <= bounds.newest).then_some(seq)
        };
        let (last, reset) = match wanted.as_deref().map(read) {
            None => (bounds.newest, None),
            Some(Some(seq)) if seq + 1 < bounds.oldest => (bounds.newest, Some(Reset::TooOld)),
            Some(Some(seq)) => (seq, None),
            Some(None) => (bounds.newest, Some(Reset::Unknown)),
        };
        let mut first = format!("retry: {RETRY_MS}\n");
        match reset {
            // An id without data is remembered by the client and shown to nobody.
            None => write!(first, "id: {}-{last}\n\n", bounds.epoch),
            Some(reset) => write!(first, "{}", reset_event(&bounds.epoch, last, reset)),
        }
        .unwrap_or_default();
        let now = Instant::now();
        Ok(Self {
            app,
            head,
            sees: Sees::of(who),
            place,
            newest,
            epoch: bounds.epoch,
            last,
            told: last,
            live: false,
            first: Some(first),
            ended: false,
            beat: now + HEARTBEAT,
            recheck: now + RECHECK,
        })
    }

    /// The next text to be sent; nothing at the end.
    async fn next(&mut self) -> Option<String> {
        self.place.is_read();
        if let Some(first) = self.first.take() {
            return Some(first);
        }
        let stopping = self.app.feed.stopping().clone();
        loop {
            if self.ended || self.place.gone().is_cancelled() {
                return None;
            }
            if stopping.is_cancelled() {
                self.ended = true;
                return Some(format!("retry: {RETRY_MS}\n: the line stops\n\n"));
            }
            // Whatever comes from here on wakes the wait below.
            self.newest.mark_unchanged();
            match self.take().await {
                Ok(Some(text)) if !text.is_empty() => return Some(text),
                // There is more to look at.
                Ok(Some(_)) => continue,
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "a stream of events broke off");
                    return None;
                }
            }
            if Instant::now() >= self.recheck && !self.may_still_listen().await {
                return None;
            }
            tokio::select! {
                _ = self.newest.changed() => {}
                () = stopping.cancelled() => {}
                () = self.place.gone().cancelled() => {}
                () = tokio::time::sleep_until(self.recheck) => {}
                () = tokio::time::sleep_until(self.beat) => return Some(self.sign_of_life()),
            }
        }
    }

    /// What came since the last look, as far as it is for this person; nothing if nothing came.
    async fn take(&mut self) -> Result<Option<String>, StoreError> {
        let rows = match self.app.feed.after(self.last, PIECE) {
            Some(rows) => {
                self.live = true;
                rows
            }
            // Nothing is at hand yet, or this stream is behind it.
            None if self.live && *self.newest.borrow() > self.last => {
                self.ended = true;
                return Ok(Some(": too slow; come again with the last id\n\n".to_owned()));
            }
            None => {
                let limit = u32::try_from(PIECE).unwrap_or(u32::MAX);
                let rows = self.app.feed.store().stream_after(self.last, limit).await?;
                rows.into_iter().map(Arc::new).collect()
            }
        };
        let Some(first) = rows.first() else { return Ok(None) };
        if first.seq != self.last + 1 {
            self.last = self.app.feed.store().stream_bounds().await?.newest;
            self.told = self.last;
            return Ok(Some(reset_event(&self.epoch, self.last, Reset::TooOld)));
        }
        let mut text = String::new();
        for row in rows {
            self.last = row.seq;
            if self.sees.sees(&row) {
                text += &event(&self.epoch, &row);
                self.told = row.seq;
            }
        }
        if !text.is_empty() {
            self.beat = Instant::now() + HEARTBEAT;
        }
        Ok(Some(text))
    }

    /// A comment, with the id of what was passed over meanwhile.
    fn sign_of_life(&mut self) -> String {
        self.beat = Instant::now() + HEARTBEAT;
        if self.told == self.last {
            return ":\n\n".to_owned();
        }
        self.told = self.last;
        format!(":\nid: {}-{}\n\n", self.epoch, self.last)
    }

    /// Asks again who it is: a token may have been revoked, a role taken.
    async fn may_still_listen(&mut self) -> bool {
        self.recheck = Instant::now() + RECHECK;
        let mut head = self.head.clone();
        match Who::<SeeEvents>::from_request_parts(&mut head, &self.app).await {
            Ok(who) => {
                self.sees = Sees::of(who);
                true
            }
            Err(_) => false,
        }
    }
}

fn event(epoch: &str, row: &StreamRow) -> String {
    let mut data = serde_json::Map::new();
    data.insert("id".into(), row.subject.clone().into());
    if let Value::Object(more) = &row.data {
        data.extend(more.clone());
    }
    data.insert("at".into(), WorkCalendar::rfc3339(row.at).into());
    format!("id: {epoch}-{}\nevent: {}\ndata: {}\n\n", row.seq, row.kind.as_str(), Value::Object(data))
}

fn reset_event(epoch: &str, last: u64, reset: Reset) -> String {
    format!("id: {epoch}-{last}\nevent: reset\ndata: {}\n\n", json!({ "reason": reset.as_str() }))
}
