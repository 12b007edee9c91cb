//! What the audit keeps about accounts: who did what to whom, and no personal data.

use serde_json::{Value, json};

use super::{By, error::NoRecovery};
use crate::{
    domain::{
        audit::Action,
        ids::{SessionId, TokenId, UserId},
        role::Role,
        time::UnixMs,
    },
    store::{AuditEntry, SessionRow, TokenRow, Tx, UserRow},
};

pub(super) fn note(tx: &mut Tx, by: By, action: Action, subject: String, detail: Value) {
    tx.audit(AuditEntry { user: by.user, name: by.name, action, subject, detail });
}

/// Something was done to a person's account of which there is nothing more to tell.
pub(super) fn done(tx: &mut Tx, by: &By, action: Action, user: &UserRow) {
    note(tx, by.clone(), action, of_user(user.id), json!({}));
}

fn of_user(user: UserId) -> String {
    format!("user:{user}")
}

pub(super) fn logged_in(tx: &mut Tx, user: &UserRow, session: &SessionRow) {
    let detail = json!({ "session": session.id, "totp": user.totp });
    note(tx, user.into(), Action::LogIn, of_user(user.id), detail);
}

pub(super) fn logged_out(tx: &mut Tx, user: &UserRow, session: SessionId) {
    note(tx, user.into(), Action::LogOut, of_user(user.id), json!({ "session": session }));
}

/// A log-in or a proof failed. Of a name that nobody has nothing is kept: it may be a password in the wrong field.
///
/// * `wrong` — `password` or `code`.
/// * `locked` — the end of the lock that it caused.
pub(super) fn failed(tx: &mut Tx, user: Option<&UserRow>, wrong: &'static str, locked: Option<UnixMs>) {
    let (by, subject) = match user {
        Some(user) => (By::from(user), of_user(user.id)),
        None => (By { user: None, name: "unknown".into() }, "user:unknown".into()),
    };
    note(tx, by.clone(), Action::LogInFailed, subject.clone(), json!({ "wrong": wrong }));
    if let Some(until) = locked {
        note(tx, by, Action::Lock, subject, json!({ "until": until }));
    }
}

pub(super) fn added(tx: &mut Tx, by: &By, user: &UserRow) {
    let detail = json!({ "roles": user.roles, "unit": user.unit });
    note(tx, by.clone(), Action::UserAdded, of_user(user.id), detail);
}

pub(super) fn changed(tx: &mut Tx, by: &By, before: &UserRow, after: &UserRow) {
    let change = |before: &Option<String>, after: &Option<String>| {
        (before != after).then(|| json!({ "from": before, "to": after }))
    };
    let detail = json!({
        "renamed": before.name != after.name,
        "unit": change(&before.unit, &after.unit),
        "extension": change(&before.extension, &after.extension),
        "skills": (before.skills != after.skills).then(|| json!({ "from": before.skills, "to": after.skills })),
    });
    note(tx, by.clone(), Action::UserChanged, of_user(after.id), detail);
}

pub(super) fn roles_changed(tx: &mut Tx, by: &By, before: &UserRow, after: &UserRow) {
    let only_in = |one: &UserRow, other: &UserRow| -> Vec<Role> {
        one.roles.iter().copied().filter(|role| !other.roles.contains(role)).collect()
    };
    let detail = json!({ "given": only_in(after, before), "taken": only_in(before, after) });
    note(tx, by.clone(), Action::RightsChanged, of_user(after.id), detail);
}

pub(super) fn recovered(tx: &mut Tx, by: &By, user: &UserRow, asked_by: UserId) {
    let detail = json!({ "asked_by": asked_by });
    note(tx, by.clone(), Action::TotpRecoveryApproved, of_user(user.id), detail);
}

pub(super) fn refused(tx: &mut Tx, by: &By, user: &UserRow, why: NoRecovery) {
    let detail = json!({ "reason": why.as_str() });
    note(tx, by.clone(), Action::TotpRecoveryRefused, of_user(user.id), detail);
}

pub(super) fn token_issued(tx: &mut Tx, by: &By, token: &TokenRow) {
    let detail = json!({ "user": token.user, "scope": token.scope, "ends": token.ends });
    note(tx, by.clone(), Action::TokenIssued, format!("token:{}", token.id), detail);
}

pub(super) fn token_revoked(tx: &mut Tx, by: &By, token: TokenId) {
    note(tx, by.clone(), Action::TokenRevoked, format!("token:{token}"), json!({}));
}
