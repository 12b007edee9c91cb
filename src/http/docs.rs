//! The API's description, its page, and the front page that points to it.

use axum::{http::header, response::IntoResponse};
use utoipa::{
    Modify, OpenApi, ToResponse,
    openapi::{
        RefOr, Schema,
        schema::{ObjectBuilder, OneOfBuilder, Type},
        security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityScheme},
    },
};

use super::{credentials::COOKIE, problem::Problem};

/// What the description says about the whole.
#[derive(OpenApi)]
#[openapi(
    info(title = "hotline", description = "A city's 12345 line. Errors are RFC 9457 problems with a stable `type`. \
        Lists answer `{items, next}`; ask for the next page with `after`. Times are RFC 3339 with zone. \
        What the asking person's roles may not see does not exist: 404. Browsers log in at `/api/v1/sessions`, systems \
        send a token."),
    components(responses(AnyProblem)),
    security(("token" = []), ("session" = [])),
    modifiers(&Credentials),
    tags(
        (name = "calls", description = "Calls, recordings, transcripts"),
        (name = "cases", description = "Cases (工单) and their moves"),
        (name = "callbacks", description = "Whom the line owes a call"),
        (name = "seats", description = "Seats, their states, and the callers who wait for them"),
        (name = "events", description = "What happens, as it happens"),
        (name = "audit", description = "Who read, revealed, exported, logged in and changed rights"),
        (name = "sessions", description = "Log-ins of browsers"),
        (name = "me", description = "One's own password, tokens and second factor"),
        (name = "users", description = "Who has a log-in, and what they may do"),
        (name = "city", description = "Units, categories, places"),
        (name = "health", description = "For machines that watch; no token needed"),
    )
)]
pub(super) struct Description;

/// Any error.
#[derive(ToResponse)]
#[response(description = "What went wrong", content_type = "application/problem+json")]
#[expect(dead_code, reason = "stands in the description alone")]
pub(super) struct AnyProblem(Problem);

struct Credentials;

impl Modify for Credentials {
    fn modify(&self, api: &mut utoipa::openapi::OpenApi) {
        let components = api.components.get_or_insert_default();
        components.add_security_scheme("token", SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)));
        let cookie = ApiKeyValue::with_description(
            COOKIE,
            "Set by `POST /api/v1/sessions`. Requests that change \
            something have to come from a page of the same origin.",
        );
        components.add_security_scheme("session", SecurityScheme::ApiKey(ApiKey::Cookie(cookie)));
    }
}

/// Says that a field of a case may be empty: where the type of an optional value is a parameter, utoipa forgets it.
pub(super) fn empty_fields(api: &mut utoipa::openapi::OpenApi) {
    let schemas = &mut api.components.get_or_insert_default().schemas;
    for (_, schema) in schemas.iter_mut().filter(|(name, _)| name.starts_with("Field_")) {
        let RefOr::T(Schema::Object(field)) = schema else { continue };
        if let Some(value) = field.properties.get_mut("value") {
            let null = ObjectBuilder::new().schema_type(Type::Null);
            *value = OneOfBuilder::new().item(null).item(value.clone()).into();
        }
    }
}

/// A plain page for people who open the address in a browser.
#[utoipa::path(get, path = "/", tag = "health", security(()), responses((status = 200, description = "A plain page", body = String, content_type = "text/html")))]
pub(super) async fn home() -> impl IntoResponse {
    const PAGE: &str = "<!doctype html><html lang=\"zh-CN\"><meta charset=\"utf-8\"><title>12345</title>\
        <h1>12345 hotline</h1><p><a href=\"/docs/\">API</a> · <a href=\"/openapi.json\">openapi.json</a> · \
        <a href=\"/readyz\">readyz</a></p></html>\n";
    ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], PAGE)
}
