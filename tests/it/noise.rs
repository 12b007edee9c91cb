//! What is no speech makes no words: Whisper invents sentences for silence and tones, so nothing but speech may reach it.

use std::f32::consts::TAU;

use sip_test::audio;

use crate::house::House;

const SECONDS: usize = 60;
const RATE: usize = 8_000;

#[tokio::test]
async fn a_minute_of_silence_ringback_melody_or_hiss_gives_no_words_no_draft_and_a_missed_call() {
    let house = House::open();
    let sounds: [(&str, Vec<i16>); 4] = [
        ("13900000001", vec![0; SECONDS * RATE]),
        ("13900000002", ringback()),
        ("13900000003", melody()),
        ("13900000004", hiss()),
    ];
    let dialled = sounds.iter().map(|(from, pcm)| {
        let file = house.folder().join(format!("{from}.wav"));
        audio::write(&file, pcm).expect("a file");
        house.dial(from, file)
    });
    for report in futures::future::join_all(dialled).await {
        assert_eq!(report.status, 200);
    }

    for (from, _) in &sounds {
        let call = house.sealed_call(from).await;
        let id = call["id"].as_str().expect("an id");
        let transcript = house.transcript(id).await;
        assert_eq!(transcript["utterances"], serde_json::json!([]), "{from}");
        let missed = house
            .until("missed-call entry", async || {
                let entries = house.get("/api/v1/callbacks?limit=200").await;
                entries["items"].as_array().expect("items").iter().find(|it| it["call_id"] == id).cloned()
            })
            .await;
        assert_eq!(missed["kind"], "missed");
        let call = house.get(&format!("/api/v1/calls/{id}")).await;
        assert!(call["case_id"].is_null(), "no draft: {call}");
    }
    let cases = house.get("/api/v1/cases").await;
    assert_eq!(cases["items"], serde_json::json!([]));
}

/// China's ring-back tone: 450 Hz, one second on, four off.
fn ringback() -> Vec<i16> {
    samples(|at| if at % 5.0 < 1.0 { 0.35 * (TAU * 450.0 * at).sin() } else { 0.0 })
}

/// A tune of three-note chords with harmonics, as queue music has.
fn melody() -> Vec<i16> {
    const TUNE: [f32; 8] = [261.6, 293.7, 329.6, 392.0, 440.0, 392.0, 329.6, 293.7];
    samples(|at| {
        let beat = at * 2.5;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a beat's number")]
        let root = TUNE[beat as usize % TUNE.len()];
        let fade = 1.0 - beat.fract() * 0.7;
        let chord = [1.0, 1.25, 1.5].iter().map(|ratio| {
            let tone = TAU * root * ratio * at;
            tone.sin() + 0.4 * (2.0 * tone).sin() + 0.2 * (3.0 * tone).sin()
        });
        0.12 * fade * chord.sum::<f32>()
    })
}

/// White noise of a bad line, always the same.
fn hiss() -> Vec<i16> {
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    samples(|_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        #[expect(clippy::cast_precision_loss, reason = "noise")]
        let noise = (state >> 40) as f32 / 16_777_216.0 - 0.5;
        0.15 * noise
    })
}

#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "audio samples")]
fn samples(mut wave: impl FnMut(f32) -> f32) -> Vec<i16> {
    (0..SECONDS * RATE).map(|index| (wave(index as f32 / RATE as f32) * 32_000.0) as i16).collect()
}
