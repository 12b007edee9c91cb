//! Creating calls that are sent again.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use axum::{
    Json, Router,
    body::{Body, to_bytes},
    extract::Request,
    http::HeaderMap,
    response::{IntoResponse, Response},
    routing::post,
};
use futures::future::select;
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use serde_json::json;
use tokio::sync::Semaphore;

use super::*;
use crate::http::{
    App,
    idempotency::{Keyed, ShownOnce},
    problem::Kind as ProblemKind,
};

/// Routes that create, behind the door, and how often each was really done.
struct Line {
    house: House,
    routes: TowerToHyperService<Router>,
    done: Arc<AtomicUsize>,
    /// Lets `/slow` go on.
    gate: Arc<Semaphore>,
}

impl Line {
    fn of(house: House) -> Self {
        let (done, gate) = (Arc::new(AtomicUsize::new(0)), Arc::new(Semaphore::new(0)));
        let count = {
            let done = done.clone();
            move || done.fetch_add(1, Ordering::SeqCst) + 1
        };
        let (plain, secret, refused, lost) = (count.clone(), count.clone(), count.clone(), count.clone());
        let (slow, wait, store) = (count, gate.clone(), house.store.clone());
        let routes = Router::<App>::new()
            .route("/plain", post(async move || (StatusCode::CREATED, Json(json!({ "number": plain() })))))
            .route("/secret", post(async move || (axum::Extension(ShownOnce), Json(json!({ "token": secret() })))))
            .route(
                "/refused",
                post(async move || {
                    refused();
                    ProblemKind::Refused.problem()
                }),
            )
            // It is done and its answer is lost, as when the process dies in between.
            .route(
                "/lost",
                post(async move |Keyed(once): Keyed| {
                    lost();
                    let mut tx = store.begin().await.expect("a writer");
                    tx.settles(&once.expect("a key"));
                    tx.commit().await.expect("committed");
                    std::future::pending::<()>().await;
                }),
            )
            .route(
                "/slow",
                post(async move || {
                    wait.acquire().await.expect("open").forget();
                    Json(json!({ "number": slow() }))
                }),
            );
        let patience = Duration::from_mins(1);
        let routes = crate::http::finish(routes, house.parts.clone(), house.feed(), patience);
        Self { routes: TowerToHyperService::new(routes), house, done, gate }
    }

    async fn post(&self, path: &str, token: &str, key: &str, body: &str) -> Answered {
        let response = self.response(path, token, key, body).await;
        let (parts, body) = response.into_parts();
        let body = to_bytes(body, 1 << 20).await.expect("a body");
        Answered {
            status: parts.status.as_u16(),
            headers: parts.headers,
            json: serde_json::from_slice(&body).unwrap_or_default(),
        }
    }

    async fn response(&self, path: &str, token: &str, key: &str, body: &str) -> Response {
        let request = Request::post(path)
            .header("authorization", format!("Bearer {token}"))
            .header("content-type", "application/json")
            .header("idempotency-key", key)
            .body(Body::from(body.to_owned()))
            .expect("a request");
        self.routes.call(request).await.into_response()
    }

    fn done(&self) -> usize {
        self.done.load(Ordering::SeqCst)
    }
}

struct Answered {
    status: u16,
    headers: HeaderMap,
    json: Value,
}

impl Answered {
    fn problem(&self) -> (u16, &str) {
        (self.status, self.json["type"].as_str().unwrap_or_default().trim_start_matches("urn:hotline:problem:"))
    }
}

#[tokio::test]
async fn a_creating_call_that_is_sent_again_gets_the_first_answer() {
    for house in House::on_every_database().await {
        let line = Line::of(house);
        let (li, wang) = (line.house.token(Role::Agent).await, line.house.token(Role::Dispatcher).await);
        let first = line.post("/plain", &li, "k1", "{\"a\":1}").await;
        assert_eq!((first.status, first.headers.get("idempotency-replayed")), (201, None));
        let again = line.post("/plain", &li, "k1", "{\"a\":1}").await;
        assert_eq!(
            (again.status, &again.json, &again.headers["content-type"]),
            (201, &first.json, &axum::http::HeaderValue::from_static("application/json"))
        );
        assert_eq!(again.headers["idempotency-replayed"], "true");
        assert_eq!(line.done(), 1);
        for (path, body) in [("/plain", "{\"a\":2}"), ("/plain?x=1", "{\"a\":1}"), ("/secret", "{\"a\":1}")] {
            let other = line.post(path, &li, "k1", body).await;
            assert_eq!(other.problem(), (422, "key-reused"), "{path} {body}");
        }
        assert_eq!(line.done(), 1);
        assert_eq!(
            line.post("/plain", &wang, "k1", "{\"a\":1}").await.json["number"],
            2,
            "each person has their own keys"
        );
        assert_eq!(line.post("/plain", &li, "k2", "{\"a\":1}").await.json["number"], 3);
        line.house.clock.set(NINE + Duration::from_millis(24 * 3_600_000 + 1));
        assert_eq!(line.post("/plain", &li, "k1", "{\"a\":1}").await.json["number"], 4, "a day is over");
    }
}

#[tokio::test]
async fn what_is_shown_once_is_not_shown_again() {
    let line = Line::of(House::open().await);
    let li = line.house.token(Role::Agent).await;
    assert_eq!(line.post("/secret", &li, "k", "{}").await.json["token"], 1);
    assert_eq!(line.post("/secret", &li, "k", "{}").await.problem(), (409, "done"));
    assert_eq!(line.done(), 1);
}

#[tokio::test]
async fn a_refusal_is_not_kept() {
    let line = Line::of(House::open().await);
    let li = line.house.token(Role::Agent).await;
    for _ in 0..2 {
        let refused = line.post("/refused", &li, "k", "{}").await;
        assert_eq!((refused.problem(), refused.headers.get("idempotency-replayed")), ((422, "refused"), None));
    }
    assert_eq!(line.done(), 2);
}

#[tokio::test]
async fn one_that_comes_while_the_first_is_being_done_is_told_to_come_again() {
    let line = Line::of(House::open().await);
    let li = line.house.token(Role::Agent).await;
    // Whichever claimed the key waits at the gate; the other is sent away.
    let one = Box::pin(line.post("/slow", &li, "k", "{}"));
    let (away, other) = select(one, Box::pin(line.post("/slow", &li, "k", "{}"))).await.factor_first();
    line.gate.add_permits(1);
    let done = other.await;
    assert_eq!((done.json["number"].as_u64(), away.problem()), (Some(1), (409, "running")));
    assert_eq!(away.headers["retry-after"], "2");
    assert_eq!(line.post("/slow", &li, "k", "{}").await.json, done.json);
}

#[tokio::test]
async fn what_was_done_is_never_done_again_even_if_its_answer_was_lost() {
    for house in House::on_every_database().await {
        let line = Line::of(house);
        let li = line.house.token(Role::Agent).await;
        // The client gives up; the handler is dropped after it has committed.
        tokio::select! {
            _ = line.post("/lost", &li, "k", "{}") => panic!("it answered"),
            () = async {
                while line.done() == 0 || line.post("/lost", &li, "k", "{}").await.problem() != (409, "done") {
                    tokio::task::yield_now().await;
                }
            } => {}
        }
        line.house.clock.set(NINE + Duration::from_mins(10));
        assert_eq!(line.post("/lost", &li, "k", "{}").await.problem(), (409, "done"));
        assert_eq!(line.done(), 1);
    }
}

#[tokio::test]
async fn a_claim_whose_process_died_before_it_did_anything_is_free_again() {
    let line = Line::of(House::open().await);
    let li = line.house.token(Role::Agent).await;
    // Whichever claimed the key is dropped where it waits.
    let one = Box::pin(line.post("/slow", &li, "k", "{}"));
    let (away, died) = select(one, Box::pin(line.post("/slow", &li, "k", "{}"))).await.factor_first();
    drop(died);
    assert_eq!(away.problem(), (409, "running"));
    line.house.clock.set(NINE + Duration::from_mins(2));
    line.gate.add_permits(1);
    assert_eq!(line.post("/slow", &li, "k", "{}").await.json["number"], 1);
}

#[tokio::test]
async fn a_key_that_is_none_and_a_stranger_are_refused() {
    let line = Line::of(House::open().await);
    let li = line.house.token(Role::Agent).await;
    for key in ["", &"x".repeat(256)] {
        assert_eq!(line.post("/plain", &li, key, "{}").await.problem(), (400, "bad-request"));
    }
    assert_eq!(line.post("/plain", &li, "k", &"x".repeat(300_000)).await.problem(), (413, "too-large"));
    assert_eq!(line.done(), 0);
}
