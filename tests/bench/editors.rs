//! Two hundred people who correct the same cases over real HTTP, and the proof that no edit of theirs is lost.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use hotline::clock::Clock;
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};

use super::{cases::seed, house::House};

/// Cases they share: five editors each.
const CASES: usize = 40;
const EDITORS: usize = 200;
/// Edits each of them makes; one editor alone makes ten times as many.
const EDITS: usize = 10;

/// One crowd on one database, with one editor alone as its baseline.
pub async fn many(place: &str, url: Option<String>) {
    let mut house = House::closed(
        tempfile::tempdir().expect("a folder"),
        &[("SPEECH__WORKERS", "0"), ("HTTP__RATE_PER_SECOND", "100000"), ("HTTP__BURST", "100000")],
    );
    let url = url.unwrap_or_else(|| format!("sqlite://{}/hotline.db", house.folder().display()));
    house.set("DATABASE__URL", &url);
    let cases = seed(&url, CASES, true).await;
    house.start();
    let desk = Arc::new(Desk::at(&house));

    let alone = desk.clone().edit(cases[0].clone(), "alone".into(), EDITS * 10);
    let began = Clock::system().instant();
    let alone = alone.await;
    let alone_rate = count(alone.accepted.len()) / began.elapsed().as_secs_f64();

    let began = Clock::system().instant();
    let crowd: Vec<_> = (0..EDITORS)
        .map(|editor| tokio::spawn(desk.clone().edit(cases[editor % CASES].clone(), format!("{editor}号"), EDITS)))
        .collect();
    let mut done = Vec::new();
    for editor in crowd {
        done.push(editor.await.expect("an editor ends"));
    }
    let rate = count(EDITORS * EDITS) / began.elapsed().as_secs_f64();

    let retries: usize = done.iter().map(|editor| editor.retries).sum();
    let p95 = |times: Vec<Duration>| {
        let mut times = times;
        times.sort_unstable();
        times[times.len() * 95 / 100].as_secs_f64() * 1_000.0
    };
    let alone_p95 = p95(alone.times.clone());
    let crowd_p95 = p95(done.iter().flat_map(|editor| editor.times.clone()).collect());
    done.push(alone);
    prove(&desk, &cases, &done).await;
    println!(
        "{place}, {EDITORS} editors, edits a second: {rate:.0}  one alone: {alone_rate:.0}  ratio {:.2}; {retries} came too late and tried again",
        rate / alone_rate
    );
    println!(
        "{place}, an edit's answer, p95 ms: {crowd_p95:.0}  one alone: {alone_p95:.0}  ratio {:.1}; no update lost",
        crowd_p95 / alone_p95
    );
    house.stop();
}

struct Desk {
    client: Client,
    address: String,
    token: String,
}

/// What one editor has to tell.
struct Editor {
    case: String,
    /// What was accepted, in order.
    accepted: Vec<String>,
    retries: usize,
    /// From asking to answering, each edit that was sent.
    times: Vec<Duration>,
}

impl Desk {
    fn at(house: &House) -> Self {
        let token = house.run(&["user", "token", "tester"]);
        let token = String::from_utf8_lossy(&token.stdout).split_whitespace().last().expect("a token").to_owned();
        Self { client: Client::new(), address: format!("http://{}/api/v1/cases", house.http), token }
    }

    async fn edit(self: Arc<Self>, case: String, name: String, edits: usize) -> Editor {
        let mut editor = Editor { case: case.clone(), accepted: Vec::new(), retries: 0, times: Vec::new() };
        for edit in 0..edits {
            let title = format!("{name}第{edit}次");
            loop {
                let version = self.get(&case).await["version"].clone();
                let began = Clock::system().instant();
                let body = json!({"version": version, "title": title});
                let request =
                    self.client.patch(format!("{}/{case}", self.address)).bearer_auth(&self.token).json(&body);
                let answer = request.send().await.expect("an answer");
                editor.times.push(began.elapsed());
                match answer.status() {
                    StatusCode::OK => {
                        let (seen, now) = (version.as_u64(), answer.json::<Value>().await.expect("JSON"));
                        assert_eq!(
                            now["version"].as_u64(),
                            seen.map(|seen| seen + 1),
                            "nobody's edit is written over unseen"
                        );
                        break;
                    }
                    StatusCode::CONFLICT => editor.retries += 1,
                    other => panic!("{other}: {}", answer.text().await.unwrap_or_default()),
                }
            }
            editor.accepted.push(title);
        }
        editor
    }

    async fn get(&self, place: &str) -> Value {
        let request = self.client.get(format!("{}/{place}", self.address)).bearer_auth(&self.token);
        let answer = request.send().await.expect("an answer");
        assert_eq!(answer.status(), StatusCode::OK, "{place}");
        answer.json().await.expect("JSON")
    }
}

/// Every accepted edit has made one version and stands in the history.
async fn prove(desk: &Desk, cases: &[String], editors: &[Editor]) {
    for case in cases {
        let (mut told, mut after) = (BTreeSet::new(), 0);
        loop {
            let page = desk.get(&format!("{case}/events?limit=200&after={after}")).await;
            let titles = page["items"].as_array().expect("items").iter().map(|event| &event["data"]["fields"]["title"]);
            told.extend(titles.filter_map(|title| title.as_str().map(str::to_owned)));
            let Some(next) = page["next"].as_str() else { break };
            after = next.parse().expect("a number");
        }
        let accepted: Vec<_> = editors.iter().filter(|it| it.case == *case).flat_map(|it| &it.accepted).collect();
        let version = desk.get(case).await["version"].as_u64().expect("a number");
        assert_eq!(version, 1 + accepted.len() as u64, "case {case}: each accepted edit made one version");
        assert!(accepted.iter().all(|title| told.contains(*title)), "case {case}: an update was lost");
    }
}

fn count(edits: usize) -> f64 {
    u32::try_from(edits).map_or(f64::NAN, f64::from)
}
