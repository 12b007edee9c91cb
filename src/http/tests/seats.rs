use serde_json::json;
use tokio::sync::mpsc;

use super::*;
use crate::{
    acd::{Event, Skills},
    domain::{ha1::Ha1, seat::SeatId},
    switchboard::{Control, Entry, ORDERS, Order, Part},
};

impl House {
    fn switchboard(&self) -> Switchboard {
        self.parts.switchboard.clone().expect("this process takes calls")
    }

    async fn telephone(&self, extension: &str) -> SeatId {
        let seat = SeatId::from(extension);
        self.switchboard().tell(Event::SeatPresent { seat: seat.clone(), skills: Skills::new() }).await;
        seat
    }

    /// An agent whose seat this is.
    async fn operator(&self, name: &str, extension: &str) -> String {
        let (roles, extension) = (vec![Role::Agent], Some(extension.to_owned()));
        let new = NewUser { name: name.into(), roles, extension, ..NewUser::default() };
        self.parts.users.add(new).await.expect("a new user");
        let user = self.parts.users.named(name).await.expect("the user");
        self.parts.users.make_token(&By::machine(), &user, NewToken::default(), None).await.expect("a token").0.0
    }

    /// A caller who enters the line.
    async fn caller(&self) -> (CallId, mpsc::Receiver<Order>) {
        let call = CallId::new(self.clock.uuid());
        let (sender, orders) = mpsc::channel(ORDERS);
        self.switchboard().enter(Entry { call, called: "12345".into(), again: false, to: None }, sender).await;
        (call, orders)
    }
}

#[tokio::test]
async fn an_operator_borrows_a_secret_for_the_telephone_in_the_browser() {
    let house = House::open().await;
    let token = house.operator("li", "8001").await;
    let borrow = async || house.post("/api/v1/me/sip-secret", &token, &json!({})).await;
    let without = borrow().await;
    assert_eq!((without.status, without.problem().as_str()), (StatusCode::UNPROCESSABLE_ENTITY, "refused"));
    let li = house.parts.users.named("li").await.expect("the user");
    house.parts.telephones.renew(&By::machine(), li.id).await.expect("a telephone");
    let loan = borrow().await.json();
    let text = |key: &str| loan[key].as_str().expect("a text").to_owned();
    assert_eq!(
        (text("extension"), text("realm"), text("expires")),
        ("8001".into(), "hotline".into(), "2026-11-23T21:00:00+08:00".into())
    );
    let taken = house.parts.telephones.ha1(&text("username")).await.expect("a look");
    assert_eq!(taken, Some(Ha1::of(&text("username"), "hotline", &text("secret"))));
}

#[tokio::test]
async fn an_operator_pauses_their_own_seat_and_whoever_leads_the_shift_any() {
    let house = House::open().await;
    house.telephone("8001").await;
    let (own, other) = (house.operator("li", "8001").await, house.operator("wang", "8002").await);
    let pause = json!({ "state": "paused", "reason": "meal" });
    let paused = house.put("/api/v1/seats/8001/state", &own, &pause).await;
    assert_eq!(paused.status, StatusCode::OK, "{}", paused.json());
    assert_eq!((paused.json()["state"].as_str(), paused.json()["reason"].as_str()), (Some("paused"), Some("meal")));
    let seats = house.get("/api/v1/seats", &other).await.json();
    assert_eq!(
        (seats["items"][0]["seat"].as_str(), seats["items"][0]["state"].as_str()),
        (Some("8001"), Some("paused"))
    );

    let foreign = house.put("/api/v1/seats/8001/state", &other, &json!({ "state": "idle" })).await;
    assert_eq!((foreign.status, foreign.problem().as_str()), (StatusCode::FORBIDDEN, "forbidden"));
    let leader = house.token(Role::ShiftLeader).await;
    let ready = house.put("/api/v1/seats/8001/state", &leader, &json!({ "state": "idle" })).await;
    assert_eq!((ready.status, ready.json()["state"].as_str()), (StatusCode::OK, Some("idle")));
    let audit = house.get("/api/v1/audit", &house.token(Role::Auditor).await).await.json();
    let noted = audit["items"].as_array().expect("entries").iter().any(|it| it["action"] == "seat_state_set");
    assert!(noted, "what the leader did stands in the audit: {audit}");
}

#[tokio::test]
async fn a_wrong_state_is_an_error_that_names_the_field() {
    let house = House::open().await;
    house.telephone("8001").await;
    let own = house.operator("li", "8001").await;
    for (body, field) in [
        (json!({ "state": "talking" }), "state"),
        (json!({ "state": "paused", "reason": "no_answer" }), "reason"),
        (json!({ "state": "idle", "reason": "rest" }), "reason"),
    ] {
        let answer = house.put("/api/v1/seats/8001/state", &own, &body).await;
        assert_eq!((answer.status, answer.json()["field"].as_str()), (StatusCode::BAD_REQUEST, Some(field)), "{body}");
    }
    let leader = house.token(Role::Supervisor).await;
    let unknown = house.put("/api/v1/seats/8099/state", &leader, &json!({ "state": "idle" })).await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn the_queue_shows_who_waits_and_the_line() {
    let house = House::open().await;
    let (_, mut orders) = house.caller().await;
    assert_eq!(orders.recv().await, Some(Order::Queued { attended: false }));
    let desks = house.get("/api/v1/queues", &house.token(Role::Agent).await).await.json();
    assert_eq!((desks["items"][0]["waiting"].as_u64(), desks["items"][0]["open"].as_bool()), (Some(1), Some(true)));
}

#[tokio::test]
async fn a_talk_is_controlled_by_its_own_seat_and_by_whoever_leads() {
    let house = House::open().await;
    let seat = house.telephone("8001").await;
    let (own, other) = (house.operator("li", "8001").await, house.operator("wang", "8002").await);
    let (call, mut orders) = house.caller().await;
    assert_eq!(orders.recv().await, Some(Order::Ring(seat.clone())));
    let act = async |action: &str, token: &str, body: Value| {
        house.post(&format!("/api/v1/calls/{call}/actions/{action}"), token, &body).await
    };
    let early = act("hold", &own, json!({})).await;
    assert_eq!((early.status, early.problem().as_str()), (StatusCode::UNPROCESSABLE_ENTITY, "refused"));
    house.switchboard().tell(Event::Answered { call, seat }).await;
    assert_eq!(act("hold", &other, json!({})).await.status, StatusCode::FORBIDDEN);
    assert_eq!(act("sing", &own, json!({})).await.status, StatusCode::NOT_FOUND);
    assert_eq!(act("transfer", &own, json!({})).await.json()["field"], "to");
    let away = act("transfer", &own, json!({ "to": "8002" })).await;
    assert_eq!((away.status, away.problem().as_str()), (StatusCode::UNPROCESSABLE_ENTITY, "refused"));
    let next = house.telephone("8002").await;
    for (action, body, control) in [
        ("hold", json!({}), Control::Hold),
        ("resume", json!({}), Control::Resume),
        ("transfer", json!({ "to": "8002" }), Control::Transfer(next)),
    ] {
        assert_eq!(act(action, &own, body).await.status, StatusCode::NO_CONTENT, "{action}");
        assert_eq!(orders.recv().await, Some(Order::Do(control)));
    }
    assert_eq!(act("listen", &own, json!({})).await.status, StatusCode::FORBIDDEN);
    let conference = act("conference", &own, json!({ "to": "8002" })).await;
    assert_eq!(conference.status, StatusCode::NO_CONTENT);
    assert_eq!(orders.recv().await, Some(Order::Do(Control::Join("8002".into(), Part::Conference))));
    let leader = house.token(Role::ShiftLeader).await;
    let seatless = act("barge", &leader, json!({})).await;
    assert_eq!((seatless.status, seatless.problem().as_str()), (StatusCode::UNPROCESSABLE_ENTITY, "refused"));
    assert_eq!(act("hangup", &leader, json!({})).await.status, StatusCode::NO_CONTENT);
    assert_eq!(orders.recv().await, Some(Order::Do(Control::HangUp)));
}

#[tokio::test]
async fn a_process_that_takes_no_calls_says_so() {
    let house = House::behind(None, |parts| parts.switchboard = None).await;
    let answer = house.get("/api/v1/seats", &house.token(Role::Agent).await).await;
    assert_eq!((answer.status, answer.problem().as_str()), (StatusCode::SERVICE_UNAVAILABLE, "unavailable"));
}

#[tokio::test]
async fn an_official_signs_in_at_a_seat_and_callers_of_their_turn_go_there_first() {
    let house = House::open().await;
    let leader = house.token(Role::ShiftLeader).await;
    let official = house.person(Role::DutyOfficial).await;
    let token = house.token(Role::DutyOfficial).await;
    let (other, seat) = (house.telephone("8001").await, house.telephone("8002").await);
    let turns = json!({ "turns": [
        {"person": official.name, "rank": "副市长", "from": "08:00", "to": "12:00", "desk": "main", "topics": ["供热"]},
        {"person": official.name, "rank": "副市长", "from": "22:00", "to": "02:00"}
    ]});
    let put = house.put("/api/v1/rota/2026-11-23", &leader, &turns).await;
    assert_eq!(put.status, StatusCode::OK, "{}", put.json());
    let shown = house.get("/api/v1/rota?from=2026-11-23&to=2026-11-23", &token).await.json();
    assert_eq!(shown, put.json());
    assert_eq!(
        (shown["items"][0]["rank"].as_str(), shown["items"][1]["ends"].as_str()),
        (Some("副市长"), Some("2026-11-24T02:00:00+08:00"))
    );

    assert_eq!(house.put("/api/v1/seats/8009/official", &token, &json!({})).await.status, StatusCode::NOT_FOUND);
    assert_eq!(house.put("/api/v1/seats/8002/official", &token, &json!({})).await.status, StatusCode::NO_CONTENT);
    let seats = house.get("/api/v1/seats", &leader).await.json();
    assert_eq!(
        (&seats["items"][0]["official"], &seats["items"][1]["official"]),
        (&Value::Null, &json!("duty_official"))
    );
    // It is nine on that Monday, and 8001 has been idle for longer.
    house.switchboard().prefer(house.store.seats_on_turn(house.clock.now()).await.expect("the rota")).await;
    let (call, mut orders) = house.caller().await;
    assert_eq!(orders.recv().await, Some(Order::Ring(seat)));
    house.switchboard().tell(Event::Left { call }).await;
    // They may do at that seat what whoever sits there may.
    let pause = json!({ "state": "paused" });
    assert_eq!(house.put("/api/v1/seats/8002/state", &token, &pause).await.status, StatusCode::OK);
    assert_eq!(house.put("/api/v1/seats/8001/state", &token, &pause).await.status, StatusCode::FORBIDDEN);

    let gone = house.send(Method::DELETE, "/api/v1/seats/8002/official", &token, &[], None).await;
    assert_eq!(gone.status, StatusCode::NO_CONTENT);
    assert!(house.store.seats_on_turn(house.clock.now()).await.expect("the rota").is_empty());
    let (_, mut orders) = house.caller().await;
    assert_eq!(orders.recv().await, Some(Order::Ring(other)));
    let audit = house.get("/api/v1/audit", &house.token(Role::Auditor).await).await.json();
    let actions: Vec<_> =
        audit["items"].as_array().expect("entries").iter().filter_map(|it| it["action"].as_str()).collect();
    for action in ["rota_set", "official_signed_in", "official_signed_out"] {
        assert!(actions.contains(&action), "{action}: {actions:?}");
    }
}

#[tokio::test]
async fn a_wrong_rota_names_the_field_and_changes_nothing() {
    let house = House::open().await;
    let leader = house.token(Role::ShiftLeader).await;
    let (official, agent) = (house.person(Role::DutyOfficial).await, house.person(Role::Agent).await);
    let turn = |person: &str, from: &str, desk: &str| json!({ "turns": [{"person": person, "rank": "局长", "from": from, "to": "12:00", "desk": desk}] });
    let good = house.put("/api/v1/rota/2026-11-23", &leader, &turn(&official.name, "08:00", "main")).await;
    assert_eq!(good.status, StatusCode::OK, "{}", good.json());
    for (plan, field) in [
        (turn(&official.name, "8 o'clock", "main"), "turns[0].from"),
        (turn(&official.name, "08:00", "nowhere"), "turns[0].desk"),
        (turn(&agent.name, "08:00", "main"), "turns[0].person"),
        (turn("nobody", "08:00", "main"), "turns[0].person"),
    ] {
        let answer = house.put("/api/v1/rota/2026-11-23", &leader, &plan).await;
        assert_eq!((answer.status, answer.json()["field"].as_str()), (StatusCode::BAD_REQUEST, Some(field)), "{plan}");
    }
    let shown = house.get("/api/v1/rota?from=2026-11-23", &leader).await.json();
    assert_eq!(shown["items"].as_array().map(Vec::len), Some(1));
}
