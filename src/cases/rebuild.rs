//! Makes the views of cases anew from their events, which alone are the truth: rows, units, words to search by,
//! corrections. It goes on beside a running line: some cases at a time, each written only where it differs.

use super::{
    CaseError, corrections, history,
    snapshot::{SHAPE, row_of},
};
use crate::{
    domain::{case::Case, ids::CaseId},
    store::{CaseAsStored, CaseRow, CorrectionRow, Store, StoreError, Tx, Which},
};

/// Cases in one transaction: the line waits for it some tens of milliseconds.
const AT_ONCE: u32 = 200;

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rebuild {
    /// Compares and writes nothing.
    Check,
    /// Writes what differs.
    All,
    /// Writes what another version of the program has left.
    Outdated,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rebuilt {
    /// Cases looked at.
    pub cases: u64,
    /// Those whose views were not what their events say.
    pub differed: u64,
    /// The first of them, with what differed: `row`, `units`, `words`, `corrections`.
    pub first: Option<(CaseId, &'static str)>,
}

/// Why it stopped.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    #[error("case {id} cannot be made from its events")]
    Case {
        id: CaseId,
        #[source]
        source: CaseError,
    },
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Holds every view against its events.
///
/// * `told` — how many cases are done, of how many.
pub async fn rebuild(store: &Store, what: Rebuild, mut told: impl FnMut(u64, u64)) -> Result<Rebuilt, RebuildError> {
    let which = if what == Rebuild::Outdated { Which::NotOfShape(SHAPE) } else { Which::All };
    let total = if what == Rebuild::Outdated { 0 } else { store.count_cases().await? };
    let (mut done, mut after) = (Rebuilt::default(), None);
    loop {
        let mut tx = store.begin().await?;
        let batch = tx.cases_as_stored(which, after, AT_ONCE).await?;
        let Some(last) = batch.last() else { return Ok(done) };
        after = Some(last.row.id);
        let mut wrong = Vec::new();
        for stored in &batch {
            let id = stored.row.id;
            let expected = Expected::of(stored).map_err(|source| RebuildError::Case { id, source })?;
            if let Some(part) = expected.differs_from(stored) {
                done.first.get_or_insert((id, part));
                wrong.push((expected, stored));
            }
        }
        done.cases += batch.len() as u64;
        done.differed += wrong.len() as u64;
        if what == Rebuild::Check || wrong.is_empty() {
            tx.roll_back().await?;
        } else {
            write(&mut tx, &wrong).await?;
            tx.commit().await?;
        }
        told(done.cases, total.max(done.cases));
    }
}

/// What the events of a case say.
struct Expected {
    row: CaseRow,
    units: Vec<(String, String)>,
    corrections: Vec<CorrectionRow>,
}

impl Expected {
    fn of(stored: &CaseAsStored) -> Result<Self, CaseError> {
        let history = history(stored.events.clone())?;
        let case = Case::replay(stored.row.id, history.iter().cloned())?;
        let state = case.state().as_str();
        let mut units: Vec<_> = case.units().into_iter().map(|unit| (unit.to_owned(), state.to_owned())).collect();
        units.sort_unstable();
        Ok(Self { row: row_of(&case), units, corrections: corrections::all(&case, &history) })
    }

    fn differs_from(&self, stored: &CaseAsStored) -> Option<&'static str> {
        let parts = [
            ("row", self.row == stored.row),
            ("units", self.units == stored.units),
            ("words", stored.is_found_by(&self.row.search)),
            ("corrections", self.corrections == stored.corrections),
        ];
        parts.into_iter().find(|(_, same)| !same).map(|(part, _)| part)
    }
}

async fn write(tx: &mut Tx, wrong: &[(Expected, &CaseAsStored)]) -> Result<(), StoreError> {
    let rows: Vec<_> = wrong.iter().map(|(expected, _)| expected.row.clone()).collect();
    tx.put_case_rows(&rows).await?;
    let units = wrong.iter().filter(|(expected, stored)| expected.units != stored.units);
    let units: Vec<_> = units.map(|(expected, _)| (expected.row.id, expected.units.as_slice())).collect();
    tx.put_all_units(&units).await?;
    for (expected, _) in wrong.iter().filter(|(expected, stored)| expected.corrections != stored.corrections) {
        tx.clear_corrections(expected.row.id).await?;
        tx.add_corrections(&expected.corrections).await?;
    }
    Ok(())
}
