use std::{
    net::{SocketAddr, UdpSocket},
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::mpsc::Receiver;

use super::*;
use crate::media::{LegStats, MediaCommand, MediaEvent, MediaPlane, MediaSettings, Prompt};

/// Generous: only a broken test waits so long.
const PATIENCE: Duration = Duration::from_mins(1);

/// A plane, an archive and one phone that calls.
struct Exchange {
    plane: MediaPlane,
    events: Receiver<MediaEvent>,
    shelf: Shelf,
    clock: Clock,
    call: CallId,
    phone: UdpSocket,
    line: SocketAddr,
    began: Instant,
}

impl Exchange {
    async fn answered() -> Self {
        let clock = Clock::system();
        let settings =
            MediaSettings { address: [127, 0, 0, 1].into(), ports: (0, 0), shards: 1, shared: false, identity: None };
        let (plane, events) = MediaPlane::start(settings, clock.clone()).expect("threads");
        let (shelf, call) = (Shelf::new(), call());
        let phone = UdpSocket::bind("127.0.0.1:0").expect("loopback");
        phone.set_read_timeout(Some(PATIENCE)).expect("a socket");
        let line = plane.open(call, None).expect("ports");
        let tap = shelf.archive.start(facts(call)).await.expect("room");
        let port = phone.local_addr().expect("bound").port();
        plane.command(call, MediaCommand::Connect(Party::CALLER, remote(port))).expect("a leg");
        let began = clock.instant();
        plane.command(call, MediaCommand::Record(tap)).expect("a leg");
        Self { plane, events, shelf, clock, call, phone, line, began }
    }

    /// Sends packets 20 ms apart by the clock; a late thread catches up as a phone would.
    fn speak(&self, packets: &[Vec<u8>]) {
        let mut due = self.clock.instant();
        for bytes in packets {
            std::thread::sleep(due.saturating_duration_since(self.clock.instant()));
            self.phone.send_to(bytes, self.line).expect("loopback");
            due += Duration::from_millis(20);
        }
        std::thread::sleep(due.saturating_duration_since(self.clock.instant()));
    }

    async fn event(&mut self) -> MediaEvent {
        tokio::time::timeout(PATIENCE, self.events.recv()).await.expect("an event in time").expect("a running plane")
    }

    /// Ends the call; also gives the events before, and the longest the recording may be.
    async fn hang_up(mut self) -> (Recorded, LegStats, Vec<MediaEvent>, Duration) {
        self.plane.command(self.call, MediaCommand::Close).expect("a leg");
        let lasted = self.clock.instant() - self.began;
        let mut before = Vec::new();
        let stats = loop {
            match self.event().await {
                MediaEvent::Closed { stats, .. } => break stats,
                event => before.push(event),
            }
        };
        let recorded = self.shelf.seal(self.call).await;
        self.plane.stop();
        (recorded, stats, before, lasted)
    }
}

#[tokio::test]
async fn the_recording_is_what_was_sent_sample_by_sample() {
    let exchange = Exchange::answered().await;
    let call = exchange.call;
    let packets: Vec<_> = (0..100).map(packet).collect();
    exchange.speak(&packets);
    let (recorded, stats, events, lasted) = exchange.hang_up().await;
    assert_eq!(events, [MediaEvent::FirstPacket { call, party: Party::CALLER }]);
    assert_eq!((stats.heard.received, stats.heard.lost, stats.heard.duplicates), (100, 0, 0));
    let begin = first_sound(&recorded.left);
    assert_same(&recorded.left[begin..begin + 16_000], &decoded(0..100));
    let length = Duration::from_millis(recorded.sealed.duration_ms());
    assert!(length <= lasted + Duration::from_millis(20), "{length:?} of a call of {lasted:?}");
    assert!(length >= Duration::from_secs(2), "as long as the phone spoke");
    let [speaker] = &recorded.sealed.speakers[..] else { panic!("{:?}", recorded.sealed.speakers) };
    assert_eq!((speaker.who.as_str(), speaker.start_ms as usize), ("caller", begin / 8));
}

#[tokio::test]
async fn loss_and_reordering_on_the_wire_become_silence_and_order() {
    let exchange = Exchange::answered().await;
    let mut packets: Vec<_> = (0..60).map(packet).collect();
    packets.swap(20, 21);
    packets[40] = packets[39].clone();
    exchange.speak(&packets);
    let (recorded, stats, ..) = exchange.hang_up().await;
    let begin = first_sound(&recorded.left);
    let mut expected = decoded(0..60);
    expected[40 * 160..41 * 160].fill(0);
    assert_same(&recorded.left[begin..begin + 9_600], &expected);
    assert_eq!((stats.heard.lost, stats.heard.reordered, stats.heard.duplicates), (1, 1, 1));
}

#[tokio::test]
async fn keys_come_out_as_events_and_not_in_the_recording() {
    let exchange = Exchange::answered().await;
    let call = exchange.call;
    let mut packets: Vec<_> = (0..10).map(packet).collect();
    packets.extend((1..=5_u16).map(|step| key(u32::from(9 + step), 10, 5, step * 160, false)));
    packets.extend((0..3).map(|repeat| key(15 + repeat, 10, 5, 1_280, true)));
    packets.extend((18..28).map(packet));
    exchange.speak(&packets);
    let (recorded, stats, events, _) = exchange.hang_up().await;
    assert_eq!(events[1..], [MediaEvent::Digit { call, party: Party::CALLER, key: '5', duration_ms: 160 }]);
    let begin = first_sound(&recorded.left);
    assert_same(&recorded.left[begin..begin + 1_600], &decoded(0..10));
    assert!(recorded.left[begin + 1_600..begin + 18 * 160].iter().all(|sample| *sample == 0));
    assert_same(&recorded.left[begin + 18 * 160..begin + 28 * 160], &decoded(18..28));
    assert_eq!(stats.heard.lost, 0);
}

#[tokio::test]
async fn an_announcement_reaches_the_phone_and_the_right_channel() {
    let mut exchange = Exchange::answered().await;
    let tone = |index: i32| (f64::from(index) * 440.0 * std::f64::consts::TAU / 8_000.0).sin() * 9_000.0;
    #[expect(clippy::cast_possible_truncation, reason = "9,000 fits")]
    let pcm: Vec<i16> = (0..8_000).map(|index| tone(index) as i16).collect();
    let prompt = Arc::new(Prompt { name: "tone".into(), pcm });
    exchange.plane.command(exchange.call, MediaCommand::Play(Party::CALLER, prompt)).expect("a leg");
    let (mut heard, mut buffer, mut last) = (Vec::new(), [0; 2_000], None);
    while heard.len() < 8_000 {
        let (length, from) = exchange.phone.recv_from(&mut buffer).expect("our stream goes on");
        let packet = rtp::parse(&buffer[..length]).expect("RTP");
        assert_eq!((from, packet.payload_type, packet.payload.len()), (exchange.line, 8, 160));
        if let Some(last) = last.replace(packet.sequence) {
            assert_eq!(packet.sequence, u16::wrapping_add(last, 1));
        }
        // The line is silent before the announcement.
        if !heard.is_empty() || packet.payload.iter().any(|code| *code != G711::Alaw.silence()) {
            heard.extend(packet.payload.iter().map(|code| G711::Alaw.decode(*code)));
        }
    }
    assert_eq!(
        exchange.event().await,
        MediaEvent::PromptEnded { call: exchange.call, party: Party::CALLER, name: "tone".into() }
    );
    let (recorded, ..) = exchange.hang_up().await;
    assert!(tone_share(&heard, 440.0) > 0.99);
    let [speaker] = &recorded.sealed.speakers[..] else { panic!("{:?}", recorded.sealed.speakers) };
    assert_eq!((speaker.who.as_str(), speaker.end_ms - speaker.start_ms), ("prompt:tone", 1_000));
    let span = speaker.start_ms as usize * 8..speaker.end_ms as usize * 8;
    assert!(tone_share(&recorded.right[span.clone()], 440.0) > 0.99);
    assert!(tone_share(&recorded.right[span], 880.0) < 0.01);
    assert!(recorded.left.iter().all(|sample| *sample == 0));
}

#[tokio::test]
async fn noise_on_the_ports_ends_nothing() {
    let exchange = Exchange::answered().await;
    let mut noise = 1_u32;
    let mut garbage = |length: usize| -> Vec<u8> {
        std::iter::repeat_with(|| {
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            noise.to_le_bytes()[3]
        })
        .take(length)
        .collect()
    };
    let rtcp = SocketAddr::new(exchange.line.ip(), exchange.line.port() + 1);
    let stranger = UdpSocket::bind("127.0.0.1:0").expect("loopback");
    for number in 0..20 {
        exchange.speak(&[packet(number)]);
        for length in [usize::try_from(number).expect("small"), 100, 172, 1_599, 1_600, 1_601, 9_000] {
            let mut bytes = garbage(length);
            for to in [exchange.line, rtcp] {
                stranger.send_to(&bytes, to).expect("loopback");
                // From the phone itself it must not look like sound: version 0 or 1.
                if let Some(first) = bytes.first_mut() {
                    *first &= 0x7F;
                }
                exchange.phone.send_to(&bytes, to).expect("loopback");
            }
        }
    }
    let (recorded, ..) = exchange.hang_up().await;
    let begin = first_sound(&recorded.left);
    for number in 0..20 {
        let expected = decoded([number]);
        assert!(recorded.left[begin..].windows(160).any(|window| window == expected), "packet {number}");
    }
}

/// A plane with 32 pairs of ports, and the clock by which they rest.
fn small_plane() -> (MediaPlane, Receiver<MediaEvent>, Clock) {
    let probe = UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("loopback");
    let (first, clock) = (probe.port().min(65_000) & !1, Clock::that_can_be_advanced());
    let settings = MediaSettings {
        address: [127, 0, 0, 1].into(),
        ports: (first, first + 63),
        shards: 2,
        shared: false,
        identity: None,
    };
    let (plane, events) = MediaPlane::start(settings, clock.clone()).expect("threads");
    (plane, events, clock)
}

async fn all_closed(events: &mut Receiver<MediaEvent>, calls: usize) {
    for _ in 0..calls {
        let event = tokio::time::timeout(PATIENCE, events.recv()).await.expect("in time");
        assert!(matches!(event, Some(MediaEvent::Closed { .. })), "{event:?}");
    }
}

#[tokio::test]
async fn ports_come_back_from_every_call_and_a_stopped_plane_says_so() {
    let (plane, mut events, clock) = small_plane();
    let free = plane.free_ports();
    for _ in 0..4 {
        let calls: Vec<_> = std::iter::repeat_with(call).take_while(|call| plane.open(*call, None).is_ok()).collect();
        assert!(!calls.is_empty());
        for call in &calls {
            assert!(plane.open(*call, None).is_err(), "once is enough");
            plane.command(*call, MediaCommand::Close).expect("a leg");
            assert!(plane.command(*call, MediaCommand::Close).is_err(), "it is gone");
        }
        all_closed(&mut events, calls.len()).await;
        assert_eq!(plane.free_ports(), free);
        assert!(plane.open(call(), None).is_err(), "all of them rest");
        clock.advance(Duration::from_secs(2));
    }
    plane.open(call(), None).expect("ports");
    plane.stop();
    assert_eq!(plane.free_ports(), free);
    assert!(plane.open(call(), None).is_err());
    assert_eq!(plane.free_ports(), free, "a refused call keeps no port");
}

#[tokio::test]
async fn a_call_is_closed_and_gives_its_ports_back_although_its_thread_is_behind() {
    let (plane, mut events, _) = small_plane();
    let (free, call) = (plane.free_ports(), call());
    plane.open(call, None).expect("ports");
    let behind =
        std::iter::repeat_with(|| plane.command(call, MediaCommand::StopPlaying(Party::CALLER))).take(1_000_000);
    assert!(behind.into_iter().any(|told| told.is_err()), "its ring is full");
    plane.command(call, MediaCommand::Close).expect("a leg");
    all_closed(&mut events, 1).await;
    assert_eq!(plane.free_ports(), free);
    plane.stop();
}

/// A phone of a carrier's, and the call it makes.
struct Gateway {
    call: CallId,
    phone: UdpSocket,
}

impl Gateway {
    fn source(&self) -> SocketAddr {
        self.phone.local_addr().expect("bound")
    }
}

fn gateway() -> Gateway {
    let phone = UdpSocket::bind("127.0.0.1:0").expect("loopback");
    phone.set_read_timeout(Some(PATIENCE)).expect("a socket");
    Gateway { call: call(), phone }
}

#[tokio::test]
async fn calls_of_carriers_share_a_port_and_are_told_apart_by_where_they_come_from() {
    let clock = Clock::system();
    let settings =
        MediaSettings { address: [127, 0, 0, 1].into(), ports: (0, 0), shards: 1, shared: true, identity: None };
    let (plane, mut events) = MediaPlane::start(settings, clock.clone()).expect("threads");
    let shelf = Shelf::new();
    let calls = [gateway(), gateway(), gateway()];
    let mut lines = Vec::new();
    for gateway in &calls {
        lines.push(plane.open(gateway.call, Some(gateway.source())).expect("a port"));
        let tap = shelf.archive.start(facts(gateway.call)).await.expect("room");
        let media = remote(gateway.source().port());
        plane.command(gateway.call, MediaCommand::Connect(Party::CALLER, media)).expect("a leg");
        plane.command(gateway.call, MediaCommand::Record(tap)).expect("a leg");
    }
    assert!(lines.iter().all(|line| *line == lines[0]), "{lines:?}");
    let twin = plane.open(call(), Some(calls[0].source())).expect("ports of its own");
    assert_ne!(twin, lines[0], "two calls from one address cannot be told apart");

    // The third moves its media in mid-call; a stranger speaks all the time.
    let (moved, stranger) = (gateway(), gateway());
    let mut due = clock.instant();
    for number in 0..100 {
        std::thread::sleep(due.saturating_duration_since(clock.instant()));
        due += Duration::from_millis(20);
        if number == 50 {
            let media = remote(moved.source().port());
            plane.command(calls[2].call, MediaCommand::Connect(Party::CALLER, media)).expect("a leg");
        }
        let third = if number < 50 { &calls[2] } else { &moved };
        for (speaker, offset) in [(&calls[0], 0), (&calls[1], 1_000), (third, 2_000), (&stranger, 3_000)] {
            speaker.phone.send_to(&packet(offset + number), lines[0]).expect("loopback");
        }
    }
    // What we say to each comes from the one port.
    for gateway in [&calls[0], &calls[1], &moved] {
        let mut buffer = [0; 2_000];
        let (length, from) = gateway.phone.recv_from(&mut buffer).expect("our stream");
        assert_eq!((from, rtp::parse(&buffer[..length]).expect("RTP").payload_type), (lines[0], 8));
    }
    for (gateway, offset) in calls.iter().zip([0, 1_000, 2_000]) {
        plane.command(gateway.call, MediaCommand::Close).expect("a leg");
        let stats = loop {
            if let MediaEvent::Closed { call, stats } =
                tokio::time::timeout(PATIENCE, events.recv()).await.expect("in time").expect("a running plane")
            {
                assert_eq!(call, gateway.call);
                break stats;
            }
        };
        assert_eq!((stats.heard.received, stats.heard.lost, stats.heard.foreign), (100, 0, 0), "{offset}");
        assert!(stats.sent > 0 && stats.send_failed == 0, "{stats:?}");
        let recorded = shelf.seal(gateway.call).await;
        let begin = first_sound(&recorded.left);
        assert_same(&recorded.left[begin..begin + 16_000], &decoded(offset..offset + 100));
    }
    // The address of a call that is over is free for the next one.
    assert_eq!(plane.open(call(), Some(calls[1].source())).expect("a port"), lines[0]);
    plane.stop();
}
