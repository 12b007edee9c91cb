//! A real Kamailio before the line (`tests/sipp/kamailio.cfg`), as trunks have one: whatever was said to us directly has
//! to work through it, and what we say ourselves has to find its way back along the Route.

use std::{
    fs::File,
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use futures::{StreamExt, future::join_all, stream};
use sip_test::{
    EndedBy, Expect, LoadSpec,
    audio::{self, Side, tone, tone_share},
};
use tempfile::TempDir;

use crate::{
    house::{House, free_for_both},
    sipp::{self, Over, Sipp},
};

const KAMAILIO: &str = "/usr/sbin/kamailio";

/// What a proxy leaves to the line. Not here: Max-Forwards 0, another version, another scheme and a length that is no
/// number, which Kamailio refuses or drops itself; a late ACK, as sipp takes each 200 that a proxy repeats for a new one;
/// sipp's own `uac`, which follows no Route.
const RULES: [&str; 26] = [
    "call",
    "no_offer",
    "hold_sendonly",
    "hold_inactive",
    "hold_zero",
    "moved",
    "codec_changed",
    "reinvite_no_offer",
    "reinvite_refused",
    "reinvite_twice",
    "update_hold",
    "update_bare",
    "info_keys",
    "session_accepted",
    "session_too_short",
    "bye_early",
    "cancel",
    "cancel_late",
    "cseq_old",
    "tag_wrong",
    "merged",
    "number_unknown",
    "require_100rel",
    "body_unknown",
    "codec_none",
    "name_gbk",
];

/// Scenarios that run at the same time.
const AT_ONCE: usize = 6;

/// A running Kamailio.
struct Proxy {
    folder: TempDir,
    child: Child,
    address: SocketAddr,
}

impl Proxy {
    /// Starts one before the line and waits until it passes an OPTIONS on.
    ///
    /// * `over` — how it speaks to the line; callers reach it over UDP and TCP.
    async fn before(house: &House, over: Over) -> Self {
        let (folder, address) = (tempfile::tempdir().expect("a folder"), free_for_both());
        let line = match over {
            Over::Udp => format!("LINE=\"sip:{}\"", house.sip),
            _ => format!("LINE=\"sip:{};transport=tcp\"", house.sip),
        };
        let log = File::create(folder.path().join("log")).expect("a log");
        let child = Command::new(KAMAILIO)
            .args(["-DD", "-E", "-f", "tests/sipp/kamailio.cfg", "-m", "32", "-M", "4", "-A", &line])
            .args(["-l", &format!("udp:{address}"), "-l", &format!("tcp:{address}")])
            .arg("-Y")
            .arg(folder.path())
            .arg("-P")
            .arg(folder.path().join("pid"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("kamailio starts");
        let proxy = Self { folder, child, address };
        house
            .until("answer through Kamailio", async || {
                let there = sip_test::options(&proxy.number()).await;
                there.is_ok_and(|report| report.status == 200).then_some(())
            })
            .await;
        proxy
    }

    fn number(&self) -> String {
        format!("sip:12345@{}", self.address)
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Whether such a request of this call came by.
    fn passed(&self, method: &str, call_id: &str) -> bool {
        self.log().contains(&format!("passed: {method} of {call_id} from "))
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // It takes its own children with it.
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- Kamailio's log\n{}", self.log());
        }
    }
}

#[tokio::test]
async fn each_rule_that_a_proxy_leaves_to_the_line_holds_through_kamailio() {
    if missing() {
        return;
    }
    let house = sipp::open(&[]);
    // Over what the caller speaks, and over what the proxy goes on; between the two it stands in the Route twice.
    for (caller, onwards) in [(Over::Udp, Over::Udp), (Over::Tcp, Over::Tcp), (Over::Tcp, Over::Udp)] {
        let proxy = Proxy::before(&house, onwards).await;
        // For sipp over TCP see the table of `sipp`.
        let rules = RULES.into_iter().filter(|rule| caller == Over::Udp || *rule != "cancel");
        let runs = stream::iter(rules).map(|rule| Sipp::new(rule, caller, proxy.address).run());
        let played: Vec<_> = runs.buffer_unordered(AT_ONCE).collect().await;
        let wrong: Vec<_> = played.iter().filter_map(sipp::Played::problem).collect();
        assert!(wrong.is_empty(), "{caller:?}, then {onwards:?}:\n{}", wrong.join("\n"));
    }
}

#[tokio::test]
async fn a_call_through_kamailio_is_recorded_and_ends_from_either_side() {
    if missing() {
        return;
    }
    let house = sipp::open(&[("LINE__MAX_CALL_SECONDS", "10")]);
    let ways = [(Over::Udp, Over::Udp), (Over::Tcp, Over::Tcp), (Over::Udp, Over::Tcp)];
    let house = &house;
    let calls = ways.into_iter().enumerate().map(|(way, (caller, onwards))| async move {
        let proxy = Proxy::before(house, onwards).await;
        let to = proxy.number() + if caller == Over::Tcp { ";transport=tcp" } else { "" };
        let (patient, hasty) = (format!("1390000001{way}"), format!("1390000002{way}"));
        let call = |from: &str, seconds| {
            let mut spec = house.citizen(from).playing(tone(FREQUENCY, 0.5, 60 * 8_000));
            (spec.to, spec.hang_up_after) = (to.clone(), Some(Duration::from_secs(seconds)));
            sip_test::call(spec)
        };
        // One hangs up; the other talks until the line says goodbye.
        let (hasty_report, patient_report) = tokio::join!(call(&hasty, 3), call(&patient, 60));
        let (ours, theirs) = (hasty_report.expect("a call"), patient_report.expect("a call"));
        assert_eq!((ours.ended_by, ours.bye_status), (EndedBy::Phone, Some(200)), "{way}");
        assert_eq!(theirs.ended_by, EndedBy::Far, "{way}");
        // In this call nobody but the line says BYE.
        assert!(proxy.passed("BYE", &theirs.call_id), "{way}: our BYE went another way\n{}", proxy.log());
        for (from, reason, seconds) in [(hasty, "caller_hung_up", 3), (patient, "max_duration", 10)] {
            let call = house.sealed_call(&from).await;
            assert_eq!(call["end_reason"], reason, "{way}");
            it_is_the_tone(house, call["id"].as_str().expect("an id"), seconds).await;
        }
    });
    join_all(calls).await;
}

#[tokio::test]
async fn a_hundred_calls_through_kamailio_are_all_answered_and_heard() {
    if missing() {
        return;
    }
    let house = sipp::open(&[]);
    for (over, way) in [(Over::Udp, ""), (Over::Tcp, ";transport=tcp")] {
        let proxy = Proxy::before(&house, over).await;
        let mut spec = LoadSpec::new(proxy.number() + way);
        (spec.calls, spec.total, spec.rate, spec.length) = (100, 100, 50.0, Duration::from_secs(3));
        spec.expect = Expect::Sound(audio::read("config/prompts/welcome.wav".as_ref(), Side::Left).expect("welcome"));
        let report = sip_test::load(spec, |_| {}).await.expect("a load");
        assert!(report.good, "{over:?}: {report:#?}");
        assert_eq!(report.completed, 100, "{over:?}");
    }
    house
        .until("end of every call", async || {
            let calls = house.get("/api/v1/calls?limit=200").await;
            let items = calls["items"].as_array()?;
            let sealed = items.iter().filter(|call| call["recording_state"] == "sealed").count();
            (sealed == 200).then_some(())
        })
        .await;
}

/// What callers say, Hz.
const FREQUENCY: f64 = 800.0;

/// The caller's side of a recording is the tone, all the time and nothing else.
async fn it_is_the_tone(house: &House, call: &str, seconds: usize) {
    let wav = house.bytes(&format!("/api/v1/calls/{call}/recording")).await;
    let file = house.folder().join(format!("{call}.wav"));
    std::fs::write(&file, wav).expect("a file");
    let (caller, _) = audio::read_both(Path::new(&file)).expect("a recording");
    let talk = caller.get(4_000..(seconds * 8_000 - 4_000)).expect("as long as the talk");
    assert!(tone_share(talk, FREQUENCY) > 0.95, "{call}: {}", tone_share(talk, FREQUENCY));
}

fn missing() -> bool {
    let missing = !Path::new(KAMAILIO).exists();
    if missing {
        println!("not run: Kamailio is missing (`./dev test` installs it)");
    }
    missing || sipp::missing()
}
