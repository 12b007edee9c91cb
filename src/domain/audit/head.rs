//! The signed head: once a day the end of the chain is written down where the database's administrator cannot reach.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{UnixMs, netstrings};

/// Name of the encoding; a changed encoding gets another.
const ENCODING: &str = "hotline-audit-head-1";

/// Where the chain ended at a moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Head {
    /// 1, 2, 3 … without a gap.
    pub number: u64,
    /// Day of the city, `2026-11-23`.
    pub day: String,
    /// Milliseconds since 1970, UTC.
    #[schema(value_type = i64)]
    pub at: UnixMs,
    /// The last entry.
    pub seq: u64,
    /// Entries since the head before.
    pub count: u64,
    /// Hash of the last entry.
    pub hash: String,
    /// [`Head::hash_of`] of the head before, [`super::BEGINNING`] for the first.
    pub prev: String,
}

/// A head with its Ed25519 signature over [`Head::encoding`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SignedHead {
    #[serde(flatten)]
    pub head: Head,
    /// The key that signed.
    pub key: Uuid,
    /// Lower-case hexadecimal.
    pub signature: String,
}

impl Head {
    /// The bytes that are signed: netstrings, as those of an entry.
    pub fn encoding(&self) -> Vec<u8> {
        let [number, at, seq, count] =
            [self.number.to_string(), self.at.0.to_string(), self.seq.to_string(), self.count.to_string()];
        netstrings(&[ENCODING, &number, &self.day, &at, &seq, &count, &self.hash, &self.prev])
    }

    /// What the next head holds as `prev`: SHA-256 of the encoding, in hex.
    pub fn hash_of(&self) -> String {
        hex::encode(Sha256::digest(self.encoding()))
    }

    /// Where it stands beside the recordings.
    pub fn key(day: &str) -> String {
        format!("audit/heads/{day}.json")
    }
}
