//! The door on a real port, with a real database and a real recording in a folder of the test's own.

mod audit;
mod calendar;
mod calls;
mod cases;
mod errors;
mod guard;
mod insight;
mod once;
mod people;
mod privacy;
mod roles;
mod schema;
mod seats;
mod stream;
mod tls;
mod whole;

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use metrics_exporter_prometheus::PrometheusBuilder;
use reqwest::{Method, StatusCode, header::HeaderMap};
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{Health, Limits, Part, Parts, Readiness, Tls, stream::Feed};
use crate::{
    acd::Plan,
    cases::{Cases, Drafted, Draftsman},
    clock::Clock,
    config::{People, Settings},
    domain::{
        call::{Direction, EndReason, RecordingState},
        city::City,
        draft::{Draft, Field, Source},
        ids::{CallId, CaseId},
        role::Role,
        time::UnixMs,
        transcript::{Channel, Transcript, Utterance},
    },
    drafting::{Classifier, Drafter},
    recording::{Archive, CallFacts, Closing, Sealed},
    store::{CallRow, CallbackKind, Store, StoredRecording, UserRow},
    switchboard::Switchboard,
    telemetry::Private,
    users::{By, NewToken, NewUser, Seats, Sessions, Users},
    vault::Vault,
};

/// Monday 2026-11-23, 09:00 in the city.
const NINE: UnixMs = UnixMs(1_795_395_600_000);
/// What everybody logs in with.
const PASSWORD: &str = "Tuesday-rain-7";
/// Length of the recording of [`House::call`].
const SECONDS: u32 = 3;

/// A running door and what stands behind it.
struct House {
    url: String,
    client: reqwest::Client,
    store: Store,
    archive: Archive,
    cases: Cases,
    clock: Clock,
    parts: Parts,
    readiness: Readiness,
    stop: DropGuard,
    folder: TempDir,
}

/// An answer, read to its end.
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("the answer is JSON")
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("a header is text"))
    }

    /// The last part of the problem's `type`.
    fn problem(&self) -> String {
        assert_eq!(self.header("content-type"), "application/problem+json");
        let problem = self.json();
        assert_eq!(problem["status"], self.status.as_u16());
        assert_eq!(problem["instance"], format!("urn:uuid:{}", self.header("x-request-id")));
        let kind = problem["type"].as_str().expect("a problem has a type");
        kind.strip_prefix("urn:hotline:problem:").expect("of ours").to_owned()
    }
}

impl House {
    async fn open() -> Self {
        Self::behind(None, |_| {}).await
    }

    /// A door with TLS, or with some parts changed.
    async fn behind(tls: Option<Tls>, change: impl FnOnce(&mut Parts)) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let url = format!("sqlite://{}", folder.path().join("hotline.db").display());
        Self::over(&url, folder, tls, change).await
    }

    /// One on each database there is.
    async fn on_every_database() -> Vec<Self> {
        let mut houses = vec![Self::open().await];
        if let Some(url) = crate::store::testing::schema().await {
            houses.push(Self::over(&url, tempfile::tempdir().expect("a folder"), None, |_| {}).await);
        }
        houses
    }

    async fn over(url: &str, folder: TempDir, tls: Option<Tls>, change: impl FnOnce(&mut Parts)) -> Self {
        let clock = Clock::standing_at(NINE);
        // The client speaks TLS with whichever provider the process names; only the first naming counts.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let store = Store::open(url, clock.clone()).await.expect("a fresh database");
        let archive = Archive::in_folder(folder.path(), clock.clone());
        let city = Arc::new(Settings::default().load_city().expect("the demo city"));
        let cases = Cases::new(store.clone(), city.clone()).expect("a usable calendar");
        let readiness = Readiness::default();
        for part in [Part::Database, Part::Storage, Part::Sip, Part::Worker] {
            readiness.set(part, Health::Up);
        }
        let vault = Vault::in_folder(folder.path(), clock.clone());
        let users = Users::new(store.clone(), &People::default());
        let (switchboard, hub) = Switchboard::new(Plan::default(), clock.clone());
        tokio::spawn(hub.run(CancellationToken::new()));
        let mut parts = Parts {
            sessions: Sessions::new(users.clone(), vault.clone()),
            telephones: Seats::new(store.clone(), vault.clone(), "hotline").expect("keys"),
            users,
            store: store.clone(),
            archive: archive.clone(),
            vault,
            cases: cases.clone(),
            draftsman: draftsman(&city),
            city,
            clock: clock.clone(),
            readiness: readiness.clone(),
            metrics: PrometheusBuilder::new().build_recorder().handle(),
            switchboard: Some(switchboard),
            websockets: None,
            limits: Limits::new(&Settings::default().http, Clock::system()),
        };
        change(&mut parts);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let scheme = if tls.is_some() { "https" } else { "http" };
        let url = format!("{scheme}://{}", listener.local_addr().expect("an address"));
        let stopping = CancellationToken::new();
        tokio::spawn(super::serve(parts.clone(), listener, tls, stopping.clone()));
        let client = reqwest::Client::builder().timeout(Duration::from_mins(1)).build().expect("a client");
        Self { url, client, store, archive, cases, clock, parts, readiness, stop: stopping.drop_guard(), folder }
    }

    /// A feed that nobody runs.
    fn feed(&self) -> Feed {
        Feed::new(self.store.clone(), CancellationToken::new())
    }

    /// A token of somebody with this role.
    async fn token(&self, role: Role) -> String {
        self.new_token(role, NewToken::default()).await
    }

    /// A token of somebody with this role, for these rights alone.
    async fn scoped_token(&self, role: Role, rights: &[&str]) -> String {
        let scope = Some(rights.iter().map(ToString::to_string).collect());
        self.new_token(role, NewToken { scope, ..NewToken::default() }).await
    }

    async fn new_token(&self, role: Role, new: NewToken) -> String {
        let user = self.person(role).await;
        self.parts.users.make_token(&By::machine(), &user, new, None).await.expect("a token").0.0
    }

    /// Somebody with this role, named as the role, who logs in with [`PASSWORD`].
    async fn person(&self, role: Role) -> UserRow {
        let users = &self.parts.users;
        let unit = role.is_of_unit().then(|| "WATER".to_owned());
        let password = Some(Private(PASSWORD.to_owned()));
        let new = NewUser { name: role.as_str().into(), roles: vec![role], unit, password, ..NewUser::default() };
        if self.store.user_named(role.as_str()).await.expect("readable").is_none() {
            users.add(new).await.expect("a new user");
        }
        users.named(role.as_str()).await.expect("the user")
    }

    async fn log_in(&self, name: &str, password: &str) -> Answer {
        let body = serde_json::json!({"name": name, "password": password});
        self.post("/api/v1/sessions", "", &body).await
    }

    /// Logs in and gives what the browser sends from then on.
    async fn cookie(&self, name: &str, password: &str) -> String {
        let answer = self.log_in(name, password).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{name}");
        answer.header("set-cookie").split(';').next().expect("a value").to_owned()
    }

    /// A request of a page of ours.
    async fn browse(&self, method: Method, path: &str, cookie: &str, body: Option<&Value>) -> Answer {
        let headers = [("cookie", cookie), ("sec-fetch-site", "same-origin"), ("content-type", "application/json")];
        self.send(method, path, "", &headers, body.map(ToString::to_string).as_deref()).await
    }

    /// `GET /api/v1/calls/{id}` and all the others that the description names.
    async fn described(&self) -> Vec<String> {
        let api = self.get("/openapi.json", "").await.json();
        let paths = api["paths"].as_object().expect("paths").clone();
        let named = |(path, item): (String, Value)| {
            let methods: Vec<_> = item.as_object().expect("operations").keys().cloned().collect();
            methods.into_iter().map(move |method| format!("{} {path}", method.to_uppercase()))
        };
        paths.into_iter().flat_map(named).collect()
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        token: &str,
        headers: &[(&str, &str)],
        body: Option<&str>,
    ) -> Answer {
        let mut request = self.client.request(method, format!("{}{path}", self.url));
        if !token.is_empty() {
            request = request.bearer_auth(token);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.body(body.to_owned());
        }
        let mut response = request.send().await.expect("an answer");
        let (status, headers) = (response.status(), response.headers().clone());
        // A stream has no end; its beginning is an answer too.
        let body = if headers.get("content-type").is_some_and(|kind| kind == "text/event-stream") {
            response.chunk().await.expect("a piece").unwrap_or_default()
        } else {
            response.bytes().await.expect("a whole answer")
        };
        Answer { status, headers, body: body.to_vec() }
    }

    async fn post(&self, path: &str, token: &str, body: &Value) -> Answer {
        let json = [("content-type", "application/json")];
        self.send(Method::POST, path, token, &json, Some(&body.to_string())).await
    }

    async fn patch(&self, path: &str, token: &str, body: &Value) -> Answer {
        let json = [("content-type", "application/json")];
        self.send(Method::PATCH, path, token, &json, Some(&body.to_string())).await
    }

    async fn put(&self, path: &str, token: &str, body: &Value) -> Answer {
        let json = [("content-type", "application/json")];
        self.send(Method::PUT, path, token, &json, Some(&body.to_string())).await
    }

    async fn get(&self, path: &str, token: &str) -> Answer {
        self.send(Method::GET, path, token, &[], None).await
    }

    /// A finished call with a recording, a transcript and an entry on the call-back list.
    async fn call(&self) -> (CallId, Sealed) {
        let call = CallId::new(self.clock.uuid());
        let caller = Some(Private("13806352219".to_owned()));
        let facts = CallFacts {
            call,
            caller: caller.clone(),
            called: "12345".into(),
            direction: Direction::Inbound,
            started: NINE,
            fork: None,
            seat: None,
        };
        let mut tap = self.archive.start(facts).await.expect("a recording begins");
        let said = sip_test::audio::tone(440.0, 0.5, (SECONDS * 8_000) as usize);
        for (frame, pcm) in (0_u64..).zip(said.chunks(160)) {
            tap.push(Channel::Caller, frame * 160, pcm);
        }
        drop(tap);
        let (ended, reason) = (UnixMs(NINE.0 + 3_000), EndReason::CallerHungUp);
        let sealed = self.archive.seal(call, Closing { ended, reason }).await.expect("sealed");
        let mut tx = self.store.begin().await.expect("a transaction");
        let row = CallRow::begun(call, Direction::Inbound, caller.clone(), "12345".into(), NINE);
        let row = row.found_by(self.parts.vault.fingerprint("13806352219"));
        tx.add_call(&row).await.expect("a call");
        tx.call_answered(call, NINE, RecordingState::Recording).await.expect("answered");
        let recording =
            StoredRecording { key: sealed.key.clone(), sha256: sealed.sha256.clone(), samples: sealed.samples };
        tx.call_ended(call, ended, reason, RecordingState::Sealed, Some(&recording)).await.expect("ended");
        tx.put_transcript(call, &transcript()).await.expect("heard");
        tx.add_callback(CallbackKind::Missed, Some(call), None, caller.as_ref(), "silent").await.expect("listed");
        tx.commit().await.expect("stored");
        (call, sealed)
    }

    /// The draft of a recorded call.
    async fn case(&self) -> CaseId {
        let (call, _) = self.call().await;
        let said = |value: &str| Field {
            value: Some(value.to_owned()),
            confidence: 0.9,
            source: Some(Source::Speech),
            ..Field::default()
        };
        let draft = Draft {
            title: said("光岳新村3号楼停水"),
            description: said("三号楼从昨天晚上八点就停水了，到现在还没有来水。"),
            category: said("0202"),
            request_type: said("求助"),
            place: said("E003"),
            callback_phone: said("13806352219"),
            ..Draft::default()
        };
        self.drafted(call, draft).await
    }

    /// The case of a call whose fields are these.
    async fn drafted(&self, call: CallId, draft: Draft) -> CaseId {
        let mut tx = self.store.begin().await.expect("a transaction");
        let drafted = self.cases.draft_from_call(&mut tx, call, &transcript(), draft).await.expect("drafted");
        tx.commit().await.expect("stored");
        let Drafted::Case(case) = drafted else { panic!("the caller spoke") };
        case
    }

    /// A call that was never answered.
    async fn missed_call(&self) -> CallId {
        let call = CallId::new(self.clock.uuid());
        let mut tx = self.store.begin().await.expect("a transaction");
        tx.add_call(&CallRow::begun(call, Direction::Inbound, None, "12345".into(), NINE)).await.expect("a call");
        tx.commit().await.expect("stored");
        call
    }
}

/// The one that the program uses, made once for all tests.
fn draftsman(city: &Arc<City>) -> Draftsman {
    static MADE: OnceLock<Draftsman> = OnceLock::new();
    let made = MADE.get_or_init(|| {
        let classifier = Classifier::load(&Settings::default().city.classifier).expect("the classifier");
        let drafter = Drafter::new(city.clone(), classifier);
        Arc::new(move |words, caller_id, started| {
            drafter.draft(words, &crate::drafting::CallFacts { caller_id, started })
        })
    });
    made.clone()
}

fn transcript() -> Transcript {
    let utterance = Utterance {
        channel: Channel::Caller,
        start_ms: 100,
        end_ms: 2_900,
        text: "我们三号楼从昨天晚上八点就停水了。".into(),
        confidence: 0.9,
    };
    Transcript { utterances: vec![utterance], r#final: true }
}
