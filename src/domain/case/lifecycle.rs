//! The trade's own table of moves: 13 states, 36 transitions. `hotline lifecycle` prints it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::actor::{Actor, By};
use crate::domain::role::Role;

/// Where a case stands, by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum State {
    Draft,
    Registered,
    NeedInfo,
    Dispatched,
    Handling,
    Replied,
    Callback,
    Suspended,
    Closed,
    Archived,
    NotAccepted,
    Merged,
    Void,
}

/// One allowed move.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Transition {
    /// `T01` to `T36`.
    pub id: &'static str,
    pub from: State,
    pub to: State,
    /// `a|b` where one row stands for several actions.
    pub action: &'static str,
    /// Roles, parted by `|` (any of them) or `+` (both together), with remarks in brackets; `system` and `auto_dispatch`
    /// are the program itself.
    pub who: &'static str,
}

impl State {
    /// All of them, in the order of a case's life.
    pub const ALL: [Self; 13] = [
        Self::Draft,
        Self::Registered,
        Self::NeedInfo,
        Self::Dispatched,
        Self::Handling,
        Self::Replied,
        Self::Callback,
        Self::Suspended,
        Self::Closed,
        Self::Archived,
        Self::NotAccepted,
        Self::Merged,
        Self::Void,
    ];

    /// As stored and shown, `need_info`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Registered => "registered",
            Self::NeedInfo => "need_info",
            Self::Dispatched => "dispatched",
            Self::Handling => "handling",
            Self::Replied => "replied",
            Self::Callback => "callback",
            Self::Suspended => "suspended",
            Self::Closed => "closed",
            Self::Archived => "archived",
            Self::NotAccepted => "not_accepted",
            Self::Merged => "merged",
            Self::Void => "void",
        }
    }

    /// What the desk calls it.
    pub const fn zh(self) -> &'static str {
        match self {
            Self::Draft => "草稿(录音转写预填,未确认)",
            Self::Registered => "已受理/待派单",
            Self::NeedInfo => "待补充",
            Self::Dispatched => "已派单/待签收",
            Self::Handling => "办理中",
            Self::Replied => "已回复/待审核",
            Self::Callback => "待回访",
            Self::Suspended => "挂账(确因客观原因暂不能解决)",
            Self::Closed => "办结",
            Self::Archived => "归档",
            Self::NotAccepted => "不予受理(已告知途径)",
            Self::Merged => "已并单(随主单办理,本人仍单独回访)",
            Self::Void => "作废(无声、骚扰、测试)",
        }
    }

    /// Whether it is an end. An appeal or the undoing of a wrong merge still leads out of two of them.
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Archived | Self::NotAccepted | Self::Merged | Self::Void)
    }

    /// Whether units have parts in a case that stands here: their dates follow the calendar.
    pub const fn has_open_orders(self) -> bool {
        matches!(self, Self::Dispatched | Self::Handling | Self::Replied | Self::Callback | Self::Suspended)
    }

    /// Whether another case may still be merged into one that stands here: it has yet to pass its call-back.
    pub const fn takes_others(self) -> bool {
        matches!(
            self,
            Self::Registered
                | Self::NeedInfo
                | Self::Dispatched
                | Self::Handling
                | Self::Replied
                | Self::Callback
                | Self::Suspended
        )
    }
}

impl Transition {
    /// The moves out of `from` by `action`: at most one in the trade's table.
    pub fn find(from: State, action: &str) -> Option<&'static Self> {
        TRANSITIONS.iter().find(|row| row.from == from && row.actions().any(|name| name == action))
    }

    /// The names of its actions.
    pub fn actions(&self) -> impl Iterator<Item = &'static str> {
        self.action.split('|')
    }

    /// The people who may make it, in the table's order.
    pub fn roles(&self) -> impl Iterator<Item = Role> {
        parts(self.who).filter_map(|part| part.parse().ok())
    }

    /// Whether the program itself may make it.
    pub fn is_automatic(&self) -> bool {
        parts(self.who).any(|part| matches!(part, "system" | "auto_dispatch"))
    }

    /// Whether the actor may make it, and as whom.
    pub fn granted_to(&self, actor: &Actor) -> Option<By> {
        match actor {
            Actor::System => self.is_automatic().then(|| actor.acting_as(None)),
            Actor::Person { .. } => self.roles().find(|role| actor.has(*role)).map(|role| actor.acting_as(Some(role))),
        }
    }
}

/// Names of roles without the remarks in brackets.
fn parts(who: &'static str) -> impl Iterator<Item = &'static str> {
    who.split(['|', '+']).map(|part| part.split('(').next().unwrap_or_default())
}

const fn t(id: &'static str, from: State, to: State, action: &'static str, who: &'static str) -> Transition {
    Transition { id, from, to, action, who }
}

/// All moves, in the trade's numbering.
#[rustfmt::skip]
pub const TRANSITIONS: [Transition; 36] = {
    use State::{Archived, Callback, Closed, Dispatched, Draft, Handling, Merged, NeedInfo, NotAccepted, Registered, Replied, Suspended, Void};
    [
        t("T01", Draft, Registered, "confirm", "agent|expert_agent|duty_official|unit_liaison"),
        t("T02", Draft, Closed, "answer_on_spot", "agent|expert_agent|duty_official"),
        t("T03", Draft, NotAccepted, "refuse", "agent"),
        t("T04", Draft, Void, "void", "shift_leader"),
        t("T05", Draft, Merged, "merge_into", "agent|dispatcher"),
        t("T06", Registered, Dispatched, "dispatch", "dispatcher|auto_dispatch"),
        t("T07", Registered, NeedInfo, "ask_supplement", "dispatcher"),
        t("T08", NeedInfo, Registered, "supplemented", "agent|callback"),
        t("T09", Registered, Merged, "merge_into", "dispatcher|reviewer"),
        t("T10", Registered, NotAccepted, "refuse", "dispatcher+reviewer"),
        t("T11", Registered, Closed, "answer_centrally", "dispatcher|expert_agent"),
        t("T12", Registered, Closed, "transfer_out", "dispatcher"),
        t("T13", Dispatched, Handling, "sign", "unit_liaison|system"),
        t("T14", Dispatched, Dispatched, "return_request", "unit_leader"),
        t("T15", Dispatched, Registered, "return_approve", "dispatcher"),
        t("T16", Dispatched, Handling, "return_reject", "dispatcher|reviewer"),
        t("T17", Handling, Dispatched, "reassign", "dispatcher|reviewer"),
        t("T18", Handling, Handling, "extend_approve", "reviewer(≤10wd)|supervisor(再次)"),
        t("T19", Handling, Handling, "add_unit|progress|contact_log", "unit_handler|dispatcher"),
        t("T20", Handling, Replied, "reply", "unit_leader"),
        t("T21", Replied, Handling, "review_bounce", "reviewer"),
        t("T22", Replied, Callback, "review_pass", "reviewer"),
        t("T23", Callback, Closed, "callback_done", "callback|duty_official"),
        t("T24", Callback, Handling, "redo", "callback|supervisor"),
        t("T25", Callback, Closed, "unreached", "system"),
        t("T26", Callback, Suspended, "suspend", "supervisor"),
        t("T27", Handling, Suspended, "suspend", "supervisor"),
        t("T28", Suspended, Handling, "resume", "system|supervisor"),
        t("T29", Closed, Handling, "reopen", "supervisor|qc|system"),
        t("T30", Closed, Archived, "archive", "system"),
        t("T31", NotAccepted, Registered, "appeal_accept", "reviewer"),
        t("T32", Merged, Registered, "split", "dispatcher"),
        t("T33", Callback, Closed, "callback_waived", "system"),
        t("T34", Handling, Handling, "return_request", "unit_leader"),
        t("T35", Handling, Registered, "return_approve", "dispatcher"),
        t("T36", Handling, Handling, "return_reject", "dispatcher|reviewer"),
    ]
};

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_state_can_be_reached_and_left_for_an_end() {
        let mut reached = BTreeSet::from([State::Draft]);
        let mut ending: BTreeSet<State> = State::ALL.into_iter().filter(|state| state.is_terminal()).collect();
        for _ in State::ALL {
            for row in TRANSITIONS {
                if reached.contains(&row.from) {
                    reached.insert(row.to);
                }
                if ending.contains(&row.to) {
                    ending.insert(row.from);
                }
            }
        }
        assert_eq!(reached.len(), State::ALL.len());
        assert_eq!(ending.len(), State::ALL.len());
    }

    /// The table times "was signed by a unit": T10 to T12 are for the never signed, as their guards say. Whoever
    /// handles a case has signed it, also where the dispatcher's refusal of a return forced them to; the trade's own
    /// check counts the signature alone.
    #[test]
    fn a_case_that_was_ever_signed_is_ended_only_from_its_callback() {
        assert_eq!(product_states(|row| row.to == State::Handling), 19);
        assert_eq!(product_states(|row| row.action == "sign"), 23, "as the trade counts them");
    }

    fn product_states(signs: impl Fn(&Transition) -> bool) -> usize {
        let never_signed = ["T10", "T11", "T12"];
        let mut seen = BTreeSet::from([(State::Draft, false)]);
        let mut open = vec![(State::Draft, false)];
        while let Some((state, signed)) = open.pop() {
            for row in TRANSITIONS.iter().filter(|row| row.from == state) {
                if signed && never_signed.contains(&row.id) {
                    continue;
                }
                if signed && matches!(row.to, State::Closed | State::NotAccepted | State::Void) {
                    assert_eq!(row.from, State::Callback, "{} ends a signed case", row.id);
                }
                let signed = signed || signs(row);
                if seen.insert((row.to, signed)) {
                    open.push((row.to, signed));
                }
            }
        }
        seen.len()
    }

    #[test]
    fn a_state_and_an_action_name_one_move_and_roles_are_roles() {
        let mut pairs = BTreeSet::new();
        for row in &TRANSITIONS {
            for action in row.actions() {
                assert!(pairs.insert((row.from, action)), "{action} from {:?} is there twice", row.from);
                assert_eq!(Transition::find(row.from, action), Some(row));
            }
            for part in parts(row.who) {
                assert!(matches!(part, "system" | "auto_dispatch") || part.parse::<Role>().is_ok(), "{part}");
            }
        }
        for state in State::ALL {
            assert_eq!(serde_json::to_value(state).expect("a word"), state.as_str());
        }
    }
}
