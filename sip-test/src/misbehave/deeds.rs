//! Each misdeed as a short story. `Ok` is what a correct server does.

use std::{collections::BTreeSet, time::Duration};

use tokio::time::{Instant, sleep};

use super::{
    Misdeed,
    rascal::{FIRST, PATIENCE, Rascal, stranger},
};
use crate::{
    PhoneError, options,
    phone::resolve,
    sip::{Message, branch, token},
    transport::Transport,
};

/// A call that says nothing is over by then: 30 s of silence or 32 s without ACK, and some more.
const HELD: Duration = Duration::from_secs(45);

/// Why a misdeed did not end as it should.
pub(super) enum Wrong {
    /// This came instead.
    Came(String),
    Phone(PhoneError),
}

impl From<PhoneError> for Wrong {
    fn from(error: PhoneError) -> Self {
        Self::Phone(error)
    }
}

type Story = Result<String, Wrong>;

pub(super) async fn perform(deed: Misdeed, to: &str) -> Story {
    match deed {
        Misdeed::DropAck => drop_ack(to).await,
        Misdeed::LateAck => late_ack(to).await,
        Misdeed::EarlyBye => early_bye(to).await,
        Misdeed::LateBye => late_bye(to).await,
        Misdeed::ByeTwice => bye_twice(to).await,
        Misdeed::CancelRace => cancel_race(to).await,
        Misdeed::WrongTags => wrong_tags(to).await,
        Misdeed::OldCseq => old_cseq(to).await,
        Misdeed::Merged => merged(to).await,
        Misdeed::RetransmitStorm => retransmit_storm(to).await,
        Misdeed::UnknownMethod => unknown_method(to).await,
        Misdeed::NoMedia => no_media(to).await,
        Misdeed::RtpFromElsewhere => rtp_from_elsewhere(to).await,
        Misdeed::SsrcChange => ssrc_change(to).await,
        Misdeed::GiantMessage => giant_message(to).await,
        Misdeed::HalfMessage => in_pieces(to, 2, Duration::from_millis(300)).await,
        Misdeed::SlowMessage => in_pieces(to, usize::MAX, Duration::from_millis(5)).await,
    }
}

async fn drop_ack(to: &str) -> Story {
    let mut phone = answered(to).await?;
    let (mut repeats, until) = (0, Instant::now() + HELD);
    while let Some(message) = phone.hear(until).await {
        repeats += u32::from(message.status == Some(200) && message.cseq() == Some((FIRST, "INVITE")));
        if phone.byes > 0 {
            break;
        }
    }
    let came = format!("the 200 {repeats} times more, {} BYE", phone.byes);
    judge(repeats >= 4 && phone.byes == 1, came)
}

async fn late_ack(to: &str) -> Story {
    let mut phone = answered(to).await?;
    for _ in 0..2 {
        let again = phone.wait(PATIENCE, is_final_of_invite).await;
        ok(again.is_some(), "no second or third 200")?;
    }
    let ack = phone.acknowledgement();
    send(&mut phone, &ack).await?;
    // One may have crossed the ACK; the next would come within 4 s.
    phone.pass(Duration::from_millis(250)).await;
    let after = phone.wait(Duration::from_secs(5), is_final_of_invite).await;
    ok(after.is_none(), "the 200 again after the ACK")?;
    hang_up(phone, "no 200 after the ACK").await
}

async fn early_bye(to: &str) -> Story {
    let mut phone = Rascal::open(to).await?;
    let invite = phone.invite()?;
    send(&mut phone, &invite).await?;
    let tagged =
        phone.wait(PATIENCE, |it| it.status > Some(100) && it.header("To").is_some_and(|to| to.contains(";tag=")));
    let Some(first) = tagged.await else { return wrong("no answer with a To tag") };
    let early = first.status < Some(200);
    phone.dialog.confirm(&first);
    let bye = phone.next("BYE");
    send(&mut phone, &bye).await?;
    let (mut to_bye, mut to_invite) = (None, (!early).then_some(200));
    let until = Instant::now() + PATIENCE;
    while (to_bye.is_none() || to_invite.is_none())
        && let Some(message) = phone.hear(until).await
    {
        match message.cseq() {
            Some((_, "BYE")) if message.status.is_some() => to_bye = message.status,
            Some((_, "INVITE")) if message.status >= Some(300) => {
                to_invite = message.status;
                phone.acknowledge_refusal(&message).await;
            }
            Some((_, "INVITE")) if message.status == Some(200) => to_invite = Some(200),
            _ => {}
        }
    }
    if to_invite == Some(200) {
        let ack = phone.acknowledgement();
        send(&mut phone, &ack).await?;
    }
    let second = phone.next("BYE");
    let after = status(phone.ask(&second).await.as_ref());
    let came = format!(
        "{} to a BYE {}, {} to the INVITE, then {after}",
        in_words(to_bye),
        if early { "while it rang" } else { "before the ACK" },
        in_words(to_invite)
    );
    judge(to_bye == Some(200) && matches!(to_invite, Some(200 | 487)) && after == "481", came)
}

async fn late_bye(to: &str) -> Story {
    let mut phone = call(to).await?;
    phone.pass(Duration::from_secs(1)).await;
    phone.polite = false;
    if let Some(voice) = &mut phone.voice {
        voice.speaks = false;
    }
    let theirs = phone.wait(HELD, |it| it.method.as_deref() == Some("BYE")).await;
    phone.pass(Duration::from_secs(1)).await;
    let bye = phone.next("BYE");
    let answer = status(phone.ask(&bye).await.as_ref());
    let since = if theirs.is_some() { "after its own BYE" } else { "after 45 s of silence" };
    judge(answer == "200" || answer == "481", format!("{answer} {since}"))
}

async fn bye_twice(to: &str) -> Story {
    let mut phone = call(to).await?;
    let mut answers = Vec::new();
    for _ in 0..2 {
        let bye = phone.next("BYE");
        answers.push(status(phone.ask(&bye).await.as_ref()));
    }
    judge(answers == ["200", "481"], answers.join(", then "))
}

async fn cancel_race(to: &str) -> Story {
    let (mut given_up, mut crossed) = (0, 0);
    for wait in [0, 1, 2, 5, 10, 20, 50, 100] {
        let mut phone = Rascal::open(to).await?;
        let invite = phone.invite()?;
        send(&mut phone, &invite).await?;
        sleep(Duration::from_millis(wait)).await;
        let cancel = phone.dialog.request("CANCEL", FIRST, &phone.branch, &[], "");
        send(&mut phone, &cancel).await?;
        let (mut to_cancel, mut to_invite) = (None, None);
        let until = Instant::now() + PATIENCE;
        while (to_cancel.is_none() || to_invite.is_none())
            && let Some(message) = phone.hear(until).await
        {
            match message.cseq() {
                Some((_, "CANCEL")) => to_cancel = message.status,
                Some((_, "INVITE")) if message.status >= Some(200) => to_invite = Some(message),
                _ => {}
            }
        }
        let to_cancel = in_words(to_cancel);
        let place = format!("with CANCEL after {wait} ms: {to_cancel} to it");
        ok(to_cancel == "200" || to_cancel == "481", &place)?;
        match to_invite {
            Some(refusal) if refusal.status == Some(487) => {
                phone.acknowledge_refusal(&refusal).await;
                given_up += 1;
            }
            Some(answer) if answer.status == Some(200) => {
                take(&mut phone, &answer)?;
                let ack = phone.acknowledgement();
                send(&mut phone, &ack).await?;
                hang_up(phone, "").await?;
                crossed += 1;
            }
            other => return wrong(format!("{place}, {} to the INVITE", status(other.as_ref()))),
        }
    }
    Ok(format!("487 to {given_up}, a crossing 200 to {crossed}"))
}

async fn wrong_tags(to: &str) -> Story {
    let mut phone = call(to).await?;
    let mut answers = Vec::new();
    for theirs in [true, false] {
        let mut dialog = phone.dialog.clone();
        let header = if theirs { &mut dialog.to } else { &mut dialog.from };
        let cut = header.rfind(";tag=").unwrap_or(header.len());
        header.truncate(cut);
        header.extend([";tag=", &token()]);
        let bye = dialog.request("BYE", phone.cseq + 1, &branch(), &[], "");
        answers.push(status(phone.ask(&bye).await.as_ref()));
    }
    ok(answers == ["481", "481"], &answers.join(" and "))?;
    hang_up(phone, "481 to both").await
}

async fn old_cseq(to: &str) -> Story {
    let mut phone = call(to).await?;
    let old = phone.dialog.request("OPTIONS", FIRST / 2, &branch(), &[], "");
    let answer = status(phone.ask(&old).await.as_ref());
    ok(answer == "500", &answer)?;
    hang_up(phone, "500").await
}

async fn merged(to: &str) -> Story {
    let mut phone = Rascal::open(to).await?;
    let invite = phone.invite()?;
    let second = branch();
    let again = invite.replace(&phone.branch, &second);
    send(&mut phone, &invite).await?;
    send(&mut phone, &again).await?;
    let (mut taken, mut refused) = (None, None);
    let until = Instant::now() + PATIENCE;
    while (taken.is_none() || refused.is_none())
        && let Some(message) = phone.hear(until).await
    {
        match message.status {
            Some(200) => taken = Some(message),
            Some(status @ 300..) => {
                let mut twin = phone.dialog.clone();
                twin.to = message.header("To").unwrap_or_default().into();
                let ack = twin.request("ACK", FIRST, message.branch().unwrap_or_default(), &[], "");
                send(&mut phone, &ack).await?;
                refused = Some(status);
            }
            _ => {}
        }
    }
    let came = format!("{} to one, {} to the other", status(taken.as_ref()), in_words(refused));
    let Some(answer) = taken.filter(|_| refused == Some(482)) else { return wrong(came) };
    take(&mut phone, &answer)?;
    let ack = phone.acknowledgement();
    send(&mut phone, &ack).await?;
    hang_up(phone, &came).await
}

async fn retransmit_storm(to: &str) -> Story {
    let mut phone = Rascal::open(to).await?;
    let invite = phone.invite()?;
    for _ in 0..200 {
        send(&mut phone, &invite).await?;
    }
    let mut tags = BTreeSet::new();
    let (mut answer, mut until) = (None, Instant::now() + PATIENCE);
    while let Some(message) = phone.hear(until).await {
        let Some(status) = message.status else { continue };
        ok(status <= 200, &format!("{status} to the INVITE"))?;
        tags.extend(message.header("To").and_then(|to| to.split_once(";tag=")).map(|(_, tag)| tag.to_owned()));
        if status == 200 && answer.is_none() {
            take(&mut phone, &message)?;
            answer = Some(message);
            let ack = phone.acknowledgement();
            send(&mut phone, &ack).await?;
            for _ in 0..50 {
                send(&mut phone, &invite).await?;
            }
            until = Instant::now() + Duration::from_secs(1);
        }
    }
    ok(answer.is_some() && tags.len() == 1, &format!("{} calls of one INVITE", tags.len()))?;
    let bye = phone.next("BYE");
    for _ in 0..99 {
        send(&mut phone, &bye).await?;
    }
    let first = status(phone.ask(&bye).await.as_ref());
    ok(first == "200", &format!("{first} to the BYE"))?;
    let other = phone.wait(Duration::from_secs(1), |it| {
        it.status.is_some_and(|status| status != 200) && it.cseq().is_some_and(|(_, method)| method == "BYE")
    });
    if let Some(other) = other.await {
        return wrong(format!("200, then {} to the same BYE", other.start));
    }
    alive(to, "one call, 200 to its BYE").await
}

async fn unknown_method(to: &str) -> Story {
    let mut phone = Rascal::open(to).await?;
    let dance = phone.dialog.request("DANCE", 1, &branch(), &[], "");
    let outside = status(phone.ask(&dance).await.as_ref());
    ok(outside == "501" || outside == "405", &format!("{outside} outside a call"))?;
    let mut phone = call(to).await?;
    let dance = phone.next("DANCE");
    let inside = status(phone.ask(&dance).await.as_ref());
    ok(inside == "501" || inside == "405", &format!("{inside} in a call"))?;
    hang_up(phone, &format!("{outside} outside, {inside} in a call")).await
}

async fn no_media(to: &str) -> Story {
    let mut phone = call(to).await?;
    if let Some(voice) = &mut phone.voice {
        voice.speaks = false;
    }
    let began = Instant::now();
    let bye = phone.wait(HELD, |it| it.method.as_deref() == Some("BYE")).await;
    let came = format!("{} packets of sound, ", phone.heard);
    if bye.is_none() {
        hang_up(phone, "").await?;
        return wrong(came + "no BYE within 45 s");
    }
    judge(phone.heard > 0, format!("{came}BYE after {} s", began.elapsed().as_secs()))
}

async fn rtp_from_elsewhere(to: &str) -> Story {
    let mut phone = call(to).await?;
    phone.pass(Duration::from_secs(1)).await;
    let Some(far) = phone.voice.as_ref().map(|voice| voice.far.clone()) else { return wrong("no sound agreed on") };
    let (before, local) = (phone.heard, phone.dialog.local);
    let intruder = tokio::spawn(async move { stranger(local, &far, 150).await });
    phone.pass(Duration::from_secs(4)).await;
    let stolen = intruder.await.ok().and_then(Result::ok);
    let heard = phone.heard - before;
    let came = format!("{heard} packets to the phone, {} to the stranger", stolen.unwrap_or(0));
    ok(stolen == Some(0) && heard > 100, &came)?;
    hang_up(phone, &came).await
}

async fn ssrc_change(to: &str) -> Story {
    let mut phone = call(to).await?;
    phone.pass(Duration::from_secs(1)).await;
    let mut heard = Vec::new();
    for _ in 0..3 {
        if let Some(voice) = &mut phone.voice {
            (voice.ssrc, voice.sequence, voice.timestamp) = (fastrand::u32(..), fastrand::u16(..), fastrand::u32(..));
        }
        let before = phone.heard;
        phone.pass(Duration::from_secs(1)).await;
        heard.push(phone.heard - before);
    }
    let came = format!("{heard:?} packets after each change");
    ok(heard.iter().all(|packets| *packets > 20), &came)?;
    hang_up(phone, &came).await
}

async fn giant_message(to: &str) -> Story {
    let mut phone = Rascal::open(to).await?;
    let size = if phone.is_tcp() { 2_000_000 } else { 60_000 };
    let giant = phone.invite()?.replacen("User-Agent:", &format!("X-Giant: {}\r\nUser-Agent:", "g".repeat(size)), 1);
    // The connection may be closed before all of it is sent.
    let _ = phone.send(&giant).await;
    let answer = phone.wait(Duration::from_secs(2), |it| it.status >= Some(200)).await;
    if let Some(answer) = &answer {
        phone.acknowledge_refusal(answer).await;
    }
    let came = answer.as_ref().map_or("silence".to_owned(), |answer| answer.start.clone());
    ok(answer.is_none_or(|answer| answer.status >= Some(400)), &came)?;
    alive(to, &came).await
}

/// An OPTIONS over TCP, cut into pieces that are sent one after the other.
async fn in_pieces(to: &str, pieces: usize, pause: Duration) -> Story {
    let far = resolve(to).await?;
    let unreachable = |source| Wrong::Phone(PhoneError::Unreachable { far, source });
    let mut stream = Transport::open(far, true).await?;
    let phone = Rascal::open(to).await?;
    let request = phone.dialog.request("OPTIONS", 1, &branch(), &[], "");
    let size = request.len().div_ceil(pieces.min(request.len()));
    for (index, piece) in request.as_bytes().chunks(size).enumerate() {
        if let Err(error) = stream.send(piece).await {
            return wrong(format!("the connection was closed after {} bytes: {error}", index * size));
        }
        if index == 0 {
            let beside = options(to).await?.status;
            ok(beside == 200, &format!("{beside} to an OPTIONS beside it"))?;
        }
        sleep(pause).await;
    }
    let answer = tokio::time::timeout(PATIENCE, stream.receive()).await;
    let Ok(bytes) = answer else { return wrong("no answer to it once it was whole") };
    let message = Message::parse(&bytes.map_err(unreachable)?).map_err(Wrong::Came)?;
    judge(message.status == Some(200), format!("200 beside it, {} to it", message.start))
}

// ---- pieces of stories

/// A call with its 200, not acknowledged.
async fn answered(to: &str) -> Result<Rascal, Wrong> {
    let mut phone = Rascal::open(to).await?;
    let invite = phone.invite()?;
    let Some(answer) = phone.ask(&invite).await else { return Err(Wrong::Came("no answer to the INVITE".into())) };
    if answer.status != Some(200) {
        phone.acknowledge_refusal(&answer).await;
        return Err(Wrong::Came(format!("{} to a plain INVITE", answer.start)));
    }
    take(&mut phone, &answer)?;
    Ok(phone)
}

/// A call as it should be.
async fn call(to: &str) -> Result<Rascal, Wrong> {
    let mut phone = answered(to).await?;
    let ack = phone.acknowledgement();
    send(&mut phone, &ack).await?;
    Ok(phone)
}

/// The call went on as it should if this BYE is answered with 200.
async fn hang_up(mut phone: Rascal, came: &str) -> Story {
    let bye = phone.next("BYE");
    let answer = status(phone.ask(&bye).await.as_ref());
    judge(
        answer == "200" && phone.byes == 0,
        format!("{came}; then {answer} to the BYE, {} BYE of its own", phone.byes),
    )
}

async fn alive(to: &str, came: &str) -> Story {
    let answer = options(to).await?.status;
    judge(answer == 200, format!("{came}; {answer} to the OPTIONS after it"))
}

fn take(phone: &mut Rascal, answer: &Message) -> Result<(), Wrong> {
    phone.take(answer).map_err(|problem| Wrong::Came(format!("an answer that cannot be used: {problem}")))
}

async fn send(phone: &mut Rascal, text: &str) -> Result<(), Wrong> {
    phone.send(text).await.map_err(|error| Wrong::Came(format!("the connection was closed: {error}")))
}

fn is_final_of_invite(message: &Message) -> bool {
    message.status >= Some(200) && message.cseq().is_some_and(|(_, method)| method == "INVITE")
}

fn status(answer: Option<&Message>) -> String {
    in_words(answer.and_then(|answer| answer.status))
}

fn in_words(status: Option<u16>) -> String {
    status.map_or("no answer".into(), |status| status.to_string())
}

fn ok(good: bool, came: &str) -> Result<(), Wrong> {
    if good { Ok(()) } else { Err(Wrong::Came(came.into())) }
}

fn judge(good: bool, came: String) -> Story {
    if good { Ok(came) } else { Err(Wrong::Came(came)) }
}

fn wrong(came: impl Into<String>) -> Story {
    Err(Wrong::Came(came.into()))
}
