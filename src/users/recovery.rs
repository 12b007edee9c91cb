//! Somebody has lost their second factor: one administrator asks to take it away, another one of another kind agrees.

use std::time::Duration;

use super::{By, UserError, Users, error::NoRecovery, give_one_time, lockout::Lockout, password, trail};
use crate::{
    domain::{audit::Action, ids::UserId, time::UnixMs},
    store::{Tx, UserRow},
    telemetry::Private,
};

/// How long a wish may be granted.
const OPEN: Duration = Duration::from_hours(24);

impl Users {
    /// Asks to take a person's second factor away.
    ///
    /// * returns — until when another administrator may agree.
    pub async fn ask_recovery(&self, by: &UserRow, user: UserId) -> Result<UnixMs, UserError> {
        let mut tx = self.store.begin().await?;
        let person = subject(&mut tx, by, user).await?;
        tx.ask_recovery(user, by.id).await?;
        trail::done(&mut tx, &By::from(by), Action::TotpRecoveryAsked, &person);
        let until = tx.now() + OPEN;
        tx.commit().await?;
        Ok(until)
    }

    /// Agrees: the second factor is gone, log-ins end.
    ///
    /// * returns — a one-time password for the person.
    pub async fn approve_recovery(&self, by: &UserRow, user: UserId) -> Result<Private<String>, UserError> {
        let clock = self.store.clock();
        let password = password::one_time(clock);
        let hash = password::hash(password.clone(), clock.random()).await?;
        let mut tx = self.store.begin().await?;
        let person = subject(&mut tx, by, user).await?;
        let asker = match asked(&mut tx, by, user).await? {
            Ok(asker) => asker,
            Err(why) => {
                // The wish stays as it was.
                tx.roll_back().await?;
                return self.refuse(by, &person, why).await;
            }
        };
        tx.put_totp(user, None).await?;
        give_one_time(&mut tx, &person, &hash).await?;
        Lockout::clear(&mut tx, &person.name).await?;
        trail::recovered(&mut tx, &By::from(by), &person, asker);
        tx.commit().await?;
        Ok(password)
    }

    async fn refuse<T>(&self, by: &UserRow, person: &UserRow, why: NoRecovery) -> Result<T, UserError> {
        let mut tx = self.store.begin().await?;
        trail::refused(&mut tx, &By::from(by), person, why);
        tx.commit().await?;
        Err(UserError::Recovery(why))
    }

    /// Takes a second factor away on the machine itself, where there are no two administrators left.
    pub async fn remove_totp(&self, user: &UserRow) -> Result<(), UserError> {
        let mut tx = self.store.begin().await?;
        tx.put_totp(user.id, None).await?;
        tx.end_sessions(user.id, 0).await?;
        trail::done(&mut tx, &By::machine(), Action::TotpRemoved, user);
        Ok(tx.commit().await?)
    }
}

/// The person who has lost it.
async fn subject(tx: &mut Tx, by: &UserRow, user: UserId) -> Result<UserRow, UserError> {
    let person = tx.user(user).await?.ok_or(UserError::NotFound(user))?;
    if person.id == by.id {
        return Err(UserError::Oneself);
    }
    if person.totp { Ok(person) } else { Err(UserError::Totp("off")) }
}

/// Whoever has asked, if `by` may agree.
async fn asked(tx: &mut Tx, by: &UserRow, user: UserId) -> Result<Result<UserId, NoRecovery>, UserError> {
    let now = tx.now();
    let Some(wish) = tx.take_recovery(user).await?.filter(|wish| wish.asked + OPEN > now) else {
        return Ok(Err(NoRecovery::NotAsked));
    };
    if wish.asked_by == by.id {
        return Ok(Err(NoRecovery::SamePerson));
    }
    let kind = |user: &UserRow| user.roles.iter().copied().find(|role| role.is_administrator());
    let asker = tx.user(wish.asked_by).await?.filter(|asker| !asker.disabled);
    Ok(match asker.as_ref().and_then(kind) {
        None => Err(NoRecovery::NotAsked),
        asked if asked == kind(by) => Err(NoRecovery::SameKind),
        Some(_) => Ok(wish.asked_by),
    })
}
