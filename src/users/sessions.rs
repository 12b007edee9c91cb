//! Log-ins: who names themselves with password and code gets a session, which ends when nobody uses it, when its day is
//! over, or when something about the account changes.

use std::{net::IpAddr, sync::Arc};

use tokio::sync::OnceCell;

use super::{Caller, Credential, UserError, Users, hash, password, totp::SecondFactor, trail};
use crate::{
    domain::{
        ids::{SessionId, UserId},
        time::UnixMs,
    },
    store::{SessionRow, Tx, UserRow},
    telemetry::Private,
    vault::Vault,
};

/// Log-ins of one person at once; the oldest one ends when another begins.
const MOST: i64 = 20;
/// How often the latest request of a session is noted.
const NOTED_EVERY_MS: i64 = 60_000;

/// Services over log-ins. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Sessions {
    pub(super) users: Users,
    pub(super) totp: SecondFactor,
    /// The hash of a password nobody has: what a log-in is compared with where there is nothing to compare with.
    nobody: Arc<OnceCell<String>>,
}

/// Somebody at the door.
#[derive(Clone, Debug)]
pub struct LogIn {
    /// As typed; it may be anything, even a password in the wrong field.
    pub name: Private<String>,
    pub password: Private<String>,
    /// Of the second factor.
    pub code: Option<Private<String>>,
    pub address: Option<IpAddr>,
    /// What the browser held before; that session ends.
    pub before: Option<Private<String>>,
}

impl Sessions {
    /// Services over the same people.
    pub fn new(users: Users, vault: Vault) -> Self {
        let totp = SecondFactor::new(users.store.clone(), vault);
        Self { users, totp, nobody: Arc::default() }
    }

    /// Lets somebody in.
    ///
    /// A name that does not exist, a closed account and a wrong password take the same way and get the same answer.
    ///
    /// * returns — what the browser keeps, 64 hex digits, and the session.
    ///
    /// # Errors
    /// [`UserError::Wrong`], [`UserError::CodeNeeded`] or [`UserError::Locked`].
    pub async fn log_in(&self, by: LogIn) -> Result<(Private<String>, Caller), UserError> {
        let Users { store, lockout, .. } = &self.users;
        let name = by.name.reveal();
        lockout.admit(name, by.address).await?;
        let known = store.user_named(name).await?;
        let usable = known.as_ref().filter(|user| !user.disabled && user.password.is_some());
        let stored = match usable.and_then(|user| user.password.clone()) {
            Some(stored) => stored,
            None => self.nobody().await?,
        };
        let right = password::verify(&stored, by.password.clone()).await?;
        let Some(user) = usable.filter(|_| right) else {
            return self.refuse(&by, known.as_ref(), "password").await;
        };

        let step = match &by.code {
            Some(code) if user.totp => self.totp.look(user, code.reveal()).await?,
            _ => None,
        };
        let mut tx = store.begin().await?;
        // Whatever happened meanwhile counts.
        let now = tx.user(user.id).await?.filter(|now| !now.disabled && now.password == user.password);
        let Some(user) = now else {
            tx.roll_back().await?;
            return self.refuse(&by, known.as_ref(), "password").await;
        };
        if user.totp && by.code.is_none() {
            lockout.give_back(&mut tx, name, by.address).await?;
            tx.commit().await?;
            return Err(UserError::CodeNeeded);
        }
        let good = match step {
            Some(step) if user.totp => tx.use_totp(user.id, step).await?,
            _ => !user.totp,
        };
        if !good {
            tx.roll_back().await?;
            return self.refuse(&by, Some(&user), "code").await;
        }
        lockout.passed(&mut tx, name, by.address).await?;
        if let Some(before) = &by.before {
            tx.end_session_of(&hash(before.reveal())).await?;
        }
        let (secret, session) = self.begin(&mut tx, &user).await?;
        trail::logged_in(&mut tx, &user, &session);
        tx.commit().await?;
        Ok((secret, Caller { user, shown: Credential::Session(session) }))
    }

    /// Counts and notes a failure.
    async fn refuse<T>(&self, by: &LogIn, user: Option<&UserRow>, wrong: &'static str) -> Result<T, UserError> {
        let mut tx = self.users.store.begin().await?;
        let locked = self.users.lockout.failed(&mut tx, by.name.reveal(), by.address).await?;
        trail::failed(&mut tx, user, wrong, locked);
        tx.commit().await?;
        Err(UserError::Wrong)
    }

    async fn nobody(&self) -> Result<String, UserError> {
        let clock = self.users.store.clock();
        let made = self.nobody.get_or_try_init(|| password::hash(password::one_time(clock), clock.random()));
        made.await.cloned()
    }

    async fn begin(&self, tx: &mut Tx, user: &UserRow) -> Result<(Private<String>, SessionRow), UserError> {
        let clock = self.users.store.clock();
        let (now, secret) = (tx.now(), hex::encode(clock.random::<32>()));
        let id = SessionId::new(clock.uuid());
        let ends = now + self.users.people.session();
        let session = SessionRow { id, user: user.id, created: now, seen: now, ends };
        tx.forget_ended_sessions().await?;
        tx.end_sessions(user.id, MOST - 1).await?;
        tx.add_session(&session, &hash(&secret)).await?;
        Ok((Private(secret), session))
    }

    /// Begins a session for somebody who has just changed their password, as all the old ones have ended.
    pub async fn again(&self, user: UserId) -> Result<Private<String>, UserError> {
        let mut tx = self.users.store.begin().await?;
        let user = tx.user(user).await?.filter(|user| !user.disabled).ok_or(UserError::NotFound(user))?;
        let (secret, session) = self.begin(&mut tx, &user).await?;
        trail::logged_in(&mut tx, &user, &session);
        tx.commit().await?;
        Ok(secret)
    }

    /// Whom a browser stands for; `None` for any other text, an ended session and a closed account.
    pub async fn by_cookie(&self, secret: &str) -> Result<Option<Caller>, UserError> {
        if secret.len() != 64 {
            return Ok(None);
        }
        let store = &self.users.store;
        let now = store.clock().now();
        let found = store.session_by_hash(&hash(secret)).await?;
        let Some((user, mut session)) = found.filter(|(user, session)| !user.disabled && self.goes_on(session, now))
        else {
            return Ok(None);
        };
        if now.0 - session.seen.0 >= NOTED_EVERY_MS {
            let mut tx = store.begin().await?;
            tx.session_seen(session.id).await?;
            tx.commit().await?;
            session.seen = now;
        }
        Ok(Some(Caller { user, shown: Credential::Session(session) }))
    }

    /// When a session ends if nobody uses it.
    pub fn idle_end(&self, session: &SessionRow) -> UnixMs {
        (session.seen + self.users.people.idle()).min(session.ends)
    }

    fn goes_on(&self, session: &SessionRow, now: UnixMs) -> bool {
        now < self.idle_end(session)
    }

    /// A person's open sessions, oldest first.
    pub async fn list(&self, user: UserId) -> Result<Vec<SessionRow>, UserError> {
        let now = self.users.store.clock().now();
        let sessions = self.users.store.sessions(user).await?;
        Ok(sessions.into_iter().filter(|session| self.goes_on(session, now)).collect())
    }

    /// Ends one of a person's own sessions.
    ///
    /// * returns — `false`: they have no such one.
    pub async fn end(&self, user: &UserRow, session: SessionId) -> Result<bool, UserError> {
        let mut tx = self.users.store.begin().await?;
        if !tx.end_session(user.id, session).await? {
            return Ok(false);
        }
        trail::logged_out(&mut tx, user, session);
        tx.commit().await?;
        Ok(true)
    }
}
