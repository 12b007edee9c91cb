//! Connections of browsers (RFC 7118), which the HTTP listener takes: a message each, screened as on every other transport.

use std::sync::Arc;

use rsipstack::{
    sip::Transport,
    transport::{SipAddr, TransportEvent},
};
use tokio::{
    sync::{OwnedSemaphorePermit, mpsc},
    time::timeout,
};
use tracing::debug;

use super::{
    screen::{Screened, parse, refuse, screen},
    stream::{Opened, Outgoing, PONG, Streams},
};
use crate::websocket::{LONGEST, WebSocket};

/// A ping (RFC 5626 §3.5.1); its answer is [`PONG`].
const PING: &[u8] = b"\r\n\r\n";

impl Streams {
    /// Takes browsers until the end; more than there are places for are closed.
    pub(super) fn attend(self: &Arc<Self>, mut browsers: mpsc::Receiver<WebSocket>) {
        let streams = self.clone();
        self.spawn(async move {
            while let Some(browser) = browsers.recv().await {
                let Ok(place) = streams.place() else {
                    metrics::counter!("hotline_sip_connections_refused_total").increment(1);
                    debug!(peer = %browser.peer, "too many SIP connections");
                    continue;
                };
                streams.take_browser(browser, place).await;
            }
        });
    }

    async fn take_browser(self: &Arc<Self>, browser: WebSocket, place: OwnedSemaphorePermit) {
        let transport = if browser.encrypted { Transport::Wss } else { Transport::Ws };
        let address = SipAddr { r#type: Some(transport), addr: browser.peer.into() };
        let Some(opened) = self.admit(address, browser.peer, (browser.local, false), place).await else { return };
        // Added, the stack finds it: a browser is reached through the connection it made, and no other way.
        self.list(&opened.0);
        let streams = self.clone();
        self.spawn(async move { streams.converse_by_messages(browser, transport, opened).await });
    }

    /// One connection to its end.
    async fn converse_by_messages(
        &self,
        browser: WebSocket,
        transport: Transport,
        (opened, mut from_stack): (Opened, Outgoing),
    ) {
        let WebSocket { mut incoming, outgoing, .. } = browser;
        loop {
            tokio::select! {
                message = incoming.recv() => {
                    let Some(message) = message else { return };
                    let answer = self.take_message(&message, transport, &opened).await;
                    if let Some(answer) = answer
                        && !self.say(&outgoing, answer).await
                    {
                        return;
                    }
                }
                event = from_stack.recv() => match event {
                    Some(TransportEvent::Incoming(message, ..)) => {
                        if !self.say(&outgoing, message.to_bytes()).await {
                            return;
                        }
                    }
                    Some(_) => {}
                    None => return,
                },
            }
        }
    }

    /// * returns — what is said without the stack.
    async fn take_message(&self, message: &[u8], transport: Transport, opened: &Opened) -> Option<Vec<u8>> {
        let screened = match message {
            PING => return Some(PONG.into()),
            blank if blank.iter().all(u8::is_ascii_whitespace) => return None,
            long if long.len() > LONGEST => refuse(&[], opened.peer, 513, "Message Too Large"),
            message => screen(message, opened.peer, transport),
        };
        match screened {
            Screened::Answer { bytes, .. } => return Some(bytes),
            Screened::Drop => {}
            Screened::Pass(message) => {
                self.hand_over(parse(&message, opened.peer, transport)?, opened).await;
            }
        }
        None
    }

    /// * returns — false if the browser takes nothing more.
    async fn say(&self, outgoing: &mpsc::Sender<Vec<u8>>, message: Vec<u8>) -> bool {
        matches!(timeout(self.patience(), outgoing.send(message)).await, Ok(Ok(())))
    }
}
