//! Values that nobody reports and somebody has to look up: jobs, connections, disks, the process itself.

use std::{ffi::CString, fs, mem::MaybeUninit, os::unix::ffi::OsStrExt, path::PathBuf, time::Duration};

use metrics_exporter_prometheus::PrometheusHandle;
use tokio_util::sync::CancellationToken;

use crate::{
    clock::Clock,
    config::Settings,
    domain::time::UnixMs,
    http::{Health, Part, Readiness},
    jobs::{Kind, Queue},
    store::JobState,
};

/// How often everything is looked up, and what was measured meanwhile is folded, so that it does not grow between two
/// visits of Prometheus.
const EVERY: Duration = Duration::from_secs(5);
/// Longest wait for the database's word.
const PATIENCE: Duration = Duration::from_secs(2);

/// What is looked at.
#[derive(Clone, Debug)]
pub(super) struct Samples {
    queue: Queue,
    readiness: Readiness,
    folders: Vec<(&'static str, PathBuf)>,
    clock: Clock,
}

impl Samples {
    pub(super) fn new(settings: &Settings, queue: Queue, readiness: Readiness, clock: Clock) -> Self {
        let mut folders = vec![("spool", settings.storage.spool.clone())];
        if let Some(folder) = settings.storage.url.strip_prefix("file://") {
            folders.push(("storage", folder.into()));
        }
        if let Some(file) = settings.database.url.strip_prefix("sqlite://") {
            let folder = PathBuf::from(file).parent().map(PathBuf::from).filter(|it| !it.as_os_str().is_empty());
            folders.push(("database", folder.unwrap_or_else(|| ".".into())));
        }
        Self { queue, readiness, folders, clock }
    }

    /// Looks again and again until `stopping`.
    pub(super) async fn keep(self, metrics: PrometheusHandle, stopping: CancellationToken) {
        let started = self.clock.now();
        #[expect(clippy::cast_precision_loss, reason = "seconds since 1970")]
        metrics::gauge!("process_start_time_seconds").set((started.0 / 1000) as f64);
        loop {
            self.take().await;
            metrics.run_upkeep();
            if tokio::time::timeout(EVERY, stopping.cancelled()).await.is_ok() {
                return;
            }
        }
    }

    async fn take(&self) {
        let asked = tokio::time::timeout(PATIENCE, self.jobs()).await;
        let answers = matches!(asked, Ok(Ok(())));
        for (part, health) in self.readiness.parts() {
            let up = health == Health::Up && (part != Part::Database || answers);
            metrics::gauge!("hotline_part_up", "part" => part.name()).set(u8::from(up));
        }
        for (pool, open, idle) in self.queue.store().connections() {
            for (state, count) in [("idle", idle), ("used", open.saturating_sub(idle))] {
                metrics::gauge!("hotline_database_connections", "pool" => pool, "state" => state).set(count);
            }
        }
        let folders = self.folders.clone();
        // A disk that is far away may not answer; the process has its own words.
        let looked = tokio::task::spawn_blocking(move || {
            process();
            for (name, folder) in &folders {
                disk(name, folder);
            }
        });
        let _ = tokio::time::timeout(PATIENCE, looked).await;
    }

    async fn jobs(&self) -> Result<(), crate::store::StoreError> {
        for kind in Kind::ALL {
            let counts = self.queue.store().count_jobs(kind.as_str()).await?;
            for state in [JobState::Waiting, JobState::Leased, JobState::Dead] {
                let count = counts.iter().find(|(known, ..)| *known == state).map_or(0, |(_, count, _)| *count);
                let count = u32::try_from(count).unwrap_or(u32::MAX);
                metrics::gauge!("hotline_jobs", "kind" => kind.as_str(), "state" => name(state)).set(count);
            }
            let open = counts.iter().filter(|(state, ..)| *state != JobState::Dead).map(|(.., oldest)| *oldest).min();
            let age = open.map_or(Duration::ZERO, |oldest: UnixMs| oldest.until(self.clock.now()));
            metrics::gauge!("hotline_jobs_oldest_age_seconds", "kind" => kind.as_str()).set(age);
        }
        Ok(())
    }
}

const fn name(state: JobState) -> &'static str {
    match state {
        JobState::Waiting => "waiting",
        JobState::Leased => "leased",
        JobState::Done => "done",
        JobState::Dead => "dead",
    }
}

/// Source: proc(5).
fn process() {
    /// Ticks of the processor's time a second, on every machine Linux runs on today.
    const TICKS: u64 = 100;
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let value = |key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key))?;
        line.trim_start_matches(':').split_whitespace().next()?.parse::<u32>().ok()
    };
    if let Some(kilobytes) = value("VmRSS") {
        metrics::gauge!("process_resident_memory_bytes").set(f64::from(kilobytes) * 1024.0);
    }
    if let Some(threads) = value("Threads") {
        metrics::gauge!("process_threads").set(threads);
    }
    if let Ok(open) = fs::read_dir("/proc/self/fd") {
        metrics::gauge!("process_open_fds").set(u32::try_from(open.count()).unwrap_or(u32::MAX));
    }
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let most = limits.lines().find_map(|line| line.strip_prefix("Max open files")?.split_whitespace().next());
    if let Some(most) = most.and_then(|most| most.parse::<u32>().ok()) {
        metrics::gauge!("process_max_fds").set(most);
    }
    // The name in parentheses may hold anything; after it comes the state as the third field.
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<_> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |field: usize| fields.get(field - 3).and_then(|ticks| ticks.parse::<u64>().ok());
    if let (Some(user), Some(system)) = (ticks(14), ticks(15)) {
        metrics::counter!("process_cpu_seconds_total").absolute((user + system) / TICKS);
    }
}

fn disk(name: &'static str, folder: &std::path::Path) {
    let Ok(path) = CString::new(folder.as_os_str().as_bytes()) else { return };
    let mut answer = MaybeUninit::<libc::statvfs>::uninit();
    // SAFETY: the path ends with zero, and the answer is read only if the call says that it filled it in.
    if unsafe { libc::statvfs(path.as_ptr(), answer.as_mut_ptr()) } != 0 {
        return;
    }
    // SAFETY: statvfs(3) has filled it in.
    let answer = unsafe { answer.assume_init() };
    #[expect(clippy::cast_precision_loss, reason = "a disk's size, to a few bytes")]
    let bytes = |blocks: u64| blocks as f64 * answer.f_frsize as f64;
    metrics::gauge!("hotline_disk_free_bytes", "folder" => name).set(bytes(answer.f_bavail));
    metrics::gauge!("hotline_disk_size_bytes", "folder" => name).set(bytes(answer.f_blocks));
}
