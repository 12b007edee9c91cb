//! Where something is listened for: one address, several, or none.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// At least one address: `0.0.0.0:5060`, or several with commas between them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Addresses(Vec<SocketAddr>);

/// Addresses, or `off`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Listen {
    Off,
    At(Addresses),
}

impl Addresses {
    /// All of them, in their order.
    pub fn all(&self) -> &[SocketAddr] {
        &self.0
    }

    /// The first one.
    pub fn first(&self) -> SocketAddr {
        self.0[0]
    }

    /// Whether they are all IPv4 or all IPv6.
    pub fn are_of_one_family(&self) -> bool {
        self.0.iter().all(|address| address.is_ipv4() == self.0[0].is_ipv4())
    }
}

impl Listen {
    /// The addresses; none when it is off.
    pub fn all(&self) -> &[SocketAddr] {
        match self {
            Self::Off => &[],
            Self::At(addresses) => addresses.all(),
        }
    }
}

impl From<SocketAddr> for Addresses {
    fn from(address: SocketAddr) -> Self {
        Self(vec![address])
    }
}

impl TryFrom<String> for Addresses {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let read = |part: &str| {
            let part = part.trim();
            part.parse().map_err(|_| format!("`{part}` is no address such as 192.0.2.1:5060 or [2001:db8::1]:5060"))
        };
        text.split(',').map(read).collect::<Result<_, _>>().map(Self)
    }
}

impl From<Addresses> for String {
    fn from(addresses: Addresses) -> Self {
        addresses.0.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    }
}

impl TryFrom<String> for Listen {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text == "off" { Ok(Self::Off) } else { Addresses::try_from(text).map(Self::At) }
    }
}

impl From<Listen> for String {
    fn from(listen: Listen) -> Self {
        match listen {
            Listen::Off => "off".into(),
            Listen::At(addresses) => addresses.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_they_are_written() {
        for text in ["0.0.0.0:5060", "192.0.2.1:5060, 192.0.2.2:5062", "[::1]:0", "off"] {
            assert_eq!(Listen::try_from(text.to_owned()).map(String::from), Ok(text.to_owned()));
        }
        for text in ["", "on", "5060", "192.0.2.1", "192.0.2.1:5060,", "localhost:5060"] {
            let wrong = Addresses::try_from(text.to_owned()).expect_err("no address");
            assert!(wrong.contains("192.0.2.1:5060"), "{wrong}");
        }
        let mixed = Addresses::try_from("0.0.0.0:5060, [::]:5060".to_owned()).expect("two addresses");
        assert!(!mixed.are_of_one_family());
    }
}
