//! Whole calls: real SIP and RTP from the test phone, real media plane, archive and database.

mod seats;

use std::{
    future::Future,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use sip_test::{CallReport, CallSpec, Elsewhere, EndedBy, ForkSpec, Telling};
use tempfile::TempDir;
use tokio::{task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::{
    acd::Plan,
    clock::Clock,
    domain::call::{EndReason, Origin, RecordingState},
    jobs::Queue,
    media::{MediaPlane, MediaSettings},
    recording::Archive,
    sip::{Endpoint, Forks, Networks, Registration, SipSettings},
    store::{CallRow, JobState, Store},
    switchboard::Switchboard,
    vault::Vault,
};

/// Far more than anything here takes; only a broken build waits it out.
const PATIENCE: Duration = Duration::from_mins(1);

/// A running line in a folder of its own.
struct House {
    address: SocketAddr,
    archive: Archive,
    store: Store,
    media: MediaPlane,
    stopping: CancellationToken,
    line: JoinHandle<()>,
    sip: JoinHandle<()>,
    switchboard: Switchboard,
    folder: TempDir,
}

/// What a test changes.
struct Rules {
    most: usize,
    longest: Duration,
    grace: Duration,
    t1: Duration,
    plan: Plan,
    prompts: PathBuf,
    /// Whose calls share a port.
    carriers: Networks,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            most: 16,
            longest: Duration::from_mins(10),
            grace: Parts::GRACE,
            t1: SipSettings::T1,
            plan: Plan::default(),
            prompts: "config/prompts".into(),
            carriers: Networks::default(),
        }
    }
}

impl House {
    async fn open(rules: Rules) -> Self {
        let (folder, clock) = (tempfile::tempdir().expect("a folder"), Clock::system());
        let archive = Archive::in_folder(folder.path(), clock.clone());
        let url = format!("sqlite://{}", folder.path().join("hotline.db").display());
        let store = Store::open(&url, clock.clone()).await.expect("a database");
        let settings = MediaSettings {
            address: [127, 0, 0, 1].into(),
            ports: (0, 0),
            shards: 1,
            shared: !rules.carriers.is_empty(),
            identity: None,
        };
        let (media, media_events) = MediaPlane::start(settings, clock.clone()).expect("a media plane");
        // The test's switch is this machine.
        let forks = Forks { sources: Networks::new(vec![([127, 0, 0, 1].into(), 32)]), seats: vec!["8???".into()] };
        let settings = SipSettings {
            t1: rules.t1,
            forks,
            carriers: rules.carriers,
            registration: Registration { secrets: std::sync::Arc::new(seats::Known), ..Registration::default() },
            ..SipSettings::new(([127, 0, 0, 1], 0).into(), vec!["12345".into()], 4)
        };
        let (endpoint, incoming) = Endpoint::bind(settings, clock.clone()).await.expect("a free port");
        let (switchboard, hub) = Switchboard::new(rules.plan, clock.clone());
        tokio::spawn(hub.run(CancellationToken::new()));
        let registrar = endpoint.registrar();
        let phones = Phones { registrar, dialler: endpoint.dialler() };
        let parts = Parts {
            media: media.clone(),
            archive: archive.clone(),
            queue: Queue::new(store.clone()),
            vault: Vault::in_folder(folder.path(), clock.clone()),
            prompts: Prompts::load(&rules.prompts).expect("announcements"),
            switchboard: switchboard.clone(),
            phones,
            clock,
            most: rules.most,
            longest: rules.longest,
            grace: rules.grace,
        };
        let (address, stopping) = (endpoint.local_addr(), CancellationToken::new());
        let sip = tokio::spawn(endpoint.run(stopping.clone()));
        let line = tokio::spawn(Line::new(parts).run(incoming, media_events, stopping.clone()));
        Self { address, archive, store, media, stopping, line, sip, switchboard, folder }
    }

    fn spec(&self) -> CallSpec {
        let mut spec = CallSpec::new(format!("sip:12345@{}", self.address));
        spec.hang_up_after = Some(Duration::from_millis(500));
        spec
    }

    /// The one call in the books, once it has ended.
    async fn ended(&self) -> CallRow {
        until(async || {
            let calls = self.store.calls(None, 10).await.expect("the books");
            calls.into_iter().find(|call| call.ended.is_some())
        })
        .await
    }

    /// Stops in order; gives the folder back, which goes when it is dropped.
    async fn close(self) -> TempDir {
        self.stopping.cancel();
        timeout(PATIENCE, self.line).await.expect("the line ends").expect("without a panic");
        timeout(PATIENCE, self.sip).await.expect("the port closes").expect("without a panic");
        self.media.stop();
        self.folder
    }
}

/// Asks until there is an answer.
async fn until<T, F: Future<Output = Option<T>>>(ask: impl Fn() -> F) -> T {
    let asking = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, asking).await.expect("it becomes so")
}

async fn dial(spec: CallSpec) -> CallReport {
    timeout(PATIENCE, sip_test::call(spec)).await.expect("calls end").expect("the phone works")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_answered_welcomed_recorded_sealed_and_left_to_be_heard() {
    let house = House::open(Rules::default()).await;
    let report = dial(house.spec().playing(vec![4000; 8000])).await;
    assert_eq!((report.status, report.ended_by, report.bye_status), (200, EndedBy::Phone, Some(200)));
    assert!(report.heard.iter().any(|sample| sample.unsigned_abs() > 1000), "the welcome is heard");

    let row = house.ended().await;
    assert_eq!(row.end_reason, Some(EndReason::CallerHungUp));
    assert_eq!(row.caller.as_ref().map(|it| it.reveal().as_str()), Some("13800000000"));
    assert_eq!((row.called.as_str(), row.recording_state), ("12345", RecordingState::Sealed));
    assert!(row.answered.is_some_and(|at| at >= row.started));
    let recording = row.recording.expect("a recording");
    assert!(recording.samples > 0);
    let sidecar = house.archive.stored(row.id).await.expect("the archive").expect("a sidecar");
    assert_eq!(
        (sidecar.key, sidecar.sha256, sidecar.reason),
        (recording.key, recording.sha256, EndReason::CallerHungUp)
    );
    let job = house.store.job("transcribe", &row.id.to_string()).await.expect("the books").expect("a job");
    assert_eq!(job.state, JobState::Waiting);
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_without_an_offer_hears_the_welcome_after_its_ack() {
    let house = House::open(Rules::default()).await;
    let mut spec = house.spec();
    spec.no_sdp = true;
    let report = dial(spec).await;
    assert_eq!(report.status, 200);
    assert!(report.heard.iter().any(|sample| sample.unsigned_abs() > 1000), "the welcome is heard");
    assert_eq!(house.ended().await.end_reason, Some(EndReason::CallerHungUp));
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_of_a_carrier_are_heard_at_one_port_and_all_others_at_their_own() {
    let carriers = Networks::new(vec![([127, 0, 0, 1].into(), 32)]);
    let house = House::open(Rules { carriers, ..Rules::default() }).await;
    let addresses = ["127.0.0.1:40000", "127.0.0.1:40002", "127.0.0.2:40000", "127.0.0.1:40000"];
    let mut lines = Vec::new();
    let mut calls = Vec::new();
    for address in addresses {
        let (address, far) = (address.parse().expect("an address"), Arc::<Mutex<_>>::default());
        let mut spec = house.spec();
        spec.elsewhere = Some(Elsewhere { address, far: Arc::clone(&far) });
        calls.push(tokio::spawn(dial(spec)));
        lines.push(until(async || *far.lock().expect("whole")).await);
    }
    assert_eq!(lines[0], lines[1]);
    assert_ne!(lines[0], lines[2], "not this carrier's");
    assert_ne!(lines[0], lines[3], "a second call from one address");
    assert_ne!(lines[2], lines[3]);
    for call in calls {
        assert_eq!(call.await.expect("whole").status, 200);
    }
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_longest_call_ends_with_goodbye_and_our_bye() {
    let house = House::open(Rules { longest: Duration::from_millis(300), ..Rules::default() }).await;
    let mut spec = house.spec();
    spec.hang_up_after = Some(Duration::from_secs(30));
    let report = dial(spec).await;
    assert_eq!(report.ended_by, EndedBy::Far);
    let row = house.ended().await;
    assert_eq!((row.end_reason, row.recording_state), (Some(EndReason::MaxDuration), RecordingState::Sealed));
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_ack_ends_the_call_and_closes_its_recording() {
    let house = House::open(Rules { t1: Duration::from_millis(10), ..Rules::default() }).await;
    let mut spec = house.spec();
    spec.withhold_ack = true;
    spec.hang_up_after = Some(Duration::from_secs(20));
    let phone = tokio::spawn(dial(spec));
    let row = house.ended().await;
    assert_eq!((row.end_reason, row.recording_state), (Some(EndReason::AckTimeout), RecordingState::Sealed));
    phone.abort();
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_hangs_up_after_its_grace_and_seals_what_was_recorded() {
    let house = House::open(Rules { grace: Duration::from_millis(200), ..Rules::default() }).await;
    let mut spec = house.spec();
    spec.hang_up_after = Some(Duration::from_secs(30));
    let phone = tokio::spawn(dial(spec));
    until(async || house.store.calls(None, 1).await.expect("the books").pop()?.answered).await;
    let (store, archive) = (house.store.clone(), house.archive.clone());
    let _folder = house.close().await;
    assert_eq!(phone.await.expect("the phone works").ended_by, EndedBy::Far);
    let row = store.calls(None, 1).await.expect("the books").pop().expect("the call");
    assert_eq!((row.end_reason, row.recording_state), (Some(EndReason::LineHungUp), RecordingState::Sealed));
    assert!(archive.stored(row.id).await.expect("the archive").is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forked_call_is_recorded_without_a_word_and_row_and_sidecar_say_who_spoke() {
    let house = House::open(Rules::default()).await;
    let mut spec = ForkSpec::new(format!("sip:recorder@{}", house.address));
    (spec.caller_says, spec.seat_says) = (vec![4_000; 8_000], vec![2_000; 8_000]);
    spec.telling = Telling::Late;
    let report = timeout(PATIENCE, sip_test::fork(spec)).await.expect("calls end").expect("the switch works");
    assert_eq!((report.status, report.statuses.as_slice(), report.bye_status), (200, &[200][..], Some(200)));
    let row = house.ended().await;
    assert_eq!((row.end_reason, row.recording_state), (Some(EndReason::SwitchHungUp), RecordingState::Sealed));
    assert_eq!((row.origin, row.seat.as_deref(), row.called.as_str()), (Origin::Forked, Some("8001"), "12345"));
    assert_eq!(row.caller.as_ref().map(|it| it.reveal().as_str()), Some("13800000000"));
    assert!(row.caller_hash.is_some(), "found by its caller");
    let sidecar = house.archive.stored(row.id).await.expect("the archive").expect("a sidecar");
    assert_eq!(sidecar.facts.fork.as_ref().and_then(|it| it.session_id.clone()), row.session_id);
    assert_eq!(sidecar.facts.caller, row.caller);
    let speakers: Vec<_> = sidecar.speakers.iter().map(|it| it.who.as_str()).collect();
    assert_eq!((speakers.len(), speakers.contains(&"caller"), speakers.contains(&"operator")), (2, true, true));
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_longest_forked_call_ends_with_our_bye_and_no_goodbye() {
    let house = House::open(Rules { longest: Duration::from_millis(300), ..Rules::default() }).await;
    let mut spec = ForkSpec::new(format!("sip:recorder@{}", house.address));
    spec.hang_up_after = Some(Duration::from_secs(30));
    let report = timeout(PATIENCE, sip_test::fork(spec)).await.expect("calls end").expect("the switch works");
    assert_eq!(report.ended_by, EndedBy::Far);
    let row = house.ended().await;
    assert_eq!((row.end_reason, row.origin), (Some(EndReason::MaxDuration), Origin::Forked));
    let sidecar = house.archive.stored(row.id).await.expect("the archive").expect("a sidecar");
    assert!(sidecar.prompts(crate::domain::transcript::Channel::Operator).is_empty(), "nothing was said");
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_away_costs_no_call_and_no_recording() {
    let house = House::open(Rules::default()).await;
    house.store.close().await;
    let report = dial(house.spec()).await;
    assert_eq!((report.status, report.bye_status), (200, Some(200)));
    let sealed = until(async || {
        let call = house.archive.calls().await.expect("the archive").pop()?;
        house.archive.stored(call).await.expect("the archive")
    })
    .await;
    assert_eq!(sealed.reason, EndReason::CallerHungUp);
    assert_eq!(sealed.facts.caller.as_ref().map(|it| it.reveal().as_str()), Some("13800000000"));
    house.line.abort();
    house.sip.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_are_over_and_not_yet_in_the_books_count_against_the_next() {
    let house = House::open(Rules { most: 1, ..Rules::default() }).await;
    let first = dial(house.spec()).await;
    assert_eq!(first.status, 200);
    house.ended().await;
    // A call that is over waits for the database.
    house.store.close().await;
    until(async || (dial(house.spec()).await.status == 200).then_some(())).await;
    assert_eq!(dial(house.spec()).await.status, 503);
    house.line.abort();
    house.sip.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_cannot_be_recorded_is_refused_with_503() {
    let house = House::open(Rules::default()).await;
    let spool = house.folder.path().join("spool");
    std::fs::remove_dir_all(&spool).expect("the spool folder");
    std::fs::write(&spool, "no folder").expect("a file in its place");
    let report = dial(house.spec()).await;
    assert_eq!((report.status, report.ended_by), (503, EndedBy::Refused));
    let row = house.ended().await;
    assert_eq!((row.end_reason, row.recording_state), (Some(EndReason::Failed), RecordingState::None));
    house.close().await;
}
