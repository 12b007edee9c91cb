//! Those who listen to what happens.

use serde_json::json;

use super::*;
use crate::domain::announcement::Announcement;

/// An open stream, read event by event.
struct Listener {
    response: reqwest::Response,
    text: String,
    /// The last id seen.
    id: String,
}

#[derive(Debug, PartialEq)]
struct Event {
    kind: String,
    data: Value,
}

impl Listener {
    async fn open(house: &House, token: &str, query: &str, headers: &[(&str, &str)]) -> Self {
        let response = loop {
            let mut request = house.client.get(format!("{}/api/v1/events{query}", house.url)).bearer_auth(token);
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            let response = request.send().await.expect("an answer");
            // The places of streams that were just dropped are free in a moment.
            if response.status() != StatusCode::TOO_MANY_REQUESTS {
                break response;
            }
            tokio::task::yield_now().await;
        };
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let mut listener = Self { response, text: String::new(), id: String::new() };
        let first = listener.block().await.expect("the first words");
        assert!(first.starts_with("retry: 2000\n"), "{first}");
        if first.contains("event:") {
            listener.text = format!("{first}\n\n{}", listener.text);
        }
        listener
    }

    /// What stands before the next empty line; nothing at the end.
    async fn block(&mut self) -> Option<String> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.text = rest;
                if let Some(id) = block.lines().find_map(|line| line.strip_prefix("id: ")) {
                    id.clone_into(&mut self.id);
                }
                return Some(block);
            }
            let chunk = self.response.chunk().await.expect("the stream is whole")?;
            self.text += std::str::from_utf8(&chunk).expect("text");
        }
    }

    async fn next(&mut self) -> Event {
        loop {
            let block = self.block().await.expect("the stream goes on");
            let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
            if let (Some(kind), Some(data)) = (field("event: "), field("data: ")) {
                return Event { kind, data: serde_json::from_str(&data).expect("JSON") };
            }
        }
    }
}

impl House {
    /// Announces calls, one commit each.
    async fn ring(&self, calls: &[CallId]) {
        for call in calls {
            let mut tx = self.store.begin().await.expect("a writer");
            tx.announce(Announcement::call_begun(*call));
            tx.commit().await.expect("committed");
        }
    }

    fn call_ids(&self, count: usize) -> Vec<CallId> {
        (0..count).map(|_| CallId::new(self.clock.uuid())).collect()
    }
}

#[tokio::test]
async fn what_happens_is_heard_in_order_without_personal_data() {
    for house in House::on_every_database().await {
        let (agent, dispatcher) = (house.token(Role::Agent).await, house.token(Role::Dispatcher).await);
        let mut listener = Listener::open(&house, &agent, "", &[]).await;
        let case = house.case().await;
        let path = format!("/api/v1/cases/{case}");
        house.patch(&path, &agent, &json!({ "version": 1, "address": "3号楼" })).await;
        house.post(&format!("{path}/actions/confirm"), &agent, &json!({ "version": 2, "read_back": true })).await;
        house.post(&format!("{path}/actions/dispatch"), &dispatcher, &json!({ "version": 3 })).await;
        let draft = listener.next().await;
        assert_eq!(
            (draft.kind.as_str(), &draft.data["id"], &draft.data["version"]),
            ("draft", &json!(case), &json!(1))
        );
        for (version, event) in [(2, "edit"), (3, "confirm"), (4, "dispatch")] {
            let heard = listener.next().await;
            assert_eq!(
                (heard.kind.as_str(), &heard.data["version"], &heard.data["event"]),
                ("case", &json!(version), &json!(event))
            );
            assert!(heard.data["at"].as_str().expect("a time").ends_with("+08:00"));
            assert!(!heard.data.to_string().contains("3号楼"));
        }
    }
}

#[tokio::test]
async fn who_comes_again_goes_on_after_the_last_id_while_others_write() {
    for house in House::on_every_database().await {
        let agent = house.token(Role::Agent).await;
        let mut listener = Listener::open(&house, &agent, "", &[]).await;
        let calls = house.call_ids(300);
        let mut heard = Vec::new();
        let writers = futures::future::join_all(calls.chunks(60).map(|part| house.ring(part)));
        let reading = async {
            while heard.len() < calls.len() {
                for _ in 0..7 {
                    if heard.len() < calls.len() {
                        heard.push(listener.next().await.data["id"].as_str().expect("an id").to_owned());
                    }
                }
                let id = listener.id.clone();
                // Half of the time by the header, half by the query.
                listener = if heard.len() % 2 == 0 {
                    Listener::open(&house, &agent, "", &[("last-event-id", &id)]).await
                } else {
                    Listener::open(&house, &agent, &format!("?last_event_id={id}"), &[]).await
                };
            }
        };
        tokio::join!(writers, reading);
        let mut expected: Vec<_> = calls.iter().map(ToString::to_string).collect();
        heard.sort();
        expected.sort();
        assert_eq!(heard, expected, "each once and none left out");
    }
}

#[tokio::test]
async fn everybody_hears_of_what_they_may_see_and_of_nothing_else() {
    for house in House::on_every_database().await {
        let (agent, dispatcher) = (house.token(Role::Agent).await, house.token(Role::Dispatcher).await);
        let mut listeners = Vec::new();
        for role in Role::ALL {
            let token = house.token(role).await;
            let answer = house.client.get(format!("{}/api/v1/events", house.url)).bearer_auth(&token).send();
            match answer.await.expect("an answer").status() {
                StatusCode::OK => listeners.push((role, token.clone(), Listener::open(&house, &token, "", &[]).await)),
                StatusCode::NOT_FOUND => {
                    assert_eq!(house.get("/api/v1/cases", &token).await.status, StatusCode::NOT_FOUND, "{role}");
                }
                other => panic!("{role}: {other}"),
            }
        }
        // One case for WATER, one for another unit, a call, and at last one more for WATER, which all of them may see.
        let mut cases = Vec::new();
        for lead in ["WATER", "HEAT", "WATER"] {
            let case = house.case().await;
            let path = format!("/api/v1/cases/{case}/actions");
            house.post(&format!("{path}/confirm"), &agent, &json!({ "version": 1, "read_back": true })).await;
            let sent =
                house.post(&format!("{path}/dispatch"), &dispatcher, &json!({ "version": 2, "lead": lead })).await;
            assert_eq!(sent.status, StatusCode::OK, "{}", sent.json());
            cases.push(case);
            house.ring(&house.call_ids(1)).await;
        }
        for (role, token, mut listener) in listeners {
            let sees_calls = house.get("/api/v1/calls", &token).await.status == StatusCode::OK;
            let mut expected = Vec::new();
            for case in &cases {
                let get = house.get(&format!("/api/v1/cases/{case}"), &token).await.status;
                assert!(get == StatusCode::OK || get == StatusCode::NOT_FOUND, "{role}");
                // Before it was dispatched it was nobody's but the centre's.
                let moves: &[&str] = if role.is_of_unit() { &["dispatch"] } else { &["draft", "confirm", "dispatch"] };
                expected.extend(moves.iter().filter(|_| get == StatusCode::OK).map(|event| format!("{case} {event}")));
                expected.extend(sees_calls.then(|| "call".to_owned()));
            }
            let mut heard = Vec::new();
            for _ in &expected {
                let Event { kind, data } = listener.next().await;
                let event = data["event"].as_str().unwrap_or(&kind).to_owned();
                heard.push(if kind == "call" {
                    kind
                } else {
                    format!("{} {event}", data["id"].as_str().expect("an id"))
                });
            }
            assert_eq!(heard, expected, "{role}");
        }
    }
}

#[tokio::test]
async fn a_token_hears_of_no_more_than_its_scope() {
    let house = House::open().await;
    let narrow = house.scoped_token(Role::Agent, &["see_events", "see_calls"]).await;
    let mut listener = Listener::open(&house, &narrow, "", &[]).await;
    house.case().await;
    house.ring(&house.call_ids(1)).await;
    assert_eq!(listener.next().await.kind, "call", "the draft before it is not for this token");
}

#[tokio::test]
async fn a_unit_hears_of_what_it_uploaded() {
    let house = House::open().await;
    let liaison = house.token(Role::UnitLiaison).await;
    let mut listener = Listener::open(&house, &liaison, "", &[]).await;
    house.case().await;
    let upload = json!({ "channel": "unit_upload", "text": "3号楼停水，已派人抢修。" });
    let case = house.post("/api/v1/cases", &liaison, &upload).await;
    assert_eq!(case.status, StatusCode::CREATED, "{}", case.json());
    let heard = listener.next().await;
    assert_eq!((heard.kind.as_str(), &heard.data["id"]), ("draft", &case.json()["id"]));
}

#[tokio::test]
async fn an_id_that_is_too_old_or_of_another_database_is_answered_by_reset() {
    for house in House::on_every_database().await {
        let agent = house.token(Role::Agent).await;
        let start = Listener::open(&house, &agent, "", &[]).await.id;
        house.ring(&house.call_ids(3)).await;
        let again = Listener::open(&house, &agent, "", &[("last-event-id", &start)]).await.next().await;
        assert_eq!(again.kind, "call", "all of it is there still");
        let (epoch, _) = start.split_once('-').expect("epoch and number");
        for wanted in ["ffffffff-1", "7", "x", &format!("{epoch}-99"), &format!("{epoch}-")] {
            let mut listener = Listener::open(&house, &agent, "", &[("last-event-id", wanted)]).await;
            let reset = listener.next().await;
            assert_eq!((reset.kind.as_str(), &reset.data["reason"]), ("reset", &json!("unknown_id")), "{wanted}");
            house.ring(&house.call_ids(1)).await;
            assert_eq!(listener.next().await.kind, "call", "it goes on from now");
        }
        house.clock.set(NINE + Duration::from_hours(25));
        house.store.sweep().await.expect("swept");
        let mut listener = Listener::open(&house, &agent, "", &[("last-event-id", &start)]).await;
        assert_eq!(listener.next().await.data["reason"], "too_old");
        let mut tx = house.store.begin().await.expect("a writer");
        tx.restart_stream().await.expect("as after a restore");
        tx.commit().await.expect("committed");
        let mut listener = Listener::open(&house, &agent, "", &[("last-event-id", &listener.id)]).await;
        assert_eq!(listener.next().await.data["reason"], "unknown_id");
    }
}

#[tokio::test]
async fn a_stopping_line_ends_streams_at_once_and_says_when_to_come_again() {
    let house = House::open().await;
    let agent = house.token(Role::Agent).await;
    let mut listener = Listener::open(&house, &agent, "", &[]).await;
    let House { stop, .. } = house;
    drop(stop);
    let last = listener.block().await.expect("a word");
    assert!(last.starts_with("retry: "), "{last}");
    assert_eq!(listener.block().await, None);
}

#[tokio::test]
async fn a_person_has_a_bounded_number_of_streams() {
    let house = House::open().await;
    let (agent, dispatcher) = (house.token(Role::Agent).await, house.token(Role::Dispatcher).await);
    let mut open = Vec::new();
    for _ in 0..8 {
        open.push(Listener::open(&house, &agent, "", &[]).await);
    }
    let refused = house.get("/api/v1/events", &agent).await;
    assert_eq!((refused.status, refused.problem().as_str()), (StatusCode::TOO_MANY_REQUESTS, "too-many"));
    assert_eq!(refused.header("retry-after"), "10");
    Listener::open(&house, &dispatcher, "", &[]).await;
    open.pop();
    // The place is free once the server has seen that the client is gone.
    loop {
        let request = house.client.get(format!("{}/api/v1/events", house.url)).bearer_auth(&agent);
        if request.send().await.expect("an answer").status() == StatusCode::OK {
            break;
        }
        house.ring(&house.call_ids(1)).await;
    }
}
