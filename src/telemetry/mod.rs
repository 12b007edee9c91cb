//! Logs, metrics, traces, and the mask over personal data.

mod measured;
mod panic;
mod private;
mod traces;

use std::io::{self, IsTerminal};

use opentelemetry_otlp::ExporterBuildError;
use tracing_subscriber::{
    EnvFilter, Layer, Registry,
    filter::filter_fn,
    fmt,
    layer::{Identity, SubscriberExt},
    reload,
    util::SubscriberInitExt,
};

pub use measured::measure;
pub use private::Private;

use crate::config::{self, Log};
use traces::Traces;

/// The target of the spans that make up a trace: the walk of a call (`sip.invite`, `call`, `recording.…`, `speech.hear`,
/// `draft.write`, joined by `call.id`) and the requests at the door. They hold ids and no words, and are not in the log.
pub const WALK: &str = "walk";

/// Logs and traces as they were started. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Telemetry {
    filter: reload::Handle<EnvFilter, Registry>,
    traces: Option<Traces>,
}

/// Traces cannot be sent.
#[derive(Debug, thiserror::Error)]
#[error("telemetry.otlp_endpoint cannot be used")]
pub struct TelemetryError(#[from] ExporterBuildError);

impl Telemetry {
    /// Starts logging to standard error, for commands that trace nothing.
    pub fn start(log: &Log) -> Self {
        Self::begin(log, None)
    }

    /// Starts logging to standard error, and tracing if the settings name a collector.
    ///
    /// # Errors
    /// An address that cannot be used; a collector that is away is none.
    pub fn with_traces(log: &Log, settings: &config::Telemetry) -> Result<Self, TelemetryError> {
        let traces = settings.otlp_endpoint.as_deref().map(Traces::open).transpose()?;
        Ok(Self::begin(log, traces))
    }

    fn begin(log: &Log, traces: Option<Traces>) -> Self {
        panic::keep_words_out();
        let (reloadable, filter) = reload::Layer::new(filter(log));
        let lines = if log.json {
            fmt::layer().json().with_writer(io::stderr).boxed()
        } else {
            fmt::layer().with_target(false).with_ansi(io::stderr().is_terminal()).with_writer(io::stderr).boxed()
        };
        let walk = match &traces {
            Some(traces) => tracing_opentelemetry::layer()
                .with_tracer(traces.tracer())
                .with_location(false)
                .with_threads(false)
                .with_target(false)
                .with_tracked_inactivity(false)
                .with_filter(filter_fn(|it| it.is_span() && it.target() == WALK))
                .boxed(),
            None => Identity::new().boxed(),
        };
        // A second start in one process (tests) keeps the first subscriber.
        let _ = tracing_subscriber::registry().with(lines.with_filter(reloadable)).with(walk).try_init();
        Self { filter, traces }
    }

    /// Takes another filter for all lines from now on.
    pub fn set_filter(&self, log: &Log) {
        // Fails only if the subscriber is gone, and then there is no log.
        let _ = self.filter.reload(filter(log));
    }

    /// Sends the last spans. Blocks for seconds at most; not for async threads.
    pub fn finish(&self) {
        if let Some(traces) = &self.traces {
            traces.finish();
        }
    }
}

/// What the settings say, without what would tell people's words: the events of rsipstack hold SIP headers, at `info`
/// whole messages. whisper.cpp tells its life at every load; who wants it names `whisper_rs` in the filter.
fn filter(log: &Log) -> EnvFilter {
    let quiet = if log.filter.contains("whisper_rs") { "" } else { ",whisper_rs=warn" };
    EnvFilter::new(format!("{},rsipstack=off,{WALK}=off{quiet}", log.filter))
}
