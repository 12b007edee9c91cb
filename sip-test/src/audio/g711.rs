//! G.711: a byte a sample, in the two laws of the world.

use serde::Serialize;

/// Which law.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Codec {
    /// A-law, RTP payload type 8.
    Alaw,
    /// µ-law, RTP payload type 0.
    Ulaw,
}

impl Codec {
    /// Static payload type, RFC 3551 table 4.
    pub const fn payload_type(self) -> u8 {
        match self {
            Self::Alaw => 8,
            Self::Ulaw => 0,
        }
    }

    /// The codec of a static payload type.
    pub const fn of_payload_type(number: u8) -> Option<Self> {
        match number {
            8 => Some(Self::Alaw),
            0 => Some(Self::Ulaw),
            _ => None,
        }
    }

    /// One byte for one sample.
    pub fn encode(self, sample: i16) -> u8 {
        match self {
            Self::Alaw => alaw(sample),
            Self::Ulaw => ulaw(sample),
        }
    }

    /// One sample for one byte.
    pub fn decode(self, byte: u8) -> i16 {
        match self {
            Self::Alaw => from_alaw(byte),
            Self::Ulaw => from_ulaw(byte),
        }
    }
}

/// Source: ITU-T G.711 table 1a; the even bits are inverted on the wire (0x55).
fn alaw(sample: i16) -> u8 {
    let positive = sample >= 0;
    // 13 bits with the sign; 0 and -1 begin the two halves.
    let magnitude = (if positive { i32::from(sample) } else { -i32::from(sample) - 1 }) >> 3;
    let code = if magnitude < 64 {
        magnitude >> 1
    } else {
        let segment = magnitude.ilog2().cast_signed() - 4;
        (segment << 4) | ((magnitude >> segment) & 0x0F)
    };
    let code = low_byte(code.min(127));
    (if positive { code | 0x80 } else { code }) ^ 0x55
}

fn from_alaw(byte: u8) -> i16 {
    let byte = byte ^ 0x55;
    let (segment, step) = (i32::from(byte >> 4 & 7), i32::from(byte & 0x0F));
    let magnitude = match segment {
        0 => (step << 4) + 8,
        _ => ((step << 4) + 0x108) << (segment - 1),
    };
    sample(if byte & 0x80 == 0 { -magnitude } else { magnitude })
}

/// Source: ITU-T G.711 table 2a, with the customary bias of 33 (132 on the 16 bit scale).
fn ulaw(sample: i16) -> u8 {
    let magnitude = i32::from(sample).abs().min(32_635) + 132;
    let segment = magnitude.ilog2().cast_signed() - 7;
    let code = low_byte((segment << 4) | ((magnitude >> (segment + 3)) & 0x0F));
    !(if sample < 0 { code | 0x80 } else { code })
}

fn from_ulaw(byte: u8) -> i16 {
    let byte = !byte;
    let (segment, step) = (i32::from(byte >> 4 & 7), i32::from(byte & 0x0F));
    let magnitude = (((step << 3) + 132) << segment) - 132;
    sample(if byte & 0x80 == 0 { magnitude } else { -magnitude })
}

fn low_byte(code: i32) -> u8 {
    u8::try_from(code & 0x7F).unwrap_or(0)
}

fn sample(value: i32) -> i16 {
    i16::try_from(value).unwrap_or(if value < 0 { i16::MIN } else { i16::MAX })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_survives_the_way_there_and_back() {
        for codec in [Codec::Alaw, Codec::Ulaw] {
            for byte in 0..=255_u8 {
                let again = codec.encode(codec.decode(byte));
                // µ-law has two zeros, 0x7F and 0xFF.
                assert!(
                    again == byte || (codec == Codec::Ulaw && byte == 0x7F && again == 0xFF),
                    "{codec:?} {byte:#x}"
                );
            }
        }
    }

    #[test]
    fn known_points_of_the_standard_are_met() {
        assert_eq!((Codec::Alaw.encode(0), Codec::Alaw.encode(-1)), (0xD5, 0x55));
        assert_eq!((Codec::Ulaw.encode(0), Codec::Ulaw.encode(-1)), (0xFF, 0x7F));
        assert_eq!((Codec::Alaw.decode(0xD5), Codec::Alaw.decode(0xAA)), (8, 32_256));
        assert_eq!((Codec::Ulaw.decode(0x80), Codec::Ulaw.decode(0x00)), (32_124, -32_124));
    }

    #[test]
    fn no_sample_is_off_by_more_than_its_step() {
        for codec in [Codec::Alaw, Codec::Ulaw] {
            for value in (i16::MIN..=i16::MAX).step_by(7) {
                let heard = i32::from(codec.decode(codec.encode(value)));
                let wrong = (heard - i32::from(value)).abs();
                assert!(wrong <= i32::from(value).abs() / 16 + 16, "{codec:?} {value} {heard}");
            }
        }
    }
}
