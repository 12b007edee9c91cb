//! Our telephone for browsers, in a headless Chromium with a file for a microphone.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    time::Duration,
};

use sip_test::audio;
use tempfile::TempDir;

use crate::{
    house::House,
    softphones::{RATE, Softphone, WHILE, dial, samples, says, shift, tones},
};

/// What `npm run build` makes.
const PAGE: &str = "web/dist/phone.js";
/// The line's address for a browser in a namespace of its own.
const LINE: &str = "10.213.0.1";

struct Browser {
    child: Child,
    commands: ChildStdin,
    folder: PathBuf,
}

impl Softphone for Browser {
    const PROGRAM: (&str, &str) = ("/usr/bin/chromium", "chromium");

    fn start(folder: &Path, house: &House, extension: &str, secret: &str, says: &Path) -> Self {
        Self::begin(Command::new("node"), folder, house, extension, secret, says)
    }

    fn hold(&mut self) {
        self.command("hold");
    }

    fn resume(&mut self) {
        self.command("resume");
    }

    fn transfer(&mut self, to: &str) {
        let extension = to.trim_start_matches("sip:").split('@').next().expect("an extension");
        self.command(&format!("transfer {extension}"));
    }

    fn hang_up(&mut self) {
        self.command("hangUp");
    }

    fn quit(&mut self) -> Vec<PathBuf> {
        self.command("quit");
        self.child.wait().expect("it ends");
        vec![self.folder.join("heard.wav")]
    }
}

impl Browser {
    /// * `node` — what runs scripts.
    fn begin(mut node: Command, folder: &Path, house: &House, extension: &str, secret: &str, says: &Path) -> Self {
        let log = fs::File::create(folder.join("log")).expect("a log");
        node.arg("web/test/seat.mjs").arg(format!("http://{}", house.http));
        node.args([extension, &house.sip.to_string(), secret]).arg(says).arg(folder.join("heard.wav"));
        node.stdin(Stdio::piped()).stdout(log.try_clone().expect("a log")).stderr(log);
        let mut child = node.spawn().expect("node starts");
        let commands = child.stdin.take().expect("its commands");
        Self { child, commands, folder: folder.into() }
    }

    fn command(&mut self, line: &str) {
        writeln!(self.commands, "{line}").expect("it reads its commands");
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("{}", fs::read_to_string(self.folder.join("log")).unwrap_or_default());
        }
        // Its end is the browser's too.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A network namespace with two ways to the line.
struct Networks {
    name: String,
}

impl Networks {
    /// * returns — nothing where this is not allowed.
    fn make() -> Option<Self> {
        let networks = Self { name: format!("hotline{}", std::process::id()) };
        let name = &networks.name;
        let ip = |line: &str| {
            Command::new("ip").args(line.split(' ')).stderr(Stdio::null()).status().is_ok_and(|done| done.success())
        };
        let inside = |line: &str| ip(&format!("netns exec {name} ip {line}"));
        if !ip(&format!("netns add {name}")) {
            return None;
        }
        let mut made = ip(&format!("addr add {LINE}/32 dev lo")) && inside("link set lo up");
        for (way, net) in [("0", "10.211.0"), ("1", "10.212.0")] {
            let outer = format!("hl{way}x{}", std::process::id() % 100_000);
            made = made
                && ip(&format!("link add {outer} type veth peer name eth{way} netns {name}"))
                && ip(&format!("addr add {net}.1/24 dev {outer}"))
                && ip(&format!("link set {outer} up"))
                && inside(&format!("addr add {net}.2/24 dev eth{way}"))
                && inside(&format!("link set eth{way} up"))
                && inside(&format!("route add default via {net}.1 metric 1{way}"));
        }
        made.then_some(networks)
    }

    fn node(&self) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name, "node"]);
        command
    }

    /// The first way, which is the one in use, is gone.
    fn lose(&self) {
        let done = Command::new("ip").args(["netns", "exec", &self.name, "ip", "link", "set", "eth0", "down"]).status();
        assert!(done.expect("ip").success());
    }
}

impl Drop for Networks {
    fn drop(&mut self) {
        // The other ends of its cables go with it.
        for line in [format!("netns del {}", self.name), format!("addr del {LINE}/32 dev lo")] {
            let _ = Command::new("ip").args(line.split(' ')).stderr(Stdio::null()).status();
        }
    }
}

/// Whether there are a browser and a page.
fn is_there() -> bool {
    let missing = [Browser::PROGRAM.0, PAGE].into_iter().find(|it| !Path::new(it).exists());
    if let Some(missing) = missing {
        println!("not run: {missing} is missing; `./dev test` brings it");
    }
    missing.is_none()
}

#[tokio::test]
async fn chromium_as_a_seat_answers_holds_resumes_transfers_and_hangs_up() {
    if is_there() {
        shift::<Browser>().await;
    }
}

#[tokio::test]
async fn a_browser_that_loses_its_network_goes_on_talking_over_the_other() {
    if !is_there() {
        return;
    }
    let Some(networks) = Networks::make() else {
        println!("not run: network namespaces need root, `ip` and a kernel that has them");
        return;
    };
    let anywhere = format!("{LINE}:0");
    let house = House::with(&[
        ("SPEECH__WORKERS", "0"),
        ("HTTP__LISTEN", &anywhere),
        ("HTTP__TLS", "off"),
        ("SIP__UDP", &anywhere),
        ("SIP__TCP", "off"),
    ]);
    let folder: TempDir = tempfile::tempdir().expect("a folder");
    let said = folder.path().join("operator.wav");
    audio::write(&said, &says("operator")).expect("a sound file");
    let secret = house.operator("8001");
    let mut phone = Browser::begin(networks.node(), folder.path(), &house, "8001", &secret, &said);
    house.seat_is("8001", "idle").await;

    let caller = dial(&house, "13806352219");
    house.seat_is("8001", "talking").await;
    tokio::time::sleep(WHILE).await;
    networks.lose();
    // A browser notices within some seconds, and the line hears nothing meanwhile.
    tokio::time::sleep(Duration::from_secs(20)).await;
    let heard = phone.quit();
    let report = caller.await.expect("the phone runs");
    let theirs = samples(&heard[0]);
    let (last, whole) = (tones(&theirs[theirs.len() - 3 * RATE..]), tones(&report.heard));
    println!("the caller heard {whole:?}; the browser heard {:?}", tones(&theirs));
    assert_eq!(last, ["caller"], "the browser hears the caller to the end");
    // Three seconds before the loss, and twenty after it without those that the browser took to notice.
    let halves = report.heard.chunks_exact(RATE / 2).filter(|half| tones(half) == ["operator"]).count();
    assert!(halves > 2 * (3 + 6), "the operator is heard again after the loss: {halves} halves of seconds, {whole:?}");
}
