//! Whether the HTTP listener speaks TLS, and with which certificate.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// As `http.tls` says it: `off`, `self-signed` or `CERT:KEY`, two PEM files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Tls {
    /// Plain HTTP.
    Off,
    /// A certificate that the line makes at its first start.
    SelfSigned,
    /// The chain, the line's own certificate first, and its private key.
    Files { certificate: PathBuf, key: PathBuf },
}

impl TryFrom<String> for Tls {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match (text.as_str(), text.split_once(':')) {
            ("off", _) => Ok(Self::Off),
            ("self-signed", _) => Ok(Self::SelfSigned),
            (_, Some((certificate, key))) if !certificate.is_empty() && !key.is_empty() => {
                Ok(Self::Files { certificate: certificate.into(), key: key.into() })
            }
            _ => Err(format!("`{text}` is none of off, self-signed, CERT:KEY (two PEM files)")),
        }
    }
}

impl From<Tls> for String {
    fn from(tls: Tls) -> Self {
        match tls {
            Tls::Off => "off".into(),
            Tls::SelfSigned => "self-signed".into(),
            Tls::Files { certificate, key } => format!("{}:{}", certificate.display(), key.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Settings;

    #[test]
    fn tls_is_read_as_it_is_written() {
        let files = Tls::Files { certificate: "/etc/a.crt".into(), key: "/etc/a.key".into() };
        for (text, tls) in [("off", Tls::Off), ("self-signed", Tls::SelfSigned), ("/etc/a.crt:/etc/a.key", files)] {
            assert_eq!(Tls::try_from(text.to_owned()), Ok(tls.clone()));
            assert_eq!(String::from(tls), text);
        }
        for text in ["", "on", "a.crt:", ":a.key"] {
            assert!(Tls::try_from(text.to_owned()).is_err(), "{text}");
        }
    }

    #[test]
    fn plain_http_is_for_loopback_only_unless_it_is_asked_for() {
        let mut http = Settings::default().http;
        assert_eq!(http.tls(), Tls::Off);
        http.listen = ([0, 0, 0, 0], 8080).into();
        assert_eq!(http.tls(), Tls::SelfSigned);
        http.tls = Some(Tls::Off);
        assert_eq!(http.tls(), Tls::Off);
    }
}
