//! The recording server's side of SIPREC (RFC 7866, RFC 7865): another switch forks its calls to us.
//!
//! Its INVITE has a body of two parts: the streams of both sides, and metadata that say who speaks in which. Losing a
//! recording is worse than not knowing whose it is: metadata that are missing or cannot be read cost the call its names and
//! nothing else. Only switches that the settings name are listened to, since metadata put words into other people's mouths.

#[cfg(test)]
mod fuzz;
mod metadata;
mod multipart;
mod roles;

use std::sync::Arc;

use rsipstack::sip::{Header, Request, StatusCode};
use tracing::info;

pub use self::{
    metadata::{BadMetadata, Metadata},
    roles::{Parties, Rule, Sides},
};
use super::{
    checks::{self, Refusal},
    network::Networks,
    sdp::{Description, NoCommonCodec, SrtpPolicy},
};

/// The option tag.
pub(super) const SIPREC: &str = "siprec";
/// What a recording server says of itself in Contact.
pub(super) const SERVER: &str = "+sip.srs";
/// What we read.
const ACCEPT: &str = "application/sdp, application/rs-metadata, application/rs-metadata+xml, multipart/mixed";

/// Who may fork calls to us, and how their people are known.
#[derive(Clone, Debug, Default)]
pub struct Forks {
    /// Those who may. Empty: nobody.
    pub sources: Networks,
    /// Extensions of seats; `8???` stands for four digits that begin with 8.
    pub seats: Vec<String>,
}

/// What one message says.
#[derive(Debug, Default)]
pub(super) struct Said {
    pub(super) offer: Option<Description>,
    /// Nothing if it has no metadata.
    metadata: Option<Result<Metadata, BadMetadata>>,
}

/// What the switch has said so far.
#[derive(Debug)]
pub(super) struct Story {
    rule: Arc<Rule>,
    srtp: SrtpPolicy,
    metadata: Option<Metadata>,
    parties: Parties,
}

impl Forks {
    pub fn is_on(&self) -> bool {
        !self.sources.is_empty()
    }
}

/// Whether an INVITE forks a call: it requires the extension, or its Contact is a recording client's.
pub(super) fn asks(request: &Request) -> bool {
    let client = |value: &str| value.split([';', ',']).any(|it| it.trim().to_ascii_lowercase().starts_with("+sip.src"));
    request.headers.iter().any(|header| match header {
        Header::Require(value) => checks::names(value.value(), SIPREC),
        Header::Contact(value) => client(value.value()),
        _ => false,
    })
}

/// Reads a body: 415 for what is neither streams nor metadata, 400 for what cannot be taken apart.
pub(super) fn read(request: &Request) -> Result<Said, Refusal> {
    let mut said = Said::default();
    if request.body.is_empty() {
        return Ok(said);
    }
    checks::encoding(request)?;
    let wrong = |error: &dyn std::fmt::Display| {
        Refusal(StatusCode::BadRequest, vec![Header::Warning(format!("399 hotline \"{error}\"").into())])
    };
    let whole = request.headers.iter().find_map(|header| match header {
        Header::ContentType(value) => Some(value.value()),
        _ => None,
    });
    let kind = checks::content_type(request).unwrap_or_default();
    let parts = if kind == "multipart/mixed" {
        multipart::parts(whole.unwrap_or_default(), &request.body).map_err(|error| wrong(&error))?
    } else {
        vec![multipart::Part { kind, body: &request.body }]
    };
    let mut known = false;
    for part in parts {
        match part.kind.as_str() {
            "application/sdp" if said.offer.is_none() => {
                known = true;
                said.offer = Some(Description::parse(part.body).map_err(|error| wrong(&error))?);
            }
            "application/rs-metadata+xml" | "application/rs-metadata" if said.metadata.is_none() => {
                known = true;
                said.metadata = Some(Metadata::parse(part.body));
            }
            // A proxy's part, a picture of the caller: nothing of ours.
            _ => {}
        }
    }
    if known { Ok(said) } else { Err(Refusal(StatusCode::UnsupportedMediaType, vec![accept()])) }
}

/// `Accept` as a recording server sends it.
pub(super) fn accept() -> Header {
    Header::Accept(ACCEPT.into())
}

/// The offer of a first INVITE: a recording client has to make one (RFC 7866 §7.1.1).
pub(super) fn first_offer(said: &Said, srtp: SrtpPolicy) -> Result<&Description, Refusal> {
    let Some(offer) = &said.offer else {
        let warning = Header::Warning("399 hotline \"a forked call needs an offer\"".into());
        return Err(Refusal(StatusCode::BadRequest, vec![warning]));
    };
    if offer.usable(srtp).is_empty() {
        let warning = Header::Warning(format!("305 hotline \"{NoCommonCodec}\"").into());
        return Err(Refusal(StatusCode::NotAcceptableHere, vec![warning]));
    }
    Ok(offer)
}

impl Said {
    /// What a request says in a call that nobody forks.
    pub(super) fn plain(offer: Option<Description>) -> Self {
        Self { offer, metadata: None }
    }

    /// What a log line says about the metadata.
    fn trouble(&self) -> Option<String> {
        match &self.metadata {
            None => Some("the switch sent no metadata".into()),
            Some(Err(error)) => Some(error.to_string()),
            Some(Ok(_)) => None,
        }
    }
}

impl Story {
    /// Begins with the first INVITE.
    pub(super) fn begin(rule: Arc<Rule>, srtp: SrtpPolicy, said: &Said) -> Self {
        let mut this = Self { rule, srtp, metadata: None, parties: Parties::default() };
        if let Some(trouble) = said.trouble() {
            metrics::counter!("hotline_siprec_untold_total").increment(1);
            info!(trouble, "a forked call does not say who speaks; it is recorded all the same");
        }
        this.take(said);
        this
    }

    /// Takes what a message says. Metadata that cannot be read change nothing.
    ///
    /// * returns — whether more is known of the parties now.
    pub(super) fn take(&mut self, said: &Said) -> bool {
        let metadata = match &said.metadata {
            None => return false,
            Some(Ok(metadata)) => metadata.clone(),
            Some(Err(error)) => {
                metrics::counter!("hotline_siprec_unreadable_total").increment(1);
                info!(%error, "metadata of a forked call were left out");
                return false;
            }
        };
        let known = self.metadata.get_or_insert_default();
        known.update(metadata);
        let before = self.parties.clone();
        self.parties.add(self.rule.parties(known));
        self.parties != before
    }

    pub(super) fn parties(&self) -> &Parties {
        &self.parties
    }

    /// Gives each side a stream of their offer.
    pub(super) fn sides(&self, offer: &Description, before: Sides<usize>) -> Sides<usize> {
        self.rule.sides(self.metadata.as_ref(), &offer.usable(self.srtp), before)
    }
}
