//! The audit kept honest: its head is signed once a day and written beside the recordings, and the whole is checked
//! against what was signed.
//!
//! Entries are appended by the store, in the transaction of what they tell of. Whoever may write the database can compute
//! a chain anew; they cannot sign, so [`Auditor::verify`] finds it out by the heads that lie outside. Whoever may also
//! delete in the object store is found out by the head's line in the log, or by a head that was kept elsewhere.

#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, time::Duration};

use tokio_util::sync::CancellationToken;

use crate::{
    clock::Clock,
    domain::{
        audit::{self, BEGINNING, Break, Chain, Head, SignedHead},
        calendar::WorkCalendar,
        time::UnixMs,
    },
    recording::{Papers, RecordingError},
    store::{AuditExport, Store, StoreError},
    vault::Vault,
};

/// How often it is seen whether a new day has begun, or the store is back.
const EVERY: Duration = Duration::from_mins(5);
/// Where the heads stand.
const FOLDER: &str = "audit/heads";
/// Entries read at once.
const PIECE: u32 = 1_000;

/// Signs and checks. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Auditor {
    store: Store,
    papers: Papers,
    /// Without keys nothing can be signed, and no head be proven.
    vault: Option<Vault>,
}

/// A chain that holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    pub entries: u64,
    pub heads: usize,
}

/// Why the audit could not be exported, or is broken.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The audit was changed.
    #[error("the audit is broken: {0}")]
    Broken(#[from] Break),
    #[error("vault.keys: there are no keys, so no head can be signed or proven; the first `hotline serve` makes them")]
    NoKeys,
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Papers(#[from] RecordingError),
}

impl Auditor {
    /// Over a line's store, the papers beside its recordings and its keys.
    pub const fn new(store: Store, papers: Papers, vault: Option<Vault>) -> Self {
        Self { store, papers, vault }
    }

    /// Signs the head of the city's day, unless that was done, and writes into the store what is not there yet.
    ///
    /// * returns — the day's head; nothing while there are no entries.
    pub async fn export(&self) -> Result<Option<SignedHead>, AuditError> {
        let head = self.sign().await?;
        for export in self.store.audit_exports_to_store().await? {
            let SignedHead { head, .. } = &export.head;
            let key = Head::key(&head.day);
            // One that is there already was written by a process that died before it noted so; `verify` compares.
            self.papers.put(&key, &text(&export.head)).await?;
            let mut tx = self.store.begin().await?;
            tx.audit_export_stored(export.number).await?;
            tx.commit().await?;
            tracing::info!(
                audit.number = head.number,
                audit.day = head.day,
                audit.seq = head.seq,
                audit.count = head.count,
                audit.hash = head.hash,
                audit.key = key,
                audit.signature = export.head.signature,
                "audit head exported"
            );
        }
        Ok(head)
    }

    async fn sign(&self) -> Result<Option<SignedHead>, AuditError> {
        let vault = self.vault.as_ref().ok_or(AuditError::NoKeys)?;
        let mut tx = self.store.begin().await?;
        let (seq, hash) = tx.hold_audit_head().await?;
        if seq == 0 {
            return Ok(None);
        }
        let (last, at) = (tx.last_audit_export().await?, tx.now());
        let day = day(at);
        // A clock that was set back signs nothing until it has caught up.
        if let Some(last) = last.as_ref().filter(|last| last.day >= day) {
            return Ok(Some(last.head.clone()));
        }
        let last = last.map(|last| last.head.head);
        let head = Head {
            number: last.as_ref().map_or(1, |last| last.number + 1),
            day,
            at,
            seq,
            count: seq.saturating_sub(last.as_ref().map_or(0, |last| last.seq)),
            hash,
            prev: last.map_or_else(|| BEGINNING.to_owned(), |last| last.hash_of()),
        };
        let signed = vault.sign(&head.encoding());
        let signed = SignedHead { head, key: signed.key, signature: signed.signature };
        tx.add_audit_export(&signed).await?;
        tx.commit().await?;
        Ok(Some(signed))
    }

    /// Writes the signed heads that the database knows to be stored once more, for a store that does not have them: after a
    /// restore. What is there stays as it is.
    pub async fn store_again(&self) -> Result<(), AuditError> {
        for export in self.exports_stored().await? {
            self.papers.put(&Head::key(&export.head.head.day), &text(&export.head)).await?;
        }
        Ok(())
    }

    /// What the database says is stored, oldest first: one a day.
    async fn exports_stored(&self) -> Result<Vec<AuditExport>, StoreError> {
        let (mut stored, mut after) = (Vec::new(), 0);
        loop {
            let exports = self.store.audit_exports(after).await?;
            let Some(last) = exports.last() else { return Ok(stored) };
            after = last.number;
            stored.extend(exports.into_iter().filter(|export| export.stored));
        }
    }

    /// Exports each day's head until `stopping`.
    pub async fn export_loop(self, stopping: CancellationToken) {
        loop {
            if let Err(error) = self.export().await {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "the audit's head was not exported; it is tried again"
                );
            }
            tokio::select! {
                () = stopping.cancelled() => return,
                () = tokio::time::sleep(EVERY) => {}
            }
        }
    }

    /// Checks every entry and every head.
    ///
    /// * `kept` — heads that somebody kept elsewhere.
    /// * `progress` — is told how many entries are done, and of how many.
    ///
    /// # Errors
    /// [`AuditError::Broken`] with the first thing that does not fit.
    pub async fn verify(&self, kept: Vec<SignedHead>, progress: impl FnMut(u64, u64)) -> Result<Verified, AuditError> {
        let (mut heads, stored) = self.heads().await?;
        for kept in kept {
            self.prove(&kept)?;
            heads.push(kept.head);
        }
        let seen = heads.len();
        let entries = self.walk(heads, progress).await?;
        self.compare(&stored).await?;
        Ok(Verified { entries, heads: seen })
    }

    /// Checks every entry and no head, where there are no keys to prove heads with.
    pub async fn verify_entries(&self, progress: impl FnMut(u64, u64)) -> Result<Verified, AuditError> {
        Ok(Verified { entries: self.walk(Vec::new(), progress).await?, heads: 0 })
    }

    async fn walk(&self, heads: Vec<Head>, mut progress: impl FnMut(u64, u64)) -> Result<u64, AuditError> {
        let (end, hash) = self.store.audit_head().await?;
        let (mut chain, mut after) = (Chain::new(heads), 0);
        loop {
            let rows = self.store.audit_after(after, PIECE).await?;
            for row in rows.iter().filter(|row| row.record.seq <= end || end == 0) {
                chain.take(&row.record, &row.hash)?;
            }
            progress(after, end);
            match rows.last() {
                // What is appended meanwhile is the next look's.
                Some(row) if row.record.seq < end => after = row.record.seq,
                _ => break,
            }
        }
        Ok(chain.end(end, &hash)?)
    }

    /// The heads beside the recordings, proven, and their texts by day.
    async fn heads(&self) -> Result<(Vec<Head>, BTreeMap<String, SignedHead>), AuditError> {
        let (mut signed, mut stored) = (Vec::new(), BTreeMap::new());
        for key in self.papers.names(FOLDER).await? {
            let unreadable = || Break::Unreadable(key.clone());
            let text = self.papers.get(&key).await?.ok_or_else(unreadable)?;
            let head: SignedHead = serde_json::from_str(&text).map_err(|_| unreadable())?;
            if Head::key(&head.head.day) != key {
                return Err(unreadable().into());
            }
            stored.insert(head.head.day.clone(), head.clone());
            signed.push(head);
        }
        if self.vault.is_none() && !signed.is_empty() {
            return Err(AuditError::NoKeys);
        }
        Ok((audit::heads(signed, |head| self.is_genuine(head))?, stored))
    }

    /// Whether all that was signed and stored is still there as it was.
    async fn compare(&self, stored: &BTreeMap<String, SignedHead>) -> Result<(), AuditError> {
        for export in self.exports_stored().await? {
            if stored.get(&export.day) != Some(&export.head) {
                return Err(Break::HeadGone(export.day).into());
            }
        }
        Ok(())
    }

    fn prove(&self, signed: &SignedHead) -> Result<(), AuditError> {
        if self.vault.is_none() {
            return Err(AuditError::NoKeys);
        }
        if self.is_genuine(signed) { Ok(()) } else { Err(Break::Forged(signed.head.day.clone()).into()) }
    }

    fn is_genuine(&self, signed: &SignedHead) -> bool {
        let by = |vault: &Vault| vault.verify(&signed.head.encoding(), &signed.signature, signed.key);
        self.vault.as_ref().is_some_and(by)
    }
}

/// A head as it is written down.
pub(crate) fn text(head: &SignedHead) -> String {
    let mut text = serde_json::to_string_pretty(head).expect("a head has text keys and whole numbers");
    text.push('\n');
    text
}

/// The city's day, `2026-11-23`.
fn day(at: UnixMs) -> String {
    WorkCalendar::rfc3339(at).chars().take(10).collect()
}

/// The vault of a line, if it has keys already.
pub fn existing_keys(folder: &std::path::Path, clock: Clock) -> Result<Option<Vault>, crate::vault::VaultError> {
    match Vault::existing(folder, clock) {
        Ok(vault) => Ok(Some(vault)),
        Err(crate::vault::VaultError::NoKeys(_)) => Ok(None),
        Err(error) => Err(error),
    }
}
