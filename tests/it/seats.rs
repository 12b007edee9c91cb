//! Operators at their telephones: whole talks, with the real program between two real phones.

use std::{path::Path, time::Duration};

use serde_json::{Value, json};
use sip_test::{
    audio::{self, Side},
    seat::{Seat, SeatSpec, SeatState, sit},
};

use crate::house::{House, PATIENCE};

/// Samples a second.
const RATE: usize = 8_000;
/// How much of the other's voice has to arrive: a correlation of samples, 1 being the same. A-law alone costs less than 0.01.
const ALIKE: f64 = 0.9;
/// Sound that a killed line may lose, as in `crash`.
const LOST: Duration = Duration::from_secs(1);

impl House {
    /// Adds an operator with a seat and gives the secret of its telephone.
    pub fn operator(&self, extension: &str) -> String {
        self.skilled_operator(extension, &[])
    }

    fn skilled_operator(&self, extension: &str, skills: &[&str]) -> String {
        let name = format!("seat-{extension}");
        let mut arguments = vec!["user", "add", &name, "--role", "agent", "--extension", extension];
        arguments.extend(skills.iter().flat_map(|skill| ["--skill", skill]));
        let added = self.run(&arguments);
        assert!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
        String::from_utf8_lossy(&added.stdout).split_whitespace().last().expect("a secret").to_owned()
    }

    /// An operator of ours sits down.
    pub async fn seat(&self, extension: &str, change: impl FnOnce(&mut SeatSpec)) -> Seat {
        self.sit(extension, self.operator(extension), change).await
    }

    async fn sit(&self, extension: &str, secret: String, change: impl FnOnce(&mut SeatSpec)) -> Seat {
        let mut spec = SeatSpec::new(format!("sip:{extension}@{}", self.sip), secret);
        change(&mut spec);
        let seat = sit(spec).await.unwrap_or_else(|error| panic!("{error}\n{}", self.log()));
        self.seat_is(extension, "idle").await;
        seat
    }

    /// Waits until the line shows a seat in this state.
    pub async fn seat_is(&self, extension: &str, state: &str) {
        self.until(&format!("seat {extension} {state}"), async || {
            let seats = self.get("/api/v1/seats").await;
            let items = seats["items"].as_array().expect("items");
            items.iter().any(|seat| seat["seat"] == extension && seat["state"] == state).then_some(())
        })
        .await;
    }
}

fn side(wav: &str, side: Side) -> Vec<i16> {
    audio::read(Path::new(wav), side).expect("a sample call")
}

/// How much of `said` is in `heard`: the best correlation of four seconds around its loudest place, near the delay at which both
/// grow loud and soft together.
fn likeness(heard: &[i16], said: &[i16]) -> f64 {
    const FRAME: usize = RATE / 50;
    let loudness = |pcm: &[i16]| pcm.chunks_exact(FRAME).map(|frame| dot(frame, frame).sqrt()).collect::<Vec<_>>();
    let (outer, inner) = (loudness(heard), loudness(said));
    let together = |delay: &usize| -> f64 {
        let part = outer.get(*delay..).unwrap_or_default();
        let norm = part.iter().take(inner.len()).map(|it| it * it).sum::<f64>().sqrt();
        part.iter().zip(&inner).map(|(a, b)| a * b).sum::<f64>() / norm.max(1.0)
    };
    let delay = (0..outer.len()).max_by(|a, b| together(a).total_cmp(&together(b))).unwrap_or(0) * FRAME;
    let loudest = said.chunks(RATE).enumerate().max_by_key(|(_, piece)| energy(piece)).map_or(0, |(at, _)| at * RATE);
    let from = loudest.saturating_sub(RATE);
    let piece = &said[from..(loudest + 3 * RATE).min(said.len())];
    let norm = dot(piece, piece).sqrt();
    let near = (delay + from).saturating_sub(2 * FRAME)..delay + from + 2 * FRAME;
    near.filter_map(|at| heard.get(at..at + piece.len()))
        .map(|part| dot(part, piece) / (norm * dot(part, part).sqrt()).max(1.0))
        .fold(0.0, f64::max)
}

fn energy(piece: &[i16]) -> u64 {
    piece.iter().map(|sample| u64::from(sample.unsigned_abs()).pow(2)).sum()
}

fn dot(a: &[i16], b: &[i16]) -> f64 {
    // Samples of 16 bits: a sum over seconds stays far below 2^53.
    a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
}

#[tokio::test]
async fn a_caller_and_an_operator_speak_a_sample_call_and_the_draft_quotes_each_with_the_right_speaker() {
    let house = House::open();
    let (asks, answers) = (side("tests/calls/s01.wav", Side::Left), side("tests/calls/s01.wav", Side::Right));
    let mut seat = house.seat("8001", |spec| spec.play.clone_from(&answers)).await;
    let welcome = audio::read(Path::new("config/prompts/welcome.wav"), Side::Left).expect("the welcome");
    let mut spec = house.citizen("13806352219").playing(asks.clone());
    // They begin when the operator does.
    spec.lead_in = Duration::from_millis(u64::try_from(welcome.len() / 8).expect("some seconds"));
    let report = sip_test::call(spec).await.expect("a call");
    let call = seat.next_call().await.expect("a call");
    let (caller_heard, operator_heard) = (likeness(&report.heard, &answers), likeness(&call.heard, &asks));
    println!("the caller heard {caller_heard:.3} of the operator, the operator {operator_heard:.3} of the caller");
    assert!(caller_heard > ALIKE && operator_heard > ALIKE);

    let row = house.sealed_call("13806352219").await;
    assert_eq!(row["seat"], "8001");
    let id = row["id"].as_str().expect("an id");
    let wav = house.folder().join("fetched.wav");
    std::fs::write(&wav, house.bytes(&format!("/api/v1/calls/{id}/recording")).await).expect("a file");
    let (left, right) = audio::read_both(&wav).expect("a stereo recording");
    let recorded = [likeness(&left, &asks), likeness(&right, &answers)];
    let crossed = [likeness(&left, &answers), likeness(&right, &asks)];
    println!("recorded {recorded:.3?}, on the other channel {crossed:.3?}");
    assert!(recorded.iter().all(|it| *it > ALIKE) && crossed.iter().all(|it| *it < 0.5));

    let transcript = house.transcript(id).await;
    let utterances = transcript["utterances"].as_array().expect("utterances");
    let said = |channel: &str| -> String {
        let of = utterances.iter().filter(|it| it["channel"] == channel);
        of.filter_map(|it| it["text"].as_str()).collect()
    };
    assert!(said("caller").contains("停水"), "{utterances:#?}");
    assert!(said("operator").contains("电话"), "the operator's question: {utterances:#?}");
    let case = house.case_of(id).await;
    assert_eq!(case["fields"]["category"]["value"], "0202");
    let mut quoted = 0;
    for (name, field) in case["fields"].as_object().expect("fields") {
        for span in field["evidence"].as_array().into_iter().flatten() {
            let (channel, text) =
                (span["channel"].as_str().expect("a channel"), span["text"].as_str().expect("a text"));
            let ms = |it: &Value, key: &str| it[key].as_u64().expect("milliseconds");
            let is_said = |it: &Value| {
                // What was heard in the call may begin a few frames of the detector elsewhere than in the last transcript.
                let begins = ms(it, "start_ms") <= ms(span, "start_ms") + 100;
                it["channel"] == channel && begins && ms(span, "end_ms") <= ms(it, "end_ms") + 100
            };
            assert!(utterances.iter().any(is_said), "{name} quotes “{text}” of the {channel}: {utterances:#?}");
            quoted += 1;
        }
    }
    assert!(quoted > 0, "{case:#}");
}

#[tokio::test]
async fn a_line_killed_with_twenty_bridged_calls_keeps_the_recordings_and_owes_each_caller_a_call() {
    const TALKS: usize = 20;
    let clock = hotline::clock::Clock::system();
    // What is heard in them is the matter of other tests.
    let mut house = House::with(&[("SPEECH__WORKERS", "0")]);
    let mut seats = Vec::new();
    for number in 0..TALKS {
        seats.push(
            house
                .seat(&format!("{}", 8_101 + number), |spec| spec.play = audio::tone(700.0, 8_000.0, 300 * RATE))
                .await,
        );
    }
    let said = audio::tone(500.0, 8_000.0, 300 * RATE);
    let phones: Vec<_> = (0..TALKS)
        .map(|number| {
            tokio::spawn(sip_test::call(house.citizen(&format!("138063531{number:02}")).playing(said.clone())))
        })
        .collect();
    for seat in &seats {
        let talks = tokio::time::timeout(PATIENCE, seat.wait_for(SeatState::Talking)).await;
        assert!(talks.expect("in time"), "{}", house.log());
    }
    let bridged = clock.instant();
    // Talk that has to be there afterwards.
    tokio::time::sleep(Duration::from_secs(4)).await;
    let talked = clock.instant() - bridged;
    house.kill();
    phones.iter().for_each(tokio::task::JoinHandle::abort);
    drop(seats);

    house.start();
    let calls = house
        .until("end to all calls", async || {
            let page = house.get("/api/v1/calls?limit=200").await;
            let calls = page["items"].as_array().expect("items").clone();
            calls.iter().all(|call| call["recording_state"] == "sealed").then_some(calls)
        })
        .await;
    assert_eq!(calls.len(), TALKS);
    let missed = house.get("/api/v1/callbacks?kind=missed&limit=200").await;
    let missed = missed["items"].as_array().expect("items");
    let mut seats: Vec<_> = calls.iter().map(|call| call["seat"].as_str().unwrap_or_default().to_owned()).collect();
    seats.sort();
    assert_eq!(seats, (0..TALKS).map(|number| (8_101 + number).to_string()).collect::<Vec<_>>());
    for call in &calls {
        assert_eq!(call["end_reason"], "interrupted", "{call}");
        let owed: Vec<_> = missed.iter().filter(|entry| entry["call_id"] == call["id"]).collect();
        assert!(matches!(owed.as_slice(), [one] if one["reason"] == "interrupted"), "{call}: {owed:?}");
        let wav = house.folder().join("fetched.wav");
        let path = format!("/api/v1/calls/{}/recording", call["id"].as_str().expect("an id"));
        std::fs::write(&wav, house.bytes(&path).await).expect("a file");
        let (left, right) = audio::read_both(&wav).expect("a stereo recording");
        for (channel, hertz) in [(&left, 500.0), (&right, 700.0)] {
            let tone = channel.chunks_exact(RATE / 4).filter(|piece| audio::tone_share(piece, hertz) > 0.8).count();
            let kept = Duration::from_millis(250 * u64::try_from(tone).expect("few"));
            assert!(kept + LOST + Duration::from_millis(500) >= talked, "{kept:?} of {talked:?} at {hertz} Hz: {call}");
        }
    }
    assert_eq!(house.stop(), Some(0));
}

#[tokio::test]
async fn a_desk_that_asks_for_a_skill_rings_at_the_seats_of_those_who_have_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut house = House::closed(folder, &[("SPEECH__WORKERS", "0")]);
    house.write_file(
        "[line]\nnumbers = [\"12345\", \"12329\"]\n[[acd.desks]]\nid = \"main\"\n[[acd.desks]]\nid = \"housing-fund\"\n\
         numbers = [\"12329\"]\nskills = [\"housing-fund\"]\n",
    );
    house.start();
    // The one who may not is idle for longer.
    let _other = house.seat("8001", |_| {}).await;
    let secret = house.skilled_operator("8002", &["housing-fund"]);
    let mut expert = house.sit("8002", secret, |spec| spec.hang_up_after = Some(Duration::from_secs(1))).await;
    let mut spec = house.citizen("13806352219");
    spec.to = format!("sip:12329@{}", house.sip);
    spec.hang_up_after = Some(Duration::from_mins(1));
    let report = sip_test::call(spec).await.expect("a call");
    assert_eq!((report.status, report.ended_by), (200, sip_test::EndedBy::Far), "the expert hung up");
    assert_eq!(expert.next_call().await.expect("a call").status, 200);
    assert_eq!(house.sealed_call("13806352219").await["seat"], "8002");
    let seats = house.get("/api/v1/seats").await;
    assert_eq!(seats["items"][1]["skills"], json!(["housing-fund"]), "{seats}");
}

#[tokio::test]
async fn an_official_of_an_imported_rota_takes_the_first_call_and_it_is_marked_as_theirs() {
    let house = House::with(&[("SPEECH__WORKERS", "0")]);
    // Idle for longer, and no official.
    let _other = house.seat("8001", |_| {}).await;
    let mut seat = house.seat("8002", |spec| spec.hang_up_after = Some(Duration::from_secs(1))).await;
    let ran = |arguments: &[&str]| {
        let done = house.run(arguments);
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8_lossy(&done.stdout).trim().to_owned()
    };
    ran(&["user", "add", "wang", "--role", "duty_official"]);
    let token = ran(&["user", "token", "wang"]).split_whitespace().last().expect("a token").to_owned();
    let file = house.folder().join("rota.json");
    let today = hotline::domain::calendar::local(hotline::clock::Clock::system().now()).date();
    let turns = json!([{ "person": "wang", "rank": "副市长", "from": "00:00", "to": "00:00", "topics": ["供热"] }]);
    std::fs::write(&file, json!({ "date": today.to_string(), "turns": turns }).to_string()).expect("a file");
    assert_eq!(ran(&["rota", "import", &file.display().to_string()]), format!("{today}: 1 turns"));
    assert!(ran(&["rota", "show"]).contains("wang\t副市长\tall desks\t供热"));
    let path = format!("http://{}/api/v1/seats/8002/official", house.http);
    let signed = reqwest::Client::new().put(path).bearer_auth(&token).send().await.expect("an answer");
    assert_eq!(signed.status(), 204);
    // The line looks whose turn it is every few seconds.
    let from = "13806352219";
    house
        .until("call at the official's seat", async || {
            let mut spec = house.citizen(from);
            spec.hang_up_after = Some(Duration::from_secs(10));
            sip_test::call(spec).await.expect("a call");
            let calls = house.get("/api/v1/calls").await;
            (calls["items"][0]["seat"] == "8002").then_some(())
        })
        .await;
    assert_eq!(seat.next_call().await.expect("a call").status, 200);
    let calls = house.get("/api/v1/calls").await;
    assert!(calls["items"][0]["official"].is_string(), "{calls}");
    assert_eq!(calls["items"].as_array().expect("items").iter().filter(|call| call["official"].is_string()).count(), 1);
}

#[tokio::test]
async fn who_leads_the_shift_passes_a_caller_on_by_request() {
    let house = House::with(&[("SPEECH__WORKERS", "0")]);
    let mut first = house.seat("8001", |spec| spec.play = audio::tone(700.0, 8_000.0, 300 * RATE)).await;
    let phone = tokio::spawn({
        let mut spec = house.citizen("13806352219").playing(audio::tone(500.0, 8_000.0, 300 * RATE));
        spec.hang_up_after = Some(Duration::from_secs(16));
        sip_test::call(spec)
    });
    assert!(first.wait_for(SeatState::Talking).await);
    let mut second = house.seat("8002", |spec| spec.play = audio::tone(900.0, 8_000.0, 300 * RATE)).await;
    let calls = house.get("/api/v1/calls").await;
    let call = calls["items"][0]["id"].as_str().expect("a call").to_owned();
    let act = async |action: &str, body: Value| {
        house.send("POST", &format!("/api/v1/calls/{call}/actions/{action}"), Some(body)).await.status().as_u16()
    };
    assert_eq!(act("transfer", json!({ "to": "8009" })).await, 422);
    assert_eq!(act("transfer", json!({ "to": "8002" })).await, 204);
    assert_eq!(first.next_call().await.expect("a call").ended_by, sip_test::EndedBy::Far);
    let report = phone.await.expect("the phone runs").expect("a call");
    let taken = second.next_call().await.expect("a call");
    assert!(audio::tone_share(&taken.heard[taken.heard.len() - RATE..], 500.0) > 0.8, "the second hears the caller");
    assert!(audio::tone_share(&report.heard[report.heard.len() - RATE..], 900.0) > 0.8, "the caller hears the second");
    assert_eq!(house.get(&format!("/api/v1/calls/{call}")).await["seat"], "8002");
}
