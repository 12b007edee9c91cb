//! The hands of a seat: sockets and clocks. What to say is decided by its registration and its call.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep_until},
};

use super::{
    RegisterReport, SeatCall, SeatSpec, SeatState,
    call::Call,
    line::Line,
    register::Registration,
    terms::{Action, Place},
};
use crate::{
    PhoneError,
    phone::ALLOW,
    sip::{Message, parameter},
};

/// Nothing is due: looks again after this.
const IDLE: Duration = Duration::from_hours(1);

/// What the handle of a seat may want.
#[derive(Debug)]
pub(super) enum Order {
    HangUp,
    /// Ends the call and takes the registration back.
    Leave,
}

pub(super) struct Runner {
    pub(super) spec: SeatSpec,
    pub(super) line: Line,
    pub(super) contact: String,
    /// With the registrar's address.
    pub(super) registration: Option<(Registration, SocketAddr)>,
    pub(super) call: Option<Call>,
    pub(super) calls: usize,
    pub(super) leaving: bool,
    /// Our tag in answers that make no dialog.
    pub(super) tag: String,
    pub(super) orders: mpsc::Receiver<Order>,
    pub(super) reports: mpsc::Sender<SeatCall>,
    pub(super) state: watch::Sender<SeatState>,
    pub(super) registered: watch::Sender<Option<RegisterReport>>,
}

impl Runner {
    /// Until it has left, or nobody holds the handle any more.
    ///
    /// * returns — the answer of the registrar to our leaving.
    pub(super) async fn run(mut self) -> Result<Option<RegisterReport>, PhoneError> {
        loop {
            self.carry_out().await?;
            if self.begins_to_leave() {
                continue;
            }
            if self.has_left()? {
                return Ok(self.registration.map(|(registration, _)| registration.report));
            }
            let registering = self.registration.as_ref().and_then(|(registration, _)| registration.poll_timeout());
            let calling = self.call.as_ref().and_then(|call| call.callee.poll_timeout());
            let due = [registering, calling].into_iter().flatten().min().unwrap_or_else(|| Instant::now() + IDLE);
            tokio::select! {
                received = self.line.receive() => match received {
                    Ok((datagram, from)) => self.hear(&datagram, from).await?,
                    Err(source) => return Err(self.cut_off(source)),
                },
                event = sound(&mut self.call) => if let Some(call) = &mut self.call {
                    call.handle(&event).await;
                },
                () = sleep_until(due) => {
                    let now = Instant::now();
                    if let Some((registration, _)) = &mut self.registration {
                        registration.handle_timeout(now);
                    }
                    if let Some(call) = &mut self.call {
                        call.callee.handle_timeout(now);
                    }
                }
                order = self.orders.recv() => match order {
                    Some(order) => self.obey(&order),
                    // As if somebody had pulled the plug.
                    None => return Ok(None),
                },
            }
        }
    }

    /// Sends what is to be sent, and tells how things stand.
    async fn carry_out(&mut self) -> Result<(), PhoneError> {
        if let Some((registration, far)) = &mut self.registration {
            while let Some(request) = registration.poll_request() {
                self.line.send(&request, *far).await?;
            }
            if registration.is_settled() && !registration.is_over() && !registration.report.is_hopeless() {
                let report = &registration.report;
                self.registered.send_if_modified(|known| {
                    let new = known.as_ref().is_none_or(|known| known.number != report.number);
                    if new {
                        *known = Some(report.clone());
                    }
                    new
                });
            }
        }
        let mut over = false;
        while let Some(call) = &mut self.call
            && let Some(action) = call.callee.poll_action()
        {
            match action {
                Action::Answer(text) => self.line.answer(text, call.peer).await?,
                Action::Request(text) => {
                    let to = call.callee.dialog.next_hop().unwrap_or(call.peer);
                    self.line.send(&text, to).await?;
                }
                Action::Over => over = true,
                other => call.hear_action(other),
            }
        }
        if over {
            self.hand_in();
        }
        let state = self.call.as_ref().map_or(SeatState::Free, Call::state);
        self.state.send_if_modified(|known| std::mem::replace(known, state) != state);
        Ok(())
    }

    /// The report of the call that is over; one that nobody fetches in time is dropped.
    fn hand_in(&mut self) {
        if let Some(call) = self.call.take() {
            let _ = self.reports.try_send(call.report(&self.spec));
        }
    }

    /// Whether the registration is to be taken back now.
    fn begins_to_leave(&mut self) -> bool {
        let Some((registration, _)) = &mut self.registration else { return false };
        let begins = self.leaving && self.call.is_none() && !registration.is_leaving();
        if begins {
            registration.leave(Instant::now());
        }
        begins
    }

    /// Whether it is done with all; the first refusal of the registrar is an error.
    fn has_left(&self) -> Result<bool, PhoneError> {
        let Some((registration, far)) = &self.registration else {
            return Ok(self.leaving && self.call.is_none());
        };
        if registration.is_settled() && registration.report.is_hopeless() {
            let report = Box::new(registration.report.clone());
            return Err(PhoneError::NotRegistered { far: *far, report });
        }
        Ok(registration.is_over())
    }

    async fn hear(&mut self, datagram: &[u8], from: SocketAddr) -> Result<(), PhoneError> {
        // What `rsip` cannot read is nothing a phone could answer.
        let Ok(message) = Message::parse(datagram) else { return Ok(()) };
        let now = Instant::now();
        if message.method.is_some() {
            return self.serve(message, from, now).await;
        }
        if message.cseq().is_some_and(|(_, method)| method == "REGISTER") {
            if let Some((registration, _)) = &mut self.registration {
                registration.handle_answer(&message, now);
            }
        } else if let Some(call) = self.call.as_mut().filter(|call| call.callee.owns(&message)) {
            call.callee.handle_answer(&message, now);
        }
        Ok(())
    }

    async fn serve(&mut self, request: Message, from: SocketAddr, now: Instant) -> Result<(), PhoneError> {
        if let Some(text) = self.line.answer_before(&request) {
            return self.line.send(&text, from).await;
        }
        if let Some(call) = self.call.as_mut().filter(|call| call.callee.owns(&request)) {
            call.peer = from;
            call.callee.handle_request(&request, now);
            return Ok(());
        }
        let in_dialog = request.header("To").is_some_and(|to| parameter(to, "tag").is_some());
        let status = match request.method.as_deref().unwrap_or_default() {
            "ACK" => return Ok(()),
            "OPTIONS" if !in_dialog => "200 OK",
            "INVITE" if !in_dialog && self.call.is_some() => "486 Busy Here",
            "INVITE" if !in_dialog && self.leaving => "480 Temporarily Unavailable",
            "INVITE" if !in_dialog => return self.take(request, from).await,
            _ => "481 Call/Transaction Does Not Exist",
        };
        let headers = [("Contact", self.contact.as_str()), ("Allow", ALLOW)];
        self.line.answer(request.answer(status, &self.tag, &headers, ""), from).await
    }

    async fn take(&mut self, invite: Message, from: SocketAddr) -> Result<(), PhoneError> {
        self.calls += 1;
        let (local, tcp) = (self.line.local, self.line.is_tcp());
        let place = Place { local, media: local, contact: self.contact.clone(), tcp };
        self.call = Some(Call::take(invite, from, &self.spec, place, self.calls).await?);
        Ok(())
    }

    fn obey(&mut self, order: &Order) {
        let now = Instant::now();
        self.leaving |= matches!(order, Order::Leave);
        if let Some(call) = &mut self.call {
            call.callee.hang_up(now);
        }
    }

    /// The stream broke: the call ends with it.
    fn cut_off(&mut self, source: std::io::Error) -> PhoneError {
        if let Some(call) = &mut self.call {
            call.callee.cut_off(Instant::now());
        }
        self.hand_in();
        let far = self.registration.as_ref().map_or(self.line.local, |(_, far)| *far);
        PhoneError::Unreachable { far, source }
    }
}

async fn sound(call: &mut Option<Call>) -> crate::sound::Event {
    match call {
        Some(call) => call.next().await,
        None => std::future::pending().await,
    }
}
