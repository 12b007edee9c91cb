//! What is measured: every name with its unit and its meaning. Names follow the custom of Prometheus: `hotline_` first,
//! base units, the unit last, `_total` after counters; `process_…` are those that every program has.

use metrics::Unit;
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

/// How a value behaves.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Is counted in buckets up to these bounds.
    Histogram(&'static [f64]),
}

use Kind::{Counter, Gauge, Histogram};

/// From a hit in memory to the door's patience.
const ANSWERS: &[f64] = &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
/// From a quick question to the longest call.
const CALLS: &[f64] = &[5.0, 15.0, 30.0, 60.0, 120.0, 180.0, 300.0, 600.0, 1_200.0, 3_600.0, 7_200.0];
/// From work that was waited for to work that lies over night.
const WORK: &[f64] = &[0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0, 3_600.0, 28_800.0];

/// From unusable to as good as G.711 gets.
const SCORES: &[f64] = &[1.5, 2.0, 2.5, 3.0, 3.25, 3.5, 3.75, 4.0, 4.2, 4.3, 4.5];
/// From what nobody hears to what nobody understands.
const LOSSES: &[f64] = &[0.0, 0.001, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.5];
/// From a local network to a satellite.
const WAYS: &[f64] = &[0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0];

/// One line a name; a label's possible values are few and of the program's own words.
const ALL: &[(&str, Kind, Unit, &str)] = &[
    ("hotline_build_info", Gauge, Unit::Count, "1; the label says which version runs"),
    ("hotline_part_up", Gauge, Unit::Count, "1 while the part is up, by part, as /readyz has it"),
    // Calls.
    ("hotline_calls_active", Gauge, Unit::Count, "Calls that are open now"),
    ("hotline_calls_received_total", Counter, Unit::Count, "Calls that came in"),
    ("hotline_calls_answered_total", Counter, Unit::Count, "Calls that were answered"),
    ("hotline_calls_ended_total", Counter, Unit::Count, "Calls that are over, by outcome and reason"),
    ("hotline_call_setup_seconds", Histogram(ANSWERS), Unit::Seconds, "From the INVITE to the 200"),
    ("hotline_call_duration_seconds", Histogram(CALLS), Unit::Seconds, "From the answer to the end"),
    ("hotline_call_events_dropped_total", Counter, Unit::Count, "Events of the media plane that a busy call missed"),
    ("hotline_queue_callers", Gauge, Unit::Count, "Callers who wait for an operator or for whom a seat rings, by desk"),
    // SIP.
    ("hotline_sip_requests_total", Counter, Unit::Count, "SIP requests, by method"),
    (
        "hotline_sip_malformed_total",
        Counter,
        Unit::Count,
        "SIP messages that could not be read, by the status of the answer",
    ),
    ("hotline_sip_overload_total", Counter, Unit::Count, "SIP requests dropped because too many were at work"),
    (
        "hotline_sip_full_total",
        Counter,
        Unit::Count,
        "INVITEs refused with 503 because line.max_calls was reached, or because too many calls were not settled",
    ),
    ("hotline_sip_connections", Gauge, Unit::Count, "SIP connections that are open, over TCP and TLS"),
    (
        "hotline_sip_connections_refused_total",
        Counter,
        Unit::Count,
        "SIP connections refused because their address had too many",
    ),
    ("hotline_sip_registrations", Gauge, Unit::Count, "Places where registered telephones can be rung"),
    (
        "hotline_sip_registrations_refused_total",
        Counter,
        Unit::Count,
        "REGISTERs refused, by reason; the first challenge is none",
    ),
    ("hotline_sip_handshakes_failed_total", Counter, Unit::Count, "TLS handshakes of SIP connections that failed"),
    ("hotline_siprec_refused_total", Counter, Unit::Count, "Forked calls refused because their sender is not trusted"),
    (
        "hotline_siprec_untold_total",
        Counter,
        Unit::Count,
        "Forked calls that did not say who speaks in words that can be read",
    ),
    ("hotline_siprec_unreadable_total", Counter, Unit::Count, "Metadata of forked calls that could not be read"),
    // Media.
    ("hotline_rtp_packets_total", Counter, Unit::Count, "RTP packets of ended calls, by fate"),
    ("hotline_call_mos", Histogram(SCORES), Unit::Count, "Estimated opinion of a call's sound, 1 to 4.5, by direction"),
    ("hotline_call_loss_ratio", Histogram(LOSSES), Unit::Count, "Share of packets a call lost, 0 to 1, by direction"),
    ("hotline_call_jitter_seconds", Histogram(WAYS), Unit::Seconds, "Jitter at the end of a call, by direction"),
    ("hotline_call_round_trip_seconds", Histogram(WAYS), Unit::Seconds, "To the caller's telephone and back"),
    (
        "hotline_media_strangers_total",
        Counter,
        Unit::Count,
        "Packets that came to the ports shared by the calls of carriers from where none of these calls is",
    ),
    ("hotline_media_events_lost_total", Counter, Unit::Count, "Events of a leg that nobody took in time"),
    // Recordings.
    ("hotline_recordings_growing", Gauge, Unit::Count, "Recordings that are being written"),
    ("hotline_recordings_total", Counter, Unit::Count, "Recordings of ended calls, by state"),
    ("hotline_recording_bytes_total", Counter, Unit::Bytes, "Sound written to the spool"),
    ("hotline_recordings_deleted_total", Counter, Unit::Count, "Recordings whose time was over"),
    ("hotline_recording_store_failures_total", Counter, Unit::Count, "Writes to the store of recordings that failed"),
    ("hotline_recording_trouble_total", Counter, Unit::Count, "Writes to the spool that failed; the call went on"),
    (
        "hotline_recording_seal_seconds",
        Histogram(WORK),
        Unit::Seconds,
        "From the end of a call to its sealed recording",
    ),
    // Jobs.
    ("hotline_jobs", Gauge, Unit::Count, "Jobs that are not done, by kind and state"),
    (
        "hotline_jobs_oldest_age_seconds",
        Gauge,
        Unit::Seconds,
        "Age of the oldest job that waits or is at work, by kind",
    ),
    ("hotline_jobs_dead_total", Counter, Unit::Count, "Jobs that were given up, by kind"),
    // Hearing and drafting.
    ("hotline_speech_workers_up", Gauge, Unit::Count, "Speech workers that hear"),
    ("hotline_speech_audio_seconds", Histogram(CALLS), Unit::Seconds, "Length of the recordings that were heard"),
    ("hotline_speech_work_seconds", Histogram(WORK), Unit::Seconds, "What hearing a recording took"),
    ("hotline_speech_lag_seconds", Histogram(WORK), Unit::Seconds, "From the end of a call to its transcript"),
    (
        "hotline_speech_live_lag_seconds",
        Histogram(WORK),
        Unit::Seconds,
        "From the end of an utterance to its words, while the call goes on",
    ),
    (
        "hotline_speech_live_given_up_total",
        Counter,
        Unit::Count,
        "Calls that are heard after their end because too much was said at once",
    ),
    ("hotline_speech_failures_total", Counter, Unit::Count, "Recordings that could not be heard, by what follows"),
    ("hotline_drafts_total", Counter, Unit::Count, "What became of heard calls, by outcome"),
    ("hotline_draft_lag_seconds", Histogram(WORK), Unit::Seconds, "From the end of a call to its draft"),
    ("hotline_case_moves_total", Counter, Unit::Count, "Moves of cases, by action"),
    // The door.
    ("hotline_http_requests_total", Counter, Unit::Count, "HTTP requests, by method, route and status"),
    (
        "hotline_http_request_duration_seconds",
        Histogram(ANSWERS),
        Unit::Seconds,
        "From the request's head to the answer's head, by route",
    ),
    ("hotline_http_connections", Gauge, Unit::Count, "HTTP connections that are open"),
    ("hotline_http_throttled_total", Counter, Unit::Count, "Requests refused with 429, by whose share was used up"),
    ("hotline_http_handshakes_failed_total", Counter, Unit::Count, "TLS handshakes that failed"),
    (
        "hotline_http_certificate_expiry_timestamp_seconds",
        Gauge,
        Unit::Seconds,
        "When the certificate ends, since 1970",
    ),
    // What the house stands on.
    ("hotline_database_connections", Gauge, Unit::Count, "Connections to the database, by pool and state"),
    ("hotline_disk_free_bytes", Gauge, Unit::Bytes, "Bytes the line may still write, by folder"),
    ("hotline_disk_size_bytes", Gauge, Unit::Bytes, "Bytes the disk has, by folder"),
    ("hotline_traces_lost_total", Counter, Unit::Count, "Spans that the collector did not take"),
    ("process_start_time_seconds", Gauge, Unit::Seconds, "When the process started, since 1970"),
    ("process_resident_memory_bytes", Gauge, Unit::Bytes, "Memory the process holds"),
    ("process_cpu_seconds_total", Counter, Unit::Seconds, "Processor time of the process, without its workers"),
    ("process_open_fds", Gauge, Unit::Count, "Open file descriptors"),
    ("process_max_fds", Gauge, Unit::Count, "File descriptors the process may open"),
    ("process_threads", Gauge, Unit::Count, "Threads of the process"),
];

/// Begins to measure. Once in a process.
///
/// * returns — what gives the text for Prometheus.
///
/// # Errors
/// When somebody measures already.
pub fn measure() -> Result<PrometheusHandle, BuildError> {
    let mut builder = PrometheusBuilder::new();
    for (name, kind, ..) in ALL {
        if let Histogram(bounds) = kind {
            builder = builder.set_buckets_for_metric(Matcher::Full((*name).to_owned()), bounds)?;
        }
    }
    let handle = builder.install_recorder()?;
    for (name, kind, unit, meaning) in ALL {
        match kind {
            Counter => metrics::describe_counter!(*name, *unit, *meaning),
            Gauge => metrics::describe_gauge!(*name, *unit, *meaning),
            Histogram(_) => metrics::describe_histogram!(*name, *unit, *meaning),
        }
    }
    metrics::gauge!("hotline_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    Ok(handle)
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    use super::*;

    #[test]
    fn names_follow_the_custom_of_prometheus() {
        for (name, kind, unit, meaning) in ALL {
            assert!(name.starts_with("hotline_") || name.starts_with("process_"), "{name}: whose?");
            assert!(name.bytes().all(|sign| sign.is_ascii_lowercase() || sign == b'_'), "{name}: snake case");
            assert_eq!(*kind == Counter, name.ends_with("_total"), "{name}: counters and only they end with _total");
            let ending = match unit {
                Unit::Seconds => "_seconds",
                Unit::Bytes => "_bytes",
                _ => "",
            };
            assert!(name.trim_end_matches("_total").ends_with(ending), "{name}: the unit stands at the end");
            assert!(!meaning.is_empty());
        }
        let names: BTreeSet<_> = ALL.iter().map(|(name, ..)| name).collect();
        assert_eq!(names.len(), ALL.len(), "each once");
    }

    #[test]
    fn whatever_the_house_measures_stands_in_the_table_and_the_other_way_round() {
        let mut used = BTreeSet::new();
        names_in(Path::new("src"), &mut used);
        let known: BTreeSet<_> = ALL.iter().map(|(name, ..)| (*name).to_owned()).collect();
        assert_eq!(used, known);
    }

    /// The names that all calls of the `metrics` macros below a folder give.
    fn names_in(folder: &Path, names: &mut BTreeSet<String>) {
        for entry in fs::read_dir(folder).expect("a source folder").flatten() {
            let path = entry.path();
            if path.is_dir() {
                names_in(&path, names);
                continue;
            }
            // Seeds of the fuzz targets lie between the sources.
            if path.extension().is_none_or(|kind| kind != "rs") {
                continue;
            }
            let text = fs::read_to_string(&path).expect("a source file");
            for macro_name in ["counter!", "gauge!", "histogram!"] {
                for (at, _) in text.match_indices(&format!("metrics::{macro_name}(\"")) {
                    let name = text[at..].split('"').nth(1).expect("a name");
                    names.insert(name.to_owned());
                }
            }
        }
    }
}
