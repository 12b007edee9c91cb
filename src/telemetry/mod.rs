//! Logs and the mask over personal data.

mod panic;
mod private;

use std::io::{self, IsTerminal};

use tracing_subscriber::{EnvFilter, Layer, Registry, fmt, layer::SubscriberExt, reload, util::SubscriberInitExt};

pub use private::Private;

use crate::config::Log;

/// Logging as it was started. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Telemetry {
    filter: reload::Handle<EnvFilter, Registry>,
}

impl Telemetry {
    /// Starts logging to standard error.
    pub fn start(log: &Log) -> Self {
        panic::keep_words_out();
        let (reloadable, filter) = reload::Layer::new(filter(log));
        let lines = if log.json {
            fmt::layer().json().with_writer(io::stderr).boxed()
        } else {
            fmt::layer().with_target(false).with_ansi(io::stderr().is_terminal()).with_writer(io::stderr).boxed()
        };
        // A second start in one process (tests) keeps the first subscriber.
        let _ = tracing_subscriber::registry().with(lines.with_filter(reloadable)).try_init();
        Self { filter }
    }

    /// Takes another filter for all lines from now on.
    pub fn set_filter(&self, log: &Log) {
        // Fails only if the subscriber is gone, and then there is no log.
        let _ = self.filter.reload(filter(log));
    }
}

/// What the settings say, without what would tell people's words: the events of rsipstack hold SIP headers, at `info`
/// whole messages. whisper.cpp tells its life at every load; who wants it names `whisper_rs` in the filter.
fn filter(log: &Log) -> EnvFilter {
    let quiet = if log.filter.contains("whisper_rs") { "" } else { ",whisper_rs=warn" };
    EnvFilter::new(format!("{},rsipstack=off{quiet}", log.filter))
}
