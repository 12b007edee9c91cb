//! SRTP and SRTCP with the two suites of RFC 4568 that every telephone has (RFC 3711, AES in counter mode, HMAC-SHA-1).
//!
//! A packet counts only after its tag was checked: what was changed, made up or sent again is dropped and counted, and never
//! sounds. Nothing is allocated per packet.

use aes::{
    Aes128, Block,
    cipher::{BlockCipherEncrypt, KeyInit},
};
use hmac::{Hmac, Mac};
use sha1::Sha1;

use super::{SrtpKey, SrtpSuite, rtp};

/// Longest tag.
pub const TAG: usize = 10;
/// What SRTCP adds: index and tag.
pub const CONTROL: usize = 4 + TAG;
/// Session keys, salts and tags for RTP and RTCP.
const AUTH: usize = 20;
const SALT: usize = 14;
/// Sources whose counters are kept at once; a phone has one, and another after a transfer.
const SOURCES: usize = 8;

/// No tag, a wrong one, or a packet that was there before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused;

/// Opens what one side sends.
pub struct Opener {
    key: SrtpKey,
    rtp: Session,
    rtcp: Session,
    sources: [Option<Source>; SOURCES],
    /// The next place to be given away when all are taken.
    next: usize,
}

/// Seals what we send: one source.
pub struct Sealer {
    key: SrtpKey,
    rtp: Session,
    rtcp: Session,
    /// Sequence number of the last packet, extended by its cycles.
    last: Option<u64>,
    index: u32,
}

/// Keys of one kind of packet.
struct Session {
    cipher: Aes128,
    salt: [u8; SALT],
    /// Keyed; cloned for each packet.
    mac: Hmac<Sha1>,
    tag: usize,
}

#[derive(Clone, Copy)]
struct Source {
    ssrc: u32,
    rtp: Option<Window>,
    rtcp: Option<Window>,
}

/// Which of the last 64 packets came.
#[derive(Clone, Copy, Debug)]
struct Window {
    /// Highest index.
    highest: u64,
    /// Bit n: the packet n before `highest` came.
    seen: u64,
}

impl Opener {
    pub fn new(key: SrtpKey) -> Self {
        let (rtp, rtcp) = sessions(&key);
        Self { key, rtp, rtcp, sources: [None; SOURCES], next: 0 }
    }

    /// Takes up a key; the counters go on as long as it stays the same.
    pub fn follow(held: &mut Option<Self>, key: Option<SrtpKey>) {
        if held.as_ref().map(|it| it.key) != key {
            *held = key.map(Self::new);
        }
    }

    /// Checks and decrypts an RTP packet in place.
    ///
    /// * returns — its length without the tag.
    pub fn open_rtp(&mut self, packet: &mut [u8]) -> Result<usize, Refused> {
        let length = packet.len().checked_sub(self.rtp.tag).ok_or(Refused)?;
        let (body, tag) = packet.split_at_mut(length);
        let payload = rtp::payload_begins(body).ok_or(Refused)?;
        let (sequence, ssrc) = (u16::from_be_bytes([body[2], body[3]]), word(body, 8));
        let window = self.source(ssrc).and_then(|source| source.rtp);
        let index = window.map_or_else(|| u64::from(sequence), |window| guess(window.highest, sequence));
        if window.is_some_and(|window| window.knows(index)) {
            return Err(Refused);
        }
        self.rtp.check(&[body, &cycles(index)], tag)?;
        self.rtp.crypt(ssrc, index, &mut body[payload..]);
        self.place(ssrc).rtp = Some(Window::with(window, index));
        Ok(length)
    }

    /// Checks and decrypts an RTCP compound in place.
    ///
    /// * returns — its length without index and tag.
    pub fn open_rtcp(&mut self, packet: &mut [u8]) -> Result<usize, Refused> {
        let length = packet.len().checked_sub(CONTROL).filter(|length| *length >= 8).ok_or(Refused)?;
        let (body, tag) = packet.split_at_mut(length + 4);
        let (ssrc, index) = (word(body, 4), word(body, length));
        let (encrypted, index) = (index >> 31 == 1, u64::from(index & 0x7FFF_FFFF));
        let window = self.source(ssrc).and_then(|source| source.rtcp);
        if window.is_some_and(|window| window.knows(index)) {
            return Err(Refused);
        }
        self.rtcp.check(&[body], tag)?;
        if encrypted {
            self.rtcp.crypt(ssrc, index, &mut body[8..length]);
        }
        self.place(ssrc).rtcp = Some(Window::with(window, index));
        Ok(length)
    }

    fn source(&self, ssrc: u32) -> Option<&Source> {
        self.sources.iter().flatten().find(|source| source.ssrc == ssrc)
    }

    /// The counters of a source that has just proved itself.
    fn place(&mut self, ssrc: u32) -> &mut Source {
        let known = self.sources.iter().position(|source| source.is_some_and(|source| source.ssrc == ssrc));
        let place = known.unwrap_or_else(|| {
            let place = self.next;
            self.next = (self.next + 1) % SOURCES;
            self.sources[place] = None;
            place
        });
        self.sources[place].get_or_insert(Source { ssrc, rtp: None, rtcp: None })
    }
}

impl Sealer {
    pub fn new(key: SrtpKey) -> Self {
        let (rtp, rtcp) = sessions(&key);
        Self { key, rtp, rtcp, last: None, index: 0 }
    }

    /// Takes up a key; the counters go on as long as it stays the same.
    pub fn follow(held: &mut Option<Self>, key: Option<SrtpKey>) {
        if held.as_ref().map(|it| it.key) != key {
            *held = key.map(Self::new);
        }
    }

    /// Encrypts an RTP packet of ours and adds its tag.
    ///
    /// * `out` — gets the sealed packet.
    pub fn seal_rtp(&mut self, packet: &[u8], out: &mut Vec<u8>) {
        out.clear();
        out.extend_from_slice(packet);
        let Some(payload) = rtp::payload_begins(packet) else { return };
        let sequence = u16::from_be_bytes([packet[2], packet[3]]);
        let index = self.last.map_or_else(|| u64::from(sequence), |last| guess(last, sequence));
        self.last = Some(index);
        self.rtp.crypt(word(packet, 8), index, &mut out[payload..]);
        let tag = self.rtp.tag(&[out, &cycles(index)]);
        out.extend_from_slice(&tag[..self.rtp.tag]);
    }

    /// Encrypts an RTCP compound of ours in place, and adds index and tag.
    pub fn seal_rtcp(&mut self, compound: &mut Vec<u8>) {
        if compound.len() < 8 {
            return;
        }
        self.index = (self.index + 1) & 0x7FFF_FFFF;
        self.rtcp.crypt(word(compound, 4), u64::from(self.index), &mut compound[8..]);
        compound.extend((self.index | 1 << 31).to_be_bytes());
        let tag = self.rtcp.tag(&[compound]);
        compound.extend_from_slice(&tag[..TAG]);
    }
}

/// The session keys of a master key, without key derivation rate (RFC 3711 §4.3).
fn sessions(key: &SrtpKey) -> (Session, Session) {
    let (master, salt) = key.master.split_at(16);
    let master = Aes128::new_from_slice(master).expect("16 bytes are an AES key");
    let derive = |label: u8, out: &mut [u8]| {
        let mut iv = [0; 16];
        iv[..SALT].copy_from_slice(salt);
        iv[7] ^= label;
        out.fill(0);
        keystream(&master, iv, out);
    };
    let session = |first: u8, tag: usize| {
        let (mut cipher, mut auth, mut salt) = ([0; 16], [0; AUTH], [0; SALT]);
        derive(first, &mut cipher);
        derive(first + 1, &mut auth);
        derive(first + 2, &mut salt);
        let mac = Hmac::new_from_slice(&auth).expect("HMAC takes keys of any length");
        Session { cipher: Aes128::new(&cipher.into()), salt, mac, tag }
    };
    let tag = match key.suite {
        SrtpSuite::AesCm128HmacSha1_80 => TAG,
        SrtpSuite::AesCm128HmacSha1_32 => 4,
    };
    // The short tag is for RTP alone (RFC 4568 §6.2.2).
    (session(0, tag), session(3, TAG))
}

impl Session {
    /// Encrypts or decrypts (RFC 3711 §4.1.1).
    fn crypt(&self, ssrc: u32, index: u64, text: &mut [u8]) {
        let mut iv = [0; 16];
        iv[..SALT].copy_from_slice(&self.salt);
        let number = (u128::from(ssrc) << 64 | u128::from(index) << 16).to_be_bytes();
        for (byte, other) in iv.iter_mut().zip(number) {
            *byte ^= other;
        }
        keystream(&self.cipher, iv, text);
    }

    fn tag(&self, parts: &[&[u8]]) -> [u8; AUTH] {
        let mut mac = self.mac.clone();
        for part in parts {
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }

    fn check(&self, parts: &[&[u8]], tag: &[u8]) -> Result<(), Refused> {
        // In a time that does not depend on where they differ.
        let differ = self.tag(parts).iter().zip(tag).fold(0, |differ, (one, other)| differ | (one ^ other));
        if differ == 0 && tag.len() == self.tag { Ok(()) } else { Err(Refused) }
    }
}

impl Window {
    const SIZE: u64 = 64;

    /// Whether a packet came already, or is too old to tell.
    const fn knows(&self, index: u64) -> bool {
        if index > self.highest {
            return false;
        }
        let back = self.highest - index;
        back >= Self::SIZE || self.seen >> back & 1 == 1
    }

    fn with(window: Option<Self>, index: u64) -> Self {
        let Some(Self { highest, seen }) = window else { return Self { highest: index, seen: 1 } };
        if index <= highest {
            return Self { highest, seen: seen | 1 << (highest - index).min(Self::SIZE - 1) };
        }
        let ahead = u32::try_from(index - highest).unwrap_or(u32::MAX);
        Self { highest: index, seen: seen.checked_shl(ahead).unwrap_or(0) | 1 }
    }
}

/// The index nearest to the last one that ends with this sequence number (RFC 3711 §3.3.1).
fn guess(last: u64, sequence: u16) -> u64 {
    let [.., high, low] = last.to_be_bytes();
    let ahead = sequence.wrapping_sub(u16::from_be_bytes([high, low])).cast_signed();
    // Before the first cycle there is nothing.
    last.checked_add_signed(i64::from(ahead)).unwrap_or_else(|| u64::from(sequence)) & 0xFFFF_FFFF_FFFF
}

/// The cycles of an index, as they go into the tag.
fn cycles(index: u64) -> [u8; 4] {
    let [_, _, cycles @ .., _, _] = index.to_be_bytes();
    cycles
}

/// Adds the key stream that begins at a counter.
fn keystream(cipher: &Aes128, iv: [u8; 16], text: &mut [u8]) {
    const AT_ONCE: usize = 8;
    let mut counter = u128::from_be_bytes(iv);
    for piece in text.chunks_mut(16 * AT_ONCE) {
        let mut blocks = [Block::default(); AT_ONCE];
        let used = piece.len().div_ceil(16);
        for block in &mut blocks[..used] {
            *block = counter.to_be_bytes().into();
            counter = counter.wrapping_add(1);
        }
        cipher.encrypt_blocks(&mut blocks[..used]);
        for (byte, key) in piece.iter_mut().zip(blocks.iter().flatten()) {
            *byte ^= key;
        }
    }
}

fn word(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|word| word.try_into().ok()).map_or(0, u32::from_be_bytes)
}

impl std::fmt::Debug for Opener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Opener({:?})", self.key)
    }
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Sealer({:?})", self.key)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bytes(text: &str) -> Vec<u8> {
        hex::decode(text.replace(' ', "")).expect("hex")
    }

    fn key(suite: SrtpSuite) -> SrtpKey {
        let master = bytes("e1f97a0d3e018be0d64fa32c06de4139 0ec675ad498afeebb6960b3aabe6");
        SrtpKey { suite, master: master.try_into().expect("30 bytes") }
    }

    fn pair() -> (Sealer, Opener) {
        let key = key(SrtpSuite::AesCm128HmacSha1_80);
        (Sealer::new(key), Opener::new(key))
    }

    fn packet(sequence: u16, ssrc: u32) -> Vec<u8> {
        [&rtp::header(8, false, sequence, 7, ssrc)[..], &[0x55; 160]].concat()
    }

    fn sealed(sealer: &mut Sealer, packet: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        sealer.seal_rtp(packet, &mut out);
        out
    }

    /// RFC 3711 appendix B.2.
    #[test]
    fn the_key_stream_is_that_of_the_standard() {
        let cipher = Aes128::new_from_slice(&bytes("2B7E151628AED2A6ABF7158809CF4F3C")).expect("a key");
        let iv = bytes("F0F1F2F3F4F5F6F7F8F9FAFBFCFD0000").try_into().expect("16 bytes");
        let mut stream = [0; 48];
        keystream(&cipher, iv, &mut stream);
        let expected = "E03EAD0935C95E80E166B16DD92B4EB4 D23513162B02D0F72A43A2FE4A5F97AB \
                        41E95B3BB0A2E8DD477901E4FCA894C0";
        assert_eq!(stream.to_vec(), bytes(expected));
    }

    /// RFC 3711 appendix B.3.
    #[test]
    fn session_keys_are_those_of_the_standard() {
        let master = key(SrtpSuite::AesCm128HmacSha1_80).master;
        let cipher = Aes128::new_from_slice(&master[..16]).expect("a key");
        for (label, expected) in [
            (0, "C61E7A93744F39EE10734AFE3FF7A087"),
            (2, "30CBBC08863D8C85D49DB34A9AE1"),
            (1, "CEBE321F6FF7716B6FD4AB49AF256A156D38BAA4"),
        ] {
            let mut iv = [0; 16];
            iv[..SALT].copy_from_slice(&master[16..]);
            iv[7] ^= label;
            let mut derived = vec![0; bytes(expected).len()];
            keystream(&cipher, iv, &mut derived);
            assert_eq!(derived, bytes(expected), "label {label}");
        }
    }

    /// The packets of libsrtp's own check, made with the master key of RFC 3711.
    #[test]
    fn whole_packets_are_those_of_another_implementation() {
        let (mut sealer, mut opener) = pair();
        let plain = bytes("800f1234decafbadcafebabe abababababababababababababababab");
        let wire = bytes("800f1234decafbadcafebabe 4e55dc4ce79978d88ca4d215949d2402 b78d6acc99ea179b8dbb");
        assert_eq!(hex::encode(sealed(&mut sealer, &plain)), hex::encode(&wire));
        let mut received = wire;
        assert_eq!(opener.open_rtp(&mut received), Ok(plain.len()));
        assert_eq!(received[..plain.len()], plain);

        let plain = bytes("81c8000bcafebabe abababababababababababababababab");
        let wire = bytes("81c8000bcafebabe 7128035be487b9bdbef89041f977a5a8 80000001 993e08cd54d6c1230798");
        let mut compound = plain.clone();
        sealer.seal_rtcp(&mut compound);
        assert_eq!(hex::encode(&compound), hex::encode(wire));
        assert_eq!(opener.open_rtcp(&mut compound), Ok(plain.len()));
        assert_eq!(compound[..plain.len()], plain);
    }

    #[test]
    fn the_short_tag_is_for_sound_alone() {
        let key = key(SrtpSuite::AesCm128HmacSha1_32);
        let (mut sealer, mut opener) = (Sealer::new(key), Opener::new(key));
        let mut wire = sealed(&mut sealer, &packet(1, 2));
        assert_eq!(wire.len(), 172 + 4);
        assert_eq!(opener.open_rtp(&mut wire), Ok(172));
        let mut compound = bytes("80c90001 00000002");
        sealer.seal_rtcp(&mut compound);
        assert_eq!(compound.len(), 8 + CONTROL);
        assert_eq!(opener.open_rtcp(&mut compound), Ok(8));
    }

    #[test]
    fn a_packet_counts_once_in_whatever_order_they_come_and_over_the_cycles() {
        let (mut sealer, mut opener) = pair();
        let mut wires: Vec<_> =
            (0..200_u16).map(|number| sealed(&mut sealer, &packet(65_400_u16.wrapping_add(number), 2))).collect();
        wires.swap(135, 136); // the change of the cycle
        wires.swap(10, 60);
        for wire in &wires {
            assert_eq!(opener.open_rtp(&mut wire.clone()), Ok(172));
        }
        for wire in &wires {
            assert_eq!(opener.open_rtp(&mut wire.clone()), Err(Refused), "again");
        }
    }

    #[test]
    fn what_was_changed_made_up_or_sealed_with_another_key_is_refused_and_moves_nothing() {
        let (mut sealer, mut opener) = pair();
        let mut other = key(SrtpSuite::AesCm128HmacSha1_80);
        other.master[0] ^= 1;
        let mut foreign = sealed(&mut Sealer::new(other), &packet(40_000, 2));
        assert_eq!(opener.open_rtp(&mut foreign), Err(Refused));
        assert_eq!(opener.open_rtp(&mut packet(40_001, 2)), Err(Refused), "in clear");
        let wire = sealed(&mut sealer, &packet(1, 2));
        for at in [1, 3, 5, 9, 40, 171, 181] {
            let mut changed = wire.clone();
            changed[at] ^= 1;
            assert_eq!(opener.open_rtp(&mut changed), Err(Refused), "byte {at}");
        }
        assert_eq!(opener.open_rtp(&mut wire.clone()), Ok(172));
        let mut report = bytes("80c90001 00000002");
        sealer.seal_rtcp(&mut report);
        report[8] ^= 0x80; // "not encrypted"
        assert_eq!(opener.open_rtcp(&mut report), Err(Refused));
    }

    #[test]
    fn many_sources_do_not_grow_it() {
        let (_, mut opener) = pair();
        for ssrc in 0..100 {
            let mut sealer = Sealer::new(key(SrtpSuite::AesCm128HmacSha1_80));
            assert_eq!(opener.open_rtp(&mut sealed(&mut sealer, &packet(1, ssrc))), Ok(172));
        }
        assert_eq!(opener.sources.iter().flatten().count(), SOURCES);
    }

    #[test]
    fn keys_are_not_printed() {
        let (sealer, opener) = pair();
        let text = format!("{sealer:?} {opener:?} {:?}", sealer.key);
        assert!(text.contains("HmacSha1_80") && !text.contains("225") && !text.contains("e1"), "{text}");
    }

    proptest! {
        #[test]
        fn no_datagram_is_opened_or_makes_it_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let (_, mut opener) = pair();
            prop_assert!(opener.open_rtp(&mut bytes.clone()).is_err());
            prop_assert!(opener.open_rtcp(&mut bytes).is_err());
        }
    }
}
