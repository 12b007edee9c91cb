//! Who guesses passwords is made to wait: each name has a few tries, each address ten times as many, and every lock lasts
//! twice as long as the one before.
//!
//! A try is counted before it is made, so that a hundred at once are not a hundred tries. Names are counted whether
//! there is such a person or not, so that a lock tells nothing.

use std::{
    net::{IpAddr, Ipv6Addr},
    time::Duration,
};

use sha2::{Digest, Sha256};

use super::UserError;
use crate::{
    config::People,
    domain::time::UnixMs,
    store::{FailureRow, Store, Tx},
};

/// Tries of an address for each of a name: the seats of a centre often share one.
const ADDRESS_FACTOR: i64 = 10;
/// Longest lock; and how long failures are remembered.
const DAY: Duration = Duration::from_hours(24);

/// How many tries there are and how long the first lock lasts.
#[derive(Clone, Copy, Debug)]
struct Rule {
    tries: i64,
    lock: Duration,
}

impl Rule {
    /// Counts a try that is about to be made.
    ///
    /// * returns — until when there is none.
    fn admit(self, row: &mut FailureRow, now: UnixMs) -> Result<(), UnixMs> {
        if let Some(until) = row.locked_until.filter(|until| *until > now) {
            return Err(until);
        }
        if row.latest + DAY < now {
            (row.failures, row.locks) = (0, 0);
        }
        row.locked_until = None;
        if row.failures >= self.tries {
            // Tries that are still under way, or never came to an end.
            return Err(self.lock(row, now));
        }
        (row.failures, row.latest) = (row.failures + 1, now);
        Ok(())
    }

    /// The try that was counted has failed.
    ///
    /// * returns — the end of the lock that it caused.
    fn failed(self, row: &mut FailureRow, now: UnixMs) -> Option<UnixMs> {
        (row.locked_until.is_none() && row.failures >= self.tries).then(|| self.lock(row, now))
    }

    fn lock(self, row: &mut FailureRow, now: UnixMs) -> UnixMs {
        let times = 2_u32.saturating_pow(u32::try_from(row.locks).unwrap_or(u32::MAX));
        let until = now + self.lock.saturating_mul(times).min(DAY);
        *row = FailureRow { failures: 0, locks: row.locks + 1, locked_until: Some(until), latest: now };
        until
    }
}

/// The counts of all names and addresses.
#[derive(Clone, Debug)]
pub(super) struct Lockout {
    store: Store,
    rule: Rule,
}

impl Lockout {
    pub(super) fn new(store: Store, settings: &People) -> Self {
        let rule = Rule { tries: settings.lock_after.into(), lock: settings.lock() };
        Self { store, rule }
    }

    /// Counts a try of a name, and of the address it comes from.
    ///
    /// # Errors
    /// [`UserError::Locked`] when there is none left.
    pub(super) async fn admit(&self, name: &str, address: Option<IpAddr>) -> Result<(), UserError> {
        let mut tx = self.store.begin().await?;
        let now = tx.now();
        tx.forget_failures(UnixMs(now.0 - 2 * i64::try_from(DAY.as_millis()).unwrap_or(i64::MAX))).await?;
        let mut rows = Vec::new();
        // Always in this order, so that two never wait for each other.
        for (subject, rule) in self.subjects(name, address) {
            let mut row = tx.failures(&subject).await?;
            let admitted = rule.admit(&mut row, now);
            rows.push((subject, row, admitted));
        }
        let refused = rows.iter().filter_map(|(.., admitted)| admitted.err()).max();
        for (subject, row, admitted) in &rows {
            // What is refused by one is no try of the other.
            if refused.is_none() || admitted.is_err() {
                tx.put_failures(subject, *row).await?;
            }
        }
        tx.commit().await?;
        let wait = |until: UnixMs| Duration::from_millis(u64::try_from(until.0 - now.0).unwrap_or(0));
        refused.map_or(Ok(()), |until| Err(UserError::Locked { wait: wait(until) }))
    }

    /// The try has failed.
    ///
    /// * returns — the end of the lock that it caused for the name.
    pub(super) async fn failed(
        &self,
        tx: &mut Tx,
        name: &str,
        address: Option<IpAddr>,
    ) -> Result<Option<UnixMs>, UserError> {
        let now = tx.now();
        let mut locked = None;
        for (subject, rule) in self.subjects(name, address) {
            let mut row = tx.failures(&subject).await?;
            let until = rule.failed(&mut row, now);
            tx.put_failures(&subject, row).await?;
            // The name comes last.
            locked = until;
        }
        Ok(locked)
    }

    /// The try was none: nothing was guessed, and nothing proven.
    pub(super) async fn give_back(&self, tx: &mut Tx, name: &str, address: Option<IpAddr>) -> Result<(), UserError> {
        for (subject, _) in self.subjects(name, address) {
            let mut row = tx.failures(&subject).await?;
            row.failures = (row.failures - 1).max(0);
            tx.put_failures(&subject, row).await?;
        }
        Ok(())
    }

    /// The try has succeeded: the name is clear. The address only gets its try back, or whoever knows one password
    /// could guess others without end.
    pub(super) async fn passed(&self, tx: &mut Tx, name: &str, address: Option<IpAddr>) -> Result<(), UserError> {
        self.give_back(tx, name, address).await?;
        tx.clear_failures(&named(name)).await?;
        Ok(())
    }

    /// Unlocks a name.
    pub(super) async fn clear(tx: &mut Tx, name: &str) -> Result<(), UserError> {
        Ok(tx.clear_failures(&named(name)).await?)
    }

    /// Until when a name is locked, if it is.
    pub(super) async fn locked_until(&self, name: &str) -> Result<Option<UnixMs>, UserError> {
        let now = self.store.clock().now();
        Ok(self.store.locked_until(&named(name)).await?.filter(|until| *until > now))
    }

    fn subjects(&self, name: &str, address: Option<IpAddr>) -> impl Iterator<Item = (String, Rule)> {
        let of_address = Rule { tries: self.rule.tries.saturating_mul(ADDRESS_FACTOR), ..self.rule };
        // On loopback stands a reverse proxy or the machine's own operator: locking it would lock everybody out.
        let address = address.map(|address| address.to_canonical()).filter(|address| !address.is_loopback());
        let address = address.map(|address| (format!("address:{}", network(address)), of_address));
        address.into_iter().chain([(named(name), self.rule)])
    }
}

/// One household has one IPv4 address, or 2^64 of IPv6 (RFC 6177).
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// A name as it is counted.
fn named(name: &str) -> String {
    format!("name:{}", hex::encode(Sha256::digest(name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: Rule = Rule { tries: 3, lock: Duration::from_mins(15) };
    const NOON: UnixMs = UnixMs(1_795_406_400_000);
    const MINUTE: i64 = 60_000;

    fn fresh() -> FailureRow {
        FailureRow { failures: 0, locks: 0, locked_until: None, latest: NOON }
    }

    /// Three tries that fail.
    fn three(row: &mut FailureRow, now: UnixMs) -> Option<UnixMs> {
        (0..3)
            .filter_map(|_| {
                RULE.admit(row, now).expect("a try");
                RULE.failed(row, now)
            })
            .last()
    }

    #[test]
    fn every_lock_lasts_twice_as_long_and_none_longer_than_a_day() {
        let (mut row, mut now) = (fresh(), NOON);
        for minutes in [15, 30, 60, 120, 240, 480, 960, 1440, 1440] {
            let until = three(&mut row, now).expect("the third one locks");
            assert_eq!((until.0 - now.0) / MINUTE, minutes);
            assert_eq!(RULE.admit(&mut row, UnixMs(until.0 - 1)), Err(until));
            now = until;
        }
    }

    #[test]
    fn tries_at_once_are_counted_before_they_are_made() {
        let mut row = fresh();
        let admitted = (0..100).filter(|_| RULE.admit(&mut row, NOON).is_ok()).count();
        assert_eq!(admitted, 3);
        assert_eq!(RULE.failed(&mut row, NOON), None, "the fourth one has locked it");
        assert_eq!(row.locks, 1);
    }

    #[test]
    fn what_failed_yesterday_is_forgotten() {
        let mut row = fresh();
        assert!(three(&mut row, NOON).is_some());
        let later = UnixMs(NOON.0 + 25 * 60 * MINUTE);
        RULE.admit(&mut row, later).expect("a try");
        assert_eq!((row.failures, row.locks), (1, 0));
    }
}
