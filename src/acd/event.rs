//! What the distributor is told, and what it tells.

use super::{
    Plan,
    queue::Skills,
    seat::{Pause, SeatState},
};
use crate::domain::{
    ids::CallId,
    seat::{DeskId, SeatId},
};

/// A call that comes to a desk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    pub call: CallId,
    /// One that the plan does not know counts as its first.
    pub desk: DeskId,
    /// Skills that this caller needs beyond those of the desk (a dialect, a topic); after [`Plan::relax`] any seat of the
    /// desk will do.
    pub wanted: Skills,
    /// Is added to the desk's; a higher one goes first.
    pub priority: u8,
    /// Seats that are rung before others, if they fit: officials whose turn it is.
    pub preferred: Vec<SeatId>,
}

/// What happened. What does not fit where things stand (an answer that comes too late, a seat nobody knows) changes
/// nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    Came(Caller),
    /// The caller hung up, in the line or in the talk. Whoever hangs up after a call-back was noted keeps it.
    Left {
        call: CallId,
    },
    /// The caller pressed the key that was offered: hang up and be called back in turn.
    CallBackAsked {
        call: CallId,
    },
    /// Somebody is to be called back who is not on the line: noted before a restart.
    CallBackOwed(Caller),
    /// A noted call-back is no longer needed.
    CallBackDropped {
        call: CallId,
    },
    /// The seat's telephone is registered and an operator is logged in; again when what they are good at changes.
    SeatPresent {
        seat: SeatId,
        skills: Skills,
    },
    /// The telephone is gone or the operator has logged out; a talk goes on. Of a seat that was never present it says
    /// that there is one.
    SeatAbsent {
        seat: SeatId,
    },
    /// From the end of the talk on, if there is one.
    SeatPaused {
        seat: SeatId,
        reason: Pause,
    },
    /// Ends a pause, and a wrap-up.
    SeatReady {
        seat: SeatId,
    },
    /// The operator speaks on a call that is none of ours: one dialled from the seat, or passed on to it.
    SeatBusy {
        seat: SeatId,
    },
    SeatFree {
        seat: SeatId,
    },
    /// The seat took the call that it was rung for.
    Answered {
        call: CallId,
        seat: SeatId,
    },
    /// It did not.
    Refused {
        call: CallId,
        seat: SeatId,
        how: RingFailure,
    },
    /// The seat's part in the call is over, also where the call goes on elsewhere.
    TalkEnded {
        call: CallId,
    },
    /// The operator ends the wrap-up by hand.
    WrappedUp {
        seat: SeatId,
    },
    DeskOpened {
        desk: DeskId,
    },
    /// Newcomers go to the overflow desk or are given up; who waits already goes on waiting. Nobody is called back.
    DeskClosed {
        desk: DeskId,
    },
    PlanChanged(Plan),
}

/// Why a seat did not take a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RingFailure {
    /// 486: the telephone speaks already.
    Busy,
    /// 603: the operator does not want it.
    Declined,
    /// The telephone gave up ringing before we did.
    NoAnswer,
    /// It could not be rung at all.
    Unreachable,
}

/// What is to be done, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// Ring this seat for a caller on the line; one seat at a time.
    Ring {
        call: CallId,
        seat: SeatId,
    },
    /// Ring this seat, and when it answers dial the caller who asked for it. The answers are those to `Ring`; if the
    /// caller cannot be reached, the talk has ended.
    DialBack {
        call: CallId,
        seat: SeatId,
    },
    StopRinging {
        call: CallId,
        seat: SeatId,
    },
    /// Tell the caller how many are first, the caller included.
    ///
    /// * `offered` — remind of the key for a call-back.
    SayPosition {
        call: CallId,
        position: usize,
        offered: bool,
    },
    /// Tell the caller which key brings a call-back.
    OfferCallBack {
        call: CallId,
    },
    /// The call-back is noted and keeps its place: say so and hang up, if the caller did not.
    NoteCallBack {
        call: CallId,
    },
    /// It waits at another desk from now on, with its place by the time it came.
    HandOver {
        call: CallId,
        from: DeskId,
        to: DeskId,
    },
    /// Say why and hang up; somebody has to call back. The call is forgotten here.
    GiveUp {
        call: CallId,
        reason: GivenUp,
    },
    SeatChanged {
        seat: SeatId,
        state: SeatState,
    },
}

/// Why nobody will take a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GivenUp {
    /// Outside the desk's hours.
    Closed,
    /// As many wait as the desk lets wait.
    Full,
    /// Longer than [`Plan::give_up_after`].
    TooLong,
}

impl RingFailure {
    /// Whether the telephone did nothing, as one does that nobody sits at; a few in a row pause the seat.
    pub const fn is_miss(self) -> bool {
        matches!(self, Self::NoAnswer | Self::Unreachable)
    }
}

impl GivenUp {
    /// As in the books and in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Full => "full",
            Self::TooLong => "too_long",
        }
    }
}
