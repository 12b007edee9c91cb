//! Between rows and words: ids and enumerations are text, documents JSON text.

use std::str::FromStr;

use serde::{Serialize, de::DeserializeOwned};

use super::StoreError;

/// A document as stored.
pub(super) fn json<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("our own documents have text keys and finite numbers")
}

/// Reads a document.
pub(super) fn from_json<T: DeserializeOwned>(what: &'static str, text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|error| StoreError::Unreadable { what, value: error.to_string() })
}

/// An enumeration's word as `serde` names it.
pub(super) fn word<T: Serialize>(value: &T) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        _ => unreachable!("only enumerations without fields are stored as words"),
    }
}

/// Reads an enumeration's word.
pub(super) fn from_word<T: DeserializeOwned>(what: &'static str, word: String) -> Result<T, StoreError> {
    serde_json::from_value(serde_json::Value::String(word.clone()))
        .map_err(|_| StoreError::Unreadable { what, value: word })
}

/// A count or a version as stored; none of ours comes near the end of 63 bits.
pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Reads a count or a version; no column of ours holds a negative one.
pub(super) fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

/// Reads an id.
pub(super) fn id<T: FromStr>(what: &'static str, text: &str) -> Result<T, StoreError> {
    text.parse().map_err(|_| StoreError::Unreadable { what, value: text.to_owned() })
}

/// Reads an id that may be absent.
pub(super) fn maybe_id<T: FromStr>(what: &'static str, text: Option<&str>) -> Result<Option<T>, StoreError> {
    text.map(|text| id(what, text)).transpose()
}
