//! Calls that reach an operator: two real telephones, and what each hears of the other.

use sip_test::{
    audio::{Codec, tone, tone_share},
    seat::{Behaviour, Seat, SeatSpec, SeatState, sit},
};

use super::*;
use crate::{
    acd::Event,
    domain::ha1::Ha1,
    sip::{Away, Secrets},
    store::CallbackKind,
    switchboard::{Control, Part},
};

const SECRET: &str = "4a0f-right";
/// What the caller and the operators say, Hz.
const CALLER: f64 = 500.0;
const OPERATOR: f64 = 700.0;
const COLLEAGUE: f64 = 900.0;
const THIRD: f64 = 1_500.0;
/// What is played to who waits, Hz.
const MUSIC: f64 = 1_100.0;
const RINGBACK: f64 = 1_300.0;
/// Samples a second.
const RATE: usize = 8_000;

/// Every extension has the same secret.
#[derive(Debug)]
pub struct Known;

#[async_trait::async_trait]
impl Secrets for Known {
    async fn ha1(&self, extension: &str) -> Result<Option<Ha1>, Away> {
        Ok(Some(Ha1::of(extension, "hotline", SECRET)))
    }
}

/// A house whose announcements are tones, the welcome a short one, with a desk that lets seats ring for `ring`.
async fn house(ring: Duration) -> (House, TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    for which in Announcement::all() {
        let (hertz, samples) = match which {
            Announcement::Music => (MUSIC, RATE),
            Announcement::Ringback => (RINGBACK, RATE),
            _ => (2_000.0, RATE / 10),
        };
        let path = folder.path().join(which.name()).with_extension("wav");
        sip_test::audio::write(&path, &tone(hertz, 8_000.0, samples)).expect("an announcement");
    }
    let plan = Plan { ring, wrap_up: Duration::ZERO, misses: 0, ..Plan::default() };
    (House::open(Rules { plan, prompts: folder.path().into(), ..Rules::default() }).await, folder)
}

impl House {
    /// An operator sits down.
    async fn seat(&self, extension: &str, change: impl FnOnce(&mut SeatSpec)) -> Seat {
        let mut spec = SeatSpec::new(format!("sip:{extension}@{}", self.address), SECRET);
        spec.play = tone(OPERATOR, 8_000.0, 600 * RATE);
        change(&mut spec);
        let seat = timeout(PATIENCE, sit(spec)).await.expect("in time").expect("a telephone registers");
        self.switchboard.tell(Event::SeatPresent { seat: extension.into(), skills: crate::acd::Skills::new() }).await;
        seat
    }

    /// Both channels of a sealed recording.
    async fn recording(&self, key: &str) -> (Vec<i16>, Vec<i16>) {
        let size = self.archive.size(key).await.expect("a recording");
        let wav = self.folder.path().join("fetched.wav");
        std::fs::write(&wav, self.archive.read(key, 0..size).await.expect("readable")).expect("a file");
        sip_test::audio::read_both(&wav).expect("a stereo file")
    }

    /// A citizen who speaks for so long.
    fn citizen(&self, talks: Duration) -> CallSpec {
        let mut spec = self.spec().playing(tone(CALLER, 8_000.0, 600 * RATE));
        spec.hang_up_after = Some(talks);
        spec
    }
}

/// Which of the tones is the loudest in each half second.
fn tones(pcm: &[i16]) -> Vec<&'static str> {
    let mut seen = Vec::new();
    for piece in pcm.chunks_exact(RATE / 2) {
        let known = [
            ("caller", CALLER),
            ("operator", OPERATOR),
            ("colleague", COLLEAGUE),
            ("music", MUSIC),
            ("ringback", RINGBACK),
        ];
        let heard = known.into_iter().find(|(_, hertz)| tone_share(piece, *hertz) > 0.8);
        let name = heard.map_or("", |(name, _)| name);
        if !name.is_empty() && seen.last() != Some(&name) {
            seen.push(name);
        }
    }
    seen
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_and_an_operator_hear_each_other_and_each_is_recorded_on_its_channel() {
    let (house, _prompts) = house(Duration::from_secs(20)).await;
    let mut seat = house.seat("8001", |_| {}).await;
    let report = dial(house.citizen(Duration::from_secs(4))).await;
    let call = timeout(PATIENCE, seat.next_call()).await.expect("in time").expect("a call");
    assert_eq!((report.status, call.status, call.ended_by), (200, 200, EndedBy::Far));
    assert_eq!(tones(&report.heard).last(), Some(&"operator"), "{:?}", tones(&report.heard));
    assert_eq!(tones(&call.heard), ["caller"]);
    assert!(call.from.starts_with("sip:13800000000@"), "the operator sees who calls: {}", call.from);

    let row = house.ended().await;
    assert_eq!((row.end_reason, row.seat.as_deref()), (Some(EndReason::CallerHungUp), Some("8001")));
    let sidecar = house.archive.stored(row.id).await.expect("the archive").expect("a sidecar");
    assert_eq!(sidecar.facts.seat.as_deref(), Some("8001"));
    assert!(sidecar.speakers.iter().any(|it| it.who == "seat:8001"), "{:?}", sidecar.speakers);
    let (left, right) = house.recording(&sidecar.key).await;
    assert_eq!(tones(&left), ["caller"]);
    assert_eq!(tones(&right).last(), Some(&"operator"));
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_who_hangs_up_ends_the_call() {
    let (house, _prompts) = house(Duration::from_secs(20)).await;
    let mut seat = house.seat("8001", |spec| spec.hang_up_after = Some(Duration::from_millis(500))).await;
    let report = dial(house.citizen(Duration::from_secs(50))).await;
    assert_eq!(report.ended_by, EndedBy::Far);
    let call = timeout(PATIENCE, seat.next_call()).await.expect("in time").expect("a call");
    assert_eq!((call.ended_by, call.bye_status), (EndedBy::Phone, Some(200)));
    assert_eq!(house.ended().await.end_reason, Some(EndReason::LineHungUp));
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seat_that_declines_is_busy_or_does_not_answer_is_followed_by_the_next() {
    let (house, _prompts) = house(Duration::from_secs(2)).await;
    // Rung in this order: who has been idle longest is first.
    let mut declines = house.seat("8001", |spec| spec.behaviour = Behaviour::Decline(603)).await;
    let mut busy = house.seat("8002", |spec| spec.behaviour = Behaviour::Busy).await;
    let mut away = house.seat("8003", |spec| spec.behaviour = Behaviour::Ignore).await;
    let mut answers = house.seat("8004", |_| {}).await;
    let phone = tokio::spawn(dial(house.citizen(Duration::from_secs(8))));
    for (seat, status) in [(&mut declines, 603), (&mut busy, 486), (&mut away, 487), (&mut answers, 200)] {
        let call = timeout(PATIENCE, seat.next_call()).await.expect("in time").expect("it was rung");
        assert_eq!(call.status, status);
    }
    let report = phone.await.expect("the phone works");
    assert_eq!(tones(&report.heard).last(), Some(&"operator"), "{:?}", tones(&report.heard));
    assert_eq!(house.ended().await.seat.as_deref(), Some("8004"));
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_telephone_that_has_gone_is_no_obstacle() {
    let (house, _prompts) = house(Duration::from_secs(20)).await;
    drop(house.seat("8001", |_| {}).await);
    let _seat = house.seat("8002", |_| {}).await;
    let report = dial(house.citizen(Duration::from_secs(8))).await;
    assert_eq!(tones(&report.heard).last(), Some(&"operator"), "{:?}", tones(&report.heard));
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_hangs_up_before_anybody_answers_is_to_be_called_back() {
    let (house, _prompts) = house(Duration::from_secs(20)).await;
    let mut seat = house.seat("8001", |spec| spec.behaviour = Behaviour::Ignore).await;
    let report = dial(house.citizen(Duration::from_secs(3))).await;
    assert!(tones(&report.heard).contains(&"ringback"), "{:?}", tones(&report.heard));
    let call = timeout(PATIENCE, seat.next_call()).await.expect("in time").expect("it was rung");
    assert_eq!((call.status, call.ended_by), (487, EndedBy::Cancelled));
    let row = house.ended().await;
    assert_eq!((row.end_reason, row.seat), (Some(EndReason::Abandoned), None));
    let missed = house.store.callbacks(Some(CallbackKind::Missed), None, None, 10).await.expect("the list");
    assert_eq!(
        missed.iter().map(|it| (it.call_id, it.reason.as_str())).collect::<Vec<_>>(),
        [(Some(row.id), "abandoned")]
    );
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_hears_music_and_has_the_seat_when_it_is_free() {
    let (house, _prompts) = house(Duration::from_secs(20)).await;
    let mut seat = house.seat("8001", |_| {}).await;
    let first = tokio::spawn(dial(house.citizen(Duration::from_secs(4))));
    assert!(timeout(PATIENCE, seat.wait_for(SeatState::Talking)).await.expect("in time"));
    let second = dial(house.citizen(Duration::from_secs(8))).await;
    assert_eq!(first.await.expect("the phone works").ended_by, EndedBy::Phone);
    let heard = tones(&second.heard);
    assert!(heard.starts_with(&["music"]) && heard.ends_with(&["operator"]), "{heard:?}");
    let calls = [seat.next_call().await, seat.next_call().await];
    assert!(calls.iter().flatten().all(|call| tones(&call.heard) == ["caller"]));
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_on_hold_hears_music_and_then_the_operator_again() {
    let (house, _prompts) = house(Duration::from_secs(20)).await;
    let mut seat = house.seat("8001", |spec| spec.hold = Some((Duration::from_secs(2), Duration::from_secs(3)))).await;
    let report = dial(house.citizen(Duration::from_secs(10))).await;
    let heard = tones(&report.heard);
    assert!(heard.ends_with(&["operator", "music", "operator"]), "{heard:?}");
    let call = timeout(PATIENCE, seat.next_call()).await.expect("in time").expect("a call");
    assert_eq!(call.hold_statuses, [200, 200]);
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_telephone_passes_its_caller_on_to_another_seat_and_both_are_recorded() {
    let (house, _prompts) = house(Duration::from_secs(20)).await;
    let to = format!("sip:8002@{}", house.address);
    let mut first = house.seat("8001", |spec| spec.refer = Some((Duration::from_secs(2), to))).await;
    let mut second = house.seat("8002", |spec| spec.play = tone(COLLEAGUE, 8_000.0, 600 * RATE)).await;
    let report = dial(house.citizen(Duration::from_secs(10))).await;
    let heard = tones(&report.heard);
    assert!(heard.contains(&"operator") && heard.ends_with(&["colleague"]), "{heard:?}");
    let passed = timeout(PATIENCE, first.next_call()).await.expect("in time").expect("a call");
    assert_eq!((passed.refer_status, passed.transfer.as_slice()), (Some(202), &[200][..]));
    let taken = timeout(PATIENCE, second.next_call()).await.expect("in time").expect("a call");
    assert_eq!((taken.status, tones(&taken.heard)), (200, vec!["caller"]));
    let row = house.ended().await;
    assert_eq!((row.seat.as_deref(), row.end_reason), (Some("8002"), Some(EndReason::CallerHungUp)));
    let sidecar = house.archive.stored(row.id).await.expect("the archive").expect("a sidecar");
    let (_, right) = house.recording(&sidecar.key).await;
    let said = tones(&right);
    assert!(said.contains(&"operator") && said.ends_with(&["colleague"]), "{said:?}");
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transfer_to_a_seat_that_is_not_there_leaves_the_talk_as_it_is() {
    let (house, _prompts) = house(Duration::from_secs(20)).await;
    let to = format!("sip:8009@{}", house.address);
    let mut seat = house.seat("8001", |spec| spec.refer = Some((Duration::from_secs(1), to))).await;
    let report = dial(house.citizen(Duration::from_secs(5))).await;
    assert_eq!(tones(&report.heard).last(), Some(&"operator"));
    let call = timeout(PATIENCE, seat.next_call()).await.expect("in time").expect("a call");
    assert_eq!((call.refer_status, call.transfer.as_slice()), (Some(202), &[404][..]));
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_talk_is_held_resumed_and_ended_by_request() {
    let (house, _prompts) = house(Duration::from_secs(20)).await;
    let mut seat = house.seat("8001", |_| {}).await;
    let phone = tokio::spawn(dial(house.citizen(Duration::from_secs(50))));
    assert!(timeout(PATIENCE, seat.wait_for(SeatState::Talking)).await.expect("in time"));
    let call = until(async || house.store.calls(None, 1).await.expect("the books").pop()).await.id;
    for control in [Control::Hold, Control::Resume, Control::HangUp] {
        // Long enough to be heard.
        tokio::time::sleep(Duration::from_secs(3)).await;
        until(async || house.switchboard.control(call, Some("8001".into()), control.clone()).await.ok()).await;
    }
    let report = phone.await.expect("the phone works");
    assert_eq!(report.ended_by, EndedBy::Far);
    let heard = tones(&report.heard);
    assert!(heard.ends_with(&["operator", "music", "operator"]), "{heard:?}");
    let call = timeout(PATIENCE, seat.next_call()).await.expect("in time").expect("a call");
    assert_eq!((tones(&call.heard), call.ended_by), (vec!["caller"], EndedBy::Far));
    assert_eq!(house.ended().await.end_reason, Some(EndReason::LineHungUp));
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_pass_both_ways_and_are_not_in_the_recording() {
    let (house, _prompts) = house(Duration::from_secs(20)).await;
    let mut seat = house
        .seat("8001", |spec| {
            spec.play = tone(OPERATOR, 8_000.0, RATE / 4);
            spec.keys = "34#".into();
        })
        .await;
    let mut citizen = house.citizen(Duration::from_secs(5));
    (citizen.play, citizen.keys) = (Vec::new(), "12*".into());
    let report = dial(citizen).await;
    let call = timeout(PATIENCE, seat.next_call()).await.expect("in time").expect("a call");
    assert_eq!((call.keys_heard.as_str(), report.keys_heard.as_str()), ("12*", "34#"));
    let sidecar = house.archive.stored(house.ended().await.id).await.expect("the archive").expect("a sidecar");
    let (left, _) = house.recording(&sidecar.key).await;
    assert!(left.iter().all(|sample| sample.unsigned_abs() < 100), "a key is no sound");
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_who_have_no_codec_and_no_seal_in_common_hear_each_other() {
    let (house, _prompts) = house(Duration::from_secs(20)).await;
    let mut seat = house.seat("8001", |spec| spec.codec = Some(Codec::Alaw)).await;
    let mut citizen = house.citizen(Duration::from_secs(4));
    (citizen.codec, citizen.srtp) = (Some(Codec::Ulaw), true);
    let report = dial(citizen).await;
    let call = timeout(PATIENCE, seat.next_call()).await.expect("in time").expect("a call");
    assert_eq!(tones(&report.heard).last(), Some(&"operator"), "{:?}", tones(&report.heard));
    assert_eq!((tones(&call.heard), call.codec), (vec!["caller"], Some(Codec::Alaw)));
    let sidecar = house.archive.stored(house.ended().await.id).await.expect("the archive").expect("a sidecar");
    let (left, right) = house.recording(&sidecar.key).await;
    assert_eq!((tones(&left), tones(&right).last()), (vec!["caller"], Some(&"operator")));
    house.close().await;
}

/// Which voices there are in the last second.
fn voices(pcm: &[i16]) -> Vec<&'static str> {
    let last = &pcm[pcm.len().saturating_sub(RATE)..];
    let known = [("caller", CALLER), ("operator", OPERATOR), ("third", THIRD)];
    known.into_iter().filter(|(_, hertz)| tone_share(last, *hertz) > 0.2).map(|(name, _)| name).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_third_listens_whispers_barges_in_and_goes_on_when_the_operator_leaves_a_conference() {
    for (part, caller_hears, operator_hears, recorded) in [
        (Part::Listen, vec!["operator"], vec!["caller"], vec!["operator"]),
        (Part::Whisper, vec!["operator"], vec!["caller", "third"], vec!["operator"]),
        (Part::Barge, vec!["operator", "third"], vec!["caller", "third"], vec!["operator", "third"]),
        (Part::Conference, vec!["third"], vec!["caller", "third"], vec!["third"]),
    ] {
        let (house, _prompts) = house(Duration::from_secs(20)).await;
        let leaves = (part == Part::Conference).then_some(Duration::from_secs(4));
        let mut seat = house.seat("8001", |spec| spec.hang_up_after = leaves).await;
        let phone = tokio::spawn(dial(house.citizen(Duration::from_secs(8))));
        assert!(timeout(PATIENCE, seat.wait_for(SeatState::Talking)).await.expect("in time"));
        let mut third = house.seat("8009", |spec| spec.play = tone(THIRD, 8_000.0, 600 * RATE)).await;
        let call = until(async || house.store.calls(None, 1).await.expect("the books").pop()).await.id;
        let control = Control::Join("8009".into(), part);
        until(async || house.switchboard.control(call, None, control.clone()).await.ok()).await;
        let report = phone.await.expect("the phone works");
        let [operator, third] = [seat.next_call().await, third.next_call().await].map(|it| it.expect("a call"));
        assert_eq!(voices(&report.heard), caller_hears, "{part:?}: the caller");
        assert_eq!(voices(&operator.heard), operator_hears, "{part:?}: the operator");
        let third_hears = if part == Part::Conference { vec!["caller"] } else { vec!["caller", "operator"] };
        assert_eq!(voices(&third.heard), third_hears, "{part:?}: the third");
        let row = house.ended().await;
        assert_eq!(row.end_reason, Some(EndReason::CallerHungUp));
        assert_eq!(row.seat.as_deref(), Some(if part == Part::Conference { "8009" } else { "8001" }));
        let sidecar = house.archive.stored(row.id).await.expect("the archive").expect("a sidecar");
        let (left, right) = house.recording(&sidecar.key).await;
        // The end of the call is silence on its way to us.
        assert_eq!(voices(&left[..left.len() - RATE / 4]), ["caller"], "{part:?}");
        assert_eq!(voices(&right[..right.len() - RATE / 4]), recorded, "{part:?}");
        house.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_asks_a_colleague_first_and_then_leaves_the_caller_to_them() {
    let (house, _prompts) = house(Duration::from_secs(20)).await;
    let mut seat = house.seat("8001", |_| {}).await;
    let phone = tokio::spawn(dial(house.citizen(Duration::from_secs(14))));
    assert!(timeout(PATIENCE, seat.wait_for(SeatState::Talking)).await.expect("in time"));
    let mut colleague = house.seat("8002", |spec| spec.play = tone(COLLEAGUE, 8_000.0, 600 * RATE)).await;
    let call = until(async || house.store.calls(None, 1).await.expect("the books").pop()).await.id;
    for control in [Control::Hold, Control::Join("8002".into(), Part::Conference)] {
        until(async || house.switchboard.control(call, Some("8001".into()), control.clone()).await.ok()).await;
    }
    assert!(timeout(PATIENCE, colleague.wait_for(SeatState::Talking)).await.expect("in time"));
    // Long enough to be heard.
    tokio::time::sleep(Duration::from_secs(3)).await;
    seat.hang_up().await;
    let report = phone.await.expect("the phone works");
    let [operator, colleague] = [seat.next_call().await, colleague.next_call().await].map(|it| it.expect("a call"));
    let heard = tones(&report.heard);
    assert!(heard.ends_with(&["music", "colleague"]), "{heard:?}");
    assert!(tones(&operator.heard).ends_with(&["colleague"]), "{:?}", tones(&operator.heard));
    assert_eq!(tones(&colleague.heard), ["operator", "caller"]);
    let row = house.ended().await;
    assert_eq!((row.seat.as_deref(), row.end_reason), (Some("8002"), Some(EndReason::CallerHungUp)));
    let sidecar = house.archive.stored(row.id).await.expect("the archive").expect("a sidecar");
    let (_, right) = house.recording(&sidecar.key).await;
    let said = tones(&right);
    assert!(
        said.ends_with(&["music", "colleague"]),
        "what the two said to each other is no part of the call: {said:?}"
    );
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_line_says_so_and_owes_a_call() {
    let (house, _prompts) = {
        let (first, prompts) = house(Duration::from_secs(20)).await;
        first.close().await;
        let mut plan = Plan { wrap_up: Duration::ZERO, ..Plan::default() };
        plan.desks[0].capacity = 1;
        (House::open(Rules { plan, prompts: prompts.path().into(), ..Rules::default() }).await, prompts)
    };
    let seat = house.seat("8001", |_| {}).await;
    let talks = tokio::spawn(dial(house.citizen(Duration::from_secs(20))));
    assert!(timeout(PATIENCE, seat.wait_for(SeatState::Talking)).await.expect("in time"));
    let waits = tokio::spawn(dial(house.citizen(Duration::from_secs(20))));
    until(async || house.switchboard.view().await.ok()?.1.iter().any(|desk| desk.view.waiting == 1).then_some(()))
        .await;
    assert_eq!(dial(house.citizen(Duration::from_secs(20))).await.ended_by, EndedBy::Far);
    let row = house.ended().await;
    assert_eq!(row.end_reason, Some(EndReason::GivenUp));
    let missed = house.store.callbacks(Some(CallbackKind::Missed), None, None, 10).await.expect("the list");
    assert_eq!(missed.iter().map(|it| it.reason.as_str()).collect::<Vec<_>>(), ["given_up"]);
    talks.abort();
    waits.abort();
    house.line.abort();
    house.sip.abort();
}
