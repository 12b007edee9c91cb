//! Keys in descriptions: `a=crypto` (RFC 4568).

use base64::{Engine, engine::general_purpose::STANDARD};

/// Key and salt of one direction: 16 bytes and 14.
pub type Master = [u8; 30];

/// What SRTP is done with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suite {
    AesCm128HmacSha1_80,
    AesCm128HmacSha1_32,
}

/// Which streams are taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SrtpPolicy {
    /// Those in clear alone.
    Off,
    /// Sealed ones before those in clear.
    #[default]
    Accept,
    /// Sealed ones alone.
    Require,
}

/// What the settings allow, and what we seal with, the same for a whole call.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Sealing {
    pub policy: SrtpPolicy,
    /// Random, and of one call alone.
    pub ours: Master,
}

/// The keys of both directions. Never printed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Security {
    pub suite: Suite,
    pub ours: Master,
    pub theirs: Master,
    /// Number of the line that was chosen; an answer repeats it.
    pub(super) tag: u32,
}

/// One line of theirs that we can use.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Crypto {
    pub(super) tag: u32,
    pub(super) suite: Suite,
    pub(super) master: Master,
}

impl Suite {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::AesCm128HmacSha1_80 => "AES_CM_128_HMAC_SHA1_80",
            Self::AesCm128HmacSha1_32 => "AES_CM_128_HMAC_SHA1_32",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        [Self::AesCm128HmacSha1_80, Self::AesCm128HmacSha1_32].into_iter().find(|it| it.name() == name)
    }
}

impl SrtpPolicy {
    pub(super) const fn takes(self, sealed: bool) -> bool {
        match self {
            Self::Off => !sealed,
            Self::Accept => true,
            Self::Require => sealed,
        }
    }
}

impl Sealing {
    /// To see what could be agreed on, not to agree.
    pub fn unkeyed(policy: SrtpPolicy) -> Self {
        Self { policy, ours: [0; 30] }
    }
}

impl Crypto {
    /// Reads what follows `crypto:`. Lines with a master key identifier, several keys or session parameters change how
    /// packets look and are left alone, as lines of unknown suites are (§6.3.7).
    pub(super) fn parse(value: &str) -> Option<Self> {
        let mut words = value.split_ascii_whitespace();
        let tag = words.next().filter(|tag| tag.len() <= 9)?.parse().ok()?;
        let suite = Suite::from_name(words.next()?)?;
        let mut key = words.next()?.strip_prefix("inline:")?.split('|');
        let master = STANDARD.decode(key.next()?).ok()?.try_into().ok()?;
        // A lifetime is far beyond the longest call: 2^48 packets.
        let plain = key.all(|part| !part.contains(':') && !part.contains(';'));
        // A hint for the size of the window of repetitions is nobody's business but ours.
        let known = words.all(|parameter| parameter.starts_with("WSH="));
        (plain && known).then_some(Self { tag, suite, master })
    }

    /// The attribute as it is written.
    pub(super) fn line(&self) -> String {
        format!("a=crypto:{} {} inline:{}", self.tag, self.suite.name(), STANDARD.encode(self.master))
    }
}

impl std::fmt::Debug for Sealing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Sealing({:?}, …)", self.policy)
    }
}

impl std::fmt::Debug for Security {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Security({}, …)", self.suite.name())
    }
}

impl std::fmt::Debug for Crypto {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Crypto({} {}, …)", self.tag, self.suite.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "inline:d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj";

    #[test]
    fn a_line_reads_back_and_is_never_printed() {
        let text = format!("1 AES_CM_128_HMAC_SHA1_80 {KEY}");
        let crypto = Crypto::parse(&text).expect("the line of RFC 4568 §9.1");
        assert_eq!((crypto.tag, crypto.master[0], crypto.master[29]), (1, b'w', b'#'));
        assert_eq!(crypto.line(), format!("a=crypto:{text}"));
        assert!(!format!("{crypto:?}").contains("d0Rm"));
        let longer = format!("20 AES_CM_128_HMAC_SHA1_32 {KEY}|2^20 WSH=128");
        assert_eq!(Crypto::parse(&longer).map(|it| (it.tag, it.suite)), Some((20, Suite::AesCm128HmacSha1_32)));
    }

    #[test]
    fn lines_that_would_change_the_packets_are_left_alone() {
        let suite = "AES_CM_128_HMAC_SHA1_80";
        for line in [
            format!("1 {suite} {KEY}|2^20|1:4"),
            format!("1 {suite} {KEY} UNENCRYPTED_SRTP"),
            format!("1 {suite} {KEY} KDR=1"),
            format!("1 {suite} {KEY};{KEY}"),
            format!("1 {suite} inline:c2hvcnQ="),
            format!("1 {suite} inline:%%%"),
            format!("1 {suite}"),
            format!("x {suite} {KEY}"),
            format!("1234567890 {suite} {KEY}"),
            format!("1 F8_128_HMAC_SHA1_80 {KEY}"),
            String::new(),
        ] {
            assert_eq!(Crypto::parse(&line), None, "{line}");
        }
    }
}
