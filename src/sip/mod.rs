//! SIP.
mod datagram;
pub mod sdp;
