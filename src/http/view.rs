//! Shapes that many answers share: pages, times in the city's zone, masked numbers.

use jiff::{Timestamp, tz::Offset};
use serde::{Serialize, Serializer};
use utoipa::ToSchema;

use super::problem::{Kind, Problem};
use crate::domain::time::UnixMs;

/// One page of a list.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Page<T> {
    pub(super) items: Vec<T>,
    /// `after` of the next page; null at the end.
    pub(super) next: Option<String>,
}

/// Items a page when the query names no `limit`.
const USUAL: u32 = 50;
/// Largest `limit`.
pub(super) const LARGEST: u32 = 200;

/// The `limit` of a query.
pub(super) fn limit(asked: Option<u32>) -> Result<u32, Problem> {
    match asked.unwrap_or(USUAL) {
        limit @ 1..=LARGEST => Ok(limit),
        limit => {
            Err(Kind::BadRequest.because(format!("limit: {limit} is not between 1 and 200")).with("field", "limit"))
        }
    }
}

/// The `after` of a query.
pub(super) fn after<T: std::str::FromStr>(asked: Option<&String>) -> Result<Option<T>, Problem> {
    let wrong = || Kind::BadRequest.because("after: is not the `next` of a page").with("field", "after");
    asked.map(|text| text.parse().map_err(|_| wrong())).transpose()
}

impl<T> Page<T> {
    /// Cuts a page from rows of which one more than `limit` was asked for.
    pub(super) fn cut<R>(mut rows: Vec<R>, limit: u32, id: impl Fn(&R) -> String, view: impl Fn(R) -> T) -> Self {
        let limit = limit as usize;
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next = rows.last().filter(|_| more).map(id);
        Self { items: rows.into_iter().map(view).collect(), next }
    }
}

/// A moment, RFC 3339 in the city's zone (China has one all year, UTC+8).
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment(pub(super) UnixMs);

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let stamp = Timestamp::from_millisecond(self.0.0).unwrap_or(Timestamp::UNIX_EPOCH);
        serializer.collect_str(&stamp.display_with_offset(Offset::constant(8)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_shown_in_the_citys_zone() {
        let shown = serde_json::to_value(Moment(UnixMs(1_795_395_600_000))).expect("text");
        assert_eq!(shown, "2026-11-23T09:00:00+08:00");
    }

    #[test]
    fn a_page_names_the_next_one_only_if_there_is_one() {
        let cut = |rows: Vec<u8>| Page::cut(rows, 2, ToString::to_string, |row| row);
        assert_eq!(cut(vec![1, 2, 3]).next.as_deref(), Some("2"));
        assert_eq!((cut(vec![1, 2]).next, cut(vec![1, 2, 3]).items), (None, vec![1, 2]));
    }
}
