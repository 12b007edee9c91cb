use std::num::NonZeroU32;

use governor::Quota;

use super::*;

/// A door at which each client has three requests, and one more every hour.
async fn narrow() -> House {
    House::behind(None, |parts| {
        let quota = Quota::with_period(Duration::from_hours(1)).expect("an hour");
        parts.limits = Limits::with(quota.allow_burst(NonZeroU32::new(3).expect("three")), Clock::system());
    })
    .await
}

#[tokio::test]
async fn whoever_asks_too_often_hears_429_and_when_to_come_again() {
    let house = narrow().await;
    for _ in 0..3 {
        assert_eq!(house.get("/healthz", "").await.status, StatusCode::OK);
    }
    let answer = house.get("/healthz", "").await;
    assert_eq!((answer.status, answer.problem().as_str()), (StatusCode::TOO_MANY_REQUESTS, "too-many"));
    let wait: u64 = answer.header("retry-after").parse().expect("seconds");
    assert!((3_540..=3_600).contains(&wait), "{wait}");
}

#[tokio::test]
async fn guessed_tokens_use_up_the_share_of_the_address_and_a_real_one_has_its_own() {
    let house = narrow().await;
    let token = house.token(Role::Agent).await;
    // The first use proves it, at the cost of the address.
    assert_eq!(house.get("/api/v1/calls", &token).await.status, StatusCode::OK);
    for wanted in [StatusCode::UNAUTHORIZED, StatusCode::UNAUTHORIZED, StatusCode::TOO_MANY_REQUESTS] {
        assert_eq!(house.get("/api/v1/calls", &"0".repeat(64)).await.status, wanted);
    }
    for wanted in [StatusCode::OK, StatusCode::OK, StatusCode::OK, StatusCode::TOO_MANY_REQUESTS] {
        assert_eq!(house.get("/api/v1/calls", &token).await.status, wanted);
    }
}

#[tokio::test]
async fn pages_of_other_sites_change_nothing_and_read_nothing() {
    let house = House::open().await;
    let case = house.case().await;
    let token = house.token(Role::Agent).await;
    let path = format!("/api/v1/cases/{case}");
    let body = serde_json::json!({"version": 1, "address": "3号楼"}).to_string();
    let host = house.url.strip_prefix("http://").expect("plain").to_owned();
    let send = async |headers: &[(&str, &str)]| {
        let headers = [&[("content-type", "application/json")], headers].concat();
        house.send(Method::PATCH, &path, &token, &headers, Some(&body)).await
    };
    for foreign in
        [&[("sec-fetch-site", "cross-site")][..], &[("origin", "https://evil.example")], &[("origin", "null")]]
    {
        let answer = send(foreign).await;
        assert_eq!((answer.status, answer.problem().as_str()), (StatusCode::FORBIDDEN, "forbidden"), "{foreign:?}");
    }
    let own = send(&[("origin", &format!("http://{host}"))]).await;
    assert_eq!(own.status, StatusCode::OK);

    let asked = [("origin", "https://evil.example"), ("access-control-request-method", "GET")];
    for answer in [
        house.send(Method::OPTIONS, &path, "", &asked, None).await,
        house.send(Method::GET, &path, &token, &asked, None).await,
        house.send(Method::GET, "/docs/", "", &asked, None).await,
    ] {
        let told = answer.headers.keys().find(|name| name.as_str().starts_with("access-control"));
        assert_eq!(told, None, "{:?}", answer.headers);
    }
}

#[tokio::test]
async fn every_answer_keeps_browsers_safe() {
    let house = House::open().await;
    let token = house.token(Role::Agent).await;
    let (call, _) = house.call().await;
    for path in ["/", "/docs/", "/api/v1/calls", "/nowhere", "/healthz", &format!("/api/v1/calls/{call}/recording")] {
        let answer = house.get(path, &token).await;
        let header = |name: &str| answer.header(name).to_owned();
        assert_eq!(
            (header("x-frame-options"), header("x-content-type-options")),
            ("DENY".into(), "nosniff".into()),
            "{path}"
        );
        assert_eq!(header("referrer-policy"), "no-referrer", "{path}");
        assert!(header("content-security-policy").contains("frame-ancestors 'none'"), "{path}");
        assert!(!header("content-security-policy").contains("script-src"), "nothing but our own files: {path}");
        assert_eq!(header("strict-transport-security"), "", "there is no TLS here");
        let cached = match path {
            "/docs/" => "",
            _ if path.ends_with("recording") => "private, no-cache",
            _ => "no-store",
        };
        assert_eq!(header("cache-control"), cached, "{path}");
    }
    let (page, data) = (house.get("/docs/", "").await, house.get("/healthz", "").await);
    assert!(page.header("content-security-policy").starts_with("default-src 'self'"));
    assert!(data.header("content-security-policy").starts_with("default-src 'none'"));
}
