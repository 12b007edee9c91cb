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
    SeeCases,
    /// Change the fields of a case.
    EditCases,
    /// Make a move, as far as the case allows it.
    MoveCases,
    SeeCallbacks,
}

/// One line a right: what has to be visible first, and who has it.
const TABLE: [(Right, Option<Right>, &[Role]); 7] = [
    (Right::SeeCity, None, &Role::ALL),
    (Right::SeeCalls, None, CENTRE),
    (
        Right::HearCalls,
        Some(Right::SeeCalls),
        &[Agent, ExpertAgent, ShiftLeader, Dispatcher, Reviewer, Callback, Qc, Supervisor, DutyOfficial],
    ),
    (Right::SeeCases, None, CASES),
    (
        Right::EditCases,
        Some(Right::SeeCases),
        &[Agent, ExpertAgent, ShiftLeader, Dispatcher, Reviewer, Callback, DutyOfficial],
    ),
    (Right::MoveCases, Some(Right::SeeCases), CASES),
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

/// The unit whose cases alone somebody sees; `None` for those who see all.
pub(super) fn only_unit<'a>(roles: &[Role], unit: Option<&'a str>) -> Option<&'a str> {
    let sees_all = roles.iter().any(|role| CASES.contains(role) && !role.is_of_unit());
    // A unit role without a unit sees nothing: no case is led by the empty name.
    if sees_all { None } else { Some(unit.unwrap_or_default()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn administrators_see_no_calls_and_no_cases() {
        for role in Role::ALL.into_iter().filter(|role| role.is_administrator()) {
            for right in [Right::SeeCalls, Right::HearCalls, Right::SeeCases, Right::MoveCases, Right::SeeCallbacks] {
                assert_eq!(judge(right, &[role]), Verdict::Hidden, "{role} {right:?}");
            }
            assert_eq!(judge(Right::SeeCity, &[role]), Verdict::Allowed);
        }
    }

    #[test]
    fn what_is_visible_and_not_allowed_is_forbidden() {
        assert_eq!(judge(Right::HearCalls, &[Analyst]), Verdict::Forbidden);
        assert_eq!(judge(Right::HearCalls, &[CityLeader]), Verdict::Hidden);
        assert_eq!(judge(Right::EditCases, &[UnitHandler]), Verdict::Forbidden);
        assert_eq!(judge(Right::EditCases, &[UnitHandler, Dispatcher]), Verdict::Allowed);
    }

    #[test]
    fn a_unit_sees_its_own_cases_alone() {
        assert_eq!(only_unit(&[UnitLeader], Some("WATER")), Some("WATER"));
        assert_eq!(only_unit(&[UnitLeader], None), Some(""));
        assert_eq!(only_unit(&[UnitLeader, Dispatcher], Some("WATER")), None);
    }

    #[test]
    fn every_right_stands_in_the_table_once() {
        for (right, ..) in TABLE {
            assert_eq!(TABLE.iter().filter(|(known, ..)| *known == right).count(), 1);
        }
    }
}
