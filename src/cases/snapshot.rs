//! The row of a case, with the case as its events have made it: written together with each event, read instead of them.

use super::{CaseError, history, view};
use crate::{
    domain::case::Case,
    store::{CaseRow, Store, Tx},
};

/// How [`Case`] is written into its row. Give it the next number whenever a stored case would read differently: rows of
/// another shape are replayed when they are read, and written anew at the next start.
pub(super) const SHAPE: i64 = 2;

/// What a case's row says.
pub(super) fn row_of(case: &Case) -> CaseRow {
    let fields = &case.fields;
    let words = [&fields.title, &fields.description, &fields.address].map(|field| field.value.as_deref());
    let search =
        std::iter::once(case.number.as_str()).chain(words.into_iter().flatten()).collect::<Vec<_>>().join("\n");
    CaseRow {
        id: case.id,
        number: case.number.clone(),
        version: case.version,
        state: case.state().as_str().into(),
        channel: view::word(&case.inlet),
        call_id: case.call,
        unit_due: case.unit_due(),
        search: search.to_lowercase(),
        view: serde_json::to_string(case).expect("a case has text keys and finite numbers"),
        shape: SHAPE,
        created: case.created,
        updated: case.updated,
    }
}

/// The case of a row.
pub(super) async fn case_of(store: &Store, row: CaseRow) -> Result<Case, CaseError> {
    match read(&row) {
        Some(case) => Ok(case),
        None => Ok(Case::replay(row.id, history(store.case_events(row.id).await?)?)?),
    }
}

/// The case of a row, as a transaction sees it.
pub(super) async fn case_in(tx: &mut Tx, row: CaseRow) -> Result<Case, CaseError> {
    match read(&row) {
        Some(case) => Ok(case),
        None => Ok(Case::replay(row.id, history(tx.case_events(row.id).await?)?)?),
    }
}

/// Reads the view; nothing where only the events can tell.
fn read(row: &CaseRow) -> Option<Case> {
    if row.shape != SHAPE {
        return None;
    }
    match serde_json::from_str(&row.view) {
        Ok(case) => Some(case),
        Err(error) => {
            let (line, column) = (error.line(), error.column());
            tracing::warn!(case.id = %row.id, line, column, "a case's view cannot be read: run `hotline cases rebuild`");
            None
        }
    }
}
