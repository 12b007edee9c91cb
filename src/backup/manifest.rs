//! What is in a backup, part by part.

use serde::{Deserialize, Serialize};

use crate::store::TableForm;

/// Name of the manifest, the last part but one.
pub const MANIFEST: &str = "manifest.json";
/// The manifest's SHA-256 in hex, the last part.
pub const SEAL: &str = "manifest.sha256";
/// Keys, sealed with the passphrase.
pub const KEYS: &str = "keys.sealed";
/// The city's file.
pub const CITY: &str = "city.json";
/// Call, key, SHA-256 and samples of each sealed recording.
pub const INDEX: &str = "recordings/index.jsonl.gz";
/// What stands before a recording's or sidecar's key.
pub const OBJECTS: &str = "recordings/objects/";
/// What stands before a table's name.
const TABLES: &str = "database/";
/// Bytes of a block of a tar archive.
pub const BLOCK: u64 = 512;
/// What a tar archive ends with.
pub const END: [u8; 1024] = [0; 1024];

/// The table of contents.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Of the file's form.
    pub format: u32,
    /// Version of the program that made it.
    pub program: String,
    pub id: String,
    /// RFC 3339, the moment that it shows.
    pub made: String,
    /// Number of the latest migration.
    pub schema: i64,
    pub tables: Vec<TableForm>,
    /// Recordings in the index.
    pub recordings: u64,
    /// Whether the recordings themselves are there.
    pub with_recordings: bool,
    /// Recordings or sidecars of the index that the store did not have.
    pub missing: u64,
    /// Whether the keys are there.
    pub with_keys: bool,
    pub parts: Vec<Part>,
}

/// One file in the archive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    pub name: String,
    pub bytes: u64,
    pub sha256: String,
}

impl Manifest {
    /// Rows of a table.
    pub fn rows(&self, table: &str) -> u64 {
        self.tables.iter().find(|form| form.name == table).map_or(0, |form| form.rows)
    }
}

/// Where a piece of a table stands.
pub fn piece(table: &str, number: usize) -> String {
    format!("{TABLES}{table}/{number:06}.jsonl.gz")
}
