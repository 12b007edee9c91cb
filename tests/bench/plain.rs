//! The baseline: answers every INVITE and gives each call a thread that blocks on its socket and writes with hound.

use std::{
    io::{BufRead, BufReader},
    net::UdpSocket,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use sip_test::{Message, audio::Codec};

/// Makes this program the baseline's server.
pub const ARGUMENT: &str = "plain-server";

/// The baseline in a process of its own.
pub struct Plain {
    child: Child,
    pub address: String,
}

impl Plain {
    pub fn start(folder: &Path) -> Self {
        let program = std::env::current_exe().expect("this program");
        let mut child = Command::new(program)
            .arg(ARGUMENT)
            .arg(folder)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the baseline starts");
        let mut address = String::new();
        BufReader::new(child.stdout.take().expect("its output")).read_line(&mut address).expect("a line");
        Self { child, address: address.trim().to_owned() }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Plain {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs until it is killed.
pub fn serve(folder: &Path) {
    let sip = UdpSocket::bind("127.0.0.1:0").expect("a port");
    println!("{}", sip.local_addr().expect("its address"));
    let mut datagram = vec![0; 65_535];
    loop {
        let (length, from) = sip.recv_from(&mut datagram).expect("a datagram");
        let Ok(message) = Message::parse(&datagram[..length]) else { continue };
        let answer = match message.cseq() {
            Some((_, "INVITE")) => {
                let port = record(&folder.join(format!("{}.wav", from.port())));
                let sdp = format!(
                    "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio {port} RTP/AVP 8\r\n"
                );
                let contact = format!("<sip:plain@{}>", sip.local_addr().expect("its address"));
                message.answer("200 OK", "plain", &[("Contact", &contact), ("Content-Type", "application/sdp")], &sdp)
            }
            Some((_, "BYE")) => message.answer("200 OK", "plain", &[], ""),
            _ => continue,
        };
        sip.send_to(answer.as_bytes(), from).expect("an answer goes out");
    }
}

/// A thread that writes what comes until nothing has come for two seconds.
fn record(file: &Path) -> u16 {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let port = socket.local_addr().expect("its address").port();
    socket.set_read_timeout(Some(Duration::from_secs(2))).expect("a time-out");
    let spec =
        hound::WavSpec { channels: 2, sample_rate: 8000, bits_per_sample: 16, sample_format: hound::SampleFormat::Int };
    let mut wav = hound::WavWriter::create(file, spec).expect("a file");
    thread::spawn(move || {
        let (mut packet, mut packets) = ([0; 2048], 0_u32);
        while let Ok((length, from)) = socket.recv_from(&mut packet) {
            for byte in packet.get(12..length).unwrap_or_default() {
                wav.write_sample(Codec::Alaw.decode(*byte)).expect("a sample");
                wav.write_sample(0_i16).expect("a sample");
            }
            // The line sends as much as it hears; so does this one.
            let _ = socket.send_to(&packet[..length], from);
            packets += 1;
            if packets.is_multiple_of(50) {
                wav.flush().expect("a flush");
            }
        }
        wav.finalize().expect("a whole file");
    });
    port
}
