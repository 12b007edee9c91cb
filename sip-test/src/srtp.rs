//! Sealed media as a telephone does it: SRTP and SRTCP with AES_CM_128_HMAC_SHA1_80 (RFC 3711, RFC 4568).
//!
//! Written from the standards and for the phone alone, so that it is a second opinion on what the line seals and opens.

use aes::{
    Aes128,
    cipher::{KeyIvInit, StreamCipher},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;

type Counter = ctr::Ctr128BE<Aes128>;

/// Key and salt of one direction.
pub(crate) type Master = [u8; 30];

const SUITE: &str = "AES_CM_128_HMAC_SHA1_80";
const TAG: usize = 10;

/// Both directions of a call.
pub(crate) struct Srtp {
    own: Keys,
    far: Keys,
    /// Cycles and last sequence number, each way.
    sent: Option<(u32, u16)>,
    heard: Option<(u32, u16)>,
    reports: u32,
}

struct Keys {
    rtp: Session,
    rtcp: Session,
}

struct Session {
    key: [u8; 16],
    auth: [u8; 20],
    salt: [u8; 14],
}

/// A key of our own. Good enough for a test phone, not for secrets.
pub(crate) fn master() -> Master {
    std::array::from_fn(|_| fastrand::u8(..))
}

/// The attribute that offers a key.
pub(crate) fn attribute(master: &Master) -> String {
    format!("a=crypto:1 {SUITE} inline:{}", STANDARD.encode(master))
}

/// The key in an attribute's value, if it is one of our suite.
pub(crate) fn read(attribute: &str) -> Option<Master> {
    let mut words = attribute.strip_prefix("crypto:")?.split_whitespace().skip(1);
    let key = words.next().filter(|suite| *suite == SUITE).and_then(|_| words.next())?;
    let key = key.strip_prefix("inline:")?.split('|').next()?;
    STANDARD.decode(key).ok()?.try_into().ok()
}

impl Srtp {
    pub(crate) fn new(own: &Master, far: &Master) -> Self {
        Self { own: Keys::of(own), far: Keys::of(far), sent: None, heard: None, reports: 0 }
    }

    /// Seals a packet of ours.
    pub(crate) fn seal(&mut self, mut packet: Vec<u8>) -> Vec<u8> {
        let (sequence, ssrc) = (half(&packet, 2), word(&packet, 8));
        let cycles =
            self.sent.map_or(0, |(cycles, last)| cycles + u32::from(last > sequence && last - sequence > 0x8000));
        self.sent = Some((cycles, sequence));
        self.own.rtp.crypt(ssrc, u64::from(cycles) << 16 | u64::from(sequence), &mut packet[12..]);
        let tag = self.own.rtp.tag(&[&packet[..], &cycles.to_be_bytes()].concat());
        packet.extend(tag);
        packet
    }

    /// Opens a packet of theirs; nothing if its tag is wrong.
    pub(crate) fn open(&mut self, packet: &[u8]) -> Option<Vec<u8>> {
        let (body, tag) = packet.split_at_checked(packet.len().checked_sub(TAG)?)?;
        let (sequence, ssrc) = (half(body.get(..12)?, 2), word(body, 8));
        let cycles = match self.heard {
            Some((cycles, last)) if last > sequence && last - sequence > 0x8000 => cycles + 1,
            Some((cycles, last)) if sequence > last && sequence - last > 0x8000 => cycles.checked_sub(1)?,
            Some((cycles, _)) => cycles,
            None => 0,
        };
        if self.far.rtp.tag(&[body, &cycles.to_be_bytes()].concat()) != tag {
            return None;
        }
        self.heard = Some((cycles, sequence));
        let mut body = body.to_vec();
        self.far.rtp.crypt(ssrc, u64::from(cycles) << 16 | u64::from(sequence), &mut body[12..]);
        Some(body)
    }

    /// Seals a report of ours.
    pub(crate) fn seal_report(&mut self, mut report: Vec<u8>) -> Vec<u8> {
        self.reports += 1;
        let ssrc = word(&report, 4);
        self.own.rtcp.crypt(ssrc, u64::from(self.reports), &mut report[8..]);
        report.extend((self.reports | 1 << 31).to_be_bytes());
        let tag = self.own.rtcp.tag(&report);
        report.extend(tag);
        report
    }

    /// Opens a report of theirs; nothing if its tag is wrong or it is not encrypted.
    pub(crate) fn open_report(&self, report: &[u8]) -> Option<Vec<u8>> {
        let (body, tag) = report.split_at_checked(report.len().checked_sub(TAG)?)?;
        let (text, index) = body.split_at_checked(body.len().checked_sub(4).filter(|length| *length >= 8)?)?;
        let index = word(index, 0);
        if self.far.rtcp.tag(body) != tag || index >> 31 == 0 {
            return None;
        }
        let mut text = text.to_vec();
        let ssrc = word(&text, 4);
        self.far.rtcp.crypt(ssrc, u64::from(index & 0x7FFF_FFFF), &mut text[8..]);
        Some(text)
    }
}

impl Keys {
    /// Source: RFC 3711 §4.3.1, without key derivation rate.
    fn of(master: &Master) -> Self {
        let derive = |label: u8, out: &mut [u8]| {
            let mut start = [0; 16];
            start[..14].copy_from_slice(&master[16..]);
            start[7] ^= label;
            counter(&master[..16], start).apply_keystream(out);
        };
        let session = |label: u8| {
            let mut session = Session { key: [0; 16], auth: [0; 20], salt: [0; 14] };
            derive(label, &mut session.key);
            derive(label + 1, &mut session.auth);
            derive(label + 2, &mut session.salt);
            session
        };
        Self { rtp: session(0), rtcp: session(3) }
    }
}

impl Session {
    /// Source: RFC 3711 §4.1.1.
    fn crypt(&self, ssrc: u32, index: u64, text: &mut [u8]) {
        let mut start = [0; 16];
        start[..14].copy_from_slice(&self.salt);
        for (byte, other) in start[4..8].iter_mut().zip(ssrc.to_be_bytes()) {
            *byte ^= other;
        }
        for (byte, other) in start[8..14].iter_mut().zip(&index.to_be_bytes()[2..]) {
            *byte ^= other;
        }
        counter(&self.key, start).apply_keystream(text);
    }

    fn tag(&self, text: &[u8]) -> [u8; TAG] {
        let mut mac = Hmac::<Sha1>::new_from_slice(&self.auth).expect("HMAC takes keys of any length");
        mac.update(text);
        let whole = mac.finalize().into_bytes();
        std::array::from_fn(|index| whole[index])
    }
}

fn counter(key: &[u8], start: [u8; 16]) -> Counter {
    Counter::new_from_slices(key, &start).expect("16 bytes are a key, and 16 a start")
}

fn half(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 3711 appendix B.3.
    #[test]
    fn session_keys_are_those_of_the_standard() {
        let master = [
            0xE1, 0xF9, 0x7A, 0x0D, 0x3E, 0x01, 0x8B, 0xE0, 0xD6, 0x4F, 0xA3, 0x2C, 0x06, 0xDE, 0x41, 0x39, 0x0E, 0xC6,
            0x75, 0xAD, 0x49, 0x8A, 0xFE, 0xEB, 0xB6, 0x96, 0x0B, 0x3A, 0xAB, 0xE6,
        ];
        let keys = Keys::of(&master);
        assert_eq!(keys.rtp.key[..4], [0xC6, 0x1E, 0x7A, 0x93]);
        assert_eq!(keys.rtp.salt[..4], [0x30, 0xCB, 0xBC, 0x08]);
        assert_eq!(keys.rtp.auth[..4], [0xCE, 0xBE, 0x32, 0x1F]);
    }

    #[test]
    fn what_one_end_seals_the_other_opens_over_the_cycle_and_nobody_else_does() {
        let (own, far) = (master(), master());
        let (mut here, mut there) = (Srtp::new(&own, &far), Srtp::new(&far, &own));
        for number in 65_500..65_600_u32 {
            let mut packet = vec![0x80, 8];
            packet.extend(&number.to_be_bytes()[2..]);
            packet.extend([0; 8]);
            packet.extend([0x55; 160]);
            let sealed = here.seal(packet.clone());
            assert_ne!(sealed[12..172], packet[12..]);
            assert_eq!(here.open(&sealed), None, "its own direction");
            assert_eq!(there.open(&sealed), Some(packet));
        }
        let report = vec![0x80, 201, 0, 1, 0, 0, 0, 9, 1, 2, 3, 4];
        let mut sealed = here.seal_report(report.clone());
        assert_eq!(there.open_report(&sealed), Some(report));
        sealed[9] ^= 1;
        assert_eq!(there.open_report(&sealed), None);
    }

    #[test]
    fn an_offered_key_reads_back() {
        let key = master();
        let line = attribute(&key);
        assert_eq!(read(line.trim_start_matches("a=")), Some(key));
        assert_eq!(read("crypto:1 AES_CM_128_HMAC_SHA1_32 inline:xx"), None);
    }
}
