//! The kernel's doors for many sockets: readiness of all in one call, datagrams with their time of arrival.
//!
//! The only unsafe code of the room. Arrival is stamped by the kernel, so that a thread that is late to look neither
//! shifts the recording nor counts as jitter.

use std::{
    io, mem,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
    ptr,
    time::Duration,
};

/// Largest datagram that is taken whole: more than an Ethernet frame holds.
const DATAGRAM: usize = 1_600;
/// Room for the time stamp.
const CONTROL: usize = 64;

/// Which of many sockets have something.
#[derive(Debug)]
pub struct Poller(OwnedFd);

impl Poller {
    /// Sockets told of at once.
    const READY: usize = 256;

    pub fn new() -> io::Result<Self> {
        // SAFETY: no pointers; the result is checked and then owned by nobody else.
        let fd = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        // SAFETY: as above.
        if fd < 0 { Err(io::Error::last_os_error()) } else { Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) })) }
    }

    /// Watches a socket until it is closed, and asks the kernel for arrival times on it. It is told of once when something
    /// comes: whoever leaves something there has to remember it. The kernel need not look at each socket twice so.
    pub fn add(&self, socket: &UdpSocket, token: u64) -> io::Result<()> {
        let on: libc::c_int = 1;
        let size = libc::socklen_t::try_from(mem::size_of_val(&on)).unwrap_or(4);
        let mut event = libc::epoll_event { events: (libc::EPOLLIN | libc::EPOLLET).cast_unsigned(), u64: token };
        // SAFETY: `on` and `event` outlive the calls; both descriptors are open.
        let result = unsafe {
            libc::setsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, (&raw const on).cast(), size)
                | libc::epoll_ctl(self.0.as_raw_fd(), libc::EPOLL_CTL_ADD, socket.as_raw_fd(), &raw mut event)
        };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Puts the tokens of sockets with something to read into `ready`; never waits.
    pub fn poll(&self, ready: &mut Vec<u64>) {
        ready.clear();
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; Self::READY];
        let room = libc::c_int::try_from(Self::READY).unwrap_or(libc::c_int::MAX);
        // SAFETY: the kernel writes at most `room` events.
        let count = unsafe { libc::epoll_wait(self.0.as_raw_fd(), events.as_mut_ptr(), room, 0) };
        let count = usize::try_from(count).unwrap_or(0);
        ready.extend(events[..count].iter().map(|event| event.u64));
    }
}

/// Buffers for one batch of datagrams, at most `N`.
pub struct Batch<const N: usize> {
    bytes: Box<[[u8; DATAGRAM]]>,
    names: Box<[libc::sockaddr_storage]>,
    control: Box<[Control]>,
}

#[repr(C, align(8))]
#[derive(Clone, Copy)]
struct Control([u8; CONTROL]);

/// One datagram of a batch.
#[derive(Debug)]
pub struct Datagram<'a> {
    pub from: SocketAddr,
    /// Time since 1970 when the kernel got it.
    pub stamped: Option<Duration>,
    /// `None` if it was longer than [`DATAGRAM`].
    pub bytes: Option<&'a mut [u8]>,
}

impl<const N: usize> Batch<N> {
    pub fn new() -> Self {
        Self {
            bytes: vec![[0; DATAGRAM]; N].into(),
            // SAFETY: all-zero bytes are a valid sockaddr_storage (family unspecified).
            names: vec![unsafe { mem::zeroed() }; N].into(),
            control: vec![Control([0; CONTROL]); N].into(),
        }
    }

    /// Takes what waits on a socket, up to a batch.
    ///
    /// * returns — how many datagrams were there; a full batch (see [`Batch::is_full`]) means that more may wait.
    pub fn receive(&mut self, socket: &UdpSocket, mut each: impl FnMut(Datagram<'_>)) -> usize {
        // SAFETY: zero is a valid value of these plain C structures.
        let (mut vectors, mut headers): ([libc::iovec; N], [libc::mmsghdr; N]) = unsafe { mem::zeroed() };
        for index in 0..N {
            vectors[index].iov_base = self.bytes[index].as_mut_ptr().cast();
            vectors[index].iov_len = DATAGRAM;
            let header = &mut headers[index].msg_hdr;
            header.msg_name = (&raw mut self.names[index]).cast();
            header.msg_namelen = libc::socklen_t::try_from(mem::size_of::<libc::sockaddr_storage>()).unwrap_or(128);
            header.msg_iov = &raw mut vectors[index];
            header.msg_iovlen = 1;
            header.msg_control = self.control[index].0.as_mut_ptr().cast();
            header.msg_controllen = CONTROL;
        }
        let room = libc::c_uint::try_from(N).unwrap_or(1);
        // SAFETY: every pointer above leads to a buffer of the stated length that lives until the end of this call.
        let count = unsafe {
            libc::recvmmsg(socket.as_raw_fd(), headers.as_mut_ptr(), room, libc::MSG_DONTWAIT, ptr::null_mut())
        };
        let count = usize::try_from(count).unwrap_or(0);
        for (index, message) in headers[..count].iter().enumerate() {
            let header = &message.msg_hdr;
            let length = usize::try_from(message.msg_len).unwrap_or(0).min(DATAGRAM);
            let whole = header.msg_flags & libc::MSG_TRUNC == 0;
            let Some(from) = address(&self.names[index]) else { continue };
            let bytes = whole.then(|| &mut self.bytes[index][..length]);
            each(Datagram { from, stamped: stamp(header), bytes });
        }
        count
    }

    /// * `count` — what [`Batch::receive`] said.
    pub const fn is_full(count: usize) -> bool {
        count == N
    }
}

/// Datagrams that leave a socket together.
pub struct Outbox {
    bytes: Box<[[u8; DATAGRAM]]>,
    waiting: Vec<Waiting>,
}

struct Waiting {
    to: socket2::SockAddr,
    length: usize,
    tag: usize,
}

impl Outbox {
    /// The kernel is asked once for so many.
    const ROOM: usize = 64;

    pub fn new() -> Self {
        Self { bytes: vec![[0; DATAGRAM]; Self::ROOM].into(), waiting: Vec::with_capacity(Self::ROOM) }
    }

    /// Whether all that waits has to be sent before more is put in.
    pub fn is_full(&self) -> bool {
        self.waiting.len() == Self::ROOM
    }

    /// Lets a datagram wait. What is too long, or does not fit, is cut off or left out: nothing of ours is.
    ///
    /// * `tag` — names it if it cannot be sent.
    pub fn put(&mut self, to: SocketAddr, bytes: &[u8], tag: usize) {
        let Some(room) = self.bytes.get_mut(self.waiting.len()) else { return };
        let length = bytes.len().min(DATAGRAM);
        room[..length].copy_from_slice(&bytes[..length]);
        self.waiting.push(Waiting { to: to.into(), length, tag });
    }

    /// Sends what waits.
    ///
    /// * `failed` — gets the tags of those that the kernel did not take.
    pub fn send(&mut self, socket: &UdpSocket, mut failed: impl FnMut(usize)) {
        if self.waiting.is_empty() {
            return;
        }
        // SAFETY: zero is a valid value of these plain C structures.
        let (mut vectors, mut headers): ([libc::iovec; Self::ROOM], [libc::mmsghdr; Self::ROOM]) =
            unsafe { mem::zeroed() };
        for (index, waiting) in self.waiting.iter().enumerate() {
            vectors[index].iov_base = self.bytes[index].as_mut_ptr().cast();
            vectors[index].iov_len = waiting.length;
            let header = &mut headers[index].msg_hdr;
            header.msg_name = waiting.to.as_ptr().cast_mut().cast();
            header.msg_namelen = waiting.to.len();
            header.msg_iov = &raw mut vectors[index];
            header.msg_iovlen = 1;
        }
        let mut next = 0;
        while next < self.waiting.len() {
            let rest = &mut headers[next..self.waiting.len()];
            let count = libc::c_uint::try_from(rest.len()).unwrap_or(0);
            // SAFETY: every pointer above leads to a buffer of the stated length that lives until the end of this call, and
            // the kernel reads them only.
            let sent = unsafe { libc::sendmmsg(socket.as_raw_fd(), rest.as_mut_ptr(), count, libc::MSG_DONTWAIT) };
            match usize::try_from(sent) {
                Ok(sent) if sent > 0 => next += sent,
                // The first of them was not taken.
                _ => {
                    failed(self.waiting[next].tag);
                    next += 1;
                }
            }
        }
        self.waiting.clear();
    }
}

fn address(name: &libc::sockaddr_storage) -> Option<SocketAddr> {
    match libc::c_int::from(name.ss_family) {
        libc::AF_INET => {
            // SAFETY: the family says that the kernel wrote a sockaddr_in, which is smaller and no stricter aligned.
            let name = unsafe { &*(&raw const *name).cast::<libc::sockaddr_in>() };
            let ip = Ipv4Addr::from(name.sin_addr.s_addr.to_ne_bytes());
            Some(SocketAddr::new(IpAddr::V4(ip), u16::from_be(name.sin_port)))
        }
        libc::AF_INET6 => {
            // SAFETY: as above, for sockaddr_in6.
            let name = unsafe { &*(&raw const *name).cast::<libc::sockaddr_in6>() };
            let ip = Ipv6Addr::from(name.sin6_addr.s6_addr);
            Some(SocketAddr::new(IpAddr::V6(ip), u16::from_be(name.sin6_port)))
        }
        _ => None,
    }
}

fn stamp(header: &libc::msghdr) -> Option<Duration> {
    // SAFETY: the header was filled by the kernel and its control buffer is alive; CMSG_* stay inside
    // `msg_controllen`; the payload is read unaligned.
    unsafe {
        let mut control = libc::CMSG_FIRSTHDR(header);
        while let Some(head) = control.as_ref() {
            if head.cmsg_level == libc::SOL_SOCKET && head.cmsg_type == libc::SCM_TIMESTAMPNS {
                let time = ptr::read_unaligned(libc::CMSG_DATA(control).cast::<libc::timespec>());
                let nanos = u32::try_from(time.tv_nsec).ok().filter(|nanos| *nanos < 1_000_000_000)?;
                return u64::try_from(time.tv_sec).ok().map(|seconds| Duration::new(seconds, nanos));
            }
            control = libc::CMSG_NXTHDR(header, control);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datagrams_come_with_sender_time_and_length() {
        let (here, there) = (UdpSocket::bind("127.0.0.1:0"), UdpSocket::bind("127.0.0.1:0"));
        let (here, there) = (here.expect("loopback"), there.expect("loopback"));
        here.set_nonblocking(true).expect("a socket");
        let poller = Poller::new().expect("epoll");
        poller.add(&here, 42).expect("watched");
        for length in [3, DATAGRAM, DATAGRAM + 1] {
            there.send_to(&vec![7; length], here.local_addr().expect("bound")).expect("loopback");
        }
        let mut ready = Vec::new();
        while ready.is_empty() {
            poller.poll(&mut ready);
        }
        assert_eq!(ready, [42]);
        let (mut batch, mut got) = (Batch::<4>::new(), Vec::new());
        while got.len() < 3 {
            batch.receive(&here, |datagram| {
                assert_eq!(datagram.from, there.local_addr().expect("bound"));
                assert!(datagram.stamped.is_some_and(|stamped| stamped > Duration::from_secs(1_600_000_000)));
                got.push(datagram.bytes.map(|bytes| bytes.len()));
            });
        }
        assert_eq!(got, [Some(3), Some(DATAGRAM), None]);
    }

    #[test]
    fn what_the_kernel_does_not_take_is_named_and_the_rest_leaves() {
        let (here, there) = (UdpSocket::bind("127.0.0.1:0"), UdpSocket::bind("127.0.0.1:0"));
        let (here, there) = (here.expect("loopback"), there.expect("loopback"));
        there.set_read_timeout(Some(Duration::from_mins(1))).expect("a socket");
        let (to, nowhere) = (there.local_addr().expect("bound"), "[2001:db8::1]:9".parse().expect("an address"));
        let (mut outbox, mut failed) = (Outbox::new(), Vec::new());
        for tag in 0..u8::try_from(Outbox::ROOM).expect("small") {
            assert!(!outbox.is_full());
            outbox.put(if tag % 10 == 3 { nowhere } else { to }, &[tag; 3], tag.into());
        }
        assert!(outbox.is_full());
        outbox.send(&here, |tag| failed.push(tag));
        assert_eq!(failed, [3, 13, 23, 33, 43, 53, 63], "IPv6 from an IPv4 socket");
        assert!(!outbox.is_full());
        let mut bytes = [0; 9];
        for tag in (0..64).filter(|tag| tag % 10 != 3) {
            assert_eq!(there.recv(&mut bytes).expect("in time"), 3);
            assert_eq!(bytes[..3], [tag; 3]);
        }
    }
}
