//! Damage, drawn by dice.

use fastrand::Rng;

/// Longest mutant, bytes: a little less than a datagram holds.
const LONGEST: usize = 60_000;

/// Words that have broken parsers before.
const WORDS: [&[u8]; 24] = [
    b"\r\n",
    b"\r\n\r\n",
    b"\n\n",
    b"\0",
    b";;",
    b";tag=",
    b";branch=",
    b";lr;lr",
    b"<sip:",
    b">",
    b"\"",
    b"\\\"",
    b"%00",
    b"%",
    b"[::1]",
    b"@",
    b"@@",
    b"\xff\xfe",
    b"\xc5\xae",
    b"\xf0\x9f\x98\x80",
    b"Content-Length: 0\r\n",
    b"Via: SIP/2.0/UDP a;branch=z9hG4bK\r\n",
    b"SIP/2.0",
    b" ",
];
const NUMBERS: [&[u8]; 12] = [
    b"0",
    b"-1",
    b"65535",
    b"65536",
    b"2147483647",
    b"2147483648",
    b"4294967295",
    b"4294967296",
    b"18446744073709551615",
    b"18446744073709551616",
    b"99999999999999999999999999999999",
    b"1e9",
];

/// A message with one to four kinds of damage.
///
/// * `other` — a message of which a part may be taken.
pub(super) fn text(seed: &[u8], other: &[u8], dice: &mut Rng) -> Vec<u8> {
    let mut mutant = seed.to_vec();
    for _ in 0..dice.usize(1..=4) {
        match dice.u32(..10) {
            0..3 => damage(&mut mutant, dice),
            3 | 4 => insert(&mut mutant, WORDS[dice.usize(..WORDS.len())], dice),
            5 => number(&mut mutant, dice),
            6 | 7 => lines(&mut mutant, dice),
            8 => {
                let part = range(other.len(), dice);
                insert(&mut mutant, &other[part], dice);
            }
            _ => {
                let word = [b'a', b' ', b'1', b';', b'"', 0x80][dice.usize(..6)];
                let long = vec![word; 1 << dice.usize(..14)];
                insert(&mut mutant, &long, dice);
            }
        }
    }
    mutant.truncate(LONGEST);
    mutant
}

/// A packet with one to four kinds of damage; one in ten is left whole.
pub(super) fn bytes(seed: &[u8], dice: &mut Rng) -> Vec<u8> {
    let mut mutant = seed.to_vec();
    if dice.u32(..10) > 0 {
        for _ in 0..dice.usize(1..=4) {
            damage(&mut mutant, dice);
        }
    }
    mutant.truncate(LONGEST);
    mutant
}

/// A well-formed packet, and whether it is at home on the RTCP port.
pub(super) fn media(kind: &str, dice: &mut Rng) -> (Vec<u8>, bool) {
    let mut packet = Vec::new();
    match kind {
        "rtp" => {
            let payload_type = [8, 0, 101, 13, 96][dice.usize(..5)];
            // Now and then with contributing sources, an extension or padding.
            let flags = [0x80, 0x80, 0x80, 0x83, 0x90, 0xA0][dice.usize(..6)];
            packet.extend([flags, payload_type]);
            packet.extend(dice.u16(..).to_be_bytes());
            packet.extend(dice.u32(..).to_be_bytes());
            packet.extend(dice.u32(..4).to_be_bytes());
            packet.extend(std::iter::repeat_with(|| dice.u8(..)).take(160));
        }
        "rtcp" => {
            // Sender report with one block, source description, goodbye (RFC 3550 §6).
            packet.extend([0x81, 200, 0, 12]);
            packet.extend(std::iter::repeat_with(|| dice.u8(..)).take(48));
            packet.extend([0x81, 202, 0, 3, 0, 0, 0, 1, 1, 4, b'a', b'b', b'c', b'd', 0, 0]);
            packet.extend([0x81, 203, 0, 1, 0, 0, 0, 1]);
        }
        _ => {
            // Binding request with USERNAME and PRIORITY (RFC 8489 §5).
            packet.extend([0, 1, 0, 20, 0x21, 0x12, 0xA4, 0x42]);
            packet.extend(std::iter::repeat_with(|| dice.u8(..)).take(12));
            packet.extend([0, 6, 0, 8]);
            packet.extend(b"abcd:efg");
            packet.extend([0, 0x24, 0, 4, 1, 2, 3, 4]);
        }
    }
    (packet, kind == "rtcp")
}

fn damage(mutant: &mut Vec<u8>, dice: &mut Rng) {
    if mutant.is_empty() {
        mutant.push(dice.u8(..));
        return;
    }
    let at = dice.usize(..mutant.len());
    match dice.u32(..6) {
        0 => mutant[at] ^= 1 << dice.u32(..8),
        1 => mutant[at] = dice.u8(..),
        2 => drop(mutant.drain(range(mutant.len(), dice))),
        3 => {
            let part = mutant[range(mutant.len(), dice)].to_vec();
            insert(mutant, &part, dice);
        }
        4 => {
            let noise: Vec<u8> = std::iter::repeat_with(|| dice.u8(..)).take(16).collect();
            insert(mutant, &noise[..dice.usize(1..=16)], dice);
        }
        _ => mutant.truncate(at),
    }
}

fn insert(mutant: &mut Vec<u8>, part: &[u8], dice: &mut Rng) {
    let at = dice.usize(..=mutant.len());
    mutant.splice(at..at, part.iter().copied());
}

/// Puts another number in the place of one.
fn number(mutant: &mut Vec<u8>, dice: &mut Rng) {
    if mutant.is_empty() {
        return;
    }
    let from = dice.usize(..mutant.len());
    let Some(start) = mutant[from..].iter().position(u8::is_ascii_digit).map(|at| from + at) else { return };
    let length = mutant[start..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    mutant.splice(start..start + length, NUMBERS[dice.usize(..NUMBERS.len())].iter().copied());
}

/// Takes a line away, doubles it or puts it elsewhere.
fn lines(mutant: &mut Vec<u8>, dice: &mut Rng) {
    let mut all: Vec<Vec<u8>> = mutant.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    if all.is_empty() {
        return;
    }
    let line = all.remove(dice.usize(..all.len()));
    for _ in 0..dice.usize(..=2) {
        let at = dice.usize(..=all.len());
        all.insert(at, line.clone());
    }
    *mutant = all.concat();
}

/// A short piece of something this long.
fn range(length: usize, dice: &mut Rng) -> std::ops::Range<usize> {
    let start = dice.usize(..=length);
    start..(start + dice.usize(..=64)).min(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_makes_the_same_mutants_and_none_is_too_long() {
        let make = |seed| {
            let mut dice = Rng::with_seed(seed);
            (0..2_000)
                .map(|_| {
                    let (packet, _) = media(["rtp", "rtcp", "stun"][dice.usize(..3)], &mut dice);
                    let whole = bytes(&packet, &mut dice);
                    text(&whole, b"Via: x\r\n", &mut dice)
                })
                .collect::<Vec<_>>()
        };
        assert_eq!(make(3), make(3));
        assert_ne!(make(3), make(4));
        assert!(make(5).iter().all(|mutant| mutant.len() <= LONGEST));
        let mut dice = Rng::with_seed(1);
        assert!((0..500).all(|_| text(b"", b"", &mut dice).len() <= LONGEST), "nothing can be damaged too");
    }
}
