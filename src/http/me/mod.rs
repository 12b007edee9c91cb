//! One's own account: password, tokens, second factor.

mod password;
mod phone;
mod tokens;
mod totp;

use utoipa_axum::router::OpenApiRouter;

use super::App;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().merge(password::routes()).merge(phone::routes()).merge(tokens::routes()).merge(totp::routes())
}
