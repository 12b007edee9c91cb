//! Tells systemd how far the line is (`Type=notify`). Without systemd nobody listens, and nothing is told.

use std::os::{
    linux::net::SocketAddrExt,
    unix::{
        ffi::OsStrExt,
        net::{SocketAddr, UnixDatagram},
    },
};

use crate::config;

/// The line takes calls.
pub(super) const READY: &str = "READY=1";
/// It takes no more of them.
pub(super) const STOPPING: &str = "STOPPING=1";

/// Source: sd_notify(3).
pub(super) fn tell(state: &str) {
    let Some(name) = config::supervisor() else { return };
    let address = match name.as_bytes() {
        [b'@', rest @ ..] => SocketAddr::from_abstract_name(rest),
        path => SocketAddr::from_pathname(std::ffi::OsStr::from_bytes(path)),
    };
    let told = address.and_then(|address| UnixDatagram::unbound()?.send_to_addr(state.as_bytes(), &address));
    if let Err(error) = told {
        tracing::warn!(%error, state, "systemd cannot be told");
    }
}
