//! Puts a backup into an empty place, and proves that what stands there then is what the backup holds.

use std::path::Path;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{
    BackupError, Step, lines,
    manifest::{self, INDEX},
    reader::Backup,
};
use crate::{
    audit::{Auditor, Verified},
    cases::{self, Rebuild},
    clock::Clock,
    config::Storage,
    domain::audit::Action,
    recording::{Archive, Copies, Papers},
    store::{AuditEntry, Store, StoreError},
    vault::{Passphrase, Vault},
};

/// Rows put in at once.
const AT_ONCE: usize = 500;
/// Bytes of a recording read at once.
const PIECE: u64 = 1 << 20;

/// Where a backup is put.
pub struct Restoring<'a> {
    /// Address of the database.
    pub database: &'a str,
    pub storage: &'a Storage,
    /// Folder of the keys.
    pub keys: &'a Path,
    /// Opens the keys in the backup.
    pub passphrase: Option<&'a Passphrase>,
    /// Otherwise they are put back by hand, before or afterwards.
    pub with_keys: bool,
    /// Otherwise those in the store stay as they are: the line goes back to an earlier moment, or lost its database alone.
    pub with_recordings: bool,
    pub clock: &'a Clock,
}

/// What stands there now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    pub cases: u64,
    /// Recordings whose sound has the hash in the index; without keys nobody can tell.
    pub recordings: u64,
    /// Recordings of the index that are not in the store.
    pub absent: u64,
    pub audit: Verified,
}

/// Puts a backup where nothing is.
///
/// First everything is read and checked; then the database is marked as unfinished, keys and recordings are written, the
/// tables filled in one transaction and brought up to date, views and search words made anew, all of it proven, and last
/// the mark is taken away. Whoever is cut short in between leaves a database that no `hotline` opens.
///
/// # Errors
/// A place that is not empty, a damaged backup, a wrong passphrase; or something that is not as the backup says.
pub async fn restore(
    restoring: &Restoring<'_>,
    backup: &Backup,
    told: &mut dyn FnMut(Step<'_>),
) -> Result<Restored, BackupError> {
    let manifest = backup.manifest();
    let keys = if restoring.with_keys { Some(backup.keys(restoring.passphrase)?) } else { None };
    let copies = Copies::open(restoring.storage)?;
    let with_recordings = restoring.with_recordings && manifest.with_recordings;
    let is_bare = is_empty(restoring, &copies, with_recordings, manifest.schema).await?;
    backup.verify(told)?;

    let store = Store::open_until(restoring.database, restoring.clock.clone(), manifest.schema).await?;
    store.begin_restoring().await?;
    if let Some(keys) = keys {
        Vault::put_back(restoring.keys, &keys)?;
    }
    if with_recordings {
        put_recordings(backup, &copies, told).await?;
    }
    fill(&store, backup, told).await?;
    store.bring_up_to_date().await?;
    let rebuilt = cases::rebuild(&store, Rebuild::All, |done, of| {
        told(Step { what: "making views of cases", done, of });
    });
    let cases = rebuilt.await?.cases;

    let vault = (!Vault::is_absent(restoring.keys)).then(|| Vault::existing(restoring.keys, restoring.clock.clone()));
    let vault = vault.transpose()?;
    if let Some(vault) = &vault
        && store.mark("index_key", &vault.mark()).await? != vault.mark()
    {
        return Err(BackupError::OtherKeys);
    }
    let archive = vault.as_ref().filter(|_| with_recordings);
    let archive = archive.map(|vault| Archive::open(restoring.storage, vault.clone(), restoring.clock.clone()));
    let (recordings, absent) = prove_recordings(backup, &copies, archive.transpose()?.as_ref(), told).await?;
    if with_recordings && absent > manifest.missing {
        let (there, here) = (manifest.missing.to_string(), absent.to_string());
        return Err(BackupError::Differs { what: "recordings that are missing".into(), there, here });
    }
    let audit = prove_audit(restoring, &store, vault, is_bare, told).await?;
    finish(&store, backup).await?;
    store.close().await;
    Ok(Restored { cases, recordings, absent, audit })
}

/// Refuses a place in which something stands.
///
/// * `with_recordings` — whether recordings are put back. Otherwise the store may hold some: it outlived the database, or
///   was copied by other means.
/// * returns — whether the store is empty too.
async fn is_empty(
    restoring: &Restoring<'_>,
    copies: &Copies,
    with_recordings: bool,
    schema: i64,
) -> Result<bool, BackupError> {
    match Store::open_as_it_is(restoring.database, restoring.clock.clone()).await {
        Ok(store) => {
            let (place, occupied, newest) = (store.place().to_owned(), store.occupied().await?, store.schema().await?);
            store.close().await;
            let found = match occupied {
                Some((table, 1)) => format!("table {table} has a row"),
                Some((table, rows)) => format!("table {table} has {rows} rows"),
                None if newest > schema => format!("its tables are of version {newest}, the backup's of {schema}"),
                None => String::new(),
            };
            if !found.is_empty() {
                let wish = "name an empty one in database.url, or move this one away first";
                return Err(BackupError::Occupied { place: format!("database {place}"), found, wish });
            }
        }
        Err(StoreError::Missing(_)) => {}
        Err(error) => return Err(error.into()),
    }
    if restoring.with_keys && !Vault::is_absent(restoring.keys) {
        return Err(BackupError::Occupied {
            place: format!("vault.keys: {}", restoring.keys.display()),
            found: "there are keys".into(),
            wish: "name another folder, or say --without-keys to keep those",
        });
    }
    match copies.first().await? {
        Some(first) if with_recordings => Err(BackupError::Occupied {
            place: format!("storage.url: {}", restoring.storage.url),
            found: format!("there is {first}"),
            wish: "name an empty one, move what is there away first, or say --without-recordings to keep it",
        }),
        first => Ok(first.is_none()),
    }
}

async fn put_recordings(backup: &Backup, copies: &Copies, told: &mut dyn FnMut(Step<'_>)) -> Result<(), BackupError> {
    let objects = || backup.manifest().parts.iter().filter_map(|part| part.name.strip_prefix(manifest::OBJECTS));
    let of = objects().count() as u64;
    for (key, done) in objects().zip(1..) {
        let mut pieces = backup.pieces(&format!("{}{key}", manifest::OBJECTS))?;
        let mut object = copies.write(key);
        while let Some(piece) = pieces.next()? {
            object.push(piece).await?;
        }
        object.finish().await?;
        told(Step { what: "putting recordings back", done, of });
    }
    Ok(())
}

/// Fills all tables, in one transaction.
async fn fill(store: &Store, backup: &Backup, told: &mut dyn FnMut(Step<'_>)) -> Result<(), BackupError> {
    let mut tx = store.begin().await?;
    for table in &backup.manifest().tables {
        let (what, of) = (format!("putting {} back", table.name), table.rows);
        let (filling, mut done) = (tx.fits(table).await?, 0);
        let pieces = (0..).map(|number| manifest::piece(&table.name, number)).take_while(|name| backup.has(name));
        for name in pieces {
            let piece = backup.part(&name)?;
            let mut rows = lines::rows(&piece);
            loop {
                let some = rows.by_ref().take(AT_ONCE).collect::<Result<Vec<_>, _>>();
                let some = some.map_err(|_| backup.damaged(&name))?;
                if some.is_empty() {
                    break;
                }
                done += some.len() as u64;
                tx.fill(&filling, some).await?;
                told(Step { what: &what, done, of });
            }
        }
        let here = tx.filled(&filling).await?;
        if here != of {
            let what = format!("rows of table {}", table.name);
            return Err(BackupError::Differs { what, there: of.to_string(), here: here.to_string() });
        }
    }
    Ok(tx.commit().await?)
}

/// Reads every recording to its end: its hash is that of the index.
///
/// * `archive` — opens them; without it only those are counted that are not there.
/// * returns — how many are right, and how many are not in the store.
async fn prove_recordings(
    backup: &Backup,
    copies: &Copies,
    archive: Option<&Archive>,
    told: &mut dyn FnMut(Step<'_>),
) -> Result<(u64, u64), BackupError> {
    let of = backup.manifest().recordings;
    let (mut proven, mut absent) = (0, 0);
    let index = backup.part(INDEX)?;
    for (row, done) in lines::rows(&index).zip(1..) {
        let row = row.map_err(|_| backup.damaged(INDEX))?;
        let text = |at: usize| row.get(at).and_then(Value::as_str).unwrap_or_default();
        let (key, sha256) = (text(1), text(2));
        if !copies.holds(key).await? {
            absent += 1;
        } else if let Some(archive) = archive {
            let here = hash(archive, key).await?;
            if here != sha256 {
                let what = format!("SHA-256 of the recording {key}");
                return Err(BackupError::Differs { what, there: sha256.to_owned(), here });
            }
            proven += 1;
        }
        told(Step { what: "checking recordings", done, of });
    }
    Ok((proven, absent))
}

async fn hash(archive: &Archive, key: &str) -> Result<String, BackupError> {
    let (size, mut at, mut hash) = (archive.size(key).await?, 0, Sha256::new());
    while at < size {
        let to = size.min(at + PIECE);
        hash.update(archive.read(key, at..to).await?);
        at = to;
    }
    Ok(hex::encode(hash.finalize()))
}

/// Checks the chain, with its signed heads where there are keys to prove them. A store that outlived its database may have
/// heads of days that the backup does not know: `hotline audit verify` says so, and is right.
async fn prove_audit(
    restoring: &Restoring<'_>,
    store: &Store,
    vault: Option<Vault>,
    is_bare: bool,
    told: &mut dyn FnMut(Step<'_>),
) -> Result<Verified, BackupError> {
    let with_heads = is_bare && vault.is_some();
    let auditor = Auditor::new(store.clone(), Papers::open(restoring.storage)?, vault);
    auditor.store_again().await?;
    let told = |done, of| told(Step { what: "checking the audit", done, of });
    let verified = if with_heads { auditor.verify(Vec::new(), told).await } else { auditor.verify_entries(told).await };
    Ok(verified?)
}

async fn finish(store: &Store, backup: &Backup) -> Result<(), StoreError> {
    let manifest = backup.manifest();
    let mut tx = store.begin().await?;
    tx.audit(AuditEntry {
        user: None,
        name: "hotline restore".into(),
        action: Action::Restored,
        subject: format!("backup:{}", manifest.id),
        detail: json!({ "made": manifest.made, "schema": manifest.schema }),
    });
    tx.end_restoring().await?;
    tx.commit().await
}
