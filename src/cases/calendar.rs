//! The calendar in force: the settings' own years, and in their place those of the database.
//!
//! Whoever counts dates or shows them asks for the latest revision first, so a new year is in force in every process with
//! the commit that brings it. Bringing open cases to it is the job of [`super::recalculate`].

use std::sync::{Arc, PoisonError, RwLock};

use serde_json::json;

use super::{CaseError, Cases};
use crate::{
    domain::{
        audit::Action,
        calendar::{CalendarError, WorkCalendar},
        case::Actor,
        city::City,
        clocks::Terms,
        ids::UserId,
        year::YearPlan,
    },
    jobs::Kind,
    store::{AuditEntry, Recalculation, Store, StoreError, Tx, YearOrigin, YearRow},
};

/// The calendar as last read. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Calendars(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// The settings' own.
    settings: WorkCalendar,
    read: RwLock<(u64, Arc<WorkCalendar>)>,
}

/// What became of an import.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imported {
    /// What the year is called now.
    pub revision: u64,
    /// False where exactly this year was in force already.
    pub is_new: bool,
}

/// A year as it is in force, for those who ask for it.
#[derive(Clone, Debug)]
pub struct KnownYear {
    pub calendar: Arc<WorkCalendar>,
    /// Who imported it and how far open cases were brought to it; absent for a year that no database holds.
    pub row: Option<YearRow>,
}

impl Calendars {
    /// # Errors
    /// Settings that cannot be used.
    pub(super) fn new(city: &City) -> Result<Self, CalendarError> {
        let settings = WorkCalendar::new(&city.calendar)?;
        for (class, times) in &city.time_classes {
            Terms::of(times)
                .map_err(|error| CalendarError::Class { class: class.clone(), problem: error.to_string() })?;
        }
        let read = RwLock::new((0, Arc::new(settings.clone())));
        Ok(Self(Arc::new(Inner { settings, read })))
    }

    /// The calendar in force now.
    pub(super) async fn current(&self, store: &Store) -> Result<Arc<WorkCalendar>, CaseError> {
        let revision = store.calendar_revision().await?;
        match self.read(revision) {
            Some(calendar) => Ok(calendar),
            None => self.take(revision, &store.calendar_years().await?),
        }
    }

    /// The calendar as a transaction sees it; after [`Tx::keep_calendar`] it stays in force until that ends.
    pub(super) async fn within(&self, tx: &mut Tx) -> Result<Arc<WorkCalendar>, CaseError> {
        let revision = tx.calendar_revision().await?;
        match self.read(revision) {
            Some(calendar) => Ok(calendar),
            None => self.take(revision, &tx.calendar_years().await?),
        }
    }

    fn read(&self, revision: u64) -> Option<Arc<WorkCalendar>> {
        let read = self.0.read.read().unwrap_or_else(PoisonError::into_inner);
        (read.0 == revision).then(|| read.1.clone())
    }

    /// Puts the database's years in the place of the settings'.
    fn take(&self, revision: u64, years: &[YearRow]) -> Result<Arc<WorkCalendar>, CaseError> {
        let mut calendar = self.0.settings.clone();
        for row in years {
            calendar = calendar.with(&row.plan, row.revision)?;
        }
        let calendar = Arc::new(calendar);
        // Years may be newer than the revision that was asked for a moment before, never older.
        let revision = years.iter().map(|row| row.revision).max().unwrap_or(revision);
        *self.0.read.write().unwrap_or_else(PoisonError::into_inner) = (revision, calendar.clone());
        Ok(calendar)
    }
}

impl Cases {
    /// The calendar in force now.
    pub async fn work_calendar(&self) -> Result<Arc<WorkCalendar>, CaseError> {
        self.calendars.current(&self.store).await
    }

    /// Puts a year into force, if it differs from what is, and leaves the job that brings open cases to it.
    ///
    /// * `by` — absent: somebody at the command line.
    ///
    /// # Errors
    /// Every mistake in the year.
    pub async fn import_year(&self, plan: &YearPlan, by: Option<&Actor>) -> Result<Imported, CaseError> {
        // Checked first: nobody has to wait for a year that cannot be used.
        self.calendars.current(&self.store).await?.as_ref().clone().with(plan, 0)?;
        let mut tx = self.store.begin().await?;
        tx.lock_calendar().await?;
        let known = tx.calendar_years().await?;
        if let Some(row) = known.iter().find(|row| row.plan == *plan) {
            return Ok(Imported { revision: row.revision, is_new: false });
        }
        let by = by.map(|actor| actor.acting_as(None));
        let (user, name) = by.map_or((None, "command line".to_owned()), |by| (by.user, by.name));
        let revision = put_year(&mut tx, plan, YearOrigin::Import, user, name).await?;
        tx.commit().await?;
        tracing::info!(year = plan.year, revision, plan.provisional, "calendar: a year was imported");
        Ok(Imported { revision, is_new: true })
    }

    /// Takes the settings' years into the database, where nobody has imported them and they were not there before: a
    /// new version of the city's file counts, an old one that comes back does not.
    ///
    /// * returns — the years that are new.
    pub async fn adopt_years(&self) -> Result<Vec<i16>, CaseError> {
        let mut tx = self.store.begin().await?;
        tx.lock_calendar().await?;
        let mut adopted = Vec::new();
        for plan in self.city.calendar.plans() {
            let history = tx.calendar_year_history(plan.year).await?;
            let imported = history.iter().any(|row| row.origin == YearOrigin::Import);
            if !imported && history.iter().all(|row| row.plan != plan) {
                put_year(&mut tx, &plan, YearOrigin::Settings, None, "system".into()).await?;
                adopted.push(plan.year);
            }
        }
        tx.commit().await?;
        if !adopted.is_empty() {
            tracing::info!(years = ?adopted, "calendar: the settings' years are in force");
        }
        Ok(adopted)
    }

    /// A year and where it comes from.
    pub async fn year(&self, year: i16) -> Result<KnownYear, CaseError> {
        let calendar = self.calendars.current(&self.store).await?;
        let row = self.store.calendar_years().await?.into_iter().find(|row| row.plan.year == year);
        Ok(KnownYear { calendar, row })
    }

    /// How far open cases have been brought to a revision; nothing if there is none.
    pub async fn recalculation(&self, revision: u64) -> Result<Option<Recalculation>, CaseError> {
        Ok(self.store.recalculation(revision).await?)
    }
}

async fn put_year(
    tx: &mut Tx,
    plan: &YearPlan,
    origin: YearOrigin,
    user: Option<UserId>,
    name: String,
) -> Result<u64, StoreError> {
    let revision = tx.add_calendar_year(plan, origin, &name).await?;
    tx.enqueue(Kind::Recalculate, revision).await?;
    let detail =
        json!({ "revision": revision, "source": plan.source, "provisional": plan.provisional, "origin": origin });
    let (action, subject) = (Action::CalendarImported, format!("calendar:{}", plan.year));
    tx.audit(AuditEntry { user, name, action, subject, detail });
    Ok(revision)
}
