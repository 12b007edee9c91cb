//! The UDP socket under the stack: every datagram passes [`super::datagram`] first.

use std::{
    io,
    net::SocketAddr,
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

use rsipstack::{
    dialog::DialogId,
    platform::net::UdpSocket,
    sip::{
        Method, SipMessage, Transport,
        prelude::{HeadersExt, ToTypedHeader},
    },
    transaction::key::{TransactionKey, TransactionRole},
    transport::SipConnection,
};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::sync::Mutex;
use tracing::{debug, warn};

use super::datagram::{self, Verdict};

/// Kernel buffer asked for, so that a burst survives a slow moment.
const RECEIVE_BUFFER: usize = 4 << 20;
/// Largest datagram there is.
const LARGEST: usize = 64 * 1024;

/// A UDP socket that lets only readable SIP through.
pub(super) struct WatchedSocket {
    socket: tokio::net::UdpSocket,
    buffer: Mutex<Box<[u8]>>,
}

impl WatchedSocket {
    pub(super) fn bind(address: SocketAddr) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
        if let Err(error) = socket.set_recv_buffer_size(RECEIVE_BUFFER) {
            warn!(%error, "the SIP socket keeps the system's receive buffer");
        }
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        let socket = tokio::net::UdpSocket::from_std(socket.into())?;
        Ok(Self { socket, buffer: Mutex::new(vec![0; LARGEST].into()) })
    }

    /// Waits for a datagram the stack can read and copies it out.
    async fn next(&self, out: &mut [u8]) -> (usize, SocketAddr) {
        let mut buffer = self.buffer.lock().await;
        loop {
            let (length, source) = match self.socket.recv_from(&mut buffer).await {
                Ok(received) => received,
                Err(error) => {
                    // Ends by itself or never; a moment's rest keeps a broken socket from burning a core.
                    warn!(%error, "receiving on the SIP socket");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let datagram = &buffer[..length];
            let verdict = match datagram::inspect(datagram, source) {
                Verdict::Pass if !readable(datagram, source) => datagram::refuse_unreadable(datagram, source),
                Verdict::Mended(bytes) if !readable(&bytes, source) => datagram::refuse_unreadable(&bytes, source),
                verdict => verdict,
            };
            let readable = match &verdict {
                Verdict::Pass => datagram,
                Verdict::Mended(bytes) => bytes,
                Verdict::Answer { status, to, bytes } => {
                    debug!(%source, status, "refused a SIP datagram");
                    metrics::counter!("hotline_sip_malformed_total", "status" => status.to_string()).increment(1);
                    if let Err(error) = self.socket.send_to(bytes, *to).await {
                        debug!(%to, %error, "sending a refusal");
                    }
                    continue;
                }
                Verdict::Ignore(why) => {
                    debug!(%source, why, "ignored a datagram on the SIP port");
                    metrics::counter!("hotline_sip_malformed_total", "status" => "none").increment(1);
                    continue;
                }
            };
            if let Some(room) = out.get_mut(..readable.len()) {
                room.copy_from_slice(readable);
                return (readable.len(), source);
            }
        }
    }
}

#[async_trait::async_trait]
impl UdpSocket for WatchedSocket {
    async fn recv_from(&self, buf: &mut [u8]) -> rsipstack::Result<(usize, SocketAddr)> {
        Ok(self.next(buf).await)
    }

    async fn send_to(&self, buf: &[u8], addr: SocketAddr) -> rsipstack::Result<usize> {
        Ok(self.socket.send_to(buf, addr).await?)
    }

    fn local_addr(&self) -> rsipstack::Result<SocketAddr> {
        Ok(self.socket.local_addr()?)
    }
}

/// Whether the stack's own readers get through the message. A panic in them counts as no: on the stack's own task it
/// would end the listener.
pub(super) fn readable(datagram: &[u8], source: SocketAddr) -> bool {
    if datagram.iter().all(u8::is_ascii_whitespace) {
        return true;
    }
    catch_unwind(AssertUnwindSafe(|| read(datagram, source).is_some())).unwrap_or(false)
}

fn read(datagram: &[u8], source: SocketAddr) -> Option<()> {
    let message = SipMessage::try_from(datagram).ok()?;
    match SipConnection::update_msg_received(message, source, Transport::Udp).ok()? {
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
        assert!(readable(INVITE.as_bytes(), ([192, 0, 2, 7], 5070).into()));
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
            let _ = readable(&bytes, source);
        }
    }
}
