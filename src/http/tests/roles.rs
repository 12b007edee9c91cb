//! Every described route × every role, nobody, an ended log-in and a token without the scope.

use std::{collections::BTreeMap, num::NonZeroU32};

use governor::Quota;

use super::*;
use crate::http::Right;

/// Which right each route asks for; nothing: none at all. A new route is a new line here.
const ROUTES: &[(&str, Option<Right>)] = &[
    ("GET /", None),
    ("GET /healthz", None),
    ("GET /metrics", None),
    ("GET /readyz", None),
    ("POST /api/v1/sessions", None),
    ("DELETE /api/v1/me/tokens/{id}", Some(Right::OwnAccount)),
    ("DELETE /api/v1/me/totp", Some(Right::OwnAccount)),
    ("DELETE /api/v1/sessions/current", Some(Right::OwnAccount)),
    ("DELETE /api/v1/sessions/{id}", Some(Right::OwnAccount)),
    ("GET /api/v1/me/tokens", Some(Right::OwnAccount)),
    ("GET /api/v1/sessions", Some(Right::OwnAccount)),
    ("GET /api/v1/sessions/current", Some(Right::OwnAccount)),
    ("POST /api/v1/me/password", Some(Right::OwnAccount)),
    ("POST /api/v1/me/sip-secret", Some(Right::OwnAccount)),
    ("POST /api/v1/me/tokens", Some(Right::OwnAccount)),
    ("POST /api/v1/me/totp", Some(Right::OwnAccount)),
    ("POST /api/v1/me/totp/confirm", Some(Right::OwnAccount)),
    ("GET /api/v1/categories", Some(Right::SeeCity)),
    ("GET /api/v1/places", Some(Right::SeeCity)),
    ("GET /api/v1/units", Some(Right::SeeCity)),
    ("GET /api/v1/calendar", Some(Right::SeeCity)),
    ("PUT /api/v1/calendar/{year}", Some(Right::SetCalendar)),
    ("GET /api/v1/calls", Some(Right::SeeCalls)),
    ("GET /api/v1/calls/{id}", Some(Right::SeeCalls)),
    ("GET /api/v1/calls/{id}/peaks", Some(Right::SeeCalls)),
    ("GET /api/v1/calls/{id}/transcript", Some(Right::SeeCalls)),
    ("GET /api/v1/calls/{id}/recording", Some(Right::HearCalls)),
    ("GET /api/v1/calls/{id}/draft", Some(Right::HearCalls)),
    ("PUT /api/v1/calls/{id}/hold", Some(Right::HoldCalls)),
    ("POST /api/v1/calls/{id}/reveal", Some(Right::RevealCalls)),
    ("POST /api/v1/cases", Some(Right::OpenCases)),
    ("POST /api/v1/cases/{id}/reveal", Some(Right::RevealCases)),
    ("GET /api/v1/seats", Some(Right::SeeSeats)),
    ("GET /api/v1/queues", Some(Right::SeeSeats)),
    ("PUT /api/v1/seats/{id}/state", Some(Right::SetSeats)),
    ("POST /api/v1/calls/{id}/actions/{action}", Some(Right::ControlCalls)),
    ("GET /api/v1/rota", Some(Right::SeeCity)),
    ("PUT /api/v1/rota/{date}", Some(Right::SetRota)),
    ("PUT /api/v1/seats/{id}/official", Some(Right::SignIn)),
    ("DELETE /api/v1/seats/{id}/official", Some(Right::SignIn)),
    ("GET /api/v1/cases", Some(Right::SeeCases)),
    ("GET /api/v1/cases/{id}", Some(Right::SeeCases)),
    ("GET /api/v1/cases/{id}/events", Some(Right::SeeCases)),
    ("PATCH /api/v1/cases/{id}", Some(Right::MoveCases)),
    ("POST /api/v1/cases/{id}/actions/{action}", Some(Right::MoveCases)),
    ("GET /api/v1/audit", Some(Right::SeeAudit)),
    ("GET /api/v1/audit/export", Some(Right::SeeAudit)),
    ("GET /api/v1/events", Some(Right::SeeEvents)),
    ("GET /api/v1/callbacks", Some(Right::SeeCallbacks)),
    ("GET /api/v1/insight/corrections", Some(Right::SeeCorrections)),
    ("GET /api/v1/users", Some(Right::SeeUsers)),
    ("GET /api/v1/users/{id}", Some(Right::SeeUsers)),
    ("PATCH /api/v1/users/{id}", Some(Right::KeepUsers)),
    ("POST /api/v1/users", Some(Right::KeepUsers)),
    ("POST /api/v1/users/{id}/actions/disable", Some(Right::KeepUsers)),
    ("POST /api/v1/users/{id}/actions/enable", Some(Right::KeepUsers)),
    ("POST /api/v1/users/{id}/actions/reset_password", Some(Right::GrantRoles)),
    ("POST /api/v1/users/{id}/actions/unlock", Some(Right::GrantRoles)),
    ("PUT /api/v1/users/{id}/roles", Some(Right::GrantRoles)),
    ("POST /api/v1/users/{id}/totp-recovery", Some(Right::RecoverTotp)),
    ("POST /api/v1/users/{id}/totp-recovery/approve", Some(Right::RecoverTotp)),
];

/// What each role may, in the order of [`Role::ALL`]: `+` allowed, `x` forbidden (403), `.` not there (404). Written by
/// hand, so that a change of the table of rights has to be made twice.
const MATRIX: &[(Right, &str)] = &[
    // agent … analyst, editor, unit's three, official, leader, administrators
    (Right::OwnAccount, "+++++++++ + +++ ++ +++"),
    (Right::SeeCity, "+++++++++ + +++ ++ +++"),
    (Right::SetCalendar, "xxxxxxxxx x xxx xx +xx"),
    (Right::SeeCalls, "+++++++++ . ... +. ..."),
    (Right::HearCalls, "++++++++x . ... +. ..."),
    (Right::RevealCalls, "++++++++x . ... +. ..."),
    (Right::HoldCalls, "xx+xxx++x . ... +. ..."),
    (Right::SeeSeats, "+++++++++ . ... +. ..."),
    (Right::SetSeats, "+++xx+x+x . ... +. ..."),
    (Right::SetRota, "xx+xxxx+x x xxx xx xxx"),
    (Right::SignIn, "xxxxxxxxx . ... +. ..."),
    (Right::ControlCalls, "+++xx+x+x . ... +. ..."),
    (Right::SeeCases, "+++++++++ . +++ ++ ..."),
    (Right::MoveCases, "+++++++++ . +++ ++ ..."),
    (Right::OpenCases, "+++xxxxxx . +++ +x ..."),
    (Right::RevealCases, "++++++++x . +++ +x ..."),
    (Right::SeeCallbacks, "++++++++. . ... .. ..."),
    (Right::SeeAudit, "......... . ... .. ..+"),
    (Right::SeeEvents, "+++++++++ . +++ ++ ..."),
    (Right::SeeCorrections, "......+.+ + ... .. ..."),
    (Right::SeeUsers, "......... . ... .. +++"),
    (Right::KeepUsers, "......... . ... .. +xx"),
    (Right::GrantRoles, "......... . ... .. x+x"),
    (Right::RecoverTotp, "......... . ... .. ++x"),
];

#[tokio::test]
async fn every_route_is_open_to_exactly_the_roles_that_the_matrix_names() {
    let walk = Box::pin(Walk::begin()).await;
    for (route, right) in walk.routes().await {
        let Some(right) = right else {
            assert_ne!(walk.nobody(&route).await, '?', "{route} asks nobody who they are");
            continue;
        };
        assert_eq!(walk.nobody(&route).await, '?', "{route} for nobody");
        assert_eq!(walk.ended_log_in(&route).await, '?', "{route} for a log-in that has ended");
        for (role, wanted) in Role::ALL.into_iter().zip(row(right)) {
            assert_eq!(walk.role(&route, role).await, wanted, "{route} for {role}");
        }
        assert_eq!(walk.token_without_scope(&route, right).await, 'x', "{route} for a token without {right}");
    }
}

#[test]
fn the_matrix_has_every_right_and_every_role() {
    assert!(MATRIX.iter().map(|(right, _)| *right).eq(Right::all()));
    for (right, _) in MATRIX {
        assert_eq!(row(*right).len(), Role::ALL.len(), "{right}");
    }
}

fn row(right: Right) -> Vec<char> {
    let (_, row) = MATRIX.iter().find(|(known, _)| *known == right).expect("every right is in the matrix");
    row.chars().filter(|sign| *sign != ' ').collect()
}

/// Who walks through the house.
struct Walk {
    house: House,
    tokens: BTreeMap<Role, String>,
    bare: BTreeMap<Role, String>,
    cookie: String,
}

impl Walk {
    async fn begin() -> Self {
        let house = House::behind(None, |parts| {
            let quota = Quota::per_second(NonZeroU32::MAX);
            parts.limits = Limits::with(quota, Clock::system());
        })
        .await;
        let person = house.person(Role::Agent).await;
        let cookie = house.log_in(&person.name, PASSWORD).await.header("set-cookie").to_owned();
        house.clock.set(UnixMs(NINE.0 + 13 * 3_600_000));
        let (mut tokens, mut bare) = (BTreeMap::new(), BTreeMap::new());
        for role in Role::ALL {
            tokens.insert(role, house.token(role).await);
            bare.insert(role, house.scoped_token(role, &[]).await);
        }
        Self { house, tokens, bare, cookie }
    }

    /// What is described, with the right that this test knows for it.
    async fn routes(&self) -> Vec<(String, Option<Right>)> {
        let known: BTreeMap<_, _> = ROUTES.iter().copied().collect();
        let described = self.house.described().await;
        for route in known.keys() {
            assert!(described.iter().any(|it| it == route), "{route} is not described any more");
        }
        let right =
            |route: &String| *known.get(route.as_str()).unwrap_or_else(|| panic!("{route} is new: name its right"));
        described.iter().map(|route| (route.clone(), right(route))).collect()
    }

    async fn nobody(&self, route: &str) -> char {
        self.ask(route, "", &[]).await
    }

    async fn ended_log_in(&self, route: &str) -> char {
        let cookie = self.cookie.split(';').next().expect("a value");
        self.ask(route, "", &[("cookie", cookie), ("sec-fetch-site", "same-origin")]).await
    }

    async fn role(&self, route: &str, role: Role) -> char {
        self.ask(route, &self.tokens[&role], &[]).await
    }

    /// Of somebody who has the right.
    async fn token_without_scope(&self, route: &str, right: Right) -> char {
        let holder = row(right).iter().position(|sign| *sign == '+').expect("somebody holds it");
        self.ask(route, &self.bare[&Role::ALL[holder]], &[]).await
    }

    /// `?` unknown (401), `x` forbidden, `.` not there, `+` let in, whatever came of it: bodies are missing and ids are
    /// nobody's, so that nothing is done.
    async fn ask(&self, route: &str, token: &str, headers: &[(&str, &str)]) -> char {
        let (method, path) = route.split_once(' ').expect("a method");
        let nobody = self.house.clock.uuid().to_string();
        let path = path
            .replace("{id}", &nobody)
            .replace("{action}", "confirm")
            .replace("{year}", "2027")
            .replace("{date}", "2026-11-27");
        let method = method.parse().expect("a method");
        let answer = self.house.send(method, &path, token, headers, None).await;
        let is_problem = answer.header("content-type") == "application/problem+json";
        let detail = is_problem.then(|| answer.json()["detail"].as_str().map(str::to_owned)).flatten();
        match (answer.status, detail) {
            (StatusCode::UNAUTHORIZED, _) => '?',
            (StatusCode::FORBIDDEN, _) => 'x',
            // What is hidden says nothing; what is looked for and not found says what.
            (StatusCode::NOT_FOUND, None) => '.',
            _ => '+',
        }
    }
}
