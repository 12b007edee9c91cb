//! The words of a description that a browser needs (RFC 8829): how its packets find us (ICE, we are lite), and whose
//! certificate seals them (DTLS-SRTP).

use std::{fmt, net::SocketAddr, sync::Arc};

use super::session::line;

/// The protocol in the m-line.
pub(super) const PROTOCOL: &str = "UDP/TLS/RTP/SAVPF";
/// Longest of their `ice-ufrag` (RFC 8839 §5.4).
const LONGEST_UFRAG: usize = 256;
/// Preference of a host candidate that is the only one: type 126, local 65535, component 1 (RFC 8445 §5.1.2.1).
const PRIORITY: u32 = (126 << 24) + (65_535 << 8) + 255;

/// How we are known in one call.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    pub ufrag: String,
    pub password: String,
    /// SHA-256 of our certificate.
    pub fingerprint: [u8; 32],
}

/// What was settled with a browser. Where its packets come from shows when they come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dtls {
    pub ours: Credentials,
    /// SHA-256 of their certificate.
    pub fingerprint: [u8; 32],
}

/// What stands in a description of theirs, for one stream or for all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Theirs {
    ufrag: Option<String>,
    fingerprint: Option<[u8; 32]>,
    /// They wait for us to begin the handshake.
    passive: bool,
}

impl Credentials {
    /// * `random` — of this call alone.
    pub fn new(random: [u8; 22], fingerprint: [u8; 32]) -> Self {
        let text = hex::encode(random);
        let (ufrag, password) = text.split_at(8);
        Self { ufrag: ufrag.into(), password: password.into(), fingerprint }
    }

    /// The attributes of our stream.
    ///
    /// * `at` — where we hear them.
    /// * `setup` — `actpass` in an offer, `passive` in an answer: another answer ends the call of some browsers.
    pub(super) fn write(&self, out: &mut String, at: SocketAddr, setup: &str) {
        line(out, format_args!("a=rtcp-mux"));
        line(out, format_args!("a=ice-ufrag:{}", self.ufrag));
        line(out, format_args!("a=ice-pwd:{}", self.password));
        let pairs: Vec<_> = self.fingerprint.iter().map(|byte| format!("{byte:02X}")).collect();
        line(out, format_args!("a=fingerprint:sha-256 {}", pairs.join(":")));
        line(out, format_args!("a=setup:{setup}"));
        line(out, format_args!("a=candidate:1 1 udp {PRIORITY} {} {} typ host", at.ip(), at.port()));
        line(out, format_args!("a=end-of-candidates"));
        line(out, format_args!("a=msid:hotline line"));
    }
}

impl Theirs {
    /// Takes an attribute; what says nothing of this is left alone.
    pub(super) fn attribute(&mut self, value: &str) {
        if let Some(ufrag) = value.strip_prefix("ice-ufrag:").map(str::trim) {
            let fits = (4..=LONGEST_UFRAG).contains(&ufrag.len()) && ufrag.bytes().all(|byte| byte.is_ascii_graphic());
            self.ufrag = fits.then(|| ufrag.to_owned());
        } else if let Some(fingerprint) = value.strip_prefix("fingerprint:") {
            self.fingerprint = self.fingerprint.or_else(|| digest(fingerprint));
        } else if let Some(setup) = value.strip_prefix("setup:") {
            self.passive = setup.trim() == "passive";
        }
    }

    /// What is settled with one who says this, or has said it for all streams.
    pub(super) fn settle(&self, all: &Self, ours: &Credentials) -> Option<Arc<Dtls>> {
        let fingerprint = self.fingerprint.or(all.fingerprint)?;
        self.ufrag.as_ref().or(all.ufrag.as_ref())?;
        let waits = self.passive || all.passive;
        (!waits).then(|| Arc::new(Dtls { ours: ours.clone(), fingerprint }))
    }
}

/// Reads `sha-256 AA:BB:…`.
fn digest(text: &str) -> Option<[u8; 32]> {
    let (kind, pairs) = text.trim().split_once(' ')?;
    if !kind.eq_ignore_ascii_case("sha-256") || pairs.len() != 95 {
        return None;
    }
    let bytes: Option<Vec<u8>> = pairs.split(':').map(|pair| u8::from_str_radix(pair, 16).ok()).collect();
    bytes?.try_into().ok()
}

/// Without the password.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials({}, …)", self.ufrag)
    }
}
