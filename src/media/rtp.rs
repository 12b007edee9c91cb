//! RTP packets as bytes (RFC 3550 §5.1).

/// Bytes of a header without CSRC list and extension.
pub const HEADER: usize = 12;

/// A packet as received; `payload` is what is left without header, extension and padding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    /// 0 to 127.
    pub payload_type: u8,
    pub marker: bool,
    pub sequence: u16,
    /// Ticks of 1/8000 s.
    pub timestamp: u32,
    pub ssrc: u32,
    pub payload: &'a [u8],
}

/// Why a datagram on the RTP port is no RTP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotRtp {
    /// RTCP that came to the RTP port: packet types 192 to 223, "payload types" 64 to 95 (RFC 5761 §4).
    Rtcp,
    /// Another version, or lengths that do not fit.
    Malformed,
}

/// Reads a datagram.
pub fn parse(datagram: &[u8]) -> Result<Packet<'_>, NotRtp> {
    let (head, rest) = datagram.split_at_checked(HEADER).ok_or(NotRtp::Malformed)?;
    if head[0] >> 6 != 2 {
        return Err(NotRtp::Malformed);
    }
    let payload_type = head[1] & 0x7F;
    if (64..=95).contains(&payload_type) {
        return Err(NotRtp::Rtcp);
    }
    let (padded, extended, sources) = (head[0] & 0x20 != 0, head[0] & 0x10 != 0, usize::from(head[0] & 0x0F));
    let mut payload = rest.get(sources * 4..).ok_or(NotRtp::Malformed)?;
    if extended {
        let [_, _, high, low, ..] = payload else { return Err(NotRtp::Malformed) };
        let words = usize::from(u16::from_be_bytes([*high, *low]));
        payload = payload.get(4 + words * 4..).ok_or(NotRtp::Malformed)?;
    }
    if padded {
        let padding = usize::from(*payload.last().ok_or(NotRtp::Malformed)?);
        if padding == 0 {
            return Err(NotRtp::Malformed);
        }
        let keep = payload.len().checked_sub(padding).ok_or(NotRtp::Malformed)?;
        payload = &payload[..keep];
    }
    Ok(Packet {
        payload_type,
        marker: head[1] & 0x80 != 0,
        sequence: u16::from_be_bytes([head[2], head[3]]),
        timestamp: u32::from_be_bytes([head[4], head[5], head[6], head[7]]),
        ssrc: u32::from_be_bytes([head[8], head[9], head[10], head[11]]),
        payload,
    })
}

/// Where the payload of a packet begins: behind header, sources and extension.
pub fn payload_begins(packet: &[u8]) -> Option<usize> {
    let first = *packet.first().filter(|first| **first >> 6 == 2)?;
    let mut begins = HEADER + 4 * usize::from(first & 0x0F);
    if first & 0x10 != 0 {
        let words = u16::from_be_bytes([*packet.get(begins + 2)?, *packet.get(begins + 3)?]);
        begins += 4 + 4 * usize::from(words);
    }
    (begins <= packet.len()).then_some(begins)
}

/// Whether a datagram is RTCP by its second byte (RFC 5761 §4).
pub fn is_rtcp(datagram: &[u8]) -> bool {
    datagram.get(1).is_some_and(|kind| (64..=95).contains(&(kind & 0x7F)))
}

/// The header of a packet without CSRC, extension and padding.
pub fn header(payload_type: u8, marker: bool, sequence: u16, timestamp: u32, ssrc: u32) -> [u8; HEADER] {
    let mut head = [0; HEADER];
    head[0] = 0x80;
    head[1] = (payload_type & 0x7F) | if marker { 0x80 } else { 0 };
    head[2..4].copy_from_slice(&sequence.to_be_bytes());
    head[4..8].copy_from_slice(&timestamp.to_be_bytes());
    head[8..12].copy_from_slice(&ssrc.to_be_bytes());
    head
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn packet(first: u8, second: u8, rest: &[u8]) -> Vec<u8> {
        let mut bytes = vec![first, second, 0x12, 0x34, 0, 0, 0, 160, 0xDE, 0xAD, 0xBE, 0xEF];
        bytes.extend_from_slice(rest);
        bytes
    }

    #[test]
    fn a_written_header_reads_back() {
        let mut bytes = header(8, true, 65_535, u32::MAX, 7).to_vec();
        bytes.extend_from_slice(&[1, 2, 3]);
        let expected = Packet {
            payload_type: 8,
            marker: true,
            sequence: 65_535,
            timestamp: u32::MAX,
            ssrc: 7,
            payload: &[1, 2, 3],
        };
        assert_eq!(parse(&bytes), Ok(expected));
    }

    #[test]
    fn contributing_sources_extension_and_padding_are_taken_off() {
        let rest = [[9; 4], [9; 4], [0xBE, 0xDE, 0, 1], [9; 4], [1, 2, 0, 2]].concat();
        let bytes = packet(0x80 | 0x20 | 0x10 | 2, 8, &rest);
        assert_eq!(parse(&bytes).map(|packet| packet.payload.to_vec()), Ok(vec![1, 2]));
    }

    #[test]
    fn lengths_that_do_not_fit_are_malformed() {
        let cases = [
            packet(0x80, 8, &[])[..11].to_vec(),        // cut header
            packet(0x40, 8, &[0; 160]),                 // version 1
            packet(0x82, 8, &[0; 7]),                   // two sources need eight bytes
            packet(0x90, 8, &[0, 0, 0]),                // extension without its head
            packet(0x90, 8, &[0, 0, 0, 2, 0, 0, 0, 0]), // extension longer than the packet
            packet(0xA0, 8, &[]),                       // padding without a byte
            packet(0xA0, 8, &[1, 1, 0]),                // padding of none
            packet(0xA0, 8, &[1, 1, 4]),                // more padding than payload
        ];
        for bytes in cases {
            assert_eq!(parse(&bytes), Err(NotRtp::Malformed), "{bytes:?}");
        }
    }

    #[test]
    fn rtcp_on_the_rtp_port_is_told_apart() {
        for packet_type in [192, 200, 201, 202, 203, 204, 223] {
            assert_eq!(parse(&packet(0x80, packet_type, &[0; 16])), Err(NotRtp::Rtcp));
        }
    }

    proptest! {
        #[test]
        fn no_datagram_makes_it_panic_or_read_outside(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(packet) = parse(&bytes) {
                prop_assert!(packet.payload.len() + HEADER <= bytes.len());
            }
        }
    }
}
