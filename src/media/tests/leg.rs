use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    super::{
        inbound::Inbound,
        latch::Latch,
        leg::{Kind, Leg},
        rtcp::{self, Block, Item},
        srtp::{Opener, Sealer},
        talk::Talk,
    },
    *,
};
use crate::media::{LegStats, MediaCommand, MediaEvent, Prompt, Srtp, SrtpKey, SrtpSuite, StreamStats};

/// A leg with a recording, and a time that moves only when told.
struct Desk {
    talk: Box<Talk>,
    call: CallId,
    start: Instant,
    now: Instant,
    shelf: Shelf,
    /// RTCP that was sent while time moved on.
    reports: Vec<(SocketAddr, Kind, Vec<u8>)>,
}

const PHONE: u16 = 40_000;

impl Desk {
    async fn connected() -> Self {
        let mut desk = Self::opened().await;
        desk.command(MediaCommand::Connect(Party::CALLER, remote(PHONE)));
        desk
    }

    /// Recording, but without an answer to the offer yet.
    async fn opened() -> Self {
        let (shelf, call, now) = (Shelf::new(), call(), Clock::system().instant());
        let tap = shelf.archive.start(facts(call)).await.expect("room");
        let talk = Box::new(Talk::new(call, now, Leg::new("caller".into(), now, UnixMs(1_000), [7; 6])));
        let mut desk = Self { talk, call, start: now, now, shelf, reports: Vec::new() };
        desk.command(MediaCommand::Record(tap));
        desk
    }

    fn command(&mut self, command: MediaCommand) {
        self.talk.handle_command(command, self.now, UnixMs(1_500));
    }

    /// Moves time on in steps of a tick; gives what was sent meanwhile.
    fn wait(&mut self, ms: u64) -> Vec<(SocketAddr, Vec<u8>)> {
        let (mut sent, until) = (Vec::new(), self.now + Duration::from_millis(ms));
        while self.now < until {
            self.now += Duration::from_millis(2).min(until - self.now);
            self.talk.handle_timeout(self.now);
            while let Some((_, out)) = self.talk.poll_transmit(self.now) {
                if out.what == Kind::Sound {
                    sent.push((out.to, out.bytes.to_vec()));
                } else {
                    self.reports.push((out.to, out.what, out.bytes.to_vec()));
                }
            }
        }
        sent
    }

    fn hear(&mut self, datagram: &[u8]) {
        self.hear_from(PHONE, datagram);
    }

    fn hear_from(&mut self, port: u16, datagram: &[u8]) {
        self.talk.handle_rtp(Party::CALLER, self.now, ([127, 0, 0, 1], port).into(), &mut datagram.to_vec());
    }

    /// A compound comes to the RTCP port.
    fn report(&mut self, compound: &[u8]) {
        self.talk.handle_rtcp(Party::CALLER, self.now, ([127, 0, 0, 1], PHONE + 1).into(), &mut compound.to_vec());
    }

    fn events(&mut self) -> Vec<MediaEvent> {
        std::iter::from_fn(|| self.talk.poll_event()).collect()
    }

    fn keys(&mut self) -> String {
        let key = |event| if let MediaEvent::Digit { key, .. } = event { Some(key) } else { None };
        self.events().into_iter().filter_map(key).collect()
    }

    async fn close(mut self) -> (Recorded, LegStats) {
        self.command(MediaCommand::Close);
        let stats = self.talk.stats();
        (self.shelf.seal(self.call).await, stats)
    }
}

/// What the phone says of the stream that we send.
fn report(block: Block, bye: bool) -> Vec<u8> {
    let mut out = Vec::new();
    rtcp::write(&mut out, SSRC, None, Some((7, block)), b"phone", bye);
    out
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
    desk.hear(&report(Block::default(), false));
    desk.hear(&packet(1));
    let sent = desk.wait(20);
    assert_eq!(sent.last().map(|(to, _)| to.port()), Some(PHONE));
    let (recorded, LegStats { heard: stats, .. }) = desk.close().await;
    assert_same(&recorded.left[160..3 * 160], &decoded(0..2));
    assert_eq!((stats.received, stats.foreign, stats.malformed, stats.rtcp), (2, 2, 2, 1));
}

#[tokio::test]
async fn what_came_before_the_answer_was_known_is_recorded_in_its_place() {
    let mut desk = Desk::opened().await;
    for number in 0..10 {
        desk.wait(20);
        desk.hear(&packet(number));
    }
    assert_eq!(desk.events(), []);
    desk.command(MediaCommand::Connect(Party::CALLER, remote(PHONE)));
    assert_eq!(desk.events(), [MediaEvent::FirstPacket { call: desk.call, party: Party::CALLER }]);
    let (recorded, _) = desk.close().await;
    assert_same(&recorded.left[160..], &decoded(0..10));
}

#[tokio::test]
async fn thirty_silent_seconds_are_told_once_unless_they_hold_or_send_rtcp() {
    let mut desk = Desk::connected().await;
    desk.wait(29_000);
    desk.report(&report(Block::default(), false));
    desk.wait(29_900);
    assert_eq!(desk.events(), [], "a muted phone lives by its RTCP");
    desk.wait(5_000);
    assert_eq!(desk.events(), [MediaEvent::Silent { call: desk.call, party: Party::CALLER }]);
    desk.command(MediaCommand::Connect(Party::CALLER, RemoteMedia { receive: false, ..remote(PHONE) }));
    desk.wait(60_000);
    assert_eq!(desk.events(), [], "held");
    desk.command(MediaCommand::Connect(Party::CALLER, remote(PHONE)));
    desk.wait(31_000);
    assert_eq!(desk.events(), [MediaEvent::Silent { call: desk.call, party: Party::CALLER }]);
}

#[tokio::test]
async fn an_announcement_is_sent_as_one_stream_recorded_on_the_right_and_named() {
    let mut desk = Desk::connected().await;
    desk.wait(100);
    let pcm: Vec<i16> = (0..4_000).map(|index| if index % 20 < 10 { 5_000 } else { -5_000 }).collect();
    desk.command(MediaCommand::Play(Party::CALLER, Arc::new(Prompt { name: "welcome".into(), pcm: pcm.clone() })));
    let sent = desk.wait(600);
    assert_eq!(sent.len(), 30);
    let packets: Vec<_> = sent.iter().map(|(_, bytes)| rtp::parse(bytes).expect("RTP")).collect();
    for pair in packets.windows(2) {
        assert_eq!(pair[1].sequence, pair[0].sequence.wrapping_add(1));
        assert_eq!(pair[1].timestamp, pair[0].timestamp.wrapping_add(160));
    }
    assert_eq!(
        desk.events(),
        [MediaEvent::PromptEnded { call: desk.call, party: Party::CALLER, name: "welcome".into() }]
    );
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
    let prompt =
        |name: &str| MediaCommand::Play(Party::CALLER, Arc::new(Prompt { name: name.into(), pcm: vec![900; 80_000] }));
    desk.command(prompt("one"));
    desk.command(prompt("two"));
    desk.wait(1_000);
    desk.command(MediaCommand::StopPlaying(Party::CALLER));
    desk.wait(1_000);
    let ended: Vec<_> = ["one", "two"]
        .map(|name| MediaEvent::PromptEnded { call: desk.call, party: Party::CALLER, name: name.into() })
        .into();
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
    desk.command(MediaCommand::Connect(Party::CALLER, RemoteMedia { send: false, ..remote(PHONE) }));
    assert_eq!(desk.wait(100).len(), 0);
    let ulaw = RemoteMedia { codec: G711::Ulaw, payload_type: 0, ..remote(PHONE) };
    desk.command(MediaCommand::Connect(Party::CALLER, ulaw));
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

#[tokio::test]
async fn a_stranger_s_stream_of_the_right_kind_is_never_recorded_once_the_phone_was_heard() {
    for phone in [PHONE, 51_000] {
        let mut desk = Desk::connected().await;
        for number in 0..500 {
            desk.wait(20);
            desk.hear_from(phone, &packet(number));
            if number >= 10 {
                let stranger = rtp::header(8, false, u16::try_from(number).expect("small"), number * 160, 666);
                desk.hear_from(6_666, &[&stranger[..], &[0x2A; 160]].concat());
            }
        }
        let sent = desk.wait(20);
        assert_eq!(sent.last().map(|(to, _)| to.port()), Some(phone));
        let (recorded, LegStats { heard, .. }) = desk.close().await;
        assert_same(&recorded.left[160..501 * 160], &decoded(0..500));
        assert_eq!((heard.received, heard.foreign), (500, 490), "port {phone}");
    }
}

#[tokio::test]
async fn a_stranger_who_was_first_loses_to_the_address_of_the_description_and_leaves_no_sound() {
    let mut desk = Desk::connected().await;
    for number in 0..100 {
        desk.wait(20);
        let stranger = rtp::header(8, false, u16::try_from(number).expect("small"), number * 160, 666);
        desk.hear_from(6_666, &[&stranger[..], &[0x2A; 160]].concat());
        if number >= 5 {
            desk.hear(&packet(number));
        }
    }
    let (recorded, LegStats { heard, .. }) = desk.close().await;
    assert!(recorded.left[..6 * 160].iter().all(|sample| *sample == 0), "before the phone spoke");
    assert_same(&recorded.left[6 * 160..101 * 160], &decoded(5..100));
    assert_eq!((heard.received, heard.foreign), (95, 100));
}

#[tokio::test]
async fn a_phone_behind_nat_loses_nothing_by_being_doubted() {
    let mut desk = Desk::connected().await;
    for number in 0..50 {
        desk.wait(20);
        desk.hear_from(51_000, &packet(number));
    }
    let sent = desk.wait(20);
    assert_eq!(sent.last().map(|(to, _)| to.port()), Some(51_000));
    assert_eq!(desk.events(), [MediaEvent::FirstPacket { call: desk.call, party: Party::CALLER }]);
    let (recorded, LegStats { heard, .. }) = desk.close().await;
    assert_same(&recorded.left[160..51 * 160], &decoded(0..50));
    assert_eq!((heard.received, heard.foreign), (50, 0));
}

#[tokio::test]
async fn a_flood_of_strangers_does_not_keep_a_phone_behind_nat_out() {
    let mut desk = Desk::connected().await;
    desk.wait(20);
    desk.hear_from(51_000, &packet(0));
    for number in 1..50 {
        for stranger in 0..40 {
            desk.hear_from(7_000 + stranger, &packet(number));
        }
        desk.wait(20);
        desk.hear_from(51_000, &packet(number));
    }
    let sent = desk.wait(20);
    assert_eq!(sent.last().map(|(to, _)| to.port()), Some(51_000));
}

#[tokio::test]
async fn a_new_address_after_a_re_invite_is_followed_and_the_old_one_is_a_stranger() {
    let mut desk = Desk::connected().await;
    let mut number = 0;
    let mut speak = |desk: &mut Desk, port: u16, packets: u32| {
        for _ in 0..packets {
            desk.wait(20);
            desk.hear_from(port, &packet(number));
            number += 1;
        }
    };
    speak(&mut desk, PHONE, 300);
    desk.command(MediaCommand::Connect(Party::CALLER, remote(PHONE + 10)));
    for stranger in 0..20_u16 {
        speak(&mut desk, PHONE, 1);
        let head = rtp::header(8, false, stranger, u32::from(stranger) * 160, 666);
        desk.hear_from(6_666, &[&head[..], &[0x2A; 160]].concat());
    }
    assert_eq!(desk.wait(20).last().map(|(to, _)| to.port()), Some(PHONE + 10), "where they want it now");
    desk.now -= Duration::from_millis(20);
    speak(&mut desk, PHONE + 10, 300);
    desk.hear_from(PHONE, &packet(999));
    assert_eq!(desk.wait(20).last().map(|(to, _)| to.port()), Some(PHONE + 10));
    let (recorded, LegStats { heard, .. }) = desk.close().await;
    assert_same(&recorded.left[160..621 * 160], &decoded(0..620));
    assert_eq!((heard.received, heard.foreign), (620, 21));
}

#[tokio::test]
async fn a_new_source_at_the_same_address_goes_on_and_a_bye_of_the_old_one_ends_nothing() {
    let mut desk = Desk::connected().await;
    for number in 0..50 {
        desk.wait(20);
        desk.hear(&packet(number));
    }
    desk.report(&report(Block::default(), true));
    for number in 50..100 {
        desk.wait(20);
        let head = rtp::header(8, number == 50, u16::try_from(number).expect("small"), number * 160, 77);
        desk.hear(&[&head[..], &sound(number)].concat());
    }
    assert_eq!(desk.events(), [MediaEvent::FirstPacket { call: desk.call, party: Party::CALLER }]);
    let (recorded, LegStats { heard, .. }) = desk.close().await;
    assert_same(&recorded.left[160..101 * 160], &decoded(0..100));
    assert_eq!((heard.expected, heard.lost, heard.rtcp), (100, 0, 1));
}

#[tokio::test]
async fn a_phone_that_sends_nothing_in_silence_leaves_silence_of_the_right_length() {
    for clock_stops in [false, true] {
        let mut desk = Desk::connected().await;
        let say = |desk: &mut Desk, number: u32, at: u32, marker: bool| {
            let sequence = u16::try_from(number).expect("small");
            let head = rtp::header(8, marker, sequence, at * 160, SSRC);
            desk.hear(&[&head[..], &sound(number)].concat());
        };
        for number in 0..50 {
            desk.wait(20);
            say(&mut desk, number, number, number == 0);
        }
        desk.wait(1_000);
        for number in 50..100 {
            desk.wait(20);
            say(&mut desk, number, if clock_stops { number } else { number + 50 }, number == 50);
        }
        let (recorded, LegStats { heard, .. }) = desk.close().await;
        assert_same(&recorded.left[160..51 * 160], &decoded(0..50));
        assert!(recorded.left[51 * 160..101 * 160].iter().all(|sample| *sample == 0));
        assert_same(&recorded.left[101 * 160..151 * 160], &decoded(50..100));
        assert!((heard.lost, heard.late) == (0, 0) && heard.jitter_ms < 0.5, "clock stops: {clock_stops}, {heard:?}");
    }
}

#[tokio::test]
async fn comfort_noise_is_a_sign_of_life_and_no_sound() {
    let mut desk = Desk::connected().await;
    let noise = |number: u16| [&rtp::header(13, false, number, u32::from(number) * 160, SSRC)[..], &[0x40]].concat();
    desk.hear_from(6_666, &noise(0));
    desk.wait(20);
    let words = rtp::header(8, true, 1, 160, SSRC);
    desk.hear(&[&words[..], &sound(1)].concat());
    for number in 2..100 {
        desk.wait(400);
        desk.hear(&noise(number));
    }
    assert_eq!(
        desk.events(),
        [MediaEvent::FirstPacket { call: desk.call, party: Party::CALLER }],
        "forty seconds, and not silent"
    );
    let (recorded, LegStats { heard, .. }) = desk.close().await;
    assert!(recorded.left[320..].iter().all(|sample| *sample == 0));
    assert_eq!((heard.received, heard.lost, heard.foreign), (99, 0, 1));
}

#[tokio::test]
async fn reports_go_to_the_next_port_or_with_rtp_and_the_last_says_bye() {
    for mux in [false, true] {
        let mut desk = Desk::opened().await;
        let rtcp = if mux { None } else { remote(PHONE).rtcp };
        desk.command(MediaCommand::Connect(Party::CALLER, RemoteMedia { rtcp, ..remote(PHONE) }));
        for number in 0..1_000 {
            desk.wait(20);
            if number != 500 {
                desk.hear(&packet(number));
            }
        }
        desk.command(MediaCommand::Close);
        desk.wait(2);
        let (port, kind) = if mux { (PHONE, Kind::Report) } else { (PHONE + 1, Kind::ReportFromItsPort) };
        assert!(desk.reports.iter().all(|(to, what, _)| (to.port(), *what) == (port, kind)));
        let count = desk.reports.len();
        assert!((3..=9).contains(&count), "{count} in 20 s");
        for (index, (.., compound)) in desk.reports.iter().enumerate() {
            let (mut blocks, mut bye) = (Vec::new(), false);
            let each = &mut |item| match item {
                Item::Report { about: SSRC, block } => blocks.push(block),
                Item::Bye { ssrc: 7 } => bye = true,
                other => assert!(matches!(other, Item::Sender { .. }), "{other:?}"),
            };
            rtcp::read(compound, each).expect("RTCP");
            assert_eq!((compound[1], blocks.len(), bye), (200, 1, index + 1 == count));
            if bye {
                assert_eq!((blocks[0].lost, blocks[0].jitter), (1, 0));
            }
        }
    }
}

#[tokio::test]
async fn what_they_report_of_us_is_kept_with_the_call() {
    let mut desk = Desk::connected().await;
    desk.report(&report(Block { lost: 3, jitter: 40, ..Block::default() }, false));
    desk.hear(&packet(0));
    desk.hear(&report(Block { lost: 5, jitter: 80, ..Block::default() }, false));
    let (_, stats) = desk.close().await;
    let reported = stats.reported.expect("two reports");
    assert_eq!((reported.lost, reported.jitter_ms, reported.round_trip_ms, stats.heard.rtcp), (5, 10.0, None, 2));
}

fn keys() -> Srtp {
    let key = |byte| SrtpKey { suite: SrtpSuite::AesCm128HmacSha1_80, master: [byte; 30] };
    Srtp { ours: key(1), theirs: key(2) }
}

#[tokio::test]
async fn sealed_sound_is_heard_and_what_is_forged_repeated_or_in_clear_never_sounds() {
    let mut desk = Desk::opened().await;
    let Srtp { ours, theirs } = keys();
    desk.command(MediaCommand::Connect(Party::CALLER, RemoteMedia { srtp: Some(Box::new(keys())), ..remote(PHONE) }));
    let (mut sealer, mut opener, mut wire) = (Sealer::new(theirs), Opener::new(ours), Vec::new());
    let mut forger = Sealer::new(SrtpKey { master: [3; 30], ..theirs });
    for number in 0..100 {
        let mut sent = desk.wait(20);
        let (_, bytes) = sent.first_mut().expect("our stream");
        assert_ne!(bytes[12..172], [G711::Alaw.silence(); 160]);
        assert_eq!(opener.open_rtp(bytes), Ok(172));
        assert_eq!(bytes[12..172], [G711::Alaw.silence(); 160]);
        forger.seal_rtp(&packet(number), &mut wire);
        desk.hear_from(6_666, &wire);
        desk.hear(&wire);
        desk.hear(&packet(number));
        sealer.seal_rtp(&packet(number), &mut wire);
        desk.hear_from(51_000, &wire);
        desk.hear_from(6_666, &wire);
        if number == 50 {
            // A re-INVITE with the same keys.
            desk.command(MediaCommand::Connect(
                Party::CALLER,
                RemoteMedia { srtp: Some(Box::new(keys())), ..remote(PHONE) },
            ));
        }
    }
    let mut compound = report(Block { lost: 4, ..Block::default() }, false);
    desk.report(&compound);
    sealer.seal_rtcp(&mut compound);
    desk.report(&compound);
    assert_eq!(desk.wait(20).last().map(|(to, _)| to.port()), Some(51_000), "who has the key is the phone");
    let mut sealed_report = desk.reports.pop().map_or_else(Vec::new, |(.., bytes)| bytes);
    assert!(sealed_report.is_empty() || opener.open_rtcp(&mut sealed_report).is_ok());
    let (recorded, stats) = desk.close().await;
    assert_same(&recorded.left[160..101 * 160], &decoded(0..100));
    assert_eq!((stats.heard.received, stats.heard.unproved), (100, 100 * 4 + 1));
    assert_eq!(stats.reported.map(|it| it.lost), Some(4));
}

#[tokio::test]
async fn figures_of_a_bad_line_tell_runs_and_the_longest_of_them() {
    let mut desk = Desk::connected().await;
    for number in (0..300).filter(|it| !(100..105).contains(it) && *it != 200) {
        desk.wait(if number == 105 { 120 } else { 20 });
        desk.hear(&packet(number));
    }
    let StreamStats { expected, lost, loss_runs, longest_loss_ms, .. } = desk.talk.stats().heard;
    assert_eq!((expected, lost, loss_runs, longest_loss_ms), (300, 6, 2, 100));
    assert!(Inbound::DOUBT < Latch::WINDOW);
}
