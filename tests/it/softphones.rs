//! Softphones that others wrote, as operators' seats: Debian's baresip and linphone. Our own for browsers is in `browser`.

use std::{
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    time::Duration,
};

use serde_json::json;
use sip_test::{
    CallReport, EndedBy,
    audio::{self, tone, tone_share},
};
use tempfile::TempDir;

use crate::house::House;

/// Samples a second.
pub const RATE: usize = 8_000;
/// What the caller, the operator at the softphone and a colleague say, Hz.
const TONES: [(&str, f64); 3] = [("caller", 500.0), ("operator", 700.0), ("colleague", 900.0)];
/// Long enough to be heard at the other end.
pub const WHILE: Duration = Duration::from_secs(3);

/// What a person does at a softphone that answers by itself.
pub trait Softphone: Sized {
    /// The program, and the package it comes in.
    const PROGRAM: (&str, &str);

    /// Starts it and registers as this extension.
    ///
    /// * `says` — the sound file that the operator says.
    fn start(folder: &Path, house: &House, extension: &str, secret: &str, says: &Path) -> Self;
    fn hold(&mut self);
    fn resume(&mut self);
    fn transfer(&mut self, to: &str);
    fn hang_up(&mut self);
    /// Ends it; what it heard stands in these files.
    fn quit(&mut self) -> Vec<PathBuf>;
}

struct Baresip {
    child: Child,
    folder: PathBuf,
    /// Where it takes commands.
    control: u16,
}

impl Softphone for Baresip {
    const PROGRAM: (&str, &str) = ("/usr/bin/baresip", "baresip-core");

    fn start(folder: &Path, house: &House, extension: &str, secret: &str, says: &Path) -> Self {
        let control = TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a free port").port();
        let modules = "/usr/lib/baresip/modules";
        let (says, at) = (says.display(), folder.display());
        let config = format!(
            "poll_method epoll\nsip_listen 127.0.0.1:0\nmodule_path {modules}\n\
             audio_source aufile,{says}\naudio_player aubridge,nowhere\naudio_alert aubridge,nowhere\n\
             ausrc_srate 8000\nauplay_srate 8000\nausrc_channels 1\nauplay_channels 1\naudio_txmode thread\n\
             module g711.so\nmodule aufile.so\nmodule aubridge.so\nmodule sndfile.so\nsnd_path {at}\n\
             module_tmp account.so\nmodule_app menu.so\nmodule_app ctrl_tcp.so\nctrl_tcp_listen 127.0.0.1:{control}\n"
        );
        let line = house.sip;
        let account = format!(
            "<sip:{extension}@{line}>;auth_user={extension};auth_pass={secret};answermode=auto;regint=60;\
             audio_codecs=PCMA,PCMU\n"
        );
        for (name, text) in [("config", config.as_str()), ("accounts", account.as_str()), ("contacts", "")] {
            fs::write(folder.join(name), text).expect("its settings");
        }
        let log = fs::File::create(folder.join("log")).expect("a log");
        let mut command = Command::new(Self::PROGRAM.0);
        command.arg("-f").arg(folder).stdin(Stdio::null()).stdout(log).stderr(Stdio::null());
        Self { child: command.spawn().expect("baresip starts"), folder: folder.into(), control }
    }

    fn hold(&mut self) {
        self.command("hold", "");
    }

    fn resume(&mut self) {
        self.command("resume", "");
    }

    fn transfer(&mut self, to: &str) {
        self.command("transfer", to);
    }

    fn hang_up(&mut self) {
        self.command("hangup", "");
    }

    fn quit(&mut self) -> Vec<PathBuf> {
        let files = fs::read_dir(&self.folder).expect("its folder").flatten().map(|file| file.path());
        files.filter(|path| path.to_string_lossy().ends_with("-dec.wav")).collect()
    }
}

impl Baresip {
    /// One command in a netstring; the answer says that it was read.
    fn command(&self, command: &str, params: &str) {
        let mut control = TcpStream::connect(("127.0.0.1", self.control)).expect("its control port");
        let message = json!({ "command": command, "params": params }).to_string();
        write!(control, "{}:{message},", message.len()).expect("a command");
        assert!(control.read(&mut [0; 512]).expect("an answer") > 0);
    }
}

impl Drop for Baresip {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct Linphone {
    child: Child,
    keys: ChildStdin,
    folder: PathBuf,
}

impl Softphone for Linphone {
    const PROGRAM: (&str, &str) = ("/usr/bin/linphonec", "linphone-cli");

    fn start(folder: &Path, house: &House, extension: &str, secret: &str, says: &Path) -> Self {
        // It makes its own files there, and none of the folders.
        for own in [".local/share/linphone", ".config/linphone"] {
            fs::create_dir_all(folder.join(own)).expect("a folder");
        }
        let port = crate::house::free_for_both().port();
        let rtp = "audio_rtp_port=40000-41000";
        let settings =
            format!("[sip]\nsip_port={port}\nsip_tcp_port=-1\nsip_tls_port=-1\nguess_hostname=0\n[rtp]\n{rtp}\n");
        fs::write(folder.join("settings"), settings).expect("its settings");
        let log = fs::File::create(folder.join("log")).expect("a log");
        let mut command = Command::new(Self::PROGRAM.0);
        command.args(["-a", "-c"]).arg(folder.join("settings")).env("HOME", folder);
        let mut child =
            command.stdin(Stdio::piped()).stdout(log).stderr(Stdio::null()).spawn().expect("linphonec starts");
        let keys = child.stdin.take().expect("its keys");
        let mut phone = Self { child, keys, folder: folder.into() };
        let (says, line) = (says.display(), house.sip);
        for typed in [
            "soundcard use files".to_owned(),
            format!("record {}", folder.join("heard.wav").display()),
            format!("play {says}"),
            format!("register sip:{extension}@{line} sip:{line} {secret}"),
        ] {
            phone.key_in(&typed);
        }
        phone
    }

    fn hold(&mut self) {
        self.key_in("pause");
    }

    fn resume(&mut self) {
        self.key_in("resume");
    }

    fn transfer(&mut self, to: &str) {
        self.key_in(&format!("transfer {to}"));
    }

    fn hang_up(&mut self) {
        self.key_in("terminate");
    }

    fn quit(&mut self) -> Vec<PathBuf> {
        // The file's header is written last.
        self.key_in("quit");
        self.child.wait().expect("it ends");
        vec![self.folder.join("heard.wav")]
    }
}

impl Linphone {
    fn key_in(&mut self, line: &str) {
        writeln!(self.keys, "{line}").expect("it reads its keys");
    }
}

impl Drop for Linphone {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Which tones there are, one after another; `""` for anything else that lasts.
pub fn tones(pcm: &[i16]) -> Vec<&'static str> {
    let mut seen = Vec::new();
    for piece in pcm.chunks_exact(RATE / 2) {
        let known = TONES.into_iter().find(|(_, hertz)| tone_share(piece, *hertz) > 0.8);
        let name = known.map_or("", |(name, _)| name);
        if seen.last() != Some(&name) {
            seen.push(name);
        }
    }
    seen
}

/// The samples of a mono file. What linphone writes ends without its header knowing how long it is.
pub fn samples(wav: &Path) -> Vec<i16> {
    const HEADER: usize = 44;
    let bytes = fs::read(wav).expect("what it heard");
    bytes[HEADER..].as_chunks().0.iter().map(|sample| i16::from_le_bytes(*sample)).collect()
}

pub fn says(name: &str) -> Vec<i16> {
    let (_, hertz) = TONES.into_iter().find(|(known, _)| *known == name).expect("somebody");
    tone(hertz, 8_000.0, 120 * RATE)
}

/// A caller who talks until the line hangs up.
pub fn dial(house: &House, from: &str) -> tokio::task::JoinHandle<CallReport> {
    let mut spec = house.citizen(from).playing(says("caller"));
    spec.hang_up_after = Some(Duration::from_secs(110));
    tokio::spawn(async move { sip_test::call(spec).await.expect("the phone works") })
}

/// Registers, answers, holds, resumes, transfers, and answers and hangs up once more.
pub async fn shift<P: Softphone>() {
    let (program, package) = P::PROGRAM;
    if !Path::new(program).exists() {
        println!("not run: {program} is missing; `./dev test` installs {package}");
        return;
    }
    let house = House::with(&[("SPEECH__WORKERS", "0"), ("ACD__WRAP_UP_SECONDS", "0")]);
    let folder: TempDir = tempfile::tempdir().expect("a folder");
    let said = folder.path().join("operator.wav");
    audio::write(&said, &says("operator")).expect("a sound file");
    let secret = house.operator("8001");
    let mut phone = P::start(folder.path(), &house, "8001", &secret, &said);
    house.seat_is("8001", "idle").await;

    let caller = dial(&house, "13806352219");
    house.seat_is("8001", "talking").await;
    tokio::time::sleep(WHILE).await;
    phone.hold();
    tokio::time::sleep(WHILE).await;
    phone.resume();
    tokio::time::sleep(WHILE).await;
    let mut colleague = house
        .seat("8002", |spec| {
            spec.play = says("colleague");
            spec.hang_up_after = Some(WHILE);
        })
        .await;
    phone.transfer(&format!("sip:8002@{}", house.sip));
    let report = caller.await.expect("the phone runs");
    assert_eq!(report.ended_by, EndedBy::Far, "the colleague hung up");
    let heard = tones(&report.heard);
    let in_order = heard.iter().filter(|tone| !tone.is_empty()).copied().collect::<Vec<_>>();
    assert_eq!(in_order, ["operator", "operator", "colleague"], "{heard:?}\n{}", house.log());
    let taken = colleague.next_call().await.expect("a call");
    assert!(tones(&taken.heard).contains(&"caller"));
    let row = house.sealed_call("13806352219").await;
    assert_eq!((row["seat"].as_str(), row["end_reason"].as_str()), (Some("8002"), Some("line_hung_up")));

    // The colleague goes, so that the next caller reaches the softphone for certain.
    colleague.unregister().await.expect("it leaves");
    house.seat_is("8001", "idle").await;
    let caller = dial(&house, "13806352220");
    house.seat_is("8001", "talking").await;
    tokio::time::sleep(WHILE).await;
    phone.hang_up();
    assert_eq!(caller.await.expect("the phone runs").ended_by, EndedBy::Far);
    let row = house.sealed_call("13806352220").await;
    assert_eq!((row["seat"].as_str(), row["end_reason"].as_str()), (Some("8001"), Some("line_hung_up")));
    let own: Vec<_> = phone.quit().iter().flat_map(|file| samples(file)).collect();
    assert!(tones(&own).contains(&"caller"), "{program} heard the caller: {:?}", tones(&own));
}

#[tokio::test]
async fn baresip_as_a_seat_answers_holds_resumes_transfers_and_hangs_up() {
    shift::<Baresip>().await;
}

#[tokio::test]
async fn linphone_as_a_seat_answers_holds_resumes_transfers_and_hangs_up() {
    shift::<Linphone>().await;
}
