//! `sip-test siprec`.

use std::{path::PathBuf, time::Duration};

use clap::{Args, ValueEnum};
use sip_test::{EndedBy, ForkReport, ForkSpec, PhoneError, Telling, audio};

use crate::{address, print};

/// Forks a call to a recording server, as a switch with SIPREC does (RFC 7866).
///
/// The left channel of a stereo WAV file is sent as the caller's stream, the right one as the seat's; metadata say who is
/// who. Nothing is heard. Exit code 0 if the server took both streams and the call ended as it should.
///
/// Example: sip-test siprec --to sip:recorder@127.0.0.1:5060 --play tests/calls/s01.wav --caller 13806352219 --seat 8001
#[derive(Debug, Args)]
pub(crate) struct Siprec {
    /// The recording server, for instance sip:recorder@127.0.0.1:5060.
    #[arg(long)]
    to: String,
    /// Stereo WAV file: left the caller, right the seat.
    #[arg(long)]
    play: PathBuf,
    /// The caller's number in the metadata.
    #[arg(long, default_value = "13800000000")]
    caller: String,
    /// The seat's extension in the metadata.
    #[arg(long, default_value = "8001")]
    seat: String,
    /// What is said about who speaks.
    #[arg(long, value_enum, default_value = "whole")]
    metadata: Said,
    /// Offers the seat's stream first.
    #[arg(long)]
    seat_first: bool,
    /// Hangs up this long after the answer; silence follows the file.
    #[arg(long, value_parser = clap::value_parser!(u64).range(0..=7200))]
    seconds: Option<u64>,
    /// Over TCP.
    #[arg(long)]
    tcp: bool,
    /// Prints the report as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Said {
    /// Everything, in the INVITE.
    Whole,
    /// Everything, by UPDATE after the answer.
    Late,
    Nothing,
    /// Something that is no XML.
    Broken,
}

impl Siprec {
    pub(crate) async fn run(self) -> Result<bool, PhoneError> {
        let (caller_says, seat_says) = audio::read_both(&self.play)?;
        let spec = ForkSpec {
            caller: self.caller,
            seat: self.seat,
            caller_says,
            seat_says,
            telling: match self.metadata {
                Said::Whole => Telling::Whole,
                Said::Late => Telling::Late,
                Said::Nothing => Telling::Nothing,
                Said::Broken => Telling::Broken,
            },
            seat_first: self.seat_first,
            hang_up_after: self.seconds.map(Duration::from_secs),
            ..ForkSpec::new(address(self.to, self.tcp))
        };
        let report = sip_test::fork(spec).await?;
        print(&if self.json { serde_json::json!(report).to_string() } else { in_words(&report) });
        Ok(report.ended_by == EndedBy::Phone && report.bye_status == Some(200) && report.taken == [true; 2])
    }
}

fn in_words(report: &ForkReport) -> String {
    let end = match report.ended_by {
        EndedBy::Far => "hung up by the server",
        EndedBy::Phone => "hung up here",
        EndedBy::Refused | EndedBy::Cancelled => {
            return format!("refused after {} ms: {}", report.setup_ms, report.reason);
        }
    };
    let taken = match report.taken {
        [true, true] => "both streams",
        [true, false] => "the caller's stream alone",
        _ => "the seat's stream alone",
    };
    format!(
        "taken after {} ms with {taken}, {end} after {:.2} s; {} packets sent{}{}",
        report.setup_ms,
        Duration::from_millis(report.duration_ms).as_secs_f64(),
        report.packets_sent,
        if report.statuses.is_empty() { String::new() } else { format!("; in mid-call {:?}", report.statuses) },
        if report.is_recorder { "" } else { "; it does NOT say that it is a recorder (+sip.srs)" },
    )
}
