//! One refresh of a session by us (RFC 4028 §7.4): by UPDATE, else by a re-INVITE that changes nothing.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use rsipstack::sip::{
    Header, Response, StatusCode, StatusCodeKind,
    prelude::{HasHeaders, HeadersExt},
};
use tracing::debug;

use super::{
    LegEvent, checks,
    endpoint::Shared,
    kind_of,
    leg::{Leg, Talk},
    sdp::Description,
    timer::{MIN_SE, Refreshed, Terms},
};

pub(super) struct Refresh {
    pub(super) leg: Arc<Leg>,
    pub(super) shared: Arc<Shared>,
    pub(super) interval: Duration,
}

impl Refresh {
    /// * returns — what came of it, and what it settled anew.
    pub(super) async fn run(self) -> (Refreshed, Option<LegEvent>) {
        if !self.leg.settled() {
            return (Refreshed::Later, None);
        }
        if !self.shared.reach(&self.leg).await {
            return (Refreshed::Gone, None);
        }
        if self.takes_update() {
            match self.update().await {
                // They say that they have it and have it not.
                Refreshed::Refused => {}
                outcome => return (outcome, None),
            }
        }
        self.reinvite().await
    }

    /// Whether they say that they know UPDATE.
    fn takes_update(&self) -> bool {
        let invite = self.leg.dialog.initial_request();
        invite.headers().iter().any(|header| match header {
            Header::Allow(methods) => methods.value().split(',').any(|it| it.trim() == "UPDATE"),
            _ => false,
        })
    }

    async fn update(&self) -> Refreshed {
        match self.leg.dialog.update(Some(self.headers()), None).await {
            Ok(response) => self.outcome(response.as_ref()),
            Err(error) => {
                debug!(error = kind_of(&error), "sending UPDATE");
                Refreshed::Gone
            }
        }
    }

    async fn reinvite(&self) -> (Refreshed, Option<LegEvent>) {
        let Some(offer) = self.leg.session().as_ref().and_then(Talk::again) else {
            return (Refreshed::Refused, None);
        };
        let mut headers = self.headers();
        headers.push(Header::ContentType("application/sdp".into()));
        self.leg.ours.store(true, Ordering::Release);
        let response = self.leg.dialog.reinvite(Some(headers), Some(offer.into_bytes())).await;
        self.leg.ours.store(false, Ordering::Release);
        let response = match response {
            Ok(response) => response,
            Err(error) => {
                debug!(error = kind_of(&error), "sending a re-INVITE");
                return (Refreshed::Gone, None);
            }
        };
        let outcome = self.outcome(response.as_ref());
        let settled = response.filter(|_| matches!(outcome, Refreshed::Done(_))).and_then(|response| {
            let answer = Description::parse(&response.body).ok()?;
            self.leg.session().as_mut()?.accept_again(&answer)
        });
        (outcome, settled)
    }

    fn headers(&self) -> Vec<Header> {
        vec![
            checks::supported(self.leg.fork.is_some()),
            Header::SessionExpires(format!("{};refresher=uac", self.interval.as_secs()).into()),
            Header::MinSE(MIN_SE.to_string().into()),
            checks::allow(),
        ]
    }

    fn outcome(&self, response: Option<&Response>) -> Refreshed {
        // No answer at all within the transaction's time.
        let Some(response) = response else { return Refreshed::Gone };
        let value = |wanted: fn(&Header) -> Option<&str>| response.headers.iter().find_map(wanted);
        match &response.status_code {
            status if status.kind() == StatusCodeKind::Successful => {
                let contact = response.contact_header().ok().cloned();
                self.leg.follow(contact, response.typed_contact_headers().unwrap_or_default());
                let terms = value(|it| if let Header::SessionExpires(it) = it { Some(it.value()) } else { None });
                Refreshed::Done(terms.and_then(Terms::of_answer))
            }
            StatusCode::SessionIntervalTooSmall => {
                let least = value(|it| if let Header::MinSE(it) = it { Some(it.value()) } else { None });
                let least = least.and_then(|it| it.split(';').next()?.trim().parse().ok());
                least.map_or(Refreshed::Refused, Refreshed::Longer)
            }
            StatusCode::RequestPending | StatusCode::ServerInternalError | StatusCode::ServiceUnavailable => {
                Refreshed::Later
            }
            StatusCode::CallTransactionDoesNotExist | StatusCode::RequestTimeout => Refreshed::Gone,
            _ => Refreshed::Refused,
        }
    }
}
