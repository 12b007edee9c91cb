//! Requests that reach the line otherwise than by its telephone: the web, an app, another platform, a unit's upload.

use super::{CaseError, Cases, Draftsman, View, begin};
use crate::domain::{
    case::{Actor, Case, Edits, Inlet, Refusal},
    draft::{Draft, Field, Source},
    role::Role,
    transcript::{Channel, Transcript, Utterance},
};
use crate::store::Once;

/// Longest text of a request, characters.
const LONGEST: usize = 5_000;
/// Who takes in requests of every inlet but a unit's.
const TAKERS: [Role; 4] = [Role::Agent, Role::ExpertAgent, Role::ShiftLeader, Role::DutyOfficial];

/// A request as it came.
#[derive(Clone, Debug)]
pub struct NewCase {
    pub inlet: Inlet,
    /// The citizen's or the unit's own words; kept as they are.
    pub text: String,
    /// What is known beside the words.
    pub fields: Edits,
}

impl Cases {
    /// Makes the case of a request, its fields filled from its words as a call's are from what was heard.
    ///
    /// * `once` — the request's key: settled with the case, so that a repeated request makes no second one.
    ///
    /// # Errors
    /// An inlet that is not the actor's, no text, or a field that cannot be taken.
    pub async fn open(
        &self,
        new: NewCase,
        draftsman: Draftsman,
        once: Option<Once>,
        actor: &Actor,
    ) -> Result<View, CaseError> {
        let role = may_open(new.inlet, actor)?;
        let text = new.text.trim().to_owned();
        if !(1..=LONGEST).contains(&text.chars().count()) {
            let reason = format!("`text`, the request's own words, has 1 to {LONGEST} characters");
            return Err(Refusal::Guard { action: "create", reason }.into());
        }
        let given = new.fields.checked(&self.city).map_err(Refusal::Fields)?;
        let phone = given.callback_phone.clone().flatten();
        let (words, now) = (sentences(&text), self.store.clock().now());
        let mut fields = tokio::task::spawn_blocking(move || draftsman(&words, phone.as_deref(), now))
            .await
            .map_err(|_| CaseError::Broken("drafting"))?;
        written(&mut fields);
        given.apply(&mut fields, Source::Import);
        let mut tx = self.store.begin().await?;
        let by = actor.acting_as(Some(role));
        let case: Case = begin(&mut tx, new.inlet, None, Some(text), fields, by).await?;
        if let Some(once) = &once {
            tx.settles(once);
        }
        tx.commit().await?;
        tracing::info!(case.id = %case.id, case.number, inlet = ?new.inlet, "case opened");
        let calendar = self.calendars.current(&self.store).await?;
        Ok(View::of(&case, actor, &self.city, &calendar, now))
    }
}

fn may_open(inlet: Inlet, actor: &Actor) -> Result<Role, Refusal> {
    let action = "create";
    if inlet.is_voice() {
        let reason = "a spoken request becomes a case by its call and recording; `channel` names another inlet".into();
        return Err(Refusal::Guard { action, reason });
    }
    if inlet == Inlet::UnitUpload {
        let own = [Role::UnitLiaison, Role::UnitHandler, Role::UnitLeader].into_iter().find(|role| actor.has(*role));
        return own.filter(|_| actor.unit().is_some()).ok_or_else(|| {
            let who = "unit_liaison|unit_handler|unit_leader: a unit uploads by itself".to_owned();
            Refusal::Right { action, who }
        });
    }
    TAKERS.into_iter().find(|role| actor.has(*role)).ok_or_else(|| {
        let who = TAKERS.map(Role::as_str).join("|");
        Refusal::Right { action, who }
    })
}

/// The words as somebody would say them, a sentence after another; the milliseconds only keep their order.
fn sentences(text: &str) -> Transcript {
    let parts = text.split_inclusive(['。', '！', '？', '!', '?', '\n']).map(str::trim).filter(|part| !part.is_empty());
    let said = (0_u32..).zip(parts).map(|(index, part)| Utterance {
        channel: Channel::Caller,
        start_ms: index * 1_000,
        end_ms: index * 1_000 + 999,
        text: part.to_owned(),
        confidence: 1.0,
    });
    Transcript { utterances: said.collect(), r#final: true }
}

/// There is no recording to prove a value with: what was read from the text came with it.
fn written(fields: &mut Draft) {
    fn read<T>(field: &mut Field<T>) {
        field.evidence.clear();
        if field.source.is_some() {
            field.source = Some(Source::Import);
        }
    }
    let Draft {
        title,
        description,
        category,
        request_type,
        place,
        address,
        caller_name,
        callback_phone,
        occurred_at,
        wanted,
        urgency,
        secret,
    } = fields;
    for field in [title, description, category, request_type, place, address, caller_name, callback_phone, wanted] {
        read(field);
    }
    read(occurred_at);
    read(urgency);
    read(secret);
}
