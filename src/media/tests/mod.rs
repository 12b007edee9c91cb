//! The room as a whole: a leg in simulated time, and the plane on real sockets.

mod fork;
mod leg;
mod talk;
mod wire;

use std::path::Path;

use tempfile::TempDir;

use super::{G711, Party, RemoteMedia, rtp};
use crate::{
    clock::Clock,
    domain::{
        call::{Direction, EndReason},
        ids::CallId,
        time::UnixMs,
        transcript::Channel,
    },
    recording::{Archive, CallFacts, Closing, Sealed, wav},
    telemetry::Private,
};

const SSRC: u32 = 0xC0FF_EE00;

/// An archive in a folder of its own.
struct Shelf {
    archive: Archive,
    _folder: TempDir,
}

impl Shelf {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let archive = Archive::in_folder(folder.path(), Clock::system());
        Self { archive, _folder: folder }
    }

    async fn seal(&self, call: CallId) -> Recorded {
        let closing = Closing { ended: UnixMs(2_000), reason: EndReason::CallerHungUp };
        let sealed = self.archive.seal(call, closing).await.expect("sealed");
        let path = self.archive.fetch(&sealed.key).await.expect("stored");
        Recorded { left: read(&path, Channel::Caller), right: read(&path, Channel::Operator), sealed }
    }
}

/// A sealed recording in memory.
struct Recorded {
    sealed: Sealed,
    left: Vec<i16>,
    right: Vec<i16>,
}

fn read(path: &Path, channel: Channel) -> Vec<i16> {
    wav::read_channel(path, channel).expect("a recording")
}

fn call() -> CallId {
    CallId::new(Clock::system().uuid())
}

fn facts(call: CallId) -> CallFacts {
    CallFacts {
        call,
        caller: Some(Private("13806352219".into())),
        called: "12345".into(),
        direction: Direction::Inbound,
        started: UnixMs(1_000),
        fork: None,
        seat: None,
    }
}

fn remote(port: u16) -> RemoteMedia {
    RemoteMedia {
        address: ([127, 0, 0, 1], port).into(),
        rtcp: Some(([127, 0, 0, 1], port + 1).into()),
        codec: G711::Alaw,
        payload_type: 8,
        telephone_event: Some(101),
        send: true,
        receive: true,
        srtp: None,
        browser: None,
    }
}

/// The sound of packet `number`: loud A-law codes that tell packets apart; none decodes to 0.
fn sound(number: u32) -> [u8; 160] {
    std::array::from_fn(|index| {
        let mixed = number.wrapping_mul(0x9E37_79B9).wrapping_add(u32::try_from(index).expect("small") * 0x85EB);
        mixed.to_le_bytes()[2]
    })
}

/// Packet `number` of the caller's stream.
fn packet(number: u32) -> Vec<u8> {
    let sequence = u16::try_from((65_530 + number) % 65_536).expect("wrapped");
    let timestamp = (u32::MAX - 1_000).wrapping_add(number * 160);
    [&rtp::header(8, number == 0, sequence, timestamp, SSRC)[..], &sound(number)].concat()
}

/// A packet of a key that was pressed at the time of packet `at`.
fn key(number: u32, at: u32, code: u8, duration: u16, end: bool) -> Vec<u8> {
    let sequence = u16::try_from((65_530 + number) % 65_536).expect("wrapped");
    let timestamp = (u32::MAX - 1_000).wrapping_add(at * 160);
    let [high, low] = duration.to_be_bytes();
    let payload = [code, if end { 0x8A } else { 0x0A }, high, low];
    [&rtp::header(101, false, sequence, timestamp, SSRC)[..], &payload].concat()
}

/// What packets `numbers` sound like when decoded.
fn decoded(numbers: impl IntoIterator<Item = u32>) -> Vec<i16> {
    numbers.into_iter().flat_map(sound).map(|code| G711::Alaw.decode(code)).collect()
}

fn assert_same(got: &[i16], expected: &[i16]) {
    let differ = got.iter().zip(expected).position(|(got, expected)| got != expected);
    assert_eq!((got.len(), differ), (expected.len(), None), "length and first difference");
}

/// Where the first sound stands.
fn first_sound(pcm: &[i16]) -> usize {
    pcm.iter().position(|sample| *sample != 0).expect("some sound")
}

/// Share of a tone in a sound: 1 for a pure one.
///
/// Source: Goertzel 1958; power at one frequency against the power of all.
fn tone_share(pcm: &[i16], hertz: f64) -> f64 {
    let step = std::f64::consts::TAU * hertz / 8_000.0;
    let (mut real, mut imaginary, mut all) = (0.0, 0.0, 0.0);
    for (index, sample) in (0_u32..).zip(pcm) {
        let (value, angle) = (f64::from(*sample), step * f64::from(index));
        real += value * angle.cos();
        imaginary += value * angle.sin();
        all += value * value;
    }
    let samples = f64::from(u32::try_from(pcm.len()).expect("small"));
    2.0 * (real * real + imaginary * imaginary) / (all * samples).max(1.0)
}
