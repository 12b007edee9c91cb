use axum::{Router, body::Body, extract::Request, response::Response, routing::get};
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;

use super::*;

#[tokio::test]
async fn without_a_token_everything_is_401_with_the_way_to_log_in() {
    let house = House::open().await;
    let call = house.missed_call().await;
    for path in ["/api/v1/calls", "/api/v1/units", "/api/v1/callbacks", &format!("/api/v1/calls/{call}")] {
        for token in ["", "0000", &"0".repeat(64), &"x".repeat(20_000)] {
            let answer = house.get(path, token).await;
            assert_eq!((answer.status, answer.problem().as_str()), (StatusCode::UNAUTHORIZED, "unauthorized"));
            assert!(answer.header("www-authenticate").starts_with("Bearer"));
        }
    }
}

#[tokio::test]
async fn what_may_not_be_seen_does_not_exist_and_what_may_not_be_done_is_forbidden() {
    let house = House::open().await;
    let (call, _) = house.call().await;
    let (clerk, analyst) = (house.token(Role::Auditor).await, house.token(Role::Analyst).await);
    for path in ["/api/v1/calls".to_owned(), "/api/v1/callbacks".into(), format!("/api/v1/calls/{call}/recording")] {
        let hidden = house.get(&path, &clerk).await;
        assert_eq!((hidden.status, hidden.problem().as_str()), (StatusCode::NOT_FOUND, "not-found"), "{path}");
    }
    assert_eq!(house.get(&format!("/api/v1/calls/{call}"), &analyst).await.status, StatusCode::OK);
    let forbidden = house.get(&format!("/api/v1/calls/{call}/recording"), &analyst).await;
    assert_eq!((forbidden.status, forbidden.problem().as_str()), (StatusCode::FORBIDDEN, "forbidden"));
}

#[tokio::test]
async fn unknown_paths_ids_and_methods_are_problems_too() {
    let house = House::open().await;
    let token = house.token(Role::Agent).await;
    let nobody = CallId::new(house.clock.uuid());
    for path in
        ["/nowhere".to_owned(), "/api/v1/calls/12".into(), format!("/api/v1/calls/{nobody}"), "/docs/nothing".into()]
    {
        let answer = house.get(&path, &token).await;
        assert_eq!((answer.status, answer.problem().as_str()), (StatusCode::NOT_FOUND, "not-found"), "{path}");
    }
    let answer = house.send(Method::DELETE, "/api/v1/calls", &token, &[], None).await;
    assert_eq!((answer.status, answer.problem().as_str()), (StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed"));
    assert_eq!(answer.header("allow"), "GET,HEAD");
}

#[tokio::test]
async fn a_query_that_cannot_be_read_names_its_key() {
    let house = House::open().await;
    let token = house.token(Role::Agent).await;
    for (path, key) in [
        ("/api/v1/calls?limit=0", "limit"),
        ("/api/v1/calls?limit=201", "limit"),
        ("/api/v1/calls?limit=many", "limit"),
        ("/api/v1/calls?after=yesterday", "after"),
        ("/api/v1/units?after=NOBODY", "after"),
        ("/api/v1/callbacks?kind=other", "kind"),
    ] {
        let answer = house.get(path, &token).await;
        assert_eq!((answer.status, answer.problem().as_str()), (StatusCode::BAD_REQUEST, "bad-request"), "{path}");
        let detail = answer.json()["detail"].as_str().expect("words").to_owned();
        assert!(detail.contains(key), "{path}: {detail}");
    }
}

#[tokio::test]
async fn a_head_that_never_ends_is_refused() {
    let house = House::open().await;
    let long = "x".repeat(100_000);
    let answer = house.send(Method::GET, "/healthz", "", &[("x-long", &long)], None).await;
    assert_eq!(answer.status, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    assert_eq!(house.get("/healthz", "").await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_handler_that_panics_is_answered_500_and_the_door_stays_open() {
    let house = House::open().await;
    let router = Router::new().route("/", get(async || -> &'static str { panic!("as the test wants") }));
    for _ in 0..2 {
        let answer = answered_by(&house, router.clone(), super::super::PATIENCE).await;
        assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(answer.headers()["content-type"], "application/problem+json");
    }
}

#[tokio::test]
async fn a_handler_that_never_ends_is_cut_off() {
    let house = House::open().await;
    let router = Router::new().route("/", get(std::future::pending::<&'static str>));
    let answer = answered_by(&house, router, Duration::from_millis(1)).await;
    assert_eq!(answer.status(), StatusCode::REQUEST_TIMEOUT);
    assert_eq!(answer.headers()["content-type"], "application/problem+json");
}

/// Asks other routes behind the same door.
async fn answered_by(house: &House, routes: Router<super::super::App>, patience: Duration) -> Response {
    let service = TowerToHyperService::new(super::super::finish(routes, house.parts.clone(), house.feed(), patience));
    let request = Request::get("/").body(Body::empty()).expect("a request");
    service.call(request).await.expect("an answer")
}
