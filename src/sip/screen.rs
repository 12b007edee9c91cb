//! The gate before the stack: what it cannot read is mended, refused or dropped, on every transport alike.

use std::{
    borrow::Cow,
    net::SocketAddr,
    panic::{AssertUnwindSafe, catch_unwind},
};

use rsipstack::{
    dialog::DialogId,
    sip::{
        Method, SipMessage, Transport,
        prelude::{HeadersExt, ToTypedHeader},
    },
    transaction::key::{TransactionKey, TransactionRole},
    transport::SipConnection,
};
use tracing::debug;

use super::datagram::{self, Verdict};

/// What becomes of a message.
pub(super) enum Screened<'a> {
    /// The stack reads this.
    Pass(Cow<'a, [u8]>),
    /// Refused without the stack's help.
    Answer { to: SocketAddr, bytes: Vec<u8> },
    /// Nobody hears anything.
    Drop,
}

/// Judges one message and counts what is not let through.
pub(super) fn screen(message: &[u8], source: SocketAddr, transport: Transport) -> Screened<'_> {
    let verdict = match datagram::inspect(message, source) {
        Verdict::Pass if !readable(message, source, transport) => datagram::refuse_unreadable(message, source),
        Verdict::Mended(bytes) if !readable(&bytes, source, transport) => datagram::refuse_unreadable(&bytes, source),
        verdict => verdict,
    };
    carry_out(verdict, message, source)
}

/// Refuses what is no whole message.
pub(super) fn refuse(head: &[u8], source: SocketAddr, status: u16, reason: &'static str) -> Screened<'static> {
    carry_out(datagram::refuse(head, source, status, reason), &[], source)
}

fn carry_out(verdict: Verdict, message: &[u8], source: SocketAddr) -> Screened<'_> {
    let refused = metrics_of(&verdict);
    if let Some(status) = refused {
        metrics::counter!("hotline_sip_malformed_total", "status" => status).increment(1);
    }
    match verdict {
        Verdict::Pass => Screened::Pass(Cow::Borrowed(message)),
        Verdict::Mended(bytes) => Screened::Pass(Cow::Owned(bytes)),
        Verdict::Answer { status, to, bytes } => {
            debug!(%source, status, "refused a SIP message");
            Screened::Answer { to, bytes }
        }
        Verdict::Ignore(why) => {
            debug!(%source, why, "ignored a SIP message");
            Screened::Drop
        }
    }
}

fn metrics_of(verdict: &Verdict) -> Option<String> {
    match verdict {
        Verdict::Answer { status, .. } => Some(status.to_string()),
        Verdict::Ignore(_) => Some("none".into()),
        Verdict::Pass | Verdict::Mended(_) => None,
    }
}

/// The message as the stack takes it from a connection, with what we saw of its sender in Via.
pub(super) fn parse(message: &[u8], source: SocketAddr, transport: Transport) -> Option<SipMessage> {
    let message = SipMessage::try_from(message).ok()?;
    SipConnection::update_msg_received(message, source, transport).ok()
}

/// Whether the stack's own readers get through the message. A panic in them counts as no: on the stack's own task it
/// would end the listener.
fn readable(message: &[u8], source: SocketAddr, transport: Transport) -> bool {
    if message.iter().all(u8::is_ascii_whitespace) {
        return true;
    }
    catch_unwind(AssertUnwindSafe(|| read(message, source, transport).is_some())).unwrap_or(false)
}

fn read(message: &[u8], source: SocketAddr, transport: Transport) -> Option<()> {
    match parse(message, source, transport)? {
        SipMessage::Request(request) => {
            TransactionKey::from_request(&request, TransactionRole::Server).ok()?;
            DialogId::try_from((&request, TransactionRole::Server)).ok()?;
            SipConnection::parse_target_from_via(request.via_header().ok()?).ok()?;
            request.from_header().ok()?.typed().ok()?;
            request.to_header().ok()?.typed().ok()?;
            request.cseq_header().ok()?.method().ok()?;
            if request.method == Method::Invite {
                request.typed_contact_headers().ok()?.first()?;
            }
        }
        SipMessage::Response(response) => {
            TransactionKey::from_response(&response, TransactionRole::Client).ok()?;
            response.to_header().ok()?.tag().ok()?;
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const INVITE: &str = "INVITE sip:12345@192.0.2.1 SIP/2.0\r\n\
        Via: SIP/2.0/UDP 192.0.2.7:5070;branch=z9hG4bK1;rport, SIP/2.0/UDP 192.0.2.8\r\n\
        From: \"a\" <sip:1380@192.0.2.7>;tag=a\r\nTo: <sip:12345@192.0.2.1>\r\nCall-ID: c1\r\nCSeq: 1 INVITE\r\n\
        Contact: <sip:1380@192.0.2.7:5070;transport=udp>\r\nRecord-Route: <sip:192.0.2.9;lr>\r\n\
        Max-Forwards: 70\r\nContent-Length: 0\r\n\r\n";

    #[test]
    fn the_stack_reads_a_clean_invite() {
        assert!(readable(INVITE.as_bytes(), ([192, 0, 2, 7], 5070).into(), Transport::Udp));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn whatever_passes_the_inspection_is_read_or_refused_without_a_panic(
            damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3_u8), 0..8)
        ) {
            let mut bytes = INVITE.as_bytes().to_vec();
            for (index, byte, kind) in damage {
                let at = index.index(bytes.len());
                match kind {
                    0 => bytes[at] = byte,
                    1 => bytes.insert(at, byte),
                    _ => drop(bytes.remove(at)),
                }
            }
            let source = ([192, 0, 2, 7], 5070).into();
            let bytes = match datagram::inspect(&bytes, source) {
                Verdict::Mended(bytes) => bytes,
                _ => bytes,
            };
            for transport in [Transport::Udp, Transport::Tcp] {
                let _ = readable(&bytes, source, transport);
            }
        }
    }
}
