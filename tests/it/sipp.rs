//! sipp, the trade's own test phone: its built-in call, and one scenario of ours for each rule of the wire (`tests/sipp`).
//!
//! A scenario's first line names its rule and where that is written. The same scenarios go through a proxy in `proxy`.

use std::{
    net::{Ipv6Addr, SocketAddr, TcpListener},
    path::Path,
    process::{Output, Stdio},
    sync::Arc,
};

use futures::future::join_all;
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use sip_test::raw::Wire;
use tempfile::TempDir;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener as Listener, TcpStream},
    process::Command,
};
use tokio_rustls::TlsConnector;

use crate::house::{House, PATIENCE, free_for_both};

/// The number that is dialled.
const LINE: &str = "12345";

/// What a scenario's messages travel over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    Udp,
    Tcp,
    /// Debian builds sipp without TLS: its TCP goes through a tunnel of ours.
    Tls,
}

/// One test a row: what is expected, the scenario that expects it, and over what.
macro_rules! scenarios {
    ($($expected:ident: $scenario:literal over $($over:ident)+;)*) => {$(
        #[tokio::test]
        async fn $expected() {
            play($scenario, &[$(Over::$over),+]).await;
        }
    )*};
}

scenarios! {
    a_plain_call_is_answered_and_ended_by_its_bye:                    "call" over Udp Tcp Tls;
    an_invite_without_a_description_gets_our_offer:                   "no_offer" over Udp Tcp Tls;
    a_call_held_with_sendonly_hears_recvonly_and_is_resumed:          "hold_sendonly" over Udp Tcp Tls;
    a_call_held_with_inactive_hears_inactive_and_is_resumed:          "hold_inactive" over Udp Tcp;
    a_call_held_the_old_way_goes_on:                                  "hold_zero" over Udp Tcp;
    sound_and_contact_move_with_a_re_invite:                          "moved" over Udp Tcp;
    the_codec_changes_with_a_re_invite:                               "codec_changed" over Udp Tcp;
    a_re_invite_without_a_description_gets_our_offer:                 "reinvite_no_offer" over Udp Tcp;
    a_refused_re_invite_leaves_the_call_as_it_was:                    "reinvite_refused" over Udp Tcp;
    a_re_invite_within_another_hears_500_with_retry_after:            "reinvite_twice" over Udp Tcp;
    an_update_holds_and_resumes:                                      "update_hold" over Udp Tcp;
    an_update_without_a_description_is_answered_without_one:          "update_bare" over Udp Tcp;
    an_info_brings_a_key_and_one_nobody_knows_hears_415:              "info_keys" over Udp Tcp;
    a_session_timer_is_agreed_and_refreshed_by_the_caller:            "session_accepted" over Udp Tcp;
    a_session_that_is_too_short_hears_422_with_min_se:                "session_too_short" over Udp Tcp;
    // sipp swallows the repeated 200 over UDP alone.
    an_ack_that_is_late_confirms_the_call_all_the_same:               "ack_late" over Udp;
    a_bye_before_the_ack_ends_the_call:                               "bye_early" over Udp Tcp;
    // Where the 200 comes in one piece with the 100, as it may over TCP, sipp takes it for a mistake.
    a_cancel_gets_487_or_comes_too_late:                              "cancel" over Udp;
    a_cancel_after_the_200_changes_nothing:                           "cancel_late" over Udp Tcp;
    a_cseq_below_the_last_hears_500:                                  "cseq_old" over Udp Tcp;
    a_bye_with_a_wrong_tag_hears_481_and_ends_nothing:                "tag_wrong" over Udp Tcp;
    the_same_invite_by_another_way_hears_482:                         "merged" over Udp Tcp;
    a_length_that_is_no_number_hears_400:                             "length_wrong" over Udp Tcp;
    another_version_hears_505:                                        "version_wrong" over Udp Tcp;
    a_method_nobody_knows_hears_501_with_allow:                       "method_unknown" over Udp Tcp;
    another_scheme_hears_416:                                         "scheme_unknown" over Udp Tcp;
    a_tel_uri_reaches_the_number:                                     "scheme_tel" over Udp Tcp;
    a_number_that_is_not_ours_hears_404:                              "number_unknown" over Udp Tcp;
    a_request_without_a_hop_left_hears_483:                           "hops_none" over Udp Tcp;
    an_extension_that_is_required_hears_420_with_unsupported:         "require_100rel" over Udp Tcp;
    a_body_that_is_no_description_hears_415_with_accept:              "body_unknown" over Udp Tcp;
    an_offer_without_a_codec_of_ours_hears_488:                       "codec_none" over Udp Tcp;
    options_tells_what_the_line_can_do:                               "options" over Udp Tcp Tls;
    a_name_in_gbk_costs_no_header:                                    "name_gbk" over Udp Tcp;
}

#[tokio::test]
async fn the_call_that_sipp_has_built_in_succeeds_twenty_times() {
    if missing() {
        return;
    }
    let house = open(&[]);
    for over in [Over::Udp, Over::Tcp] {
        let mut sipp = Sipp::new("uac", over, house.sip);
        sipp.calls = 20;
        sipp.run().await.assert_good(&house);
    }
}

#[tokio::test]
async fn a_call_over_ipv6_is_answered_there() {
    if missing() {
        return;
    }
    let six = SocketAddr::from((Ipv6Addr::LOCALHOST, free_for_both().port()));
    let house = House::with(&[("SPEECH__WORKERS", "0"), ("SIP__UDP", &six.to_string())]);
    for over in [Over::Udp, Over::Tcp] {
        Sipp::new("call", over, house.sip).run().await.assert_good(&house);
    }
}

#[tokio::test]
async fn what_sipp_says_is_recorded() {
    if missing() {
        return;
    }
    let house = open(&[]);
    let tone = sip_test::audio::tone(1_000.0, 0.5, 4 * 8_000);
    let said: Vec<u8> = tone.into_iter().map(|sample| sip_test::audio::Codec::Alaw.encode(sample)).collect();
    let sipp = Sipp::new("sound", Over::Udp, house.sip);
    std::fs::write(sipp.folder.path().join("said.alaw"), said).expect("a file");
    sipp.run().await.assert_good(&house);
    let call = house.sealed_call("13800000000").await;
    let wav = house.bytes(&format!("/api/v1/calls/{}/recording", call["id"].as_str().expect("an id"))).await;
    let file = house.folder().join("fetched.wav");
    std::fs::write(&file, wav).expect("a file");
    let (caller, _) = sip_test::audio::read_both(&file).expect("a recording");
    let middle = caller.get(8_000..16_000).expect("three seconds");
    assert!(sip_test::audio::tone_share(middle, 1_000.0) > 0.95, "the tone and nothing else");
}

#[tokio::test]
async fn one_call_more_than_the_line_takes_hears_503_with_retry_after() {
    if missing() {
        return;
    }
    let house = open(&[("LINE__MAX_CALLS", "1")]);
    // It has the only place until the house is gone: nobody acknowledges it, nobody hangs up.
    let first = Wire::open(house.sip).await.expect("a port");
    first.send(first.request("INVITE", &format!("sip:{LINE}@{}", house.sip))).await.expect("loopback");
    let answer = first.final_answer(PATIENCE).await.expect("an answer");
    assert_eq!(answer.status, Some(200));
    for over in [Over::Udp, Over::Tcp] {
        Sipp::new("full", over, house.sip).run().await.assert_good(&house);
    }
}

/// Side by side, as each is mostly waiting: 64 T1 without an ACK, half a session, the longest call.
#[tokio::test]
async fn the_line_ends_or_refreshes_a_call_by_itself_when_its_time_has_come() {
    if missing() {
        return;
    }
    let (house, short) = (open(&[]), open(&[("LINE__MAX_CALL_SECONDS", "10")]));
    let runs = [
        Sipp::new("ack_never", Over::Udp, house.sip),
        Sipp::new("session_refreshed", Over::Udp, house.sip),
        Sipp::new("session_refreshed", Over::Tcp, house.sip),
        Sipp::new("hung_up_by_the_line", Over::Udp, short.sip),
        Sipp::new("hung_up_by_the_line", Over::Tcp, short.sip),
    ];
    for played in join_all(runs.map(Sipp::run)).await {
        played.assert_good(&house);
    }
}

/// Plays a scenario against a line of its own, over each of these at once.
async fn play(scenario: &str, over: &[Over]) {
    if missing() {
        return;
    }
    let tls = TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a port");
    let house = if over.contains(&Over::Tls) { open(&[("SIP__TLS", &tls.to_string())]) } else { open(&[]) };
    let runs = join_all(over.iter().map(|over| async {
        let to = match over {
            Over::Tls => tunnel(tls, &house.folder().join("tls/sip/self-signed.crt")).await,
            Over::Udp | Over::Tcp => house.sip,
        };
        Sipp::new(scenario, *over, to).run().await
    }));
    for played in runs.await {
        played.assert_good(&house);
    }
}

/// A line over UDP and TCP that hears nobody's words.
pub fn open(settings: &[(&str, &str)]) -> House {
    let address = free_for_both().to_string();
    let all: Vec<_> = [("SPEECH__WORKERS", "0"), ("SIP__UDP", &address)].iter().chain(settings).copied().collect();
    House::with(&all)
}

/// Says so once for each test that cannot run.
pub fn missing() -> bool {
    let missing = std::process::Command::new("sipp").arg("-v").output().is_err();
    if missing {
        println!("not run: sipp is missing; the package is sip-tester (`./dev test` installs it)");
    }
    missing
}

/// One run of sipp.
pub struct Sipp {
    scenario: String,
    over: Over,
    to: SocketAddr,
    pub calls: u32,
    /// What it reads and writes.
    pub folder: TempDir,
}

/// How a run ended.
pub struct Played {
    what: String,
    calls: u32,
    output: Output,
    /// The last line of its statistics, by the names of their columns.
    figures: Vec<(String, String)>,
    /// What it did not expect.
    errors: String,
}

impl Sipp {
    /// * `scenario` — the name of a file of ours, or `uac`, which is built in.
    pub fn new(scenario: &str, over: Over, to: SocketAddr) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        Self { scenario: scenario.into(), over, to, calls: 1, folder }
    }

    /// Plays it to its end.
    pub async fn run(self) -> Played {
        let own = SocketAddr::new(self.to.ip(), free_for_both().port());
        let (host, port, calls) = (own.ip().to_string(), own.port().to_string(), self.calls.to_string());
        let mut command = Command::new("sipp");
        if self.scenario == "uac" {
            command.args(["-sn", "uac"]);
        } else {
            let file = format!("tests/sipp/{}.xml", self.scenario);
            command.arg("-sf").arg(std::path::absolute(file).expect("a working directory"));
        }
        command.args(["-t", if self.over == Over::Udp { "u1" } else { "t1" }]);
        command.args(["-i", &host, "-mi", &host, "-ci", "127.0.0.1", "-p", &port, "-bind_local", "-s", LINE]);
        command.args(["-m", &calls, "-r", "40", "-timeout", "120s", "-timeout_error", "-nostdin"]);
        command.args(["-trace_stat", "-stf", "figures", "-fd", "3600", "-trace_err", "-error_file", "errors"]);
        let running = command.arg(self.to.to_string()).current_dir(&self.folder).stdin(Stdio::null());
        let output = running.kill_on_drop(true).output().await.expect("sipp runs");
        let read = |name: &str| {
            let bytes = std::fs::read(self.folder.path().join(name)).unwrap_or_default();
            String::from_utf8_lossy(&bytes).into_owned()
        };
        let figures = read("figures");
        let columns = figures.lines().next().unwrap_or_default().split(';');
        let last = figures.lines().last().unwrap_or_default().split(';');
        let figures = columns.zip(last).map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let what = format!("{} over {:?}", self.scenario, self.over);
        Played { what, calls: self.calls, output, figures, errors: read("errors") }
    }
}

impl Played {
    /// Every call succeeded, none failed for any reason, and nothing came that belongs to no call.
    pub fn problem(&self) -> Option<String> {
        let figure = |name: &str| self.figures.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
        let calls = self.calls.to_string();
        let failed = self.figures.iter().filter(|(name, _)| name.starts_with("Failed") && name.ends_with("(C)"));
        let good = self.output.status.success()
            && figure("SuccessfulCall(C)") == Some(&calls)
            && failed.clone().all(|(_, value)| value == "0")
            && figure("OutOfCallMsgs(C)") == Some("0");
        let failed: Vec<_> = failed.filter(|(_, value)| value != "0").collect();
        (!good).then(|| format!("{}: {}, {failed:?}\n{}", self.what, self.output.status, self.errors))
    }

    pub fn assert_good(&self, house: &House) {
        if let Some(problem) = self.problem() {
            panic!("{problem}\n--- the line\n{}", house.log());
        }
    }
}

/// A TCP port whose connections go on over TLS; the line's own certificate is the one that is trusted.
async fn tunnel(to: SocketAddr, certificate: &Path) -> SocketAddr {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(certificate).expect("the line's certificate")).expect("a root");
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("TLS 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = TlsConnector::from(Arc::new(config));
    let listener = Listener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            let connector = connector.clone();
            tokio::spawn(async move {
                let far = TcpStream::connect(to).await.expect("the line listens");
                let name = ServerName::try_from("localhost").expect("a name");
                let mut far = connector.connect(name, far).await.expect("a handshake");
                // Whoever hangs up first ends it.
                let _ = copy_bidirectional(&mut near, &mut far).await;
            });
        }
    });
    address
}
