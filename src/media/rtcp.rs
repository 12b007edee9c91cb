//! RTCP packets as bytes (RFC 3550 §6), compound or of reduced size (RFC 5506).

/// What one packet of a compound says, as far as a telephone cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Item {
    /// SR: `stamp` are the middle 32 bits of the sender's NTP time, to be given back in our next report.
    Sender { stamp: u32 },
    /// How well a stream of `about` is received; from an SR or an RR.
    Report { about: u32, block: Block },
    /// The source leaves.
    Bye { ssrc: u32 },
}

/// A report block without its SSRC (§6.4.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Block {
    /// Lost since the report before, in 256ths.
    pub fraction: u8,
    /// Lost since the beginning; duplicates count against it, so it may be negative. 24 bits.
    pub lost: i32,
    /// Highest sequence number, extended by its cycles.
    pub highest: u32,
    /// Interarrival jitter in units of 1/8000 s.
    pub jitter: u32,
    /// Middle bits of the last SR that was heard, and the time since then in 1/65536 s; zero if there was none.
    pub last_stamp: u32,
    pub delay: u32,
}

/// What an SR says of the stream that we send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Seconds since 1900, 32 bits behind the point.
    pub ntp: u64,
    /// The same moment on the stream's clock.
    pub timestamp: u32,
    pub packets: u32,
    /// Bytes of payload.
    pub octets: u32,
}

/// No RTCP, or lengths that do not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

const SENDER_REPORT: u8 = 200;
const RECEIVER_REPORT: u8 = 201;
const SOURCE_DESCRIPTION: u8 = 202;
const BYE: u8 = 203;
const CNAME: u8 = 1;
const BLOCK: usize = 24;
/// Longest compound that [`write`] makes: SR with one block, SDES with a name of 32 bytes, BYE.
pub const LONGEST: usize = 28 + BLOCK + 44 + 8;

/// Reads a compound. Nothing of it counts unless all of it is sound.
///
/// * `each` — takes what it says, in order.
pub fn read(datagram: &[u8], each: &mut impl FnMut(Item)) -> Result<(), Malformed> {
    walk(datagram, &mut |_| ())?;
    walk(datagram, each)
}

fn walk(mut rest: &[u8], each: &mut impl FnMut(Item)) -> Result<(), Malformed> {
    if rest.is_empty() {
        return Err(Malformed);
    }
    while let [first, kind, high, low, ..] = *rest {
        let length = 4 * (1 + usize::from(u16::from_be_bytes([high, low])));
        if first >> 6 != 2 || !(192..=223).contains(&kind) {
            return Err(Malformed);
        }
        let (packet, behind) = rest.split_at_checked(length).ok_or(Malformed)?;
        let mut body = &packet[4..];
        if first & 0x20 != 0 {
            // Only the last packet may be padded (§6.4.1).
            let padding = usize::from(*body.last().ok_or(Malformed)?);
            let keep = body.len().checked_sub(padding).ok_or(Malformed)?;
            if padding == 0 || padding % 4 != 0 || !behind.is_empty() {
                return Err(Malformed);
            }
            body = &body[..keep];
        }
        packet_says(kind, usize::from(first & 0x1F), body, each)?;
        rest = behind;
    }
    if rest.is_empty() { Ok(()) } else { Err(Malformed) }
}

fn packet_says(kind: u8, count: usize, body: &[u8], each: &mut impl FnMut(Item)) -> Result<(), Malformed> {
    match kind {
        SENDER_REPORT => {
            let (head, blocks) = body.split_at_checked(24).ok_or(Malformed)?;
            each(Item::Sender { stamp: word(head, 6) });
            blocks_say(count, blocks, each)
        }
        RECEIVER_REPORT => blocks_say(count, body.get(4..).ok_or(Malformed)?, each),
        SOURCE_DESCRIPTION => check_chunks(count, body),
        BYE => {
            // A reason may follow; nobody reads it.
            for source in body.get(..4 * count).ok_or(Malformed)?.chunks_exact(4) {
                each(Item::Bye { ssrc: word(source, 0) });
            }
            Ok(())
        }
        // APP, feedback, extended reports: not for us.
        _ => Ok(()),
    }
}

fn blocks_say(count: usize, blocks: &[u8], each: &mut impl FnMut(Item)) -> Result<(), Malformed> {
    // What follows is an extension of the profile.
    for bytes in blocks.get(..BLOCK * count).ok_or(Malformed)?.chunks_exact(BLOCK) {
        let block = Block {
            fraction: bytes[4],
            // The sign of 24 bits.
            lost: (word(bytes, 4) << 8).cast_signed() >> 8,
            highest: word(bytes, 8),
            jitter: word(bytes, 12),
            last_stamp: word(bytes, 16),
            delay: word(bytes, 20),
        };
        each(Item::Report { about: word(bytes, 0), block });
    }
    Ok(())
}

/// Items are not read, but a description that does not fit its length is no RTCP (§6.5).
fn check_chunks(count: usize, mut rest: &[u8]) -> Result<(), Malformed> {
    for _ in 0..count {
        let (_, mut items) = rest.split_at_checked(4).ok_or(Malformed)?;
        let all = items.len();
        loop {
            match *items {
                [0, ..] => break,
                [_, length, ..] => items = items.get(2 + usize::from(length)..).ok_or(Malformed)?,
                _ => return Err(Malformed),
            }
        }
        // At least one zero ends a chunk, more fill its last word.
        let used = 4 + (all - items.len()) / 4 * 4 + 4;
        rest = rest.get(used..).ok_or(Malformed)?;
    }
    Ok(())
}

/// Writes a compound: SR or RR, the name, and BYE at the end of the session.
///
/// * `sent` — what we sent since the last one, if anything.
/// * `heard` — the source that we hear, and how well.
/// * `name` — CNAME, at most 32 bytes.
pub fn write(out: &mut Vec<u8>, ours: u32, sent: Option<Sent>, heard: Option<(u32, Block)>, name: &[u8], bye: bool) {
    out.clear();
    let blocks = u8::from(heard.is_some());
    let length = 1 + if sent.is_some() { 5 } else { 0 } + u16::from(blocks) * 6;
    head(out, blocks, if sent.is_some() { SENDER_REPORT } else { RECEIVER_REPORT }, length);
    out.extend(ours.to_be_bytes());
    if let Some(sent) = sent {
        out.extend(sent.ntp.to_be_bytes());
        out.extend([sent.timestamp, sent.packets, sent.octets].into_iter().flat_map(u32::to_be_bytes));
    }
    if let Some((source, block)) = heard {
        let lost = block.lost.clamp(-0x80_0000, 0x7F_FFFF).cast_unsigned() & 0xFF_FFFF;
        out.extend(source.to_be_bytes());
        out.extend((u32::from(block.fraction) << 24 | lost).to_be_bytes());
        let rest = [block.highest, block.jitter, block.last_stamp, block.delay];
        out.extend(rest.into_iter().flat_map(u32::to_be_bytes));
    }
    let name = &name[..name.len().min(32)];
    let chunk = (4 + 2 + name.len()) / 4 * 4 + 4;
    let begin = out.len() + 4;
    head(out, 1, SOURCE_DESCRIPTION, u16::try_from(chunk / 4).unwrap_or(0));
    out.extend(ours.to_be_bytes());
    out.extend([CNAME, u8::try_from(name.len()).unwrap_or(0)]);
    out.extend(name);
    out.resize(begin + chunk, 0);
    if bye {
        head(out, 1, BYE, 1);
        out.extend(ours.to_be_bytes());
    }
}

/// * `words` — length without the head, in words.
fn head(out: &mut Vec<u8>, count: u8, kind: u8, words: u16) {
    let [high, low] = words.to_be_bytes();
    out.extend([0x80 | count, kind, high, low]);
}

/// Word at a byte of a slice that is long enough.
fn word(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|word| word.try_into().ok()).map_or(0, u32::from_be_bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BLOCK: Block = Block { fraction: 26, lost: -3, highest: 70_000, jitter: 80, last_stamp: 9, delay: 65_536 };
    const SENT: Sent = Sent { ntp: 0x1234_5678_9ABC_DEF0, timestamp: 4, packets: 5, octets: 800 };

    fn items(bytes: &[u8]) -> Result<Vec<Item>, Malformed> {
        let mut items = Vec::new();
        read(bytes, &mut |item| items.push(item)).map(|()| items)
    }

    fn written(sent: Option<Sent>, heard: Option<(u32, Block)>, bye: bool) -> Vec<u8> {
        let mut out = Vec::new();
        write(&mut out, 7, sent, heard, b"0123456789abcdef", bye);
        out
    }

    #[test]
    fn what_is_written_reads_back() {
        let bytes = written(Some(SENT), Some((9, BLOCK)), true);
        let all = [Item::Sender { stamp: 0x5678_9ABC }, Item::Report { about: 9, block: BLOCK }, Item::Bye { ssrc: 7 }];
        assert_eq!(items(&bytes), Ok(all.to_vec()));
        assert_eq!(items(&written(None, Some((9, BLOCK)), false)), Ok(all[1..2].to_vec()));
        assert_eq!(items(&written(None, None, false)), Ok(vec![]));
        assert!(bytes.len() <= LONGEST && bytes.len().is_multiple_of(4));
    }

    #[test]
    fn a_report_is_laid_out_as_the_standard_draws_it() {
        let bytes = written(Some(SENT), Some((9, BLOCK)), false);
        assert_eq!(bytes[..8], [0x81, 200, 0, 12, 0, 0, 0, 7]);
        assert_eq!(bytes[28..36], [0, 0, 0, 9, 26, 0xFF, 0xFF, 0xFD], "three too many are minus three in 24 bits");
        assert_eq!(bytes[52..62], [0x81, 202, 0, 6, 0, 0, 0, 7, 1, 16]);
        assert_eq!(bytes[78..], [0, 0], "a zero ends the name");
    }

    #[test]
    fn reduced_size_and_foreign_kinds_are_taken_and_broken_compounds_as_a_whole_are_not() {
        let bye = [0x81, 203, 0, 1, 0, 0, 0, 7];
        assert_eq!(items(&bye), Ok(vec![Item::Bye { ssrc: 7 }]));
        let app = [0x80, 204, 0, 2, 0, 0, 0, 7, b'n', b'a', b'm', b'e'];
        assert_eq!(items(&[&app[..], &bye].concat()), Ok(vec![Item::Bye { ssrc: 7 }]));
        let padded = [0xA1, 203, 0, 2, 0, 0, 0, 7, 0, 0, 0, 4];
        assert_eq!(items(&padded), Ok(vec![Item::Bye { ssrc: 7 }]));
        for broken in [
            &[][..],
            &[0x81, 203, 0],                                                         // a stump
            &[0x41, 203, 0, 1, 0, 0, 0, 7],                                          // version 1
            &[0x80, 100, 0, 1, 0, 0, 0, 7],                                          // no kind of RTCP
            &[0x82, 203, 0, 1, 0, 0, 0, 7],                                          // two sources, room for one
            &[0x81, 201, 0, 1, 0, 0, 0, 7],                                          // a block that is not there
            &[0x81, 200, 0, 1, 0, 0, 0, 7],                                          // an SR without its sender's part
            &[0x81, 203, 0, 2, 0, 0, 0, 7],                                          // longer than the datagram
            &[0xA1, 203, 0, 2, 0, 0, 0, 7, 0, 0, 0, 3],                              // padding of three
            &[0x81, 202, 0, 2, 0, 0, 0, 7, 1, 9, b'a', b'b'],                        // a name longer than its chunk
            &[0xA1, 203, 0, 2, 0, 0, 0, 7, 0, 0, 0, 4, 0x81, 203, 0, 1, 0, 0, 0, 7], // padding in the middle
        ] {
            assert_eq!(items(&[&bye[..usize::from(!broken.is_empty()) * 8], broken].concat()), Err(Malformed));
        }
    }

    proptest! {
        #[test]
        fn no_datagram_makes_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = items(&bytes);
        }

        #[test]
        fn no_damage_to_a_compound_makes_it_panic(at in 0_usize..104, byte in any::<u8>(), cut in 0_usize..104) {
            let mut bytes = written(Some(SENT), Some((9, BLOCK)), true);
            let last = bytes.len() - 1;
            bytes[at.min(last)] = byte;
            let _ = items(&bytes[..bytes.len() - cut.min(last)]);
        }
    }
}
