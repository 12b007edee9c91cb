//! What a bridged and recorded call costs, beside Debian's rtpengine carrying the same packets in the same run.

use std::{
    net::{SocketAddr, UdpSocket},
    os::fd::AsRawFd,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use futures::future::join_all;
use hotline::clock::Clock;
use sip_test::{
    CallSpec, Elsewhere,
    seat::{Seat, SeatSpec, SeatState, sit},
};
use tempfile::TempDir;

use crate::{
    calls::{CALLS, processor_seconds},
    house::{House, resident},
};

/// Over which the cost is taken.
const WINDOW: Duration = Duration::from_secs(15);
/// From the last call that is up to the window.
const SETTLE: Duration = Duration::from_secs(2);
const RTPENGINE: &str = "/usr/bin/rtpengine";
/// Samples of a packet, A-law at 8 kHz: 20 ms.
const FRAME: usize = 160;
const TICK: Duration = Duration::from_millis(20);
/// Packets of one tick leave in so many parts, as those of real phones do.
const PARTS: u32 = 10;
/// Begins the sound of a packet of ours, before its number.
const MARK: [u8; 8] = *b"hotline!";

/// One number of calls.
struct Cost {
    /// % of a core a call.
    processor: f64,
    /// Kilobytes a call.
    memory: f64,
    /// Added to a packet on its way, milliseconds.
    delay: Delay,
    /// Packets that did not arrive, of those that were sent.
    lost: f64,
}

#[derive(Clone, Copy, Default)]
struct Delay {
    p50: f64,
    p99: f64,
}

pub async fn bridged() {
    let most = *CALLS.last().expect("some");
    let ours = Line::open(most).await;
    let mut costs = Vec::new();
    for calls in CALLS {
        costs.push(ours.measure(calls).await);
    }
    drop(ours);
    for (calls, ours) in CALLS.into_iter().zip(costs) {
        let Some(theirs) = rtpengine(calls).await else {
            println!("not run: rtpengine is missing; ./dev bench installs rtpengine-daemon");
            tell(calls, &ours, None);
            continue;
        };
        tell(calls, &ours, Some(&theirs));
    }
}

fn tell(calls: usize, ours: &Cost, theirs: Option<&Cost>) {
    let figures = |it: &Cost| {
        format!(
            "{:.4} % of a core, {:.0} kB, delay p50 {:.2} p99 {:.2} ms, lost {:.3} %",
            it.processor,
            it.memory,
            it.delay.p50,
            it.delay.p99,
            100.0 * it.lost
        )
    };
    println!("bridged recorded call, {calls} at once, a call: {}", figures(ours));
    if let Some(theirs) = theirs {
        println!(
            "  rtpengine, one thread, recording: {}  ratio {:.2}",
            figures(theirs),
            ours.processor / theirs.processor
        );
    }
}

/// A line with operators at their seats.
struct Line {
    house: House,
    seats: Vec<(Seat, Leg)>,
    empty: u64,
}

/// One side of a call: its socket, and where the far side hears.
struct Leg {
    socket: UdpSocket,
    far: Arc<Mutex<Option<SocketAddr>>>,
}

impl Leg {
    fn open() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
        Self { socket, far: Arc::default() }
    }

    fn elsewhere(&self) -> Elsewhere {
        let address = self.socket.local_addr().expect("its address");
        Elsewhere { address, far: Arc::clone(&self.far) }
    }

    fn far(&self) -> Option<SocketAddr> {
        *self.far.lock().expect("whole")
    }
}

impl Line {
    async fn open(seats: usize) -> Self {
        let most = (seats + 20).to_string();
        let house = House::with(&[
            ("SPEECH__WORKERS", "0"),
            ("LINE__MAX_CALLS", &most),
            ("ACD__WRAP_UP_SECONDS", "0"),
            ("SIP__TCP", "off"),
            // The callers come over a trunk, as those of a city do; the seats have ports of their own.
            ("RTP__CARRIERS", "[\"127.0.0.1\"]"),
        ]);
        let mut taken = Vec::new();
        for number in 0..seats {
            let extension = (8_001 + number).to_string();
            let name = format!("seat-{extension}");
            let added = house.run(&["user", "add", &name, "--role", "agent", "--extension", &extension]);
            let secret = String::from_utf8_lossy(&added.stdout).split_whitespace().last().expect("a secret").to_owned();
            let leg = Leg::open();
            let mut spec = SeatSpec::new(format!("sip:{extension}@{}", house.sip), secret);
            spec.elsewhere = Some(leg.elsewhere());
            taken.push((sit(spec).await.expect("a seat"), leg));
        }
        house
            .until("everybody at their seats", async || {
                let seats = house.get("/api/v1/seats").await;
                let idle = seats["items"].as_array()?.iter().filter(|seat| seat["state"] == "idle").count();
                (idle == taken.len()).then_some(())
            })
            .await;
        let empty = resident(house.pid());
        Self { house, seats: taken, empty }
    }

    async fn measure(&self, calls: usize) -> Cost {
        let callers: Vec<_> = (0..calls).map(|_| Leg::open()).collect();
        let mut phones = Vec::new();
        for (number, leg) in callers.iter().enumerate() {
            let mut spec = CallSpec::new(format!("sip:12345@{}", self.house.sip));
            spec.from = format!("1390001{number:04}");
            spec.elsewhere = Some(leg.elsewhere());
            spec.hang_up_after = Some(Duration::from_secs(50));
            phones.push(tokio::spawn(sip_test::call(spec)));
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        // Packets flow from the beginning, as a phone's do; only those of the window count.
        let talking = || self.seats.iter().filter(|(seat, _)| seat.state() == SeatState::Talking);
        while talking().count() < calls {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let legs: Vec<_> = callers.iter().chain(talking().map(|(_, leg)| leg)).collect();
        let cost = window(&legs, calls, self.house.pid(), self.empty).await;
        for phone in phones {
            phone.abort();
        }
        // Nobody said BYE: the operators do.
        join_all(self.seats.iter().map(|(seat, _)| seat.hang_up())).await;
        self.house
            .until("end of all calls", async || {
                let calls = self.house.get("/api/v1/calls?limit=200").await;
                calls["items"].as_array()?.iter().all(|call| call["recording_state"] == "sealed").then_some(())
            })
            .await;
        cost
    }
}

/// Sends and hears on all legs for a while.
async fn window(legs: &[&Leg], calls: usize, pid: u32, empty: u64) -> Cost {
    let clock = Clock::system();
    let begun = clock.instant();
    let (stop, counts) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let sent = Arc::new(AtomicU64::new(0));
    let wires: Vec<_> = legs
        .iter()
        .map(|leg| (leg.socket.try_clone().expect("a handle"), leg.far().expect("an answered call")))
        .collect();
    let talker = std::thread::spawn({
        let (stop, counts, sent, clock) = (Arc::clone(&stop), Arc::clone(&counts), Arc::clone(&sent), clock.clone());
        move || talk(&wires, &clock, begun, &stop, &counts, &sent)
    });
    let hearer = std::thread::spawn({
        let sockets: Vec<_> = legs.iter().map(|leg| leg.socket.try_clone().expect("a handle")).collect();
        let stop = Arc::clone(&stop);
        move || hear(&sockets, &stop)
    });
    tokio::time::sleep(SETTLE).await;
    counts.store(true, Ordering::Relaxed);
    let (before, from) = (processor_seconds(pid), clock.instant());
    tokio::time::sleep(WINDOW).await;
    let (used, took) = (processor_seconds(pid) - before, clock.instant() - from);
    let full = resident(pid);
    counts.store(false, Ordering::Relaxed);
    // The last ones arrive.
    tokio::time::sleep(Duration::from_millis(200)).await;
    stop.store(true, Ordering::Relaxed);
    talker.join().expect("it talks");
    let mut delays = hearer.join().expect("it hears");
    delays.sort_by(f64::total_cmp);
    #[expect(clippy::cast_precision_loss, reason = "some hundred calls, some thousand packets")]
    let (count, sent, memory) =
        (calls as f64, sent.load(Ordering::Relaxed) as f64, full.saturating_sub(empty) as f64 / calls as f64);
    let at = |share: usize| delays.get(delays.len() * share / 100).copied().unwrap_or(f64::NAN);
    #[expect(clippy::cast_precision_loss, reason = "some thousand packets")]
    let lost = 1.0 - delays.len() as f64 / sent;
    Cost {
        processor: 100.0 * used / took.as_secs_f64() / count,
        memory,
        delay: Delay { p50: at(50), p99: at(99) },
        lost,
    }
}

/// Sends a packet on each leg every 20 ms.
fn talk(
    wires: &[(UdpSocket, SocketAddr)],
    clock: &Clock,
    begun: Instant,
    stop: &AtomicBool,
    counts: &AtomicBool,
    sent: &AtomicU64,
) {
    let mut packets: Vec<_> = (0_u32..)
        .take(wires.len())
        .map(|leg| {
            let mut packet = [0xd5_u8; 12 + FRAME];
            packet[..2].copy_from_slice(&[0x80, 8]);
            packet[8..12].copy_from_slice(&(0x1000 + leg).to_be_bytes());
            packet
        })
        .collect();
    let part = wires.len().div_ceil(PARTS as usize);
    for step in 0_u32.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let (tick, turn) = (step / PARTS, step % PARTS);
        let due = begun + TICK / PARTS * step;
        std::thread::sleep(due.saturating_duration_since(clock.instant()));
        let counted = counts.load(Ordering::Relaxed);
        for ((socket, far), packet) in wires.iter().zip(&mut packets).skip(part * turn as usize).take(part) {
            packet[2..4].copy_from_slice(&u16::try_from(tick & 0xffff).unwrap_or(0).to_be_bytes());
            packet[4..8].copy_from_slice(&(tick * 160).to_be_bytes());
            let now = u64::try_from(clock.kernel_time().as_nanos()).unwrap_or(0);
            packet[12..20].copy_from_slice(&MARK);
            packet[20] = u8::from(counted);
            packet[21..29].copy_from_slice(&now.to_be_bytes());
            if socket.send_to(packet, far).is_ok() && counted {
                sent.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

/// The delays of the packets that count, milliseconds, until it is time to stop.
///
/// Looks now and then, and takes the kernel's time of arrival: waking somebody for each packet would cost the sender more
/// than the packet, here and on no network.
fn hear(sockets: &[UdpSocket], stop: &AtomicBool) -> Vec<f64> {
    let mut delays = Vec::new();
    for socket in sockets {
        socket.set_nonblocking(true).expect("a socket");
        socket2::SockRef::from(socket).set_recv_buffer_size(1 << 18).expect("a socket");
        stamp(socket);
    }
    while !stop.load(Ordering::Relaxed) {
        for socket in sockets {
            while let Some((packet, length, arrived)) = receive(socket) {
                if length >= 29 && packet[12..20] == MARK && packet[20] == 1 {
                    let left = u64::from_be_bytes(packet[21..29].try_into().expect("eight bytes"));
                    let left = Duration::from_nanos(left);
                    delays.push(1e3 * (arrived.as_secs_f64() - left.as_secs_f64()));
                }
            }
        }
        std::thread::sleep(TICK / 2);
    }
    delays
}

/// Asks the kernel for times of arrival.
fn stamp(socket: &UdpSocket) {
    let on: libc::c_int = 1;
    // SAFETY: `on` outlives the call, and its size is stated.
    let done = unsafe {
        libc::setsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, (&raw const on).cast(), 4)
    };
    assert_eq!(done, 0, "time stamps");
}

/// A packet that waits, its length, and when it came since 1970.
fn receive(socket: &UdpSocket) -> Option<([u8; 512], usize, Duration)> {
    let (mut packet, mut control) = ([0_u8; 512], [0_u64; 8]);
    let mut part = libc::iovec { iov_base: packet.as_mut_ptr().cast(), iov_len: packet.len() };
    // SAFETY: zero is a valid value of this plain C structure.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    (header.msg_iov, header.msg_iovlen) = (&raw mut part, 1);
    (header.msg_control, header.msg_controllen) = (control.as_mut_ptr().cast(), size_of_val(&control));
    // SAFETY: the buffers outlive the call, and their lengths are stated.
    let length = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut header, libc::MSG_DONTWAIT) };
    let length = usize::try_from(length).ok()?;
    // SAFETY: the kernel filled the header, whose buffer is alive.
    let time = unsafe {
        let first = libc::CMSG_FIRSTHDR(&raw const header);
        assert!(!first.is_null(), "a time stamp");
        std::ptr::read_unaligned(libc::CMSG_DATA(first).cast::<libc::timespec>())
    };
    let seconds = u64::try_from(time.tv_sec).expect("after 1970");
    Some((packet, length, Duration::new(seconds, u32::try_from(time.tv_nsec).expect("below a second"))))
}

/// The same calls through rtpengine, each with a recording; nothing where it is not installed.
async fn rtpengine(calls: usize) -> Option<Cost> {
    let relay = Relay::start()?;
    let empty = resident(relay.child.id());
    let mut legs = Vec::new();
    for call in 0..calls {
        let (caller, operator) = (Leg::open(), Leg::open());
        relay.connect(call, &caller, &operator);
        legs.extend([caller, operator]);
    }
    Some(window(&legs.iter().collect::<Vec<_>>(), calls, relay.child.id(), empty).await)
}

/// A running rtpengine, told what to do by its ng protocol.
struct Relay {
    child: Child,
    control: UdpSocket,
    _folder: TempDir,
}

impl Relay {
    fn start() -> Option<Self> {
        if !Path::new(RTPENGINE).exists() {
            return None;
        }
        let folder = tempfile::tempdir().expect("a folder");
        let port = UdpSocket::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a port").port();
        let at = |name: &str| folder.path().join(name).display().to_string();
        let child = Command::new(RTPENGINE)
            .args([
                "--foreground",
                "--table=-1",
                "--interface=127.0.0.1",
                "--num-threads=1",
                "--log-stderr",
                "--log-level=3",
            ])
            .args(["--port-min=42000", "--port-max=43999", "--recording-method=pcap", "--recording-format=raw"])
            .args([format!("--listen-ng=127.0.0.1:{port}"), format!("--recording-dir={}", at("recordings"))])
            .args([format!("--pidfile={}", at("pid"))])
            // It may die with a core, which belongs with the rest of it.
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(folder.path().join("log")).expect("a log"))
            .spawn()
            .expect("rtpengine starts");
        std::fs::create_dir_all(folder.path().join("recordings")).expect("a folder");
        let control = UdpSocket::bind("127.0.0.1:0").expect("a port");
        control.connect(("127.0.0.1", port)).expect("an address");
        control.set_read_timeout(Some(Duration::from_millis(500))).expect("a socket");
        let relay = Self { child, control, _folder: folder };
        for _ in 0..40 {
            if relay.ask("d7:command4:pinge").is_some() {
                return Some(relay);
            }
            std::thread::sleep(Duration::from_millis(250));
        }
        panic!("rtpengine does not answer");
    }

    /// Sends one command and gives its answer.
    fn ask(&self, command: &str) -> Option<String> {
        let cookie = format!("{:x} ", cookie());
        self.control.send(format!("{cookie}{command}").as_bytes()).ok()?;
        let mut answer = [0; 8_192];
        let length = self.control.recv(&mut answer).ok()?;
        String::from_utf8_lossy(&answer[..length]).strip_prefix(&cookie).map(str::to_owned)
    }

    fn connect(&self, call: usize, caller: &Leg, operator: &Leg) {
        let id = format!("call-{call}");
        let offer = self.describe("offer", &id, caller, &[("from-tag", "a")]);
        let answer = self.describe("answer", &id, operator, &[("from-tag", "a"), ("to-tag", "b")]);
        // Each is told where to send to by the answer to the other's description.
        *operator.far.lock().expect("whole") = Some(offer);
        *caller.far.lock().expect("whole") = Some(answer);
    }

    /// Offers or answers with the description of a leg.
    ///
    /// * returns — where the other side is to send to.
    fn describe(&self, command: &str, call: &str, leg: &Leg, tags: &[(&str, &str)]) -> SocketAddr {
        let port = leg.socket.local_addr().expect("its address").port();
        let sdp = format!(
            "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio {port} RTP/AVP 8\r\n\
             a=rtpmap:8 PCMA/8000\r\n"
        );
        let mut keys =
            vec![("call-id", call), ("command", command), ("record call", "yes"), ("sdp", &sdp), ("ICE", "remove")];
        keys.extend(tags);
        // A dictionary has its keys in order.
        keys.sort_unstable();
        let body = keys.iter().flat_map(|(key, value)| [*key, *value]).fold(String::new(), |body, text| {
            // A text has its length before it.
            body + &text.len().to_string() + ":" + text
        });
        let answer = self.ask(&format!("d{body}e")).expect("rtpengine answers");
        let port = answer.split("m=audio ").nth(1).and_then(|rest| rest.split(' ').next()?.parse().ok());
        SocketAddr::from(([127, 0, 0, 1], port.unwrap_or_else(|| panic!("no port in {answer}"))))
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A cookie that no other command has.
fn cookie() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}
