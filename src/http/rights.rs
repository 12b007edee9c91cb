//! Who may do what, in one table. What a role may not see does not exist for it (404); what it may see and not do is
//! forbidden (403). Which moves of a case a role may make is the case's own rule, not this table's.

use std::{fmt, str::FromStr};

use crate::domain::role::Role::{
    self, Agent, Analyst, Auditor, Callback, CityLeader, Dispatcher, DutyOfficial, ExpertAgent, KbEditor, Qc, Reviewer,
    Secadmin, ShiftLeader, Supervisor, Sysadmin, UnitHandler, UnitLeader, UnitLiaison,
};

/// Something the door asks for. Its name is what a token's scope is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    /// Their own log-ins, password, tokens and second factor.
    OwnAccount,
    /// Units, categories, places.
    SeeCity,
    /// Put a year of the calendar into force.
    SetCalendar,
    /// Calls with masked numbers, their transcripts and waveforms.
    SeeCalls,
    /// The sound itself.
    HearCalls,
    /// The number a call came from, for a purpose.
    RevealCalls,
    /// Whether a recording is kept however old it is.
    HoldCalls,
    /// Seats and queues.
    SeeSeats,
    /// Pauses one's own seat and makes it ready; whoever leads a shift, any seat.
    SetSeats,
    /// Writes the officials' rota.
    SetRota,
    /// Signs in at a seat as an official.
    SignIn,
    /// Holds, passes on and ends the calls of one's own seat; whoever leads a shift, any call.
    ControlCalls,
    /// Cases; which of them, the case itself decides.
    SeeCases,
    /// Corrects and moves cases; which moves they allow, the case itself decides. Apart, so that a token can be one that
    /// only reads.
    MoveCases,
    /// Requests that come otherwise than by telephone.
    OpenCases,
    /// Names, numbers and addresses of a case, for a purpose.
    RevealCases,
    SeeCallbacks,
    /// Who read, revealed, exported, logged in and changed rights.
    SeeAudit,
    /// The stream of what happens; each event only to those who may see the thing.
    SeeEvents,
    /// What operators corrected, without who the callers were.
    SeeCorrections,
    /// Who has a log-in, and what they may do.
    SeeUsers,
    /// Makes, renames, closes and opens accounts.
    KeepUsers,
    /// Gives and takes roles, unlocks, resets passwords.
    GrantRoles,
    /// Asks to take a lost second factor away, or agrees to it.
    RecoverTotp,
}

/// One line a right: what has to be visible first, and who has it.
const TABLE: [(Right, Option<Right>, &[Role]); 24] = [
    (Right::OwnAccount, None, EVERYBODY),
    (Right::SeeCity, None, EVERYBODY),
    (Right::SetCalendar, Some(Right::SeeCity), &[Sysadmin]),
    (Right::SeeCalls, None, CENTRE),
    (Right::HearCalls, Some(Right::SeeCalls), HEARERS),
    (Right::RevealCalls, Some(Right::SeeCalls), HEARERS),
    (Right::HoldCalls, Some(Right::SeeCalls), &[ShiftLeader, Qc, Supervisor, DutyOfficial]),
    (Right::SeeSeats, None, CENTRE),
    (Right::SetSeats, Some(Right::SeeSeats), SITTERS),
    (Right::SetRota, Some(Right::SeeCity), &[ShiftLeader, Supervisor]),
    (Right::SignIn, Some(Right::SeeSeats), &[DutyOfficial]),
    (Right::ControlCalls, Some(Right::SeeCalls), SITTERS),
    (Right::SeeCases, None, CASES),
    (Right::MoveCases, Some(Right::SeeCases), CASES),
    (
        Right::OpenCases,
        Some(Right::SeeCases),
        &[Agent, ExpertAgent, ShiftLeader, DutyOfficial, UnitLiaison, UnitHandler, UnitLeader],
    ),
    (
        Right::RevealCases,
        Some(Right::SeeCases),
        &[
            Agent,
            ExpertAgent,
            ShiftLeader,
            Dispatcher,
            Reviewer,
            Callback,
            Qc,
            Supervisor,
            DutyOfficial,
            UnitLiaison,
            UnitHandler,
            UnitLeader,
        ],
    ),
    (Right::SeeCallbacks, None, &[Agent, ExpertAgent, ShiftLeader, Callback, Qc, Supervisor, Dispatcher, Reviewer]),
    (Right::SeeAudit, None, &[Auditor]),
    (Right::SeeEvents, None, CASES),
    (Right::SeeCorrections, None, &[Analyst, KbEditor, Qc]),
    (Right::SeeUsers, None, &[Sysadmin, Secadmin, Auditor]),
    (Right::KeepUsers, Some(Right::SeeUsers), &[Sysadmin]),
    (Right::GrantRoles, Some(Right::SeeUsers), &[Secadmin]),
    (Right::RecoverTotp, Some(Right::SeeUsers), &[Sysadmin, Secadmin]),
];

/// Those who work with what callers say.
const HEARERS: &[Role] =
    &[Agent, ExpertAgent, ShiftLeader, Dispatcher, Reviewer, Callback, Qc, Supervisor, DutyOfficial];
/// Those who speak with callers, and those who lead them.
const SITTERS: &[Role] = &[Agent, ExpertAgent, ShiftLeader, Callback, Supervisor, DutyOfficial];
/// Whoever has a log-in, also before they have a role.
const EVERYBODY: &[Role] = &Role::ALL;

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

impl Right {
    /// All of them, in the table's order.
    pub fn all() -> impl Iterator<Item = Self> {
        TABLE.iter().map(|(right, ..)| *right)
    }

    /// Its name, `see_calls`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OwnAccount => "own_account",
            Self::SeeCity => "see_city",
            Self::SetCalendar => "set_calendar",
            Self::SeeCalls => "see_calls",
            Self::HearCalls => "hear_calls",
            Self::HoldCalls => "hold_calls",
            Self::RevealCalls => "reveal_calls",
            Self::SeeSeats => "see_seats",
            Self::SetSeats => "set_seats",
            Self::SetRota => "set_rota",
            Self::SignIn => "sign_in",
            Self::ControlCalls => "control_calls",
            Self::SeeCases => "see_cases",
            Self::MoveCases => "move_cases",
            Self::OpenCases => "open_cases",
            Self::RevealCases => "reveal_cases",
            Self::SeeCallbacks => "see_callbacks",
            Self::SeeAudit => "see_audit",
            Self::SeeEvents => "see_events",
            Self::SeeCorrections => "see_corrections",
            Self::SeeUsers => "see_users",
            Self::KeepUsers => "keep_users",
            Self::GrantRoles => "grant_roles",
            Self::RecoverTotp => "recover_totp",
        }
    }
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that names no right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no right; the rights are {rights}", rights = Right::all().map(Right::as_str).collect::<Vec<_>>().join(", "))]
pub struct NoRight(String);

impl FromStr for Right {
    type Err = NoRight;

    fn from_str(text: &str) -> Result<Self, NoRight> {
        Self::all().find(|right| right.as_str() == text).ok_or_else(|| NoRight(text.to_owned()))
    }
}

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
    if *holders == EVERYBODY || roles.iter().any(|role| holders.contains(role)) {
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
            for right in [
                Right::SeeCalls,
                Right::HearCalls,
                Right::HoldCalls,
                Right::SeeCases,
                Right::SeeCallbacks,
                Right::SeeCorrections,
            ] {
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
    fn the_administrators_of_accounts_are_separate_and_the_auditor_only_reads() {
        let may = |right: Right| Role::ALL.into_iter().filter(move |role| judge(right, &[*role]) == Verdict::Allowed);
        assert!(may(Right::SeeUsers).eq([Sysadmin, Secadmin, Auditor]));
        assert!(may(Right::KeepUsers).eq([Sysadmin]) && may(Right::GrantRoles).eq([Secadmin]));
        assert_eq!(judge(Right::KeepUsers, &[Auditor]), Verdict::Forbidden);
        assert_eq!(judge(Right::SeeUsers, &[Agent, CityLeader]), Verdict::Hidden);
    }

    #[test]
    fn who_has_no_role_yet_keeps_their_own_account_and_sees_nothing_of_the_calls() {
        assert_eq!(judge(Right::OwnAccount, &[]), Verdict::Allowed);
        assert_eq!((judge(Right::SeeCalls, &[]), judge(Right::SeeUsers, &[])), (Verdict::Hidden, Verdict::Hidden));
    }

    #[test]
    fn every_right_has_a_name_that_is_read_again() {
        for right in Right::all() {
            assert_eq!(right.as_str().parse(), Ok(right));
        }
        assert!("see_everything".parse::<Right>().is_err());
    }

    #[test]
    fn every_right_stands_in_the_table_once() {
        for (right, ..) in TABLE {
            assert_eq!(TABLE.iter().filter(|(known, ..)| *known == right).count(), 1);
        }
    }
}
