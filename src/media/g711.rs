//! G.711: eight bits a sample and back.
//!
//! Source: ITU-T G.711, tables 1 and 2. Amplitudes are on the 16-bit scale: A-law's 13-bit values times 8, µ-law's
//! 14-bit values times 4.

use std::sync::LazyLock;

use super::G711;

static ALAW: [i16; 256] = table(G711::Alaw);
static ULAW: [i16; 256] = table(G711::Ulaw);
static ALAW_TO_ULAW: LazyLock<[u8; 256]> = LazyLock::new(|| ALAW.map(|amplitude| G711::Ulaw.encode(amplitude)));
static ULAW_TO_ALAW: LazyLock<[u8; 256]> = LazyLock::new(|| ULAW.map(|amplitude| G711::Alaw.encode(amplitude)));

impl G711 {
    /// The amplitude a code stands for.
    pub fn decode(self, code: u8) -> i16 {
        match self {
            Self::Alaw => ALAW[usize::from(code)],
            Self::Ulaw => ULAW[usize::from(code)],
        }
    }

    /// The code of the interval in which the amplitude lies, by the decision values of the standard.
    pub fn encode(self, amplitude: i16) -> u8 {
        match self {
            Self::Alaw => encode_alaw(amplitude),
            Self::Ulaw => encode_ulaw(amplitude),
        }
    }

    /// The same sound as a code of another law.
    pub fn recode(self, code: u8, to: Self) -> u8 {
        match (self, to) {
            (Self::Alaw, Self::Ulaw) => ALAW_TO_ULAW[usize::from(code)],
            (Self::Ulaw, Self::Alaw) => ULAW_TO_ALAW[usize::from(code)],
            _ => code,
        }
    }

    /// The code of silence.
    pub const fn silence(self) -> u8 {
        match self {
            Self::Alaw => 0xD5,
            Self::Ulaw => 0xFF,
        }
    }
}

const fn table(law: G711) -> [i16; 256] {
    let mut table = [0; 256];
    let mut code = 0;
    while code < 256 {
        #[expect(clippy::cast_possible_truncation, reason = "the loop stops at 256")]
        let byte = code as u8;
        table[code] = match law {
            G711::Alaw => decode_alaw(byte),
            G711::Ulaw => decode_ulaw(byte),
        };
        code += 1;
    }
    table
}

const fn decode_alaw(code: u8) -> i16 {
    let code = code ^ 0x55;
    let (segment, step) = ((code >> 4) & 7, (code & 0x0F) as i16);
    let magnitude = match segment {
        0 => (step << 4) + 8,
        _ => ((step << 4) + 0x108) << (segment - 1),
    };
    if code & 0x80 == 0 { -magnitude } else { magnitude }
}

const fn decode_ulaw(code: u8) -> i16 {
    let code = !code;
    let (segment, step) = ((code >> 4) & 7, (code & 0x0F) as i16);
    let magnitude = (((step << 3) + 0x84) << segment) - 0x84;
    if code & 0x80 == 0 { magnitude } else { -magnitude }
}

fn encode_alaw(amplitude: i16) -> u8 {
    let (sign, magnitude) = match amplitude {
        0.. => (0x80, amplitude.unsigned_abs() >> 4),
        _ => (0, (!amplitude).unsigned_abs() >> 4),
    };
    // 12-bit steps: the first two segments share the smallest one.
    let segment = 12_u32.saturating_sub(magnitude.leading_zeros());
    let step = if segment < 2 { magnitude & 0x0F } else { (magnitude >> (segment - 1)) & 0x0F };
    (sign | low_byte(segment << 4) | low_byte(u32::from(step))) ^ 0x55
}

fn encode_ulaw(amplitude: i16) -> u8 {
    let sign = if amplitude < 0 { 0x80 } else { 0 };
    let biased = ((amplitude.unsigned_abs() >> 2).min(8158) + 33).min(0x1FFF);
    let segment = 10_u32.saturating_sub(biased.leading_zeros());
    let step = (biased >> (segment + 1)) & 0x0F;
    !(sign | low_byte(segment << 4) | low_byte(u32::from(step)))
}

fn low_byte(value: u32) -> u8 {
    value.to_le_bytes()[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Amplitude of a positive code by the standard's tables: column 8 (quantised value), segments numbered from 0.
    fn by_definition(law: G711, segment: i32, step: i32) -> i32 {
        match law {
            G711::Alaw if segment == 0 => (2 * step + 1) * 8,
            G711::Alaw => ((2 * step + 33) << (segment - 1)) * 8,
            G711::Ulaw => (((2 * step + 33) << segment) - 33) * 4,
        }
    }

    #[test]
    fn all_codes_decode_as_the_standard_defines() {
        for segment in 0..8 {
            for step in 0..16 {
                let character = u8::try_from(segment * 16 + step).expect("seven bits");
                // A-law inverts the even bits; µ-law all of them. The first bit is the sign.
                let (alaw, ulaw) = ((character | 0x80) ^ 0x55, !character);
                assert_eq!(i32::from(G711::Alaw.decode(alaw)), by_definition(G711::Alaw, segment, step));
                assert_eq!(i32::from(G711::Alaw.decode(alaw ^ 0x80)), -by_definition(G711::Alaw, segment, step));
                assert_eq!(i32::from(G711::Ulaw.decode(ulaw)), by_definition(G711::Ulaw, segment, step));
                assert_eq!(i32::from(G711::Ulaw.decode(ulaw ^ 0x80)), -by_definition(G711::Ulaw, segment, step));
            }
        }
    }

    #[test]
    fn every_code_survives_decoding_and_encoding() {
        for code in 0..=255_u8 {
            assert_eq!(G711::Alaw.encode(G711::Alaw.decode(code)), code);
            // µ-law has two zeros; the positive one is written.
            let expected = if code == 0x7F { 0xFF } else { code };
            assert_eq!(G711::Ulaw.encode(G711::Ulaw.decode(code)), expected);
        }
    }

    #[test]
    fn every_amplitude_goes_to_a_code_at_most_half_a_step_away() {
        for law in [G711::Alaw, G711::Ulaw] {
            for amplitude in i16::MIN..=i16::MAX {
                let code = law.encode(amplitude);
                let (given, got) = (i32::from(amplitude), i32::from(law.decode(code)));
                let (step, top) = match law {
                    G711::Alaw => (16 << i32::from((code ^ 0x55) >> 4 & 7).saturating_sub(1).max(0), 32_256),
                    G711::Ulaw => (8 << i32::from(!code >> 4 & 7), 32_124),
                };
                // Above the topmost value there is no other; µ-law's 14 bits cost up to 3 of 16.
                let clipped = given.clamp(-top, top);
                assert!((got - clipped).abs() <= step / 2 + 3, "{law:?}: {given} became {got}");
                assert!(got == 0 || given == 0 || (got > 0) == (given > 0), "{law:?}: {given} became {got}");
            }
        }
    }

    #[test]
    fn a_code_of_the_other_law_is_the_nearest_there_is() {
        for code in 0..=255_u8 {
            let (alaw, ulaw) = (G711::Alaw.recode(code, G711::Ulaw), G711::Ulaw.recode(code, G711::Alaw));
            assert_eq!(alaw, G711::Ulaw.encode(G711::Alaw.decode(code)));
            assert_eq!(ulaw, G711::Alaw.encode(G711::Ulaw.decode(code)));
            assert_eq!(G711::Alaw.recode(code, G711::Alaw), code);
        }
    }

    #[test]
    fn silence_is_the_quietest_code() {
        assert_eq!(G711::Alaw.decode(G711::Alaw.silence()), 8);
        assert_eq!(G711::Ulaw.decode(G711::Ulaw.silence()), 0);
    }
}
