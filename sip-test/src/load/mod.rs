//! A load: many calls at once from one socket, one task and one thread for all their sound.
//!
//! `caller` decides what each call says in SIP, `media` moves the sound, the runner here joins them. Memory and sockets
//! are bounded by [`LoadSpec::calls`]; a call that ends makes room for the next.

mod caller;
mod media;
mod report;

use std::{
    collections::HashMap,
    io,
    net::SocketAddr,
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use tokio::{
    sync::mpsc as async_mpsc,
    time::{Instant, sleep_until},
};

pub use report::{Delays, EachCall, LoadReport, Progress};

use crate::{
    PhoneError,
    audio::{Codec, FRAME, RATE, align},
    phone::{resolve, wants_tcp},
    rtp::Faults,
    sip::{Dialog, Message},
    transport::Transport,
};
use caller::{Action, Caller, End, Terms};
use media::{Ended, Order, Plan, Ports, Tracks};
use report::Tally;

/// Most calls at once: a port pair and at most 100 KiB of sound each.
pub const MOST_CALLS: usize = 4_000;
/// Most calls in all: four bytes each for the percentiles.
pub const MOST_TOTAL: usize = 10_000_000;
/// Of what is expected, this much is looked for; samples.
const COMPARED: usize = 4 * RATE as usize;
/// How much later than the answer it may begin; samples.
const BEGINS_WITHIN: usize = RATE as usize;
/// Less than this is another sound.
const ALIKE: f64 = 0.8;
/// Two neighbouring calls begin their sound this many frames apart, so that no two say the same at once.
const APART: usize = 37;
const PROGRESS_EVERY: Duration = Duration::from_secs(1);

/// What each call should hear.
#[derive(Clone, Debug, Default)]
pub enum Expect {
    /// Nobody knows.
    #[default]
    Anything,
    /// The far side plays this from the answer on.
    Sound(Vec<i16>),
    /// The far side says back what it hears.
    Echo,
}

/// A load to be made.
#[derive(Clone, Debug)]
pub struct LoadSpec {
    /// `sip:12345@127.0.0.1:5060`; with `;transport=tcp` over one TCP connection for all.
    pub to: String,
    /// Number of the first call; if it is all digits each further call has the next one.
    pub from: String,
    /// Calls up at once, at most [`MOST_CALLS`].
    pub calls: usize,
    /// Calls in all, at most [`MOST_TOTAL`].
    pub total: usize,
    /// Calls begun a second.
    pub rate: f64,
    /// From the answer to the BYE.
    pub length: Duration,
    /// What is said, round and round, each call from a place of its own; nothing is silence.
    pub play: Vec<i16>,
    pub expect: Expect,
    pub faults: Faults,
    /// Longest delay put on a packet; packets keep their order.
    pub jitter: Duration,
    /// Offers this codec alone; else A-law before µ-law.
    pub codec: Option<Codec>,
    /// Refusals are counted but are no failure.
    pub may_refuse: bool,
    /// Keeps a line for each of the first 10,000 calls.
    pub each: bool,
}

impl LoadSpec {
    /// Ten calls of ten seconds, ten begun a second.
    pub fn new(to: impl Into<String>) -> Self {
        Self {
            to: to.into(),
            from: "13800000000".into(),
            calls: 10,
            total: 10,
            rate: 10.0,
            length: Duration::from_secs(10),
            play: Vec::new(),
            expect: Expect::Anything,
            faults: Faults::default(),
            jitter: Duration::ZERO,
            codec: None,
            may_refuse: false,
            each: false,
        }
    }

    /// Number of a call.
    fn number(&self, index: usize) -> String {
        match self.from.parse::<u64>() {
            Ok(first) => {
                let number = first.saturating_add(u64::try_from(index).unwrap_or(0));
                format!("{number:0width$}", width = self.from.len())
            }
            Err(_) => self.from.clone(),
        }
    }
}

/// Makes the calls and waits for the end of the last.
///
/// # Errors
/// Nothing could be begun: the address is wrong, nobody listens, or the system gives no more ports.
pub async fn load(mut spec: LoadSpec, progress: impl FnMut(&Progress)) -> Result<LoadReport, PhoneError> {
    spec.calls = spec.calls.clamp(1, MOST_CALLS);
    spec.total = spec.total.clamp(1, MOST_TOTAL);
    spec.calls = spec.calls.min(spec.total);
    spec.rate = spec.rate.clamp(0.001, 100_000.0);
    let far = resolve(&spec.to).await?;
    let transport = Transport::open(far, wants_tcp(&spec.to)).await?;
    let runner = Runner::new(spec, far, transport, progress)?;
    runner.run().await
}

struct Runner<P> {
    spec: LoadSpec,
    far: SocketAddr,
    local: SocketAddr,
    transport: Transport,
    callers: Vec<Option<Up>>,
    free: Vec<usize>,
    by_call_id: HashMap<String, usize>,
    media: Vec<SocketAddr>,
    orders: mpsc::Sender<Order>,
    judged: async_mpsc::UnboundedReceiver<Judged>,
    frames: usize,
    tally: Tally,
    progress: P,
}

/// A call that is up, or whose sound is not yet judged.
struct Up {
    index: usize,
    from: String,
    caller: Caller,
    /// Sound was begun: the end waits for what was heard.
    sounds: bool,
    end: Option<End>,
}

/// A call's sound, compared with what was expected.
struct Judged {
    ended: Ended,
    correlation: Option<f64>,
}

impl<P: FnMut(&Progress)> Runner<P> {
    fn new(spec: LoadSpec, far: SocketAddr, transport: Transport, progress: P) -> Result<Self, PhoneError> {
        let local = transport.local().map_err(|source| PhoneError::Unreachable { far, source })?;
        let no_port = |source| PhoneError::Socket { at: local, source };
        let ports = Ports::open(local.ip(), spec.calls)?;
        let addresses = ports.addresses().map_err(no_port)?;
        let tracks = Arc::new(Tracks::new(&spec.play));
        let frames = tracks.frames();
        let keep = match &spec.expect {
            Expect::Anything => 0,
            Expect::Sound(_) | Expect::Echo => COMPARED + BEGINS_WITHIN,
        };
        let plan = Plan { tracks, faults: spec.faults, jitter: spec.jitter, keep };
        let (orders, to_wheel) = mpsc::channel();
        let (ended, to_judge) = mpsc::channel();
        let (verdicts, judged) = async_mpsc::unbounded_channel();
        media::start(ports, plan, to_wheel, ended).map_err(no_port)?;
        let bench = Bench { expect: spec.expect.clone(), play: spec.play.clone(), length: spec.length };
        let judge = move || {
            for ended in to_judge {
                let correlation = bench.compare(&ended);
                if verdicts.send(Judged { ended, correlation }).is_err() {
                    return;
                }
            }
        };
        thread::Builder::new().name("judge".into()).spawn(judge).map_err(no_port)?;
        Ok(Self {
            far,
            local,
            transport,
            callers: addresses.iter().map(|_| None).collect(),
            free: (0..addresses.len()).rev().collect(),
            by_call_id: HashMap::new(),
            media: addresses,
            orders,
            judged,
            frames,
            tally: Tally::new(&spec, Instant::now()),
            progress,
            spec,
        })
    }

    async fn run(mut self) -> Result<LoadReport, PhoneError> {
        let gap = Duration::from_secs_f64(1.0 / self.spec.rate);
        let mut begin_at = Instant::now();
        let mut tell_at = begin_at + PROGRESS_EVERY;
        loop {
            if self.free.is_empty() {
                // A schedule that waits for room does not make up for it with a burst.
                begin_at = begin_at.max(Instant::now());
            }
            while self.may_begin() && begin_at <= Instant::now() {
                self.begin().await?;
                begin_at += gap;
            }
            if self.tally.begun == self.spec.total && self.free.len() == self.callers.len() {
                return Ok(self.tally.report(&self.spec, Instant::now()));
            }
            let timeouts = self.callers.iter().flatten().filter_map(|up| up.caller.poll_timeout());
            let mut next = timeouts.min().map_or(tell_at, |due| due.min(tell_at));
            if self.may_begin() {
                next = next.min(begin_at);
            }
            tokio::select! {
                received = self.transport.receive() => self.hear(received).await?,
                Some(judged) = self.judged.recv() => self.close(judged.ended.slot, Some(&judged)),
                () = sleep_until(next) => {}
            }
            let now = Instant::now();
            for slot in 0..self.callers.len() {
                let Some(up) = &mut self.callers[slot] else { continue };
                if up.caller.poll_timeout().is_some_and(|due| due <= now) {
                    up.caller.handle_timeout(now);
                    self.drive(slot).await?;
                }
            }
            if tell_at <= now {
                tell_at = now + PROGRESS_EVERY;
                let up = self.callers.len() - self.free.len();
                (self.progress)(&self.tally.progress(self.spec.total, up, now));
            }
        }
    }

    fn may_begin(&self) -> bool {
        self.tally.begun < self.spec.total && !self.free.is_empty()
    }

    async fn begin(&mut self) -> Result<(), PhoneError> {
        let Some(slot) = self.free.pop() else { return Ok(()) };
        let index = self.tally.begun;
        self.tally.begun += 1;
        let from = self.spec.number(index);
        let dialog = Dialog::new(&self.spec.to, self.local, &from, None, self.transport.is_tcp());
        let codecs = self.spec.codec.map_or_else(|| vec![Codec::Alaw, Codec::Ulaw], |codec| vec![codec]);
        let terms = Terms { codecs, length: self.spec.length, media: self.media[slot] };
        let caller = Caller::new(dialog, terms, Instant::now());
        self.by_call_id.insert(caller.call_id().to_owned(), slot);
        self.callers[slot] = Some(Up { index, from, caller, sounds: false, end: None });
        self.drive(slot).await
    }

    async fn hear(&mut self, received: io::Result<Vec<u8>>) -> Result<(), PhoneError> {
        let datagram = match received {
            Ok(datagram) => datagram,
            Err(source) if self.tally.answered == 0 => return Err(PhoneError::Unreachable { far: self.far, source }),
            Err(_) => return self.cut_off().await,
        };
        let Ok(message) = Message::parse(&datagram) else {
            self.tally.malformed += 1;
            return Ok(());
        };
        let slot = message.header("Call-ID").and_then(|id| self.by_call_id.get(id).copied());
        if let Some(slot) = slot {
            if let Some(up) = &mut self.callers[slot] {
                up.caller.handle_message(&message, Instant::now());
            }
            return self.drive(slot).await;
        }
        if message.method.as_deref().is_some_and(|method| method != "ACK") {
            let status = if message.method.as_deref() == Some("OPTIONS") { "200 OK" } else { "481 No Such Call" };
            self.send(&message.answer(status, "load", &[], "")).await?;
        }
        Ok(())
    }

    /// Nobody is there any more: the calls that are up have failed, and no further one is begun.
    async fn cut_off(&mut self) -> Result<(), PhoneError> {
        self.spec.total = self.tally.begun;
        for slot in 0..self.callers.len() {
            if let Some(up) = &mut self.callers[slot] {
                up.caller.cut_off();
                self.drive(slot).await?;
            }
        }
        // A broken stream would tell it again and again.
        tokio::time::sleep(Duration::from_millis(10)).await;
        Ok(())
    }

    /// Does what a call wants.
    async fn drive(&mut self, slot: usize) -> Result<(), PhoneError> {
        while let Some(up) = &mut self.callers[slot]
            && let Some(action) = up.caller.poll_action()
        {
            match action {
                Action::Send(text) => self.send(&text).await?,
                Action::Talk(far) => {
                    up.sounds = true;
                    self.tally.answered(up.caller.setup.unwrap_or_default());
                    let frame = up.index.wrapping_mul(APART) % self.frames;
                    let _ = self.orders.send(Order::Begin { slot, far, frame });
                }
                Action::Move(far) => {
                    let _ = self.orders.send(Order::Move { slot, far });
                }
                Action::Hush => {}
                Action::Over(end) => {
                    up.end = Some(end);
                    self.by_call_id.remove(up.caller.call_id());
                    if up.sounds {
                        let _ = self.orders.send(Order::End { slot });
                    } else {
                        self.close(slot, None);
                    }
                }
            }
        }
        Ok(())
    }

    fn close(&mut self, slot: usize, judged: Option<&Judged>) {
        let Some(up) = self.callers[slot].take() else { return };
        let end = up.end.unwrap_or(End::Failed("a call without an end"));
        let sound = judged.map(|judged| (&judged.ended, judged.correlation));
        self.tally.over(&self.spec, &up.from, &up.caller, end, sound);
        self.free.push(slot);
    }

    async fn send(&mut self, text: &str) -> Result<(), PhoneError> {
        match self.transport.send(text.as_bytes()).await {
            Err(source) if self.tally.answered == 0 && source.kind() != io::ErrorKind::ConnectionRefused => {
                Err(PhoneError::Unreachable { far: self.far, source })
            }
            // A refused datagram or a broken stream: the next receive tells it too.
            _ => Ok(()),
        }
    }
}

/// Where what was heard is compared, on a thread of its own.
struct Bench {
    expect: Expect,
    play: Vec<i16>,
    length: Duration,
}

impl Bench {
    /// How much what was heard is like what should be heard, -1 to 1; `None` where nobody knows.
    fn compare(&self, ended: &Ended) -> Option<f64> {
        let samples = usize::try_from(self.length.as_millis()).unwrap_or(usize::MAX / 8).saturating_mul(8);
        let wanted = COMPARED.min(samples);
        let expected: Vec<i16> = match &self.expect {
            Expect::Anything => return None,
            Expect::Sound(pcm) => pcm.iter().copied().take(wanted).collect(),
            Expect::Echo => said(&self.play, ended.heard.frame, wanted),
        };
        Some(align(&expected, &ended.heard.pcm, BEGINS_WITHIN).correlation)
    }
}

/// What a call says that begins with this frame of 20 ms; the sound goes round.
pub fn said(play: &[i16], frame: usize, samples: usize) -> Vec<i16> {
    let round = play.len().next_multiple_of(FRAME);
    if round == 0 {
        return vec![0; samples];
    }
    let at = |index: usize| play.get((frame * FRAME + index) % round).copied().unwrap_or(0);
    (0..samples).map(at).collect()
}
