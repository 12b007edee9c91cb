//! Passwords, off the async threads: Argon2id takes tens of milliseconds and 19 MiB on purpose.

use argon2::{
    Argon2,
    password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash},
};
use tokio::sync::Semaphore;

use super::{UserError, policy::LONGEST};
use crate::{clock::Clock, telemetry::Private};

/// Passwords that are hashed at once; more wait. It bounds what a storm of log-ins takes from the machine.
static AT_ONCE: Semaphore = Semaphore::const_new(4);

/// Hashes a password with a salt.
///
/// * returns — PHC form, `$argon2id$v=19$…`.
pub(super) async fn hash(password: Private<String>, salt: [u8; 16]) -> Result<String, UserError> {
    apart(move || {
        let hash = Argon2::default().hash_password_with_salt(password.reveal().as_bytes(), &salt);
        hash.map(|hash| hash.to_string()).map_err(|error| UserError::Hash(error.to_string()))
    })
    .await
}

/// Whether `password` is the one that `stored` was made of.
///
/// # Errors
/// When `stored` is no hash.
pub async fn verify(stored: &str, password: Private<String>) -> Result<bool, UserError> {
    if password.reveal().len() > LONGEST {
        return Ok(false);
    }
    let stored = stored.to_owned();
    apart(move || {
        let parsed = PasswordHash::new(&stored).map_err(|error| UserError::Hash(error.to_string()))?;
        Ok(Argon2::default().verify_password(password.reveal().as_bytes(), &parsed).is_ok())
    })
    .await
}

/// A password that is shown once and has to be changed: 80 random bits.
pub(super) fn one_time(clock: &Clock) -> Private<String> {
    Private(hex::encode(clock.random::<10>()))
}

async fn apart<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, UserError> + Send + 'static,
) -> Result<T, UserError> {
    let _turn = AT_ONCE.acquire().await.map_err(|error| UserError::Hash(error.to_string()))?;
    tokio::task::spawn_blocking(work).await.map_err(|error| UserError::Hash(error.to_string()))?
}
