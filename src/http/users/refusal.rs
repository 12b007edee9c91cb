//! What the door answers when something was not done to an account.

use super::super::problem::{Kind, Problem};
use crate::users::UserError;

impl From<UserError> for Problem {
    fn from(error: UserError) -> Self {
        let field = |name: &str| Kind::BadRequest.because(format!("{name}: {error}")).with("field", name);
        let refused = |reason: &str| Kind::Refused.because(error.to_string()).with("reason", reason);
        match &error {
            UserError::Name(_) => field("name"),
            UserError::Extension(_) => field("extension"),
            UserError::Skill(_) => field("skills"),
            UserError::Rota(wrong) => Kind::BadRequest.because(error.to_string()).with("field", wrong.field.clone()),
            UserError::Token(_) => Kind::BadRequest.because(error.to_string()),
            UserError::Unknown(_) | UserError::NotFound(_) => Kind::NotFound.because(error.to_string()),
            UserError::Stale { version, .. } => Kind::Stale.because(error.to_string()).with("version", *version),
            UserError::Oneself | UserError::Scope(_) => Kind::Forbidden.because(error.to_string()),
            UserError::CodeNeeded => Kind::CodeNeeded.because("send `totp` with name and password"),
            UserError::Locked { wait } => Self::locked(*wait),
            UserError::Weak(weak) => refused("weak").with("weak", weak.as_str()),
            UserError::Role(_) => refused("roles"),
            UserError::Taken(_) => refused("taken"),
            UserError::NoSeat(_) => refused("no_seat"),
            UserError::Last { role, .. } => refused("last").with("role", role.as_str()),
            UserError::Wrong => refused("wrong"),
            UserError::Code => refused("code"),
            UserError::Totp(_) => refused("totp"),
            UserError::Recovery(why) => refused(why.as_str()),
            UserError::TooManyTokens(_) => refused("too_many"),
            UserError::Store(inner) => Self::ours(&error, inner.is_passing()),
            UserError::Hash(_) | UserError::Factor(_) | UserError::Vault(_) => Self::ours(&error, false),
        }
    }
}
