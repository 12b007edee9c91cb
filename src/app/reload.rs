//! What SIGHUP changes while calls go on: announcements, certificate, log filter. Either all of it or nothing.

use std::{
    io::{self, IsTerminal},
    path::PathBuf,
};

use serde_json::Value;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::{
    call::Prompts,
    clock::Clock,
    config::{ConfigError, Mistake, Settings, Tls},
    http,
    telemetry::Telemetry,
    tls::Acceptor,
};

/// Keys that take effect at once; every other one waits for the next start.
const AT_ONCE: [&str; 2] = ["line.prompts", "log.filter"];

/// The parts that can be changed, and what they were made from.
#[derive(Debug)]
pub(super) struct Reload {
    pub(super) file: PathBuf,
    pub(super) running: Settings,
    pub(super) telemetry: Telemetry,
    pub(super) prompts: Option<Prompts>,
    pub(super) tls: Option<http::Tls>,
    pub(super) sip_tls: Option<Acceptor>,
    pub(super) clock: Clock,
}

/// Read anew, and good.
struct Fresh {
    settings: Settings,
    prompts: Option<Prompts>,
    certificate: Option<http::Certificate>,
    sip_certificate: Option<http::Certificate>,
}

/// What a SIGHUP asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    Reload,
    /// The terminal that the line was started from is gone.
    Stop,
}

/// Listens for SIGHUP.
#[derive(Debug)]
pub(super) struct HangUp {
    signal: Signal,
    had_terminal: bool,
}

impl HangUp {
    pub(super) fn listen() -> io::Result<Self> {
        Ok(Self { signal: signal(SignalKind::hangup())?, had_terminal: io::stdin().is_terminal() })
    }

    /// Waits for the next one.
    pub(super) async fn wish(&mut self) -> Wish {
        if self.signal.recv().await.is_none() {
            return std::future::pending().await;
        }
        // A terminal that was closed no longer answers as one.
        if self.had_terminal && !io::stdin().is_terminal() { Wish::Stop } else { Wish::Reload }
    }
}

impl Reload {
    /// Reads everything anew and takes it; after a mistake everything stays as it was.
    ///
    /// Reads files on the caller's thread.
    pub(super) fn run(&mut self) {
        match self.read() {
            Ok(fresh) => self.take(fresh),
            Err(error) => {
                for Mistake { place, key, problem } in error.mistakes {
                    tracing::error!(place, key, "not reloaded, everything stays as it was: {problem}");
                }
            }
        }
    }

    fn read(&self) -> Result<Fresh, ConfigError> {
        let settings = Settings::load(&self.file)?;
        let mut mistakes = Vec::new();
        let mut wrong = |key: &str, error: &dyn std::error::Error| {
            let chain = std::iter::successors(Some(error), |error| error.source());
            let problem = chain.map(ToString::to_string).collect::<Vec<_>>().join(": ");
            mistakes.extend(ConfigError::one(self.file.display(), key, problem).mistakes);
        };
        let prompts = self.prompts.as_ref().map(|_| Prompts::load(&settings.line.prompts));
        let prompts = prompts.transpose().map_err(|error| wrong("line.prompts", &error)).unwrap_or_default();
        let http = &settings.http;
        let certificate = match &self.tls {
            Some(_) => http::Certificate::of(&http.tls(), &http.tls_folder, self.running.http.listen, self.clock.now()),
            None => Ok(None),
        };
        let certificate = certificate.map_err(|error| wrong("http.tls", &error)).unwrap_or_default();
        let sip_certificate = match &self.sip_tls {
            // Addresses wait for the next start, the certificate does not.
            Some(_) => {
                let mut wanted = self.running.clone();
                wanted.sip.tls_certificate = settings.sip.tls_certificate.clone();
                super::sip_certificate(&wanted, self.clock.now())
            }
            None => Ok(None),
        };
        let sip_certificate = sip_certificate.map_err(|error| wrong("sip.tls_certificate", &error)).unwrap_or_default();
        let fresh = Fresh { settings, prompts, certificate, sip_certificate };
        if mistakes.is_empty() { Ok(fresh) } else { Err(ConfigError { mistakes }) }
    }

    fn take(&mut self, fresh: Fresh) {
        let Fresh { settings, prompts, certificate, sip_certificate } = fresh;
        if let Some((old, new)) = self.prompts.as_ref().zip(prompts) {
            old.replace(&new);
        }
        let mut at_once = AT_ONCE.to_vec();
        if let Some((tls, certificate)) = self.tls.as_ref().zip(certificate) {
            tls.change(certificate);
            at_once.push("http.tls");
        } else if self.running.http.tls() == Tls::Off && settings.http.tls() == Tls::Off {
            at_once.push("http.tls");
        }
        if let Some((tls, certificate)) = self.sip_tls.as_ref().zip(sip_certificate) {
            tls.change(certificate.pair());
            at_once.push("sip.tls_certificate");
            self.running.sip.tls_certificate = settings.sip.tls_certificate.clone();
        }
        self.telemetry.set_filter(&settings.log);
        let waiting = changed(&self.running, &settings);
        let waiting: Vec<_> = waiting.into_iter().filter(|key| !at_once.contains(&key.as_str())).collect();
        if !waiting.is_empty() {
            tracing::warn!(keys = waiting.join(", "), "these settings were changed and wait for the next start");
        }
        if at_once.contains(&"http.tls") {
            self.running.http.tls = settings.http.tls;
        }
        self.running.line.prompts = settings.line.prompts;
        self.running.log.filter = settings.log.filter;
        tracing::info!("reloaded: announcements, certificate, log filter");
    }
}

/// The dotted keys whose values differ.
fn changed(old: &Settings, new: &Settings) -> Vec<String> {
    let json = |settings: &Settings| serde_json::to_value(settings).unwrap_or_default();
    let mut keys = Vec::new();
    compare(&json(old), &json(new), "", &mut keys);
    keys
}

fn compare(old: &Value, new: &Value, at: &str, keys: &mut Vec<String>) {
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => {
            for (name, value) in new {
                let key = if at.is_empty() { name.clone() } else { format!("{at}.{name}") };
                compare(old.get(name).unwrap_or(&Value::Null), value, &key, keys);
            }
        }
        (old, new) if old != new => keys.push(at.to_owned()),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_changed_key_is_named_whatever_its_kind() {
        let (old, mut new) = (Settings::default(), Settings::default());
        assert_eq!(changed(&old, &new), Vec::<String>::new());
        new.http.tls = Some(Tls::SelfSigned);
        new.line.numbers.push("12319".into());
        new.log.filter = "debug".into();
        new.speech.workers = 2;
        assert_eq!(changed(&old, &new), ["http.tls", "line.numbers", "speech.workers", "log.filter"]);
        assert_eq!(changed(&new, &old).len(), 4);
    }
}
