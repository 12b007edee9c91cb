//! Who asks for a move.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::{ids::UserId, role::Role};

/// The program or a person with their roles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Actor {
    System,
    Person {
        user: UserId,
        name: String,
        roles: Vec<Role>,
        /// `WATER` or `371526-ZJ`.
        unit: Option<String>,
    },
}

/// Who made a move, as the history keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct By {
    /// Absent: the program itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub user: Option<UserId>,
    pub name: String,
    /// The role in which they acted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
}

impl Actor {
    /// Whether the person holds the role.
    pub fn has(&self, role: Role) -> bool {
        matches!(self, Self::Person { roles, .. } if roles.contains(&role))
    }

    /// The unit the person belongs to.
    pub fn unit(&self) -> Option<&str> {
        match self {
            Self::System => None,
            Self::Person { unit, .. } => unit.as_deref(),
        }
    }

    /// Whether the person works for a unit and not for the hotline: they see their unit's orders only.
    pub fn is_of_unit(&self) -> bool {
        matches!(self, Self::Person { roles, .. } if roles.iter().all(|role| role.is_of_unit()))
    }

    /// Whether the person keeps the machine and has no business with what citizens say.
    pub fn is_administrator(&self) -> bool {
        matches!(self, Self::Person { roles, .. } if roles.iter().all(|role| role.is_administrator()))
    }

    /// For the history.
    pub fn acting_as(&self, role: Option<Role>) -> By {
        match self {
            Self::System => By { user: None, name: "system".into(), role: None, unit: None },
            Self::Person { user, name, unit, .. } => {
                By { user: Some(*user), name: name.clone(), role, unit: unit.clone() }
            }
        }
    }
}
