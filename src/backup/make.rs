//! Makes a backup of a line, which may go on meanwhile.

use std::{
    fs,
    path::{Path, PathBuf},
};

use futures::TryStreamExt;
use jiff::{Timestamp, tz};
use serde_json::{Value, json};

use super::{
    BackupError, FORMAT, Step,
    lines::{self, Lines},
    manifest::{self, Manifest},
    writer::{self, Writer},
};
use crate::{
    clock::Clock,
    domain::{audit::Action, time::UnixMs},
    recording::Copies,
    store::{AuditEntry, Frozen, Store, StoreError, TableForm},
    vault::{self, Passphrase, Vault},
};

/// Rows after which it is told how far a table is.
const TELL_EVERY: u64 = 2_000;

/// What is copied.
pub struct Making<'a> {
    pub store: &'a Store,
    pub copies: &'a Copies,
    /// Folder of the keys.
    pub keys: &'a Path,
    pub city: &'a Path,
    /// Seals the keys; without it they stay out.
    pub passphrase: Option<&'a Passphrase>,
    pub with_recordings: bool,
    pub clock: &'a Clock,
}

/// A backup that is whole and safe on disk.
#[derive(Clone, Debug)]
pub struct Made {
    pub path: PathBuf,
    pub bytes: u64,
    pub manifest: Manifest,
}

/// Where a backup goes: the file itself, or one in a folder that is named by the city's time.
pub fn target(wish: &Path, now: UnixMs) -> Result<PathBuf, BackupError> {
    if wish.is_dir() {
        writer::sweep(wish).map_err(|source| BackupError::File { path: wish.to_owned(), source })?;
        return Ok(wish.join(format!("{}{}.tar", writer::NAME, in_city(now, "%Y%m%d-%H%M%S"))));
    }
    match wish.extension() {
        Some(ending) if ending == "tar" => Ok(wish.to_owned()),
        _ => Err(BackupError::Target(wish.to_owned())),
    }
}

/// Copies everything as it stands now.
///
/// Files are written between the awaits on purpose: the command has nothing else to do, and the archive is one file.
pub async fn make(making: &Making<'_>, target: &Path, told: &mut dyn FnMut(Step<'_>)) -> Result<Made, BackupError> {
    let now = making.clock.now();
    let mut writer = Writer::begin(target, now)?;
    let mut frozen = making.store.freeze().await?;
    let mut manifest = Manifest {
        format: FORMAT,
        program: env!("CARGO_PKG_VERSION").into(),
        id: making.clock.uuid().to_string(),
        made: in_city(now, "%Y-%m-%dT%H:%M:%S%:z"),
        schema: frozen.schema,
        tables: frozen.tables.clone(),
        recordings: 0,
        with_recordings: making.with_recordings,
        missing: 0,
        with_keys: making.passphrase.is_some(),
        parts: Vec::new(),
    };
    note(making, &manifest).await?;
    if let Some(passphrase) = making.passphrase {
        // After the moment, so that it has the key of whatever was sealed by then.
        let keys = Vault::copy_of(making.keys)?;
        writer.add(manifest::KEYS, &vault::sealed(passphrase, &keys, making.clock)?)?;
    }
    for table in &manifest.tables {
        copy_table(&mut writer, &mut frozen, table, told).await?;
    }
    let index = copy_index(&mut writer, &mut frozen, &mut manifest).await?;
    frozen.thaw().await?;
    let wrong = |source| BackupError::File { path: making.city.to_owned(), source };
    writer.add(manifest::CITY, &fs::read(making.city).map_err(wrong)?)?;
    if making.with_recordings {
        copy_recordings(&mut writer, making.copies, &index, &mut manifest, told).await?;
    }
    let (whole, manifest) = writer.finish(manifest)?;
    let bytes = whole.publish()?;
    Ok(Made { path: target.to_owned(), bytes, manifest })
}

/// Whoever has a backup has what callers said: that it is made is an entry of the audit, before anything is copied.
async fn note(making: &Making<'_>, manifest: &Manifest) -> Result<(), StoreError> {
    if manifest.schema < Store::LATEST {
        // Tables that another program made are read and not written.
        return Ok(());
    }
    let mut tx = making.store.begin().await?;
    tx.audit(AuditEntry {
        user: None,
        name: "hotline backup".into(),
        action: Action::BackupMade,
        subject: format!("backup:{}", manifest.id),
        detail: json!({ "recordings": manifest.with_recordings, "keys": manifest.with_keys }),
    });
    tx.commit().await
}

async fn copy_table(
    writer: &mut Writer,
    frozen: &mut Frozen,
    table: &TableForm,
    told: &mut dyn FnMut(Step<'_>),
) -> Result<(), BackupError> {
    let (what, of) = (format!("copying {}", table.name), table.rows);
    let (mut rows, mut lines) = (frozen.rows(table), Lines::default());
    let (mut done, mut number) = (0, 0);
    while let Some(row) = rows.try_next().await? {
        lines.push(&row);
        done += 1;
        if lines.is_full() {
            writer.add(&manifest::piece(&table.name, number), &std::mem::take(&mut lines).finish())?;
            number += 1;
        }
        if done % TELL_EVERY == 0 || done == of {
            told(Step { what: &what, done, of });
        }
    }
    if !lines.is_empty() {
        writer.add(&manifest::piece(&table.name, number), &lines.finish())?;
    }
    Ok(())
}

/// * returns — the index, compressed: about 70 bytes a recording, kept until the recordings are copied.
async fn copy_index(writer: &mut Writer, frozen: &mut Frozen, manifest: &mut Manifest) -> Result<Vec<u8>, BackupError> {
    let (mut rows, mut lines) = (frozen.recordings(), Lines::default());
    while let Some(row) = rows.try_next().await? {
        lines.push(&row);
        manifest.recordings += 1;
    }
    let index = lines.finish();
    writer.add(manifest::INDEX, &index)?;
    Ok(index)
}

/// Copies recordings and sidecars as they lie there, sealed. One whose time is over may go meanwhile.
async fn copy_recordings(
    writer: &mut Writer,
    copies: &Copies,
    index: &[u8],
    manifest: &mut Manifest,
    told: &mut dyn FnMut(Step<'_>),
) -> Result<(), BackupError> {
    for (row, done) in lines::rows(index).zip(1..) {
        let row = row.map_err(|error| BackupError::Index(error.to_string()))?;
        let key = row.get(1).and_then(Value::as_str).unwrap_or_default();
        for key in [key, &Copies::sidecar(key)] {
            let Some(mut object) = copies.read(key).await? else {
                manifest.missing += 1;
                continue;
            };
            writer.open(&format!("{}{key}", manifest::OBJECTS), object.bytes)?;
            while let Some(piece) = object.pieces.try_next().await? {
                writer.piece(&piece)?;
            }
            writer.close()?;
        }
        told(Step { what: "copying recordings", done, of: manifest.recordings });
    }
    Ok(())
}

/// A moment as the city's clocks show it.
fn in_city(at: UnixMs, form: &str) -> String {
    let at = Timestamp::from_millisecond(at.0).unwrap_or(Timestamp::UNIX_EPOCH);
    at.to_zoned_datetime(tz::offset(8).to_time_zone()).strftime(form).to_string()
}
