//! Gives the callers on this line to the operators' seats: carries [`crate::acd`]'s decisions to the calls they are about.
//!
//! One task owns the [`Distributor`]. Calls tell it what happened to them, the telephones' registrar who is there, people
//! what they want; each call hears through a channel of its own what is to be done. Nothing here waits for a telephone, a
//! database or a person.

mod view;

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use tokio::sync::{broadcast, mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

pub use view::{Queue, Seat};

use crate::{
    acd::{self, Caller, Distributor, GivenUp, Pause, Plan, SeatState, Skills},
    clock::Clock,
    domain::{
        ids::CallId,
        seat::{DeskId, SeatId},
    },
};

/// What waits to be heard; more than all calls of a line say in a second.
const INBOX: usize = 1_024;
/// Orders that wait for one call; its task takes each within milliseconds.
pub const ORDERS: usize = 32;
/// Changes that a slow listener may be behind.
const NEWS: usize = 1_024;
/// What a call that lost its operator is worth beside others: it goes first.
const FIRST: u8 = u8::MAX;

/// The way to the switchboard. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Switchboard {
    desks: Arc<[DeskId]>,
    inbox: mpsc::Sender<Said>,
    news: broadcast::Sender<News>,
}

/// What a call is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// It stands in the line and no seat rings yet.
    ///
    /// * `attended` — whether there is anybody to wait for.
    Queued {
        attended: bool,
    },
    /// Ring this seat.
    Ring(SeatId),
    StopRinging(SeatId),
    /// Say how many are first, the caller not included.
    SayAhead(usize),
    /// Nobody will take it; the line forgets it.
    ///
    /// * `attended` — as with `Queued`.
    GiveUp {
        why: GivenUp,
        attended: bool,
    },
    /// Somebody wants this.
    Do(Control),
}

/// What a person may want to be done with a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Control {
    /// The caller hears music, the operator nothing.
    Hold,
    Resume,
    /// To this seat, or to the next free one if that does not take it.
    Transfer(SeatId),
    /// A third is rung and takes part; one who does already changes how.
    Join(SeatId, Part),
    HangUp,
}

/// How a third takes part in a talk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Hears both and is heard by nobody.
    Listen,
    /// Is heard by the operator alone, and not recorded.
    Whisper,
    /// All hear each other.
    Barge,
    /// The same, asked for by the operator: the talk goes on when the operator leaves.
    Conference,
}

/// How a caller comes into the line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub call: CallId,
    /// The number dialled, which leads to a desk.
    pub called: String,
    /// The operator was lost in mid-talk or has passed the caller on: this caller goes first.
    pub again: bool,
    /// The seat that is asked for.
    pub to: Option<SeatId>,
}

/// Why a call is not controlled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoControl {
    #[error("the call is over, or another process has it")]
    NoCall,
    #[error("no operator speaks with the caller")]
    NoTalk,
    #[error("another seat speaks with the caller")]
    NotYours,
    #[error("`{0}` is not free")]
    NotFree(SeatId),
    #[error("the call does not keep up")]
    Busy,
    #[error(transparent)]
    Gone(#[from] Gone),
}

/// What others may want to know as it happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    Seat { seat: SeatId, state: SeatState },
    Queue { desk: DeskId, waiting: usize, ringing: usize },
}

/// The switchboard is gone: the house stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the switchboard has stopped")]
pub struct Gone;

/// The task that owns the distributor.
pub struct Runner {
    acd: Distributor,
    inbox: mpsc::Receiver<Said>,
    news: broadcast::Sender<News>,
    calls: HashMap<CallId, mpsc::Sender<Order>>,
    shown: BTreeMap<DeskId, (usize, usize)>,
    /// Seats of those whose turn it is.
    on_turn: Vec<(SeatId, Option<DeskId>)>,
    clock: Clock,
}

enum Said {
    Enter(Entry, mpsc::Sender<Order>),
    Prefer(Vec<(SeatId, Option<DeskId>)>),
    Control { call: CallId, by: Option<SeatId>, what: Control, answer: oneshot::Sender<Result<(), NoControl>> },
    Happened(acd::Event),
    View(oneshot::Sender<(Vec<Seat>, Vec<Queue>)>),
}

impl Switchboard {
    /// A switchboard without calls and seats, and the task to be run.
    pub fn new(plan: Plan, clock: Clock) -> (Self, Runner) {
        let (sender, inbox) = mpsc::channel(INBOX);
        let news = broadcast::channel(NEWS).0;
        let desks = plan.desks.iter().map(|desk| desk.id.clone()).collect();
        let acd = Distributor::new(plan);
        let (calls, shown) = (HashMap::new(), BTreeMap::new());
        (
            Self { desks, inbox: sender, news: news.clone() },
            Runner { acd, inbox, news, calls, shown, on_turn: Vec::new(), clock },
        )
    }

    /// A caller asks for an operator.
    ///
    /// * `orders` — what the call is to do from now on, until [`acd::Event::Left`].
    pub async fn enter(&self, entry: Entry, orders: mpsc::Sender<Order>) {
        self.say(Said::Enter(entry, orders)).await;
    }

    /// Something happened to a call or at a seat.
    pub async fn tell(&self, event: acd::Event) {
        self.say(Said::Happened(event)).await;
    }

    /// The same from where nobody can wait; what does not fit is lost.
    pub fn tell_at_once(&self, event: acd::Event) {
        if self.inbox.try_send(Said::Happened(event)).is_err() {
            warn!("the switchboard does not keep up");
        }
    }

    /// The desks where callers can wait.
    pub fn desks(&self) -> &[DeskId] {
        &self.desks
    }

    /// The seats of those whose turn it is, each with a desk or for all: callers who come from now on go there first.
    pub async fn prefer(&self, seats: Vec<(SeatId, Option<DeskId>)>) {
        self.say(Said::Prefer(seats)).await;
    }

    /// Somebody wants something done with a call.
    ///
    /// * `by` — the seat that wants it, which has to be the one that speaks; nothing for those who may control every call.
    pub async fn control(&self, call: CallId, by: Option<SeatId>, what: Control) -> Result<(), NoControl> {
        let (sender, answer) = oneshot::channel();
        self.say(Said::Control { call, by, what, answer: sender }).await;
        answer.await.unwrap_or(Err(NoControl::Gone(Gone)))
    }

    /// All seats that were ever heard of by this process, and all desks.
    pub async fn view(&self) -> Result<(Vec<Seat>, Vec<Queue>), Gone> {
        let (sender, answer) = oneshot::channel();
        self.say(Said::View(sender)).await;
        answer.await.map_err(|_| Gone)
    }

    /// What changes from now on. Who is more than a thousand changes behind misses some.
    pub fn news(&self) -> broadcast::Receiver<News> {
        self.news.subscribe()
    }

    async fn say(&self, said: Said) {
        // At a stop calls end by themselves, and nobody gives them to seats.
        let _ = self.inbox.send(said).await;
    }
}

impl std::fmt::Debug for Runner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runner").field("calls", &self.calls.len()).finish_non_exhaustive()
    }
}

impl Runner {
    /// Works until `ended`: the last call needs it too.
    pub async fn run(mut self, ended: CancellationToken) {
        loop {
            let due = self.acd.poll_timeout();
            let wait = async {
                match due {
                    Some(due) => self.clock.sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                said = self.inbox.recv() => match said {
                    Some(said) => self.hear(said),
                    None => return,
                },
                () = wait => {
                    self.acd.handle_timeout(self.clock.instant());
                    self.carry_out();
                }
                () = ended.cancelled() => return,
            }
        }
    }

    fn hear(&mut self, said: Said) {
        match said {
            Said::Enter(entry, orders) => self.enter(entry, orders),
            Said::Prefer(seats) => self.on_turn = seats,
            Said::Control { call, by, what, answer } => {
                let _ = answer.send(self.control(call, by.as_ref(), what));
            }
            Said::Happened(event) => {
                let gone = match event {
                    acd::Event::Left { call } => Some(call),
                    _ => None,
                };
                self.handle(event);
                if let Some(call) = gone {
                    self.calls.remove(&call);
                }
            }
            Said::View(answer) => {
                let _ = answer.send(self.view());
            }
        }
    }

    fn enter(&mut self, entry: Entry, orders: mpsc::Sender<Order>) {
        let Entry { call, called, again, to } = entry;
        let Some(desk) = self.acd.plan().desk_of(&called).map(|desk| desk.id.clone()) else { return };
        self.calls.insert(call, orders);
        let priority = if again { FIRST } else { 0 };
        let on_turn = self.on_turn.iter().filter(|(_, of)| of.as_ref().is_none_or(|of| *of == desk));
        let preferred = to.into_iter().chain(on_turn.map(|(seat, _)| seat.clone())).collect();
        self.handle(acd::Event::Came(Caller { call, desk, wanted: Skills::new(), priority, preferred }));
        // Whoever is rung for or given up at once has heard so already.
        if self.acd.call(call).is_some_and(|call| call.stage == acd::Stage::Waiting) {
            self.order(call, Order::Queued { attended: self.is_attended() });
        }
    }

    fn is_attended(&self) -> bool {
        self.acd.seats().any(|seat| seat.state != SeatState::Offline)
    }

    fn control(&self, call: CallId, by: Option<&SeatId>, what: Control) -> Result<(), NoControl> {
        let stage = self.acd.call(call).map(|call| call.stage);
        match (stage, by) {
            (Some(acd::Stage::Talking(seat)), Some(by)) if seat != *by => return Err(NoControl::NotYours),
            (Some(acd::Stage::Talking(_)), _) => {}
            // Whoever may control every call may end it wherever it is.
            (Some(_), None) if what == Control::HangUp => {}
            (Some(_), _) => return Err(NoControl::NoTalk),
            (None, _) => return Err(NoControl::NoCall),
        }
        let state = |wanted: &SeatId| self.acd.seats().find(|seat| seat.seat == wanted).map(|seat| seat.state);
        let free = |seat: &SeatId| match state(seat) {
            Some(SeatState::Idle) => true,
            // Whoever leads a shift takes no calls while they do; who takes part already may change how.
            Some(SeatState::Paused { .. } | SeatState::Talking { call: None }) => matches!(what, Control::Join(..)),
            _ => false,
        };
        if let Control::Transfer(seat) | Control::Join(seat, _) = &what
            && !free(seat)
        {
            return Err(NoControl::NotFree(seat.clone()));
        }
        let orders = self.calls.get(&call).ok_or(NoControl::NoCall)?;
        orders.try_send(Order::Do(what)).map_err(|_| NoControl::Busy)
    }

    fn handle(&mut self, event: acd::Event) {
        self.acd.handle(event, self.clock.instant());
        self.carry_out();
    }

    fn carry_out(&mut self) {
        while let Some(order) = self.acd.poll_order() {
            match order {
                acd::Order::Ring { call, seat } => self.order(call, Order::Ring(seat)),
                acd::Order::StopRinging { call, seat } => self.order(call, Order::StopRinging(seat)),
                acd::Order::SayPosition { call, position, .. } => {
                    self.order(call, Order::SayAhead(position.saturating_sub(1)));
                }
                acd::Order::GiveUp { call, reason } => {
                    self.order(call, Order::GiveUp { why: reason, attended: self.is_attended() });
                    self.calls.remove(&call);
                }
                acd::Order::HandOver { call, from, to } => {
                    debug!(call.id = %call, %from, %to, "another desk helps out");
                }
                acd::Order::SeatChanged { seat, state } => {
                    debug!(%seat, state = state.name(), "a seat changed");
                    if let SeatState::Paused { reason: Pause::NoAnswer } = state {
                        info!(%seat, "a seat let several calls ring and is paused");
                    }
                    let _ = self.news.send(News::Seat { seat, state });
                }
                // Nobody is offered a call-back before the line can dial out.
                acd::Order::OfferCallBack { .. } | acd::Order::NoteCallBack { .. } | acd::Order::DialBack { .. } => {}
            }
        }
        self.show_queues();
    }

    fn order(&self, call: CallId, order: Order) {
        let Some(orders) = self.calls.get(&call) else { return };
        if let Err(error) = orders.try_send(order) {
            debug!(call.id = %call, %error, "a call takes no more orders");
        }
    }

    /// Tells how long the lines are, where that has changed.
    fn show_queues(&mut self) {
        let now = self.clock.instant();
        for desk in self.acd.plan().desks.iter().map(|desk| &desk.id) {
            let view = self.acd.waiting(desk, now);
            let (waiting, ringing) = (view.waiting, view.ringing);
            if self.shown.insert(desk.clone(), (waiting, ringing)).unwrap_or_default() != (waiting, ringing) {
                let count = u32::try_from(waiting + ringing).unwrap_or(u32::MAX);
                metrics::gauge!("hotline_queue_callers", "desk" => desk.to_string()).set(count);
                let _ = self.news.send(News::Queue { desk: desk.clone(), waiting, ringing });
            }
        }
    }
}
