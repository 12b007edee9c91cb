//! Session descriptions: the phone's own text, and what the other side says.

use std::net::{IpAddr, SocketAddr};

use crate::{
    audio::Codec,
    srtp::{self, Master},
};

/// What the other side wants to hear, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FarMedia {
    pub(crate) address: SocketAddr,
    pub(crate) codec: Codec,
    pub(crate) telephone_event: Option<u8>,
    /// Whether it listens to us (no `sendonly`, `inactive` or 0.0.0.0).
    pub(crate) listens: bool,
    /// Whether it speaks to us (no `recvonly` or `inactive`).
    pub(crate) speaks: bool,
    /// What its packets are sealed with.
    pub(crate) key: Option<Master>,
}

/// The phone's own offer or answer.
///
/// * `codecs` — in order of preference.
/// * `telephone_event` — payload type for keys, RFC 4733.
pub(crate) fn describe(at: SocketAddr, session: u64, codecs: &[Codec], telephone_event: Option<u8>) -> String {
    let family = if at.is_ipv4() { "IP4" } else { "IP6" };
    let (ip, port) = (at.ip(), at.port());
    let mut formats: Vec<String> = codecs.iter().map(|codec| codec.payload_type().to_string()).collect();
    formats.extend(telephone_event.map(|number| number.to_string()));
    let mut text = format!(
        "v=0\r\no=sip-test {session} 1 IN {family} {ip}\r\ns=-\r\nc=IN {family} {ip}\r\nt=0 0\r\n\
         m=audio {port} RTP/AVP {}\r\n",
        formats.join(" ")
    );
    for codec in codecs {
        let (number, name) = (codec.payload_type(), if *codec == Codec::Alaw { "PCMA" } else { "PCMU" });
        text.extend([format!("a=rtpmap:{number} {name}/8000\r\n")]);
    }
    if let Some(number) = telephone_event {
        text.extend([format!("a=rtpmap:{number} telephone-event/8000\r\na=fmtp:{number} 0-15\r\n")]);
    }
    text.push_str("a=ptime:20\r\na=sendrecv\r\n");
    text
}

/// The same description with sealed media.
pub(crate) fn sealed(description: &str, key: &Master) -> String {
    description.replace(" RTP/AVP ", " RTP/SAVP ") + &srtp::attribute(key) + "\r\n"
}

/// What our description says about the two ways of the sound.
///
/// * `send`, `receive` — whether we do.
pub(crate) fn directed(description: &str, send: bool, receive: bool) -> String {
    let direction = match (send, receive) {
        (true, true) => return description.into(),
        (true, false) => "sendonly",
        (false, true) => "recvonly",
        (false, false) => "inactive",
    };
    description.replace("a=sendrecv", &format!("a={direction}"))
}

/// The description with another version in its `o=`; the first has 1.
pub(crate) fn versioned(description: &str, version: u32) -> String {
    description.replacen(" 1 IN ", &format!(" {version} IN "), 1)
}

/// Our answer to an offer: as many media lines as it has, in its order, all refused but the audio (RFC 3264 §6).
///
/// * `description` — our own, of what was agreed on.
/// * returns — nothing if the audio is not plain RTP.
pub(crate) fn answer(offer: &str, description: &str) -> Option<String> {
    let (head, audio) = description.split_at(description.find("m=audio ")?);
    let (mut text, mut agreed) = (head.to_owned(), false);
    for line in offer.lines().filter_map(|line| line.trim_end().strip_prefix("m=")).take(16) {
        let [kind, _port, profile, formats] = line.splitn(4, ' ').collect::<Vec<_>>()[..] else { return None };
        if kind == "audio" && !agreed {
            if profile != "RTP/AVP" {
                return None;
            }
            text.push_str(audio);
            agreed = true;
        } else {
            text.extend([format!("m={kind} 0 {profile} {formats}\r\n")]);
        }
    }
    agreed.then_some(text)
}

/// Reads the first audio line of a description.
///
/// * `allowed` — codecs the phone takes; the first of the far side's list that is among them wins.
/// * returns — what is wrong, in words, when no sound can be agreed on.
pub(crate) fn read(text: &str, allowed: &[Codec]) -> Result<FarMedia, String> {
    let mut session_address = None;
    let mut audio: Option<(u16, Vec<u8>)> = None;
    let (mut media_address, mut events, mut in_audio) = (None, None, false);
    let (mut listens, mut speaks) = (true, true);
    let (mut key, mut is_sealed) = (None, false);
    for line in text.lines().map(str::trim_end).take(500) {
        let Some((kind, value)) = line.split_once('=') else { continue };
        if kind == "m" {
            in_audio = audio.is_none() && value.starts_with("audio ");
            if in_audio {
                is_sealed = value.contains(" RTP/SAVP ");
                audio = Some(media_line(value).ok_or_else(|| format!("unreadable line `{line}`"))?);
            }
            continue;
        }
        match kind {
            "c" => {
                let address = value.split_whitespace().nth(2).and_then(|text| text.parse::<IpAddr>().ok());
                if in_audio {
                    media_address = address;
                } else if audio.is_none() {
                    session_address = address;
                }
            }
            "a" if in_audio || audio.is_none() => match value {
                "sendrecv" => (listens, speaks) = (true, true),
                "sendonly" => (listens, speaks) = (false, true),
                "recvonly" => (listens, speaks) = (true, false),
                "inactive" => (listens, speaks) = (false, false),
                _ => {
                    events = events.or_else(|| event_number(value));
                    key = key.or_else(|| srtp::read(value));
                }
            },
            _ => {}
        }
    }
    let (port, formats) = audio.ok_or("no audio line")?;
    if port == 0 {
        return Err("the audio line is refused (port 0)".into());
    }
    let ip = media_address.or(session_address).ok_or("no address (c=)")?;
    let codec = formats
        .iter()
        .find_map(|number| Codec::of_payload_type(*number).filter(|codec| allowed.contains(codec)))
        .ok_or_else(|| format!("no common codec in {formats:?}"))?;
    let telephone_event = events.filter(|number| formats.contains(number));
    Ok(FarMedia {
        address: SocketAddr::new(ip, port),
        codec,
        telephone_event,
        listens: listens && !ip.is_unspecified(),
        speaks,
        key: key.filter(|_| is_sealed),
    })
}

fn media_line(value: &str) -> Option<(u16, Vec<u8>)> {
    let mut words = value.split_whitespace().skip(1);
    let port = words.next()?.parse().ok()?;
    let _profile = words.next()?;
    Some((port, words.filter_map(|word| word.parse().ok()).take(64).collect()))
}

fn event_number(attribute: &str) -> Option<u8> {
    let (number, name) = attribute.strip_prefix("rtpmap:")?.split_once(' ')?;
    name.to_ascii_lowercase().starts_with("telephone-event/8000").then(|| number.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_phone_reads_its_own_description() {
        let at: SocketAddr = "127.0.0.1:4000".parse().unwrap();
        let text = describe(at, 7, &[Codec::Ulaw, Codec::Alaw], Some(96));
        let far = read(&text, &[Codec::Alaw, Codec::Ulaw]).unwrap();
        let mut expected = FarMedia {
            address: at,
            codec: Codec::Ulaw,
            telephone_event: Some(96),
            listens: true,
            speaks: true,
            key: None,
        };
        assert_eq!(far, expected);
        expected.key = Some([9; 30]);
        assert_eq!(read(&sealed(&text, &[9; 30]), &[Codec::Ulaw]).unwrap(), expected);
    }

    #[test]
    fn what_cannot_be_agreed_on_is_said_in_words() {
        let text = |port, list| format!("v=0\r\nc=IN IP4 10.0.0.1\r\nm=audio {port} RTP/AVP {list}\r\na=sendonly\r\n");
        assert!(read(&text(4000, "18"), &[Codec::Alaw]).unwrap_err().contains("no common codec"));
        assert!(read(&text(0, "8"), &[Codec::Alaw]).unwrap_err().contains("port 0"));
        assert!(read("v=0\r\n", &[Codec::Alaw]).unwrap_err().contains("no audio line"));
        assert!(!read(&text(4000, "8"), &[Codec::Alaw]).unwrap().listens, "sendonly does not listen");
    }

    #[test]
    fn an_answer_keeps_the_offers_lines_and_says_which_way_sound_goes() {
        let at: SocketAddr = "127.0.0.1:4000".parse().unwrap();
        let own = versioned(&directed(&describe(at, 7, &[Codec::Alaw], Some(96)), false, true), 3);
        let offer = "v=0\r\nm=video 9 RTP/AVP 31\r\nm=audio 5000 RTP/AVP 8 96\r\nm=audio 6000 RTP/AVP 0\r\n";
        let text = answer(offer, &own).unwrap();
        let lines: Vec<_> = text.lines().filter(|line| line.starts_with("m=") || line.starts_with("o=")).collect();
        let expected = [
            "o=sip-test 7 3 IN IP4 127.0.0.1",
            "m=video 0 RTP/AVP 31",
            "m=audio 4000 RTP/AVP 8 96",
            "m=audio 0 RTP/AVP 0",
        ];
        assert_eq!(lines, expected);
        let far = read(&directed(&describe(at, 7, &[Codec::Alaw], None), false, true), &[Codec::Alaw]).unwrap();
        assert_eq!((far.listens, far.speaks), (true, false));
        assert_eq!(answer("v=0\r\nm=audio 5000 RTP/SAVP 8\r\n", &own), None);
        assert_eq!(answer("v=0\r\nm=video 9 RTP/AVP 31\r\n", &own), None);
    }
}
