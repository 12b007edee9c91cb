//! Cases some hundred at a time, with their events and all that is derived from them, so that the views can be held
//! against the events and made anew.

use std::collections::BTreeMap;

use sqlx::FromRow;

use super::{
    CaseRow, CorrectionRow, Store, StoreError, StoredEvent, Tx,
    cases::Row,
    codec::{id, signed, unsigned},
    database::Dialect,
    search,
    sql::{Sql, Value, built, sql},
};
use crate::domain::{ids::CaseId, time::UnixMs};

/// Which cases are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    All,
    /// Those whose view is not written in this shape.
    NotOfShape(i64),
}

/// One case as the tables have it.
#[derive(Clone, Debug)]
pub struct CaseAsStored {
    pub events: Vec<StoredEvent>,
    pub row: CaseRow,
    /// Units with a part in it and the state noted there, by unit.
    pub units: Vec<(String, String)>,
    /// Words as the database keeps them; nothing where the case is not findable.
    words: Option<String>,
    /// By event and field.
    pub corrections: Vec<CorrectionRow>,
    dialect: Dialect,
}

impl CaseAsStored {
    /// Whether it is found by the words of `text`.
    pub fn is_found_by(&self, text: &str) -> bool {
        self.words.as_ref().is_some_and(|words| *words == search::kept(text, self.dialect))
    }
}

impl Tx {
    /// The next cases in their order. Other writers of these wait until this transaction ends.
    pub async fn cases_as_stored(
        &mut self,
        which: Which,
        after: Option<CaseId>,
        limit: u32,
    ) -> Result<Vec<CaseAsStored>, StoreError> {
        let failed = StoreError::at("reading cases with all that is derived from them");
        let shape = match which {
            Which::All => "",
            Which::NotOfShape(_) => "AND shape <> $3",
        };
        let lock = if self.dialect() == Dialect::Postgres { "FOR UPDATE" } else { "" };
        let mut read = built(format!("SELECT * FROM cases WHERE id > $1 {shape} ORDER BY id LIMIT $2 {lock}"))
            .bind(after.map(|id| id.to_string()).unwrap_or_default())
            .bind(i64::from(limit));
        if let Which::NotOfShape(shape) = which {
            read = read.bind(shape);
        }
        let rows: Vec<Row> = read.fetch_all(self.connection()).await.map_err(&failed)?;
        let rows: Vec<CaseRow> = rows.into_iter().map(Row::read).collect::<Result<_, _>>()?;
        let (Some(first), Some(last)) = (rows.first(), rows.last()) else { return Ok(Vec::new()) };
        let (first, last) = (first.id.to_string(), last.id.to_string());

        let events: Vec<EventRow> = sql("SELECT case_id, seq, version, at, actor, body FROM case_events
             WHERE case_id BETWEEN $1 AND $2 ORDER BY case_id, seq")
        .bind(&first)
        .bind(&last)
        .fetch_all(self.connection())
        .await
        .map_err(&failed)?;
        let units: Vec<(String, String, String)> = sql("SELECT case_id, unit, state FROM case_units
             WHERE case_id BETWEEN $1 AND $2 ORDER BY case_id, unit")
        .bind(&first)
        .bind(&last)
        .fetch_all(self.connection())
        .await
        .map_err(&failed)?;
        let mut events = grouped(events.into_iter().map(EventRow::read))?;
        let mut units = grouped(units.into_iter().map(|(case, unit, state)| Ok((id("cases", &case)?, (unit, state)))))?;
        let corrections = self.corrections_between(&first, &last).await?;
        let mut corrections = grouped(corrections.into_iter().map(|row| Ok((row.case, row))))?;
        let mut words = self.words_between(&first, &last).await?;
        let dialect = self.dialect();
        let whole = |row: CaseRow| CaseAsStored {
            events: events.remove(&row.id).unwrap_or_default(),
            units: units.remove(&row.id).unwrap_or_default(),
            words: words.remove(&row.id.to_string()),
            corrections: corrections.remove(&row.id).unwrap_or_default(),
            row,
            dialect,
        };
        Ok(rows.into_iter().map(whole).collect())
    }

    /// Writes rows and words anew, whatever stood there.
    pub async fn put_case_rows(&mut self, rows: &[CaseRow]) -> Result<(), StoreError> {
        let values = |row: &CaseRow| {
            vec![
                Value::from(row.id.to_string()),
                (&row.number).into(),
                signed(row.version).into(),
                (&row.state).into(),
                (&row.channel).into(),
                row.call_id.map(|id| id.to_string()).into(),
                row.unit_due.map(|at| at.0).into(),
                (&row.search).into(),
                (&row.view).into(),
                row.shape.into(),
                row.created.0.into(),
                row.updated.0.into(),
            ]
        };
        let rows_of = rows.iter().map(values).collect();
        self.insert(PUT_ROWS, rows_of, OVER_THE_OLD).await.map_err(StoreError::at("writing rows of cases anew"))?;
        self.put_all_words(rows.iter().map(|row| (row.id, row.search.as_str()))).await
    }

    /// Writes anew which units have a part in cases, each with the state of the case.
    pub async fn put_all_units(&mut self, cases: &[(CaseId, &[(String, String)])]) -> Result<(), StoreError> {
        let failed = StoreError::at("noting the units of cases anew");
        let mut rows = Vec::new();
        for (case, units) in cases {
            let gone = sql("DELETE FROM case_units WHERE case_id = $1").bind(case.to_string());
            gone.execute(self.connection()).await.map_err(&failed)?;
            rows.extend(units.iter().map(|(unit, state)| vec![case.to_string().into(), unit.into(), state.into()]));
        }
        self.insert("INSERT INTO case_units (case_id, unit, state) VALUES", rows, "").await.map_err(failed)
    }

    /// Inserts rows a hundred at a time.
    async fn insert(&mut self, before: &str, rows: Vec<Vec<Value>>, behind: &str) -> Result<(), sqlx::Error> {
        let mut rows = rows.into_iter().peekable();
        while rows.peek().is_some() {
            let (mut places, mut values) = (Vec::new(), Vec::new());
            for row in rows.by_ref().take(ROWS_AT_ONCE) {
                let first = values.len() + 1;
                let row_places: Vec<_> = (first..first + row.len()).map(|place| format!("${place}")).collect();
                places.push(format!("({})", row_places.join(", ")));
                values.extend(row);
            }
            let text = format!("{before} {} {behind}", places.join(", "));
            values.into_iter().fold(built(text), Sql::bind).execute(self.connection()).await?;
        }
        Ok(())
    }
}

/// With the widest row 1200 values: SQLite takes 32,766 in one statement, PostgreSQL 65,535.
const ROWS_AT_ONCE: usize = 100;
const PUT_ROWS: &str = "INSERT INTO cases (id, number, version, state, channel, call_id, unit_due, search, view, shape,
    created, updated) VALUES";
const OVER_THE_OLD: &str = "ON CONFLICT (id) DO UPDATE SET number = EXCLUDED.number, version = EXCLUDED.version,
    state = EXCLUDED.state, channel = EXCLUDED.channel, call_id = EXCLUDED.call_id, unit_due = EXCLUDED.unit_due,
    search = EXCLUDED.search, view = EXCLUDED.view, shape = EXCLUDED.shape, created = EXCLUDED.created,
    updated = EXCLUDED.updated";

impl Store {
    /// How many cases there are.
    pub async fn count_cases(&self) -> Result<u64, StoreError> {
        let (cases,): (i64,) = sql("SELECT COUNT(*) FROM cases")
            .fetch_one(self.readers())
            .await
            .map_err(StoreError::at("counting cases"))?;
        Ok(unsigned(cases))
    }
}

fn grouped<T>(
    rows: impl Iterator<Item = Result<(CaseId, T), StoreError>>,
) -> Result<BTreeMap<CaseId, Vec<T>>, StoreError> {
    let mut groups: BTreeMap<CaseId, Vec<T>> = BTreeMap::new();
    for row in rows {
        let (case, row) = row?;
        groups.entry(case).or_default().push(row);
    }
    Ok(groups)
}

#[derive(FromRow)]
struct EventRow {
    case_id: String,
    seq: i64,
    version: i64,
    at: i64,
    actor: String,
    body: String,
}

impl EventRow {
    fn read(self) -> Result<(CaseId, StoredEvent), StoreError> {
        let event = StoredEvent {
            seq: unsigned(self.seq),
            version: unsigned(self.version),
            at: UnixMs(self.at),
            actor: self.actor,
            body: self.body,
        };
        Ok((id("cases", &self.case_id)?, event))
    }
}
