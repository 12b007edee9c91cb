//! Traces: the spans of [`super::WALK`] on their way to an OpenTelemetry collector.
//!
//! Finished spans wait in a bounded queue for a thread of the library, which sends them every two seconds. A collector
//! that is away costs spans and one line in the log, and never holds anybody up.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use opentelemetry::{KeyValue, trace::TracerProvider};
use opentelemetry_otlp::{Protocol, RetryPolicy, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    trace::{BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracer, SdkTracerProvider, SpanData, SpanExporter},
};

/// Spans that wait to be sent; the next ones are dropped. A call makes five, an HTTP request one.
const WAITING: usize = 4_096;
/// Spans sent at once.
const AT_ONCE: usize = 512;
/// How often they are sent.
const EVERY: Duration = Duration::from_secs(2);
/// Longest a collector may take for its answer.
const PATIENCE: Duration = Duration::from_secs(3);
/// Longest wait at the end for the last spans.
const FAREWELL: Duration = Duration::from_secs(5);

/// The way to the collector.
#[derive(Clone, Debug)]
pub(super) struct Traces(SdkTracerProvider);

impl Traces {
    /// * `endpoint` — `http://127.0.0.1:4318`; the path of OTLP is added if there is none.
    pub(super) fn open(endpoint: &str) -> Result<Self, opentelemetry_otlp::ExporterBuildError> {
        let exporter = opentelemetry_otlp::SpanExporter::builder()
            .with_http()
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(address(endpoint))
            .with_timeout(PATIENCE)
            // The next batch is the next attempt; waiting would only fill the queue.
            .with_retry_policy(RetryPolicy::default().with_max_retries(0))
            .build()?;
        let batches = BatchConfigBuilder::default()
            .with_max_queue_size(WAITING)
            .with_max_export_batch_size(AT_ONCE)
            .with_scheduled_delay(EVERY)
            .build();
        let watched = Watched { inner: exporter, away: AtomicBool::new(false) };
        let provider = SdkTracerProvider::builder()
            .with_span_processor(BatchSpanProcessor::builder(watched).with_batch_config(batches).build())
            .with_sampler(Sampler::AlwaysOn)
            .with_resource(resource())
            .build();
        Ok(Self(provider))
    }

    pub(super) fn tracer(&self) -> SdkTracer {
        self.0.tracer("hotline")
    }

    /// Sends what is left. Blocks; not for async threads.
    pub(super) fn finish(&self) {
        if let Err(error) = self.0.shutdown_with_timeout(FAREWELL) {
            tracing::warn!(%error, "the last spans were not sent");
        }
    }
}

fn resource() -> Resource {
    Resource::builder_empty()
        .with_attribute(KeyValue::new("service.name", "hotline"))
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .build()
}

/// Where traces go. Source: OpenTelemetry protocol exporter specification, "Endpoint URLs for OTLP/HTTP".
fn address(endpoint: &str) -> String {
    let base = endpoint.trim_end_matches('/');
    let has_path = base.split_once("://").is_some_and(|(_, rest)| rest.contains('/'));
    if has_path { base.to_owned() } else { format!("{base}/v1/traces") }
}

/// Says once that the collector is away, and once that it is back.
#[derive(Debug)]
struct Watched<E> {
    inner: E,
    away: AtomicBool,
}

impl<E: SpanExporter> SpanExporter for Watched<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        let sent = self.inner.export(batch).await;
        if let Err(error) = &sent {
            metrics::counter!("hotline_traces_lost_total").increment(spans.try_into().unwrap_or(u64::MAX));
            if !self.away.swap(true, Ordering::Relaxed) {
                tracing::warn!(%error, "telemetry.otlp_endpoint: the collector is away; spans are lost until it is back");
            }
        } else if self.away.swap(false, Ordering::Relaxed) {
            tracing::info!("the collector is back");
        }
        sent
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_of_otlp_is_added_where_there_is_none() {
        for (endpoint, whole) in [
            ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces"),
            ("http://127.0.0.1:4318/", "http://127.0.0.1:4318/v1/traces"),
            ("https://collector.example/team/v1/traces", "https://collector.example/team/v1/traces"),
        ] {
            assert_eq!(address(endpoint), whole);
        }
    }
}
