//! The media plane as the rest of the house sees it.

use std::net::SocketAddr;

use tokio::sync::mpsc;

use super::{MediaCommand, MediaError, MediaEvent, MediaSettings};
use crate::{clock::Clock, domain::ids::CallId};

/// Handle to the shard threads.
#[derive(Clone, Debug)]
pub struct MediaPlane;

impl MediaPlane {
    /// Starts the shard threads. Events of all calls come out of the one receiver (bounded; what does not fit is
    /// counted, never waited for).
    pub fn start(_settings: MediaSettings, _clock: Clock) -> Result<(Self, mpsc::Receiver<MediaEvent>), MediaError> {
        unimplemented!()
    }

    /// Takes an even RTP port and the odd RTCP port above it for a call.
    ///
    /// * returns — the address RTP is received at (and sent from).
    pub fn open(&self, _call: CallId) -> Result<SocketAddr, MediaError> {
        unimplemented!()
    }

    /// Hands a command to the call's leg; never waits.
    pub fn command(&self, _call: CallId, _command: MediaCommand) -> Result<(), MediaError> {
        unimplemented!()
    }

    /// Ends all legs and joins the threads (a few milliseconds).
    pub fn stop(&self) {}
}
