//! The Debian package: unpacked into a throw-away root and started as its unit starts it.

use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::{fs::MetadataExt, net::UnixDatagram},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use tempfile::TempDir;

use crate::house::{HOTLINE, PATIENCE};

const UNIT: &str = "usr/lib/systemd/system/hotline.service";

/// The unpacked package; nothing where none was built.
struct Package {
    file: PathBuf,
    root: TempDir,
}

impl Package {
    fn unpack() -> Option<Self> {
        let folder = Path::new(HOTLINE).parent()?.parent()?.join("debian");
        let files = fs::read_dir(&folder).into_iter().flatten().flatten().map(|entry| entry.path());
        let file = files.filter(|file| file.extension().is_some_and(|kind| kind == "deb")).max();
        let Some(file) = file else {
            println!("not run: the Debian package; there is none in {} (`./dev deb` builds it)", folder.display());
            return None;
        };
        let root = tempfile::tempdir().expect("a folder");
        said(Command::new("dpkg-deb").arg("--extract").arg(&file).arg(root.path()));
        Some(Self { file, root })
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root.path().join(path.trim_start_matches('/'))
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// The unit's values of a key.
    fn unit(&self, key: &str) -> Vec<String> {
        let begins = format!("{key}=");
        self.read(UNIT).lines().filter_map(|line| line.strip_prefix(&begins)).map(str::to_owned).collect()
    }

    /// The unit's own command with the paths of this root, and where it tells how far it is.
    fn start(&self) -> (Child, UnixDatagram) {
        let file = self.path("etc/hotline/hotline.toml");
        let mut settings = fs::read_to_string(&file).expect("settings");
        for place in ["/usr/share/hotline", "/var/lib/hotline"] {
            settings = settings.replace(place, &self.path(place).display().to_string());
        }
        fs::write(&file, settings).expect("settings for this root");
        let state = self.path("var/lib").join(&self.unit("StateDirectory")[0]);
        fs::create_dir_all(&state).expect("the state folder");
        let told = self.root.path().join("notify");
        let socket = UnixDatagram::bind(&told).expect("a socket");
        let start = &self.unit("ExecStart")[0];
        let mut words = start
            .split_whitespace()
            .map(|word| if word.starts_with('/') { self.path(word).display().to_string() } else { word.to_owned() });
        let log = fs::File::create(self.root.path().join("log")).expect("a log");
        let mut command = self.without_privileges(&words.next().expect("a program"));
        let child = command
            .args(words)
            .current_dir(self.path(&self.unit("WorkingDirectory")[0]))
            .env_clear()
            .env("NOTIFY_SOCKET", &told)
            // Beside other lines on this machine.
            .envs([("HOTLINE__HTTP__LISTEN", "127.0.0.1:0"), ("HOTLINE__SIP__UDP", "127.0.0.1:0")])
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("it starts");
        (child, socket)
    }

    /// As root: what the unit's user may do, and not a bit more.
    fn without_privileges(&self, program: &str) -> Command {
        if fs::metadata("/proc/self").expect("this process").uid() != 0 {
            return Command::new(program);
        }
        said(Command::new("chown").args(["-R", "nobody:nogroup"]).arg(self.root.path()));
        let mut command = Command::new("/usr/bin/setpriv");
        command.args(["--reuid=nobody", "--regid=nogroup", "--clear-groups", "--no-new-privs", "--bounding-set=-all"]);
        command.arg(program);
        command
    }

    fn log(&self) -> String {
        fs::read_to_string(self.root.path().join("log")).unwrap_or_default()
    }
}

/// What a command prints; it must succeed.
fn said(command: &mut Command) -> String {
    let done = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = String::from_utf8_lossy(&done.stdout).into_owned() + &String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{command:?}: {text}");
    text
}

#[test]
fn the_package_says_what_it_needs_and_brings_what_it_promises() {
    let Some(package) = Package::unpack() else { return };
    let info = said(Command::new("dpkg-deb").arg("--info").arg(&package.file));
    for line in ["Package: hotline", "Architecture: amd64", "Section: comm"] {
        assert!(info.contains(line), "{line}: {info}");
    }
    assert!(info.contains(&format!("Version: {}", env!("CARGO_PKG_VERSION"))), "{info}");
    let depends = info.lines().find(|line| line.contains("Depends:")).expect("dependencies");
    assert!(["libc6", "libstdc++6", "adduser"].iter().all(|name| depends.contains(name)), "{depends}");
    let control = package.root.path().join("control");
    said(Command::new("dpkg-deb").arg("--control").arg(&package.file).arg(&control));
    let kept = fs::read_to_string(control.join("conffiles")).expect("conffiles");
    assert_eq!(kept.lines().collect::<Vec<_>>(), ["/etc/hotline/hotline.toml", "/etc/default/hotline"]);
    for script in ["postinst", "prerm", "postrm"] {
        said(Command::new("sh").arg("-n").arg(control.join(script)));
    }
    for file in [
        "usr/bin/hotline",
        "usr/share/hotline/demo-city.json",
        "usr/share/hotline/prompts/welcome.wav",
        "usr/share/hotline/classifier/model.bin",
        "usr/share/doc/hotline/OPERATIONS.md",
        "usr/share/doc/hotline/copyright",
        UNIT,
    ] {
        assert!(package.path(file).is_file(), "{file}");
    }
}

#[test]
fn the_unit_is_sound_gives_no_privilege_and_waits_longer_than_the_line_needs() {
    let Some(package) = Package::unpack() else { return };
    for (key, value) in [("NoNewPrivileges", "yes"), ("ProtectSystem", "strict"), ("CapabilityBoundingSet", "")] {
        assert_eq!(package.unit(key), [value], "{key}");
    }
    assert_eq!(package.unit("User"), ["hotline"]);
    let patience: u64 = package.unit("TimeoutStopSec")[0].parse().expect("seconds");
    assert!(patience > 75 + 10, "calls may end within 75 s, answers within 10 s: {patience}");
    let Ok(analyze) = Command::new("systemd-analyze").arg("--version").output() else {
        return println!("not run: systemd-analyze verify; there is no systemd-analyze");
    };
    assert!(analyze.status.success());
    // With the units of this machine around it, and the program where this root has it.
    let unit = package.path("hotline.service");
    let program = package.path("usr/bin/hotline").display().to_string();
    fs::write(&unit, package.read(UNIT).replace("=/usr/bin/hotline", &format!("={program}"))).expect("a unit");
    let verdict = said(Command::new("systemd-analyze").arg("verify").arg(&unit));
    let about_us: Vec<_> = verdict.lines().filter(|line| line.contains("hotline")).collect();
    assert_eq!(about_us, Vec::<&str>::new());
}

#[tokio::test]
async fn the_packaged_line_starts_as_its_unit_says_reloads_and_ends_cleanly() {
    let Some(package) = Package::unpack() else { return };
    let (mut child, told) = package.start();
    told.set_read_timeout(Some(PATIENCE)).expect("a limit");
    let tell = || {
        let mut word = [0; 64];
        let length = told.recv(&mut word).unwrap_or_else(|error| panic!("{error}\n{}", package.log()));
        String::from_utf8_lossy(&word[..length]).into_owned()
    };
    let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines().map_while(Result::ok);
    let ready = lines.find(|line| line.starts_with("ready"));
    let ready = ready.unwrap_or_else(|| panic!("it did not start:\n{}", package.log()));
    assert_eq!(tell(), "READY=1");
    let http = ready.split_whitespace().find_map(|word| word.strip_prefix("http=")).expect("an address");
    let _ = rustls::crypto::ring::default_provider().install_default();
    let answer = reqwest::get(format!("http://{http}/readyz")).await.expect("an answer");
    assert_eq!(answer.status(), 200, "{}", answer.text().await.unwrap_or_default());
    assert!(package.path("var/lib/hotline/hotline.db").is_file(), "state lies where the unit says");

    let reload = package.unit("ExecReload")[0].replace("$MAINPID", &child.id().to_string());
    said(Command::new("sh").args(["-c", &reload]));
    let reloaded = async {
        while !package.log().contains("reloaded") {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, reloaded).await.unwrap_or_else(|_| panic!("no reload:\n{}", package.log()));

    said(Command::new("kill").args(["-TERM", &child.id().to_string()]));
    assert_eq!(tell(), "STOPPING=1");
    assert_eq!(child.wait().expect("it ends").code(), Some(0), "{}", package.log());
}
