//! Who sits where and what they do, how many callers wait, and control of the calls that are being spoken.

use axum::{Json, extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    App,
    audit::note,
    extract::{Action as PathAction, Body, ControlCalls, Id, SeeSeats, SetSeats, Who},
    problem::{Kind, Problem},
    view::{Moment, Page},
};
use crate::{
    acd::{Event, Pause, SeatState},
    domain::{
        audit::Action,
        ids::CallId,
        role::Role::{ShiftLeader, Supervisor},
        seat::SeatId,
    },
    store::{SignIn, UserRow},
    switchboard::{Control, NoControl, Part, Queue, Seat, Switchboard},
};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(seats)).routes(routes!(set)).routes(routes!(queues)).routes(routes!(control))
}

/// One seat.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SeatView {
    /// Its extension, `8001`.
    seat: String,
    /// What whoever sits there is good at, as desks ask for it.
    skills: Vec<String>,
    /// Name of the official who has signed in there.
    official: Option<String>,
    /// `offline`, `idle`, `ringing`, `talking`, `wrap_up` or `paused`.
    state: &'static str,
    /// Why it is paused: `rest`, `meal`, `paperwork`, `meeting`, `training`, `other`, or `no_answer` by the line itself.
    reason: Option<&'static str>,
    /// The call that rings there or is spoken with.
    #[schema(value_type = Option<String>, format = Uuid)]
    call_id: Option<CallId>,
    /// When this state began.
    #[schema(value_type = String, format = DateTime)]
    since: Moment,
}

/// One desk and its line.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct QueueView {
    desk: String,
    /// The numbers that lead here.
    numbers: Vec<String>,
    /// Whether it takes callers now.
    open: bool,
    /// Callers in the line.
    waiting: usize,
    /// Callers for whom a seat rings.
    ringing: usize,
    /// The longest wait of a caller who is not answered yet, milliseconds.
    longest_wait_ms: u64,
}

/// What an operator wants to do.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct StateRequest {
    state: WantedState,
    /// Why, with `paused`; usually `other`.
    reason: Option<WantedReason>,
}

/// States that a person chooses; the others come by themselves.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum WantedState {
    /// Ready for calls; ends a pause and a wrap-up.
    Idle,
    /// No calls; from the end of the talk on, if there is one.
    Paused,
}

/// Why a person takes no calls.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum WantedReason {
    Rest,
    Meal,
    Paperwork,
    Meeting,
    Training,
    Other,
}

impl WantedState {
    const fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Paused => "paused",
        }
    }
}

impl From<WantedReason> for Pause {
    fn from(reason: WantedReason) -> Self {
        match reason {
            WantedReason::Rest => Self::Rest,
            WantedReason::Meal => Self::Meal,
            WantedReason::Paperwork => Self::Paperwork,
            WantedReason::Meeting => Self::Meeting,
            WantedReason::Training => Self::Training,
            WantedReason::Other => Self::Other,
        }
    }
}

/// All seats whose telephones were ever registered since the line began to run, by extension.
#[utoipa::path(get, path = "/api/v1/seats", tag = "seats",
    responses((status = 200, description = "The seats", body = Page<SeatView>), (status = 503, description = "This process takes no calls", body = Problem, content_type = "application/problem+json"),
        (status = "default", response = super::docs::AnyProblem)))]
async fn seats(State(app): State<App>, _: Who<SeeSeats>) -> Result<Json<Page<SeatView>>, Problem> {
    let (seats, _) = look(line(&app)?).await?;
    let officials = app.store.signed_in().await?;
    Ok(Json(Page { items: seats.iter().map(|seat| seat_view(seat, &officials)).collect(), next: None }))
}

/// Pauses a seat or makes it ready: one's own, or any for those who lead a shift.
#[utoipa::path(put, path = "/api/v1/seats/{id}/state", tag = "seats", request_body = StateRequest,
    params(("id" = String, Path, description = "The seat's extension, `8001`")),
    responses((status = 200, description = "The seat as it is now", body = SeatView), (status = 503, description = "This process takes no calls", body = Problem, content_type = "application/problem+json"),
        (status = "default", response = super::docs::AnyProblem)))]
async fn set(
    State(app): State<App>,
    who: Who<SetSeats>,
    Id(seat): Id<String>,
    Body(request): Body<StateRequest>,
) -> Result<Json<SeatView>, Problem> {
    let seat = SeatId::from(seat.as_str());
    let own = seat_of(&app, &who.user).await?.as_ref() == Some(&seat);
    if !own && !leads(&who.user) {
        return Err(Kind::Forbidden.because("this is not your seat; ask whoever leads the shift"));
    }
    let event = match (request.state, request.reason) {
        (WantedState::Paused, reason) => {
            Event::SeatPaused { seat: seat.clone(), reason: reason.map_or(Pause::Other, Pause::from) }
        }
        (WantedState::Idle, None) => Event::SeatReady { seat: seat.clone() },
        (WantedState::Idle, Some(_)) => {
            return Err(Kind::BadRequest.because("reason: only with `paused`").with("field", "reason"));
        }
    };
    let line = line(&app)?;
    known(&app, &seat).await?;
    line.tell(event).await;
    if !own {
        let detail = json!({ "state": request.state.name() });
        note(&app, &who.user, Action::SeatStateSet, format!("seat:{seat}"), detail).await?;
    }
    Ok(Json(view(&app, known(&app, &seat).await?).await?))
}

/// All desks and how many callers wait at each.
#[utoipa::path(get, path = "/api/v1/queues", tag = "seats",
    responses((status = 200, description = "The desks", body = Page<QueueView>), (status = 503, description = "This process takes no calls", body = Problem, content_type = "application/problem+json"),
        (status = "default", response = super::docs::AnyProblem)))]
async fn queues(State(app): State<App>, _: Who<SeeSeats>) -> Result<Json<Page<QueueView>>, Problem> {
    let (_, queues) = look(line(&app)?).await?;
    Ok(Json(Page { items: queues.into_iter().map(queue_view).collect(), next: None }))
}

/// What an action needs beside its name.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct ControlRequest {
    /// Extension of the seat that is to take the caller, or to take part; only with `transfer` and `conference`.
    to: Option<String>,
}

/// Controls a call that is being spoken: of one's own seat, or any for those who lead a shift.
///
/// `hold`: the caller hears music and the operator nothing, whatever the telephone itself does. `resume`: they hear each
/// other again. `transfer`: the caller is passed on to the seat `to`, which has to be free. `conference`: the seat `to` is rung
/// and takes part, and goes on alone with the caller when the operator leaves. `hangup`: the line hangs up; who leads a shift
/// may do so while the caller still waits.
///
/// For those who lead a shift, at their own seat, which is rung: `listen` hears both, `whisper` is heard by the operator alone
/// (and not recorded), `barge` by both; one who takes part already changes from one to the other.
#[utoipa::path(post, path = "/api/v1/calls/{id}/actions/{action}", tag = "calls", request_body = ControlRequest,
    params(("id" = String, Path, format = Uuid, description = "The call"),
        ("action" = String, Path, description = "`hold`, `resume`, `transfer`, `conference`, `listen`, `whisper`, `barge` or `hangup`")),
    responses((status = 204, description = "It is being done"), (status = 503, description = "This process takes no calls", body = Problem, content_type = "application/problem+json"),
        (status = "default", response = super::docs::AnyProblem)))]
async fn control(
    State(app): State<App>,
    who: Who<ControlCalls>,
    Id(call): Id<CallId>,
    PathAction(action): PathAction,
    Body(request): Body<ControlRequest>,
) -> Result<StatusCode, Problem> {
    let leads = leads(&who.user);
    let own = seat_of(&app, &who.user).await?;
    let what = wanted(&action, request.to.as_deref(), own.clone(), leads)?;
    let line = line(&app)?;
    let by = match own {
        _ if leads => None,
        Some(own) => Some(own),
        None => return Err(Kind::Forbidden.because("you have no seat")),
    };
    line.control(call, by, what).await.map_err(|error| refused(&error))?;
    if leads {
        note(&app, &who.user, Action::CallControlled, format!("call:{call}"), json!({ "action": action })).await?;
    }
    Ok(StatusCode::NO_CONTENT)
}

/// What an action means.
///
/// * `own` — the seat of whoever asks.
fn wanted(action: &str, to: Option<&str>, own: Option<SeatId>, leads: bool) -> Result<Control, Problem> {
    let bad = |detail: &str| Kind::BadRequest.because(detail).with("field", "to");
    let part = match action {
        "listen" => Some(Part::Listen),
        "whisper" => Some(Part::Whisper),
        "barge" => Some(Part::Barge),
        _ => None,
    };
    match (action, to, part) {
        ("transfer" | "conference", None, _) => Err(bad("to: which seat?")),
        ("transfer", Some(to), _) => Ok(Control::Transfer(to.into())),
        ("conference", Some(to), _) => Ok(Control::Join(to.into(), Part::Conference)),
        (_, Some(_), Some(_)) | ("hold" | "resume" | "hangup", Some(_), _) => {
            Err(bad("to: only with `transfer` and `conference`"))
        }
        ("hold", None, _) => Ok(Control::Hold),
        ("resume", None, _) => Ok(Control::Resume),
        ("hangup", None, _) => Ok(Control::HangUp),
        (_, None, Some(_)) if !leads => Err(Kind::Forbidden.because("for those who lead a shift")),
        (_, None, Some(part)) => match own {
            Some(seat) => Ok(Control::Join(seat, part)),
            None => Err(Kind::Refused.because("you have no seat that could be rung")),
        },
        _ => Err(Kind::NotFound.because(format!("`{action}` is no action of a call"))),
    }
}

fn refused(error: &NoControl) -> Problem {
    let kind = match error {
        NoControl::NoCall => Kind::NotFound,
        NoControl::NotYours => Kind::Forbidden,
        NoControl::NoTalk | NoControl::NotFree(_) => Kind::Refused,
        NoControl::Busy | NoControl::Gone(_) => Kind::Unavailable,
    };
    kind.because(error.to_string())
}

/// Whether somebody may act for seats that are not theirs.
fn leads(user: &UserRow) -> bool {
    user.roles.iter().any(|role| matches!(role, ShiftLeader | Supervisor))
}

/// A seat whose telephone has registered since the line began to run.
pub(super) async fn known(app: &App, seat: &SeatId) -> Result<Seat, Problem> {
    let (seats, _) = look(line(app)?).await?;
    let known = seats.into_iter().find(|known| known.seat == *seat);
    known.ok_or_else(|| Kind::NotFound.because(format!("no telephone of `{seat}` has registered")))
}

/// Where somebody sits: at the seat they signed in at as an official, else at their own.
async fn seat_of(app: &App, user: &UserRow) -> Result<Option<SeatId>, Problem> {
    let signed_in = app.store.signed_in().await?.into_iter().find(|it| it.user == user.id);
    Ok(signed_in.map(|it| it.seat).or_else(|| user.extension.as_deref().map(SeatId::from)))
}

async fn view(app: &App, seat: Seat) -> Result<SeatView, Problem> {
    Ok(seat_view(&seat, &app.store.signed_in().await?))
}

fn line(app: &App) -> Result<&Switchboard, Problem> {
    app.switchboard.as_ref().ok_or_else(|| {
        Kind::Unavailable.because("this process takes no calls; ask the one whose role is `edge` or `all`")
    })
}

async fn look(line: &Switchboard) -> Result<(Vec<Seat>, Vec<Queue>), Problem> {
    line.view().await.map_err(|gone| Kind::Unavailable.because(gone.to_string()))
}

fn seat_view(seat: &Seat, officials: &[SignIn]) -> SeatView {
    let official = officials.iter().find(|it| it.seat == seat.seat);
    let reason = match seat.state {
        SeatState::Paused { reason } => Some(reason.name()),
        _ => None,
    };
    SeatView {
        seat: seat.seat.to_string(),
        skills: seat.skills.clone(),
        official: official.map(|it| it.name.clone()),
        state: seat.state.name(),
        reason,
        call_id: seat.state.call(),
        since: Moment(seat.since),
    }
}

fn queue_view(queue: Queue) -> QueueView {
    QueueView {
        desk: queue.desk.to_string(),
        numbers: queue.numbers,
        open: queue.view.open,
        waiting: queue.view.waiting,
        ringing: queue.view.ringing,
        longest_wait_ms: u64::try_from(queue.view.longest.as_millis()).unwrap_or(u64::MAX),
    }
}
