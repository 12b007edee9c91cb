//! API tokens: what systems and scripts show instead of a log-in.

use super::{By, Caller, Credential, UserError, Users, hash, trail};
use crate::{
    domain::{
        calendar::WorkCalendar,
        ids::{TokenId, UserId},
        time::UnixMs,
    },
    store::{TokenRow, UserRow},
    telemetry::Private,
};

/// Tokens one person may have.
const MOST: i64 = 50;
/// Longest life, days.
const LONGEST: u32 = 3_650;
const DAY_MS: i64 = 86_400_000;

/// A token to be made.
#[derive(Clone, Debug, Default)]
pub struct NewToken {
    /// What it is for; may be empty.
    pub name: String,
    /// Names of rights, checked by the caller; nothing: all that its person has.
    pub scope: Option<Vec<String>>,
    /// Nothing: as the settings say.
    pub days: Option<u32>,
}

impl Users {
    /// Makes a token for a person.
    ///
    /// * `with` — the token that asks for it, if it was one: the new one may not do more or live longer.
    /// * returns — the token, 64 hex digits; it is not kept.
    pub async fn make_token(
        &self,
        by: &By,
        user: &UserRow,
        new: NewToken,
        with: Option<&TokenRow>,
    ) -> Result<(Private<String>, TokenRow), UserError> {
        let days = new.days.unwrap_or(self.people.token_days);
        if new.name.chars().count() > 64 || !(1..=LONGEST).contains(&days) {
            return Err(UserError::Token(LONGEST));
        }
        let clock = self.store.clock();
        let (now, secret) = (clock.now(), hex::encode(clock.random::<32>()));
        let ends = UnixMs(now.0 + i64::from(days) * DAY_MS);
        let row = TokenRow {
            id: TokenId::new(clock.uuid()),
            user: user.id,
            name: new.name,
            scope: narrowed(new.scope, with.and_then(|with| with.scope.as_deref()))?,
            created: now,
            ends: with.map_or(ends, |with| with.ends.min(ends)),
            used_day: None,
        };
        let mut tx = self.store.begin().await?;
        // Locks the person, so that two at once are counted one after the other.
        tx.user(user.id).await?.ok_or(UserError::NotFound(user.id))?;
        if tx.count_tokens(user.id).await? >= MOST {
            return Err(UserError::TooManyTokens(MOST));
        }
        tx.add_token(&row, &hash(&secret)).await?;
        trail::token_issued(&mut tx, by, &row);
        tx.commit().await?;
        Ok((Private(secret), row))
    }

    /// Whom a token stands for; `None` for any other text, an ended token and a closed account.
    pub async fn by_token(&self, token: &str) -> Result<Option<Caller>, UserError> {
        // A token of any other length cannot be ours; hashing megabytes that a stranger sent would be work for nothing.
        if token.len() != 64 {
            return Ok(None);
        }
        let now = self.store.clock().now();
        let found = self.store.token_by_hash(&hash(token)).await?;
        let Some((user, token)) = found.filter(|(user, token)| !user.disabled && token.ends > now) else {
            return Ok(None);
        };
        let today = WorkCalendar::day(now);
        if token.used_day.as_ref() != Some(&today) {
            let mut tx = self.store.begin().await?;
            tx.token_used(token.id, &today).await?;
            tx.commit().await?;
        }
        Ok(Some(Caller { user, shown: Credential::Token(token) }))
    }

    /// A person's tokens that are still taken, oldest first.
    pub async fn tokens(&self, user: UserId) -> Result<Vec<TokenRow>, UserError> {
        let now = self.store.clock().now();
        Ok(self.store.tokens(user).await?.into_iter().filter(|token| token.ends > now).collect())
    }

    /// Takes a person's own token back.
    ///
    /// * returns — `false`: they have no such one.
    pub async fn revoke_token(&self, user: &UserRow, token: TokenId) -> Result<bool, UserError> {
        let mut tx = self.store.begin().await?;
        if !tx.remove_token(user.id, token).await? {
            return Ok(false);
        }
        trail::token_revoked(&mut tx, &By::from(user), token);
        tx.commit().await?;
        Ok(true)
    }
}

/// The scope that was wished for, within that of the token which asks.
fn narrowed(wished: Option<Vec<String>>, within: Option<&[String]>) -> Result<Option<Vec<String>>, UserError> {
    let Some(within) = within else { return Ok(wished) };
    let wished = wished.unwrap_or_else(|| within.to_vec());
    match wished.iter().find(|right| !within.contains(right)) {
        Some(right) => Err(UserError::Scope(right.clone())),
        None => Ok(Some(wished)),
    }
}
