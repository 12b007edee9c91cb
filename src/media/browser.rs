//! What a browser has to show before its sound is taken, and what it is answered: that it knows our password (ICE, of which
//! we are a lite agent: RFC 8445 §2.5), and that it holds the certificate its description names (DTLS-SRTP: RFC 5764).
//!
//! Pure: datagrams and time go in, datagrams and news come out. A browser that moves to another network tests the way from
//! there and says that it uses it; from then on we send there. The handshake is webrtc-rs's; the peer connection above it
//! keeps the first way for ever, and all that a lite agent has to do of ICE stands here.

use std::{
    collections::VecDeque,
    fmt,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use rtc_crypto::RTCCryptoProvider;
use rtc_dtls::{
    config::{ClientAuthType, ConfigBuilder},
    crypto::Certificate,
    endpoint::{Endpoint, EndpointEvent},
    extension::extension_use_srtp::SrtpProtectionProfile,
};
use rtc_shared::{TransportProtocol, error::Error};
use rtc_stun::{
    attributes::{ATTR_USE_CANDIDATE, ATTR_USERNAME},
    fingerprint::FINGERPRINT,
    integrity::MessageIntegrity,
    message::{BINDING_REQUEST, BINDING_SUCCESS, Message, Setter},
    xoraddr::XorMappedAddress,
};
use sha2::{Digest, Sha256};

use super::{MediaError, Srtp, SrtpKey, SrtpSuite};

/// What RFC 5764 §4.2 exports keys under.
const LABEL: &str = "EXTRACTOR-dtls_srtp";
/// Two keys of 16 bytes and two salts of 14.
const KEYING: usize = 60;
/// Addresses of a browser that are answered; the oldest gives way.
const KNOWN: usize = 8;
/// Datagrams of ours that wait; the shard sends after every step.
const WAITING: usize = 32;

/// The line's certificate for browsers, made at each start: its hash stands in every description. Cheap to clone.
#[derive(Clone)]
pub struct Identity {
    certificate: Certificate,
    provider: Arc<dyn RTCCryptoProvider>,
    /// SHA-256 of the certificate.
    pub fingerprint: [u8; 32],
}

/// What offer and answer settled with a browser.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Browser {
    /// Ours.
    pub ufrag: String,
    /// Ours.
    pub password: String,
    /// SHA-256 of their certificate.
    pub fingerprint: [u8; 32],
}

/// The gate of one leg.
pub struct Gate {
    browser: Browser,
    provider: Arc<dyn RTCCryptoProvider>,
    dtls: Endpoint,
    /// Addresses that have shown our password, the latest last.
    known: VecDeque<SocketAddr>,
    /// Where the browser wants to be reached.
    way: Option<SocketAddr>,
    keys: Option<Box<Srtp>>,
    /// The handshake has failed for good.
    broken: bool,
    waiting: VecDeque<(SocketAddr, Vec<u8>)>,
}

/// What became of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passage {
    /// RTP or RTCP: for the leg.
    Sound,
    /// The gate's own, and nothing has changed by it.
    Kept,
    /// The same, and the way or the keys are others now.
    Changed,
    /// From somebody who has not shown the password, or what nobody can read.
    Refused,
}

impl Identity {
    /// A fresh certificate.
    pub fn generate() -> Result<Self, MediaError> {
        let failed = |error: &dyn fmt::Display| MediaError::Settings(format!("no certificate for browsers: {error}"));
        let provider = rtc_crypto::default_provider().map_err(|error| failed(&error))?;
        let certificate = Certificate::generate_self_signed(vec!["hotline".to_owned()], provider.crypto())
            .map_err(|error| failed(&error))?;
        let fingerprint = certificate.certificate.first().map(Sha256::digest).unwrap_or_default().into();
        Ok(Self { certificate, provider, fingerprint })
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity")
    }
}

impl Gate {
    /// * `local` — the address of the port; only a name here.
    pub fn new(identity: &Identity, browser: Browser, local: SocketAddr) -> Result<Self, MediaError> {
        let wanted = browser.fingerprint;
        let verify = move |chain: &[Vec<u8>], _: &[_]| match chain.first() {
            Some(certificate) if Sha256::digest(certificate).as_slice() == wanted => Ok(()),
            _ => Err(Error::Other("another certificate than the description names".into())),
        };
        let config = ConfigBuilder::default()
            .with_crypto_provider(identity.provider.clone())
            .with_certificates(vec![identity.certificate.clone()])
            .with_srtp_protection_profiles(vec![SrtpProtectionProfile::Srtp_Aes128_Cm_Hmac_Sha1_80])
            .with_client_auth(ClientAuthType::RequireAnyClientCert)
            .with_insecure_skip_verify(true)
            .with_verify_peer_certificate(Some(Arc::new(verify)))
            .with_flight_interval(Duration::from_millis(200))
            .build(false, None)
            .map_err(|error| MediaError::Settings(format!("DTLS: {error}")))?;
        Ok(Self {
            browser,
            provider: identity.provider.clone(),
            dtls: Endpoint::new(local, TransportProtocol::UDP, Some(Arc::new(config))),
            known: VecDeque::with_capacity(KNOWN),
            way: None,
            keys: None,
            broken: false,
            waiting: VecDeque::new(),
        })
    }

    /// Whether this is the gate of what was settled.
    pub fn is_for(&self, browser: &Browser) -> bool {
        self.browser == *browser
    }

    /// Where the browser wants to be reached, once it has shown the password.
    pub const fn way(&self) -> Option<SocketAddr> {
        self.way
    }

    /// What the sound is sealed with, once the handshake is over.
    pub fn keys(&self) -> Option<&Srtp> {
        self.keys.as_deref()
    }

    /// Takes a datagram; RFC 7983 tells them apart by their first byte.
    pub fn handle(&mut self, at: Instant, from: SocketAddr, datagram: &[u8]) -> Passage {
        match datagram.first() {
            Some(0..=3) => self.test(from, datagram).unwrap_or(Passage::Refused),
            Some(20..=63) if self.known.contains(&from) => self.shake(at, datagram),
            Some(128..=191) if self.keys.is_some() => Passage::Sound,
            _ => Passage::Refused,
        }
    }

    /// Repeats what the browser did not answer.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.keys.is_none() && !self.broken && self.dtls.poll_timeout(&PEER).is_some_and(|due| due <= now) {
            self.broken = self.dtls.handle_timeout(PEER, now).is_err();
            self.collect();
        }
    }

    /// The next datagram that is to leave. Call until `None`.
    pub fn poll_transmit(&mut self) -> Option<(SocketAddr, Vec<u8>)> {
        self.waiting.pop_front()
    }

    /// A test of a way (RFC 8445 §7.3): answered where it shows our password.
    fn test(&mut self, from: SocketAddr, datagram: &[u8]) -> Option<Passage> {
        let mut request = Message::new();
        request.unmarshal_binary(datagram).ok()?;
        if request.typ != BINDING_REQUEST {
            return None;
        }
        let crypto = self.provider.crypto();
        let name = request.get(ATTR_USERNAME).ok()?;
        let ours = name.split(|byte| *byte == b':').next()?;
        if ours != self.browser.ufrag.as_bytes() {
            return None;
        }
        MessageIntegrity::check(&mut request, self.browser.password.as_bytes(), crypto).ok()?;
        let mut answer = Message::new();
        answer.transaction_id = request.transaction_id;
        answer.set_type(BINDING_SUCCESS);
        answer.write_header();
        let seen = XorMappedAddress { ip: from.ip(), port: from.port() };
        let password = self.browser.password.clone();
        seen.add_to(&mut answer).ok()?;
        MessageIntegrity::new_short_term_integrity_with_provider(password, crypto).add_to(&mut answer).ok()?;
        FINGERPRINT.add_to(&mut answer).ok()?;
        self.send(from, answer.raw);
        self.known.retain(|known| *known != from);
        if self.known.len() == KNOWN {
            self.known.pop_front();
        }
        self.known.push_back(from);
        let uses = request.contains(ATTR_USE_CANDIDATE) || self.way.is_none();
        let moves = uses && self.way != Some(from);
        if moves {
            self.way = Some(from);
        }
        Some(if moves { Passage::Changed } else { Passage::Kept })
    }

    /// A step of the handshake.
    fn shake(&mut self, at: Instant, datagram: &[u8]) -> Passage {
        if self.broken {
            return Passage::Refused;
        }
        // The address is ours to choose: a browser may move in the middle of it.
        let events = self.dtls.read(at, PEER, None, datagram.into());
        self.collect();
        let Ok(events) = events else {
            // A record that cannot be read changes nothing (RFC 6347 §4.1.2.7); a refused certificate does not come again.
            return Passage::Refused;
        };
        let complete = events.iter().any(|event| matches!(event, EndpointEvent::HandshakeComplete));
        if !complete || self.keys.is_some() {
            return Passage::Kept;
        }
        self.keys = self.export();
        self.broken = self.keys.is_none();
        Passage::Changed
    }

    /// The keys of both directions (RFC 5764 §4.2): the client's, which is the browser, come first.
    fn export(&self) -> Option<Box<Srtp>> {
        let state = self.dtls.get_connection_state(PEER)?;
        if state.srtp_protection_profile() != SrtpProtectionProfile::Srtp_Aes128_Cm_Hmac_Sha1_80 {
            return None;
        }
        let material = state.export_keying_material(LABEL, &[], KEYING).ok()?;
        let bytes: &[u8; KEYING] = material.as_ref().try_into().ok()?;
        let key = |key: usize, salt: usize| {
            let mut master = [0; 30];
            master[..16].copy_from_slice(&bytes[key..key + 16]);
            master[16..].copy_from_slice(&bytes[salt..salt + 14]);
            SrtpKey { suite: SrtpSuite::AesCm128HmacSha1_80, master }
        };
        Some(Box::new(Srtp { theirs: key(0, 32), ours: key(16, 46) }))
    }

    /// What the handshake says goes where the browser was heard last.
    fn collect(&mut self) {
        while let Some(out) = self.dtls.poll_transmit() {
            if let Some(to) = self.way {
                self.send(to, out.message.to_vec());
            }
        }
    }

    fn send(&mut self, to: SocketAddr, bytes: Vec<u8>) {
        if self.waiting.len() < WAITING {
            self.waiting.push_back((to, bytes));
        }
    }
}

/// The browser, to the handshake.
const PEER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9);

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate").field("way", &self.way).field("sealed", &self.keys.is_some()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use rtc_stun::{integrity::MessageIntegrity, message::TransactionId, textattrs::Username};

    use super::*;
    use crate::clock::Clock;

    const HERE: ([u8; 4], u16) = ([192, 0, 2, 7], 40_000);
    const THERE: ([u8; 4], u16) = ([198, 51, 100, 9], 50_000);

    /// A browser's side: its certificate, and a handshake that it begins.
    struct Peer {
        identity: Identity,
        dtls: Endpoint,
    }

    impl Peer {
        fn new() -> Self {
            let identity = Identity::generate().expect("a certificate");
            let dtls = Endpoint::new(([127, 0, 0, 1], 1).into(), TransportProtocol::UDP, None);
            Self { identity, dtls }
        }

        fn begin(&mut self, now: Instant) {
            let config = ConfigBuilder::default()
                .with_crypto_provider(self.identity.provider.clone())
                .with_certificates(vec![self.identity.certificate.clone()])
                .with_srtp_protection_profiles(vec![
                    SrtpProtectionProfile::Srtp_Aead_Aes_128_Gcm,
                    SrtpProtectionProfile::Srtp_Aes128_Cm_Hmac_Sha1_80,
                ])
                .with_insecure_skip_verify(true)
                .build(true, Some(PEER))
                .expect("settings");
            self.dtls.connect(now, PEER, Arc::new(config), None).expect("begun");
        }

        /// Carries the handshake on until both have nothing more to say.
        fn shake_hands(&mut self, gate: &mut Gate, from: SocketAddr, now: Instant) -> Vec<Passage> {
            let mut passages = Vec::new();
            loop {
                let mut quiet = true;
                while let Some(out) = self.dtls.poll_transmit() {
                    passages.push(gate.handle(now, from, &out.message));
                    quiet = false;
                }
                while let Some((to, bytes)) = gate.poll_transmit() {
                    assert_eq!(to, from);
                    let _ = self.dtls.read(now, PEER, None, bytes.as_slice().into());
                    quiet = false;
                }
                if quiet {
                    return passages;
                }
            }
        }
    }

    fn gate(peer: &Peer) -> Gate {
        let browser =
            Browser { ufrag: "ours1234".into(), password: "p".repeat(22), fingerprint: peer.identity.fingerprint };
        Gate::new(&Identity::generate().expect("a certificate"), browser, HERE.into()).expect("a gate")
    }

    fn test_of_way(password: &str, uses: bool) -> Vec<u8> {
        let provider = rtc_crypto::default_provider().expect("ring");
        let mut request = Message::new();
        request.transaction_id = TransactionId([7; 12]);
        request.set_type(BINDING_REQUEST);
        request.write_header();
        Username::new(ATTR_USERNAME, "ours1234:theirs".into()).add_to(&mut request).expect("room");
        if uses {
            request.add(ATTR_USE_CANDIDATE, &[]);
        }
        MessageIntegrity::new_short_term_integrity_with_provider(password.into(), provider.crypto())
            .add_to(&mut request)
            .expect("room");
        FINGERPRINT.add_to(&mut request).expect("room");
        request.raw
    }

    #[test]
    fn a_browser_shows_the_password_and_its_certificate_and_both_have_the_same_keys() {
        let (mut peer, now, there) = (Peer::new(), Clock::system().instant(), SocketAddr::from(THERE));
        let mut gate = gate(&peer);
        peer.begin(now);
        let hello = peer.dtls.poll_transmit().expect("a first word").message;
        assert_eq!(gate.handle(now, there, &hello), Passage::Refused, "nobody who has not shown the password");
        assert_eq!(gate.handle(now, there, &test_of_way("another", true)), Passage::Refused);
        assert!(gate.poll_transmit().is_none(), "and nobody is answered");
        assert_eq!(gate.handle(now, there, &test_of_way(&"p".repeat(22), true)), Passage::Changed);
        let (to, answer) = gate.poll_transmit().expect("an answer");
        let mut read = Message::new();
        read.unmarshal_binary(&answer).expect("STUN");
        assert_eq!((to, read.typ, read.transaction_id), (there, BINDING_SUCCESS, TransactionId([7; 12])));
        assert_eq!(gate.handle(now, there, &[0x80; 172]), Passage::Refused, "no sound before the handshake is over");

        assert_eq!(gate.handle(now, there, &hello), Passage::Kept);
        let passages = peer.shake_hands(&mut gate, there, now);
        assert_eq!(passages.iter().filter(|it| **it == Passage::Changed).count(), 1, "{passages:?}");
        let state = peer.dtls.get_connection_state(PEER).expect("a connection");
        let material = state.export_keying_material(LABEL, &[], KEYING).expect("keys");
        let ours = gate.keys().expect("keys");
        assert_eq!(
            (&ours.theirs.master[..16], &ours.ours.master[..16]),
            (&material.as_ref()[..16], &material.as_ref()[16..32])
        );
        assert_eq!(
            (&ours.theirs.master[16..], &ours.ours.master[16..]),
            (&material.as_ref()[32..46], &material.as_ref()[46..])
        );
        assert_eq!(gate.handle(now, there, &[0x80; 172]), Passage::Sound);
    }

    #[test]
    fn another_certificate_than_the_description_names_opens_nothing() {
        let (mut peer, now, there) = (Peer::new(), Clock::system().instant(), SocketAddr::from(THERE));
        let mut gate = gate(&Peer::new());
        gate.handle(now, there, &test_of_way(&"p".repeat(22), true));
        gate.poll_transmit();
        peer.begin(now);
        peer.shake_hands(&mut gate, there, now);
        assert!(gate.keys().is_none());
        assert_eq!(gate.handle(now, there, &[0x80; 172]), Passage::Refused);
    }

    #[test]
    fn a_browser_that_moves_is_reached_where_it_says_so() {
        let (now, there, elsewhere) = (Clock::system().instant(), SocketAddr::from(THERE), SocketAddr::from(HERE));
        let mut gate = gate(&Peer::new());
        let password = "p".repeat(22);
        assert_eq!(gate.handle(now, there, &test_of_way(&password, false)), Passage::Changed, "there is no other yet");
        assert_eq!(gate.handle(now, elsewhere, &test_of_way(&password, false)), Passage::Kept, "only a test");
        assert_eq!(gate.way(), Some(there));
        assert_eq!(gate.handle(now, elsewhere, &test_of_way(&password, true)), Passage::Changed);
        assert_eq!(gate.handle(now, elsewhere, &test_of_way(&password, true)), Passage::Kept, "again");
        assert_eq!(gate.way(), Some(elsewhere));
        for port in 1..=100 {
            gate.handle(now, ([203, 0, 113, 1], port).into(), &test_of_way(&password, false));
        }
        assert_eq!((gate.known.len(), gate.waiting.len()), (KNOWN, WAITING), "bounded");
    }
}
