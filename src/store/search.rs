//! How cases are listed and searched. Each list walks an index that has the order of its page, latest first, and ends
//! with it, so that it takes as long with two hundred thousand cases as with two thousand.
//!
//! The words (see `domain::words`) stand in `case_words`, which is each database's own: SQLite has FTS5, whose rows go by
//! number (`case_words_order` says which case has which) and end with the page. PostgreSQL has a `tsvector` with a GIN
//! index, which knows no order and gives all hits or none: so the newest cases are walked first, which fills a page of
//! words that many have, and only for words that few have the index is asked. The planner cannot choose between the two:
//! it takes the pairs of a phrase for independent of each other.

use std::{
    collections::BTreeMap,
    fmt::{self, Write},
};

use super::{
    CaseFilter, StoreError, Tx,
    database::Dialect,
    sql::{Sql, Value, built, sql},
};
use crate::domain::{
    ids::CaseId,
    words::{self, Phrase},
};

/// Rows of a page at most.
const LARGEST_PAGE: u32 = 500;
/// Places that are kept of one word; PostgreSQL keeps 255 at most.
const PLACES: usize = 200;
/// Bits below the milliseconds in the number of a row: 44 bits hold the time until the year 2527.
const BELOW_TIME: u32 = 19;

/// Cases that PostgreSQL walks before it asks the index for words: some milliseconds. Words that fewer than a page of
/// them have, have few hits in all.
const NEWEST: u32 = 2_000;

/// How far a search looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    Newest,
    All,
}

/// The page that a filter asks for, as statements to be tried until one gives a full page; the last one gives what there
/// is. There are none when the words asked for hold no letter, so that no case can have them.
pub(super) fn pages(filter: &CaseFilter, dialect: Dialect) -> Vec<Sql> {
    let reaches: &[_] = match dialect {
        Dialect::Postgres if filter.q.is_some() => &[Reach::Newest, Reach::All],
        _ => &[Reach::All],
    };
    reaches.iter().filter_map(|reach| page(filter, dialect, *reach)).collect()
}

fn page(filter: &CaseFilter, dialect: Dialect, reach: Reach) -> Option<Sql> {
    let mut page = Page { text: "SELECT c.* FROM ".into(), values: Vec::new(), conditions: 0 };
    // SQLite takes the tables of a cross join in the order they stand.
    let join = if dialect == Dialect::Sqlite { "CROSS JOIN" } else { "JOIN" };
    let (mut unit, mut official) = (filter.unit.as_ref(), filter.official);
    let order = if let Some(q) = &filter.q {
        let phrases = words::wanted(q);
        if phrases.is_empty() {
            return None;
        }
        page.searched(&phrases, filter.after, dialect, reach)
    } else if let Some(unit) = unit.take() {
        page.add(format_args!("case_units u {join} cases c ON c.id = u.case_id"));
        page.only("u.unit =", unit);
        "u.case_id"
    } else if let Some(official) = official.take() {
        page.add(format_args!("calls k {join} cases c ON c.id = k.case_id"));
        page.only("k.official =", official.to_string());
        "c.id"
    } else {
        page.add("cases c");
        "c.id"
    };
    if let Some(unit) = unit {
        page.only("EXISTS (SELECT 1 FROM case_units u WHERE u.case_id = c.id AND u.unit =", unit);
        page.add(")");
    }
    if let Some(official) = official {
        page.only("EXISTS (SELECT 1 FROM calls k WHERE k.case_id = c.id AND k.official =", official.to_string());
        page.add(")");
    }
    if let Some(state) = &filter.state {
        page.only(if order == "u.case_id" { "u.state =" } else { "c.state =" }, state);
    }
    if let Some(at) = filter.overdue_at {
        page.only("c.unit_due <", at.0);
    }
    if let Some(after) = filter.after {
        if order == "w.rowid" {
            page.only("w.rowid < (SELECT ord FROM case_words_order WHERE case_id =", after.to_string());
            page.add(")");
        } else {
            page.only(format_args!("{order} <"), after.to_string());
        }
    }
    page.add(format_args!(" ORDER BY {order} DESC LIMIT "));
    page.value(i64::from(filter.limit.min(LARGEST_PAGE)));
    Some(page.values.into_iter().fold(built(page.text), Sql::bind))
}

/// A statement in the making.
struct Page {
    text: String,
    values: Vec<Value>,
    conditions: u32,
}

impl Page {
    /// Cases that have the words.
    ///
    /// * returns — what their order is.
    fn searched(&mut self, phrases: &[Phrase], after: Option<CaseId>, dialect: Dialect, reach: Reach) -> &'static str {
        match (dialect, reach) {
            (Dialect::Sqlite, _) => {
                self.add("case_words w CROSS JOIN case_words_order o ON o.ord = w.rowid");
                self.add(" CROSS JOIN cases c ON c.id = o.case_id");
                self.only("case_words MATCH", fts5(phrases));
                "w.rowid"
            }
            (Dialect::Postgres, Reach::Newest) => {
                self.add("(SELECT case_id, words FROM case_words");
                if let Some(after) = after {
                    self.add(" WHERE case_id < ");
                    self.value(after.to_string());
                }
                self.add(format_args!(" ORDER BY case_id DESC LIMIT {NEWEST}) w JOIN cases c ON c.id = w.case_id"));
                self.only("w.words @@ CAST(", tsquery(phrases));
                self.add(" AS TSQUERY)");
                "w.case_id"
            }
            (Dialect::Postgres, Reach::All) => {
                self.add("(WITH hits AS MATERIALIZED (SELECT case_id FROM case_words WHERE words @@ CAST(");
                self.value(tsquery(phrases));
                self.add(" AS TSQUERY)) SELECT case_id FROM hits) w JOIN cases c ON c.id = w.case_id");
                "w.case_id"
            }
        }
    }

    fn only(&mut self, condition: impl fmt::Display, value: impl Into<Value>) {
        let word = if self.conditions == 0 { "WHERE" } else { "AND" };
        self.conditions += 1;
        self.add(format_args!(" {word} {condition} "));
        self.value(value);
    }

    fn value(&mut self, value: impl Into<Value>) {
        self.values.push(value.into());
        self.add(format_args!("${}", self.values.len()));
    }

    fn add(&mut self, piece: impl fmt::Display) {
        write!(self.text, "{piece}").expect("a text takes everything");
    }
}

/// The words of a text as the database keeps them.
pub(super) fn kept(text: &str, dialect: Dialect) -> String {
    let words = words::indexed(text);
    match dialect {
        Dialect::Sqlite => words.join(" "),
        Dialect::Postgres => tsvector(&words),
    }
}

impl Tx {
    /// Makes a case findable by its text; does nothing when it is so already.
    pub(super) async fn put_words(&mut self, case: CaseId, text: &str) -> Result<(), StoreError> {
        self.put_all_words([(case, text)].into_iter()).await
    }

    /// Gives the words of a case their row in SQLite's index.
    async fn put_row_of_words(&mut self, case: CaseId, text: &str) -> Result<(), StoreError> {
        let failed = StoreError::at("indexing the words of a case");
        let (id, words) = (case.to_string(), kept(text, Dialect::Sqlite));
        let there: Option<(i64, Option<String>)> = sql("SELECT o.ord, w.words FROM case_words_order o
             LEFT JOIN case_words w ON w.rowid = o.ord WHERE o.case_id = $1")
        .bind(&id)
        .fetch_optional(self.connection())
        .await
        .map_err(&failed)?;
        let change = match there {
            Some((_, Some(known))) if known == words => return Ok(()),
            Some((ord, Some(_))) => sql("UPDATE case_words SET words = $2 WHERE rowid = $1").bind(ord),
            Some((ord, None)) => sql(NEW_WORDS).bind(ord),
            None => {
                let (ord,): (i64,) =
                    sql(NEW_NUMBER).bind(number(case)).bind(id).fetch_one(self.connection()).await.map_err(&failed)?;
                sql(NEW_WORDS).bind(ord)
            }
        };
        change.bind(words).execute(self.connection()).await.map_err(failed)?;
        Ok(())
    }

    /// Makes many cases findable.
    pub(super) async fn put_all_words(
        &mut self,
        cases: impl Iterator<Item = (CaseId, &str)> + Send,
    ) -> Result<(), StoreError> {
        if self.dialect() == Dialect::Sqlite {
            for (case, text) in cases {
                self.put_row_of_words(case, text).await?;
            }
            return Ok(());
        }
        let cases: Vec<_> = cases.collect();
        for some in cases.chunks(CASES_AT_ONCE) {
            let places =
                (0..some.len()).map(|place| format!("(${}, CAST(${} AS TSVECTOR))", 2 * place + 1, 2 * place + 2));
            let text = format!("{PUT_WORDS} {} {OVER_THE_OLD}", places.collect::<Vec<_>>().join(", "));
            let values = some.iter().flat_map(|(case, text)| [case.to_string(), kept(text, Dialect::Postgres)]);
            let put = values.fold(built(text), Sql::bind);
            put.execute(self.connection()).await.map_err(StoreError::at("indexing the words of cases"))?;
        }
        Ok(())
    }

    /// The kept words of the cases from one to another.
    pub(super) async fn words_between(
        &mut self,
        first: &str,
        last: &str,
    ) -> Result<BTreeMap<String, String>, StoreError> {
        let read = match self.dialect() {
            Dialect::Sqlite => sql("SELECT o.case_id, w.words FROM case_words_order o CROSS JOIN case_words w
                 ON w.rowid = o.ord WHERE o.case_id BETWEEN $1 AND $2"),
            Dialect::Postgres => {
                sql("SELECT case_id, CAST(words AS TEXT) FROM case_words WHERE case_id BETWEEN $1 AND $2")
            }
        };
        let rows: Vec<(String, String)> = read
            .bind(first)
            .bind(last)
            .fetch_all(self.connection())
            .await
            .map_err(StoreError::at("reading the words of cases"))?;
        Ok(rows.into_iter().collect())
    }
}

/// Rows of one statement.
const CASES_AT_ONCE: usize = 100;
const PUT_WORDS: &str = "INSERT INTO case_words (case_id, words) VALUES";
const OVER_THE_OLD: &str = "ON CONFLICT (case_id) DO UPDATE SET words = EXCLUDED.words
    WHERE case_words.words <> EXCLUDED.words";

const NEW_WORDS: &str = "INSERT INTO case_words (rowid, words) VALUES ($1, $2)";

/// Two cases of one moment whose ids begin alike stand one after the other.
const NEW_NUMBER: &str = "INSERT INTO case_words_order (ord, case_id)
    SELECT COALESCE(MAX(ord) + 1, $1), $2 FROM case_words_order WHERE ord >= $1 AND ord < $1 + 65536 RETURNING ord";

/// The number of a row from the beginning of the case's id: its milliseconds, then what tells cases of one moment apart.
fn number(case: CaseId) -> i64 {
    let bits = case.as_u128();
    let time = (bits >> 80) & ((1 << 44) - 1);
    // Behind the 4 bits of the version 12 are free, behind the 2 bits of the variant 62.
    let apart = ((bits >> 64) & 0xFFF) << (BELOW_TIME - 12) | (bits >> 55) & 0x7F;
    i64::try_from(time << BELOW_TIME | apart).unwrap_or(i64::MAX)
}

/// `"停水" AND "新村 3" *`: words hold letters and digits only, so nothing in them is a sign of the query.
fn fts5(phrases: &[Phrase]) -> String {
    let written = |phrase: &Phrase| format!("\"{}\"{}", phrase.words.join(" "), if phrase.open { " *" } else { "" });
    phrases.iter().map(written).collect::<Vec<_>>().join(" AND ")
}

/// `('停水') & ('新村' <-> '3':*)`.
fn tsquery(phrases: &[Phrase]) -> String {
    let written = |phrase: &Phrase| {
        let words = phrase.words.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" <-> ");
        format!("({words}{})", if phrase.open { ":*" } else { "" })
    };
    phrases.iter().map(written).collect::<Vec<_>>().join(" & ")
}

/// `'停水':1,5 '水了':2` in PostgreSQL's own order, so that it comes out as it went in.
fn tsvector(words: &[String]) -> String {
    let mut places: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (place, word) in words.iter().enumerate() {
        places.entry(word).or_default().push(place + 1);
    }
    let written = |(word, places): (&str, Vec<usize>)| {
        let places = places.iter().take(PLACES).map(ToString::to_string).collect::<Vec<_>>().join(",");
        format!("'{word}':{places}")
    };
    places.into_iter().map(written).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn numbers_go_in_the_order_of_the_cases() {
        let at = |ms: u64, random: u128| {
            let version = 7 << 76;
            CaseId::new(Uuid::from_u128((u128::from(ms) << 80) | version | (random << 55)))
        };
        let now = 1_795_395_600_000;
        assert!(number(at(now, 0x7F)) < number(at(now + 1, 0)));
        assert!(number(at(now, 1)) < number(at(now, 2)));
        assert!(number(at((1 << 44) - 1, 0)) > 0);
    }

    #[test]
    fn a_search_is_written_as_each_database_reads_it() {
        let asked = words::wanted("停水 新村3号");
        assert_eq!(fts5(&asked), "\"停水\" AND \"新村 村 3 号\" *");
        assert_eq!(tsquery(&asked), "('停水') & ('新村' <-> '村' <-> '3' <-> '号':*)");
        assert_eq!(kept("停水停水", Dialect::Postgres), "'停水':1,3 '水':4 '水停':2");
    }
}
