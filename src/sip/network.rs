//! Networks whose word is believed.

use std::net::IpAddr;

/// Addresses of which the first bits are given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks(Vec<(IpAddr, u8)>);

impl Networks {
    /// * `networks` — an address, and how many of its first bits count.
    pub const fn new(networks: Vec<(IpAddr, u8)>) -> Self {
        Self(networks)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether an address is in one of them.
    pub fn contains(&self, address: IpAddr) -> bool {
        let bits = |address: IpAddr| match address {
            IpAddr::V4(address) => (u128::from(address.to_bits()) << 96, true),
            IpAddr::V6(address) => (address.to_bits(), false),
        };
        let (theirs, four) = bits(address.to_canonical());
        self.0.iter().any(|(network, length)| {
            let (ours, ours_four) = bits(*network);
            let shift = 128_u32.saturating_sub(u32::from(*length));
            four == ours_four && ours.checked_shr(shift) == theirs.checked_shr(shift)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_compared_by_their_first_bits() {
        let contains = |network: &str, bits, address: &str| {
            let networks = Networks::new(vec![(network.parse().expect("an address"), bits)]);
            networks.contains(address.parse().expect("an address"))
        };
        assert!(contains("10.0.0.5", 32, "10.0.0.5") && !contains("10.0.0.5", 32, "10.0.0.4"));
        assert!(contains("10.0.0.99", 24, "10.0.0.5") && !contains("10.0.0.0", 24, "10.0.1.5"));
        assert!(contains("10.0.0.5", 32, "::ffff:10.0.0.5"), "the same machine by another name");
        assert!(contains("2001:db8::", 32, "2001:db8:9::1") && !contains("2001:db8::", 32, "2001:db9::1"));
        assert!(contains("0.0.0.0", 0, "192.0.2.1") && !contains("0.0.0.0", 0, "::1"));
        assert!(!Networks::default().contains([127, 0, 0, 1].into()), "off");
    }
}
