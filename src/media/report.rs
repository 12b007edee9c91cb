//! Reports both ways (RFC 3550 §6): what they say of the stream that we send, and when ours of theirs is due.

use std::time::{Duration, Instant};

use super::{
    Reported,
    rtcp::{self, Block, Item, Malformed, Sent},
    sequence::Progress,
};
use crate::domain::time::UnixMs;

/// The RTCP side of one session.
pub struct Reporter {
    ours: u32,
    /// CNAME: random and only of this call (RFC 7022 §4.2), it says nothing of machine or people.
    name: [u8; 24],
    epoch: Instant,
    /// NTP time at `epoch`.
    wall: u64,
    dice: u32,
    /// When the next report leaves; `None` before the first connect.
    due: Option<Instant>,
    out: Vec<u8>,
    /// Stamp and arrival of their latest SR.
    stamp: Option<(u32, Instant)>,
    /// What was received when we reported last.
    before: Option<Progress>,
    /// Packets we had sent when we reported last.
    sent_before: u32,
    reported: Option<Reported>,
    round_trips: u32,
}

/// Who reports, and on which clock.
#[derive(Clone, Copy, Debug)]
pub struct Identity {
    /// Our SSRC in the session.
    pub ssrc: u32,
    /// Any moment, in both times.
    pub epoch: Instant,
    pub wall: UnixMs,
    /// For the name, and for the times between reports.
    pub random: [u32; 3],
}

/// What we sent so far.
#[derive(Clone, Copy, Debug)]
pub struct Sending {
    /// The present on the stream's clock.
    pub timestamp: u32,
    pub packets: u32,
    /// Bytes of payload.
    pub octets: u32,
}

impl Reporter {
    /// Middle of the times between two reports; each is 0.5 to 1.5 times as long, the first half of it (§6.2, §6.3.1).
    pub const INTERVAL: Duration = Duration::from_secs(5);
    /// Seconds from 1900 to 1970.
    const NTP: u64 = 2_208_988_800;
    /// Longer round trips are a lie or a mistake.
    const LONGEST: u32 = 60 << 16;

    pub fn new(identity: Identity) -> Self {
        let Identity { ssrc, epoch, wall, random } = identity;
        let ms = u64::try_from(wall.0).unwrap_or(0);
        let wall = ((ms / 1_000 + Self::NTP) << 32) | (((ms % 1_000) << 32) / 1_000);
        let mut name = [0; 24];
        let digits = random.iter().flat_map(|word| (0..8).rev().map(move |place| word >> (4 * place) & 0xF));
        for (sign, digit) in name.iter_mut().zip(digits) {
            *sign = b"0123456789abcdef"[usize::try_from(digit).unwrap_or(0)];
        }
        Self {
            ours: ssrc,
            name,
            epoch,
            wall,
            dice: random[0] | 1,
            due: None,
            out: Vec::with_capacity(rtcp::LONGEST + 32),
            stamp: None,
            before: None,
            sent_before: 0,
            reported: None,
            round_trips: 0,
        }
    }

    /// Begins to report, if it does not yet.
    pub fn start(&mut self, now: Instant) {
        if self.due.is_none() {
            self.due = Some(now + self.pause() / 2);
        }
    }

    /// Whether [`Reporter::poll`] has something to give.
    pub fn is_due(&self, now: Instant) -> bool {
        self.due.is_some_and(|due| due <= now)
    }

    /// Takes their report.
    ///
    /// * returns — whether they stay; false if they say BYE.
    pub fn handle(&mut self, at: Instant, datagram: &[u8]) -> Result<bool, Malformed> {
        let mut stays = true;
        rtcp::read(datagram, &mut |item| match item {
            Item::Sender { stamp } => self.stamp = Some((stamp, at)),
            Item::Report { about, block } if about == self.ours => self.take(at, &block),
            Item::Report { .. } => {}
            Item::Bye { .. } => stays = false,
        })?;
        Ok(stays)
    }

    /// Our report, when it is due.
    pub fn poll(&mut self, now: Instant, sending: Option<Sending>, heard: Option<Progress>) -> Option<&mut Vec<u8>> {
        if !self.is_due(now) {
            return None;
        }
        self.due = Some(now + self.pause());
        Some(self.compose(now, sending, heard, false))
    }

    /// Our last report, with BYE.
    ///
    /// * returns — nothing if there never was one to report to.
    pub fn leave(&mut self, now: Instant, sending: Option<Sending>, heard: Option<Progress>) -> Option<&mut Vec<u8>> {
        self.due.take()?;
        Some(self.compose(now, sending, heard, true))
    }

    /// What they say of our stream, if they said something.
    pub const fn reported(&self) -> Option<Reported> {
        self.reported
    }

    fn compose(&mut self, now: Instant, sending: Option<Sending>, heard: Option<Progress>, bye: bool) -> &mut Vec<u8> {
        let ntp = self.ntp(now);
        let sent = sending.filter(|it| it.packets != self.sent_before).map(|it| {
            self.sent_before = it.packets;
            Sent { ntp, timestamp: it.timestamp, packets: it.packets, octets: it.octets }
        });
        let block = heard.map(|it| (it.ssrc, self.block(now, &it)));
        self.before = heard;
        rtcp::write(&mut self.out, self.ours, sent, block, &self.name, bye);
        &mut self.out
    }

    /// Source: RFC 3550 A.3.
    fn block(&self, now: Instant, heard: &Progress) -> Block {
        let before = self.before.filter(|before| before.ssrc == heard.ssrc && before.expected <= heard.expected);
        let (expected, received) = before.map_or((0, 0), |before| (before.expected, before.received));
        let (expected, received) = (heard.expected - expected, heard.received.saturating_sub(received));
        let fraction = (expected.saturating_sub(received) << 8).checked_div(expected).unwrap_or(0).min(255);
        let lost = i32::try_from(heard.expected.saturating_sub(heard.received)).unwrap_or(i32::MAX);
        let (last_stamp, delay) = self.stamp.map_or((0, 0), |(stamp, at)| (stamp, units(now.duration_since(at))));
        Block {
            fraction: u8::try_from(fraction).unwrap_or(u8::MAX),
            lost,
            highest: heard.highest,
            jitter: heard.jitter,
            last_stamp,
            delay,
        }
    }

    fn take(&mut self, at: Instant, block: &Block) {
        let before = self.reported.unwrap_or_default();
        let mut round_trip_ms = before.round_trip_ms;
        #[expect(clippy::cast_possible_truncation, reason = "the middle of the time is meant")]
        let now = (self.ntp(at) >> 16) as u32;
        let took = now.wrapping_sub(block.last_stamp).wrapping_sub(block.delay);
        if block.last_stamp != 0 && took <= Self::LONGEST {
            self.round_trips = self.round_trips.saturating_add(1);
            let took_ms = f64::from(took) / 65.536;
            let mean = round_trip_ms.map_or(took_ms, |mean| mean + (took_ms - mean) / f64::from(self.round_trips));
            round_trip_ms = Some(mean);
        }
        let lost = u64::try_from(block.lost).unwrap_or(0);
        self.reported = Some(Reported { lost, jitter_ms: f64::from(block.jitter) / 8.0, round_trip_ms });
    }

    fn ntp(&self, now: Instant) -> u64 {
        let since = now.saturating_duration_since(self.epoch);
        let fraction = (u64::from(since.subsec_nanos()) << 32) / 1_000_000_000;
        self.wall.wrapping_add(since.as_secs() << 32).wrapping_add(fraction)
    }

    /// xorshift32: reports of many calls shall not fall together; nobody has to be kept from guessing.
    fn pause(&mut self) -> Duration {
        self.dice ^= self.dice << 13;
        self.dice ^= self.dice >> 17;
        self.dice ^= self.dice << 5;
        Self::INTERVAL / 2 + Self::INTERVAL * (self.dice >> 16) / 65_536
    }
}

/// A span in 1/65536 s.
fn units(span: Duration) -> u32 {
    u32::try_from((span.as_nanos() << 16) / 1_000_000_000).unwrap_or(u32::MAX)
}

impl std::fmt::Debug for Reporter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Reporter({:?})", self.reported)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "only differences count here")]
    fn start() -> Instant {
        Instant::now()
    }

    fn reporter(ssrc: u32, epoch: Instant) -> Reporter {
        Reporter::new(Identity { ssrc, epoch, wall: UnixMs(1_750), random: [ssrc, 0xABCD, 1] })
    }

    fn heard(expected: u64, received: u64) -> Progress {
        Progress { ssrc: 9, highest: 70_000, expected, received, jitter: 80 }
    }

    fn blocks(bytes: &[u8]) -> Vec<Block> {
        let mut blocks = Vec::new();
        let each = &mut |item| {
            if let Item::Report { block, .. } = item {
                blocks.push(block);
            }
        };
        rtcp::read(bytes, each).expect("our own RTCP");
        blocks
    }

    #[test]
    fn reports_leave_every_two_and_a_half_to_seven_and_a_half_seconds() {
        let begin = start();
        let mut reporter = reporter(7, begin);
        assert!(reporter.poll(begin + Duration::from_mins(1), None, None).is_none(), "nobody is there yet");
        reporter.start(begin);
        let (mut now, mut last, mut pauses) = (begin, begin, Vec::new());
        while pauses.len() < 200 {
            now += Duration::from_millis(2);
            if reporter.poll(now, None, None).is_some() {
                pauses.push(now - std::mem::replace(&mut last, now));
            }
        }
        let between = |pause: &Duration, from: u128, to: u128| (from..=to).contains(&pause.as_millis());
        assert!(between(&pauses[0], 1_250, 3_752), "{:?}", pauses[0]);
        assert!(pauses[1..].iter().all(|pause| between(pause, 2_500, 7_502)), "{pauses:?}");
        let mean = pauses.iter().sum::<Duration>() / 200;
        assert!(between(&mean, 4_500, 5_500), "{mean:?}");
    }

    #[test]
    fn the_round_trip_is_what_both_ways_took_without_the_time_in_between() {
        let begin = start();
        let (mut line, mut phone) = (reporter(7, begin), reporter(9, begin));
        line.start(begin);
        let sending = Some(Sending { timestamp: 1, packets: 100, octets: 16_000 });
        let sent = begin + Duration::from_secs(10);
        let report = line.poll(sent, sending, None).expect("due").clone();
        phone.handle(sent + Duration::from_millis(30), &report).expect("RTCP");
        phone.start(begin);
        let answered = sent + Duration::from_millis(4_030);
        let about_us = Some(Progress { ssrc: 7, highest: 100, expected: 100, received: 96, jitter: 40 });
        let answer = phone.poll(answered, None, about_us).expect("due").clone();
        assert_eq!(line.handle(answered + Duration::from_millis(50), &answer), Ok(true));
        let reported = line.reported().expect("a block about us");
        let round_trip_ms = reported.round_trip_ms.expect("it answers our SR");
        assert!((round_trip_ms - 80.0).abs() < 0.1, "{round_trip_ms}");
        assert_eq!((reported.lost, reported.jitter_ms), (4, 5.0));
    }

    #[test]
    fn a_report_about_somebody_else_or_of_nonsense_times_tells_nothing() {
        let begin = start();
        let (mut line, mut out) = (reporter(7, begin), Vec::new());
        rtcp::write(&mut out, 9, None, Some((8, Block::default())), b"x", false);
        assert_eq!(line.handle(begin, &out), Ok(true));
        assert_eq!(line.reported(), None);
        let block = Block { last_stamp: 1, delay: u32::MAX, lost: -5, ..Block::default() };
        rtcp::write(&mut out, 9, None, Some((7, block)), b"x", true);
        assert_eq!(line.handle(begin, &out), Ok(false), "BYE");
        assert_eq!(line.reported(), Some(Reported::default()));
    }

    #[test]
    fn what_was_lost_since_the_last_report_and_in_all_is_told() {
        let begin = start();
        let mut reporter = reporter(7, begin);
        reporter.start(begin);
        let mut report = |after: u64, heard| {
            blocks(reporter.poll(begin + Duration::from_secs(after), None, Some(heard)).expect("due"))[0]
        };
        assert_eq!((report(10, heard(100, 100)).fraction, report(20, heard(200, 150)).fraction), (0, 128));
        let last = report(30, heard(300, 250));
        assert_eq!((last.fraction, last.lost, last.highest, last.jitter), (0, 50, 70_000, 80));
        let duplicates = report(40, heard(300, 301));
        assert_eq!((duplicates.fraction, duplicates.lost), (0, 0));
    }

    #[test]
    fn a_line_that_sends_sends_sender_reports_and_the_last_one_says_bye() {
        let begin = start();
        let mut reporter = reporter(7, begin);
        assert!(reporter.leave(begin, None, None).is_none(), "nobody to say it to");
        reporter.start(begin);
        let sending = |packets| Some(Sending { timestamp: 320, packets, octets: packets * 160 });
        let sender =
            reporter.poll(begin + Duration::from_secs(10), sending(2), Some(heard(1, 1))).expect("due").clone();
        // 1.75 s after 1970, and ten more.
        let seconds = u32::try_from(Reporter::NTP + 11).expect("until 2036").to_be_bytes();
        assert_eq!((sender[1], &sender[8..12], &sender[12..16]), (200, &seconds[..], &[0xC0, 0, 0, 0][..]));
        assert_eq!(sender[16..28], [0, 0, 1, 64, 0, 0, 0, 2, 0, 0, 1, 64]);
        let quiet = reporter.poll(begin + Duration::from_secs(20), sending(2), Some(heard(1, 1))).expect("due").clone();
        assert_eq!(quiet[1], 201, "held: nothing was sent since");
        let last =
            reporter.leave(begin + Duration::from_secs(21), sending(3), Some(heard(1, 1))).expect("it had begun");
        let mut byes = 0;
        rtcp::read(last, &mut |item| byes += u32::from(item == Item::Bye { ssrc: 7 })).expect("RTCP");
        assert_eq!(byes, 1);
        assert!(String::from_utf8_lossy(last).contains("000000070000abcd00000001"));
        assert!(reporter.leave(begin + Duration::from_secs(22), None, None).is_none(), "once");
    }
}
