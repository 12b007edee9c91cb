//! Phone to phone: a seat takes the calls of the same crate's caller, and registers at a tiny registrar.
#![expect(clippy::unwrap_used, reason = "helpers of a test")]

use std::{path::Path, time::Duration};

use sip_test::{
    Behaviour, CallReport, CallSpec, EndedBy, Faults, Misdeed, SeatSpec,
    audio::{self, Codec, Side, align, tone, tone_share},
    call, misbehave, options, raw,
    seat::{Seat, SeatState, sit},
};

#[tokio::test]
async fn a_caller_and_a_seat_hear_each_other() {
    let record = std::env::temp_dir().join(format!("sip-test-seat-{}.wav", std::process::id()));
    let (caller_says, seat_says) = (words(Side::Left), words(Side::Right));
    let mut spec = seat_spec().playing(seat_says.clone());
    spec.record = Some(record.clone());
    spec.answer_after = Duration::from_millis(300);
    let mut seat = sit(spec).await.unwrap();
    let report = call(CallSpec::new(seat.uri()).playing(caller_says.clone())).await.unwrap();
    assert_eq!(
        (report.status, report.ended_by, report.bye_status, report.rang),
        (200, EndedBy::Phone, Some(200), true)
    );
    let taken = seat.next_call().await.unwrap();
    assert_eq!((taken.status, taken.ended_by, taken.codec), (200, EndedBy::Far, Some(Codec::Alaw)));
    assert_eq!((&taken.call_id, taken.from.as_str()), (&report.call_id, "sip:13800000000@127.0.0.1"));
    assert_eq!(taken.requests, ["INVITE", "ACK", "BYE"]);
    assert!((300..1_500).contains(&taken.answered_ms.unwrap()), "{taken:?}");
    assert_eq!((taken.packets_lost, taken.streams_heard, taken.problem.as_deref()), (0, 1, None));
    assert_eq!(taken.heard, audio::read(&record, Side::Left).unwrap());
    std::fs::remove_file(&record).unwrap();
    for (said, heard) in [(&caller_says, &taken.heard), (&seat_says, &report.heard)] {
        let found = align(said, heard, 4_000);
        assert!(found.correlation >= 0.95, "{found:?}");
    }
    assert!(seat.unregister().await.unwrap().is_none(), "there is no registrar to leave");
}

#[tokio::test]
async fn calls_come_one_after_another_and_a_second_one_hears_busy() {
    let mut spec = seat_spec().playing(tone(700.0, 0.3, 80_000));
    spec.codec = Some(Codec::Ulaw);
    let mut seat = sit(spec).await.unwrap();
    for turn in 0..2 {
        let first = tokio::spawn(ring(&seat, Duration::from_secs(1)));
        assert!(seat.wait_for(SeatState::Talking).await);
        let second = ring(&seat, Duration::from_secs(1)).await;
        assert_eq!((second.status, second.ended_by), (486, EndedBy::Refused), "{turn}");
        let first = first.await.unwrap();
        assert_eq!((first.status, first.codec), (200, Some(Codec::Ulaw)));
        assert!(tone_share(&first.heard[2_000..6_000], 700.0) > 0.9, "{turn}");
        let taken = seat.next_call().await.unwrap();
        assert_eq!((taken.call_id, taken.status), (first.call_id, 200));
        assert!(seat.wait_for(SeatState::Free).await);
    }
    assert!(seat.calls.try_recv().is_err(), "a call that hears busy is none of the seat's");
}

#[tokio::test]
async fn a_seat_declines_is_busy_or_lets_it_ring_until_the_caller_gives_up() {
    for (behaviour, status) in [(Behaviour::Decline(603), 603), (Behaviour::Decline(480), 480), (Behaviour::Busy, 486)]
    {
        let mut spec = seat_spec();
        spec.behaviour = behaviour;
        let mut seat = sit(spec).await.unwrap();
        let report = ring(&seat, Duration::from_secs(1)).await;
        assert_eq!((report.status, report.ended_by), (status, EndedBy::Refused));
        assert_eq!(report.rang, behaviour != Behaviour::Busy);
        let taken = seat.next_call().await.unwrap();
        assert_eq!((taken.status, taken.ended_by, taken.answered_ms), (status, EndedBy::Refused, None));
    }
    let mut spec = seat_spec();
    spec.behaviour = Behaviour::Ignore;
    let mut seat = sit(spec).await.unwrap();
    let mut order = CallSpec::new(seat.uri());
    order.cancel_after = Some(Duration::from_millis(400));
    let report = call(order).await.unwrap();
    assert_eq!((report.status, report.ended_by, report.rang), (487, EndedBy::Cancelled, true));
    let taken = seat.next_call().await.unwrap();
    assert_eq!((taken.status, taken.ended_by), (487, EndedBy::Cancelled));
    assert_eq!(taken.requests, ["INVITE", "CANCEL", "ACK"]);
    assert!(taken.duration_ms >= 350, "{}", taken.duration_ms);
}

#[tokio::test]
async fn the_seat_may_hang_up_by_its_plan_or_at_a_word() {
    let mut spec = seat_spec();
    spec.hang_up_after = Some(Duration::from_millis(600));
    let mut seat = sit(spec).await.unwrap();
    let report = ring(&seat, Duration::from_secs(20)).await;
    assert_eq!((report.ended_by, report.duration_ms < 5_000), (EndedBy::Far, true));
    let taken = seat.next_call().await.unwrap();
    assert_eq!((taken.ended_by, taken.bye_status), (EndedBy::Phone, Some(200)));
    assert!(taken.duration_ms >= 600, "{}", taken.duration_ms);

    let mut seat = sit(seat_spec()).await.unwrap();
    let caller = tokio::spawn(ring(&seat, Duration::from_secs(20)));
    assert!(seat.wait_for(SeatState::Talking).await);
    seat.hang_up().await;
    assert_eq!(caller.await.unwrap().ended_by, EndedBy::Far);
    assert_eq!(seat.next_call().await.unwrap().ended_by, EndedBy::Phone);

    let caller = tokio::spawn(ring(&seat, Duration::from_secs(20)));
    assert!(seat.wait_for(SeatState::Talking).await);
    assert!(seat.unregister().await.unwrap().is_none(), "whoever leaves hangs up first");
    assert_eq!(caller.await.unwrap().ended_by, EndedBy::Far);
}

#[tokio::test]
async fn a_held_caller_hears_nothing_and_is_heard_no_more_until_the_call_goes_on() {
    let mut spec = seat_spec().playing(tone(700.0, 0.3, 80_000));
    spec.hold = Some((Duration::from_secs(1), Duration::from_secs(1)));
    let mut seat = sit(spec).await.unwrap();
    let order = CallSpec::new(seat.uri()).playing(tone(440.0, 0.3, 32_000));
    let caller = tokio::spawn(call(order));
    assert!(seat.wait_for(SeatState::Holding).await && seat.wait_for(SeatState::Talking).await);
    let report = caller.await.unwrap().unwrap();
    let taken = seat.next_call().await.unwrap();
    assert_eq!(taken.hold_statuses, [200, 200]);
    for (heard, pitch) in [(&report.heard, 700.0), (&taken.heard, 440.0)] {
        assert!(tone_share(&heard[1_000..7_000], pitch) > 0.9);
        assert!(audio::loudness_dbfs(&heard[9_600..14_400]) < -60.0, "held between 1 and 2 s");
        assert!(tone_share(&heard[20_000..30_000], pitch) > 0.9, "and resumed");
    }
    assert_eq!(taken.packets_lost, 0, "what is not sent on hold is not lost");
}

#[tokio::test]
async fn a_transfer_the_far_side_does_not_know_leaves_the_call_up() {
    let mut spec = seat_spec();
    spec.refer = Some((Duration::from_millis(200), "sip:8002@127.0.0.1".into()));
    let mut seat = sit(spec).await.unwrap();
    let report = ring(&seat, Duration::from_secs(1)).await;
    let taken = seat.next_call().await.unwrap();
    assert_eq!((report.ended_by, taken.refer_status, taken.ended_by), (EndedBy::Phone, Some(501), EndedBy::Far));
}

#[tokio::test]
async fn keys_late_sound_late_offers_and_lost_packets_are_told() {
    let mut spec = seat_spec().playing(tone(700.0, 0.3, 16_000));
    (spec.keys, spec.start_playing) = ("7#".into(), Duration::from_secs(1));
    let mut seat = sit(spec).await.unwrap();
    let mut order = CallSpec::new(seat.uri()).playing(tone(440.0, 0.3, 16_000));
    order.no_sdp = true;
    order.keys = "12".into();
    order.faults = Faults { seed: 3, loss: 0.1, ..Faults::default() };
    let report = call(order).await.unwrap();
    assert_eq!((report.status, report.keys_heard.as_str(), report.keys_sent), (200, "7#", 2));
    assert!(audio::loudness_dbfs(&report.heard[..3_600]) < -60.0, "silence before the sound");
    assert!(tone_share(&report.heard[12_000..15_500], 700.0) > 0.9);
    let taken = seat.next_call().await.unwrap();
    assert_eq!((taken.keys_heard.as_str(), taken.keys_sent), ("12", 2));
    assert!(taken.packets_lost > 0 && taken.packets_heard >= report.packets_sent - 1, "{taken:?}");
}

#[tokio::test]
async fn a_200_is_repeated_until_the_ack_and_a_caller_who_leaves_without_one_is_let_go() {
    let mut seat = sit(seat_spec().playing(tone(700.0, 0.3, 16_000))).await.unwrap();
    let mut order = CallSpec::new(seat.uri()).playing(tone(440.0, 0.3, 16_000));
    order.withhold_ack = true;
    let report = call(order).await.unwrap();
    assert_eq!((report.answers_repeated, report.bye_status), (2, Some(200)), "after 0.5 and 1.5 s");
    let taken = seat.next_call().await.unwrap();
    assert_eq!((taken.acknowledged_ms, taken.requests.len()), (None, 2));
    assert_eq!(taken.early, taken.packets_heard, "all of it came before an ACK");
}

#[tokio::test]
async fn what_belongs_to_no_call_is_told_so() {
    let seat = sit(seat_spec()).await.unwrap();
    assert_eq!(options(seat.uri()).await.unwrap().status, 200);
    for method in ["BYE", "CANCEL", "UPDATE", "INFO", "NOTIFY"] {
        let wire = raw::Wire::open(seat.address).await.unwrap();
        wire.send(b"nonsense").await.unwrap();
        wire.send(wire.request(method, seat.uri())).await.unwrap();
        let answer = wire.final_answer(Duration::from_secs(10)).await.unwrap();
        assert_eq!(answer.status, Some(481), "{method}");
    }
}

#[tokio::test]
async fn a_seat_is_not_put_out_by_misdeeds() {
    let seat = sit(seat_spec().playing(tone(700.0, 0.3, 800_000))).await.unwrap();
    for deed in [
        Misdeed::LateAck,
        Misdeed::EarlyBye,
        Misdeed::ByeTwice,
        Misdeed::CancelRace,
        Misdeed::WrongTags,
        Misdeed::OldCseq,
        Misdeed::Merged,
        Misdeed::RetransmitStorm,
        Misdeed::SsrcChange,
    ] {
        assert!(seat.wait_for(SeatState::Free).await);
        let outcome = misbehave(deed, seat.uri()).await.unwrap();
        assert!(outcome.good, "{outcome:?}");
    }
}

/// A call of a caller who says nothing for so long.
fn ring(seat: &Seat, length: Duration) -> impl Future<Output = CallReport> + use<> {
    let mut order = CallSpec::new(seat.uri());
    order.hang_up_after = Some(length);
    async { call(order).await.unwrap() }
}

fn seat_spec() -> SeatSpec {
    SeatSpec::unregistered("8001")
}

/// Four seconds of one side of a call.
fn words(side: Side) -> Vec<i16> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/calls/s01.wav");
    let pcm = audio::read(&path, side).unwrap();
    let loudest = (0..pcm.len() - 32_000)
        .step_by(8_000)
        .max_by(|a, b| {
            let loudness = |from: usize| audio::loudness_dbfs(&pcm[from..from + 32_000]);
            loudness(*a).total_cmp(&loudness(*b))
        })
        .unwrap();
    pcm[loudest..loudest + 32_000].to_vec()
}
