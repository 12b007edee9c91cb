//! Who may do what, in one table. What a role may not see does not exist for it (404); what it may see and not do is
//! forbidden (403). Which moves of a case a role may make is the case's own rule, not this table's.

use crate::domain::role::Role::{
    self, Agent, Analyst, Callback, CityLeader, Dispatcher, DutyOfficial, ExpertAgent, Qc, Reviewer, ShiftLeader,
    Supervisor, UnitHandler, UnitLeader, UnitLiaison,
};

/// Something the door asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Right {
    /// Units, categories, places.
    SeeCity,
    /// Calls with masked numbers, their transcripts and waveforms.
    SeeCalls,
    /// The sound itself.
    HearCalls,
    /// Whether a recording is kept however old it is.
    HoldCalls,
    /// Cases; which of them, and which moves they allow, the case itself decides.
    SeeCases,
    SeeCallbacks,
}

/// One line a right: what has to be visible first, and who has it.
const TABLE: [(Right, Option<Right>, &[Role]); 6] = [
    (Right::SeeCity, None, &Role::ALL),
    (Right::SeeCalls, None, CENTRE),
    (
        Right::HearCalls,
        Some(Right::SeeCalls),
        &[Agent, ExpertAgent, ShiftLeader, Dispatcher, Reviewer, Callback, Qc, Supervisor, DutyOfficial],
    ),
    (Right::HoldCalls, Some(Right::SeeCalls), &[ShiftLeader, Qc, Supervisor, DutyOfficial]),
    (Right::SeeCases, None, CASES),
    (Right::SeeCallbacks, None, &[Agent, ExpertAgent, ShiftLeader, Callback, Qc, Supervisor, Dispatcher, Reviewer]),
];

/// The hotline centre.
const CENTRE: &[Role] =
    &[Agent, ExpertAgent, ShiftLeader, Dispatcher, Reviewer, Callback, Qc, Supervisor, Analyst, DutyOfficial];

/// The centre, the units (their own orders only) and the city's leaders.
const CASES: &[Role] = &[
    Agent,
    ExpertAgent,
    ShiftLeader,
    Dispatcher,
    Reviewer,
    Callback,
    Qc,
    Supervisor,
    Analyst,
    UnitLiaison,
    UnitHandler,
    UnitLeader,
    DutyOfficial,
    CityLeader,
];

/// What the door says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Allowed,
    /// Visible, but not to be done.
    Forbidden,
    /// Not even visible.
    Hidden,
}

/// Looks the table up for somebody with these roles.
pub(super) fn judge(right: Right, roles: &[Role]) -> Verdict {
    let Some((_, first, holders)) = TABLE.iter().find(|(known, ..)| *known == right) else {
        return Verdict::Hidden;
    };
    if roles.iter().any(|role| holders.contains(role)) {
        return Verdict::Allowed;
    }
    match first {
        Some(first) if judge(*first, roles) == Verdict::Allowed => Verdict::Forbidden,
        _ => Verdict::Hidden,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn administrators_see_no_calls_and_no_cases() {
        for role in Role::ALL.into_iter().filter(|role| role.is_administrator()) {
            for right in [Right::SeeCalls, Right::HearCalls, Right::HoldCalls, Right::SeeCases, Right::SeeCallbacks] {
                assert_eq!(judge(right, &[role]), Verdict::Hidden, "{role} {right:?}");
            }
            assert_eq!(judge(Right::SeeCity, &[role]), Verdict::Allowed);
        }
    }

    #[test]
    fn what_is_visible_and_not_allowed_is_forbidden() {
        assert_eq!(judge(Right::HearCalls, &[Analyst]), Verdict::Forbidden);
        assert_eq!(judge(Right::HearCalls, &[CityLeader]), Verdict::Hidden);
        assert_eq!(judge(Right::HearCalls, &[CityLeader, Dispatcher]), Verdict::Allowed);
    }

    #[test]
    fn every_right_stands_in_the_table_once() {
        for (right, ..) in TABLE {
            assert_eq!(TABLE.iter().filter(|(known, ..)| *known == right).count(), 1);
        }
    }
}
