//! Whether a wish is granted. Matches on state and command, lists what it allows, and says in one sentence why not.

use super::{
    AnswerOnSpot, Case, Command, Confirm, Dispatch, Dispatched, Edits, Event, MergeInto, Refusal, Refuse, State,
    Transition, Void,
    actor::{Actor, By},
    routing,
};
use crate::domain::{
    calendar::WorkCalendar,
    city::{City, Leaf},
    clocks::Terms,
    draft::Urgency,
    ids::CaseId,
    role::Role,
    time::UnixMs,
};

/// Request types that may be answered in the call itself.
const ANSWERED_ON_SPOT: [&str; 3] = ["咨询", "表扬", "建议"];
/// Who may correct fields of a draft; a registered case also the dispatcher and the reviewer.
const EDITORS: [Role; 5] = [Role::Agent, Role::ExpertAgent, Role::ShiftLeader, Role::DutyOfficial, Role::UnitLiaison];
const LATER_EDITORS: [Role; 4] = [Role::Agent, Role::ShiftLeader, Role::Dispatcher, Role::Reviewer];

/// What a decision needs to know besides the case.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    pub city: &'a City,
    pub calendar: &'a WorkCalendar,
    /// The call's recording is sealed and linked.
    pub recorded: bool,
    /// The case to merge into, if it exists.
    pub parent: Option<Parent>,
}

/// What is to be known of a case that takes another one in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parent {
    pub id: CaseId,
    pub state: State,
}

/// A granted wish.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    pub event: Event,
    pub by: By,
}

impl Case {
    /// Whether the actor writes this draft, reads it back to the caller and so has to see it as it is.
    pub fn is_drafted_by(&self, actor: &Actor) -> bool {
        matches!(actor, Actor::System) || (self.state() == State::Draft && EDITORS.iter().any(|role| actor.has(*role)))
    }

    /// Decides on a command.
    ///
    /// # Errors
    /// Why the case stays as it is.
    pub fn decide(&self, command: Command, actor: &Actor, facts: &Facts<'_>, now: UnixMs) -> Result<Decision, Refusal> {
        if let Command::Edit { fields } = command {
            return self.edit(*fields, actor, facts);
        }
        let action = command.action();
        let Some(row) = Transition::find(self.state(), action) else {
            return Err(Refusal::State { action, state: self.state() });
        };
        if !Command::exists(row) {
            return Err(Refusal::Unavailable { action });
        }
        let Some(by) = granted(row, action, actor) else {
            return Err(Refusal::Right { action, who: row.who.to_owned() });
        };
        let event = match (self.state(), command) {
            (State::Draft, Command::Confirm(confirm)) => self.confirm(&confirm, facts)?,
            (State::Draft, Command::AnswerOnSpot(answer)) => self.answer_on_spot(&answer, facts)?,
            (State::Draft, Command::Refuse(refuse)) => refuse_draft(refuse, actor, facts)?,
            (State::Draft, Command::Void(void)) => void_draft(&void)?,
            (State::Draft | State::Registered, Command::MergeInto(merge)) => self.merge_into(&merge, facts)?,
            (State::Registered, Command::Dispatch(dispatch)) => self.dispatch(dispatch, facts, now)?,
            (state, command) => return Err(Refusal::State { action: command.action(), state }),
        };
        Ok(Decision { event, by })
    }

    fn edit(&self, fields: Edits, actor: &Actor, facts: &Facts<'_>) -> Result<Decision, Refusal> {
        let action = "edit";
        let editors: &[Role] = match self.state() {
            State::Draft => &EDITORS,
            State::Registered | State::NeedInfo => &LATER_EDITORS,
            state => return Err(Refusal::State { action, state }),
        };
        let Some(role) = editors.iter().copied().find(|role| actor.has(*role)) else {
            let who = editors.iter().map(|role| role.as_str()).collect::<Vec<_>>().join("|");
            return Err(Refusal::Right { action, who });
        };
        let fields = fields.checked(facts.city).map_err(Refusal::Fields)?.without_echoes(&self.fields);
        if fields.names().is_empty() {
            return Err(Refusal::Guard { action, reason: "no field would change".into() });
        }
        let was = Box::new(fields.was(&self.fields));
        Ok(Decision { event: Event::Edit { fields: Box::new(fields), was }, by: actor.acting_as(Some(role)) })
    }

    fn confirm(&self, confirm: &Confirm, facts: &Facts<'_>) -> Result<Event, Refusal> {
        let action = "confirm";
        let mut missing = Vec::new();
        for (field, value) in [
            ("title", &self.fields.title),
            ("description", &self.fields.description),
            ("category", &self.fields.category),
            ("request_type", &self.fields.request_type),
        ] {
            if value.value.is_none() {
                missing.push(field);
            }
        }
        if !missing.is_empty() {
            return Err(Refusal::Missing(missing));
        }
        self.has_its_source(action, facts)?;
        if !confirm.read_back {
            return Err(guard(action, "read the case back to the caller, then send `read_back`: true"));
        }
        let leaf = self.leaf(action, facts.city)?;
        Ok(Event::Confirm { time_class: routing::time_class(leaf, self.urgency()).to_owned() })
    }

    fn answer_on_spot(&self, answer: &AnswerOnSpot, facts: &Facts<'_>) -> Result<Event, Refusal> {
        let action = "answer_on_spot";
        match self.fields.request_type.value.as_deref() {
            None => return Err(Refusal::Missing(vec!["request_type"])),
            Some(kind) if !ANSWERED_ON_SPOT.contains(&kind) => {
                let kinds = ANSWERED_ON_SPOT.join(", ");
                return Err(guard(
                    action,
                    &format!("a {kind} has to be handled; only {kinds} are answered in the call"),
                ));
            }
            Some(_) => {}
        }
        self.has_its_source(action, facts)?;
        let answer_text = text(action, "answer_text", "what the caller was told", &answer.answer_text)?;
        Ok(Event::AnswerOnSpot { answer_text })
    }

    fn merge_into(&self, merge: &MergeInto, facts: &Facts<'_>) -> Result<Event, Refusal> {
        let action = "merge_into";
        let wanted =
            merge.parent.ok_or_else(|| guard(action, "`parent`, the id of the case that goes on, is missing"))?;
        match facts.parent {
            _ if wanted == self.id => Err(guard(action, "a case cannot be merged into itself")),
            Some(parent) if parent.id == wanted && parent.state.takes_others() => {
                Ok(Event::MergeInto { parent: parent.id })
            }
            Some(parent) if parent.id == wanted => {
                let state = parent.state.as_str();
                Err(guard(
                    action,
                    &format!("the other case is {state}; only one between registered and its call-back goes on"),
                ))
            }
            _ => Err(guard(action, &format!("there is no case {wanted}"))),
        }
    }

    fn dispatch(&self, dispatch: Dispatch, facts: &Facts<'_>, now: UnixMs) -> Result<Event, Refusal> {
        let (action, city) = ("dispatch", facts.city);
        let leaf = self.leaf(action, city)?;
        let route = routing::route(city, leaf, self.fields.place.value.as_deref());
        let no = |reason: String| guard(action, &reason);

        let named = dispatch.lead.is_some();
        let lead = dispatch.lead.unwrap_or_else(|| route.lead.clone());
        routing::check_unit(city, leaf, &lead, true).map_err(no)?;
        let co = match dispatch.co {
            Some(named) => named,
            None => route.co.into_iter().filter(|unit| *unit != lead).collect(),
        };
        for (index, unit) in co.iter().enumerate() {
            routing::check_unit(city, leaf, unit, false).map_err(no)?;
            if *unit == lead || co[..index].contains(unit) {
                return Err(no(format!("`{unit}` is named twice; a case has one lead and helpers beside it")));
            }
        }
        let copies = if named { Vec::new() } else { route.copies };
        let copies = copies.into_iter().filter(|unit| !co.contains(unit)).collect();

        let time_class = match dispatch.time_class {
            Some(class) => {
                routing::check_class(city, &class, self.urgency()).map_err(no)?;
                class
            }
            None => routing::time_class(leaf, self.urgency()).to_owned(),
        };
        let terms = terms(facts, &time_class).map_err(no)?;
        let due = terms.deadlines(facts.calendar, now);
        let to = |unit| Dispatched { unit, due };
        let (lead, co) = (to(lead), co.into_iter().map(to).collect());
        Ok(Event::Dispatch { lead, co, copies, time_class, terms: Some(terms) })
    }

    /// Guards follow the inlet: what was spoken needs its recording, anything else its own words.
    fn has_its_source(&self, action: &'static str, facts: &Facts<'_>) -> Result<(), Refusal> {
        if self.inlet.is_voice() {
            if self.call.is_none() || !facts.recorded {
                return Err(guard(action, "the call's recording is not sealed yet; try again in a moment"));
            }
        } else if self.original.as_ref().is_none_or(|text| text.trim().is_empty()) {
            return Err(guard(action, "the request's original text is not there"));
        }
        Ok(())
    }

    fn leaf<'a>(&self, action: &'static str, city: &'a City) -> Result<&'a Leaf, Refusal> {
        let code = self.fields.category.value.as_deref().ok_or(Refusal::Missing(vec!["category"]))?;
        city.leaf(code).ok_or_else(|| guard(action, &format!("category `{code}` is no longer in the city's catalogue")))
    }

    fn urgency(&self) -> Urgency {
        self.fields.urgency.value.unwrap_or_default()
    }
}

/// Whether the actor may make a move, and as whom.
///
/// One addition to the table's `who`: N7 needs the shift leader (T03's guard), so refusing is offered to them too.
pub(super) fn granted(row: &Transition, action: &str, actor: &Actor) -> Option<By> {
    let own = row.granted_to(actor);
    if own.is_none() && row.from == State::Draft && action == "refuse" && actor.has(Role::ShiftLeader) {
        return Some(actor.acting_as(Some(Role::ShiftLeader)));
    }
    own
}

fn refuse_draft(refuse: Refuse, actor: &Actor, facts: &Facts<'_>) -> Result<Event, Refusal> {
    let action = "refuse";
    let Some(code) = facts.city.not_accepted.iter().find(|code| code.code == refuse.reason) else {
        let known: Vec<_> = facts.city.not_accepted.iter().map(|code| code.code.as_str()).collect();
        return Err(guard(action, &format!("`reason` `{}` is none of {}", refuse.reason, known.join(", "))));
    };
    match code.code.as_str() {
        "N7" if !actor.has(Role::ShiftLeader) => {
            return Err(Refusal::Right { action, who: "shift_leader where the reason is N7".into() });
        }
        "N7" => {}
        _ if !actor.has(Role::Agent) => {
            return Err(Refusal::Right { action, who: "agent; the shift leader decides on N7".into() });
        }
        _ => {}
    }
    let path = text(action, "path", "the way to go that the caller was told", &refuse.path)?;
    Ok(Event::Refuse { reason: refuse.reason, path })
}

fn void_draft(void: &Void) -> Result<Event, Refusal> {
    let reason = void.reason.ok_or_else(|| guard("void", "`reason` is one of silent, nuisance, test"))?;
    Ok(Event::Void { reason })
}

fn terms(facts: &Facts<'_>, class: &str) -> Result<Terms, String> {
    let known = facts.city.time_classes.get(class).ok_or_else(|| format!("there is no time class `{class}`"))?;
    Terms::of(known).map_err(|error| error.to_string())
}

/// A text that has to be there, trimmed; at most 5,000 characters.
fn text(action: &'static str, key: &str, meaning: &str, text: &str) -> Result<String, Refusal> {
    let text = text.trim();
    match text.chars().count() {
        0 => Err(guard(action, &format!("`{key}`, {meaning}, is missing"))),
        1..=5000 => Ok(text.to_owned()),
        _ => Err(guard(action, &format!("`{key}` is longer than 5000 characters"))),
    }
}

fn guard(action: &'static str, reason: &str) -> Refusal {
    Refusal::Guard { action, reason: reason.to_owned() }
}
