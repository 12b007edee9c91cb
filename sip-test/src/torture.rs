//! Plays a folder of raw messages to a server, each in a datagram or on a connection of its own, and judges the answers by
//! the folder's index.
//!
//! An index line: name, origin, class, kind, allowed answers, what it tests, with tabs between. Allowed is `none`, or a
//! list of codes and ranges; a code behind `-` is excluded. The bytes lie in `NAME.sip` or `NAME.dat`.

use std::{
    fs, io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use serde::Serialize;
use tokio::{
    net::UdpSocket,
    time::{Instant, timeout_at},
};

use crate::{
    PhoneError, options,
    phone::{resolve, wants_tcp},
    sip::branch,
    transport::{Transport, stands_alone},
};

/// Longest wait for an answer that has to come.
const PATIENCE: Duration = Duration::from_secs(8);
/// Longest wait where silence is allowed or wanted.
const SILENCE: Duration = Duration::from_millis(600);
/// What a stream may say to a message that does not tell where it ends.
const REFUSED: [u16; 3] = [400, 413, 513];
/// Port of a Via that names none.
const SIP_PORT: u16 = 5060;

/// One message of a folder.
#[derive(Clone, Debug)]
pub struct Torture {
    pub name: String,
    pub class: String,
    /// What it tests.
    pub what: String,
    pub bytes: Vec<u8>,
    allowed: Allowed,
}

/// How a message was answered.
#[derive(Clone, Debug, Serialize)]
pub struct TortureReport {
    pub name: String,
    pub what: String,
    pub allowed: String,
    /// Every status that came, provisional ones too.
    pub came: Vec<u16>,
    /// It went over a stream, and where it ends only its datagram could tell: a stream may refuse it for that, or wait for
    /// the rest of it.
    pub datagram_only: bool,
    /// Answer to the OPTIONS after it.
    pub alive: bool,
    pub good: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Allowed {
    text: String,
    /// Ranges, ends included; `None` if no answer may come.
    ranges: Option<Vec<(u16, u16)>>,
    excluded: Vec<u16>,
}

/// Why a folder cannot be played.
#[derive(Debug, thiserror::Error)]
pub enum TortureError {
    #[error("{}: cannot be read", path.display())]
    Unreadable {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{}: line {line} is not six columns with tabs between, or its answers are no codes", path.display())]
    Index { path: PathBuf, line: usize },
}

impl Allowed {
    fn parse(text: &str) -> Option<Self> {
        let (mut ranges, mut excluded) = (Vec::new(), Vec::new());
        if text == "none" {
            return Some(Self { text: text.into(), ranges: None, excluded });
        }
        for part in text.split(',').map(str::trim) {
            if let Some(code) = part.strip_prefix('-') {
                excluded.push(code.parse().ok()?);
            } else {
                let (low, high) = part.split_once('-').unwrap_or((part, part));
                ranges.push((low.parse().ok()?, high.parse().ok()?));
            }
        }
        Some(Self { text: text.into(), ranges: Some(ranges), excluded })
    }

    fn silence_only(&self) -> bool {
        self.ranges.is_none()
    }

    /// * `strict` — silence is no answer where one may come.
    fn judge(&self, came: &[u16], strict: bool) -> bool {
        let Some(ranges) = &self.ranges else { return came.is_empty() };
        let finals: Vec<u16> = came.iter().copied().filter(|status| *status >= 200).collect();
        let allowed =
            |code: &u16| ranges.iter().any(|(low, high)| (low..=high).contains(&code)) && !self.excluded.contains(code);
        (!finals.is_empty() || !strict) && finals.iter().all(allowed)
    }
}

/// Reads a folder with its `index.tsv`.
///
/// # Errors
/// A file is missing, or a line of the index is no such line.
pub fn read_torture(folder: &Path) -> Result<Vec<Torture>, TortureError> {
    let unreadable = |path: &Path| {
        let path = path.to_owned();
        |source| TortureError::Unreadable { path, source }
    };
    let path = folder.join("index.tsv");
    let index = fs::read_to_string(&path).map_err(unreadable(&path))?;
    let mut all = Vec::new();
    for (number, line) in index.lines().enumerate().filter(|(_, line)| !line.starts_with('#') && !line.is_empty()) {
        let wrong = || TortureError::Index { path: path.clone(), line: number + 1 };
        let columns: Vec<&str> = line.split('\t').collect();
        let [name, _, class, _, allowed, what] = columns[..] else { return Err(wrong()) };
        let allowed = Allowed::parse(allowed).ok_or_else(wrong)?;
        let own = folder.join(format!("{name}.sip"));
        let file = if own.exists() { own } else { folder.join(format!("{name}.dat")) };
        let bytes = fs::read(&file).map_err(unreadable(&file))?;
        all.push(Torture { name: name.into(), class: class.into(), what: what.into(), bytes, allowed });
    }
    Ok(all)
}

/// Sends one message from the port its Via names, or on a connection of its own, and asks afterwards whether the server
/// is still there. A call that comes of it is hung up.
///
/// * `to` — with `;transport=tcp` over TCP.
/// * `strict` — whatever is not `none` has to be answered.
///
/// # Errors
/// The address is wrong or the port cannot be opened.
pub async fn torture(to: &str, message: &Torture, strict: bool) -> Result<TortureReport, PhoneError> {
    let (far, tcp) = (resolve(to).await?, wants_tcp(to));
    let mut way = if tcp {
        Transport::open(far, true).await?
    } else {
        Transport::udp(open(far, via_port(&message.bytes)).await?, far).await?
    };
    let datagram_only = tcp && !stands_alone(&message.bytes);
    // A server that hangs up in the middle of it has answered before.
    let _ = way.send(&message.bytes).await;
    let must = strict && !message.allowed.silence_only() && !datagram_only;
    let until = Instant::now() + if must { PATIENCE } else { SILENCE };
    let mut came = Vec::new();
    while let Ok(received) = timeout_at(until, way.receive()).await {
        let bytes = match received {
            Ok(bytes) => bytes,
            Err(_) if tcp => break,
            Err(_) => continue,
        };
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some(status) = status(&text) else { continue };
        came.push(status);
        if status >= 200 {
            for request in end(&text, status, far, if tcp { "TCP" } else { "UDP" }) {
                let _ = way.send(request.as_bytes()).await;
            }
            break;
        }
    }
    let alive = options(to).await.is_ok_and(|report| report.status == 200);
    let refused = datagram_only && came.iter().all(|status| REFUSED.contains(status));
    let good = alive && (refused || message.allowed.judge(&came, strict));
    let (name, what, allowed) = (message.name.clone(), message.what.clone(), message.allowed.text.clone());
    Ok(TortureReport { name, what, allowed, came, datagram_only, alive, good })
}

/// Answers go to the port in Via. On loopback each message has an address of its own, so that this port is free.
async fn open(far: SocketAddr, port: u16) -> Result<UdpSocket, PhoneError> {
    let ip: IpAddr = match far.ip() {
        IpAddr::V4(ip) if ip.is_loopback() => Ipv4Addr::new(127, fastrand::u8(1..), fastrand::u8(..), 9).into(),
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => std::net::Ipv6Addr::UNSPECIFIED.into(),
    };
    let at = SocketAddr::new(ip, port);
    UdpSocket::bind(at).await.map_err(|source| PhoneError::Socket { at, source })
}

fn via_port(message: &[u8]) -> u16 {
    let text = String::from_utf8_lossy(message);
    let via = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        matches!(name.trim().to_ascii_lowercase().as_str(), "via" | "v").then_some(value)
    });
    let sent_by = via.unwrap_or_default().split([';', ',']).next().unwrap_or_default();
    let port = sent_by.rsplit_once(':').and_then(|(_, port)| port.trim().parse().ok());
    port.filter(|port| *port > 0).unwrap_or(SIP_PORT)
}

pub(crate) fn status(text: &str) -> Option<u16> {
    text.strip_prefix("SIP/2.0 ")?.split(' ').next()?.parse().ok()
}

/// ACK of a final answer to an INVITE, and BYE if it made a call. The answer is read without any parser.
///
/// * `over` — as Via names it.
pub(crate) fn end(answer: &str, status: u16, far: SocketAddr, over: &str) -> Vec<String> {
    let lines = || answer.split("\r\n\r\n").next().unwrap_or_default().lines();
    let header = |name: &str| {
        lines().find_map(|line| {
            let (known, value) = line.split_once(':')?;
            known.trim().eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
        })
    };
    let (Some(via), Some(from), Some(to), Some(id), Some(cseq)) =
        (header("Via"), header("From"), header("To"), header("Call-ID"), header("CSeq"))
    else {
        return Vec::new();
    };
    let Some((number, "INVITE")) = cseq.split_once(' ').map(|(number, method)| (number, method.trim())) else {
        return Vec::new();
    };
    let request = |method: &str, number: &str, via: &str| {
        format!(
            "{method} sip:12345@{far} SIP/2.0\r\nVia: {via}\r\nMax-Forwards: 70\r\nFrom: {from}\r\nTo: {to}\r\n\
             Call-ID: {id}\r\nCSeq: {number} {method}\r\nContent-Length: 0\r\n\r\n"
        )
    };
    if status >= 300 {
        return vec![request("ACK", number, &via)];
    }
    let own = || format!("SIP/2.0/{over} 127.0.0.1:9;branch={};rport", branch());
    let later = number.parse::<u32>().unwrap_or(0).saturating_add(1).to_string();
    vec![request("ACK", number, &own()), request("BYE", &later, &own())]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn allowed_answers_are_read_and_judged() {
        let allowed = Allowed::parse("100-699,-400").unwrap();
        assert!(allowed.judge(&[100, 200], true) && allowed.judge(&[], false));
        assert!(!allowed.judge(&[100, 400], true) && !allowed.judge(&[100], true));
        let some = Allowed::parse("404,415-420").unwrap();
        assert!(some.judge(&[100, 418], true) && !some.judge(&[200], true));
        let none = Allowed::parse("none").unwrap();
        assert!(none.judge(&[], true) && !none.judge(&[100], false));
        assert!(Allowed::parse("4xx").is_none());
    }

    #[test]
    fn our_own_folder_is_whole_and_its_ports_are_found() {
        let all = read_torture("../tests/torture".as_ref()).unwrap();
        assert!(all.len() >= 40, "{} messages", all.len());
        for name in ["folded", "compact", "viablanks", "viasix", "manyvias"] {
            let message = all.iter().find(|message| message.name == name).unwrap();
            assert_eq!(via_port(&message.bytes), 5062, "{name}");
        }
        let files = fs::read_dir("../tests/torture").unwrap().count();
        assert_eq!(files, all.len() + 1, "every file is in the index");
    }

    #[test]
    fn a_call_that_comes_of_it_is_acknowledged_and_hung_up() {
        let answer = "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP x;branch=z9hG4bKa\r\nFrom: <sip:a@b>;tag=1\r\n\
                      To: <sip:c@d>;tag=2\r\nCall-ID: e\r\nCSeq: 7 INVITE\r\n\r\nv=0\r\n";
        let far = "127.0.0.1:5060".parse().unwrap();
        let requests = end(answer, 200, far, "UDP");
        assert!(requests[0].starts_with("ACK") && requests[1].contains("CSeq: 8 BYE"), "{requests:?}");
        assert_eq!(end(&answer.replace("INVITE", "OPTIONS"), 200, far, "UDP").len(), 0);
        assert_eq!(end(answer, 486, far, "UDP").len(), 1);
    }
}
