use serde_json::json;

use super::*;
use crate::domain::draft::Evidence;

/// What nobody may find who did not say why; the name as it was heard and as it was corrected.
const PERSONAL: [&str; 7] =
    ["13806352219", "138 0635 2219", "幺三八零六三五二二幺九", "王丽", "王莉", "3号楼2单元301", "38063522"];
/// A field's text that repeats everything.
const WORDS: &str = "我叫王莉，住3号楼2单元301，电话138 0635 2219，就是幺三八零六三五二二幺九，从昨晚停水了。";

fn said(value: &str, words: &str) -> Field<String> {
    let evidence = Evidence { channel: Channel::Caller, start_ms: 100, end_ms: 2_900, text: words.into() };
    let source = Some(Source::Speech);
    Field { value: Some(value.into()), confidence: 0.9, source, evidence: vec![evidence], ..Field::default() }
}

pub(super) fn draft() -> Draft {
    Draft {
        title: said("3号楼2单元301停水", WORDS),
        description: said(WORDS, WORDS),
        category: said("0202", WORDS),
        request_type: said("求助", WORDS),
        place: said("E003", WORDS),
        address: said("3号楼2单元301", WORDS),
        caller_name: said("王莉", WORDS),
        callback_phone: said("13806352219", WORDS),
        ..Draft::default()
    }
}

/// A case of that draft, its name corrected; then confirmed and dispatched to the water works.
async fn dispatched(house: &House) -> (CallId, CaseId) {
    let (call, _) = house.call().await;
    let case = house.drafted(call, draft()).await;
    let (agent, dispatcher) = (house.token(Role::Agent).await, house.token(Role::Dispatcher).await);
    let path = format!("/api/v1/cases/{case}");
    house.patch(&path, &agent, &json!({"version": 1, "fields": {"caller_name": "王丽"}})).await;
    house.post(&format!("{path}/actions/confirm"), &agent, &json!({"version": 2, "read_back": true})).await;
    let sent = json!({"version": 3, "lead": "WATER", "co": []});
    assert_eq!(house.post(&format!("{path}/actions/dispatch"), &dispatcher, &sent).await.status, StatusCode::OK);
    (call, case)
}

fn finds_nothing(answer: &Answer, place: &str) {
    let text = String::from_utf8_lossy(&answer.body);
    for secret in PERSONAL {
        assert!(!text.contains(secret), "{place}: `{secret}` stands in {text}");
    }
}

#[tokio::test]
async fn what_is_masked_is_nowhere_in_clear() {
    let house = House::open().await;
    let (call, case) = dispatched(&house).await;
    let path = format!("/api/v1/cases/{case}");
    let mut seen = 0;
    for role in Role::ALL {
        let token = house.token(role).await;
        for place in [
            "/api/v1/cases".to_owned(),
            "/api/v1/cases?state=dispatched&q=停水".to_owned(),
            path.clone(),
            format!("{path}/events"),
            "/api/v1/calls".to_owned(),
            format!("/api/v1/calls/{call}"),
            "/api/v1/callbacks".to_owned(),
        ] {
            let answer = house.get(&place, &token).await;
            seen += usize::from(answer.status == StatusCode::OK);
            finds_nothing(&answer, &format!("{role} {place}"));
        }
        let stale = house.post(&format!("{path}/actions/sign"), &token, &json!({"version": 1})).await;
        finds_nothing(&stale, &format!("{role}: what changed"));
        let edited = house.patch(&path, &token, &json!({"version": 1, "title": "停水"})).await;
        finds_nothing(&edited, &format!("{role}: what changed since"));
    }
    assert!(seen > 60, "the roles do see cases and calls: {seen}");
    let view = house.get(&path, &house.token(Role::Dispatcher).await).await.json();
    assert_eq!(view["masked"], json!(["caller_name", "callback_phone", "address"]));
    assert_eq!(view["fields"]["callback_phone"]["value"], "138****2219");
    assert_eq!(view["fields"]["caller_name"]["value"], "王**");
    assert!(view["fields"]["description"]["value"].as_str().expect("words").contains("停水"), "the matter stays");
}

#[tokio::test]
async fn who_writes_the_draft_sees_it_as_it_is_and_others_do_not() {
    let house = House::open().await;
    let (call, _) = house.call().await;
    let path = format!("/api/v1/cases/{}", house.drafted(call, draft()).await);
    let own = house.get(&path, &house.token(Role::Agent).await).await.json();
    assert_eq!((own["fields"]["callback_phone"]["value"].as_str(), &own["masked"]), (Some("13806352219"), &json!([])));
    for role in [Role::Qc, Role::Analyst, Role::CityLeader, Role::Dispatcher] {
        finds_nothing(&house.get(&path, &house.token(role).await).await, role.as_str());
    }
}

#[tokio::test]
async fn what_is_masked_is_shown_for_a_purpose_and_the_asking_is_kept() {
    let house = House::open().await;
    let (call, case) = dispatched(&house).await;
    let (path, agent) = (format!("/api/v1/cases/{case}/reveal"), house.token(Role::Agent).await);
    let wish = json!({"fields": ["callback_phone"], "reason": "callback", "purpose": "回访群众"});
    let shown = house.post(&path, &agent, &wish).await;
    assert_eq!((shown.status, &shown.json()["fields"]), (StatusCode::OK, &json!({"callback_phone": "13806352219"})));
    let caller = house.post(&format!("/api/v1/calls/{call}/reveal"), &agent, &wish).await;
    assert_eq!((caller.status, caller.json()["caller"].as_str()), (StatusCode::OK, Some("13806352219")));
    for (wrong, status) in [
        (json!({"reason": "callback", "purpose": "x"}), StatusCode::UNPROCESSABLE_ENTITY),
        (json!({"fields": ["title"], "reason": "callback", "purpose": "回访群众"}), StatusCode::UNPROCESSABLE_ENTITY),
        (json!({"reason": "curiosity", "purpose": "回访群众"}), StatusCode::BAD_REQUEST),
        (json!({"reason": "callback"}), StatusCode::BAD_REQUEST),
    ] {
        assert_eq!(house.post(&path, &agent, &wrong).await.status, status, "{wrong}");
    }
    let analyst = house.token(Role::Analyst).await;
    assert_eq!(house.post(&path, &analyst, &wish).await.status, StatusCode::FORBIDDEN);
    assert_eq!(house.post(&path, &house.token(Role::Sysadmin).await, &wish).await.status, StatusCode::NOT_FOUND);
    let kept = house.store.audit_after(0, 100).await.expect("the audit");
    let kept: Vec<_> = kept.iter().filter(|row| row.record.action == "reveal").collect();
    let subjects: Vec<_> = kept.iter().map(|row| row.record.subject.clone()).collect();
    assert_eq!(subjects, [format!("case:{case}"), format!("call:{call}")], "each answer once, no refusal");
    assert!(kept[0].record.detail.contains("回访群众") && !kept[0].record.detail.contains("13806352219"));
}

#[tokio::test]
async fn what_was_revealed_is_not_kept_for_who_sends_the_same_key_again() {
    let house = House::open().await;
    let (call, case) = dispatched(&house).await;
    let agent = house.token(Role::Agent).await;
    let wish = json!({"fields": ["callback_phone"], "reason": "callback", "purpose": "回访群众"}).to_string();
    for (path, key) in [(format!("/api/v1/cases/{case}/reveal"), "1"), (format!("/api/v1/calls/{call}/reveal"), "2")] {
        let headers = [("content-type", "application/json"), ("idempotency-key", key)];
        let shown = house.send(Method::POST, &path, &agent, &headers, Some(&wish)).await;
        assert!(String::from_utf8_lossy(&shown.body).contains("13806352219"));
        let again = house.send(Method::POST, &path, &agent, &headers, Some(&wish)).await;
        assert_eq!((again.status, again.problem().as_str()), (StatusCode::CONFLICT, "done"), "{path}");
    }
}

#[tokio::test]
async fn a_secret_callers_case_tells_a_unit_the_matter_and_the_town_alone() {
    let house = House::open().await;
    let (call, _) = house.call().await;
    let secret = Field { value: Some(true), ..Field::default() };
    let case = house.drafted(call, Draft { secret, ..draft() }).await;
    let (agent, dispatcher) = (house.token(Role::Agent).await, house.token(Role::Dispatcher).await);
    let path = format!("/api/v1/cases/{case}");
    house.post(&format!("{path}/actions/confirm"), &agent, &json!({"version": 1, "read_back": true})).await;
    let sent = json!({"version": 2, "lead": "WATER", "co": []});
    house.post(&format!("{path}/actions/dispatch"), &dispatcher, &sent).await;
    let liaison = house.token(Role::UnitLiaison).await;
    let view = house.get(&path, &liaison).await;
    finds_nothing(&view, "the unit's view");
    let fields = &view.json()["fields"];
    assert_eq!(fields["category"]["value"], "0202");
    assert!(fields["place"]["value"].as_str().expect("a town").contains('/'), "{fields:#}");
    assert!(!view.json().to_string().contains("昨晚"), "not the caller's own words");
    let events = house.get(&format!("{path}/events"), &liaison).await;
    assert!(!events.json().to_string().contains("昨晚"), "{}", events.json());
    let found = async |words: &str| {
        let page = house.get(&format!("/api/v1/cases?q={words}"), &liaison).await.json();
        page["items"].as_array().map(Vec::len)
    };
    assert_eq!((found("昨晚").await, found("20261123-000001").await), (Some(0), Some(1)));
    let wish = json!({"reason": "handling", "purpose": "联系群众"});
    assert_eq!(house.post(&format!("{path}/reveal"), &liaison, &wish).await.status, StatusCode::FORBIDDEN);
    assert_eq!(house.post(&format!("{path}/reveal"), &agent, &wish).await.status, StatusCode::OK);
    let heard = house.get(&format!("/api/v1/calls/{call}/transcript"), &house.token(Role::Analyst).await).await;
    assert_eq!(heard.json()["utterances"], json!([]), "who may not hear reads nothing of a secret caller");
}

#[tokio::test]
async fn a_request_in_writing_becomes_a_draft_filled_from_its_words() {
    let house = House::open().await;
    let agent = house.token(Role::Agent).await;
    let request = json!({
        "channel": "web", "text": "东昌府区光岳新村3号楼从昨天晚上就停水了。请尽快修好。",
        "callback_phone": "13806352219", "caller_name": "王丽",
    });
    let made = house.post("/api/v1/cases", &agent, &request).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.json());
    let case = made.json();
    assert_eq!(made.header("location"), format!("/api/v1/cases/{}", case["id"].as_str().expect("an id")));
    assert_eq!((case["state"].as_str(), case["channel"].as_str()), (Some("draft"), Some("web")));
    assert_eq!(case["original"], request["text"]);
    assert_eq!(
        (&case["fields"]["category"]["value"], &case["fields"]["place"]["value"]),
        (&json!("0202"), &json!("E003"))
    );
    assert_eq!(case["fields"]["callback_phone"]["source"], "import");
    let confirm = format!("{}/actions/confirm", made.header("location"));
    let confirmed = house.post(&confirm, &agent, &json!({"version": 1, "read_back": true})).await;
    assert_eq!((confirmed.status, confirmed.json()["state"].as_str()), (StatusCode::OK, Some("registered")));
    for (wrong, status, field) in [
        (json!({"channel": "web"}), StatusCode::BAD_REQUEST, "text"),
        (json!({"channel": "pigeon", "text": "停水"}), StatusCode::BAD_REQUEST, "channel"),
        (json!({"channel": "web", "text": "停水", "colour": 1}), StatusCode::BAD_REQUEST, "colour"),
    ] {
        let answer = house.post("/api/v1/cases", &agent, &wrong).await;
        assert_eq!((answer.status, answer.json()["field"].as_str()), (status, Some(field)), "{wrong}");
    }
    for wrong in [
        json!({"channel": "phone", "text": "停水"}),
        json!({"channel": "web", "text": " "}),
        json!({"channel": "web", "text": "停水", "category": "9999"}),
    ] {
        let answer = house.post("/api/v1/cases", &agent, &wrong).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{wrong}");
    }
}

#[tokio::test]
async fn a_unit_uploads_what_is_not_its_duty_and_follows_it() {
    let house = House::open().await;
    let (liaison, agent) = (house.token(Role::UnitLiaison).await, house.token(Role::Agent).await);
    let request = json!({"channel": "unit_upload", "text": "来访群众反映小区门口路灯不亮，晚上很黑，希望尽快维修。",
        "callback_phone": "13806352219", "caller_name": "王丽"});
    let made = house.post("/api/v1/cases", &liaison, &request).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.json());
    let path = made.header("location").to_owned();
    assert_eq!(house.get(&path, &liaison).await.status, StatusCode::OK, "it sees its own");
    let page = house.get("/api/v1/cases", &liaison).await.json();
    assert_eq!(page["items"].as_array().map(Vec::len), Some(1));
    assert_eq!(house.post("/api/v1/cases", &agent, &request).await.status, StatusCode::FORBIDDEN, "a unit's own inlet");
    let web = json!({"channel": "web", "text": "停水"});
    assert_eq!(house.post("/api/v1/cases", &liaison, &web).await.status, StatusCode::FORBIDDEN);
    assert_eq!(house.post("/api/v1/cases", &house.token(Role::Qc).await, &web).await.status, StatusCode::FORBIDDEN);
}
