//! Logs and the mask over personal data.

mod private;

use std::io::{self, IsTerminal};

use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt, util::SubscriberInitExt};

pub use private::Private;

use crate::config::Log;

/// Starts logging to standard error. rsipstack's own `info` events hold whole SIP messages and are kept out.
pub fn init(log: &Log) {
    // whisper.cpp tells its life at every load; who wants it names `whisper_rs` in the filter.
    let quiet = if log.filter.contains("whisper_rs") { "" } else { ",whisper_rs=warn" };
    let filter = EnvFilter::new(format!("{},rsipstack=warn{quiet}", log.filter));
    let registry = tracing_subscriber::registry().with(filter);
    // A second start in one process (tests) keeps the first subscriber.
    let _ = if log.json {
        registry.with(fmt::layer().json().with_writer(io::stderr)).try_init()
    } else {
        registry
            .with(fmt::layer().with_target(false).with_ansi(io::stderr().is_terminal()).with_writer(io::stderr))
            .try_init()
    };
}
