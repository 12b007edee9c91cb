//! A whole line in a folder of its own: the real program as a child process on free ports, with the real model.

use std::{
    ffi::OsStr,
    fs,
    io::{BufRead, BufReader},
    net::{SocketAddr, TcpListener, UdpSocket},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::OnceLock,
    time::Duration,
};

use serde_json::Value;
use sip_test::{
    CallReport, CallSpec,
    audio::{self, Side},
};
use sqlx::Connection;
use tempfile::TempDir;

/// Long enough for the slowest machine; a test that needs it has failed.
pub const PATIENCE: Duration = Duration::from_mins(5);

/// The program under test.
pub const HOTLINE: &str = env!("CARGO_BIN_EXE_hotline");

/// One running line.
pub struct House {
    folder: TempDir,
    settings: Vec<(String, String)>,
    /// Beside the settings: the zone, a library to be loaded first.
    environment: Vec<(String, String)>,
    file: Option<PathBuf>,
    /// What each process is (`all`, or `edge`, `api`, `worker` side by side).
    roles: Vec<&'static str>,
    children: Vec<Child>,
    pub http: SocketAddr,
    pub sip: SocketAddr,
    token: String,
    /// What the last start printed before it was ready.
    pub said: Vec<String>,
}

/// Installs the models once per machine; without a package index this says what to do.
pub fn models() -> PathBuf {
    static INSTALLED: OnceLock<PathBuf> = OnceLock::new();
    INSTALLED
        .get_or_init(|| {
            let folder = std::env::var_os("HOTLINE__SPEECH__MODELS").unwrap_or_else(|| "var/models".into());
            // The recogniser brings the voice detector with it.
            let done = Command::new(HOTLINE).args(["model", "install", "base"]).output().expect("hotline runs");
            assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
            fs::canonicalize(folder).expect("the models' folder")
        })
        .clone()
}

/// An address whose port nobody has, neither over UDP nor over TCP.
pub fn free_for_both() -> SocketAddr {
    loop {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
        let address = socket.local_addr().expect("its address");
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}

/// What sets a process's clock: a library that is loaded before the C library.
pub fn faketime() -> Option<PathBuf> {
    let folders = fs::read_dir("/usr/lib").into_iter().flatten().flatten().map(|entry| entry.path());
    let library = folders.map(|folder| folder.join("faketime/libfaketimeMT.so.1")).find(|library| library.exists());
    if library.is_none() {
        println!("not run: other clocks; the package faketime is missing (`./dev test` installs it)");
    }
    library
}

/// A schema of its own in the tests' PostgreSQL, as an address; nothing where there is none.
pub async fn postgres() -> Option<String> {
    let Ok(url) = std::env::var("HOTLINE_TEST_POSTGRES") else {
        println!("not run: PostgreSQL; HOTLINE_TEST_POSTGRES names none (`./dev test` starts one)");
        return None;
    };
    let name = format!("it_{}", hotline::clock::Clock::system().uuid().simple());
    let mut connection = sqlx::PgConnection::connect(&url).await.expect("the tests' PostgreSQL");
    let make = sqlx::raw_sql(sqlx::AssertSqlSafe(format!("CREATE SCHEMA {name}")));
    make.execute(&mut connection).await.expect("a schema");
    let sign = if url.contains('?') { '&' } else { '?' };
    Some(format!("{url}{sign}options[search_path]={name}"))
}

/// Memory a process has in use, KiB.
pub fn resident(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("its status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
    line.split_whitespace().next().and_then(|kib| kib.parse().ok()).expect("kB")
}

impl House {
    /// A fresh line with the real model.
    pub fn open() -> Self {
        Self::with(&[])
    }

    /// A fresh line, some settings changed (`("SPEECH__WORKERS", "0")`).
    pub fn with(settings: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut house = Self::closed(folder, settings);
        house.start();
        house
    }

    /// The folder and settings of a line that has not started.
    pub fn closed(folder: TempDir, settings: &[(&str, &str)]) -> Self {
        // The client speaks TLS with whichever provider the process names; only the first naming counts.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let path = folder.path().display().to_string();
        let all: Vec<(String, String)> = vec![
            ("HTTP__LISTEN".into(), nowhere.to_string()),
            ("HTTP__TLS_FOLDER".into(), format!("{path}/tls")),
            ("SIP__UDP".into(), nowhere.to_string()),
            ("RTP__PORTS".into(), "30000-39999".into()),
            ("DATABASE__URL".into(), format!("sqlite://{path}/hotline.db")),
            ("STORAGE__URL".into(), format!("file://{path}/recordings")),
            ("STORAGE__SPOOL".into(), format!("{path}/spool")),
            ("VAULT__KEYS".into(), format!("{path}/keys")),
            ("SPEECH__MODELS".into(), models().display().to_string()),
        ];
        let mut house = Self {
            folder,
            settings: all,
            environment: Vec::new(),
            file: None,
            roles: vec!["all"],
            children: Vec::new(),
            http: nowhere,
            sip: nowhere,
            token: String::new(),
            said: Vec::new(),
        };
        for (key, value) in settings {
            house.set(key, value);
        }
        house
    }

    /// Changes a setting for the next start.
    pub fn set(&mut self, key: &str, value: &str) {
        self.settings.retain(|(known, _)| known != key);
        self.settings.push((key.into(), value.into()));
    }

    /// Puts something that is no setting into the environment, from the next start on.
    pub fn surround(&mut self, key: &str, value: &str) {
        self.environment.retain(|(known, _)| known != key);
        self.environment.push((key.into(), value.into()));
    }

    /// Leaves a setting to the file or the default.
    pub fn unset(&mut self, key: &str) {
        self.settings.retain(|(known, _)| known != key);
    }

    /// Asks as the tester of another line, whose people this one has.
    pub fn known_by(&mut self, other: &Self) {
        self.token.clone_from(&other.token);
    }

    /// Writes a settings file of this line's own; what [`House::set`] says goes before it.
    pub fn write_file(&mut self, text: &str) {
        let file = self.folder().join("hotline.toml");
        fs::write(&file, text).expect("a settings file");
        self.file = Some(file);
    }

    /// Where everything of this line lies.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// `hotline` with this line's settings.
    pub fn command<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Command {
        let mut command = Command::new(HOTLINE);
        command.args(arguments);
        if let Some(file) = &self.file {
            command.arg("--config").arg(file);
        }
        for (key, value) in &self.settings {
            command.env(format!("HOTLINE__{key}"), value);
        }
        command.envs(self.environment.iter().cloned());
        command
    }

    /// Runs `hotline` to its end.
    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("hotline runs")
    }

    /// Splits the line over processes from the next start on.
    pub fn split(&mut self, roles: &[&'static str]) {
        self.roles = roles.to_vec();
    }

    /// Starts the line and waits until it says that it is ready.
    pub fn start(&mut self) {
        self.said.clear();
        for role in self.roles.clone() {
            self.start_one(role);
        }
        if self.token.is_empty() {
            self.token = self.make_token(&["agent", "dispatcher", "shift_leader"]);
        }
    }

    fn start_one(&mut self, role: &str) {
        let log = fs::File::options().create(true).append(true).open(self.folder().join("log")).expect("a log");
        let mut command = self.command(&["serve", "--role", role]);
        let mut child = command.stdout(Stdio::piped()).stderr(log).spawn().expect("hotline starts");
        let said = BufReader::new(child.stdout.take().expect("its output"));
        self.children.push(child);
        let mut ready = None;
        for next in said.lines().map_while(Result::ok) {
            if next.starts_with("ready") {
                ready = Some(next);
                break;
            }
            self.said.push(next);
        }
        let Some(line) = ready else { panic!("the line did not start: {}", self.log()) };
        let address = |name: &str| -> Option<SocketAddr> {
            line.split_whitespace().find_map(|word| word.strip_prefix(name)?.parse().ok())
        };
        self.http = address("http=").unwrap_or(self.http);
        self.sip = address("sip=").unwrap_or(self.sip);
    }

    /// What the line has logged so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder().join("log")).unwrap_or_default()
    }

    /// Its process id; the first one's where it is split.
    pub fn pid(&self) -> u32 {
        self.children.first().expect("the line runs").id()
    }

    /// Memory it has in use, KiB.
    pub fn resident(&self) -> u64 {
        resident(self.pid())
    }

    /// Files and sockets it has open.
    pub fn handles(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.pid())).expect("its open files").count()
    }

    /// Ends it as a power cut would.
    pub fn kill(&mut self) {
        for mut child in self.children.drain(..) {
            child.kill().expect("it can be killed");
            child.wait().expect("it ends");
        }
    }

    /// Asks it to end, waits, and gives its exit code; the worst one where it is split.
    pub fn stop(&mut self) -> Option<i32> {
        self.signal("TERM");
        let codes: Option<Vec<_>> =
            self.children.drain(..).map(|mut child| child.wait().expect("it ends").code()).collect();
        codes?.into_iter().max()
    }

    /// Sends it a signal, to each process where it is split.
    pub fn signal(&self, name: &str) {
        for child in &self.children {
            let sent = Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]).status();
            assert!(sent.expect("kill runs").success(), "SIG{name}");
        }
    }

    fn make_token(&self, roles: &[&str]) -> String {
        let mut arguments = vec!["user", "add", "tester"];
        for role in roles {
            arguments.extend(["--role", role]);
        }
        let added = self.run(&arguments);
        assert!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
        let token = self.run(&["user", "token", "tester"]);
        assert!(token.status.success(), "{}", String::from_utf8_lossy(&token.stderr));
        String::from_utf8_lossy(&token.stdout).split_whitespace().last().expect("a token").to_owned()
    }

    /// One request; panics with the answer's text when there is no JSON in it.
    pub async fn ask(&self, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        let answer = self.send(method, path, body).await;
        let status = answer.status().as_u16();
        let text = answer.text().await.expect("a body");
        let json = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {status} {error}: {text}"));
        (status, json)
    }

    /// One request, the answer as it came.
    pub async fn send(&self, method: &str, path: &str, body: Option<Value>) -> reqwest::Response {
        let method = reqwest::Method::from_bytes(method.as_bytes()).expect("a method");
        let mut request = reqwest::Client::new()
            .request(method, format!("http://{}{path}", self.http))
            .bearer_auth(&self.token)
            .timeout(PATIENCE);
        if let Some(body) = body {
            request = request.json(&body);
        }
        request.send().await.unwrap_or_else(|error| panic!("{path}: {error}\n{}", self.log()))
    }

    /// The JSON of a `GET` that must succeed.
    pub async fn get(&self, path: &str) -> Value {
        let (status, body) = self.ask("GET", path, None).await;
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    /// The bytes of a `GET` that must succeed.
    pub async fn bytes(&self, path: &str) -> Vec<u8> {
        let answer = self.send("GET", path, None).await;
        assert!(answer.status().is_success(), "{path}: {}", answer.status());
        answer.bytes().await.expect("a body").to_vec()
    }

    /// Looks again and again until `look` finds something.
    pub async fn until<T>(&self, what: &str, look: impl AsyncFnMut() -> Option<T>) -> T {
        self.until_within(PATIENCE, what, look).await
    }

    /// The same, for what is so much work that it takes longer.
    pub async fn until_within<T>(&self, patience: Duration, what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
        let found = tokio::time::timeout(patience, async {
            loop {
                if let Some(found) = look().await {
                    return found;
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        });
        found.await.unwrap_or_else(|_| panic!("no {what} within {patience:?}\n{}", self.log()))
    }

    /// A citizen who is about to dial 12345.
    pub fn citizen(&self, from: &str) -> CallSpec {
        let mut spec = CallSpec::new(format!("sip:12345@{}", self.sip));
        spec.from = from.into();
        spec
    }

    /// Dials 12345, plays one channel of a file and hangs up.
    pub async fn dial(&self, from: &str, wav: impl AsRef<Path>) -> CallReport {
        let pcm = audio::read(wav.as_ref(), Side::Left).expect("a sound file");
        sip_test::call(self.citizen(from).playing(pcm)).await.unwrap_or_else(|error| panic!("{error}\n{}", self.log()))
    }

    /// The newest call of a caller, once its recording is sealed.
    pub async fn sealed_call(&self, from: &str) -> Value {
        let tail = from[from.len() - 4..].to_owned();
        self.until("sealed call", async || {
            let calls = self.get("/api/v1/calls?limit=200").await;
            let items = calls["items"].as_array().expect("items").clone();
            items.into_iter().find(|call| {
                call["recording_state"] == "sealed" && call["caller"].as_str().is_some_and(|it| it.ends_with(&tail))
            })
        })
        .await
    }

    /// The final transcript of a call.
    pub async fn transcript(&self, call: &str) -> Value {
        self.until("final transcript", async || {
            let answer = self.send("GET", &format!("/api/v1/calls/{call}/transcript"), None).await;
            let transcript: Value = answer.json().await.ok()?;
            (transcript["final"] == true).then_some(transcript)
        })
        .await
    }

    /// The case a call made.
    pub async fn case_of(&self, call: &str) -> Value {
        let id = self
            .until("case", async || {
                let call = self.get(&format!("/api/v1/calls/{call}")).await;
                call["case_id"].as_str().map(str::to_owned)
            })
            .await;
        self.get(&format!("/api/v1/cases/{id}")).await
    }
}

impl Drop for House {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            eprintln!("--- the line's log\n{}", self.log());
        }
    }
}
