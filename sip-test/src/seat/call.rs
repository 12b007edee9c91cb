//! One call to a seat: its signalling, its sound, and the report of both.

use std::{net::SocketAddr, path::PathBuf};

use serde::Serialize;
use tokio::time::Instant;

use super::{
    SeatSpec, SeatState,
    callee::{Callee, State},
    terms::{Action, Place, Plan},
};
use crate::{
    EndedBy, Faults, PhoneError,
    audio::{self, Codec, RATE},
    phone::ms,
    rtp::{Listener, Talker, after_silence, events},
    sip::{Message, address},
    sound::{Event, Sound},
};

/// Longest recording, in samples: two hours.
const LONGEST: usize = 7_200 * RATE as usize;

/// How a call to a seat went.
#[derive(Clone, Debug, Serialize)]
pub struct SeatCall {
    pub call_id: String,
    /// The caller, as the From has it.
    pub from: String,
    /// Final status we gave; 0 for none.
    pub status: u16,
    /// From the INVITE to our 200; nothing if there was none.
    pub answered_ms: Option<u64>,
    /// From our 200 to its ACK.
    pub acknowledged_ms: Option<u64>,
    /// From our 200, or the INVITE of a call we did not take, to the end.
    pub duration_ms: u64,
    pub ended_by: EndedBy,
    /// Reason header of their BYE or CANCEL.
    pub reason: Option<String>,
    /// Answer to our BYE; 408 for none.
    pub bye_status: Option<u16>,
    pub codec: Option<Codec>,
    pub packets_sent: u64,
    pub packets_heard: u64,
    /// Never came although later ones did.
    pub packets_lost: u64,
    /// Packets that came before the ACK: the caller's sound runs as soon as our answer is there.
    pub early: u64,
    /// 1 unless the far SSRC changed.
    pub streams_heard: u32,
    pub keys_sent: usize,
    pub keys_heard: String,
    /// Methods of the call they sent, in order, repetitions left out.
    pub requests: Vec<String>,
    /// Answers to our re-INVITEs: hold, then its end.
    pub hold_statuses: Vec<u16>,
    /// Answer to our REFER, and what NOTIFY said of the transfer.
    pub refer_status: Option<u16>,
    pub transfer: Vec<u16>,
    /// What went wrong, in words.
    pub problem: Option<String>,
    pub recorded: Option<PathBuf>,
    /// The INVITE with all its headers.
    #[serde(skip)]
    pub invite: Message,
    /// What was heard since the 200.
    #[serde(skip)]
    pub heard: Vec<i16>,
}

pub(super) struct Call {
    pub(super) callee: Callee,
    sound: Sound,
    /// Where its last request came from.
    pub(super) peer: SocketAddr,
    sounds: bool,
    early: u64,
    /// The seat's first call has 1.
    number: usize,
}

impl Call {
    /// * `place` — where the seat is, but for the call's own RTP port.
    pub(super) async fn take(
        invite: Message,
        peer: SocketAddr,
        spec: &SeatSpec,
        mut place: Place,
        number: usize,
    ) -> Result<Self, PhoneError> {
        let keys = events(&spec.keys).map_err(PhoneError::Key)?;
        let pcm = after_silence(spec.start_playing, &spec.play);
        // Codec and payload type are settled with the answer.
        let talker = Talker::new(pcm, Codec::Alaw, None, keys, Faults::default());
        let mut sound = Sound::open(place.local, talker, Listener::new(LONGEST)).await?;
        sound.leave_to(spec.elsewhere.clone());
        place.media = sound.at;
        let plan = Plan {
            behaviour: spec.behaviour,
            answer_after: spec.answer_after,
            hang_up_after: spec.hang_up_after,
            hold: spec.hold,
            refer: spec.refer.clone(),
            codecs: spec.codec.map_or_else(|| vec![Codec::Alaw, Codec::Ulaw], |codec| vec![codec]),
        };
        let callee = Callee::new(invite, plan, place, Instant::now());
        Ok(Self { callee, sound, peer, sounds: false, early: 0, number })
    }

    /// What an action asks of the sound.
    pub(super) fn hear_action(&mut self, action: Action) {
        match action {
            Action::Begin => {
                self.sounds = true;
                self.sound.begin(Instant::now(), None);
            }
            Action::Turn(far) => {
                self.sound.keys_as = far.telephone_event.or(self.sound.keys_as);
                self.sound.turn(far);
            }
            Action::Hold(held) => self.sound.mute = held,
            Action::Answer(_) | Action::Request(_) | Action::Over => {}
        }
    }

    /// Next event of the sound; none before the answer and after the end. Loses nothing when it is given up.
    pub(super) async fn next(&mut self) -> Event {
        if self.sounds && matches!(self.callee.state, State::Talking) {
            self.sound.next().await
        } else {
            std::future::pending().await
        }
    }

    pub(super) async fn handle(&mut self, event: &Event) {
        self.sound.handle(event).await;
        if self.callee.facts.acknowledged.is_none() {
            self.early = self.sound.packets_received;
        }
    }

    pub(super) fn state(&self) -> SeatState {
        match self.callee.state {
            State::Ringing { .. } => SeatState::Ringing,
            State::Talking if self.sound.mute => SeatState::Holding,
            State::Talking => SeatState::Talking,
            State::Refused { .. } | State::Leaving | State::Over => SeatState::Leaving,
        }
    }

    /// Once it is over; writes the recording.
    pub(super) fn report(self, spec: &SeatSpec) -> SeatCall {
        let Self { callee, mut sound, early, number, .. } = self;
        let facts = callee.facts;
        let (ended_by, ended) = facts.ended.unwrap_or((EndedBy::Far, Instant::now()));
        let lasted = ended - facts.answered.unwrap_or(facts.began);
        let (mut problem, mut recorded, mut heard) = (facts.problem, None, Vec::new());
        if let Some(answered) = facts.answered {
            heard = sound.listener.take(ended - answered);
            if let Some(path) = spec.record.as_deref().map(|path| numbered(path, number)) {
                match audio::write(&path, &heard) {
                    Ok(()) => recorded = Some(path),
                    Err(error) => problem = Some(error.to_string()),
                }
            }
        }
        SeatCall {
            call_id: callee.dialog.call_id,
            from: address(callee.invite.header("From").unwrap_or_default()).to_owned(),
            status: facts.status,
            answered_ms: facts.answered.map(|answered| ms(answered - facts.began)),
            acknowledged_ms: facts.acknowledged.zip(facts.answered).map(|(ack, answered)| ms(ack - answered)),
            duration_ms: ms(lasted),
            ended_by,
            reason: facts.reason,
            bye_status: facts.bye_status,
            codec: facts.codec,
            packets_sent: sound.packets_sent,
            packets_heard: sound.packets_received,
            packets_lost: sound.track.lost,
            early,
            streams_heard: sound.listener.streams,
            keys_sent: sound.talker.keys_sent,
            keys_heard: sound.listener.keys,
            requests: facts.requests,
            hold_statuses: facts.holds,
            refer_status: facts.refer,
            transfer: facts.transfer,
            problem,
            recorded,
            invite: callee.invite,
            heard,
        }
    }
}

/// The second call's file of `heard.wav` is `heard-2.wav`.
fn numbered(path: &std::path::Path, number: usize) -> PathBuf {
    if number < 2 {
        return path.to_owned();
    }
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let extension = path.extension().map(|text| format!(".{}", text.to_string_lossy())).unwrap_or_default();
    path.with_file_name(format!("{stem}-{number}{extension}"))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::numbered;

    #[test]
    fn each_call_has_a_file_of_its_own() {
        assert_eq!(numbered(Path::new("a/heard.wav"), 1), Path::new("a/heard.wav"));
        assert_eq!(numbered(Path::new("a/heard.wav"), 2), Path::new("a/heard-2.wav"));
    }
}
