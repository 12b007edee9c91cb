//! Browsers and administrators: log-ins, cookies, passwords, second factors, accounts.

use std::collections::BTreeSet;

use serde_json::json;

use super::*;

const BETTER: &str = "Wednesday-sun-8";

#[tokio::test]
async fn the_life_of_an_account_from_its_opening_to_its_end() {
    let story = Story::begin().await;
    let (boss, guard) = (story.house.token(Role::Sysadmin).await, story.house.token(Role::Secadmin).await);
    let (boss, guard) = (Says::Token(&boss), Says::Token(&guard));

    let opening = json!({"name": "li", "unit": "WATER"});
    let opened = story.call("POST /api/v1/users", "", boss, Some(opening)).await;
    assert_eq!((opened.status, opened.json()["roles"].clone()), (StatusCode::CREATED, json!([])));
    let li = opened.json()["id"].as_str().expect("an id").to_owned();
    let seat = json!({"version": 1, "extension": "8001", "skills": ["聊城话"]});
    let changed = story.call("PATCH /api/v1/users/{id}", &li, boss, Some(seat)).await.json();
    assert_eq!((changed["extension"].as_str(), changed["unit"].as_str()), (Some("8001"), Some("WATER")));
    assert_eq!(changed["skills"], json!(["聊城话"]));
    let roles = json!({"version": 2, "roles": ["unit_liaison"]});
    let granted = story.call("PUT /api/v1/users/{id}/roles", &li, guard, Some(roles)).await.json();
    assert_eq!((granted["version"].as_u64(), granted["roles"].clone()), (Some(3), json!(["unit_liaison"])));
    let first = story.one_time("POST /api/v1/users/{id}/actions/reset_password", &li, guard).await;

    let cookie = story.log_in(&first).await;
    let early = story.house.browse(Method::GET, "/api/v1/cases", &cookie, None).await;
    assert_eq!((early.status, early.problem().as_str()), (StatusCode::FORBIDDEN, "password-change-needed"));
    let cookie = story.change_password(&cookie, &first, PASSWORD).await;
    let now = story.call("GET /api/v1/sessions/current", "", Says::Cookie(&cookie), None).await.json();
    assert_eq!((now["must_change_password"].as_bool(), now["unit"].as_str()), (Some(false), Some("WATER")));
    assert_eq!(
        now["rights"],
        json!(["own_account", "see_city", "see_cases", "move_cases", "open_cases", "reveal_cases", "see_events"])
    );
    assert_eq!(story.house.browse(Method::GET, "/api/v1/cases", &cookie, None).await.status, StatusCode::OK);
    let loan = story.call("POST /api/v1/me/sip-secret", "", Says::Cookie(&cookie), None).await;
    let reason = loan.json()["reason"].as_str().map(str::to_owned);
    assert_eq!(
        (loan.status, reason.as_deref()),
        (StatusCode::UNPROCESSABLE_ENTITY, Some("no_seat")),
        "no telephone yet"
    );

    // The phone is lost.
    let device = story.enrol(&cookie).await;
    assert_eq!(story.house.log_in("li", PASSWORD).await.problem(), "totp-needed");
    let asked = story.call("POST /api/v1/users/{id}/totp-recovery", &li, boss, None).await;
    assert_eq!(asked.json()["open_until"], "2026-11-24T09:00:00+08:00");
    let same = story.call("POST /api/v1/users/{id}/totp-recovery/approve", &li, boss, None).await;
    assert_eq!((same.status, same.json()["reason"].as_str()), (StatusCode::UNPROCESSABLE_ENTITY, Some("same_person")));
    let second = story.one_time("POST /api/v1/users/{id}/totp-recovery/approve", &li, guard).await;
    assert_eq!(story.house.browse(Method::GET, "/api/v1/units", &cookie, None).await.status, StatusCode::UNAUTHORIZED);
    let cookie = story.log_in(&second).await;
    let cookie = story.change_password(&cookie, &second, BETTER).await;

    // A new one is found to be a nuisance.
    let other = story.enrol(&cookie).await;
    assert_ne!(device, other);
    story.house.clock.set(UnixMs(NINE.0 + 30_000));
    let removal = json!({"code": code(&other, UnixMs(NINE.0 + 30_000)), "password": BETTER});
    let removed = story.call("DELETE /api/v1/me/totp", "", Says::Cookie(&cookie), Some(removal)).await;
    assert_eq!(removed.status, StatusCode::NO_CONTENT);

    let wanted = json!({"name": "upload", "scope": ["see_cases"], "days": 7});
    let made = story.call("POST /api/v1/me/tokens", "", Says::Cookie(&cookie), Some(wanted)).await.json();
    let token = made["token"].as_str().expect("a token");
    assert_eq!(story.house.get("/api/v1/cases", token).await.status, StatusCode::OK);
    let narrow = story.house.get("/api/v1/units", token).await;
    assert_eq!((narrow.status, narrow.problem().as_str()), (StatusCode::FORBIDDEN, "forbidden"));
    let listed = story.call("GET /api/v1/me/tokens", "", Says::Cookie(&cookie), None).await.json();
    assert_eq!((listed["items"][0]["name"].as_str(), listed["next"].is_null()), (Some("upload"), true));
    assert_eq!(listed["items"][0]["last_used"], "2026-11-23");
    assert!(listed["items"][0]["token"].is_null(), "it is not shown again");
    let id = made["id"].as_str().expect("an id");
    let revoked = story.call("DELETE /api/v1/me/tokens/{id}", id, Says::Cookie(&cookie), None).await;
    assert_eq!(revoked.status, StatusCode::NO_CONTENT);
    assert_eq!(story.house.get("/api/v1/cases", token).await.status, StatusCode::UNAUTHORIZED);

    let elsewhere = story.log_in(BETTER).await;
    let sessions = story.call("GET /api/v1/sessions", "", Says::Cookie(&cookie), None).await.json();
    let items = sessions["items"].as_array().expect("items");
    let foreign = items.iter().find(|session| session["current"] == false).expect("the other one");
    let id = foreign["id"].as_str().expect("an id");
    let ended = story.call("DELETE /api/v1/sessions/{id}", id, Says::Cookie(&cookie), None).await;
    assert_eq!(ended.status, StatusCode::NO_CONTENT);
    assert_eq!(story.current(&elsewhere).await, StatusCode::UNAUTHORIZED);
    let left = story.call("DELETE /api/v1/sessions/current", "", Says::Cookie(&cookie), None).await;
    assert_eq!(left.status, StatusCode::NO_CONTENT);
    assert!(left.header("set-cookie").contains("Max-Age=0"), "{}", left.header("set-cookie"));
    assert_eq!(story.current(&cookie).await, StatusCode::UNAUTHORIZED);

    for _ in 0..5 {
        story.house.log_in("li", "Not-the-password-1").await;
    }
    let locked = story.house.log_in("li", BETTER).await;
    assert_eq!((locked.status, locked.problem().as_str()), (StatusCode::TOO_MANY_REQUESTS, "locked"));
    assert_eq!(locked.header("retry-after"), "900");
    let seen = story.call("GET /api/v1/users/{id}", &li, guard, None).await.json();
    assert_eq!(seen["locked_until"], "2026-11-23T09:15:30+08:00");
    let unlocked = story.call("POST /api/v1/users/{id}/actions/unlock", &li, guard, None).await.json();
    assert!(unlocked["locked_until"].is_null());
    let cookie = story.log_in(BETTER).await;
    let closed = story.call("POST /api/v1/users/{id}/actions/disable", &li, boss, None).await.json();
    assert_eq!(closed["state"], "disabled");
    assert_eq!(story.current(&cookie).await, StatusCode::UNAUTHORIZED);
    let open = story.call("POST /api/v1/users/{id}/actions/enable", &li, boss, None).await.json();
    assert_eq!(open["state"], "active");
    let everybody = story.call("GET /api/v1/users", "", boss, None).await.json();
    let names: Vec<_> =
        everybody["items"].as_array().expect("items").iter().map(|user| user["name"].to_string()).collect();
    assert_eq!(names.into_iter().collect::<BTreeSet<_>>().len(), 3);

    story.has_called_all_of(&["/api/v1/users", "/api/v1/me", "/api/v1/sessions"]).await;
}

#[tokio::test]
async fn the_cookie_is_for_pages_of_this_host_alone() {
    let house = House::open().await;
    let li = house.person(Role::Agent).await;
    let answer = house.log_in(&li.name, PASSWORD).await;
    assert_eq!(answer.status, StatusCode::CREATED);
    let set = answer.header("set-cookie");
    let (value, rest) = set.split_once("; ").expect("a value");
    let value = value.strip_prefix("hotline_session=").expect("its name");
    assert!(value.len() == 64 && value.bytes().all(|sign| sign.is_ascii_hexdigit()), "{value}");
    let attributes: BTreeSet<_> = rest.split("; ").collect();
    assert_eq!(attributes, BTreeSet::from(["HttpOnly", "Path=/", "SameSite=Strict"]));
    let body = json!({"name": li.name, "password": PASSWORD}).to_string();
    let proxied = [("content-type", "application/json"), ("x-forwarded-proto", "https")];
    let proxied = house.send(Method::POST, "/api/v1/sessions", "", &proxied, Some(&body)).await;
    assert!(proxied.header("set-cookie").ends_with("Secure") || proxied.header("set-cookie").contains("Secure;"));
}

#[tokio::test]
async fn a_cookie_changes_nothing_unless_the_page_is_known_to_be_ours() {
    let house = House::open().await;
    let li = house.person(Role::Agent).await;
    let cookie = house.cookie(&li.name, PASSWORD).await;
    let host = house.url.strip_prefix("http://").expect("plain").to_owned();
    let enrol = async |headers: &[(&str, &str)]| {
        let headers = [&[("cookie", cookie.as_str())], headers].concat();
        house.send(Method::POST, "/api/v1/me/totp", "", &headers, None).await
    };
    for foreign in [
        &[][..],
        &[("sec-fetch-site", "none")],
        &[("sec-fetch-site", "cross-site")],
        &[("origin", "https://evil.example")],
        &[("origin", "null")],
    ] {
        let answer = enrol(foreign).await;
        assert_eq!((answer.status, answer.problem().as_str()), (StatusCode::FORBIDDEN, "forbidden"), "{foreign:?}");
    }
    let own = format!("http://{host}");
    for ours in [&[("sec-fetch-site", "same-origin")][..], &[("origin", &own)]] {
        assert_eq!(enrol(ours).await.status, StatusCode::CREATED, "{ours:?}");
    }
    let read = house.send(Method::GET, "/api/v1/units", "", &[("cookie", &cookie)], None).await;
    assert_eq!(read.status, StatusCode::OK, "reading needs no proof");
    let token = house.token(Role::Agent).await;
    let bearer = house.send(Method::POST, "/api/v1/me/totp", &token, &[], None).await;
    assert_eq!(bearer.status, StatusCode::CREATED, "no page sends a token by itself");
}

#[tokio::test]
async fn whatever_is_wrong_with_a_log_in_the_answer_is_the_same() {
    let house = House::open().await;
    let (li, closed) = (house.person(Role::Agent).await, house.person(Role::Qc).await);
    house.parts.users.disable(&By::machine(), closed.id).await.expect("closed");
    let told = async |name: &str, password: &str| {
        let answer = house.log_in(name, password).await;
        let mut problem = answer.json();
        problem.as_object_mut().expect("a problem").remove("instance");
        let names: BTreeSet<_> = answer.headers.keys().map(ToString::to_string).collect();
        (answer.status, problem, names)
    };
    let wrong = told(&li.name, BETTER).await;
    assert_eq!(wrong.0, StatusCode::UNAUTHORIZED);
    assert_eq!(told("nobody", BETTER).await, wrong);
    assert_eq!(told(&closed.name, PASSWORD).await, wrong);
    assert_eq!(told(&"x".repeat(10_000), BETTER).await, wrong);
    assert_eq!(told("", "").await, wrong);
}

#[tokio::test]
async fn a_token_that_reads_neither_moves_nor_hears() {
    let house = House::open().await;
    let (call, _) = house.call().await;
    let secret = Field { value: Some(true), ..Field::default() };
    let case = house.drafted(call, Draft { secret, ..privacy::draft() }).await;
    let reads = house.scoped_token(Role::Agent, &["see_calls", "see_cases"]).await;
    let path = format!("/api/v1/cases/{case}");
    assert_eq!(house.get(&path, &reads).await.status, StatusCode::OK);
    let moved = house.post(&format!("{path}/actions/confirm"), &reads, &json!({"version": 1, "read_back": true})).await;
    assert_eq!((moved.status, moved.problem().as_str()), (StatusCode::FORBIDDEN, "forbidden"));
    assert!(moved.json()["detail"].as_str().expect("words").contains("move_cases"));
    let heard = async |token: &str| house.get(&format!("/api/v1/calls/{call}/transcript"), token).await.json();
    assert_eq!(heard(&reads).await["utterances"], json!([]), "a secret caller's words are for those who may hear");
    assert_ne!(heard(&house.token(Role::Agent).await).await["utterances"], json!([]));
}

#[tokio::test]
async fn a_token_does_nothing_while_its_person_owes_a_password() {
    let house = House::open().await;
    let (li, token) = (house.person(Role::Agent).await, house.token(Role::Agent).await);
    assert_eq!(house.get("/api/v1/calls", &token).await.status, StatusCode::OK);
    house.parts.users.reset_password(&By::machine(), li.id).await.expect("reset");
    let answer = house.get("/api/v1/calls", &token).await;
    assert_eq!((answer.status, answer.problem().as_str()), (StatusCode::FORBIDDEN, "password-change-needed"));
    let current = house.get("/api/v1/sessions/current", &token).await.json();
    assert_eq!(current["must_change_password"], true);
    assert!(current["id"].is_null() && current["idle_end"].is_null(), "a token is no log-in");
}

#[tokio::test]
async fn a_role_that_needs_a_second_factor_does_nothing_without_one() {
    let keys = tempfile::tempdir().expect("a folder");
    let house = House::behind(None, |parts| {
        let people = People { totp_required_for: vec![Role::Agent], ..People::default() };
        let vault = Vault::in_folder(keys.path(), parts.clock.clone());
        parts.users = Users::new(parts.store.clone(), &people);
        parts.sessions = Sessions::new(parts.users.clone(), vault);
    })
    .await;
    let (li, free) = (house.person(Role::Agent).await, house.token(Role::Analyst).await);
    let cookie = house.cookie(&li.name, PASSWORD).await;
    let answer = house.browse(Method::GET, "/api/v1/calls", &cookie, None).await;
    assert_eq!((answer.status, answer.problem().as_str()), (StatusCode::FORBIDDEN, "totp-enrolment-needed"));
    let current = house.browse(Method::GET, "/api/v1/sessions/current", &cookie, None).await.json();
    assert_eq!(current["totp"], "required");
    let made = house.browse(Method::POST, "/api/v1/me/totp", &cookie, None).await.json();
    let code = json!({"code": code(made["secret"].as_str().expect("a secret"), NINE)});
    house.browse(Method::POST, "/api/v1/me/totp/confirm", &cookie, Some(&code)).await;
    assert_eq!(house.browse(Method::GET, "/api/v1/calls", &cookie, None).await.status, StatusCode::OK);
    assert_eq!(house.get("/api/v1/calls", &free).await.status, StatusCode::OK, "other roles need none");
}

#[tokio::test]
async fn what_an_administrator_gets_wrong_is_told_with_its_reason() {
    let house = House::open().await;
    let (boss, guard) = (house.token(Role::Sysadmin).await, house.token(Role::Secadmin).await);
    let id = |row: UserRow| format!("/api/v1/users/{}", row.id);
    let (li, boss_id, guard_id) = (
        id(house.person(Role::Agent).await),
        id(house.person(Role::Sysadmin).await),
        id(house.person(Role::Secadmin).await),
    );
    let reason = |answer: Answer| (answer.status.as_u16(), answer.json()["reason"].as_str().map(str::to_owned));
    let refused = |text: &str| (422, Some(text.to_owned()));
    let put = async |path: &str, roles: Value| {
        let body = json!({"version": 1, "roles": roles}).to_string();
        house
            .send(Method::PUT, &format!("{path}/roles"), &guard, &[("content-type", "application/json")], Some(&body))
            .await
    };
    assert_eq!(reason(house.post("/api/v1/users", &boss, &json!({"name": "agent"})).await), refused("taken"));
    assert_eq!(reason(put(&li, json!(["sysadmin", "agent"])).await), refused("roles"));
    assert_eq!(reason(put(&li, json!(["unit_leader"])).await), refused("roles"));
    assert_eq!(reason(put(&boss_id, json!(["agent"])).await), refused("last"));
    assert_eq!(reason(house.post(&format!("{guard_id}/actions/disable"), &boss, &json!({})).await), refused("last"));
    assert_eq!(put(&guard_id, json!([])).await.status, StatusCode::FORBIDDEN, "one's own account");
    for (body, field) in [
        (json!({"name": "l i"}), "name"),
        (json!({"name": "li", "extension": "80-01"}), "extension"),
        (json!({"name": "li", "skills": ["two words"]}), "skills"),
        (json!({"name": "li", "unit": "NOWHERE"}), "unit"),
        (json!({"name": 7}), "name"),
        (json!({"name": "li", "roles": ["agent"]}), "roles"),
    ] {
        let answer = house.post("/api/v1/users", &boss, &body).await;
        assert_eq!((answer.status, answer.json()["field"].as_str()), (StatusCode::BAD_REQUEST, Some(field)), "{body}");
    }
    let renamed = house.patch(&li, &boss, &json!({"version": 1, "name": "li.si"})).await;
    assert_eq!(renamed.json()["version"], 2);
    let stale = house.patch(&li, &boss, &json!({"version": 1, "name": "wang"})).await;
    assert_eq!(
        (stale.status, stale.problem().as_str(), &stale.json()["version"]),
        (StatusCode::CONFLICT, "stale-version", &json!(2))
    );
    let scope = house.post("/api/v1/me/tokens", &boss, &json!({"scope": ["see_everything"]})).await;
    assert_eq!((scope.status, scope.json()["field"].as_str()), (StatusCode::BAD_REQUEST, Some("scope")));
    let weak = house.post("/api/v1/me/password", &boss, &json!({"old": PASSWORD, "new": "Password-2026"})).await;
    assert_eq!((weak.json()["reason"].as_str(), weak.json()["weak"].as_str()), (Some("weak"), Some("common")));
}

#[tokio::test]
async fn both_ways_to_show_who_one_is_are_described() {
    let house = House::open().await;
    let api = house.get("/openapi.json", "").await.json();
    let schemes = &api["components"]["securitySchemes"];
    assert_eq!(
        (schemes["token"]["scheme"].as_str(), schemes["session"]["in"].as_str()),
        (Some("bearer"), Some("cookie"))
    );
    assert_eq!(schemes["session"]["name"], "hotline_session");
    assert_eq!(api["security"], json!([{"token": []}, {"session": []}]));
}

/// What the device of a second factor shows.
fn code(secret: &str, at: UnixMs) -> String {
    let secret = totp_rs::Secret::try_from_base32(secret).expect("base 32");
    let totp = totp_rs::Builder::new().with_algorithm(totp_rs::Algorithm::SHA1).with_secret(secret);
    totp.build().expect("a device").generate(u64::try_from(at.0 / 1_000).expect("after 1970")).to_string()
}

/// How a request says who sends it.
#[derive(Clone, Copy)]
enum Says<'a> {
    Token(&'a str),
    Cookie(&'a str),
}

/// Remembers which routes were called.
struct Story {
    house: House,
    called: std::sync::Mutex<BTreeSet<String>>,
}

impl Story {
    async fn begin() -> Self {
        Self { house: House::open().await, called: std::sync::Mutex::default() }
    }

    /// Calls a route as it is described.
    async fn call(&self, route: &str, id: &str, says: Says<'_>, body: Option<Value>) -> Answer {
        self.called.lock().expect("no panic").insert(route.to_owned());
        let (method, path) = route.split_once(' ').expect("a method");
        let (method, path) = (method.parse().expect("a method"), path.replace("{id}", id));
        match says {
            Says::Cookie(cookie) => self.house.browse(method, &path, cookie, body.as_ref()).await,
            Says::Token(token) => {
                let body = body.map(|body| body.to_string());
                self.house.send(method, &path, token, &[("content-type", "application/json")], body.as_deref()).await
            }
        }
    }

    async fn one_time(&self, route: &str, id: &str, says: Says<'_>) -> String {
        let answer = self.call(route, id, says, None).await.json();
        answer["one_time_password"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
    }

    /// A log-in of `li`.
    async fn log_in(&self, password: &str) -> String {
        self.called.lock().expect("no panic").insert("POST /api/v1/sessions".into());
        self.house.cookie("li", password).await
    }

    async fn current(&self, cookie: &str) -> StatusCode {
        self.call("GET /api/v1/sessions/current", "", Says::Cookie(cookie), None).await.status
    }

    /// Changes the password; the old cookie is worth nothing afterwards.
    async fn change_password(&self, cookie: &str, old: &str, new: &str) -> String {
        let body = json!({"old": old, "new": new});
        let changed = self.call("POST /api/v1/me/password", "", Says::Cookie(cookie), Some(body)).await;
        assert_eq!(changed.status, StatusCode::NO_CONTENT);
        assert_eq!(self.current(cookie).await, StatusCode::UNAUTHORIZED);
        changed.header("set-cookie").split(';').next().expect("a value").to_owned()
    }

    /// A second factor in force; gives its secret.
    async fn enrol(&self, cookie: &str) -> String {
        let made = self.call("POST /api/v1/me/totp", "", Says::Cookie(cookie), None).await.json();
        let secret = made["secret"].as_str().expect("a secret").to_owned();
        assert!(made["otpauth_url"].as_str().expect("a URL").contains(&secret));
        let body = json!({"code": code(&secret, NINE)});
        let confirmed = self.call("POST /api/v1/me/totp/confirm", "", Says::Cookie(cookie), Some(body)).await;
        assert_eq!(confirmed.status, StatusCode::NO_CONTENT);
        secret
    }

    async fn has_called_all_of(&self, prefixes: &[&str]) {
        let described = self.house.described().await;
        let ours = described.into_iter().filter(|route| prefixes.iter().any(|prefix| route.contains(prefix)));
        let called = self.called.lock().expect("no panic").clone();
        assert_eq!(called, ours.collect::<BTreeSet<_>>());
    }
}
