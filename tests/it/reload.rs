//! SIGHUP: announcements, certificate and log filter change while the line runs; a mistake changes nothing. And where
//! the first certificate comes from.

use std::{
    fs,
    path::{Path, PathBuf},
};

use sip_test::{
    CallReport,
    audio::{self, Side},
};
use tempfile::tempdir;

use crate::house::{House, PATIENCE};

/// A line whose settings file can be written anew, with a certificate and announcements of its own.
struct Changing {
    house: House,
    certificates: [Vec<u8>; 2],
}

impl Changing {
    fn open() -> Self {
        let mut house = House::closed(tempdir().expect("a folder"), &[("SPEECH__WORKERS", "0")]);
        house.unset("RTP__PORTS");
        let at = |name: &str| house.folder().join(name);
        let certificates = ["a", "b"].map(|name| pair(&at(name)));
        for (folder, welcome) in [("first", "welcome"), ("second", "hold")] {
            let folder = at(folder);
            fs::create_dir(&folder).expect("a folder");
            for file in fs::read_dir("config/prompts").expect("announcements").flatten() {
                fs::copy(file.path(), folder.join(file.file_name())).expect("a copy");
            }
            fs::copy(prompt(welcome), folder.join("welcome.wav")).expect("a copy");
        }
        let mut changing = Self { house, certificates };
        changing.write("first", "a", "info", "30000-39999");
        changing.house.start();
        changing
    }

    fn write(&mut self, prompts: &str, certificate: &str, filter: &str, ports: &str) {
        let at = |name: &str| self.house.folder().join(name).display().to_string();
        let text = format!(
            "[http]\ntls = \"{certificate}.crt:{certificate}.key\"\n[line]\nprompts = \"{}\"\n[log]\nfilter = \"{filter}\"\n\
             [rtp]\nports = \"{ports}\"\n",
            at(prompts),
            certificate = at(certificate),
        );
        self.house.write_file(&text);
    }

    /// Sends SIGHUP and waits until the log has one more line that says so.
    async fn hang_up(&self, line: &str) {
        let count = || self.house.log().matches(line).count();
        let before = count();
        self.house.signal("HUP");
        self.house.until(line, async || (count() > before).then_some(())).await;
    }

    /// Whether the line shows this certificate.
    async fn shows(&self, certificate: usize) -> bool {
        trusts(&self.certificates[certificate], self.house.http.port()).await
    }

    async fn dial(&self) -> CallReport {
        let mut spec = self.house.citizen("13800000000");
        spec.hang_up_after = Some(std::time::Duration::from_secs(2));
        sip_test::call(spec).await.expect("a call")
    }
}

/// Whether somebody who knows this certificate alone trusts what listens on 127.0.0.1.
async fn trusts(pem: &[u8], port: u16) -> bool {
    let root = reqwest::Certificate::from_pem(pem).expect("a certificate");
    let client = reqwest::Client::builder().tls_certs_only([root]).timeout(PATIENCE).build().expect("a client");
    let answer = client.get(format!("https://127.0.0.1:{port}/healthz")).send().await;
    answer.is_ok_and(|answer| answer.status().is_success())
}

fn prompt(name: &str) -> PathBuf {
    Path::new("config/prompts").join(name).with_extension("wav")
}

/// Makes `PATH.crt` and `PATH.key` for 127.0.0.1.
fn pair(path: &Path) -> Vec<u8> {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate");
    fs::write(path.with_extension("crt"), made.cert.pem()).expect("a file");
    fs::write(path.with_extension("key"), made.signing_key.serialize_pem()).expect("a file");
    made.cert.pem().into_bytes()
}

/// Whether this announcement's first second is what was heard.
fn says(report: &CallReport, name: &str) -> bool {
    let said = audio::read(&prompt(name), Side::Left).expect("an announcement");
    audio::align(&said[..8_000], &report.heard, 8_000).correlation > 0.9
}

#[tokio::test]
async fn a_hang_up_signal_changes_announcements_certificate_and_log_filter_of_a_running_line() {
    let mut line = Changing::open();
    let first = line.dial().await;
    assert!(says(&first, "welcome") && !says(&first, "hold"));
    assert!(line.shows(0).await && !line.shows(1).await);
    assert!(!line.house.log().contains("DEBUG"));

    line.write("second", "b", "info,hotline=debug", "31000-39999");
    line.hang_up("reloaded").await;
    let second = line.dial().await;
    assert!(says(&second, "hold") && !says(&second, "welcome"));
    assert!(line.shows(1).await && !line.shows(0).await);
    let log = line.house.log();
    assert!(log.contains("DEBUG"), "{log}");
    let waits = log.lines().find(|line| line.contains("wait for the next start")).expect("a warning");
    assert!(waits.contains("rtp.ports") && !waits.contains("log.filter"), "{waits}");
    assert_eq!(line.house.stop(), Some(0));
}

#[tokio::test]
async fn a_mistake_in_the_file_keeps_everything_as_it_was_and_every_mistake_is_logged() {
    let mut line = Changing::open();
    // The key does not belong to the certificate, and there is no welcome in that folder.
    fs::copy(line.house.folder().join("b.key"), line.house.folder().join("a.key")).expect("a copy");
    fs::remove_file(line.house.folder().join("second/welcome.wav")).expect("it was there");
    line.write("second", "a", "info,hotline=debug", "30000-39999");
    line.hang_up("not reloaded").await;
    let log = line.house.log();
    assert!(log.contains("second/welcome.wav") && log.contains("a.key"), "{log}");

    // These do not even become settings.
    line.write("nowhere", "a", "hotline=[", "9");
    line.hang_up("rtp.ports").await;
    let log = line.house.log();
    assert!(["line.prompts", "log.filter", "rtp.ports"].iter().all(|key| log.contains(key)), "{log}");

    assert!(says(&line.dial().await, "welcome"), "the old announcements");
    assert!(line.shows(0).await, "the old certificate");
    assert!(!line.house.log().contains("DEBUG"), "the old filter");
    assert_eq!(line.house.stop(), Some(0));
}

#[tokio::test]
async fn a_line_that_others_reach_makes_its_certificate_at_the_first_start_and_keeps_it() {
    let settings = [("SPEECH__WORKERS", "0"), ("HTTP__LISTEN", "0.0.0.0:0")];
    let mut house = House::closed(tempdir().expect("a folder"), &settings);
    house.start();
    let made = fs::read(house.folder().join("tls/self-signed.crt")).expect("a certificate");
    assert!(trusts(&made, house.http.port()).await);
    assert_eq!(house.stop(), Some(0));
    house.start();
    assert!(trusts(&made, house.http.port()).await);
}
