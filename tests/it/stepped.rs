//! A clock that is set while the line works, as an administrator or NTP does: nothing that takes time may notice.

use std::{fs, path::Path, time::Duration};

use sip_test::{
    EndedBy,
    audio::{self, tone, tone_share},
};
use tempfile::tempdir;

use crate::house::{House, faketime};

const CALLER: &str = "13700000001";
const FREQUENCY: f64 = 700.0;
const SECONDS: u64 = 6;

#[tokio::test]
async fn a_clock_set_by_an_hour_either_way_ends_no_call_bends_no_recording_and_keeps_no_job() {
    let Some(library) = faketime() else { return };
    for steps in [[3_600, 0], [-3_600, -7_200]] {
        // Half an hour of a session and ten minutes of a call are over at once, for whoever counts them by the wall.
        let mut house = House::closed(tempdir().expect("a folder"), &[("LINE__MAX_CALL_SECONDS", "600")]);
        let wall = house.folder().join("wall");
        set(&wall, 0);
        house.surround("LD_PRELOAD", &library.display().to_string());
        house.surround("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        house.surround("FAKETIME_NO_CACHE", "1");
        house.surround("FAKETIME_TIMESTAMP_FILE", &wall.display().to_string());
        house.start();

        let mut spec = house.citizen(CALLER).playing(tone(FREQUENCY, 0.5, 60 * 8_000));
        spec.hang_up_after = Some(Duration::from_secs(SECONDS));
        spec.headers = vec![("Supported".into(), "timer".into()), ("Session-Expires".into(), "1800".into())];
        let stepping = async {
            for (done, to) in steps.into_iter().enumerate() {
                let bytes = 44 + 32_000 * (2 * done as u64 + 1);
                house.until("recorded seconds", async || (spooled(&house) >= bytes).then_some(())).await;
                set(&wall, to);
            }
        };
        let (report, ()) = tokio::join!(sip_test::call(spec), stepping);
        let report = report.unwrap_or_else(|error| panic!("{error}\n{}", house.log()));
        assert_eq!((report.ended_by, report.bye_status), (EndedBy::Phone, Some(200)), "{steps:?}");

        let call = house.sealed_call(CALLER).await;
        assert_eq!(call["end_reason"], "caller_hung_up", "{steps:?}");
        let moment = |name: &str| {
            let text = call[name].as_str().unwrap_or_else(|| panic!("{name}: {call}"));
            text.parse::<jiff::Timestamp>().expect("RFC 3339").as_millisecond()
        };
        let (started, answered, ended) = (moment("started"), moment("answered"), moment("ended"));
        assert!(started <= answered && answered <= ended, "{steps:?}: {call}");
        // A busy machine hears of the hang-up later, but not by the minute.
        let lasted = Duration::from_millis(ended.abs_diff(answered));
        assert!(lasted.abs_diff(Duration::from_secs(SECONDS)) < Duration::from_mins(1), "{steps:?}: {call}");

        let id = call["id"].as_str().expect("an id");
        let file = house.folder().join("one.wav");
        fs::write(&file, house.bytes(&format!("/api/v1/calls/{id}/recording")).await).expect("a file");
        let (caller, _) = audio::read_both(&file).expect("a recording");
        let wanted = usize::try_from(SECONDS).expect("few") * 8_000;
        assert!(
            caller.len() + 1_600 > wanted && caller.len() < wanted + 60 * 8_000,
            "{steps:?}: {} samples",
            caller.len()
        );
        let talk = &caller[800..wanted - 1_600];
        assert!(tone_share(talk, FREQUENCY) > 0.98, "{steps:?}: {}", tone_share(talk, FREQUENCY));

        // Hearing and drafting come after the clock was set: nobody said a word, so the caller is owed a call.
        house
            .until("entry of the call-back list", async || {
                let entries = house.get("/api/v1/callbacks").await;
                entries["items"].as_array()?.iter().find(|entry| entry["call_id"] == id).cloned()
            })
            .await;
        assert_eq!(house.stop(), Some(0), "{steps:?}");
    }
}

/// Seconds before or behind the machine's clock, from now on. The file is whole at every moment.
fn set(wall: &Path, seconds: i64) {
    let new = wall.with_extension("new");
    fs::write(&new, format!("{seconds:+}")).expect("a file");
    fs::rename(new, wall).expect("a rename");
}

/// Size of the recording that grows, bytes.
fn spooled(house: &House) -> u64 {
    let files = fs::read_dir(house.folder().join("spool")).into_iter().flatten().flatten();
    let sounds = files.filter(|file| file.path().extension().is_some_and(|it| it == "wav"));
    sounds.filter_map(|file| Some(file.metadata().ok()?.len())).max().unwrap_or(0)
}
