//! Many cases: lists, searches and editors at once, on both databases.

use std::{sync::Arc, time::Duration};

use hotline::{
    cases::{Cases, Rebuild, Wanted, rebuild},
    clock::Clock,
    config::Settings,
    domain::{
        case::{Actor, Case, Dispatched, Event, Inlet, Recorded, State},
        clocks::Deadlines,
        draft::{Draft, Field, Source},
        ids::CaseId,
        time::UnixMs,
    },
    store::Store,
};
use sqlx::{AssertSqlSafe, Connection};

/// Times each question is asked.
const ROUNDS: usize = 31;
/// Cases that have the rare words, however many there are.
const RARE: usize = 20;
/// Cases written at once.
const AT_ONCE: usize = 500;
/// Monday 2026-11-23, 09:00 in the city.
const MONDAY: i64 = 1_795_395_600_000;

/// What people ask for. Frequent words fill a page in either crowd; rare ones are in as many cases of each.
const QUESTIONS: &[(&str, Asked)] = &[
    ("the newest", PLAIN),
    ("drafts", Asked { state: Some(State::Draft), ..PLAIN }),
    ("a unit's", Asked { unit: Some("WATER"), ..PLAIN }),
    ("a unit's dispatched", Asked { unit: Some("WATER"), state: Some(State::Dispatched), ..PLAIN }),
    ("late ones", Asked { overdue: true, ..PLAIN }),
    ("words of every tenth: 停水", Asked { q: Some("停水"), ..PLAIN }),
    ("one character: 停", Asked { q: Some("停"), ..PLAIN }),
    ("a phrase of every twentieth: 光岳新村", Asked { q: Some("光岳新村"), ..PLAIN }),
    ("two words: 停水 居民", Asked { q: Some("停水 居民"), ..PLAIN }),
    ("two words that seldom meet: 停水 三号楼", Asked { q: Some("停水 三号楼"), ..PLAIN }),
    ("the same, 25 a page", Asked { q: Some("停水 三号楼"), limit: 25, ..PLAIN }),
    ("rare words: 稀客小区", Asked { q: Some("稀客小区"), ..PLAIN }),
    ("rare and frequent: 稀客 停水", Asked { q: Some("稀客 停水"), ..PLAIN }),
    ("words of no case: 飞碟", Asked { q: Some("飞碟"), ..PLAIN }),
];
const PLAIN: Asked = Asked { q: None, state: None, unit: None, overdue: false, limit: 50 };

struct Asked {
    q: Option<&'static str>,
    state: Option<State>,
    unit: Option<&'static str>,
    overdue: bool,
    /// Cases a page.
    limit: u32,
}

/// Lists and searches in a small crowd of cases and in one a hundred times as large.
pub async fn lists(place: &str, small: &str, large: &str) {
    let crowds = [(2_000, small), (200_000, large)];
    let mut services = Vec::new();
    for (cases, url) in crowds {
        let began = Clock::system().instant();
        seed(url, cases, false).await;
        let written = began.elapsed();
        let store = Store::open(url, Clock::system()).await.expect("a database");
        let made = rebuild(&store, Rebuild::All, |_, _| {}).await.expect("views");
        assert_eq!(made.differed, cases as u64);
        let (written, all) = (written.as_secs_f64(), began.elapsed().as_secs_f64());
        println!(
            "{place}: {cases} histories written in {written:.1} s, their views made from them in {:.1} s",
            all - written
        );
        statistics(url).await;
        let city = Arc::new(Settings::default().load_city().expect("the demo city"));
        services.push(Cases::new(store, city).expect("a calendar"));
    }
    let mut worst: f64 = 0.0;
    for (name, asked) in QUESTIONS {
        let mut times = [Vec::new(), Vec::new()];
        let mut found = [0, 0];
        for _ in 0..ROUNDS {
            for (crowd, cases) in services.iter().enumerate() {
                let began = Clock::system().instant();
                let (page, _) = cases.list(asked.wanted(), &reader()).await.expect("a page");
                times[crowd].push(began.elapsed());
                found[crowd] = page.len();
            }
        }
        let [small, large] = times.map(median);
        let growth = large / small;
        // Where the small crowd has no whole page there is more to show, too.
        if found[0] == found[1] {
            worst = worst.max(growth);
        }
        println!(
            "{place}, {name} ({} and {} found), ms: {large:.2}  at 2,000 cases: {small:.2}  ratio {growth:.2}",
            found[1], found[0]
        );
    }
    println!(
        "{place}: lists and searches at 200,000 cases against 2,000, the same number found: worst ratio {worst:.2}"
    );
    for cases in services {
        cases.store().close().await;
    }
}

impl Asked {
    fn wanted(&self) -> Wanted {
        Wanted {
            state: self.state,
            unit: self.unit.map(str::to_owned),
            q: self.q.map(str::to_owned),
            overdue: self.overdue,
            official: None,
            after: None,
            limit: self.limit,
        }
    }
}

/// Writes the histories of cases, nothing else: all views are made from them.
///
/// * `drafts` — leave them all drafts.
/// * returns — their ids.
pub async fn seed(url: &str, cases: usize, drafts: bool) -> Vec<String> {
    // The tables.
    Store::open(url, Clock::system()).await.expect("a database").close().await;
    let all: Vec<(CaseId, Vec<Recorded>)> = (0..cases).map(|number| history(number, cases, drafts)).collect();
    for some in all.chunks(AT_ONCE) {
        let mut rows = Vec::new();
        let mut events = Vec::new();
        for (id, history) in some {
            rows.push(format!("('{id}', '{id}', 0, '', '', '', 0, 0)"));
            for event in history {
                let (by, body) = (json(&event.by), json(&event.event));
                events.push(format!("('{id}', {}, {}, {}, '{by}', '{body}')", event.seq, event.version, event.at.0));
            }
        }
        let rows = format!(
            "INSERT INTO cases (id, number, version, state, channel, search, created, updated) VALUES {}",
            rows.join(", ")
        );
        let events =
            format!("INSERT INTO case_events (case_id, seq, version, at, actor, body) VALUES {}", events.join(", "));
        run(url, format!("BEGIN; {rows}; {events}; COMMIT")).await;
    }
    all.into_iter().map(|(id, _)| id.to_string()).collect()
}

async fn statistics(url: &str) {
    // What PostgreSQL does by itself some minutes after so many rows; SQLite needs none.
    if url.starts_with("postgres") {
        run(url, "VACUUM ANALYZE".into()).await;
    }
}

async fn run(url: &str, text: String) {
    let statement = sqlx::raw_sql(AssertSqlSafe(text));
    if url.starts_with("postgres") {
        let mut connection = sqlx::PgConnection::connect(url).await.expect("the database");
        statement.execute(&mut connection).await.expect("written");
        connection.close().await.expect("closed");
    } else {
        let mut connection = sqlx::SqliteConnection::connect(url).await.expect("the database");
        statement.execute(&mut connection).await.expect("written");
        connection.close().await.expect("closed");
    }
}

/// The life of one case: a twentieth are drafts, a tenth each is with the water works, most are answered.
fn history(number: usize, of: usize, draft: bool) -> (CaseId, Vec<Recorded>) {
    let at = UnixMs(MONDAY + 1_000 * i64::try_from(number).expect("small"));
    let id = CaseId::new(uuid_at(at, number));
    let trouble = [
        "停水",
        "噪音扰民",
        "路灯不亮",
        "垃圾没人清运",
        "暖气不热",
        "下水道堵了",
        "乱停乱放",
        "井盖丢了",
        "煤气味很大",
        "公交不来",
    ];
    let estate = if number.is_multiple_of((of / RARE).max(1)) {
        "稀客小区"
    } else {
        ["光岳新村", "阳光花园", "东关街"][number % 20 % 3]
    };
    let estate = if estate == "光岳新村" && number % 20 >= 3 { "湖滨路" } else { estate };
    let (trouble, building) = (trouble[number % 10], ["一", "二", "三", "四", "五", "六", "七"][number / 10 % 7]);
    let fields = Draft {
        title: said(format!("{estate}{building}号楼{trouble}")),
        description: said(format!(
            "我是{estate}{building}号楼的居民，从昨天晚上就{trouble}，打了物业电话没有人管，希望尽快处理。"
        )),
        category: said("0202".into()),
        request_type: said("求助".into()),
        address: said(format!("{estate}{building}号楼{}单元", number % 6 + 1)),
        ..Draft::default()
    };
    let original = Some(format!("{estate}{trouble}"));
    let event = Event::Draft {
        number: format!("2026{:04}-{:06}", 1123 + number / 10_000, number % 10_000),
        inlet: Inlet::Web,
        call: None,
        original,
        fields: Box::new(fields),
    };
    let by = Actor::System.acting_as(None);
    let mut history = vec![Case::first(event, by.clone(), at)];
    let mut case = Case::replay(id, history.clone()).expect("a draft");
    let mut goes_on = |event| history.push(case.record(event, by.clone(), at).expect("it may"));
    if !draft && number % 20 != 7 {
        goes_on(Event::Confirm { time_class: "GENERAL".into() });
        let unit = if number.is_multiple_of(10) { "WATER" } else { "GAS" };
        // Three of four have their time before them.
        let reply = if number.is_multiple_of(4) { at } else { UnixMs(MONDAY + 365 * 86_400_000) };
        let due = Deadlines {
            sign: reply,
            contact: None,
            give_back: None,
            reply,
            extension: None,
            yellow: reply,
            red: reply,
        };
        let lead = Dispatched { unit: unit.into(), due };
        goes_on(Event::Dispatch {
            lead,
            co: Vec::new(),
            copies: Vec::new(),
            time_class: "GENERAL".into(),
            terms: None,
        });
    }
    (id, history)
}

fn said(text: String) -> Field<String> {
    Field { value: Some(text), confidence: 0.9, source: Some(Source::Speech), ..Field::default() }
}

/// An id of that moment (RFC 9562 §5.7).
fn uuid_at(at: UnixMs, number: usize) -> uuid::Uuid {
    let time = u64::try_from(at.0).expect("after 1970");
    uuid::Builder::from_unix_timestamp_millis(time, &(number as u128).to_be_bytes()[6..].try_into().expect("ten bytes"))
        .into_uuid()
}

fn reader() -> Actor {
    Actor::Person {
        user: hotline::domain::ids::UserId::new(uuid::Uuid::nil()),
        name: "reader".into(),
        roles: vec![hotline::domain::role::Role::Agent],
        unit: None,
    }
}

/// As a text of SQL.
fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("JSON").replace('\'', "''")
}

/// Milliseconds.
pub fn median(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64() * 1_000.0
}
