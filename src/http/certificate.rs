//! The line's certificate: read from PEM files, or made by the line itself and kept.

use std::{
    collections::BTreeSet,
    fs,
    io::{self, Write},
    net::{IpAddr, SocketAddr},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use jiff::{Timestamp, civil, tz::TimeZone};
use rcgen::{CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose};
use rustls::{
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    sign::CertifiedKey,
};

use super::names;
use crate::{config::Tls, domain::time::UnixMs};

/// How long a certificate made by the line is good; browsers take at most 825 days.
const DAYS: i64 = 730;
/// A certificate that ends sooner is made anew.
const SPARE_DAYS: i64 = 30;
const DAY_MS: i64 = 86_400_000;

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("file {path}", path = path.display())]
    File {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("file {path} is no PEM file with a certificate: {problem}", path = path.display())]
    Certificate { path: PathBuf, problem: String },
    #[error("file {path} is no PEM file with a private key: {problem}", path = path.display())]
    Key { path: PathBuf, problem: String },
    #[error("the key in {key} does not belong to the certificate in {certificate}: {problem}",
        key = key.display(), certificate = certificate.display())]
    Pair { certificate: PathBuf, key: PathBuf, problem: String },
    #[error("a certificate cannot be made: {0}")]
    Making(String),
}

/// A certificate with its key.
#[derive(Clone, Debug)]
pub struct Certificate {
    pub(super) pair: Arc<CertifiedKey>,
    /// When it ends; unknown if the date cannot be read.
    pub ends: Option<UnixMs>,
}

impl Certificate {
    /// Reads or makes what the settings ask for; nothing when TLS is off.
    ///
    /// * `folder` — where the self-signed one is kept.
    /// * `listen` — its addresses stand in the self-signed one.
    pub fn of(tls: &Tls, folder: &Path, listen: SocketAddr, now: UnixMs) -> Result<Option<Self>, TlsError> {
        match tls {
            Tls::Off => Ok(None),
            Tls::SelfSigned => self_signed(folder, &names::of(listen), now).map(Some),
            Tls::Files { certificate, key } => Self::read(certificate, key).map(Some),
        }
    }

    /// For other listeners that speak TLS.
    pub fn pair(&self) -> Arc<CertifiedKey> {
        self.pair.clone()
    }

    fn read(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        let wrong = |problem: String| TlsError::Certificate { path: certificate.to_owned(), problem };
        let text = read(certificate)?;
        let chain: Vec<_> = CertificateDer::pem_slice_iter(&text)
            .collect::<Result<_, _>>()
            .map_err(|error| wrong(error.to_string()))?;
        let first = chain.first().ok_or_else(|| wrong("there is none in it".into()))?;
        let ends = end_of(first);
        let secret = PrivateKeyDer::from_pem_slice(&read(key)?)
            .map_err(|error| TlsError::Key { path: key.to_owned(), problem: error.to_string() })?;
        let pair = CertifiedKey::from_der(chain, secret, &ring::default_provider()).map_err(|error| {
            TlsError::Pair { certificate: certificate.to_owned(), key: key.to_owned(), problem: error.to_string() }
        })?;
        Ok(Self { pair: Arc::new(pair), ends })
    }
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(path).map_err(|source| TlsError::File { path: path.to_owned(), source })
}

/// The certificate in the folder, if it still fits; else a new one. Whatever is wrong with the old one, a new one mends it.
fn self_signed(folder: &Path, names: &BTreeSet<String>, now: UnixMs) -> Result<Certificate, TlsError> {
    let (certificate, key) = (folder.join("self-signed.crt"), folder.join("self-signed.key"));
    if let Ok(kept) = Certificate::read(&certificate, &key)
        && kept.ends.is_some_and(|ends| ends.0 - now.0 > SPARE_DAYS * DAY_MS)
        && names.is_subset(&names_in(&read(&certificate)?))
    {
        return Ok(kept);
    }
    let (pem, secret) = make(names, now)?;
    let at = |path: &Path| {
        let path = path.to_owned();
        move |source| TlsError::File { path, source }
    };
    fs::create_dir_all(folder).map_err(at(folder))?;
    replace(&key, secret.as_bytes(), 0o600).map_err(at(&key))?;
    let text = format!("{NAMES}{}\n{pem}", names.iter().cloned().collect::<Vec<_>>().join(" "));
    replace(&certificate, text.as_bytes(), 0o644).map_err(at(&certificate))?;
    tracing::info!(file = %certificate.display(), "made a self-signed certificate");
    Certificate::read(&certificate, &key)
}

/// Begins the first line of a self-signed certificate's file; readers of PEM pass it over.
const NAMES: &str = "# hotline: ";

fn names_in(pem: &[u8]) -> BTreeSet<String> {
    let text = String::from_utf8_lossy(pem);
    let line = text.lines().next().and_then(|line| line.strip_prefix(NAMES)).unwrap_or_default();
    line.split_whitespace().map(str::to_owned).collect()
}

fn make(names: &BTreeSet<String>, now: UnixMs) -> Result<(String, String), TlsError> {
    let making = |error: rcgen::Error| TlsError::Making(error.to_string());
    let mut wanted = CertificateParams::new(names.iter().cloned().collect::<Vec<_>>()).map_err(making)?;
    let first = names.iter().find(|name| name.parse::<IpAddr>().is_err());
    wanted.distinguished_name = DistinguishedName::new();
    wanted.distinguished_name.push(DnType::CommonName, first.map_or("hotline", String::as_str));
    wanted.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    wanted.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let day = |ms: i64| {
        let moment = Timestamp::from_millisecond(ms).unwrap_or(Timestamp::UNIX_EPOCH);
        let date = moment.to_zoned_datetime(TimeZone::UTC).date();
        rcgen::date_time_ymd(date.year().into(), date.month().unsigned_abs(), date.day().unsigned_abs())
    };
    // A browser whose clock is slow takes it too.
    wanted.not_before = day(now.0 - DAY_MS);
    wanted.not_after = day(now.0 + DAYS * DAY_MS);
    let key = KeyPair::generate().map_err(making)?;
    let certificate = wanted.self_signed(&key).map_err(making)?;
    Ok((certificate.pem(), key.serialize_pem()))
}

/// Puts a file in place of another so that a crash leaves the old or the new one, never readable for more than `mode` says.
fn replace(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let part = path.with_extension("part");
    match fs::remove_file(&part) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = fs::File::options().write(true).create_new(true).mode(mode).open(&part)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&part, path)
}

/// The end of a certificate's validity. Source: RFC 5280 §4.1, DER.
fn end_of(certificate: &[u8]) -> Option<UnixMs> {
    const SEQUENCE: u8 = 0x30;
    const VERSION: u8 = 0xA0;
    let (_, body, _) = element(certificate)?;
    let (_, mut fields, _) = element(body)?;
    if fields.first() == Some(&VERSION) {
        (_, _, fields) = element(fields)?;
    }
    // Serial number, signature algorithm, issuer; then the validity.
    for _ in 0..3 {
        (_, _, fields) = element(fields)?;
    }
    let (SEQUENCE, validity, _) = element(fields)? else { return None };
    let (_, _, second) = element(validity)?;
    let (tag, text, _) = element(second)?;
    moment(tag, std::str::from_utf8(text).ok()?)
}

/// Tag, content, and what follows.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = bytes.split_first()?;
    let (&short, rest) = rest.split_first()?;
    let (length, rest) = if short < 0x80 {
        (usize::from(short), rest)
    } else {
        let (long, rest) = rest.split_at_checked(usize::from(short & 0x7F).min(4))?;
        (long.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

/// `YYMMDDHHMMSSZ` up to 2049, `YYYYMMDDHHMMSSZ` from 2050 on.
fn moment(tag: u8, text: &str) -> Option<UnixMs> {
    const UTC_TIME: u8 = 0x17;
    let digits = text.strip_suffix('Z').filter(|digits| digits.bytes().all(|digit| digit.is_ascii_digit()))?;
    let century = match (tag, digits.get(..2)?) {
        (UTC_TIME, year) if year < "50" => "20",
        (UTC_TIME, _) => "19",
        _ => "",
    };
    let whole = format!("{century}{digits}");
    let number = |from: usize, to: usize| whole.get(from..to).and_then(|it| it.parse::<i8>().ok());
    let year = whole.get(..4)?.parse().ok()?;
    let date = civil::Date::new(year, number(4, 6)?, number(6, 8)?).ok()?;
    let time = civil::Time::new(number(8, 10)?, number(10, 12)?, number(12, 14)?, 0).ok()?;
    let zoned = date.to_datetime(time).to_zoned_datetime(TimeZone::UTC).ok()?;
    Some(UnixMs(zoned.timestamp().as_millisecond()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// Monday 2026-11-23, 09:00 in the city.
    const NOW: UnixMs = UnixMs(1_795_395_600_000);

    fn names(text: &str) -> BTreeSet<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    fn der(certificate: &Certificate) -> Vec<u8> {
        certificate.pair.end_entity_cert().expect("a certificate").to_vec()
    }

    #[test]
    fn the_lines_own_certificate_is_made_once_and_its_key_is_for_the_line_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let made = self_signed(folder.path(), &names("localhost 127.0.0.1"), NOW).expect("made");
        let kept = self_signed(folder.path(), &names("localhost"), NOW).expect("kept");
        assert_eq!(der(&made), der(&kept));
        let mode = fs::metadata(folder.path().join("self-signed.key")).expect("a key").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let ends = made.ends.expect("a date");
        assert_eq!(ends, UnixMs(NOW.0 + DAYS * DAY_MS - 3_600_000), "the day begins in Greenwich");
    }

    #[test]
    fn it_is_made_anew_before_it_ends_for_a_new_name_and_when_it_is_damaged() {
        let folder = tempfile::tempdir().expect("a folder");
        let first = self_signed(folder.path(), &names("localhost"), NOW).expect("made");
        let later = UnixMs(NOW.0 + (DAYS - SPARE_DAYS + 1) * DAY_MS);
        let second = self_signed(folder.path(), &names("localhost"), later).expect("made");
        assert_ne!(der(&first), der(&second));
        let third = self_signed(folder.path(), &names("localhost 192.0.2.1"), later).expect("made");
        assert_ne!(der(&second), der(&third));
        fs::write(folder.path().join("self-signed.key"), "nonsense").expect("a file");
        let fourth = self_signed(folder.path(), &names("localhost"), later).expect("made");
        assert_ne!(der(&third), der(&fourth));
    }

    #[test]
    fn files_that_do_not_fit_are_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        for name in ["a", "b"] {
            let (pem, key) = make(&names("localhost"), NOW).expect("made");
            fs::write(path(&format!("{name}.crt")), pem).expect("a file");
            fs::write(path(&format!("{name}.key")), key).expect("a file");
        }
        let read = |certificate: &str, key: &str| Certificate::read(&path(certificate), &path(key));
        assert!(read("a.crt", "a.key").is_ok());
        for (certificate, key, named) in [
            ("a.crt", "b.key", "b.key"),
            ("a.key", "a.key", "a.key"),
            ("a.crt", "a.crt", "a.crt"),
            ("c.crt", "a.key", "c.crt"),
        ] {
            let error = read(certificate, key).expect_err("these do not fit");
            assert!(error.to_string().contains(named), "{error}");
        }
    }

    #[test]
    fn dates_are_read_in_both_ways_of_writing_and_nonsense_is_none() {
        assert_eq!(moment(0x17, "261123010000Z"), Some(NOW));
        assert_eq!(moment(0x18, "20261123010000Z"), Some(NOW));
        for text in ["", "Z", "261123010000", "2611230100Z", "269923010000Z", "26112301000ßZ"] {
            assert_eq!(moment(0x17, text), None, "{text}");
        }
        for bytes in [&[][..], &[0x30], &[0x30, 0x84], &[0x30, 0xFF, 1, 1, 1, 1], &[0x30, 2, 0x30, 9]] {
            assert_eq!(end_of(bytes), None);
        }
    }
}
