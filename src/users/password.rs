//! Passwords, off the async threads: Argon2id takes tens of milliseconds and 19 MiB on purpose.

use argon2::{
    Argon2,
    password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash},
};

use super::UserError;
use crate::telemetry::Private;

/// Characters.
pub(super) const SHORTEST: usize = 8;
/// Bytes.
pub(super) const LONGEST: usize = 256;

/// Hashes a password with a salt.
///
/// * returns — PHC form, `$argon2id$v=19$…`.
pub(super) async fn hash(password: Private<String>, salt: [u8; 16]) -> Result<String, UserError> {
    let text = password.reveal();
    if text.chars().count() < SHORTEST || text.len() > LONGEST {
        return Err(UserError::Password);
    }
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

async fn apart<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, UserError> + Send + 'static,
) -> Result<T, UserError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| UserError::Hash(error.to_string()))?
}
