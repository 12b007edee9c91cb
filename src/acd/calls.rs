//! What happens to a call from its arrival to the moment it is forgotten.

use std::time::Instant;

use super::{
    Caller, Distributor, GivenUp, Order, Plan,
    queue::{Call, Stage},
    seat::Seat,
};
use crate::domain::{
    ids::CallId,
    seat::{DeskId, SeatId},
};

impl Distributor {
    pub(super) fn came(&mut self, caller: Caller, now: Instant) {
        let call = caller.call;
        if !self.take(caller, now) {
            return;
        }
        let open = |this: &Self| this.queue.get(call).is_none_or(|call| this.is_open(&call.desk));
        if !open(self) && !self.hand_over(call, now) {
            self.give_up(call, GivenUp::Closed);
        }
        // Who is rung for at once needs no room.
        self.pair(now);
        if self.is_beyond_capacity(call) && !self.hand_over(call, now) {
            self.give_up(call, GivenUp::Full);
        }
    }

    pub(super) fn call_back_owed(&mut self, caller: Caller, now: Instant) {
        let call = caller.call;
        if self.take(caller, now) && !self.note_call_back(call) {
            self.give_up(call, GivenUp::Full);
        }
    }

    pub(super) fn call_back_asked(&mut self, id: CallId) {
        let Some(call) = self.queue.get_mut(id).filter(|call| call.offered && !call.noted) else { return };
        match call.stage() {
            Stage::Waiting => _ = self.note_call_back(id),
            // The seat may answer while the caller is still on the line: better than any call-back.
            Stage::Ringing(_) => call.asked = true,
            Stage::Talking(_) => {}
        }
    }

    pub(super) fn call_back_dropped(&mut self, id: CallId, now: Instant) {
        if self.queue.get(id).is_some_and(Call::is_owed) {
            self.forget(id, now);
        }
    }

    pub(super) fn left(&mut self, id: CallId, now: Instant) {
        let Some(call) = self.queue.get(id) else { return };
        if matches!(call.stage(), Stage::Talking(_)) {
            self.talk_ended(id, now);
        } else if call.noted {
            // As we asked them to.
        } else if !(call.asked && self.has_room_for_call_back(&call.desk)) {
            self.forget(id, now);
        } else if let Stage::Ringing(seat) = call.stage().clone() {
            self.stop_ringing(id, &seat, now);
            self.queue.set_stage(id, Stage::Waiting);
            self.note_call_back(id);
        }
    }

    pub(super) fn talk_ended(&mut self, id: CallId, now: Instant) {
        let Some(Stage::Talking(seat)) = self.queue.get(id).map(Call::stage).cloned() else { return };
        self.queue.remove(id);
        let wrap_up = self.plan.wrap_up;
        self.change(&seat, now, |seat| seat.end_talk(now, wrap_up));
    }

    /// A ring came to nothing: the call waits again, where it stood.
    pub(super) fn back_to_line(&mut self, id: CallId, seat: &SeatId, now: Instant) {
        self.queue.set_stage(id, Stage::Waiting);
        let Some(call) = self.queue.get_mut(id) else { return };
        if !call.tried.contains(seat) {
            call.tried.push(seat.clone());
        }
        if std::mem::take(&mut call.asked) {
            self.note_call_back(id);
        }
        // Else seats that ring in turn, without a gap, would keep a caller for ever.
        self.end_patience(id, now);
    }

    /// Gives up, or over to the desk that helps out, who has waited for as long as anybody may.
    fn end_patience(&mut self, id: CallId, now: Instant) {
        let terms = |this: &Self| this.queue.get(id).map(|call| call.terms).unwrap_or_default();
        if has_come(terms(self).give_up, now) {
            self.give_up(id, GivenUp::TooLong);
        }
        if has_come(terms(self).overflow, now) && !self.hand_over(id, now) {
            self.set(id, |call| call.terms.overflow = Some(now + Plan::REST));
        }
    }

    /// Takes a new plan; who is at a desk that it does not have goes to the one that helped it out, or to the first.
    pub(super) fn plan_changed(&mut self, plan: Plan, now: Instant) {
        let old = std::mem::replace(&mut self.plan, plan.sound());
        self.closed.retain(|desk| self.plan.desk(desk).is_some());
        let calls: Vec<CallId> = self.queue.calls().map(|(id, _)| id).collect();
        for id in calls {
            let Some(call) = self.queue.get(id) else { continue };
            if self.plan.desk(&call.desk).is_some() {
                self.queue.re_place(id, &self.plan);
                continue;
            }
            let helper = old.desk(&call.desk).and_then(|desk| desk.overflow.as_ref()).map(|overflow| &overflow.desk);
            let helper = helper.filter(|desk| self.plan.desk(desk).is_some()).cloned();
            self.move_to(id, helper.unwrap_or_else(|| self.plan.first()), now);
        }
    }

    /// Ends what callers wished whose wait for it is over.
    pub(super) fn relax(&mut self, now: Instant) {
        for id in self.waiting_due(now) {
            if let Some(call) = self.queue.get_mut(id).filter(|call| has_come(call.terms.relax, now)) {
                call.wanted.clear();
                call.terms.relax = None;
            }
        }
    }

    /// Does for each who waits what it is time for.
    pub(super) fn tend(&mut self, now: Instant) {
        for id in self.waiting_due(now) {
            self.end_patience(id, now);
            // Another desk has other terms.
            let terms = self.queue.get(id).map(|call| call.terms).unwrap_or_default();
            if let Some(due) = terms.say_position.filter(|due| *due <= now) {
                self.say_position(id, due, now);
            }
            if has_come(terms.offer, now) {
                self.offer_call_back(id, now);
            }
        }
    }

    /// Takes a call that is not here yet.
    fn take(&mut self, mut caller: Caller, now: Instant) -> bool {
        if self.queue.get(caller.call).is_some() {
            return false;
        }
        if self.plan.desk(&caller.desk).is_none() {
            caller.desk = self.plan.first();
        }
        self.queue.add(caller, &self.plan, now);
        true
    }

    /// Moves a call to the next desk that helps out, is open and has room; a helper that is shut or full is helped out
    /// by its own.
    fn hand_over(&mut self, id: CallId, now: Instant) -> bool {
        let Some(call) = self.queue.get(id) else { return false };
        let mut seen: Vec<&DeskId> = call.been.iter().chain([&call.desk]).collect();
        let mut from = &call.desk;
        let to = loop {
            let Some(next) = self.plan.desk(from).and_then(|desk| desk.overflow.as_ref()).map(|it| &it.desk) else {
                return false;
            };
            let Some(desk) = self.plan.desk(next).filter(|_| !seen.contains(&next)) else { return false };
            if self.is_open(next) && self.queue.callers(next) < desk.capacity {
                break next.clone();
            }
            seen.push(next);
            from = next;
        };
        self.move_to(id, to, now);
        true
    }

    fn move_to(&mut self, id: CallId, to: DeskId, now: Instant) {
        let Some(call) = self.queue.get(id) else { return };
        if !matches!(call.stage(), Stage::Talking(_)) {
            self.orders.push_back(Order::HandOver { call: id, from: call.desk.clone(), to: to.clone() });
        }
        self.queue.set_desk(id, to, &self.plan, now);
    }

    fn is_beyond_capacity(&self, id: CallId) -> bool {
        let Some(call) = self.queue.get(id).filter(|call| call.is_caller_waiting()) else { return false };
        self.plan.desk(&call.desk).is_some_and(|desk| self.queue.callers(&call.desk) > desk.capacity)
    }

    fn has_room_for_call_back(&self, desk: &DeskId) -> bool {
        self.plan.desk(desk).is_some_and(|it| self.queue.owed(desk) < it.capacity)
    }

    fn note_call_back(&mut self, id: CallId) -> bool {
        let noted = self.queue.get(id).is_some_and(|call| self.has_room_for_call_back(&call.desk));
        if noted {
            self.set(id, Call::note);
            self.orders.push_back(Order::NoteCallBack { call: id });
        }
        noted
    }

    fn say_position(&mut self, id: CallId, due: Instant, now: Instant) {
        let (Some(every), Some(position)) = (self.plan.position_every, self.queue.position(id)) else { return };
        let next = if due + every > now { due + every } else { now + every };
        let offered = self.queue.get(id).is_some_and(|call| call.offered);
        self.set(id, |call| call.terms.say_position = Some(next));
        self.orders.push_back(Order::SayPosition { call: id, position, offered });
    }

    /// Offers as many call-backs as can be noted.
    fn offer_call_back(&mut self, id: CallId, now: Instant) {
        let Some(desk) = self.queue.get(id).and_then(|call| self.plan.desk(&call.desk)) else { return };
        if self.queue.owed_or_offered(&desk.id) < desk.capacity {
            self.set(id, |call| (call.offered, call.terms.offer) = (true, None));
            self.orders.push_back(Order::OfferCallBack { call: id });
        } else {
            self.set(id, |call| call.terms.offer = Some(now + Plan::REST));
        }
    }

    fn give_up(&mut self, id: CallId, reason: GivenUp) {
        if self.queue.remove(id).is_some() {
            self.orders.push_back(Order::GiveUp { call: id, reason });
        }
    }

    /// The caller is gone, and so is the call.
    fn forget(&mut self, id: CallId, now: Instant) {
        let Some(call) = self.queue.remove(id) else { return };
        if let Stage::Ringing(seat) = call.stage() {
            self.stop_ringing(id, seat, now);
        }
    }

    /// The seat did nothing wrong: it keeps its place among the idle ones.
    fn stop_ringing(&mut self, call: CallId, seat: &SeatId, now: Instant) {
        self.orders.push_back(Order::StopRinging { call, seat: seat.clone() });
        self.change(seat, now, Seat::stop_ringing);
    }

    fn waiting_due(&self, now: Instant) -> Vec<CallId> {
        self.queue.line().filter(|(_, call)| has_come(call.due(), now)).map(|(id, _)| id).collect()
    }

    fn set(&mut self, id: CallId, change: impl FnOnce(&mut Call)) {
        if let Some(call) = self.queue.get_mut(id) {
            change(call);
        }
    }
}

fn has_come(due: Option<Instant>, now: Instant) -> bool {
    due.is_some_and(|due| due <= now)
}
