//! The door for people and other systems: the API of `/api/v1`, its description, health and metrics.
//!
//! A handler takes what the extractors read and authorised, asks one service, and shapes the answer: no rules here but
//! the table of `rights`. Every error is a problem of RFC 9457 (see `problem`); every request has an id, a limit of
//! time and of size; every client has a share (see `limits`).

mod audit;
mod calendar;
mod callbacks;
mod calls;
mod cases;
mod certificate;
mod city;
mod condition;
mod credentials;
mod docs;
mod door;
mod extract;
mod health;
mod idempotency;
mod insight;
mod limits;
mod me;
mod names;
mod origin;
mod problem;
mod recordings;
mod rights;
mod rota;
mod seats;
mod serve;
mod sessions;
mod sip;
mod stream;
mod tls;
mod users;
mod view;

use std::{io, ops::Deref, sync::Arc, time::Duration};

use axum::{Router, extract::DefaultBodyLimit, middleware};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::{
    net::TcpListener,
    sync::{Mutex, mpsc},
};
use tokio_util::sync::CancellationToken;
use tower_http::catch_panic::CatchPanicLayer;
use utoipa::{OpenApi, openapi::OpenApi as Api};
use utoipa_axum::{router::OpenApiRouter, routes};
use utoipa_swagger_ui::SwaggerUi;

pub use certificate::{Certificate, TlsError};
pub use health::{Health, Part, Readiness};
pub use limits::Limits;
pub use rights::{NoRight, Right};
pub use tls::Tls;

use self::stream::{Feed, Places};
use crate::{
    cases::{Cases, Draftsman},
    clock::Clock,
    domain::city::City,
    recording::Archive,
    store::Store,
    switchboard::Switchboard,
    users::{Seats, Sessions, Users},
    vault::Vault,
    websocket::WebSocket,
};

/// Largest request body, bytes. The longest text a request carries is a description.
const LARGEST_BODY: usize = 256 * 1024;
/// Longest a handler may take; a recording's body streams on after it.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the door needs to know.
#[derive(Clone)]
pub struct Parts {
    pub store: Store,
    pub archive: Archive,
    /// Finds calls by a number.
    pub vault: Vault,
    pub cases: Cases,
    /// Fills the fields of a request that came in writing.
    pub draftsman: Draftsman,
    pub city: Arc<City>,
    pub clock: Clock,
    pub readiness: Readiness,
    pub metrics: PrometheusHandle,
    /// Gives callers to seats; only where this process takes calls.
    pub switchboard: Option<Switchboard>,
    /// Takes the connections of telephones in a browser; only where this process takes calls.
    pub websockets: Option<mpsc::Sender<WebSocket>>,
    pub limits: Limits,
    pub users: Users,
    /// Lends the secrets of their seats to browsers.
    pub telephones: Seats,
    pub sessions: Sessions,
}

/// Answers requests until `stopping`, then lets running ones end.
///
/// * `tls` — without it the port speaks plain HTTP.
///
/// # Errors
/// Only when the listener itself is broken.
pub async fn serve(
    parts: Parts,
    listener: TcpListener,
    tls: Option<Tls>,
    stopping: CancellationToken,
) -> io::Result<()> {
    let feed = Feed::new(parts.store.clone(), stopping.clone());
    let router = router(parts, feed.clone());
    let (served, ()) = tokio::join!(serve::run(router, listener, tls, stopping), feed.run());
    served
}

/// The description of the API, as `/openapi.json` gives it.
pub fn openapi() -> Api {
    api().split_for_parts().1
}

/// What handlers share.
#[derive(Clone)]
struct App {
    parts: Arc<Parts>,
    /// Held while the database is asked whether it is there.
    asking: Arc<Mutex<()>>,
    patience: Duration,
    /// What was announced.
    feed: Feed,
    /// Who listens to it.
    places: Places,
}

impl Deref for App {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.parts
    }
}

fn router(parts: Parts, feed: Feed) -> Router {
    let (router, api) = api().split_for_parts();
    // No part of the API: what is spoken there is SIP.
    let router = router.route("/sip", axum::routing::any(sip::connect));
    finish(router.merge(SwaggerUi::new("/docs").url("/openapi.json", api)), parts, feed, PATIENCE)
}

/// Puts the layers that every request passes around the routes.
fn finish(router: Router<App>, parts: Parts, feed: Feed, patience: Duration) -> Router {
    let places = Places::new(parts.clock.clone());
    let app = App { places, parts: Arc::new(parts), asking: Arc::default(), patience, feed };
    router
        .fallback(async || problem::Kind::NotFound.problem())
        .layer(middleware::from_fn_with_state(app.clone(), idempotency::once))
        .layer(CatchPanicLayer::custom(door::panicked))
        .layer(DefaultBodyLimit::max(LARGEST_BODY))
        .layer(middleware::from_fn_with_state(app.clone(), door::pass))
        .with_state(app)
}

fn api() -> OpenApiRouter<App> {
    let mut router = OpenApiRouter::with_openapi(docs::Description::openapi())
        .routes(routes!(docs::home))
        .routes(routes!(health::healthz))
        .routes(routes!(health::readyz))
        .routes(routes!(health::metrics))
        .merge(calls::routes())
        .merge(recordings::routes())
        .merge(cases::routes())
        .merge(city::routes())
        .merge(calendar::routes())
        .merge(callbacks::routes())
        .merge(audit::routes())
        .merge(stream::routes())
        .merge(sessions::routes())
        .merge(me::routes())
        .merge(users::routes())
        .merge(insight::routes())
        .merge(seats::routes())
        .merge(rota::routes());
    docs::empty_fields(router.get_openapi_mut());
    router
}

#[cfg(test)]
mod tests;
