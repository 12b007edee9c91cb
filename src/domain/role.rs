//! Who may do what: the roles of the desk. A person may hold several; the three administrators stand alone.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A role; its text is the id that the city's data uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// 话务员: answers, confirms drafts.
    Agent,
    /// 专家坐席.
    ExpertAgent,
    /// 班长.
    ShiftLeader,
    /// 派单员.
    Dispatcher,
    /// 审核员.
    Reviewer,
    /// 回访员.
    Callback,
    /// 质检员.
    Qc,
    /// 督办员.
    Supervisor,
    /// 分析员.
    Analyst,
    /// 知识库管理员.
    KbEditor,
    /// 承办单位联络员.
    UnitLiaison,
    /// 承办人.
    UnitHandler,
    /// 承办单位负责人.
    UnitLeader,
    /// 值班领导干部.
    DutyOfficial,
    /// 市领导.
    CityLeader,
    /// 系统管理员.
    Sysadmin,
    /// 安全管理员.
    Secadmin,
    /// 审计管理员.
    Auditor,
}

/// Why a set of roles cannot belong to one person.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RoleError {
    #[error("`{0}` is no role; the roles are {roles}", roles = Role::ALL.map(Role::as_str).join(", "))]
    Unknown(String),
    #[error("a user needs at least one role")]
    Missing,
    #[error("an administrator holds that role alone: {0} and {1} exclude each other")]
    Exclusive(Role, Role),
    #[error("the role {0} belongs to a unit; name it with --unit")]
    NeedsUnit(Role),
}

impl Role {
    /// All of them, in the city's order.
    pub const ALL: [Self; 18] = [
        Self::Agent,
        Self::ExpertAgent,
        Self::ShiftLeader,
        Self::Dispatcher,
        Self::Reviewer,
        Self::Callback,
        Self::Qc,
        Self::Supervisor,
        Self::Analyst,
        Self::KbEditor,
        Self::UnitLiaison,
        Self::UnitHandler,
        Self::UnitLeader,
        Self::DutyOfficial,
        Self::CityLeader,
        Self::Sysadmin,
        Self::Secadmin,
        Self::Auditor,
    ];

    /// The id, `shift_leader`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::ExpertAgent => "expert_agent",
            Self::ShiftLeader => "shift_leader",
            Self::Dispatcher => "dispatcher",
            Self::Reviewer => "reviewer",
            Self::Callback => "callback",
            Self::Qc => "qc",
            Self::Supervisor => "supervisor",
            Self::Analyst => "analyst",
            Self::KbEditor => "kb_editor",
            Self::UnitLiaison => "unit_liaison",
            Self::UnitHandler => "unit_handler",
            Self::UnitLeader => "unit_leader",
            Self::DutyOfficial => "duty_official",
            Self::CityLeader => "city_leader",
            Self::Sysadmin => "sysadmin",
            Self::Secadmin => "secadmin",
            Self::Auditor => "auditor",
        }
    }

    /// System, security and audit administrators are three different people with no other role.
    pub const fn is_administrator(self) -> bool {
        matches!(self, Self::Sysadmin | Self::Secadmin | Self::Auditor)
    }

    /// Whether the holder sees only a unit's own orders.
    pub const fn is_of_unit(self) -> bool {
        matches!(self, Self::UnitLiaison | Self::UnitHandler | Self::UnitLeader)
    }

    /// Whether one person may hold all of `roles`.
    ///
    /// # Errors
    /// The first two that exclude each other, or what is missing.
    pub fn check(roles: &[Self], unit: Option<&str>) -> Result<(), RoleError> {
        if roles.is_empty() {
            return Err(RoleError::Missing);
        }
        if let Some(administrator) = roles.iter().find(|role| role.is_administrator())
            && let Some(other) = roles.iter().find(|role| *role != administrator)
        {
            return Err(RoleError::Exclusive(*administrator, *other));
        }
        match roles.iter().find(|role| role.is_of_unit()) {
            Some(role) if unit.is_none() => Err(RoleError::NeedsUnit(*role)),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = RoleError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|role| role.as_str() == text).ok_or_else(|| RoleError::Unknown(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_roles_are_those_of_the_demo_city() {
        let city = include_str!("../../config/demo-city.json");
        let city: crate::domain::city::City = serde_json::from_str(city).expect("the demo city is read");
        let ids: Vec<_> = city.roles.iter().map(|role| role.code.as_str()).collect();
        assert_eq!(ids, Role::ALL.map(Role::as_str));
        for role in Role::ALL {
            assert_eq!(serde_json::to_value(role).expect("text"), role.as_str());
        }
    }

    #[test]
    fn an_administrator_has_no_second_role() {
        assert_eq!(
            Role::check(&[Role::Agent, Role::Auditor], None),
            Err(RoleError::Exclusive(Role::Auditor, Role::Agent))
        );
        assert_eq!(
            Role::check(&[Role::Sysadmin, Role::Secadmin], None),
            Err(RoleError::Exclusive(Role::Sysadmin, Role::Secadmin))
        );
        assert_eq!(Role::check(&[Role::Sysadmin], None), Ok(()));
        assert_eq!(Role::check(&[Role::Agent, Role::Dispatcher], None), Ok(()));
    }

    #[test]
    fn a_unit_role_needs_its_unit() {
        assert_eq!(Role::check(&[Role::UnitLeader], None), Err(RoleError::NeedsUnit(Role::UnitLeader)));
        assert_eq!(Role::check(&[Role::UnitLeader], Some("WATER")), Ok(()));
        assert_eq!(Role::check(&[], None), Err(RoleError::Missing));
    }
}
