//! Coverage-guided targets for what comes to the media ports, from anybody.

use super::{
    SrtpKey, SrtpSuite,
    rtcp::{self, Item},
    rtp,
    srtp::Opener,
};

/// Whatever comes: what is read of it lies inside of it.
#[test]
fn fuzz_rtp() {
    bolero::check!().for_each(|datagram: &[u8]| {
        let Ok(packet) = rtp::parse(datagram) else { return };
        assert!(!rtp::is_rtcp(datagram));
        let begins = rtp::payload_begins(datagram).expect("a packet has a payload");
        assert!(begins + packet.payload.len() <= datagram.len());
    });
}

/// A compound counts as a whole or not at all, and says no more than it has room for.
#[test]
fn fuzz_rtcp() {
    bolero::check!().for_each(|datagram: &[u8]| {
        let mut items = Vec::new();
        let whole = rtcp::read(datagram, &mut |item| items.push(item)).is_ok();
        assert!(whole || items.is_empty());
        let size = |item: &Item| match item {
            Item::Sender { .. } | Item::Report { .. } => 24,
            Item::Bye { .. } => 4,
        };
        assert!(items.iter().map(size).sum::<usize>() <= datagram.len());
    });
}

/// Nothing that was not sealed with their key is opened.
#[test]
fn fuzz_srtp() {
    let key = SrtpKey { suite: SrtpSuite::AesCm128HmacSha1_32, master: [7; 30] };
    bolero::check!().for_each(|datagram: &[u8]| {
        let mut opener = Opener::new(key);
        assert!(opener.open_rtp(&mut datagram.to_vec()).is_err());
        assert!(opener.open_rtcp(&mut datagram.to_vec()).is_err());
    });
}
