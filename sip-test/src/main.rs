//! `sip-test`: the phone on the command line. Exit codes: 0 done, 1 failed, 2 wrong use.

mod cli;

use std::{path::PathBuf, process::ExitCode, time::Duration};

use clap::{Args, Parser, Subcommand, ValueEnum};
use sip_test::{
    CallReport, CallSpec, EndedBy, PhoneError,
    audio::{self, Codec, Side},
};

/// A test phone for SIP lines.
///
/// It dials, says what stands in a WAV file, writes down what it hears, presses keys and hangs up. It shares no code
/// with the server it calls, so it is a second opinion on every message. Sound is 8 kHz, 16 bit PCM; of a stereo file
/// one channel is played. A call ends by itself: with the file, after --seconds, or when the far side hangs up.
///
/// Example: sip-test call --to sip:12345@127.0.0.1:5060 --play call.wav --record heard.wav --from 13806352219
#[derive(Debug, Parser)]
#[command(name = "sip-test", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Makes one call.
    Call(Call),
    Load(cli::load::Load),
    Misbehave(cli::misbehave::Misbehave),
    Fuzz(cli::fuzz::Fuzz),
    Siprec(cli::siprec::Siprec),
    Torture(cli::torture::Torture),
    Seat(cli::seat::Seat),
    Register(cli::seat::Register),
    /// Asks with OPTIONS whether anybody is there.
    Options {
        /// For instance sip:12345@127.0.0.1:5060.
        uri: String,
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "four flags of a command")]
struct Call {
    /// Whom to call, for instance sip:12345@127.0.0.1:5060.
    #[arg(long)]
    to: String,
    /// WAV file to play; nothing is said without one.
    #[arg(long)]
    play: Option<PathBuf>,
    /// Milliseconds of silence before it, sent as packets.
    #[arg(long, default_value = "0", value_parser = clap::value_parser!(u64).range(0..=600_000))]
    lead_in: u64,
    /// Channel of a stereo file.
    #[arg(long, value_enum, default_value = "left")]
    channel: Channel,
    /// WAV file for what is heard; begins with the answer.
    #[arg(long)]
    record: Option<PathBuf>,
    /// Our own number.
    #[arg(long, default_value = "13800000000")]
    from: String,
    /// Keys to press: 0-9 * # A-D.
    #[arg(long, default_value = "")]
    dtmf: String,
    /// Offers this codec alone.
    #[arg(long, value_enum)]
    codec: Option<Law>,
    /// Hangs up this long after the answer; silence follows the file.
    #[arg(long, value_parser = clap::value_parser!(u64).range(0..=7200))]
    seconds: Option<u64>,
    /// Offers nothing and answers the far offer in the ACK.
    #[arg(long)]
    no_sdp: bool,
    /// Over TCP.
    #[arg(long)]
    tcp: bool,
    /// Sealed media alone: SRTP with keys in the offer.
    #[arg(long)]
    srtp: bool,
    /// Prints the report as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Channel {
    Left,
    Right,
}

impl Channel {
    fn side(self) -> Side {
        match self {
            Self::Left => Side::Left,
            Self::Right => Side::Right,
        }
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Law {
    Alaw,
    Ulaw,
}

impl Law {
    fn codec(self) -> Codec {
        match self {
            Self::Alaw => Codec::Alaw,
            Self::Ulaw => Codec::Ulaw,
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Call(order) => make_call(order).await,
        Command::Load(order) => order.run().await,
        Command::Misbehave(order) => order.run().await,
        Command::Fuzz(order) => order.run().await,
        Command::Siprec(order) => order.run().await,
        Command::Torture(order) => order.run().await,
        Command::Seat(order) => order.run().await,
        Command::Register(order) => order.run().await,
        Command::Options { uri, json } => sip_test::options(&uri).await.map(|report| {
            if json {
                print(&serde_json::json!(report).to_string());
            } else {
                print(&format!("{} after {} ms", report.status, report.took_ms));
            }
            report.status == 200
        }),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            complain(&error);
            ExitCode::from(if error.is_wrong_use() { 2 } else { 1 })
        }
    }
}

async fn make_call(order: Call) -> Result<bool, PhoneError> {
    let mut spec = CallSpec::new(address(order.to, order.tcp));
    if let Some(path) = &order.play {
        spec.play = audio::read(path, order.channel.side())?;
        spec.lead_in = Duration::from_millis(order.lead_in);
    }
    spec.from = order.from;
    spec.record = order.record;
    spec.keys = order.dtmf;
    spec.codec = order.codec.map(Law::codec);
    spec.hang_up_after = order.seconds.map(Duration::from_secs);
    spec.no_sdp = order.no_sdp;
    spec.srtp = order.srtp;
    let report = sip_test::call(spec).await?;
    print(&if order.json { serde_json::json!(report).to_string() } else { in_words(&report) });
    Ok(report.ended_by != EndedBy::Refused)
}

/// The address that also says over what.
fn address(to: String, tcp: bool) -> String {
    if tcp { to + ";transport=tcp" } else { to }
}

fn in_words(report: &CallReport) -> String {
    let end = match report.ended_by {
        EndedBy::Phone => "hung up here",
        EndedBy::Far => "hung up by the far side",
        EndedBy::Refused => return format!("refused after {} ms: {}", report.setup_ms, report.reason),
        EndedBy::Cancelled => return format!("cancelled: {}", report.reason),
    };
    format!(
        "answered after {} ms, {end} after {:.2} s; {} packets sent, {} received{}{}",
        report.setup_ms,
        Duration::from_millis(report.duration_ms).as_secs_f64(),
        report.packets_sent,
        report.packets_received,
        if report.keys_heard.is_empty() { String::new() } else { format!("; heard keys {}", report.keys_heard) },
        report.recorded.as_ref().map(|path| format!("; heard: {}", path.display())).unwrap_or_default(),
    )
}

#[expect(clippy::print_stdout, reason = "the answer of the command")]
fn print(text: &str) {
    println!("{text}");
}

#[expect(clippy::print_stderr, reason = "the last word of a command goes to standard error")]
fn complain(error: &PhoneError) {
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}")).unwrap_or_default();
    eprintln!("sip-test: {error}{cause}");
}
