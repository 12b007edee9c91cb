//! The second factor: a code of six digits from the person's own device, new every 30 s.
//!
//! Source: RFC 6238 (SHA-1, 30 s, six digits), RFC 4226 §7.2 (a code is taken once). One step of skew is allowed to
//! either side.

use totp_rs::{Algorithm, Builder, Totp};

use super::{By, UserError, Users, password, trail};
use crate::{
    domain::{audit::Action, ids::UserId, time::UnixMs},
    store::{Store, UserRow},
    telemetry::Private,
    vault::Vault,
};

/// Seconds a code is new.
const STEP: u64 = 30;
/// How many steps a device's clock may be off.
const SKEW: u16 = 1;
/// Who the device says the code is for.
const ISSUER: &str = "hotline";

/// The services that need the secrets. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct SecondFactor {
    store: Store,
    vault: Vault,
}

/// A new second factor, shown once.
#[derive(Clone, Debug)]
pub struct Enrolment {
    /// Base 32, to be typed.
    pub secret: Private<String>,
    /// `otpauth://totp/…`, to be shown as a square of dots.
    pub url: Private<String>,
}

impl SecondFactor {
    pub(super) const fn new(store: Store, vault: Vault) -> Self {
        Self { store, vault }
    }

    /// Makes a secret that comes into force with its first code; one that waits for it is replaced.
    pub(super) async fn enrol(&self, user: &UserRow) -> Result<Enrolment, UserError> {
        let secret: [u8; 20] = self.store.clock().random();
        let totp = build(&secret, &user.name)?;
        let url = totp.to_url().map_err(|error| UserError::Factor(error.to_string()))?;
        let sealed = hex::encode(self.vault.seal(&place(user.id), &secret)?);
        let mut tx = self.store.begin().await?;
        let now = tx.user(user.id).await?.ok_or(UserError::NotFound(user.id))?;
        if now.totp {
            return Err(UserError::Totp("on already"));
        }
        tx.put_totp(user.id, Some(&sealed)).await?;
        tx.commit().await?;
        Ok(Enrolment { secret: Private(totp.secret().to_base32()), url: Private(url) })
    }

    /// Puts the secret in force that the person's device has shown a code of.
    pub(super) async fn confirm(&self, user: &UserRow, code: &str) -> Result<(), UserError> {
        let waiting = self.store.totp(user.id).await?.ok_or(UserError::Totp("not enrolled"))?;
        if waiting.on {
            return Err(UserError::Totp("on already"));
        }
        let step = self.step(user, waiting.secret.reveal(), code)?.ok_or(UserError::Code)?;
        let mut tx = self.store.begin().await?;
        if !tx.use_totp(user.id, step).await? {
            return Err(UserError::Code);
        }
        trail::done(&mut tx, &By::from(user), Action::TotpEnrolled, user);
        Ok(tx.commit().await?)
    }

    /// The step of a code of somebody whose second factor is in force; [`crate::store::Tx::use_totp`] says whether it is still good.
    ///
    /// * returns — nothing: the code is wrong.
    pub(super) async fn look(&self, user: &UserRow, code: &str) -> Result<Option<i64>, UserError> {
        match self.store.totp(user.id).await?.filter(|factor| factor.on) {
            Some(factor) => self.step(user, factor.secret.reveal(), code),
            None => Ok(None),
        }
    }

    /// The step that a code belongs to.
    fn step(&self, user: &UserRow, sealed: &str, code: &str) -> Result<Option<i64>, UserError> {
        let code: String = code.chars().filter(|sign| !sign.is_whitespace()).collect();
        if code.len() != 6 || !code.bytes().all(|sign| sign.is_ascii_digit()) {
            return Ok(None);
        }
        let unreadable = |error: hex::FromHexError| UserError::Factor(error.to_string());
        let secret = self.vault.unseal(&place(user.id), &hex::decode(sealed).map_err(unreadable)?)?;
        let step = build(&secret, &user.name)?.check(&code, seconds(self.store.clock().now()));
        Ok(step.map(|step| i64::try_from(step).unwrap_or(i64::MAX)))
    }
}

impl super::Sessions {
    /// Makes a second factor for a person; it comes into force with its first code.
    pub async fn enrol_totp(&self, user: &UserRow) -> Result<Enrolment, UserError> {
        self.totp.enrol(user).await
    }

    /// Puts it in force.
    pub async fn confirm_totp(&self, user: &UserRow, code: &str) -> Result<(), UserError> {
        self.totp.confirm(user, code).await
    }

    /// Takes it away, for a person who shows both the password and a code. Wrong ones count as failed log-ins.
    pub async fn remove_totp(&self, user: &UserRow, password: Private<String>, code: &str) -> Result<(), UserError> {
        if !user.totp {
            return Err(UserError::Totp("off"));
        }
        let Users { store, lockout, .. } = &self.users;
        lockout.admit(&user.name, None).await?;
        let right = match &user.password {
            Some(stored) => password::verify(stored, password).await?,
            None => false,
        };
        let step = self.totp.look(user, code).await?;
        let mut tx = store.begin().await?;
        let good = match step {
            Some(step) if right => tx.use_totp(user.id, step).await?,
            _ => false,
        };
        if !good {
            let locked = lockout.failed(&mut tx, &user.name, None).await?;
            trail::failed(&mut tx, Some(user), if right { "code" } else { "password" }, locked);
            tx.commit().await?;
            return Err(UserError::Wrong);
        }
        lockout.passed(&mut tx, &user.name, None).await?;
        tx.put_totp(user.id, None).await?;
        trail::done(&mut tx, &By::from(user), Action::TotpRemoved, user);
        Ok(tx.commit().await?)
    }
}

fn build(secret: &[u8], name: &str) -> Result<Totp, UserError> {
    let totp = Builder::new()
        .with_algorithm(Algorithm::SHA1)
        .with_digits(6)
        .with_skew(SKEW)
        .with_step_duration(STEP)
        .with_secret(secret.to_vec())
        .with_account_name(name)
        .with_issuer(Some(ISSUER));
    totp.build().map_err(|error| UserError::Factor(error.to_string()))
}

/// The name that a secret is sealed under.
fn place(user: UserId) -> String {
    format!("user:{user}:totp")
}

fn seconds(now: UnixMs) -> u64 {
    u64::try_from(now.0 / 1_000).unwrap_or(0)
}
