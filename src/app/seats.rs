//! Joins the operators' telephones, the switchboard and those who watch it.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

use crate::{
    acd::{Event, Plan, Skills},
    cases::Cases,
    clock::Clock,
    domain::{announcement::Announcement, ha1::Ha1, hours::Hours},
    sip::{Away, Registrar, Secrets},
    store::{Store, StoreError},
    switchboard::{News, Switchboard},
    users::Seats,
};

/// How often it is looked up who has learnt something.
const SKILLS: Duration = Duration::from_secs(5);
/// How often the hours of the desks and the rota are looked at.
const HOURS: Duration = Duration::from_secs(5);

#[async_trait::async_trait]
impl Secrets for Seats {
    async fn ha1(&self, name: &str) -> Result<Option<Ha1>, Away> {
        // The inherent one.
        Self::ha1(self, name).await.map_err(|error| {
            tracing::warn!(error = &error as &dyn std::error::Error, "a telephone's secret cannot be looked up");
            Away
        })
    }
}

/// Tells the switchboard whose telephones are there, and what those are good at whose they are.
pub(super) async fn presence_loop(
    registrar: Registrar,
    store: Store,
    switchboard: Switchboard,
    stopping: CancellationToken,
) {
    let mut changes = registrar.changes();
    let mut present: BTreeMap<String, Skills> = BTreeMap::new();
    let mut skills = HashMap::new();
    loop {
        changes.mark_unchanged();
        match store.skills().await {
            Ok(known) => skills = known.into_iter().collect(),
            Err(error) => tracing::debug!(%error, "skills cannot be looked up; they stay as they were"),
        }
        let registered = registrar.registered();
        let of =
            |seat: &String| skills.get(seat).into_iter().flatten().map(|name: &String| name.as_str().into()).collect();
        let now: BTreeMap<String, Skills> = registered.into_iter().map(|seat| (seat.clone(), of(&seat))).collect();
        for (seat, skills) in now.iter().filter(|(seat, skills)| present.get(*seat) != Some(skills)) {
            switchboard.tell(Event::SeatPresent { seat: seat.as_str().into(), skills: skills.clone() }).await;
        }
        for seat in present.keys().filter(|seat| !now.contains_key(*seat)) {
            switchboard.tell(Event::SeatAbsent { seat: seat.as_str().into() }).await;
        }
        present = now;
        tokio::select! {
            changed = changes.changed() => {
                if changed.is_err() {
                    return stopping.cancelled().await;
                }
            }
            () = tokio::time::sleep(SKILLS) => {}
            () = stopping.cancelled() => return,
        }
    }
}

/// Tells the switchboard at which seats those officials sit whose turn it is.
pub(super) async fn turns_loop(store: Store, switchboard: Switchboard, clock: Clock, stopping: CancellationToken) {
    loop {
        match store.seats_on_turn(clock.now()).await {
            Ok(seats) => switchboard.prefer(seats).await,
            Err(error) => tracing::debug!(%error, "the rota cannot be looked up; turns stay as they were"),
        }
        tokio::select! {
            () = tokio::time::sleep(HOURS) => {}
            () = stopping.cancelled() => return,
        }
    }
}

/// Tells the switchboard which desks take calls now.
pub(super) async fn hours_loop(
    plan: Plan,
    cases: Cases,
    switchboard: Switchboard,
    clock: Clock,
    stopping: CancellationToken,
) {
    let bound: Vec<_> = plan.desks.into_iter().filter(|desk| desk.hours != Hours::Always).collect();
    if bound.is_empty() {
        return stopping.cancelled().await;
    }
    loop {
        match cases.work_calendar().await {
            Ok(calendar) => {
                for desk in &bound {
                    let (open, desk) = (desk.hours.open_at(clock.now(), &calendar), desk.id.clone());
                    let event = if open { Event::DeskOpened { desk } } else { Event::DeskClosed { desk } };
                    switchboard.tell(event).await;
                }
            }
            Err(error) => tracing::warn!(%error, "the hours of the desks cannot be looked up; they stay as they were"),
        }
        tokio::select! {
            () = clock.sleep_until(clock.instant() + HOURS) => {}
            () = stopping.cancelled() => return,
        }
    }
}

/// Announces what changes at seats and desks to those who watch.
pub(super) async fn announce_loop(store: Store, switchboard: Switchboard, stopping: CancellationToken) {
    let mut news = switchboard.news();
    loop {
        let first = tokio::select! {
            first = news.recv() => first,
            () = stopping.cancelled() => return,
        };
        let mut announcements = match first {
            Ok(one) => vec![announcement(&one)],
            Err(RecvError::Lagged(_)) => continue,
            Err(RecvError::Closed) => return stopping.cancelled().await,
        };
        while let Ok(more) = news.try_recv() {
            announcements.push(announcement(&more));
        }
        if let Err(error) = announce(&store, announcements).await {
            tracing::debug!(%error, "what changed at the seats could not be announced");
        }
    }
}

fn announcement(news: &News) -> Announcement {
    match news {
        News::Seat { seat, state } => Announcement::seat(seat, state.name(), state.call()),
        News::Queue { desk, waiting, ringing } => Announcement::queue(desk, *waiting, *ringing),
    }
}

async fn announce(store: &Store, announcements: Vec<Announcement>) -> Result<(), StoreError> {
    let mut tx = store.begin().await?;
    for announcement in announcements {
        tx.announce(announcement);
    }
    tx.commit().await
}
