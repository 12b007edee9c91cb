use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{super::leg::Leg, *};
use crate::media::{LegStats, MediaCommand, MediaEvent, Prompt};

/// A leg with a recording, and a time that moves only when told.
struct Desk {
    leg: Box<Leg>,
    call: CallId,
    start: Instant,
    now: Instant,
    shelf: Shelf,
}

const PHONE: u16 = 40_000;

impl Desk {
    async fn connected() -> Self {
        let mut desk = Self::opened().await;
        desk.command(MediaCommand::Connect(remote(PHONE)));
        desk
    }

    /// Recording, but without an answer to the offer yet.
    async fn opened() -> Self {
        let (shelf, call, now) = (Shelf::new(), call(), Clock::system().instant());
        let tap = shelf.archive.start(facts(call)).await.expect("room");
        let mut desk = Self { leg: Box::new(Leg::new(call, now, [7; 3])), call, start: now, now, shelf };
        desk.command(MediaCommand::Record(tap));
        desk
    }

    fn command(&mut self, command: MediaCommand) {
        self.leg.handle_command(command, self.now, UnixMs(1_500));
    }

    /// Moves time on in steps of a tick; gives what was sent meanwhile.
    fn wait(&mut self, ms: u64) -> Vec<(SocketAddr, Vec<u8>)> {
        let (mut sent, until) = (Vec::new(), self.now + Duration::from_millis(ms));
        while self.now < until {
            self.now += Duration::from_millis(2).min(until - self.now);
            self.leg.handle_timeout(self.now);
            while let Some((to, packet)) = self.leg.poll_transmit(self.now) {
                sent.push((to, packet.to_vec()));
            }
        }
        sent
    }

    fn hear(&mut self, datagram: &[u8]) {
        self.hear_from(PHONE, datagram);
    }

    fn hear_from(&mut self, port: u16, datagram: &[u8]) {
        self.leg.handle_rtp(self.now, ([127, 0, 0, 1], port).into(), &mut datagram.to_vec());
    }

    fn events(&mut self) -> Vec<MediaEvent> {
        std::iter::from_fn(|| self.leg.poll_event()).collect()
    }

    fn keys(&mut self) -> String {
        let key = |event| if let MediaEvent::Digit { key, .. } = event { Some(key) } else { None };
        self.events().into_iter().filter_map(key).collect()
    }

    async fn close(mut self) -> (Recorded, LegStats) {
        self.command(MediaCommand::Close);
        let stats = self.leg.stats();
        (self.shelf.seal(self.call).await, stats)
    }
}

#[tokio::test]
async fn loss_reordering_and_duplicates_leave_the_rest_in_its_place() {
    let mut desk = Desk::connected().await;
    for slot in [&[0][..], &[1], &[2], &[3], &[], &[5], &[6, 6], &[], &[8], &[9, 7], &[10], &[11, 3], &[], &[], &[14]] {
        desk.wait(20);
        for number in slot {
            desk.hear(&packet(*number));
        }
    }
    desk.wait(100);
    let (recorded, stats) = desk.close().await;
    let mut expected = decoded(0..15);
    for lost in [4, 12, 13] {
        expected[lost * 160..(lost + 1) * 160].fill(0);
    }
    assert_eq!(first_sound(&recorded.left), 160, "anchored where the first packet arrived");
    assert_same(&recorded.left[160..160 + 15 * 160], &expected);
    assert!(recorded.left[160 + 15 * 160..].iter().all(|sample| *sample == 0));
    assert_eq!((stats.heard.lost, stats.heard.reordered, stats.heard.duplicates), (3, 1, 2));
    assert_eq!(recorded.sealed.samples, 8 * (15 * 20 + 100));
    let gaps: Vec<_> = recorded.sealed.gaps.iter().map(|gap| (gap.start_ms, gap.end_ms)).collect();
    assert_eq!(gaps, [(20 + 80, 20 + 100), (20 + 240, 20 + 280)]);
}

#[tokio::test]
async fn packets_that_are_seconds_apart_or_jump_by_hours_do_not_stretch_the_call() {
    let mut desk = Desk::connected().await;
    for (number, ssrc, timestamp) in [(0, 1, 0), (1, 1, 3_000_000_000), (2, 2, 77), (3, 2, 77 + 160), (4, 1, 5)] {
        desk.wait(20);
        desk.hear(&[&rtp::header(8, false, number, timestamp, ssrc)[..], &sound(number.into())].concat());
    }
    desk.wait(20);
    let (recorded, _) = desk.close().await;
    assert_same(&recorded.left[160..160 + 5 * 160], &decoded(0..5));
    assert_eq!(recorded.sealed.samples, 6 * 160);
}

#[tokio::test]
async fn keys_are_told_once_and_never_recorded() {
    let mut desk = Desk::connected().await;
    let mut number = 0;
    let mut hear = |desk: &mut Desk, bytes: &dyn Fn(u32) -> Vec<u8>| {
        desk.wait(20);
        desk.hear(&bytes(number));
        number += 1;
    };
    for _ in 0..5 {
        hear(&mut desk, &packet);
    }
    for step in 1..=6_u16 {
        hear(&mut desk, &|number| key(number, 5, 11, (step * 160).min(800), step > 4));
    }
    for _ in 0..5 {
        hear(&mut desk, &packet);
    }
    assert_eq!(desk.keys(), "#");
    let (recorded, stats) = desk.close().await;
    assert_same(&recorded.left[160..6 * 160], &decoded(0..5));
    assert!(recorded.left[6 * 160..12 * 160].iter().all(|sample| *sample == 0), "the key's span is silent");
    assert_same(&recorded.left[12 * 160..17 * 160], &decoded(11..16));
    assert_eq!(stats.heard.lost, 0);
    let lost_ms: u32 = recorded.sealed.gaps.iter().map(|gap| gap.end_ms - gap.start_ms).sum();
    assert_eq!(lost_ms, 20, "a key of 100 ms is no loss; the rest of its packets' time is silence");
}

#[tokio::test]
async fn strangers_and_garbage_change_nothing() {
    let mut desk = Desk::connected().await;
    desk.wait(20);
    desk.hear(&packet(0));
    desk.wait(20);
    desk.hear_from(666, &packet(1));
    desk.hear(&[0x80; 5]);
    desk.hear(&[&rtp::header(96, false, 1, 160, SSRC)[..], &[0; 160]].concat());
    desk.hear(&[&[0x80, 200][..], &[0; 26]].concat());
    desk.hear(&packet(1));
    let sent = desk.wait(20);
    assert_eq!(sent.last().map(|(to, _)| to.port()), Some(PHONE));
    let (recorded, LegStats { heard: stats, .. }) = desk.close().await;
    assert_same(&recorded.left[160..3 * 160], &decoded(0..2));
    assert_eq!((stats.received, stats.foreign, stats.malformed, stats.rtcp), (2, 2, 1, 1));
}

#[tokio::test]
async fn what_came_before_the_answer_was_known_is_recorded_in_its_place() {
    let mut desk = Desk::opened().await;
    for number in 0..10 {
        desk.wait(20);
        desk.hear(&packet(number));
    }
    assert_eq!(desk.events(), []);
    desk.command(MediaCommand::Connect(remote(PHONE)));
    assert_eq!(desk.events(), [MediaEvent::FirstPacket { call: desk.call }]);
    let (recorded, _) = desk.close().await;
    assert_same(&recorded.left[160..], &decoded(0..10));
}

#[tokio::test]
async fn thirty_silent_seconds_are_told_once_unless_they_hold_or_send_rtcp() {
    let mut desk = Desk::connected().await;
    desk.wait(29_000);
    desk.leg.handle_rtcp(desk.now, ([127, 0, 0, 1], PHONE + 1).into());
    desk.wait(29_900);
    assert_eq!(desk.events(), [], "a muted phone lives by its RTCP");
    desk.wait(5_000);
    assert_eq!(desk.events(), [MediaEvent::Silent { call: desk.call }]);
    desk.command(MediaCommand::Connect(RemoteMedia { receive: false, ..remote(PHONE) }));
    desk.wait(60_000);
    assert_eq!(desk.events(), [], "held");
    desk.command(MediaCommand::Connect(remote(PHONE)));
    desk.wait(31_000);
    assert_eq!(desk.events(), [MediaEvent::Silent { call: desk.call }]);
}

#[tokio::test]
async fn an_announcement_is_sent_as_one_stream_recorded_on_the_right_and_named() {
    let mut desk = Desk::connected().await;
    desk.wait(100);
    let pcm: Vec<i16> = (0..4_000).map(|index| if index % 20 < 10 { 5_000 } else { -5_000 }).collect();
    desk.command(MediaCommand::Play(Arc::new(Prompt { name: "welcome".into(), pcm: pcm.clone() })));
    let sent = desk.wait(600);
    assert_eq!(sent.len(), 30);
    let packets: Vec<_> = sent.iter().map(|(_, bytes)| rtp::parse(bytes).expect("RTP")).collect();
    for pair in packets.windows(2) {
        assert_eq!(pair[1].sequence, pair[0].sequence.wrapping_add(1));
        assert_eq!(pair[1].timestamp, pair[0].timestamp.wrapping_add(160));
    }
    assert_eq!(desk.events(), [MediaEvent::PromptEnded { call: desk.call, name: "welcome".into() }]);
    let (recorded, stats) = desk.close().await;
    assert_eq!(stats.sent, 36);
    let begin = first_sound(&recorded.right);
    let heard: Vec<i16> = pcm.iter().map(|sample| G711::Alaw.decode(G711::Alaw.encode(*sample))).collect();
    assert_same(&recorded.right[begin..begin + 4_000], &heard);
    assert!(recorded.left.iter().all(|sample| *sample == 0));
    let [speaker] = &recorded.sealed.speakers[..] else { panic!("{:?}", recorded.sealed.speakers) };
    assert_eq!((speaker.channel, speaker.who.as_str()), (Channel::Operator, "prompt:welcome"));
    assert_eq!((speaker.start_ms as usize, speaker.end_ms), (begin / 8, speaker.start_ms + 500));
}

#[tokio::test]
async fn a_cut_announcement_ends_where_it_was_cut() {
    let mut desk = Desk::connected().await;
    let prompt = |name: &str| MediaCommand::Play(Arc::new(Prompt { name: name.into(), pcm: vec![900; 80_000] }));
    desk.command(prompt("one"));
    desk.command(prompt("two"));
    desk.wait(1_000);
    desk.command(MediaCommand::StopPlaying);
    desk.wait(1_000);
    let ended: Vec<_> =
        ["one", "two"].map(|name| MediaEvent::PromptEnded { call: desk.call, name: name.into() }).into();
    assert_eq!(desk.events(), ended);
    let (recorded, _) = desk.close().await;
    let spans: Vec<_> = recorded.sealed.speakers.iter().map(|it| (it.who.as_str(), it.start_ms, it.end_ms)).collect();
    assert_eq!(spans, [("prompt:one", 0, 1_000)]);
    assert!(recorded.right[8_160..].iter().all(|sample| *sample == 0));
}

#[tokio::test]
async fn nothing_is_sent_while_they_hold_us_and_a_new_codec_is_taken_up() {
    let mut desk = Desk::connected().await;
    assert_eq!(desk.wait(100).len(), 6);
    desk.command(MediaCommand::Connect(RemoteMedia { send: false, ..remote(PHONE) }));
    assert_eq!(desk.wait(100).len(), 0);
    let ulaw = RemoteMedia { codec: G711::Ulaw, payload_type: 0, ..remote(PHONE) };
    desk.command(MediaCommand::Connect(ulaw));
    let sent = desk.wait(40);
    let packet = rtp::parse(&sent[0].1).expect("RTP");
    assert!(packet.marker, "the first after a break");
    assert_eq!((packet.payload_type, packet.payload[0]), (0, G711::Ulaw.silence()));
    desk.hear(&super::packet(0));
    desk.wait(20);
    desk.hear(&[&rtp::header(0, false, 65_531, (u32::MAX - 1_000).wrapping_add(160), SSRC)[..], &[0; 160]].concat());
    assert!(desk.now - desk.start < Duration::from_secs(2));
    let (recorded, stats) = desk.close().await;
    let begin = first_sound(&recorded.left);
    assert_same(&recorded.left[begin..begin + 160], &decoded(0..1));
    assert_eq!(recorded.left[begin + 160], G711::Ulaw.decode(0));
    assert_eq!(stats.heard.foreign, 0);
}
