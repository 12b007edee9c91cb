//! Checks settings and the city's data as a whole and names every mistake.

use std::{fmt, fs, path::Path};

use super::{S3, Settings, Shelf, Tls};
use crate::domain::{calendar::WorkCalendar, city::City, clocks::Terms};

/// One thing to mend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// File or environment variable.
    pub place: String,
    /// Dotted key, `sip.udp`.
    pub key: String,
    /// What is wrong and what would be right.
    pub problem: String,
}

/// Everything that is wrong with the settings.
#[derive(Clone, Debug, thiserror::Error)]
pub struct ConfigError {
    pub mistakes: Vec<Mistake>,
}

impl ConfigError {
    /// A single mistake.
    pub fn one(place: impl fmt::Display, key: impl fmt::Display, problem: impl fmt::Display) -> Self {
        Self {
            mistakes: vec![Mistake { place: place.to_string(), key: key.to_string(), problem: problem.to_string() }],
        }
    }

    /// * `section` — the section that was read; empty where the keys are whole.
    pub(super) fn from_figment(errors: figment::Error, section: &str, file: &Path) -> Self {
        let mistakes = errors
            .into_iter()
            .map(|error| {
                let section = Some(section.to_owned()).filter(|name| !name.is_empty());
                let path: Vec<String> = section.into_iter().chain(error.path.iter().cloned()).collect();
                let key = path.join(".");
                let from_environment = error.metadata.as_ref().is_some_and(|data| data.name.contains("environment"));
                let place = if from_environment {
                    format!("HOTLINE__{}", path.join("__").to_uppercase())
                } else {
                    file.display().to_string()
                };
                Mistake { place, key, problem: error.kind.to_string() }
            })
            .collect();
        Self { mistakes }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, mistake) in self.mistakes.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            match mistake.key.as_str() {
                "" => write!(f, "{}: {}", mistake.place, mistake.problem)?,
                key => write!(f, "{}: {key}: {}", mistake.place, mistake.problem)?,
            }
        }
        Ok(())
    }
}

/// Rules that types cannot say.
pub(super) fn check(settings: &Settings, file: &Path) -> Result<(), ConfigError> {
    let mut mistakes = Vec::new();
    let mut wrong = |key: &str, problem: String| {
        let variable = format!("HOTLINE__{}", key.replace('.', "__").to_uppercase());
        let place = if std::env::var_os(&variable).is_some() { variable } else { file.display().to_string() };
        mistakes.push(Mistake { place, key: key.into(), problem });
    };
    if let Tls::Files { certificate, key } = settings.http.tls() {
        for path in [certificate, key] {
            if let Err(error) = fs::File::open(&path) {
                wrong("http.tls", format!("file {} cannot be read: {error}", path.display()));
            }
        }
    }
    for (key, value) in [("http.rate_per_second", settings.http.rate_per_second), ("http.burst", settings.http.burst)] {
        if !(1..=1_000_000).contains(&value) {
            wrong(key, format!("{value} is not between 1 and 1000000"));
        }
    }
    if !settings.sip.udp.are_of_one_family() {
        wrong("sip.udp", "several addresses have to be all IPv4 or all IPv6; media has one of them".into());
    }
    if !settings.sip.tls.all().is_empty() {
        match &settings.sip.tls_certificate {
            Tls::SelfSigned => {}
            Tls::Off => wrong("sip.tls_certificate", "is neither self-signed nor CERT:KEY (two PEM files)".into()),
            Tls::Files { certificate, key } => {
                for path in [certificate, key] {
                    if let Err(error) = fs::File::open(path) {
                        wrong("sip.tls_certificate", format!("file {} cannot be read: {error}", path.display()));
                    }
                }
            }
        }
    }
    let quotable = |text: &str| text.bytes().all(|sign| matches!(sign, b' '..=b'~') && !b"\"\\".contains(&sign));
    let realm = &settings.sip.realm;
    if !(1..=64).contains(&realm.len()) || !quotable(realm) || realm.trim() != realm {
        wrong("sip.realm", format!("`{realm}` is no word such as hotline: 1 to 64 signs of ASCII, no quotation mark"));
    }
    for agent in &settings.sip.md5_only_agents {
        if !(1..=64).contains(&agent.len()) || agent.trim() != agent {
            wrong("sip.md5_only_agents", format!("`{agent}` is no beginning of a User-Agent such as baresip"));
        }
    }
    if settings.rtp.range().is_none() {
        wrong("rtp.ports", format!("`{}` is not a range such as 20000-29999 (from 1024)", settings.rtp.ports));
    }
    for carrier in settings.rtp.carriers.iter().filter(|carrier| super::network(carrier).is_none()) {
        wrong("rtp.carriers", format!("`{carrier}` is no address such as 10.0.0.5 or 10.0.0.0/24"));
    }
    if !(1..=64).contains(&settings.rtp.shards) {
        wrong("rtp.shards", format!("{} is not between 1 and 64", settings.rtp.shards));
    }
    if settings.line.numbers.is_empty() {
        wrong("line.numbers", "names no number; a line needs at least one".into());
    }
    for number in &settings.line.numbers {
        if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
            wrong("line.numbers", format!("`{number}` is not a number of digits"));
        }
    }
    if !is_area_code(&settings.line.area_code) {
        wrong("line.area_code", format!("`{}` is no area code such as 0635 or 010", settings.line.area_code));
    }
    if !settings.line.prompts.is_dir() {
        wrong("line.prompts", format!("folder {} does not exist", settings.line.prompts.display()));
    }
    if !(10..=14_400).contains(&settings.line.max_call_seconds) {
        wrong("line.max_call_seconds", format!("{} is not between 10 and 14400", settings.line.max_call_seconds));
    }
    super::acd::check(&settings.acd, &settings.line.numbers, &mut wrong);
    for source in settings.siprec.sources.iter().filter(|source| super::network(source).is_none()) {
        wrong("siprec.sources", format!("`{source}` is no address such as 10.0.0.5 or 10.0.0.0/24"));
    }
    for seat in &settings.siprec.seats {
        if !(1..=64).contains(&seat.len()) || seat.bytes().any(|byte| byte.is_ascii_whitespace()) {
            wrong("siprec.seats", format!("`{seat}` is no extension such as 8001 or 80??"));
        }
    }
    if !(1..=10_000).contains(&settings.line.max_calls) {
        wrong("line.max_calls", format!("{} is not between 1 and 10000", settings.line.max_calls));
    }
    if !["sqlite://", "postgres://", "postgresql://"].iter().any(|scheme| settings.database.url.starts_with(scheme)) {
        // An address may hold a password; its scheme does not.
        let scheme = settings.database.url.split("://").next().unwrap_or_default();
        wrong("database.url", format!("`{scheme}` is neither sqlite://FILE nor postgres://USER@HOST/DATABASE"));
    }
    let storage = &settings.storage;
    match storage.shelf() {
        None => wrong("storage.url", format!("`{}` is neither file://FOLDER nor s3://BUCKET/PREFIX", storage.url)),
        Some(Shelf::Folder(_)) => {}
        Some(Shelf::Bucket { .. }) => {
            let S3 { endpoint, region, access_key, secret_key } = &storage.s3;
            if !endpoint.starts_with("https://") && !endpoint.starts_with("http://") {
                wrong("storage.s3.endpoint", format!("`{endpoint}` is not an address such as https://s3.example.org"));
            }
            for (key, value) in [("region", region), ("access_key", access_key), ("secret_key", &secret_key.0)] {
                if value.trim().is_empty() {
                    wrong(&format!("storage.s3.{key}"), "is missing; storage.url is in an S3 store".into());
                }
            }
        }
    }
    for (key, days) in [
        ("retention.audio_days", settings.retention.audio_days),
        ("retention.invalid_audio_days", settings.retention.invalid_audio_days),
    ] {
        if !(1..=36_500).contains(&days) {
            wrong(key, format!("{days} is not between 1 and 36500 days"));
        }
    }
    let people = &settings.people;
    for (key, value, from, to) in [
        ("people.idle_minutes", u64::from(people.idle_minutes), 2, 1_440),
        ("people.session_hours", people.session_hours.into(), 1, 168),
        ("people.lock_after", people.lock_after.into(), 1, 100),
        ("people.lock_minutes", people.lock_minutes.into(), 1, 1_440),
        ("people.password_length", people.password_length as u64, 8, 64),
        ("people.password_days", people.password_days.into(), 0, 3_650),
        ("people.token_days", people.token_days.into(), 1, 3_650),
    ] {
        if !(from..=to).contains(&value) {
            wrong(key, format!("{value} is not between {from} and {to}"));
        }
    }
    if settings.speech.workers > 256 {
        wrong("speech.workers", format!("{} is more than 256", settings.speech.workers));
    }
    if settings.speech.prompt.chars().count() > 100 {
        wrong("speech.prompt", "is longer than 100 characters; it is decoded with every utterance".into());
    }
    if let Err(error) = tracing_subscriber::EnvFilter::try_new(&settings.log.filter) {
        wrong("log.filter", error.to_string());
    }
    if let Some(endpoint) = &settings.telemetry.otlp_endpoint
        && !is_collector(endpoint)
    {
        wrong("telemetry.otlp_endpoint", "is no address such as http://127.0.0.1:4318 (without a password)".into());
    }
    if let Err(error) = load_city(&settings.city.file) {
        mistakes.extend(error.mistakes);
    }
    if mistakes.is_empty() { Ok(()) } else { Err(ConfigError { mistakes }) }
}

/// A zero and two or three digits, the first of them no zero; or nothing.
fn is_area_code(code: &str) -> bool {
    let digits = code.bytes().all(|byte| byte.is_ascii_digit());
    code.is_empty() || ((3..=4).contains(&code.len()) && digits && code.starts_with('0') && !code.starts_with("00"))
}

/// An address with a password in it would stand in the log when the collector is away.
fn is_collector(endpoint: &str) -> bool {
    reqwest::Url::parse(endpoint)
        .is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.host().is_some() && url.username().is_empty())
}

/// Reads the city and checks that every reference in it resolves.
pub(super) fn load_city(file: &Path) -> Result<City, ConfigError> {
    let wrong = |error: &dyn fmt::Display| ConfigError::one(file.display(), "", error);
    let text = fs::read_to_string(file).map_err(|error| wrong(&error))?;
    let city: City = serde_json::from_str(&text).map_err(|error| wrong(&error))?;
    let mut mistakes = Vec::new();
    let mut wrong = |key: String, problem: String| {
        mistakes.push(Mistake { place: file.display().to_string(), key, problem });
    };
    for leaf in city.leaves() {
        for unit in std::iter::once(&leaf.lead).chain(&leaf.co) {
            if city.unit(unit).is_none() {
                wrong(format!("categories.{}", leaf.code), format!("unit `{unit}` is not in `units`"));
            }
        }
        if !city.time_classes.contains_key(&leaf.time) {
            wrong(format!("categories.{}.time", leaf.code), format!("`{}` is not in `time_classes`", leaf.time));
        }
    }
    if let Err(error) = WorkCalendar::new(&city.calendar) {
        wrong("calendar".into(), error.to_string());
    }
    for (name, class) in &city.time_classes {
        if let Err(error) = Terms::of(class) {
            wrong(format!("time_classes.{name}"), error.to_string());
        }
    }
    for estate in &city.estates {
        let known = city.area(&estate.area).is_some_and(|area| area.towns.contains(&estate.town));
        if !known {
            wrong(format!("estates.{}", estate.code), format!("{} in {} is not in `areas`", estate.town, estate.area));
        }
    }
    if mistakes.is_empty() { Ok(city) } else { Err(ConfigError { mistakes }) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Listen;

    #[test]
    fn the_demo_city_is_whole() {
        let city = load_city(Path::new("config/demo-city.json")).expect("the demo city loads");
        assert_eq!(city.leaves().count(), 75);
        assert_eq!(city.area_of_place("E009").map(|area| area.code.as_str()), Some("371526"));
        assert!(city.unit("371526-ZJ").is_some(), "the county has its own housing office");
        assert!(city.unit("371526-BUS").is_none(), "buses are run by the city alone");
    }

    #[test]
    fn a_store_in_s3_names_what_is_missing_and_prints_no_secret() {
        let mut settings = Settings::default();
        settings.storage.url = "s3://recordings/line".into();
        let keys = |settings: &Settings| -> Vec<String> {
            let checked = check(settings, Path::new("hotline.toml"));
            checked.err().into_iter().flat_map(|error| error.mistakes).map(|mistake| mistake.key).collect()
        };
        assert_eq!(keys(&settings), ["storage.s3.endpoint", "storage.s3.access_key", "storage.s3.secret_key"]);
        settings.storage.s3.endpoint = "https://s3.example.org".into();
        settings.storage.s3.access_key = "line".into();
        settings.storage.s3.secret_key = super::super::Secret("hush".into());
        assert_eq!(keys(&settings), [""; 0]);
        assert!(!format!("{settings:?}").contains("hush"));
        for address in ["s3://", "s3://A_B", "ftp://x", "file://", ""] {
            settings.storage.url = address.into();
            assert_eq!(keys(&settings), ["storage.url"], "{address}");
        }
    }

    #[test]
    fn mistakes_in_the_settings_of_sip_are_named_with_their_keys() {
        let mut settings = Settings::default();
        let listen = |text: &str| Listen::try_from(text.to_owned()).expect("addresses");
        settings.sip.udp = "127.0.0.1:5060, [::1]:5060".to_owned().try_into().expect("addresses");
        settings.sip.tls = listen("127.0.0.1:5061");
        settings.line.area_code = "635".into();
        settings.sip.realm = "the \"city\"".into();
        settings.sip.md5_only_agents.push(String::new());
        let keys = |settings: &Settings| -> Vec<String> {
            let checked = check(settings, Path::new("hotline.toml"));
            checked.err().into_iter().flat_map(|error| error.mistakes).map(|mistake| mistake.key).collect()
        };
        assert_eq!(keys(&settings), ["sip.udp", "sip.realm", "sip.md5_only_agents", "line.area_code"]);
        settings = Settings::default();
        assert_eq!(settings.sip.tcp(), settings.sip.udp.all(), "TCP is where UDP is");
        settings.sip.tcp = Some(Listen::Off);
        settings.sip.tls_certificate = Tls::Off;
        settings.line.area_code = String::new();
        assert_eq!((keys(&settings), settings.sip.tcp()), (Vec::new(), &[][..]), "no TLS, no certificate");
        settings.sip.tls = listen("127.0.0.1:5061");
        assert_eq!(keys(&settings), ["sip.tls_certificate"]);
        settings.sip.tls_certificate = Tls::Files { certificate: "absent.crt".into(), key: "absent.key".into() };
        assert_eq!(keys(&settings), ["sip.tls_certificate"; 2]);
    }

    #[test]
    fn every_mistake_is_named_with_its_key() {
        let mut settings = Settings::default();
        settings.rtp.ports = "9".into();
        settings.rtp.carriers = ["10.0.0.0/24", "trunk.example"].map(Into::into).into();
        settings.line.numbers = vec!["12a45".into()];
        settings.siprec.sources =
            ["10.0.0.5", "10.0.0.0/24", "::1", "2001:db8::/32", "10.0.0.0/33", "sbc.local"].map(Into::into).into();
        settings.siprec.seats.push(String::new());
        settings.people.lock_after = 0;
        settings.city.file = "config/absent.json".into();
        settings.http.tls = Some(Tls::Files { certificate: "absent.crt".into(), key: "config/hotline.toml".into() });
        settings.http.burst = 0;
        settings.telemetry.otlp_endpoint = Some("127.0.0.1:4318".into());
        let error = check(&settings, Path::new("hotline.toml")).expect_err("eleven mistakes");
        let keys: Vec<_> = error.mistakes.iter().map(|mistake| mistake.key.as_str()).collect();
        let sections = ["http.tls", "http.burst", "rtp.ports", "rtp.carriers", "line.numbers"];
        let siprec = ["siprec.sources", "siprec.sources", "siprec.seats"];
        assert_eq!(keys, [&sections[..], &siprec, &["people.lock_after", "telemetry.otlp_endpoint", ""]].concat());
        assert!(error.to_string().contains("absent.crt"), "{error}");
        assert!(error.to_string().contains("config/absent.json"));
    }
}
