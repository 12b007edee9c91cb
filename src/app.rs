//! Builds the parts, starts the roles and ends them in order. The only file that knows everybody.

mod reload;
mod sample;
mod seats;
mod supervisor;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use clap::ValueEnum;
use metrics_exporter_prometheus::PrometheusHandle;
use serde_json::json;
use tokio::{net::TcpListener, sync::mpsc};
use tokio_util::sync::CancellationToken;

use self::{
    reload::{HangUp, Reload, Wish},
    sample::Samples,
};
use crate::{
    acd::Plan,
    audit::Auditor,
    call::{self, Line, Prompts},
    cases::{self, Cases},
    clock::Clock,
    config::{self, ConfigError, Settings, Srtp, Tls},
    domain::{audit::Action, city::City, retention, time::UnixMs},
    drafting::{CallFacts, Classifier, Drafter},
    http::{self, Health, Part, Readiness},
    jobs::Queue,
    lifecycle::{Alarm, Lifecycle},
    media::{Identity, MediaPlane, MediaSettings},
    recording::Archive,
    sip::{self, Endpoint, Incoming, Registrar, SipSettings, StreamLimits, sdp::SrtpPolicy},
    speech::work,
    store::{AuditEntry, Store},
    switchboard::{self, Switchboard},
    telemetry::{self, Telemetry},
    tls::Acceptor,
    users::{FirstAdministrator, Seats, Sessions, Users},
    vault::Vault,
    websocket::WebSocket,
};

/// What of the house runs in this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Role {
    /// Everything.
    All,
    /// SIP, media, recording.
    Edge,
    /// The HTTP API.
    Api,
    /// Hearing and drafting.
    Worker,
}

impl Role {
    const fn takes_calls(self) -> bool {
        matches!(self, Self::All | Self::Edge)
    }

    const fn serves(self) -> bool {
        matches!(self, Self::All | Self::Api)
    }

    const fn hears(self) -> bool {
        matches!(self, Self::All | Self::Worker)
    }
}

/// A running house.
#[derive(Debug)]
pub struct App {
    lifecycle: Lifecycle,
    alarm: Alarm,
    store: Store,
    media: Option<MediaPlane>,
    reload: Reload,
    hang_up: HangUp,
    /// Where the API listens; nothing where this process does not serve it.
    pub http: Option<SocketAddr>,
    /// Where INVITEs arrive; nothing where this process takes no calls.
    pub sip: Option<SocketAddr>,
    /// Made by this start, because nobody was there; to be told once.
    pub first: Option<FirstAdministrator>,
}

/// How long open calls may go on once the house is to stop, and the rest of the house after them.
const FAREWELL: Duration = Duration::from_secs(75);

/// What the parts share while they are built.
struct Builder {
    settings: Settings,
    clock: Clock,
    city: Arc<City>,
    store: Store,
    queue: Queue,
    archive: Archive,
    vault: Vault,
    cases: Cases,
    users: Users,
    readiness: Readiness,
    lifecycle: Lifecycle,
    /// What the telephones of operators in a browser are shown; only where this process takes calls.
    identity: Option<Identity>,
}

impl App {
    /// Builds and starts what `role` asks for. Whatever cannot be had (port, folder, database) is an error now, not later.
    ///
    /// * `file` — where the settings came from; SIGHUP reads it again.
    pub async fn start(
        settings: Settings,
        file: PathBuf,
        telemetry: Telemetry,
        role: Role,
        clock: Clock,
    ) -> anyhow::Result<Self> {
        let hang_up = HangUp::listen()?;
        let metrics = telemetry::measure()?;
        let started = clock.now();
        let city = Arc::new(settings.load_city()?);
        let store = Store::open(&settings.database.url, clock.clone()).await?;
        let vault = Vault::open(&settings.vault, clock.clone())?;
        unlock(&store, &vault, &settings).await?;
        let archive = Archive::open(&settings.storage, vault.clone(), clock.clone())?;
        let (lifecycle, alarm) = Lifecycle::new();
        let queue = Queue::new(store.clone());
        let readiness = Readiness::default();
        readiness.set(Part::Database, Health::Up);
        readiness.set(Part::Storage, Health::Up);
        let cases = Cases::new(store.clone(), city.clone())?;
        cases.adopt_years().await?;
        let users = Users::new(store.clone(), &settings.people);
        let house = Builder {
            settings,
            clock,
            city,
            store: store.clone(),
            queue,
            archive,
            cases,
            users: users.clone(),
            vault,
            readiness,
            lifecycle,
            identity: if role.takes_calls() { Some(Identity::generate()?) } else { None },
        };

        // Ports first: a second line on this machine must not touch what belongs to the first.
        let listener = if role.serves() { Some(house.listen().await?) } else { None };
        let tls = if role.serves() { house.tls(&file)? } else { None };
        let sip_tls = if role.takes_calls() { house.sip_tls(&file)? } else { None };
        let line = if role.takes_calls() { Some(house.bind_sip(sip_tls.clone()).await?) } else { None };
        let (http, sip) = (
            listener.as_ref().map(TcpListener::local_addr).transpose()?,
            line.as_ref().map(|(endpoint, _)| endpoint.local_addr()),
        );
        // What an older version left is made anew; a case whose turn has not come is read from its events.
        match cases::rebuild(&store, cases::Rebuild::Outdated, |_, _| {}).await {
            Ok(anew) if anew.cases > 0 => tracing::info!(cases = anew.cases, "views of cases were made anew"),
            Ok(_) => {}
            Err(error) => {
                tracing::error!(%error, "not all views of cases could be made anew: run `hotline cases rebuild`");
            }
        }
        if role.takes_calls() {
            house.recover(started).await?;
        }
        let browsers = line.as_ref().map(|(endpoint, _)| endpoint.browsers());
        let (media, switchboard, prompts) = match line {
            Some((endpoint, incoming)) => {
                let prompts = Prompts::load(&house.settings.line.prompts)?;
                let (media, switchboard) = house.take_calls(endpoint, incoming, prompts.clone())?;
                (Some(media), Some(switchboard), Some(prompts))
            }
            None => (None, None, None),
        };
        let draftsman = if role.hears() || role.serves() { Some(house.draftsman()?) } else { None };
        if let Some(draftsman) = draftsman.clone().filter(|_| role.hears()) {
            house.hear(draftsman, role.takes_calls())?;
        }
        house.measure(metrics.clone());
        if role.serves() || role.hears() {
            let task = cases::recalculator_loop(house.cases.clone(), house.queue.clone(), house.lifecycle.stopping());
            house.lifecycle.spawn("calendar", task);
        }
        house.lifecycle.spawn("store", store.clone().listen(house.lifecycle.stopping()));
        if let (Some(listener), Some(draftsman)) = (listener, draftsman) {
            house.lifecycle.spawn("sweep", store.clone().sweep_loop(house.lifecycle.stopping()));
            let auditor = Auditor::new(store.clone(), house.archive.papers(), Some(house.vault.clone()));
            house.lifecycle.spawn("audit", auditor.export_loop(house.lifecycle.stopping()));
            house.serve(listener, tls.clone(), metrics, draftsman, switchboard.zip(browsers))?;
        }
        let first = users.init().await?;
        supervisor::tell(supervisor::READY);
        let reload = Reload { file, running: house.settings, telemetry, prompts, tls, sip_tls, clock: house.clock };
        Ok(Self { first, lifecycle: house.lifecycle, alarm, store, media, reload, hang_up, http, sip })
    }

    /// Runs until a signal asks to stop or a task ends unasked, then ends everything in order.
    ///
    /// A second signal ends it at once.
    pub async fn run(mut self) -> anyhow::Result<()> {
        let stop = stop_signal();
        tokio::pin!(stop);
        let failed = loop {
            tokio::select! {
                signal = &mut stop => {
                    tracing::info!(signal, "stopping: open calls may end");
                    break None;
                }
                wish = self.hang_up.wish() => match wish {
                    Wish::Reload => self.reload.run(),
                    Wish::Stop => {
                        tracing::info!("stopping: the terminal is gone; open calls may end");
                        break None;
                    }
                },
                task = self.alarm.raised() => break Some(task),
            }
        };
        supervisor::tell(supervisor::STOPPING);
        let all_ended = tokio::select! {
            ended = self.lifecycle.stop(FAREWELL) => ended,
            signal = stop_signal() => {
                tracing::warn!(signal, "stopping at once");
                false
            }
        };
        if let Some(media) = self.media {
            tokio::task::spawn_blocking(move || media.stop()).await?;
        }
        self.store.close().await;
        match failed {
            Some(task) => anyhow::bail!("task `{task}` ended unasked; the log says why"),
            None if !all_ended => anyhow::bail!("not everything ended within {} s", FAREWELL.as_secs()),
            None => Ok(()),
        }
    }
}

/// The certificate of the SIP port; nothing when it speaks no TLS. The self-signed one lies beside that of HTTP.
fn sip_certificate(settings: &Settings, now: UnixMs) -> Result<Option<http::Certificate>, http::TlsError> {
    let Some(listen) = settings.sip.tls.all().first() else { return Ok(None) };
    http::Certificate::of(&settings.sip.tls_certificate, &settings.http.tls_folder.join("sip"), *listen, now)
}

impl Builder {
    async fn listen(&self) -> anyhow::Result<TcpListener> {
        let address = self.settings.http.listen;
        TcpListener::bind(address)
            .await
            .map_err(|error| anyhow::anyhow!("http.listen: cannot listen on TCP {address}: {error}"))
    }

    /// TLS as the settings ask for it.
    fn tls(&self, file: &Path) -> anyhow::Result<Option<http::Tls>> {
        let (http, wanted) = (&self.settings.http, self.settings.http.tls());
        let made = http::Certificate::of(&wanted, &http.tls_folder, http.listen, self.clock.now());
        let certificate = made.map_err(|error| match wanted {
            // Files that do not fit are a mistake in the settings; a folder that cannot be written is none.
            Tls::Files { .. } => ConfigError::one(file.display(), "http.tls", error).into(),
            _ => anyhow::Error::new(error).context("http.tls_folder"),
        })?;
        Ok(certificate.map(http::Tls::new).transpose()?)
    }

    /// TLS of the SIP port, if there is one.
    fn sip_tls(&self, file: &Path) -> anyhow::Result<Option<Acceptor>> {
        let certificate = sip_certificate(&self.settings, self.clock.now());
        let certificate = certificate.map_err(|error| match self.settings.sip.tls_certificate {
            Tls::Files { .. } => ConfigError::one(file.display(), "sip.tls_certificate", error).into(),
            _ => anyhow::Error::new(error).context("http.tls_folder"),
        })?;
        Ok(certificate.map(|it| Acceptor::new(it.pair(), &[])).transpose()?)
    }

    async fn bind_sip(&self, tls: Option<Acceptor>) -> anyhow::Result<(Endpoint, mpsc::Receiver<Incoming>)> {
        let sip = &self.settings.sip;
        let registration = sip::Registration {
            realm: sip.realm.clone(),
            md5_only_agents: sip.md5_only_agents.clone(),
            secrets: Arc::new(self.telephones()?),
        };
        let settings = SipSettings {
            udp: sip.udp.all().to_vec(),
            tcp: sip.tcp().to_vec(),
            tls: tls.map(|tls| (sip.tls.all().to_vec(), tls)),
            advertise: sip.advertise,
            numbers: self.settings.line.numbers.clone(),
            area_code: self.settings.line.area_code.clone(),
            forks: sip::Forks {
                sources: sip::Networks::new(self.settings.siprec.networks()),
                seats: self.settings.siprec.seats.clone(),
            },
            registration,
            srtp: match self.settings.rtp.srtp {
                Srtp::Off => SrtpPolicy::Off,
                Srtp::Accept => SrtpPolicy::Accept,
                Srtp::Require => SrtpPolicy::Require,
            },
            fingerprint: self.identity.as_ref().map(|identity| identity.fingerprint),
            carriers: sip::Networks::new(self.settings.rtp.carriers()),
            max_calls: self.settings.line.max_calls,
            t1: SipSettings::T1,
            streams: StreamLimits::default(),
        };
        Ok(Endpoint::bind(settings, self.clock.clone()).await?)
    }

    fn telephones(&self) -> anyhow::Result<Seats> {
        Ok(Seats::new(self.store.clone(), self.vault.clone(), &self.settings.sip.realm)?)
    }

    fn take_calls(
        &self,
        endpoint: Endpoint,
        incoming: mpsc::Receiver<Incoming>,
        prompts: Prompts,
    ) -> anyhow::Result<(MediaPlane, Switchboard)> {
        let settings = MediaSettings {
            address: self.settings.sip.media(),
            ports: self.settings.rtp.range().unwrap_or_default(),
            shards: self.settings.rtp.shards,
            shared: !self.settings.rtp.carriers.is_empty(),
            identity: self.identity.clone(),
        };
        let (media, events) = MediaPlane::start(settings, self.clock.clone())?;
        let (switchboard, hub) = self.give_to_seats(endpoint.registrar());
        let line = Line::new(call::Parts {
            media: media.clone(),
            archive: self.archive.clone(),
            queue: self.queue.clone(),
            vault: self.vault.clone(),
            prompts,
            switchboard: switchboard.clone(),
            phones: call::Phones { registrar: endpoint.registrar(), dialler: endpoint.dialler() },
            clock: self.clock.clone(),
            most: call::Parts::UNSETTLED * self.settings.line.max_calls,
            longest: self.settings.line.max_call(),
            grace: call::Parts::GRACE,
        });
        let stopping = self.lifecycle.stopping();
        self.lifecycle.spawn("sip", endpoint.run(stopping.clone()));
        let last_call_over = CancellationToken::new();
        self.lifecycle.spawn("switchboard", hub.run(last_call_over.clone()));
        self.lifecycle.spawn("line", async move {
            let _over = last_call_over.drop_guard();
            line.run(incoming, events, stopping).await;
        });
        self.readiness.set(Part::Sip, Health::Up);
        Ok((media, switchboard))
    }

    /// The switchboard, and those who tell it what it has to know.
    fn give_to_seats(&self, registrar: Registrar) -> (Switchboard, switchboard::Runner) {
        let plan = Plan::of(&self.settings.acd, &self.settings.line.numbers);
        let (switchboard, runner) = Switchboard::new(plan.clone(), self.clock.clone());
        let stopping = self.lifecycle.stopping();
        self.lifecycle
            .spawn("seats", seats::presence_loop(registrar, self.store.clone(), switchboard.clone(), stopping.clone()));
        let turns = seats::turns_loop(self.store.clone(), switchboard.clone(), self.clock.clone(), stopping.clone());
        self.lifecycle.spawn("turns", turns);
        let (cases, clock) = (self.cases.clone(), self.clock.clone());
        let hours = seats::hours_loop(plan, cases, switchboard.clone(), clock, stopping.clone());
        self.lifecycle.spawn("hours", hours);
        let announced = seats::announce_loop(self.store.clone(), switchboard.clone(), stopping);
        self.lifecycle.spawn("announcements", announced);
        (switchboard, runner)
    }

    /// Takes up what a dead process left, and goes on with it where the store was away.
    async fn recover(&self, started: UnixMs) -> anyhow::Result<()> {
        let found = cases::recover(&self.queue, &self.archive, &self.vault, started).await?;
        tracing::info!(imported = found.imported, interrupted = found.interrupted, "recovered");
        let stopping = self.lifecycle.stopping();
        let (queue, archive, vault) = (self.queue.clone(), self.archive.clone(), self.vault.clone());
        self.lifecycle.spawn("late", cases::late_loop(queue, archive, vault, found.unfinished, stopping));
        Ok(())
    }

    /// Fills the fields of a case from words, heard or written.
    fn draftsman(&self) -> anyhow::Result<cases::Draftsman> {
        let classifier = Classifier::load(&self.settings.city.classifier)?;
        let drafter = Drafter::new(self.city.clone(), classifier);
        Ok(Arc::new(move |transcript, caller_id, started| drafter.draft(transcript, &CallFacts { caller_id, started })))
    }

    fn hear(&self, draftsman: cases::Draftsman, takes_calls: bool) -> anyhow::Result<()> {
        let stopping = self.lifecycle.stopping();
        self.lifecycle
            .spawn("drafter", cases::drafter_loop(self.cases.clone(), self.queue.clone(), draftsman, stopping));
        let workers = self.settings.speech.workers;
        let (hearing, program) = (work::Health::of(workers), work::Program::this(&self.settings.speech)?);
        let watched = hearing.clone();
        self.readiness.watch(Part::Worker, move || match watched.degraded() {
            None => Health::Up,
            Some(reason) => Health::Down { reason },
        });
        let live = work::Live::default();
        // Words while they talk come of the recordings that grow in this very process.
        if takes_calls && workers > 0 && self.settings.speech.live {
            let (live, store, archive) = (live.clone(), self.store.clone(), self.archive.clone());
            let task = work::listen_loop(live, store, archive, program.clone(), self.lifecycle.stopping());
            self.lifecycle.spawn("live words", task);
        }
        let task = work::supervise(
            self.queue.clone(),
            self.archive.clone(),
            program,
            workers,
            live,
            hearing,
            self.lifecycle.stopping(),
        );
        self.lifecycle.spawn("hearing", task);
        let config::Retention { audio_days, invalid_audio_days } = self.settings.retention;
        let rules = retention::Rules { audio_days, invalid_audio_days };
        let (store, archive, vault) = (self.store.clone(), self.archive.clone(), self.vault.clone());
        let task = cases::upkeep_loop(store, archive, vault, rules, self.lifecycle.stopping());
        self.lifecycle.spawn("upkeep", task);
        Ok(())
    }

    fn measure(&self, metrics: PrometheusHandle) {
        let (queue, readiness, clock) = (self.queue.clone(), self.readiness.clone(), self.clock.clone());
        let samples = Samples::new(&self.settings, queue, readiness, clock);
        self.lifecycle.spawn("metrics", samples.keep(metrics, self.lifecycle.stopping()));
    }

    fn serve(
        &self,
        listener: TcpListener,
        tls: Option<http::Tls>,
        metrics: PrometheusHandle,
        draftsman: cases::Draftsman,
        line: Option<(Switchboard, mpsc::Sender<WebSocket>)>,
    ) -> anyhow::Result<()> {
        let (switchboard, websockets) = line.unzip();
        let parts = http::Parts {
            store: self.store.clone(),
            archive: self.archive.clone(),
            vault: self.vault.clone(),
            cases: self.cases.clone(),
            draftsman,
            city: self.city.clone(),
            clock: self.clock.clone(),
            readiness: self.readiness.clone(),
            metrics,
            switchboard,
            websockets,
            limits: http::Limits::new(&self.settings.http, self.clock.clone()),
            users: self.users.clone(),
            telephones: self.telephones()?,
            sessions: Sessions::new(self.users.clone(), self.vault.clone()),
        };
        let stopping = self.lifecycle.stopping();
        self.lifecycle.spawn("http", async move {
            if let Err(error) = http::serve(parts, listener, tls, stopping).await {
                tracing::error!(%error, "the HTTP listener broke");
            }
        });
        Ok(())
    }
}

/// Refuses to work with the keys of another line: what this database finds people by would find nobody, and what is
/// sealed now could not be opened.
pub(crate) async fn check_keys(store: &Store, vault: &Vault, settings: &Settings) -> anyhow::Result<()> {
    if store.mark("index_key", &vault.mark()).await? != vault.mark() {
        let folder = settings.vault.keys.display();
        anyhow::bail!(
            "vault.keys: the keys in {folder} are not those of this database; put its own back from the backup"
        );
    }
    Ok(())
}

/// Looks whether the keys are this database's; makes one for a suite that is new in the settings.
async fn unlock(store: &Store, vault: &Vault, settings: &Settings) -> anyhow::Result<()> {
    check_keys(store, vault, settings).await?;
    if let Some(new) = vault.follow(settings.vault.suite)? {
        let mut tx = store.begin().await?;
        tx.audit(AuditEntry {
            user: None,
            name: "start".into(),
            action: Action::KeyRotated,
            subject: format!("key:{}", new.id),
            detail: json!({ "suite": new.suite }),
        });
        tx.commit().await?;
    }
    Ok(())
}

/// Waits for SIGTERM or SIGINT and gives its name.
async fn stop_signal() -> &'static str {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut term), Ok(mut int)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = term.recv() => "SIGTERM",
        _ = int.recv() => "SIGINT",
    }
}
