//! `sip-test seat` and `sip-test register`.

use std::{path::PathBuf, str::FromStr, time::Duration};

use clap::{Args, ValueEnum};
use sip_test::{
    EndedBy, PhoneError, audio,
    digest::Algorithm,
    seat::{Behaviour, RegisterReport, Seat as Sitting, SeatCall, SeatSpec, register_only, sit},
};
use tokio::time::timeout;

use crate::{Channel, Law, print};

/// Takes calls as an operator's phone does.
///
/// It registers, prints `registered`, takes the calls that come and prints a report of each, then unregisters. Exit code
/// 1 if the registrar refuses or fewer calls came than wanted. Ctrl-C ends the call and unregisters, too.
///
/// Example: sip-test seat --as sip:8001@127.0.0.1:5060 --secret S --play tests/calls/s01.wav --channel right
#[derive(Debug, Args)]
pub(crate) struct Seat {
    #[command(flatten)]
    who: Who,
    /// WAV file to play in each call; nothing is said without one.
    #[arg(long)]
    play: Option<PathBuf>,
    /// Channel of a stereo file.
    #[arg(long, value_enum, default_value = "left")]
    channel: Channel,
    /// WAV file for what is heard; the second call of F.wav goes to F-2.wav.
    #[arg(long)]
    record: Option<PathBuf>,
    /// Milliseconds from the INVITE to the answer, or to the refusal with --decline.
    #[arg(long, default_value = "0", value_parser = clap::value_parser!(u64).range(0..=600_000))]
    answer_after: u64,
    /// Milliseconds from the answer to the sound.
    #[arg(long, default_value = "0", value_parser = clap::value_parser!(u64).range(0..=600_000))]
    play_after: u64,
    /// Refuses calls with this status, for instance 603.
    #[arg(long, value_parser = clap::value_parser!(u16).range(300..700), conflicts_with_all = ["busy", "ignore"])]
    decline: Option<u16>,
    /// Refuses calls with 486 at once.
    #[arg(long, conflicts_with = "ignore")]
    busy: bool,
    /// Rings and never answers.
    #[arg(long)]
    ignore: bool,
    /// Keys to press: 0-9 * # A-D.
    #[arg(long, default_value = "")]
    dtmf: String,
    /// Takes this codec alone.
    #[arg(long, value_enum)]
    codec: Option<Law>,
    /// Holds the call: seconds after the answer, and for how many, as in 5,3.
    #[arg(long, value_name = "AT,FOR")]
    hold: Option<Pair<u64>>,
    /// Transfers the caller: seconds after the answer, and to whom, as in 5,sip:8002@127.0.0.1.
    #[arg(long, value_name = "AT,URI")]
    refer: Option<Pair<String>>,
    /// Hangs up this long after the answer; else the caller does.
    #[arg(long, value_parser = clap::value_parser!(u64).range(0..=7200))]
    seconds: Option<u64>,
    /// Calls to take, one after another.
    #[arg(long, default_value = "1")]
    calls: usize,
    /// Longest wait for the end of each call, in seconds.
    #[arg(long, default_value = "7200")]
    wait: u64,
}

/// Registers once and prints the status; the binding stays.
///
/// Exit code 0 if the registrar took it. With --expires 0 the binding of this very port is taken back.
#[derive(Debug, Args)]
pub(crate) struct Register {
    #[command(flatten)]
    who: Who,
}

#[derive(Debug, Args)]
struct Who {
    /// Our number at the registrar, for instance sip:8001@127.0.0.1:5060.
    #[arg(long = "as", value_name = "URI")]
    number: String,
    /// Shared with the registrar; the digest proves it.
    #[arg(long)]
    secret: String,
    /// Name for the digest, where it is not the number.
    #[arg(long)]
    user: Option<String>,
    /// Seconds to be registered for.
    #[arg(long, default_value = "300")]
    expires: u64,
    /// Answers a challenge of this algorithm alone; else the first it knows.
    #[arg(long, value_enum)]
    digest: Option<Hash>,
    /// Over TCP.
    #[arg(long)]
    tcp: bool,
    /// Prints one line of JSON for each thing.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Hash {
    Md5,
    #[value(name = "sha-256")]
    Sha256,
}

/// Seconds and something behind a comma.
#[derive(Clone, Debug)]
struct Pair<T>(u64, T);

impl<T: FromStr> FromStr for Pair<T> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let pair = text.split_once(',').and_then(|(at, rest)| Some(Self(at.trim().parse().ok()?, rest.parse().ok()?)));
        pair.ok_or_else(|| "is no number of seconds, a comma, and what follows".into())
    }
}

impl Who {
    fn spec(&self) -> SeatSpec {
        let mut spec = SeatSpec::new(&self.number, &self.secret);
        if let Some(user) = &self.user {
            spec.user.clone_from(user);
        }
        spec.expires = Duration::from_secs(self.expires);
        spec.algorithm = self.digest.map(|hash| match hash {
            Hash::Md5 => Algorithm::Md5,
            Hash::Sha256 => Algorithm::Sha256,
        });
        spec.tcp |= self.tcp;
        spec
    }
}

impl Register {
    pub(crate) async fn run(self) -> Result<bool, PhoneError> {
        let report = register_only(self.who.spec()).await?;
        print(&if self.who.json { serde_json::json!(report).to_string() } else { in_words(&report) });
        Ok(report.is_accepted())
    }
}

impl Seat {
    pub(crate) async fn run(self) -> Result<bool, PhoneError> {
        let seat = sit(self.spec()?).await?;
        print(&if self.who.json {
            serde_json::json!({ "registered": seat.registration() }).to_string()
        } else {
            "registered".into()
        });
        self.serve(seat).await
    }

    /// Takes the calls, then leaves.
    async fn serve(&self, mut seat: Sitting) -> Result<bool, PhoneError> {
        let mut taken = 0;
        while taken < self.calls {
            let call = tokio::select! {
                call = timeout(Duration::from_secs(self.wait), seat.next_call()) => call.ok().flatten(),
                _ = tokio::signal::ctrl_c() => None,
            };
            let Some(call) = call else { break };
            print(&if self.who.json { serde_json::json!(call).to_string() } else { told(&call) });
            taken += 1;
        }
        let left = seat.unregister().await?;
        Ok(taken == self.calls && left.is_none_or(|report| report.is_accepted()))
    }

    fn spec(&self) -> Result<SeatSpec, PhoneError> {
        let mut spec = self.who.spec();
        if let Some(path) = &self.play {
            spec.play = audio::read(path, self.channel.side())?;
        }
        spec.record.clone_from(&self.record);
        spec.answer_after = Duration::from_millis(self.answer_after);
        spec.start_playing = Duration::from_millis(self.play_after);
        spec.behaviour = match (self.decline, self.busy, self.ignore) {
            (Some(status), ..) => Behaviour::Decline(status),
            (None, true, _) => Behaviour::Busy,
            (None, false, true) => Behaviour::Ignore,
            (None, false, false) => Behaviour::Answer,
        };
        spec.keys.clone_from(&self.dtmf);
        spec.codec = self.codec.map(Law::codec);
        spec.hold = self.hold.as_ref().map(|Pair(at, length)| (Duration::from_secs(*at), Duration::from_secs(*length)));
        spec.refer = self.refer.as_ref().map(|Pair(at, target)| (Duration::from_secs(*at), target.clone()));
        spec.hang_up_after = self.seconds.map(Duration::from_secs);
        Ok(spec)
    }
}

fn in_words(report: &RegisterReport) -> String {
    let challenges: Vec<_> = report.challenges.iter().map(|challenge| challenge.algorithm.as_str()).collect();
    format!(
        "{} after {} ms{}{}{}",
        if report.reason.is_empty() { "no answer" } else { &report.reason },
        report.took_ms,
        if challenges.is_empty() { String::new() } else { format!("; challenged by {}", challenges.join(", ")) },
        report.expires.map(|seconds| format!("; good for {seconds} s")).unwrap_or_default(),
        if report.contacts.is_empty() { String::new() } else { format!("; bound: {}", report.contacts.join(", ")) },
    )
}

fn told(call: &SeatCall) -> String {
    let Some(answered) = call.answered_ms else {
        let how = if call.ended_by == EndedBy::Cancelled { "given up by the caller" } else { "refused" };
        return format!("call from {}: {how} after {} ms, {}", call.from, call.duration_ms, call.status);
    };
    let end = if call.ended_by == EndedBy::Far { "hung up by the far side" } else { "hung up here" };
    format!(
        "call from {}: answered after {answered} ms, {end} after {:.2} s; {} packets sent, {} heard, {} lost{}{}{}{}",
        call.from,
        Duration::from_millis(call.duration_ms).as_secs_f64(),
        call.packets_sent,
        call.packets_heard,
        call.packets_lost,
        if call.keys_heard.is_empty() { String::new() } else { format!("; heard keys {}", call.keys_heard) },
        call.refer_status.map(|status| format!("; REFER got {status}, then {:?}", call.transfer)).unwrap_or_default(),
        call.recorded.as_ref().map(|path| format!("; heard: {}", path.display())).unwrap_or_default(),
        call.problem.as_ref().map(|problem| format!("; {problem}")).unwrap_or_default(),
    )
}
