//! Whether the house stands: for supervisors, load balancers and people who look.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{Json, extract::State, http::StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use super::App;

/// A part that `/readyz` names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    Database,
    Storage,
    Sip,
    /// Hears and drafts. Without it calls are still answered and recorded.
    Worker,
}

impl Part {
    /// As shown and measured.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Database => "database",
            Self::Storage => "storage",
            Self::Sip => "sip",
            Self::Worker => "worker",
        }
    }
}

/// How a part is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Health {
    Up,
    Down { reason: String },
}

/// Where the app notes how its parts are. Cheap to clone; every part is down until it is noted.
#[derive(Clone)]
pub struct Readiness(Arc<Mutex<BTreeMap<Part, Probe>>>);

/// Tells how a part is at this moment.
type Probe = Box<dyn Fn() -> Health + Send>;

impl Default for Readiness {
    fn default() -> Self {
        let parts = [Part::Database, Part::Storage, Part::Sip, Part::Worker];
        let starting = || -> Probe { Box::new(|| Health::Down { reason: "not started".into() }) };
        Self(Arc::new(Mutex::new(parts.into_iter().map(|part| (part, starting())).collect())))
    }
}

impl Readiness {
    /// Notes how a part is from now on.
    pub fn set(&self, part: Part, health: Health) {
        self.watch(part, move || health.clone());
    }

    /// Asks `probe` from now on; it must answer at once.
    pub fn watch(&self, part: Part, probe: impl Fn() -> Health + Send + 'static) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(part, Box::new(probe));
    }

    /// How all parts are.
    pub fn parts(&self) -> BTreeMap<Part, Health> {
        let probes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        probes.iter().map(|(part, probe)| (*part, probe())).collect()
    }
}

impl fmt::Debug for Readiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.parts().fmt(f)
    }
}

/// The whole from its parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Overall {
    Ready,
    /// Calls are answered and recorded, but nobody hears them.
    Degraded,
    Down,
}

/// The answer of `/readyz`.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Report {
    status: Overall,
    #[schema(value_type = Object)]
    parts: BTreeMap<Part, Health>,
}

/// Longest wait for the database's word, and for the storage's.
const PATIENCE: Duration = Duration::from_secs(2);

/// The process is up.
#[utoipa::path(get, path = "/healthz", tag = "health", security(()), responses((status = 200, description = "The process is up", body = String)))]
pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

/// Whether calls can be answered; database and storage are asked at the moment.
#[utoipa::path(get, path = "/readyz", tag = "health", security(()),
    responses((status = 200, description = "Ready, or degraded: no worker", body = Report),
        (status = 503, description = "A part is down", body = Report)))]
pub(super) async fn readyz(State(app): State<App>) -> (StatusCode, Json<Report>) {
    let mut parts = app.readiness.parts();
    if parts.get(&Part::Database) == Some(&Health::Up) {
        parts.insert(Part::Database, database(&app).await);
    }
    if parts.get(&Part::Storage) == Some(&Health::Up) {
        parts.insert(Part::Storage, storage(&app).await);
    }
    let down = |part: &Part| parts.get(part) != Some(&Health::Up);
    let status = if [Part::Database, Part::Storage, Part::Sip].iter().any(down) {
        Overall::Down
    } else if down(&Part::Worker) {
        Overall::Degraded
    } else {
        Overall::Ready
    };
    let code = if status == Overall::Down { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    (code, Json(Report { status, parts }))
}

/// Numbers for Prometheus.
#[utoipa::path(get, path = "/metrics", tag = "health", security(()), responses((status = 200, description = "Prometheus text", body = String)))]
pub(super) async fn metrics(State(app): State<App>) -> String {
    app.metrics.render()
}

async fn storage(app: &App) -> Health {
    match tokio::time::timeout(PATIENCE, app.archive.ready()).await {
        Ok(Ok(())) => Health::Up,
        Ok(Err(reason)) => Health::Down { reason },
        Err(_) => Health::Down { reason: format!("no answer within {} s", PATIENCE.as_secs()) },
    }
}

async fn database(app: &App) -> Health {
    // One at a time: each question takes the writer for a moment.
    let asking = async {
        let _turn = app.asking.lock().await;
        app.store.ready().await
    };
    match tokio::time::timeout(PATIENCE, asking).await {
        Ok(Ok(())) => Health::Up,
        Ok(Err(error)) => Health::Down { reason: error.to_string() },
        Err(_) => Health::Down { reason: format!("no answer within {} s", PATIENCE.as_secs()) },
    }
}
