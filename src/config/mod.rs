//! Settings: defaults, then `config/hotline.toml`, then `HOTLINE__…` in the environment, checked as a whole at start.
//!
//! Every mistake is reported at once, each with the file or variable and the key, so that an operator mends them in
//! one go. Nothing is read from the environment anywhere else.

mod acd;
mod check;
mod listen;
mod tls;

use std::{
    ffi::OsString,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use figment::{
    Figment,
    providers::{Env, Format, Serialized, Toml},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

pub use acd::{Acd, AcdDesk};
pub use check::{ConfigError, Mistake};
pub use listen::{Addresses, Listen};
pub use tls::Tls;

use crate::domain::{city::City, role::Role};

/// All settings of one `hotline` process.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    pub http: Http,
    pub sip: Sip,
    pub rtp: Rtp,
    pub line: Line,
    pub acd: Acd,
    pub siprec: Siprec,
    pub database: Database,
    pub storage: Storage,
    pub vault: Vault,
    pub retention: Retention,
    pub people: People,
    pub speech: Speech,
    pub city: CityFile,
    pub log: Log,
    pub telemetry: Telemetry,
}

/// The HTTP listener.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Http {
    pub listen: SocketAddr,
    /// `off`, `self-signed` or `CERT:KEY`; without it `off` on loopback, `self-signed` elsewhere.
    pub tls: Option<Tls>,
    /// Folder in which the self-signed certificate is made and kept.
    pub tls_folder: PathBuf,
    /// Requests a second that one client may send on average.
    pub rate_per_second: u32,
    /// Requests that one client may send at once.
    pub burst: u32,
}

/// SIP transports.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sip {
    /// One address or several of one family.
    pub udp: Addresses,
    /// Without it the addresses of `udp`, as RFC 3261 §18.2.1 wants it.
    pub tcp: Option<Listen>,
    pub tls: Listen,
    /// `self-signed` or `CERT:KEY`.
    pub tls_certificate: Tls,
    /// Address the outside reaches us at, for SIP and RTP, where it is not one of this machine's (behind NAT).
    pub advertise: Option<IpAddr>,
    /// What operators' telephones are asked to prove themselves for. Their secrets are hashed with it: with another realm
    /// none of them is taken any more.
    pub realm: String,
    /// Beginnings of the `User-Agent` of telephones that are asked for MD5 alone, since they fail where there is a choice.
    pub md5_only_agents: Vec<String>,
}

/// Media ports.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rtp {
    /// `first-last`, both included; a call takes an even port (RTP) and the next one (RTCP).
    pub ports: String,
    /// Threads that move media; each carries up to 200 calls.
    pub shards: usize,
    /// Whether sealed media is taken.
    pub srtp: Srtp,
    /// Addresses and networks of carriers whose media comes from the address in its description: their calls share a pair
    /// of ports for each thread.
    pub carriers: Vec<String>,
}

/// Which media of a telephone is taken: sealed with keys from its session description, or in clear.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Srtp {
    /// In clear alone.
    Off,
    /// Both; sealed where both are offered.
    Accept,
    /// Sealed alone; the rest hears 488.
    Require,
}

/// The public line itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// Numbers that are answered; every other one is refused with 404.
    pub numbers: Vec<String>,
    /// The city's own area code, with its zero: callers and dialled numbers without one belong to it. May be empty.
    pub area_code: String,
    /// Folder of the announcements, 8 kHz mono WAV.
    pub prompts: PathBuf,
    /// Longest call in seconds; then the line says goodbye and hangs up.
    pub max_call_seconds: u32,
    /// Calls at once; the next one hears 503 with Retry-After.
    pub max_calls: usize,
}

/// Calls of other switches that are forked to us (RFC 7866).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Siprec {
    /// Addresses and networks of the switches that may, `10.0.0.5` or `10.0.0.0/24`; without any it is off.
    pub sources: Vec<String>,
    /// Extensions of seats, as the switch names them: `?` stands for one sign, `*` for any number of them.
    pub seats: Vec<String>,
}

/// Where rows live.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Database {
    pub url: String,
}

/// Where sealed recordings live, and the local folder in which they grow.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Storage {
    /// `file:///absolute/folder`, `file://relative/folder` or `s3://bucket/prefix`.
    pub url: String,
    /// Folder for recordings that are still growing. They are not encrypted there, so that a crash leaves something to
    /// hear.
    pub spool: PathBuf,
    pub s3: S3,
}

/// The store that an `s3://` address is in.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct S3 {
    /// `https://host:port`; the bucket is named in the path.
    pub endpoint: String,
    pub region: String,
    pub access_key: String,
    pub secret_key: Secret,
}

/// Where an address of `storage.url` leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shelf {
    Folder(PathBuf),
    /// The prefix may be empty.
    Bucket {
        bucket: String,
        prefix: String,
    },
}

/// Keys, and what they are used with.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vault {
    /// Folder of the keys; the first start makes them.
    pub keys: PathBuf,
    /// What new objects are sealed with; older ones stay readable.
    pub suite: CipherSuite,
}

/// A family of algorithms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CipherSuite {
    /// With HMAC-SHA-256.
    #[serde(rename = "aes-256-gcm")]
    Aes256Gcm,
    /// With HMAC-SM3, as Chinese authorities ask for.
    #[serde(rename = "sm4-gcm")]
    Sm4Gcm,
}

/// How long is kept what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retention {
    /// Days from the end of a call until its recording is deleted.
    pub audio_days: u32,
    /// The same for calls in which nobody asked for anything.
    pub invalid_audio_days: u32,
}

/// A text that is never printed.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(pub String);

/// People who log in.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct People {
    /// Minutes without a request after which a log-in ends, to the minute.
    pub idle_minutes: u32,
    /// Hours after which a log-in ends, whatever happens.
    pub session_hours: u32,
    /// Wrong log-ins after which a name is locked; an address after ten times as many.
    pub lock_after: u32,
    /// Minutes of the first lock; each one after it lasts twice as long, a day at most.
    pub lock_minutes: u32,
    /// Shortest password, signs.
    pub password_length: usize,
    /// Days after which a password has to be changed; 0: never.
    pub password_days: u32,
    /// Days a token lives if nothing else is said.
    pub token_days: u32,
    /// Roles whose holders need a second factor before they may do anything.
    pub totp_required_for: Vec<Role>,
}

/// Speech recognition.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Speech {
    /// Name in the catalogue, for instance `base`.
    pub model: String,
    /// Folder of installed models.
    pub models: PathBuf,
    /// Worker processes; each uses one core.
    pub workers: usize,
    /// Whether calls are heard while they go on, by a worker process of its own.
    pub live: bool,
    /// First words for the recogniser: simplified Chinese with punctuation, under 100 characters.
    pub prompt: String,
}

/// The city's own data.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CityFile {
    pub file: PathBuf,
    /// Folder of the trained category classifier.
    pub classifier: PathBuf,
}

/// What is logged and how.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// `tracing` filter, for instance `info,hotline=debug`.
    pub filter: String,
    /// One JSON object a line instead of text.
    pub json: bool,
}

/// Where traces go.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Telemetry {
    /// An OpenTelemetry collector that takes OTLP over HTTP, `http://127.0.0.1:4318`; without it no traces are made.
    pub otlp_endpoint: Option<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            http: Http {
                listen: ([127, 0, 0, 1], 8080).into(),
                tls: None,
                tls_folder: "var/tls".into(),
                rate_per_second: 300,
                burst: 600,
            },
            sip: Sip {
                udp: SocketAddr::from(([127, 0, 0, 1], 5060)).into(),
                tcp: None,
                tls: Listen::Off,
                tls_certificate: Tls::SelfSigned,
                advertise: None,
                realm: "hotline".into(),
                md5_only_agents: vec!["baresip".into(), "JsSIP".into()],
            },
            rtp: Rtp { ports: "20000-29999".into(), shards: 1, srtp: Srtp::Accept, carriers: Vec::new() },
            line: Line {
                numbers: vec!["12345".into()],
                area_code: "0635".into(),
                prompts: "config/prompts".into(),
                max_call_seconds: 7200,
                max_calls: 120,
            },
            acd: Acd::default(),
            siprec: Siprec { sources: Vec::new(), seats: vec!["8???".into()] },
            database: Database { url: "sqlite://var/hotline.db".into() },
            storage: Storage { url: "file://var/recordings".into(), spool: "var/spool".into(), s3: S3::default() },
            vault: Vault { keys: "var/keys".into(), suite: CipherSuite::Aes256Gcm },
            retention: Retention { audio_days: 1095, invalid_audio_days: 183 },
            people: People::default(),
            speech: Speech {
                model: "base".into(),
                models: "var/models".into(),
                workers: 1,
                live: true,
                prompt: "以下是普通话的市民来电，使用简体中文。".into(),
            },
            city: CityFile { file: "config/demo-city.json".into(), classifier: "models/classifier".into() },
            log: Log { filter: "info".into(), json: false },
            telemetry: Telemetry::default(),
        }
    }
}

impl Default for People {
    fn default() -> Self {
        Self {
            idle_minutes: 30,
            session_hours: 12,
            lock_after: 5,
            lock_minutes: 15,
            password_length: 10,
            password_days: 0,
            token_days: 365,
            totp_required_for: Vec::new(),
        }
    }
}

impl Settings {
    /// Reads and checks everything.
    ///
    /// * `file` — the settings file; it must exist.
    ///
    /// # Errors
    /// All mistakes at once.
    pub fn load(file: &Path) -> Result<Self, ConfigError> {
        if !file.is_file() {
            return Err(ConfigError::one(file.display(), "", "no such file; name one with --config"));
        }
        let figment = Figment::from(Serialized::defaults(Self::default()))
            .merge(Toml::file_exact(file))
            .merge(Env::prefixed("HOTLINE__").split("__"));
        let settings = Self::extract(&figment, file)?;
        check::check(&settings, file)?;
        Ok(settings)
    }

    /// Reads section by section, since reading stops at the first mistake it meets.
    fn extract(figment: &Figment, file: &Path) -> Result<Self, ConfigError> {
        let known = serde_json::to_value(Self::default()).unwrap_or_default();
        let sections = known.as_object().into_iter().flat_map(|all| all.keys());
        let mistakes: Vec<_> = sections
            .flat_map(|name| match name.as_str() {
                "http" => mistakes_in::<Http>(figment, name, file),
                "sip" => mistakes_in::<Sip>(figment, name, file),
                "rtp" => mistakes_in::<Rtp>(figment, name, file),
                "line" => mistakes_in::<Line>(figment, name, file),
                "acd" => mistakes_in::<Acd>(figment, name, file),
                "siprec" => mistakes_in::<Siprec>(figment, name, file),
                "database" => mistakes_in::<Database>(figment, name, file),
                "storage" => mistakes_in::<Storage>(figment, name, file),
                "vault" => mistakes_in::<Vault>(figment, name, file),
                "retention" => mistakes_in::<Retention>(figment, name, file),
                "people" => mistakes_in::<People>(figment, name, file),
                "speech" => mistakes_in::<Speech>(figment, name, file),
                "city" => mistakes_in::<CityFile>(figment, name, file),
                "telemetry" => mistakes_in::<Telemetry>(figment, name, file),
                _ => mistakes_in::<Log>(figment, name, file),
            })
            .collect();
        if mistakes.is_empty() {
            return figment.extract().map_err(|error| ConfigError::from_figment(error, "", file));
        }
        Err(ConfigError { mistakes })
    }

    /// Reads the city's data.
    ///
    /// # Errors
    /// The file and what is wrong in it.
    pub fn load_city(&self) -> Result<City, ConfigError> {
        check::load_city(&self.city.file)
    }
}

/// Where systemd wants to be told how far the process is, if it started it (`Type=notify`).
pub fn supervisor() -> Option<OsString> {
    std::env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty())
}

fn mistakes_in<T: DeserializeOwned>(figment: &Figment, section: &str, file: &Path) -> Vec<Mistake> {
    let read = figment.focus(section).extract::<T>();
    read.err().map(|error| ConfigError::from_figment(error, section, file).mistakes).unwrap_or_default()
}

impl Http {
    /// Whether TLS is spoken, and with which certificate.
    pub fn tls(&self) -> Tls {
        let usual = || if self.listen.ip().is_loopback() { Tls::Off } else { Tls::SelfSigned };
        self.tls.clone().unwrap_or_else(usual)
    }
}

impl Sip {
    /// Where TCP is listened for.
    pub fn tcp(&self) -> &[SocketAddr] {
        self.tcp.as_ref().map_or(self.udp.all(), Listen::all)
    }

    /// Where media ports are bound: where SIP is, or everywhere if that is several addresses.
    pub fn media(&self) -> IpAddr {
        match self.udp.all() {
            [one] => one.ip(),
            several if several[0].is_ipv4() => Ipv4Addr::UNSPECIFIED.into(),
            _ => Ipv6Addr::UNSPECIFIED.into(),
        }
    }
}

impl Siprec {
    /// The trusted networks: an address, and how many of its first bits count. What is none is left out; `check` names it.
    pub fn networks(&self) -> Vec<(IpAddr, u8)> {
        self.sources.iter().filter_map(|source| network(source)).collect()
    }
}

impl Rtp {
    /// The carriers' networks, as [`Siprec::networks`].
    pub fn carriers(&self) -> Vec<(IpAddr, u8)> {
        self.carriers.iter().filter_map(|carrier| network(carrier)).collect()
    }
}

/// Reads `10.0.0.5`, `10.0.0.0/24`, `2001:db8::/32`.
fn network(text: &str) -> Option<(IpAddr, u8)> {
    let (address, bits) = text.trim().split_once('/').map_or((text.trim(), None), |(it, bits)| (it, Some(bits)));
    let address: IpAddr = address.parse().ok()?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    let bits = bits.map_or(Some(most), |bits| bits.parse().ok())?;
    (bits <= most).then_some((address, bits))
}

impl Rtp {
    /// First and last port, both included.
    pub fn range(&self) -> Option<(u16, u16)> {
        let (first, last) = self.ports.split_once('-')?;
        let (first, last) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        (first >= 1024 && last > first).then_some((first, last))
    }
}

impl Storage {
    /// Two folders below one.
    #[cfg(test)]
    pub(crate) fn in_folder(folder: &Path) -> Self {
        let url = format!("file://{}", folder.join("recordings").display());
        Self { url, spool: folder.join("spool"), s3: S3::default() }
    }

    /// Where the address leads; nothing if it is none that this program knows.
    pub fn shelf(&self) -> Option<Shelf> {
        if let Some(folder) = self.url.strip_prefix("file://") {
            return (!folder.is_empty()).then(|| Shelf::Folder(folder.into()));
        }
        let (bucket, prefix) = match self.url.strip_prefix("s3://")?.split_once('/') {
            Some((bucket, prefix)) => (bucket, prefix.trim_matches('/')),
            None => (self.url.strip_prefix("s3://")?, ""),
        };
        let fits = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || ".-".contains(letter);
        let named = (3..=63).contains(&bucket.len()) && bucket.chars().all(fits);
        named.then(|| Shelf::Bucket { bucket: bucket.into(), prefix: prefix.into() })
    }
}

impl Default for S3 {
    fn default() -> Self {
        let nothing = String::new;
        Self { endpoint: nothing(), region: "us-east-1".into(), access_key: nothing(), secret_key: Secret::default() }
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

impl CipherSuite {
    /// As in settings and files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Aes256Gcm => "aes-256-gcm",
            Self::Sm4Gcm => "sm4-gcm",
        }
    }
}

impl std::fmt::Display for CipherSuite {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl People {
    /// How long a log-in may rest.
    pub fn idle(&self) -> Duration {
        Duration::from_mins(self.idle_minutes.into())
    }

    /// How long a log-in may last.
    pub fn session(&self) -> Duration {
        Duration::from_hours(self.session_hours.into())
    }

    /// How long the first lock lasts.
    pub fn lock(&self) -> Duration {
        Duration::from_mins(self.lock_minutes.into())
    }

    /// How old a password may become.
    pub fn password_age(&self) -> Option<Duration> {
        (self.password_days > 0).then(|| Duration::from_hours(24) * self.password_days)
    }
}

impl Line {
    /// Longest call.
    pub fn max_call(&self) -> Duration {
        Duration::from_secs(u64::from(self.max_call_seconds))
    }
}
