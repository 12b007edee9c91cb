//! A whole run with everything it logs, measures and traces, searched for what people said, their names and numbers.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use sip_test::{
    audio::{self, Side},
    raw::Wire,
};

use crate::{
    collector::{Collector, Span},
    exposition,
    house::House,
};

const CALL: &str = "tests/calls/s02.wav";
const CALLER: &str = "15663507892";
/// Who sends what no phone would.
const STRANGER: &str = "13963580026";
/// The caller as the trunk shows him, as he introduces himself, and somebody who mistypes a password.
const NAMES: [&str; 3] = ["张卫国", "我姓张", "欧阳晓兰"];
const PASSWORD: &str = "liaocheng-2026-柳园";

/// What nobody may find.
struct Secrets {
    words: BTreeSet<String>,
}

impl Secrets {
    fn new() -> Self {
        Self { words: NAMES.into_iter().chain([PASSWORD]).map(str::to_owned).collect() }
    }

    /// A sentence, and each six characters of it that are not digits or signs alone.
    fn add(&mut self, sentence: &str) {
        let signs: Vec<char> = sentence.chars().collect();
        let pieces = signs.windows(6).map(String::from_iter).chain([sentence.to_owned()]);
        self.words.extend(pieces.filter(|piece| !piece.is_ascii()));
    }

    /// Texts of a document, of whatever depth.
    fn add_all(&mut self, value: &Value) {
        match value {
            Value::String(text) if text.chars().count() >= 6 => self.add(text),
            Value::Array(items) => items.iter().for_each(|item| self.add_all(item)),
            Value::Object(fields) => fields.values().for_each(|field| self.add_all(field)),
            _ => {}
        }
    }

    /// What of it stands in a text, in whatever way it is written there.
    fn found_in(&self, text: &str) -> Vec<String> {
        let plain = plain(text);
        let numbers = joined(&plain);
        let ends = [CALLER, STRANGER].map(|number| &number[number.len() - 8..]);
        let ends = ends.into_iter().filter(|end| numbers.contains(end)).map(str::to_owned);
        let words = self.words.iter().filter(|word| text.contains(word.as_str()) || plain.contains(word.as_str()));
        words.cloned().chain(ends).collect()
    }
}

/// `%E5%BC%A0`, `\xe5\xbc\xa0` and `\u{5f20}` read as 张.
fn plain(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(sign) = rest.chars().next() {
        let hex = |skip: usize| rest.get(skip..skip + 2).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        let unicode = || {
            let (code, _) = rest.strip_prefix("\\u{")?.split_once('}')?;
            Some((code.len() + 4, char::from_u32(u32::from_str_radix(code, 16).ok()?)?))
        };
        let skip = if let Some(byte) = hex(1).filter(|_| sign == '%') {
            bytes.push(byte);
            3
        } else if let Some(byte) = hex(2).filter(|_| rest.starts_with("\\x")) {
            bytes.push(byte);
            4
        } else if let Some((skip, sign)) = unicode() {
            bytes.extend(sign.to_string().bytes());
            skip
        } else {
            bytes.extend(&rest.as_bytes()[..sign.len_utf8()]);
            sign.len_utf8()
        };
        rest = &rest[skip..];
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Without the signs that people put between digits.
fn joined(text: &str) -> String {
    text.chars().filter(|sign| !matches!(sign, ' ' | '-' | '.' | '/' | '(' | ')' | '_' | '\u{3000}' | '·')).collect()
}

#[test]
fn a_secret_is_found_however_it_is_written() {
    let mut secrets = Secrets::new();
    secrets.add("每天晚上十一点以后还在打桩");
    for text in [
        "caller=15663507892",
        "caller=156-6350-7892",
        "sip:+86 (156) 6350 7892@host",
        "63507892",
        "name=张卫国",
        "q=%E5%BC%A0%E5%8D%AB%E5%9B%BD",
        r"\xe5\xbc\xa0\xe5\x8d\xab\xe5\x9b\xbd",
        r"\u{5f20}\u{536b}\u{56fd}",
        "晚上十一点以",
    ] {
        assert!(!secrets.found_in(text).is_empty(), "{text}");
    }
    assert_eq!(secrets.found_in("caller=*** 晚上十一点 1566350789"), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_metrics_and_traces_of_a_whole_run_hold_no_number_no_name_and_no_word_of_the_caller() {
    let collector = Collector::open().await;
    let mut house = House::with(&[
        ("LOG__FILTER", "info,hotline=debug"),
        ("LOG__JSON", "true"),
        ("TELEMETRY__OTLP_ENDPOINT", &collector.url()),
    ]);
    let mut secrets = Secrets::new();

    strange_datagrams(&house).await;
    let mut spec = house.citizen(CALLER).playing(audio::read(CALL.as_ref(), Side::Left).expect("the sample call"));
    spec.display_name = Some(NAMES[0].to_owned());
    spec.keys = CALLER.to_owned();
    assert_eq!(sip_test::call(spec).await.expect("a call").status, 200);
    let call = house.sealed_call(CALLER).await;
    let id = call["id"].as_str().expect("an id");
    let transcript = house.transcript(id).await;
    let case = house.case_of(id).await;
    secrets.add_all(&transcript["utterances"]);
    secrets.add_all(&case["fields"]);
    assert!(secrets.words.len() > 50, "the call was heard: {transcript}");

    people_and_their_mistakes(&house, &case).await;
    house.signal("HUP");
    house.until("the reload", async || house.log().contains("reloaded").then_some(())).await;
    let metrics = house.send("GET", "/metrics", None).await.text().await.expect("a text");
    assert_eq!(house.stop(), Some(0));

    let log = house.log();
    assert!(log.contains("DEBUG") && log.contains("case drafted") && log.contains("answered"), "a whole run:\n{log}");
    assert_eq!(secrets.found_in(&log), Vec::<String>::new(), "in the log:\n{log}");
    assert!(log.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()), "each line is JSON:\n{log}");
    assert_eq!(secrets.found_in(&metrics), Vec::<String>::new(), "in the metrics:\n{metrics}");
    assert_eq!(exposition::read(&metrics).1, Vec::<String>::new());
    let spans = collector.spans();
    assert_eq!(secrets.found_in(&format!("{spans:?}")), Vec::<String>::new(), "{spans:#?}");
    assert_eq!(secrets.found_in(&String::from_utf8_lossy(&collector.bytes())), Vec::<String>::new());
    for name in ["sip.invite", "call", "recording.open", "recording.seal", "speech.hear", "draft.write"] {
        let is_its = |span: &&Span| span.name == name && span.attributes.get("call.id").is_some_and(|it| it == id);
        assert!(spans.iter().any(|span| is_its(&span)), "{name}: {spans:#?}");
    }
}

/// What the SIP port has to refuse, most with a number somewhere.
async fn strange_datagrams(house: &House) {
    let wire = Wire::open(house.sip).await.expect("a port");
    let to = format!("sip:12345@{}", house.sip);
    let own = |method: &str| wire.request(method, &to).replace("raw@", &format!("{STRANGER}@"));
    let name = format!("From: \"{}\" <sip:{STRANGER}@", NAMES[0]);
    let from = format!("From: <sip:{STRANGER}@");
    let strange = [
        own("INVITE").replace("12345", STRANGER),
        own("INVITE").replace("CSeq: 1 INVITE\r\n", ""),
        own("INVITE").replace("CSeq: 1 INVITE", &format!("CSeq: {STRANGER} DIAL{STRANGER}")),
        own("INVITE").replace("Contact: ", &format!("Contact: tel:{STRANGER};")),
        own("INVITE").replace(&from, &name).replace("Call-ID: ", &format!("Call-ID: {STRANGER}-")),
        own("INVITE").replace("Content-Length: 0", "Content-Type: application/sdp\r\nContent-Length: 4\r\n\r\nv=15"),
        own("INVITE").replace("Max-Forwards: 70", &format!("Max-Forwards: 70\r\nRequire: {STRANGER}")),
        own("BYE").replace(&to, &format!("sip:{STRANGER}@{};tag=1", house.sip)),
        own("OPTIONS").replace(&from, &name),
        own("MESSAGE").replace("Content-Length: 0", &format!("Content-Length: 11\r\n\r\n{STRANGER}")),
        own(&format!("DIAL{STRANGER}")),
        own("REGISTER").replace(";tag=", &format!(";tag={STRANGER}")),
        format!("{STRANGER} {}\r\n\r\n", NAMES[0]),
    ];
    for datagram in &strange {
        wire.send(datagram).await.expect("sent");
    }
    // Answers come in any order; the last one shows that all were read.
    wire.send(own("OPTIONS")).await.expect("sent");
    while wire.final_answer(crate::house::PATIENCE).await.is_some_and(|answer| answer.status != Some(200)) {}
}

/// The case is corrected and moved, with everything that can go wrong on the way.
async fn people_and_their_mistakes(house: &House, case: &Value) {
    let path = format!("/api/v1/cases/{}", case["id"].as_str().expect("an id"));
    let words = case["fields"]["description"]["value"].as_str().expect("a description");
    let version = case["version"].as_u64().expect("a version");
    let log_in = json!({ "name": NAMES[2], "password": PASSWORD });
    for (method, path, body) in [
        ("POST", "/api/v1/sessions".to_owned(), Some(log_in)),
        ("GET", format!("/api/v1/cases?q={}", NAMES[0]), None),
        ("GET", format!("/api/v1/cases?q={CALLER}&limit={CALLER}"), None),
        ("GET", format!("/api/v1/calls/{CALLER}"), None),
        ("GET", format!("/{words}"), None),
        ("PATCH", path.clone(), Some(json!({ "version": version, "category": words, "callback_phone": words }))),
        ("PATCH", path.clone(), Some(json!({ "version": version, words: CALLER }))),
        ("PATCH", path.clone(), Some(json!({ "version": 99, "address": words }))),
        ("POST", format!("{path}/actions/{words}"), Some(json!({ "version": version, "reason": words }))),
        (
            "POST",
            format!("{path}/actions/refuse"),
            Some(json!({ "version": version, "reason": words, "path": CALLER })),
        ),
        ("POST", format!("{path}/actions/sign"), Some(json!({ "version": version, "text": words }))),
    ] {
        let answer = house.send(method, &path, body).await;
        assert!(answer.status().as_u16() < 500, "{method} {path}: {}", answer.status());
    }
    let stranger = reqwest::Client::new().get(format!("http://{}/api/v1/calls", house.http)).bearer_auth(CALLER);
    assert_eq!(stranger.send().await.expect("an answer").status(), 401);

    let edit = json!({ "version": version, "address": words, "callback_phone": CALLER, "caller_name": NAMES[0] });
    let (status, case) = house.ask("PATCH", &path, Some(edit)).await;
    assert_eq!(status, 200, "{case}");
    let confirm = json!({ "version": case["version"], "read_back": true });
    let (status, case) = house.ask("POST", &format!("{path}/actions/confirm"), Some(confirm)).await;
    assert_eq!(status, 200, "{case}");
    let dispatch = json!({ "version": case["version"] });
    let (status, case) = house.ask("POST", &format!("{path}/actions/dispatch"), Some(dispatch)).await;
    assert_eq!(status, 200, "{case}");
}
