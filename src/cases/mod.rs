//! Services over the case state machine: load, let the domain decide, append the event and what it causes, commit.
//!
//! A call becomes a case here ([`Cases::draft_from_call`], run by [`drafter_loop`]), people correct and move it
//! ([`Cases::run`]), what a dead process left behind is taken up again ([`recover`]), and what was kept long enough is
//! deleted ([`upkeep_loop`]).

mod calendar;
mod corrections;
mod drafter;
mod open;
mod rebuild;
mod recalculate;
mod recover;
mod reveal;
mod sight;
mod snapshot;
mod upkeep;
mod view;

use std::sync::Arc;

use serde_json::Value;

use crate::{
    domain::{
        announcement::Announcement,
        calendar::{CalendarError, WorkCalendar},
        case::{Actor, By, Case, Command, Event, Facts, Inlet, Parent, Recorded, Refusal, ReplayError, State},
        city::City,
        draft::Draft,
        ids::{CallId, CaseId, UserId},
        time::UnixMs,
        transcript::{Channel, Transcript},
    },
    store::{CallbackKind, CaseFilter, Store, StoreError, StoredEvent, Tx},
};

pub use calendar::{Imported, KnownYear};
pub use corrections::Correction;
pub use drafter::{Draftsman, drafter_loop};
pub use open::NewCase;
pub use rebuild::{Rebuild, RebuildError, Rebuilt, rebuild};
pub use recalculate::{RecalculateError, recalculator_loop};
pub use recover::{RecoverError, Recovered, import, late_loop, recover};
pub use reveal::{Reason, Reveal};
pub use upkeep::{Deleted, delete_old, hash_callers, upkeep_loop};
pub use view::{Clocks, EventView, Fields, OccurredView, OrderView, View};

use calendar::Calendars;
use sight::Sight;
use snapshot::{case_in, case_of, row_of};

/// The services. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Cases {
    store: Store,
    city: Arc<City>,
    calendars: Calendars,
}

/// What a call has become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drafted {
    /// A case in state draft; also when it was made before.
    Case(CaseId),
    /// The caller did not speak: an entry on the call-back list.
    Missed,
}

/// Which cases a list wants.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    pub state: Option<State>,
    pub unit: Option<String>,
    /// Words in number, title, description or address.
    pub q: Option<String>,
    /// Only those whose unit is late.
    pub overdue: bool,
    /// Only those of calls that this official took.
    pub official: Option<UserId>,
    /// The last case of the page before.
    pub after: Option<CaseId>,
    /// At most 200.
    pub limit: u32,
}

/// Why a case was not shown or moved.
#[derive(Debug, thiserror::Error)]
pub enum CaseError {
    /// There is none, or the one who asks may not know of it.
    #[error("case {0} does not exist")]
    NotFound(CaseId),
    #[error("case {id} was changed meanwhile and has version {version} now")]
    Stale {
        id: CaseId,
        version: u64,
        /// What happened after the version that was sent.
        since: Vec<EventView>,
    },
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error("call {0} does not exist")]
    NoCall(CallId),
    #[error(transparent)]
    Damaged(#[from] ReplayError),
    #[error("a stored event cannot be read")]
    Unreadable(#[source] serde_json::Error),
    #[error("{0} broke off")]
    Broken(&'static str),
    #[error("the city's calendar cannot be used")]
    Calendar(#[from] CalendarError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Cases {
    /// Services for one city.
    ///
    /// # Errors
    /// A calendar that cannot be used.
    pub fn new(store: Store, city: Arc<City>) -> Result<Self, CaseError> {
        let calendars = Calendars::new(&city)?;
        Ok(Self { store, city, calendars })
    }

    /// A case as the actor sees it.
    pub async fn get(&self, id: CaseId, actor: &Actor) -> Result<View, CaseError> {
        let case = self.load(id, actor).await?;
        let calendar = self.calendars.current(&self.store).await?;
        Ok(View::of(&case, actor, &self.city, &calendar, self.store.clock().now()))
    }

    /// The history of a case as the actor sees it, oldest first.
    pub async fn events(&self, id: CaseId, actor: &Actor) -> Result<Vec<EventView>, CaseError> {
        let history = history(self.store.case_events(id).await?)?;
        let case = visible(id, history.clone(), actor)?;
        Ok(history.iter().map(|recorded| EventView::of(recorded, &case, actor)).collect())
    }

    /// A page of cases, latest first. A unit's people get their unit's cases, whatever unit they name.
    ///
    /// * returns — the page, and the id to go on after if there is more.
    pub async fn list(&self, wanted: Wanted, actor: &Actor) -> Result<(Vec<View>, Option<CaseId>), CaseError> {
        if actor.is_administrator() {
            return Ok((Vec::new(), None));
        }
        let now = self.store.clock().now();
        let limit = wanted.limit.clamp(1, 200);
        let unit =
            if actor.is_of_unit() { actor.unit().map(str::to_owned).or(Some(String::new())) } else { wanted.unit };
        let q = wanted.q.filter(|q| !q.trim().is_empty());
        let filter = CaseFilter {
            state: wanted.state.map(|state| state.as_str().to_owned()),
            unit,
            q: q.clone(),
            overdue_at: wanted.overdue.then_some(now),
            official: wanted.official,
            after: wanted.after,
            limit: limit + 1,
        };
        let mut rows = self.store.case_rows(&filter).await?;
        let more = rows.len() > limit as usize;
        rows.truncate(limit as usize);
        let next = rows.last().map(|row| row.id).filter(|_| more);
        let calendar = self.calendars.current(&self.store).await?;
        let mut views = Vec::with_capacity(rows.len());
        for row in rows {
            let case = case_of(&self.store, row).await?;
            // What a unit may not read it may not find a case by either.
            let hidden = Sight::of(&case, actor) == Sight::Redacted;
            if hidden && q.as_deref().is_some_and(|words| !case.number.contains(words.trim())) {
                continue;
            }
            views.push(View::of(&case, actor, &self.city, &calendar, now));
        }
        Ok((views, next))
    }

    /// Reads a request to act and runs it.
    ///
    /// * `body` — the command's JSON; other keys, such as `version`, are left alone.
    pub async fn act(
        &self,
        id: CaseId,
        version: u64,
        action: &str,
        body: Value,
        actor: &Actor,
    ) -> Result<View, CaseError> {
        // A stranger learns nothing about a case, not even that the action is unknown.
        self.load(id, actor).await?;
        self.run(id, version, Command::parse(action, body)?, actor).await
    }

    /// Lets the domain decide and makes it lasting.
    ///
    /// * `version` — the version the actor has seen.
    pub async fn run(&self, id: CaseId, version: u64, command: Command, actor: &Actor) -> Result<View, CaseError> {
        let mut tx = self.store.begin().await?;
        let now = tx.now();
        if command.sets_dates() {
            tx.keep_calendar().await?;
        }
        let calendar = self.calendars.within(&mut tx).await?;
        // In the order of their ids, so that two merges of the same two cases never wait for each other.
        let mut involved = vec![id];
        if let Command::MergeInto(merge) = &command {
            involved.extend(merge.parent);
        }
        involved.sort_unstable();
        for case in involved {
            tx.lock_case(case).await?;
        }
        let row = tx.case_row(id).await?.ok_or(CaseError::NotFound(id))?;
        let mut case = shown(case_in(&mut tx, row).await?, actor)?;
        if case.version != version {
            let events = history(tx.case_events(id).await?)?;
            let since = events.iter().filter(|event| event.version > version);
            let since = since.map(|event| EventView::of(event, &case, actor)).collect();
            return Err(CaseError::Stale { id, version: case.version, since });
        }
        let parent = match &command {
            Command::MergeInto(merge) => self.parent(&mut tx, merge.parent, actor).await?,
            _ => None,
        };
        let facts = Facts {
            city: &self.city,
            calendar: &calendar,
            recorded: is_recorded(&mut tx, case.call).await?,
            parent: parent.as_ref().map(|parent| Parent { id: parent.id, state: parent.state() }),
        };
        let action = command.action();
        let decision = case.decide(command, actor, &facts, now)?;
        let joins = matches!(decision.event, Event::MergeInto { .. });
        append(&mut tx, &mut case, decision.event, decision.by.clone(), now).await?;
        if let Some(mut parent) = parent.filter(|_| joins) {
            append(&mut tx, &mut parent, Event::Joined { child: id }, decision.by, now).await?;
        }
        tx.commit().await?;
        metrics::counter!("hotline_case_moves_total", "action" => action).increment(1);
        tracing::info!(case.id = %id, case.state = case.state().as_str(), case.version, action, "case moved");
        Ok(View::of(&case, actor, &self.city, &calendar, now))
    }

    /// Makes the case of a call, or the missed-call entry if the caller did not speak. Doing it twice does it once.
    ///
    /// * `tx` — the transaction that also ends the draft job.
    pub async fn draft_from_call(
        &self,
        tx: &mut Tx,
        call: CallId,
        transcript: &Transcript,
        draft: Draft,
    ) -> Result<Drafted, CaseError> {
        let row = tx.call(call).await?.ok_or(CaseError::NoCall(call))?;
        if let Some(case) = tx.case_of_call(call).await? {
            return Ok(Drafted::Case(case));
        }
        let spoke = |said: &crate::domain::transcript::Utterance| {
            said.channel == Channel::Caller && !said.text.trim().is_empty()
        };
        if !transcript.utterances.iter().any(spoke) {
            tx.add_callback(CallbackKind::Missed, Some(call), None, row.caller.as_ref(), "silent").await?;
            tracing::info!(call.id = %call, "the caller did not speak: put on the call-back list");
            return Ok(Drafted::Missed);
        }
        let by = Actor::System.acting_as(None);
        let case = begin(tx, Inlet::Phone, Some(call), None, draft, by).await?;
        tx.call_made_case(call, case.id).await?;
        tracing::info!(case.id = %case.id, call.id = %call, case.number, "case drafted");
        Ok(Drafted::Case(case.id))
    }

    /// The store under the services.
    pub const fn store(&self) -> &Store {
        &self.store
    }

    async fn load(&self, id: CaseId, actor: &Actor) -> Result<Case, CaseError> {
        let row = self.store.case_row(id).await?.ok_or(CaseError::NotFound(id))?;
        shown(case_of(&self.store, row).await?, actor)
    }

    async fn parent(&self, tx: &mut Tx, id: Option<CaseId>, actor: &Actor) -> Result<Option<Case>, CaseError> {
        let Some(id) = id else { return Ok(None) };
        match visible(id, history(tx.case_events(id).await?)?, actor) {
            Ok(parent) => Ok(Some(parent)),
            Err(CaseError::NotFound(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// The case of a history, if the actor may know of it.
fn visible(id: CaseId, history: Vec<Recorded>, actor: &Actor) -> Result<Case, CaseError> {
    if history.is_empty() {
        return Err(CaseError::NotFound(id));
    }
    shown(Case::replay(id, history)?, actor)
}

/// The case, if the actor may know of it.
fn shown(case: Case, actor: &Actor) -> Result<Case, CaseError> {
    if case.is_visible_to(actor) { Ok(case) } else { Err(CaseError::NotFound(case.id)) }
}

async fn is_recorded(tx: &mut Tx, call: Option<CallId>) -> Result<bool, StoreError> {
    Ok(match call {
        Some(call) => tx.call(call).await?.is_some_and(|row| row.recording.is_some()),
        None => false,
    })
}

/// Writes the first event of a case, with its number and row.
async fn begin(
    tx: &mut Tx,
    inlet: Inlet,
    call: Option<CallId>,
    original: Option<String>,
    fields: Draft,
    by: By,
) -> Result<Case, CaseError> {
    let now = tx.now();
    let number = tx.next_case_number(&WorkCalendar::day(now)).await?;
    let id = CaseId::new(tx.fresh_id());
    let first = Case::first(Event::Draft { number, inlet, call, original, fields: Box::new(fields) }, by, now);
    let case = Case::replay(id, [first.clone()])?;
    tx.add_case(&row_of(&case)).await?;
    tx.append_event(id, &stored(&first)).await?;
    if case.uploader.is_some() {
        tx.put_case_units(id, &case.units()).await?;
    }
    tx.announce(Announcement::draft(&case));
    Ok(case)
}

/// Takes a decided event in and writes it down, with the row and the units it changes.
async fn append(tx: &mut Tx, case: &mut Case, event: Event, by: By, now: UnixMs) -> Result<(), CaseError> {
    let before = case.version;
    let dispatched = matches!(event, Event::Dispatch { .. });
    let name = name_of(&event);
    let recorded = case.record(event, by, now)?;
    tx.append_event(case.id, &stored(&recorded)).await?;
    if !tx.update_case(&row_of(case), before).await? {
        // The lock keeps others away, and the version says so once more.
        return Err(CaseError::Stale { id: case.id, version: case.version, since: Vec::new() });
    }
    if dispatched {
        tx.put_case_units(case.id, &case.units()).await?;
    }
    tx.announce(Announcement::case(case, &name));
    corrections::note(tx, case, &recorded).await
}

/// What an event is called in the history.
fn name_of(event: &Event) -> String {
    let json = serde_json::to_value(event).unwrap_or_default();
    json["event"].as_str().unwrap_or_default().to_owned()
}

fn stored(recorded: &Recorded) -> StoredEvent {
    let json = |value: serde_json::Result<String>| value.expect("events have text keys and finite numbers");
    StoredEvent {
        seq: recorded.seq,
        version: recorded.version,
        at: recorded.at,
        actor: json(serde_json::to_string(&recorded.by)),
        body: json(serde_json::to_string(&recorded.event)),
    }
}

fn history(events: Vec<StoredEvent>) -> Result<Vec<Recorded>, CaseError> {
    let read = |event: StoredEvent| {
        Ok(Recorded {
            seq: event.seq,
            version: event.version,
            at: event.at,
            by: serde_json::from_str(&event.actor)?,
            event: serde_json::from_str(&event.body)?,
        })
    };
    events.into_iter().map(read).collect::<Result<_, _>>().map_err(CaseError::Unreadable)
}

#[cfg(test)]
mod tests;
