//! Shows what is masked, to somebody who says why. The asking is kept for ever.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::{CaseError, Cases, history, sight::PERSONAL, visible};
use crate::{
    domain::{
        audit::Action,
        case::{Actor, Refusal},
        ids::{CallId, CaseId},
    },
    store::AuditEntry,
};

/// Characters of a purpose.
const PURPOSE: std::ops::RangeInclusive<usize> = 4..=200;

/// What somebody needs it for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// To do what the case asks for.
    Handling,
    /// To call the citizen back.
    Callback,
    /// To review the work done.
    Quality,
    /// Somebody complained about the handling.
    Complaint,
    /// 督办.
    Supervision,
}

/// A wish to see something in full.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Reveal {
    /// Of `caller_name`, `callback_phone`, `address`; all three where it is absent.
    #[serde(default)]
    pub fields: Vec<String>,
    pub reason: Reason,
    /// Why, in 4 to 200 characters.
    pub purpose: String,
}

impl Reveal {
    fn checked(&self) -> Result<Vec<&'static str>, Refusal> {
        let action = "reveal";
        if !PURPOSE.contains(&self.purpose.trim().chars().count()) {
            let reason = "`purpose` says in 4 to 200 characters why it is needed";
            return Err(Refusal::Guard { action, reason: reason.into() });
        }
        if self.fields.is_empty() {
            return Ok(PERSONAL.to_vec());
        }
        let known = |name: &String| {
            let found = PERSONAL.into_iter().find(|known| known == name);
            let reason = || format!("`fields` holds `{name}`, which is none of {}", PERSONAL.join(", "));
            found.ok_or_else(|| Refusal::Guard { action, reason: reason() })
        };
        self.fields.iter().map(known).collect()
    }

    fn entry(&self, actor: &Actor, subject: String, fields: &[&str]) -> AuditEntry {
        let by = actor.acting_as(None);
        let detail = json!({ "fields": fields, "reason": self.reason, "purpose": self.purpose.trim() });
        AuditEntry { user: by.user, name: by.name, action: Action::Reveal, subject, detail }
    }
}

impl Cases {
    /// The wanted fields of a case in full, audited in the same transaction.
    ///
    /// # Errors
    /// A purpose that is none; a secret case and somebody of a unit.
    pub async fn reveal(&self, id: CaseId, wish: &Reveal, actor: &Actor) -> Result<Map<String, Value>, CaseError> {
        let mut tx = self.store.begin().await?;
        let case = visible(id, history(tx.case_events(id).await?)?, actor)?;
        let fields = wish.checked()?;
        if actor.is_of_unit() && case.fields.secret.value == Some(true) {
            let who = "nobody of a unit: the caller asked for secrecy".to_owned();
            return Err(Refusal::Right { action: "reveal", who }.into());
        }
        let values = fields.iter().map(|name| {
            let field = match *name {
                "caller_name" => &case.fields.caller_name,
                "callback_phone" => &case.fields.callback_phone,
                _ => &case.fields.address,
            };
            ((*name).to_owned(), field.value.clone().map_or(Value::Null, Value::String))
        });
        let values = values.collect();
        tx.audit(wish.entry(actor, format!("case:{id}"), &fields));
        tx.commit().await?;
        Ok(values)
    }

    /// The number a call came from, audited in the same transaction.
    ///
    /// * returns — null when it was withheld.
    pub async fn reveal_caller(&self, id: CallId, wish: &Reveal, actor: &Actor) -> Result<Option<String>, CaseError> {
        let mut tx = self.store.begin().await?;
        let call = tx.call(id).await?.ok_or(CaseError::NoCall(id))?;
        wish.checked()?;
        tx.audit(wish.entry(actor, format!("call:{id}"), &["caller"]));
        tx.commit().await?;
        Ok(call.caller.map(|caller| caller.0))
    }
}
