//! `/sip`: SIP over a WebSocket (RFC 7118), for operators' telephones in a browser. Who speaks there proves itself to the
//! registrar as every other telephone does; here it is only carried.

use std::time::Duration;

use axum::{
    extract::{
        State,
        ws::{self, Message, WebSocketUpgrade},
    },
    http::HeaderMap,
    response::Response,
};
use tokio::time::{Instant, timeout};

use super::{
    App,
    origin::is_ours,
    problem::{Kind, Problem},
    serve::Peer,
};
use crate::websocket::{LONGEST, WebSocket, Wire};

/// A silent browser is asked so often whether it is there; networks forget a silent connection after a minute.
const PING: Duration = Duration::from_secs(30);
/// Longest silence.
const SILENCE: Duration = Duration::from_secs(90);
/// Longest wait for a browser that takes nothing.
const WRITE: Duration = Duration::from_secs(10);

/// Turns a request into a connection of a telephone.
pub(super) async fn connect(
    State(app): State<App>,
    peer: Peer,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, ws::rejection::WebSocketUpgradeRejection>,
) -> Result<Response, Problem> {
    let upgrade = upgrade.map_err(|_| Kind::NotFound.problem())?;
    let Some(line) = app.websockets.clone() else {
        return Err(Kind::Unavailable.because("this process takes no calls"));
    };
    if !is_ours(&headers) {
        return Err(Kind::Forbidden.because("the page that asks is not one of ours"));
    }
    let (socket, wire) = WebSocket::pair(peer.socket(), peer.local, peer.encrypted);
    if line.try_send(socket).is_err() {
        return Err(Kind::Unavailable.because("too many connections at once; try again"));
    }
    Ok(upgrade
        .protocols(["sip"])
        .max_message_size(LONGEST)
        .max_frame_size(LONGEST)
        .on_upgrade(move |socket| carry(socket, wire)))
}

/// Carries messages both ways until one side has enough.
async fn carry(mut socket: ws::WebSocket, mut wire: Wire) {
    let mut heard = Instant::now();
    loop {
        tokio::select! {
            message = timeout(PING, socket.recv()) => match message {
                Ok(Some(Ok(message))) => {
                    heard = Instant::now();
                    let bytes = match message {
                        Message::Text(text) => text.as_bytes().to_vec(),
                        Message::Binary(bytes) => bytes.to_vec(),
                        Message::Ping(_) | Message::Pong(_) => continue,
                        Message::Close(_) => return,
                    };
                    if wire.incoming.send(bytes).await.is_err() {
                        break;
                    }
                }
                Ok(Some(Err(_)) | None) => return,
                Err(_) if heard.elapsed() >= SILENCE => return,
                Err(_) => {
                    if !say(&mut socket, Message::Ping(Vec::new().into())).await {
                        return;
                    }
                }
            },
            message = wire.outgoing.recv() => {
                let Some(message) = message else { break };
                // What is no text is somebody else's name in an old code.
                let message = match String::from_utf8(message) {
                    Ok(text) => Message::Text(text.into()),
                    Err(error) => Message::Binary(error.into_bytes().into()),
                };
                if !say(&mut socket, message).await {
                    return;
                }
            }
        }
    }
    let _ = say(&mut socket, Message::Close(None)).await;
}

async fn say(socket: &mut ws::WebSocket, message: Message) -> bool {
    matches!(timeout(WRITE, socket.send(message)).await, Ok(Ok(())))
}
