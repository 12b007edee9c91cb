//! A forked call's two streams in simulated time.

use std::time::{Duration, Instant};

use super::*;
use crate::{
    domain::call,
    media::{MediaCommand, MediaEvent, fork::Fork, inbound::Inbound},
};

const TICK: Duration = Duration::from_millis(20);

struct Bench {
    fork: Fork,
    epoch: Instant,
    call: CallId,
    shelf: Shelf,
}

impl Bench {
    async fn new() -> Self {
        let (call, shelf) = (super::call(), Shelf::new());
        let epoch = Clock::system().instant();
        let mut fork = Fork::new(call, epoch, UnixMs(1_000), [[1; 4], [2; 4]]);
        let facts = CallFacts { fork: Some(call::Fork::default()), ..facts(call) };
        let tap = shelf.archive.start(facts).await.expect("a tap");
        fork.handle_command(MediaCommand::Record(tap), epoch, UnixMs(1_000));
        Self { fork, epoch, call, shelf }
    }

    fn listen(&mut self, caller: Option<bool>, operator: Option<bool>, at: Instant) {
        let media =
            |port, receive: Option<bool>| receive.map(|receive| RemoteMedia { send: false, receive, ..remote(port) });
        let sides = [media(4_000, caller), media(4_002, operator)];
        self.fork.handle_command(MediaCommand::Listen(sides), at, UnixMs(1_000));
    }

    /// Packet `number` of a side, at its time.
    fn hear(&mut self, side: usize, number: u32) {
        let from = ([127, 0, 0, 1], if side == 0 { 4_000 } else { 4_002 }).into();
        self.fork.handle_rtp(side, self.epoch + TICK * number, from, &mut packet(number));
    }

    fn events(&mut self) -> Vec<MediaEvent> {
        std::iter::from_fn(|| self.fork.poll_event()).collect()
    }

    /// What time alone brings, looked at each second.
    fn wait(&mut self, from: Duration, to: Duration) -> Vec<MediaEvent> {
        let mut events = Vec::new();
        let mut now = from;
        while now <= to {
            self.fork.handle_timeout(self.epoch + now);
            events.extend(self.events());
            now += Duration::from_secs(1);
        }
        events
    }
}

#[tokio::test]
async fn each_stream_fills_its_channel_on_one_clock() {
    let mut bench = Bench::new().await;
    bench.hear(0, 0); // before the answer: it is held
    bench.listen(Some(true), Some(true), bench.epoch + Duration::from_millis(5));
    for number in 0..50 {
        if number > 0 {
            bench.hear(0, number);
        }
        if number >= 10 {
            bench.hear(1, number);
        }
    }
    assert_eq!(bench.events(), [MediaEvent::FirstPacket { call: bench.call, party: Party::CALLER }], "told once");
    let end = bench.epoch + TICK * 50;
    assert_eq!(bench.fork.stats().heard.received, 90, "of both");
    bench.fork.handle_command(MediaCommand::Close, end, UnixMs(2_000));
    drop(bench.fork);
    let recorded = bench.shelf.seal(bench.call).await;
    assert_same(&recorded.left, &decoded(0..50));
    assert_same(&recorded.right[1_600..], &decoded(10..50));
    assert!(recorded.right[..1_600].iter().all(|sample| *sample == 0));
    let spans: Vec<_> = recorded.sealed.speakers.iter().map(|it| (it.who.as_str(), it.start_ms, it.end_ms)).collect();
    assert_eq!(spans, [("caller", 0, 1_000), ("operator", 200, 1_000)]);
}

#[tokio::test]
async fn a_fork_is_silent_only_when_both_sides_are_and_neither_is_held() {
    let silent = |bench: &Bench| vec![MediaEvent::Silent { call: bench.call, party: Party::CALLER }];
    let second = Duration::from_secs;
    let mut bench = Bench::new().await;
    bench.listen(Some(true), Some(true), bench.epoch);
    assert_eq!(bench.wait(second(1), Inbound::PATIENCE + second(2)), silent(&bench), "both, once");

    // The operator speaks for ten seconds more.
    let mut bench = Bench::new().await;
    bench.listen(Some(true), Some(true), bench.epoch);
    for number in 0..500 {
        bench.hear(1, number);
    }
    bench.events();
    assert_eq!(bench.wait(second(10), second(39)), [], "the caller alone is silent");
    assert_eq!(bench.wait(second(39), second(42)), silent(&bench));

    let mut bench = Bench::new().await;
    bench.listen(Some(true), Some(false), bench.epoch);
    assert_eq!(bench.wait(second(1), second(120)), [], "held");
    bench.listen(Some(true), None, bench.epoch + second(120));
    assert_eq!(bench.wait(second(121), second(152)), silent(&bench), "the other is gone");

    let mut bench = Bench::new().await;
    bench.listen(None, Some(true), bench.epoch);
    assert_eq!(bench.wait(second(1), Inbound::PATIENCE + second(1)), silent(&bench), "one stream alone");
}
