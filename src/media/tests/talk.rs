//! Two parties and more in one call, in simulated time.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    super::{leg::Leg, talk::Talk},
    *,
};
use crate::media::{MediaCommand, MediaEvent, Prompt, Voices};

const CALLER: u16 = 40_000;
const SEAT: u16 = 41_000;

/// A recorded call of a caller and a seat that hear each other.
struct Bridge {
    talk: Talk,
    call: CallId,
    now: Instant,
    shelf: Shelf,
}

impl Bridge {
    async fn new() -> Self {
        Self::between(remote(CALLER), remote(SEAT)).await
    }

    async fn between(caller: RemoteMedia, seat: RemoteMedia) -> Self {
        let (shelf, call, now) = (Shelf::new(), call(), Clock::system().instant());
        let tap = shelf.archive.start(facts(call)).await.expect("room");
        let talk = Talk::new(call, now, Leg::new("caller".into(), now, UnixMs(1_000), [7; 6]));
        let mut bridge = Self { talk, call, now, shelf };
        bridge.command(MediaCommand::Record(tap));
        bridge.command(MediaCommand::Connect(Party::CALLER, caller));
        bridge.join(Party::OPERATOR, seat);
        bridge.command(MediaCommand::Hear(Party::CALLER, Voices::of(Party::OPERATOR)));
        bridge
    }

    fn join(&mut self, party: Party, media: RemoteMedia) {
        self.talk.join(party, Leg::new(format!("seat:800{}", party.index()).into(), self.now, UnixMs(1_000), [9; 6]));
        self.command(MediaCommand::Connect(party, media));
        self.command(MediaCommand::Hear(party, Voices::of(Party::CALLER)));
    }

    fn command(&mut self, command: MediaCommand) {
        self.talk.handle_command(command, self.now, UnixMs(1_500));
    }

    /// Moves time on; gives the sound that was sent, with the port it goes to.
    fn wait(&mut self, ms: u64) -> Vec<(u16, Vec<u8>)> {
        let (mut sent, until) = (self.flush(), self.now + Duration::from_millis(ms));
        while self.now < until {
            self.now += Duration::from_millis(2).min(until - self.now);
            self.talk.handle_timeout(self.now);
            sent.append(&mut self.flush());
        }
        sent
    }

    /// What leaves at once.
    fn flush(&mut self) -> Vec<(u16, Vec<u8>)> {
        let mut sent = Vec::new();
        while let Some((_, out)) = self.talk.poll_transmit(self.now) {
            if out.what == super::super::leg::Kind::Sound {
                sent.push((out.to.port(), out.bytes.to_vec()));
            }
        }
        sent
    }

    fn say(&mut self, party: Party, port: u16, datagram: &[u8]) {
        self.talk.handle_rtp(party, self.now, ([127, 0, 0, 1], port).into(), &mut datagram.to_vec());
    }

    /// Both sides talk for so many packets; gives what reached caller and seat.
    fn talk(&mut self, numbers: std::ops::Range<u32>) -> [Vec<Vec<u8>>; 2] {
        let mut sent = Vec::new();
        for number in numbers {
            sent.append(&mut self.wait(20));
            self.say(Party::CALLER, CALLER, &packet(number));
            self.say(Party::OPERATOR, SEAT, &packet(1_000 + number));
            sent.append(&mut self.flush());
        }
        [CALLER, SEAT].map(|to| sent.iter().filter(|(port, _)| *port == to).map(|(_, bytes)| bytes.clone()).collect())
    }

    async fn close(mut self) -> Recorded {
        self.command(MediaCommand::Close);
        self.shelf.seal(self.call).await
    }
}

/// Payloads of the packets that are not our own silence.
fn spoken(packets: &[Vec<u8>]) -> Vec<&[u8]> {
    let payload = |bytes| rtp::parse(bytes).expect("RTP").payload;
    packets
        .iter()
        .map(|bytes| payload(bytes))
        .filter(|it| it.iter().any(|code| *code != G711::Alaw.silence()))
        .collect()
}

/// One stream: nothing twice, nothing missing, time goes on.
fn assert_one_stream(packets: &[Vec<u8>]) {
    let packets: Vec<_> = packets.iter().map(|bytes| rtp::parse(bytes).expect("RTP")).collect();
    for pair in packets.windows(2) {
        assert_eq!(pair[1].ssrc, pair[0].ssrc);
        assert_eq!(pair[1].sequence, pair[0].sequence.wrapping_add(1));
        assert!(pair[1].timestamp.wrapping_sub(pair[0].timestamp) >= 160, "{pair:?}");
    }
}

#[tokio::test]
async fn each_hears_the_other_at_once_and_the_recording_holds_each_on_its_side() {
    let mut bridge = Bridge::new().await;
    let [to_caller, to_seat] = bridge.talk(0..50);
    assert_one_stream(&to_caller);
    assert_one_stream(&to_seat);
    let (caller, seat): (Vec<_>, Vec<_>) = (0..50).map(|number| (sound(number), sound(1_000 + number))).unzip();
    assert_eq!(spoken(&to_seat), caller.iter().map(|it| &it[..]).collect::<Vec<_>>());
    assert_eq!(spoken(&to_caller), seat.iter().map(|it| &it[..]).collect::<Vec<_>>());
    bridge.wait(40);
    let recorded = bridge.close().await;
    let at = first_sound(&recorded.left);
    assert_same(&recorded.left[at..at + 8_000], &decoded(0..50));
    assert_same(&recorded.right[at..at + 8_000], &decoded(1_000..1_050));
    let who: Vec<_> = recorded.sealed.speakers.iter().map(|it| (it.channel, it.who.as_str())).collect();
    assert_eq!(who, [(Channel::Caller, "caller"), (Channel::Operator, "seat:8001")]);
}

#[tokio::test]
async fn laws_are_turned_into_each_other_only_where_they_differ() {
    let ulaw = RemoteMedia { codec: G711::Ulaw, payload_type: 0, ..remote(SEAT) };
    let mut bridge = Bridge::between(remote(CALLER), ulaw).await;
    bridge.wait(20);
    bridge.say(Party::CALLER, CALLER, &packet(3));
    let sent = bridge.flush();
    let heard = rtp::parse(&sent[0].1).expect("RTP");
    assert_eq!((sent[0].0, heard.payload_type), (SEAT, 0));
    assert_eq!(heard.payload, sound(3).map(|code| G711::Alaw.recode(code, G711::Ulaw)));
}

#[tokio::test]
async fn keys_go_through_under_the_number_of_the_listener() {
    let seat = RemoteMedia { telephone_event: Some(96), ..remote(SEAT) };
    let mut bridge = Bridge::between(remote(CALLER), seat).await;
    bridge.talk(0..3);
    for step in 1..=4_u16 {
        bridge.wait(20);
        bridge.say(Party::CALLER, CALLER, &key(2 + u32::from(step), 3, 5, step * 160, step == 4));
        let sent = bridge.flush();
        let heard = rtp::parse(&sent.last().expect("the key").1).expect("RTP");
        assert_eq!((heard.payload_type, heard.payload[0]), (96, 5));
    }
    let digits =
        std::iter::from_fn(|| bridge.talk.poll_event()).filter(|it| matches!(it, MediaEvent::Digit { key: '5', .. }));
    assert_eq!(digits.count(), 1);
    assert_eq!(first_sound(&bridge.close().await.left), 160);
}

#[tokio::test]
async fn what_is_lost_on_one_side_is_missing_on_the_other() {
    let mut bridge = Bridge::new().await;
    bridge.talk(0..5);
    bridge.wait(20);
    bridge.wait(20);
    bridge.say(Party::CALLER, CALLER, &packet(7));
    bridge.say(Party::CALLER, CALLER, &packet(6));
    let sent = bridge.flush();
    let numbers: Vec<_> = sent.iter().map(|(_, bytes)| rtp::parse(bytes).expect("RTP").sequence).collect();
    assert_eq!(numbers[0], numbers[1].wrapping_add(1), "reordered as it came");
    bridge.wait(20);
    bridge.say(Party::CALLER, CALLER, &packet(8));
    let next = rtp::parse(&bridge.flush()[0].1).expect("RTP").sequence;
    assert_eq!(next, numbers[0].wrapping_add(1), "packet 5 has its place, and is missing there");
}

#[tokio::test]
async fn a_held_caller_hears_music_in_the_same_stream_and_the_seat_is_not_recorded_meanwhile() {
    let mut bridge = Bridge::new().await;
    let [mut to_caller, _] = bridge.talk(0..10);
    bridge.command(MediaCommand::Hear(Party::CALLER, Voices::NOBODY));
    bridge.command(MediaCommand::Hear(Party::OPERATOR, Voices::NOBODY));
    let music = Arc::new(Prompt { name: "hold".into(), pcm: vec![2_000; 3_200] });
    bridge.command(MediaCommand::Play(Party::CALLER, music));
    let [held, to_seat] = bridge.talk(10..20);
    assert!(spoken(&to_seat).is_empty(), "the seat hears nothing");
    assert!(spoken(&held).iter().all(|it| it.iter().all(|code| *code == G711::Alaw.encode(2_000))));
    to_caller.extend(held);
    bridge.command(MediaCommand::StopPlaying(Party::CALLER));
    bridge.command(MediaCommand::Hear(Party::CALLER, Voices::of(Party::OPERATOR)));
    let [again, _] = bridge.talk(20..30);
    assert_eq!(spoken(&again).len(), 10);
    to_caller.extend(again);
    assert_one_stream(&to_caller);
    let recorded = bridge.close().await;
    let secret = decoded(1_012..1_013);
    assert!(!recorded.right.windows(160).any(|it| it == &secret[..]), "said while the caller could not hear it");
}

#[tokio::test]
async fn who_is_heard_and_sends_nothing_gives_way_to_silence_and_comes_back() {
    let mut bridge = Bridge::new().await;
    let [mut to_caller, _] = bridge.talk(0..5);
    let lull = bridge.wait(1_000);
    let quiet: Vec<_> = lull.into_iter().filter(|(port, _)| *port == CALLER).map(|(_, bytes)| bytes).collect();
    assert!((38..=42).contains(&quiet.len()), "silence after 200 ms: {}", quiet.len());
    to_caller.extend(quiet);
    let [again, _] = bridge.talk(55..60);
    assert_eq!(spoken(&again).len(), 5);
    to_caller.extend(again);
    assert_one_stream(&to_caller);
}

#[tokio::test]
async fn a_seat_that_leaves_is_heard_no_more_and_the_next_one_takes_its_place() {
    let mut bridge = Bridge::new().await;
    let [mut to_caller, _] = bridge.talk(0..5);
    let stats = bridge.talk.leave(Party::OPERATOR, bridge.now).expect("it was there");
    assert_eq!(stats.heard.received, 5);
    to_caller.extend(bridge.wait(400).into_iter().map(|(_, bytes)| bytes));
    let other = Party::all().nth(2).expect("four");
    bridge.join(other, remote(SEAT + 2));
    bridge.command(MediaCommand::Hear(Party::CALLER, Voices::of(other)));
    bridge.say(other, SEAT + 2, &packet(0));
    to_caller.extend(bridge.flush().into_iter().filter(|(port, _)| *port == CALLER).map(|(_, bytes)| bytes));
    assert_one_stream(&to_caller);
    assert_eq!(spoken(&to_caller).len(), 6);
    assert_eq!(bridge.talk.leave(Party::CALLER, bridge.now), None, "the caller leaves with the call");
    let mut who: Vec<_> = bridge.close().await.sealed.speakers.into_iter().map(|it| it.who).collect();
    who.sort();
    assert_eq!(who, ["caller", "seat:8001", "seat:8002"].map(String::from).to_vec());
}

#[tokio::test]
async fn a_third_can_listen_without_being_heard_or_recorded() {
    let mut bridge = Bridge::new().await;
    let third = Party::all().nth(2).expect("four");
    bridge.join(third, remote(SEAT + 2));
    bridge.wait(20);
    bridge.say(third, SEAT + 2, &packet(500));
    bridge.say(Party::CALLER, CALLER, &packet(0));
    let to: Vec<_> = bridge.flush().into_iter().map(|(port, _)| port).collect();
    assert_eq!(to, [SEAT, SEAT + 2], "both hear the caller");
    assert!(bridge.close().await.right.iter().all(|sample| *sample == 0));
}

/// A packet of one A-law code.
fn constant(number: u32, code: u8) -> Vec<u8> {
    let mut bytes = packet(number);
    bytes[12..].fill(code);
    bytes
}

/// Three speak at once for so many packets, each one code of A-law; gives the last second of what each heard, decoded.
fn three(bridge: &mut Bridge, codes: [u8; 3]) -> [Vec<i16>; 3] {
    let ports = [CALLER, SEAT, SEAT + 2];
    let mut sent = Vec::new();
    for number in 0..100 {
        sent.append(&mut bridge.wait(20));
        for ((party, port), code) in Party::all().zip(ports).zip(codes) {
            bridge.say(party, port, &constant(number, code));
        }
        sent.append(&mut bridge.flush());
    }
    ports.map(|to| {
        let to: Vec<_> = sent.iter().filter(|(port, _)| *port == to).map(|(_, bytes)| bytes.clone()).collect();
        assert_one_stream(&to);
        let payloads = to[50..].iter().flat_map(|bytes| bytes[12..].to_vec());
        payloads.map(|code| G711::Alaw.decode(code)).collect()
    })
}

#[tokio::test]
async fn three_in_a_conference_hear_the_other_two_and_the_recording_holds_what_the_caller_heard() {
    let mut bridge = Bridge::new().await;
    bridge.join(Party::GUEST, remote(SEAT + 2));
    let all = Voices::of(Party::CALLER).and(Party::OPERATOR).and(Party::GUEST);
    for party in [Party::CALLER, Party::OPERATOR, Party::GUEST] {
        bridge.command(MediaCommand::Hear(party, all));
    }
    let codes = [1_000, 2_000, 4_000].map(|level| G711::Alaw.encode(level));
    let [caller, seat, guest] = codes.map(|code| G711::Alaw.decode(code));
    let heard = three(&mut bridge, codes);
    for (heard, sum) in heard.iter().zip([seat + guest, caller + guest, caller + seat]) {
        let again = G711::Alaw.decode(G711::Alaw.encode(sum));
        assert!(heard.iter().all(|sample| *sample == again), "{:?} and not {again}", &heard[..4]);
    }
    let recorded = bridge.close().await;
    let last = recorded.right.len() - 8_000;
    assert!(recorded.right[last..last + 4_000].iter().all(|sample| *sample == heard[0][0]));
    let mut who: Vec<_> = recorded.sealed.speakers.into_iter().map(|it| it.who).collect();
    who.sort();
    assert_eq!(who, ["caller", "seat:8001", "seat:8002"].map(String::from).to_vec());
}

#[tokio::test]
async fn a_whisper_reaches_the_operator_alone_and_is_not_recorded() {
    let mut bridge = Bridge::new().await;
    bridge.join(Party::GUEST, remote(SEAT + 2));
    bridge.command(MediaCommand::Hear(Party::OPERATOR, Voices::of(Party::CALLER).and(Party::GUEST)));
    bridge.command(MediaCommand::Hear(Party::GUEST, Voices::of(Party::CALLER).and(Party::OPERATOR)));
    let codes = [1_000, 2_000, 4_000].map(|level| G711::Alaw.encode(level));
    let [caller, seat, guest] = codes.map(|code| G711::Alaw.decode(code));
    let [to_caller, to_seat, to_guest] = three(&mut bridge, codes);
    let coded = |sum: i16| G711::Alaw.decode(G711::Alaw.encode(sum));
    assert!(to_caller.iter().all(|sample| *sample == seat), "the caller hears the operator alone");
    assert!(to_seat.iter().all(|sample| *sample == coded(caller + guest)));
    assert!(to_guest.iter().all(|sample| *sample == coded(caller + seat)));
    let recorded = bridge.close().await;
    assert!(recorded.right.iter().all(|sample| [0, seat].contains(sample)));
    assert!(!recorded.sealed.speakers.iter().any(|it| it.who == "seat:8002"));
}
