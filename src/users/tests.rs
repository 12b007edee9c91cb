//! Stories of accounts, on both databases: made, logged in, locked, closed, recovered.

use std::net::IpAddr;

use tempfile::TempDir;

use super::*;
use crate::{
    config::{CipherSuite, Vault as VaultSettings},
    domain::role::RoleError,
    store::testing::{MONDAY_NINE, TestStore, on_every_database},
    vault::Vault,
};

const GOOD: &str = "Tuesday-rain-7";
const BETTER: &str = "Wednesday-sun-8";
const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
/// Somewhere on the outside.
const AFAR: &str = "192.0.2.7";

on_every_database! {
    async fn a_token_is_shown_once_and_ends(test: TestStore) {
        let desk = Desk::open(test, |people| people.token_days = 30);
        let li = desk.add("li", &[Role::Dispatcher, Role::Agent]).await;
        assert_eq!(li.roles, [Role::Agent, Role::Dispatcher]);
        let token = desk.token(&li, None).await;
        let found = desk.users.by_token(&token).await.expect("a look").expect("li");
        assert_eq!(found.user, desk.users.get(li.id).await.expect("li"));
        for other in ["", &"0".repeat(64), &"x".repeat(10_000)] {
            assert!(desk.users.by_token(other).await.expect("a look").is_none());
        }
        let kept = &desk.users.tokens(li.id).await.expect("a list")[0];
        assert_eq!(kept.used_day.as_deref(), Some("20261123"));
        desk.later(30 * 24 * HOUR);
        assert!(desk.users.by_token(&token).await.expect("a look").is_none(), "it has ended");
        assert!(desk.users.tokens(li.id).await.expect("a list").is_empty());
    }

    async fn a_token_makes_none_that_may_more_or_lives_longer(test: TestStore) {
        let desk = Desk::open(test, |_| {});
        let li = desk.add("li", &[Role::Agent]).await;
        let scope = |names: &[&str]| Some(names.iter().map(ToString::to_string).collect::<Vec<_>>());
        let narrow = NewToken { scope: scope(&["see_calls", "own_account"]), days: Some(2), ..NewToken::default() };
        let (_, narrow) = desk.users.make_token(&By::machine(), &li, narrow, None).await.expect("a token");
        let make = async |scope: Option<Vec<String>>| {
            let new = NewToken { scope, days: Some(100), ..NewToken::default() };
            desk.users.make_token(&By::from(&li), &li, new, Some(&narrow)).await
        };
        let (_, same) = make(None).await.expect("a token");
        assert_eq!((same.scope, same.ends), (narrow.scope.clone(), narrow.ends));
        let wider = make(scope(&["see_calls", "see_cases"])).await;
        assert!(matches!(wider, Err(UserError::Scope(right)) if right == "see_cases"));
        let life = NewToken { days: Some(100_000), ..NewToken::default() };
        assert!(matches!(desk.users.make_token(&By::machine(), &li, life, None).await, Err(UserError::Token(_))));
        assert!(desk.users.revoke_token(&li, narrow.id).await.expect("an answer"));
        assert!(!desk.users.revoke_token(&li, narrow.id).await.expect("an answer"), "it is gone");
    }

    async fn tokens_are_bounded(test: TestStore) {
        let desk = Desk::open(test, |_| {});
        let li = desk.add("li", &[Role::Agent]).await;
        for _ in 0..50 {
            desk.token(&li, None).await;
        }
        let more = desk.users.make_token(&By::machine(), &li, NewToken::default(), None).await;
        assert!(matches!(more, Err(UserError::TooManyTokens(50))));
    }

    async fn names_and_extensions_belong_to_one_person(test: TestStore) {
        let desk = Desk::open(test, |_| {});
        let seat = |name: &str| NewUser { extension: Some("8001".into()), ..person(name, &[Role::Agent]) };
        desk.users.add(seat("li")).await.expect("added");
        assert!(matches!(desk.users.add(person("li", &[Role::Qc])).await, Err(UserError::Taken(name)) if name == "li"));
        assert!(matches!(desk.users.add(seat("wang")).await, Err(UserError::Taken(_))));
        assert!(matches!(desk.users.named("wang").await, Err(UserError::Unknown(_))), "nothing is left of it");
        let wang = desk.add("wang", &[Role::Agent]).await;
        let change = Change { extension: Some(Some("8001".into())), ..Change::default() };
        assert!(matches!(desk.users.change(&By::machine(), wang.id, 1, change).await, Err(UserError::Taken(_))));
    }

    async fn unusable_people_are_refused_with_the_reason(test: TestStore) {
        let desk = Desk::open(test, |_| {});
        let short = NewUser { password: Some(Private("123".into())), ..person("li", &[Role::Agent]) };
        assert!(matches!(desk.users.add(short).await, Err(UserError::Weak(Weak::Short(10)))));
        assert!(matches!(desk.users.add(person("l i", &[Role::Agent])).await, Err(UserError::Name(_))));
        assert!(matches!(desk.users.add(person("li", &[])).await, Err(UserError::Role(RoleError::Missing))));
        let both = person("li", &[Role::Sysadmin, Role::Agent]);
        assert!(matches!(desk.users.add(both).await, Err(UserError::Role(RoleError::Exclusive(..)))));
    }

    async fn the_first_administrator_is_made_once_and_owes_a_password(test: TestStore) {
        let desk = Desk::open(test, |_| {});
        let first = desk.users.init().await.expect("an empty house").expect("an administrator");
        assert!(desk.users.init().await.expect("a look").is_none(), "there is somebody now");
        let (_, caller) = desk.log_in(&first.name, first.password.reveal(), None).await.expect("in");
        assert_eq!(caller.user.roles, [Role::Sysadmin]);
        assert_eq!(desk.users.owes(&caller.user), Some(Owed::Password));
        desk.users.change_password(&caller.user, first.password, Private(GOOD.into())).await.expect("changed");
        let (_, caller) = desk.log_in(&first.name, GOOD, None).await.expect("in");
        assert_eq!(desk.users.owes(&caller.user), None);
    }

    async fn a_log_in_ends_when_nobody_uses_it_and_when_its_day_is_over(test: TestStore) {
        let desk = Desk::open(test, |_| {});
        desk.add("li", &[Role::Agent]).await;
        let (secret, _) = desk.log_in("li", GOOD, None).await.expect("in");
        for _ in 0..3 {
            desk.later(29 * MINUTE);
            assert!(desk.knows(&secret).await, "each request gives it half an hour more");
        }
        desk.later(30 * MINUTE);
        assert!(!desk.knows(&secret).await, "nobody has used it");

        let (secret, _) = desk.log_in("li", GOOD, None).await.expect("in");
        for _ in 0..24 {
            desk.later(29 * MINUTE);
            assert!(desk.knows(&secret).await);
        }
        desk.later(29 * MINUTE);
        assert!(!desk.knows(&secret).await, "its twelve hours are over");
    }

    async fn a_request_is_noted_at_most_once_a_minute(test: TestStore) {
        let desk = Desk::open(test, |_| {});
        let li = desk.add("li", &[Role::Agent]).await;
        let (secret, _) = desk.log_in("li", GOOD, None).await.expect("in");
        let seen = async || desk.sessions.list(li.id).await.expect("a list")[0].seen;
        desk.later(59_999);
        assert!(desk.knows(&secret).await);
        assert_eq!(seen().await, MONDAY_NINE);
        desk.later(1);
        assert!(desk.knows(&secret).await);
        assert_eq!(seen().await, UnixMs(MONDAY_NINE.0 + MINUTE));
    }

    async fn every_log_in_has_a_secret_of_its_own_and_ends_the_one_before_it(test: TestStore) {
        let desk = Desk::open(test, |_| {});
        desk.add("li", &[Role::Agent]).await;
        let (first, _) = desk.log_in("li", GOOD, None).await.expect("in");
        let again = LogIn { before: Some(first.clone()), ..door("li", GOOD, None) };
        let (second, _) = desk.sessions.log_in(again).await.expect("in");
        assert_ne!(first.reveal(), second.reveal());
        assert!(!desk.knows(&first).await && desk.knows(&second).await);
    }

    async fn log_ins_of_one_person_are_bounded(test: TestStore) {
        let desk = Desk::open(test, |_| {});
        let li = desk.add("li", &[Role::Agent]).await;
        let (first, _) = desk.log_in("li", GOOD, None).await.expect("in");
        for _ in 0..20 {
            desk.later(1_000);
            desk.log_in("li", GOOD, None).await.expect("in");
        }
        assert_eq!(desk.sessions.list(li.id).await.expect("a list").len(), 20);
        assert!(!desk.knows(&first).await, "the oldest one made room");
    }

    async fn whatever_happens_to_an_account_ends_its_log_ins(test: TestStore) {
        let desk = Desk::open(test, |_| {});
        let li = desk.add("li", &[Role::Agent]).await;
        let by = By::machine();
        let (secret, _) = desk.log_in("li", GOOD, None).await.expect("in");
        desk.users.set_roles(&by, li.id, 1, vec![Role::Qc]).await.expect("changed");
        assert!(!desk.knows(&secret).await, "other roles");
        let (secret, caller) = desk.log_in("li", GOOD, None).await.expect("in");
        desk.users.change_password(&caller.user, Private(GOOD.into()), Private(BETTER.into())).await.expect("changed");
        assert!(!desk.knows(&secret).await, "another password");
        let ((secret, _), token) = (desk.log_in("li", BETTER, None).await.expect("in"), desk.token(&li, None).await);
        desk.users.disable(&by, li.id).await.expect("closed");
        assert!(!desk.knows(&secret).await, "closed");
        assert!(desk.users.by_token(&token).await.expect("a look").is_none(), "its tokens are not taken");
        assert!(matches!(desk.log_in("li", BETTER, None).await, Err(UserError::Wrong)));
        desk.users.enable(&by, li.id).await.expect("open");
        assert!(!desk.knows(&secret).await, "it does not come back");
        assert!(desk.users.by_token(&token).await.expect("a look").is_some());
        let (secret, _) = desk.log_in("li", BETTER, None).await.expect("in");
        let password = desk.users.reset_password(&by, li.id).await.expect("reset");
        assert!(!desk.knows(&secret).await, "reset");
        let (_, caller) = desk.log_in("li", password.reveal(), None).await.expect("in");
        assert_eq!(desk.users.owes(&caller.user), Some(Owed::Password));
    }

    async fn a_name_that_nobody_has_is_answered_and_locked_as_one_that_somebody_has(test: TestStore) {
        let desk = Desk::open(test, |_| {});
        desk.add("li", &[Role::Agent]).await;
        for name in ["li", "nobody"] {
            for _ in 0..5 {
                assert!(matches!(desk.log_in(name, BETTER, None).await, Err(UserError::Wrong)), "{name}");
            }
            let locked = desk.log_in(name, GOOD, None).await;
            assert!(matches!(locked, Err(UserError::Locked { wait }) if wait.as_secs() == 15 * 60), "{name}");
        }
        desk.later(15 * MINUTE);
        assert!(desk.log_in("li", GOOD, None).await.is_ok(), "a lock ends by itself");
        for _ in 0..4 {
            assert!(matches!(desk.log_in("li", BETTER, None).await, Err(UserError::Wrong)));
        }
        assert!(desk.log_in("li", GOOD, None).await.is_ok(), "a success wipes the slate");
    }

    async fn a_lock_is_seen_and_taken_away_by_an_administrator(test: TestStore) {
        let desk = Desk::open(test, |_| {});
        let li = desk.add("li", &[Role::Agent]).await;
        for _ in 0..5 {
            let _ = desk.log_in("li", BETTER, None).await;
        }
        let until = desk.users.locked_until(&li).await.expect("a look");
        assert_eq!(until, Some(UnixMs(MONDAY_NINE.0 + 15 * MINUTE)));
        desk.users.unlock(&By::machine(), li.id).await.expect("unlocked");
        assert_eq!(desk.users.locked_until(&li).await.expect("a look"), None);
        assert!(desk.log_in("li", GOOD, None).await.is_ok());
    }

    async fn an_address_that_guesses_many_names_is_locked_and_the_house_itself_is_not(test: TestStore) {
        let desk = Desk::open(test, |people| people.lock_after = 1);
        desk.add("li", &[Role::Agent]).await;
        let from = |address: &str, name: String| LogIn {
            address: Some(address.parse().expect("an address")),
            ..door(&name, BETTER, None)
        };
        for address in [AFAR, "127.0.0.1"] {
            for guess in 0..10 {
                let refused = desk.sessions.log_in(from(address, format!("{address}-{guess}"))).await;
                assert!(matches!(refused, Err(UserError::Wrong)));
            }
        }
        let good = |address: &str| LogIn { password: Private(GOOD.into()), ..from(address, "li".into()) };
        assert!(matches!(desk.sessions.log_in(good(AFAR)).await, Err(UserError::Locked { .. })));
        assert!(desk.sessions.log_in(good("192.0.2.8")).await.is_ok(), "another address");
        assert!(desk.sessions.log_in(good("127.0.0.1")).await.is_ok(), "a proxy stands there");
    }

    async fn guesses_at_once_are_not_more_guesses(test: TestStore) {
        let desk = Desk::open(test, |_| {});
        desk.add("li", &[Role::Agent]).await;
        let tries = (0..12).map(|_| {
            let sessions = desk.sessions.clone();
            tokio::spawn(async move { sessions.log_in(door("li", BETTER, None)).await })
        });
        let mut wrong = 0;
        for one in tries.collect::<Vec<_>>() {
            wrong += usize::from(matches!(one.await.expect("no panic"), Err(UserError::Wrong)));
        }
        assert_eq!(wrong, 5, "the others were not even looked at");
    }

    async fn a_wrong_old_password_counts_as_a_failed_log_in(test: TestStore) {
        let desk = Desk::open(test, |_| {});
        let li = desk.add("li", &[Role::Agent]).await;
        let change = async |old: &str| {
            desk.users.change_password(&li, Private(old.into()), Private(BETTER.into())).await
        };
        for _ in 0..5 {
            assert!(matches!(change(BETTER).await, Err(UserError::Wrong)));
        }
        assert!(matches!(change(GOOD).await, Err(UserError::Locked { .. })));
    }

    async fn the_latest_five_passwords_do_not_come_back(test: TestStore) {
        let desk = Desk::open(test, |_| {});
        let li = desk.add("li", &[Role::Agent]).await;
        let passwords: Vec<_> = (1..=5).map(|number| format!("Another-rain-{number}")).collect();
        let mut old = GOOD.to_owned();
        let change = async |old: &str, new: &str| {
            desk.later(1_000);
            let li = desk.users.get(li.id).await.expect("li");
            desk.users.change_password(&li, Private(old.into()), Private(new.into())).await
        };
        for new in &passwords {
            assert!(matches!(change(&old, &old).await, Err(UserError::Weak(Weak::Former))));
            change(&old, new).await.expect("a new one");
            old.clone_from(new);
        }
        assert!(matches!(change(&old, &passwords[0]).await, Err(UserError::Weak(Weak::Former))));
        change(&old, GOOD).await.expect("the sixth before is free again");
    }

    async fn a_password_grows_old_where_the_settings_say_so(test: TestStore) {
        let desk = Desk::open(test, |people| people.password_days = 90);
        let li = desk.add("li", &[Role::Agent]).await;
        let li = desk.users.get(li.id).await.expect("li");
        assert_eq!(desk.users.owes(&li), None);
        desk.later(90 * 24 * HOUR);
        assert_eq!(desk.users.owes(&li), Some(Owed::Password));
    }

    async fn a_second_factor_comes_into_force_with_its_first_code_and_takes_each_once(test: TestStore) {
        let desk = Desk::open(test, |people| people.totp_required_for = vec![Role::Agent]);
        let li = desk.add("li", &[Role::Agent]).await;
        assert_eq!(desk.users.owes(&li), Some(Owed::Totp));
        let made = desk.sessions.enrol_totp(&li).await.expect("enrolled");
        assert!(made.url.reveal().starts_with("otpauth://totp/hotline:li?secret="), "{}", made.url.reveal());
        assert!(desk.log_in("li", GOOD, None).await.is_ok(), "not in force yet");
        assert!(matches!(desk.sessions.confirm_totp(&li, "12345").await, Err(UserError::Code)));
        desk.sessions.confirm_totp(&li, &desk.code(&made)).await.expect("in force");

        assert!(matches!(desk.log_in("li", GOOD, None).await, Err(UserError::CodeNeeded)));
        assert!(matches!(desk.log_in("li", GOOD, Some(&desk.code(&made))).await, Err(UserError::Wrong)), "used");
        desk.later(30_000);
        let code = desk.code(&made);
        let (_, caller) = desk.log_in("li", GOOD, Some(&code)).await.expect("in");
        assert!(caller.user.totp && desk.users.owes(&caller.user).is_none());
        assert!(matches!(desk.log_in("li", GOOD, Some(&code)).await, Err(UserError::Wrong)), "a code is taken once");
        desk.later(30_000);
        let slow = desk.code(&made);
        desk.later(30_000);
        desk.log_in("li", GOOD, Some(&slow)).await.expect("one step late is good");
        let slow = desk.code(&made);
        desk.later(60_000);
        assert!(matches!(desk.log_in("li", GOOD, Some(&slow)).await, Err(UserError::Wrong)), "two steps late");
        let li = caller.user;
        assert!(matches!(desk.sessions.enrol_totp(&li).await, Err(UserError::Totp("on already"))));
        let remove = async |password: &str, code: &str| {
            desk.sessions.remove_totp(&li, Private(password.into()), code).await
        };
        let code = desk.code(&made);
        assert!(matches!(remove(BETTER, &code).await, Err(UserError::Wrong)));
        assert!(matches!(remove(GOOD, "000000").await, Err(UserError::Wrong)));
        remove(GOOD, &code).await.expect("removed");
        assert!(desk.log_in("li", GOOD, None).await.is_ok());
    }

    async fn asking_without_a_code_wins_no_more_guesses_of_it(test: TestStore) {
        let desk = Desk::open(test, |_| {});
        let li = desk.add("li", &[Role::Agent]).await;
        desk.factor(&li).await;
        for _ in 0..5 {
            assert!(matches!(desk.log_in("li", GOOD, None).await, Err(UserError::CodeNeeded)));
            assert!(matches!(desk.log_in("li", GOOD, Some("000000")).await, Err(UserError::Wrong)));
        }
        assert!(matches!(desk.log_in("li", GOOD, None).await, Err(UserError::Locked { .. })));
    }

    async fn a_code_that_two_show_at_once_lets_one_in(test: TestStore) {
        let desk = Desk::open(test, |_| {});
        let li = desk.add("li", &[Role::Agent]).await;
        let made = desk.factor(&li).await;
        desk.later(30_000);
        let code = desk.code(&made);
        let (one, other) =
            tokio::join!(desk.log_in("li", GOOD, Some(&code)), desk.log_in("li", GOOD, Some(&code)));
        assert_eq!(usize::from(one.is_ok()) + usize::from(other.is_ok()), 1);
    }

    async fn a_lost_second_factor_takes_two_administrators_of_two_kinds(test: TestStore) {
        let desk = Desk::open(test, |_| {});
        let li = desk.add("li", &[Role::Agent]).await;
        let admins = [("one", Role::Sysadmin), ("two", Role::Sysadmin), ("three", Role::Secadmin)];
        let mut rows = Vec::new();
        for (name, role) in admins {
            rows.push(desk.add(name, &[role]).await);
        }
        let (one, two, three) = (&rows[0], &rows[1], &rows[2]);
        let refused = async |by: &UserRow| match desk.users.approve_recovery(by, li.id).await {
            Err(UserError::Recovery(why)) => why.as_str(),
            other => panic!("{other:?}"),
        };
        assert!(matches!(desk.users.ask_recovery(one, li.id).await, Err(UserError::Totp("off"))));
        desk.factor(&li).await;
        assert_eq!(refused(three).await, "not_asked");
        desk.users.ask_recovery(one, li.id).await.expect("asked");
        assert_eq!((refused(one).await, refused(two).await), ("same_person", "same_kind"));
        desk.later(24 * HOUR);
        assert_eq!(refused(three).await, "not_asked", "too long ago");
        desk.users.ask_recovery(one, li.id).await.expect("asked");
        desk.users.disable(&By::machine(), one.id).await.expect("closed");
        assert_eq!(refused(three).await, "not_asked", "who asked is no administrator any more");
        desk.users.enable(&By::machine(), one.id).await.expect("open");
        let password = desk.users.approve_recovery(three, li.id).await.expect("approved");
        let (_, caller) = desk.log_in("li", password.reveal(), None).await.expect("no code is needed");
        assert!(!caller.user.totp);
        assert_eq!(desk.users.owes(&caller.user), Some(Owed::Password));
        assert!(matches!(desk.users.approve_recovery(three, li.id).await, Err(UserError::Totp("off"))), "once");
    }

    async fn everything_that_happens_to_an_account_is_in_the_audit(test: TestStore) {
        let desk = Desk::open(test, |people| people.lock_after = 2);
        let (boss, guard) = (desk.add("boss", &[Role::Sysadmin]).await, desk.add("guard", &[Role::Secadmin]).await);
        let (by_boss, by_guard) = (By::from(&boss), By::from(&guard));
        let from = desk.test.store.audit_after(0, 100).await.expect("the audit").len() as u64;

        let li = desk.users.open(&by_boss, Opening { name: "li".into(), ..Opening::default() }).await.expect("open");
        let seat = Change { extension: Some(Some("8001".into())), ..Change::default() };
        desk.users.change(&by_boss, li.id, 1, seat).await.expect("changed");
        desk.users.set_roles(&by_guard, li.id, 2, vec![Role::Agent]).await.expect("granted");
        let password = desk.users.reset_password(&by_guard, li.id).await.expect("reset");
        let (_, caller) = desk.log_in("li", password.reveal(), None).await.expect("in");
        desk.users.change_password(&caller.user, password, Private(GOOD.into())).await.expect("changed");
        for name in ["li", "nobody"] {
            for _ in 0..2 {
                let _ = desk.log_in(name, BETTER, None).await;
            }
        }
        desk.users.unlock(&by_guard, li.id).await.expect("unlocked");
        let li = desk.users.get(li.id).await.expect("li");
        desk.factor(&li).await;
        desk.users.ask_recovery(&boss, li.id).await.expect("asked");
        let _ = desk.users.approve_recovery(&boss, li.id).await;
        let password = desk.users.approve_recovery(&guard, li.id).await.expect("approved");
        let (_, caller) = desk.log_in("li", password.reveal(), None).await.expect("in");
        let Credential::Session(session) = &caller.shown else { panic!("a log-in") };
        desk.sessions.end(&caller.user, session.id).await.expect("out");
        let token = desk.users.make_token(&By::from(&li), &li, NewToken::default(), None).await.expect("a token").1;
        desk.users.revoke_token(&li, token.id).await.expect("revoked");
        desk.users.disable(&by_boss, li.id).await.expect("closed");
        desk.users.enable(&by_boss, li.id).await.expect("open");

        let rows = desk.test.store.audit_after(from, 100).await.expect("the audit");
        let told: Vec<_> = rows.iter().map(|row| (row.record.name.as_str(), row.record.action.as_str())).collect();
        assert_eq!(
            told,
            [
                ("boss", "user_added"),
                ("boss", "user_changed"),
                ("guard", "rights_changed"),
                ("guard", "password_reset"),
                ("li", "log_in"),
                ("li", "password_changed"),
                ("li", "log_in_failed"),
                ("li", "log_in_failed"),
                ("li", "lock"),
                ("unknown", "log_in_failed"),
                ("unknown", "log_in_failed"),
                ("unknown", "lock"),
                ("guard", "unlock"),
                ("li", "totp_enrolled"),
                ("boss", "totp_recovery_asked"),
                ("boss", "totp_recovery_refused"),
                ("guard", "totp_recovery_approved"),
                ("li", "log_in"),
                ("li", "log_out"),
                ("li", "token_issued"),
                ("li", "token_revoked"),
                ("boss", "user_disabled"),
                ("boss", "user_enabled"),
            ]
        );
        let of_li = rows.iter().filter(|row| row.record.subject == format!("user:{}", li.id)).count();
        assert_eq!(of_li, 18, "all but those of strangers and of the token name the account");
    }

    async fn nobody_changes_their_own_account_as_an_administrator(test: TestStore) {
        let desk = Desk::open(test, |_| {});
        let boss = desk.add("boss", &[Role::Sysadmin]).await;
        desk.add("second", &[Role::Sysadmin]).await;
        let by = By::from(&boss);
        let change = Change { name: Some("king".into()), ..Change::default() };
        assert!(matches!(desk.users.change(&by, boss.id, 1, change).await, Err(UserError::Oneself)));
        assert!(matches!(desk.users.set_roles(&by, boss.id, 1, vec![]).await, Err(UserError::Oneself)));
        assert!(matches!(desk.users.disable(&by, boss.id).await, Err(UserError::Oneself)));
        assert!(matches!(desk.users.unlock(&by, boss.id).await, Err(UserError::Oneself)));
        assert!(matches!(desk.users.reset_password(&by, boss.id).await, Err(UserError::Oneself)));
        assert!(matches!(desk.users.ask_recovery(&boss, boss.id).await, Err(UserError::Oneself)));
    }

    async fn the_last_administrator_of_a_kind_stays(test: TestStore) {
        let desk = Desk::open(test, |_| {});
        for role in [Role::Sysadmin, Role::Secadmin] {
            let last = desk.add(&format!("last-{role}"), &[role]).await;
            let by = By::machine();
            assert!(matches!(desk.users.disable(&by, last.id).await, Err(UserError::Last { .. })));
            let changed = desk.users.set_roles(&by, last.id, 1, vec![Role::Agent]).await;
            assert!(matches!(changed, Err(UserError::Last { .. })));
            assert_eq!(desk.users.get(last.id).await.expect("there").roles, [role], "nothing was changed");
            desk.add(&format!("next-{role}"), &[role]).await;
            desk.users.disable(&by, last.id).await.expect("there is another one");
        }
    }

    async fn two_administrators_who_close_each_other_at_once_leave_one(test: TestStore) {
        let desk = Desk::open(test, |_| {});
        let (one, other) = (desk.add("one", &[Role::Secadmin]).await, desk.add("other", &[Role::Secadmin]).await);
        let close = |by: &UserRow, user: &UserRow| {
            let (users, by, user) = (desk.users.clone(), By::from(by), user.id);
            tokio::spawn(async move { users.disable(&by, user).await.is_ok() })
        };
        for round in 0..20 {
            let (first, second) = (close(&one, &other), close(&other, &one));
            let closed = usize::from(first.await.expect("no panic")) + usize::from(second.await.expect("no panic"));
            assert_eq!(closed, 1, "round {round}");
            for user in [&one, &other] {
                desk.users.enable(&By::machine(), user.id).await.expect("open");
            }
        }
    }

    async fn a_stale_version_changes_nothing(test: TestStore) {
        let desk = Desk::open(test, |_| {});
        let li = desk.add("li", &[Role::Agent]).await;
        let by = By::machine();
        let rename = |name: &str| Change { name: Some(name.into()), ..Change::default() };
        let renamed = desk.users.change(&by, li.id, 1, rename("li.si")).await.expect("changed");
        assert_eq!((renamed.name.as_str(), renamed.version), ("li.si", 2));
        let stale = desk.users.change(&by, li.id, 1, rename("wang")).await;
        assert!(matches!(stale, Err(UserError::Stale { version: 2, .. })));
        assert!(matches!(desk.users.set_roles(&by, li.id, 1, vec![]).await, Err(UserError::Stale { .. })));
        assert_eq!(desk.users.get(li.id).await.expect("li"), renamed);
        let unit = Change { unit: Some(None), ..Change::default() };
        desk.users.set_roles(&by, li.id, 2, vec![Role::UnitLeader]).await.expect_err("a unit is missing");
        let water = Change { unit: Some(Some("WATER".into())), ..Change::default() };
        desk.users.change(&by, li.id, 2, water).await.expect("changed");
        desk.users.set_roles(&by, li.id, 3, vec![Role::UnitLeader]).await.expect("it has one now");
        assert!(matches!(desk.users.change(&by, li.id, 4, unit).await, Err(UserError::Role(RoleError::NeedsUnit(_)))));
    }
}

#[tokio::test]
async fn only_hashes_and_sealed_secrets_are_in_the_file() {
    let desk = Desk::open(TestStore::sqlite().await, |_| {});
    let li = desk.add("li", &[Role::Agent]).await;
    let token = desk.token(&li, None).await;
    let made = desk.factor(&li).await;
    desk.later(30_000);
    let (cookie, _) = desk.log_in("li", GOOD, Some(&desk.code(&made))).await.expect("in");
    let _ = desk.log_in("Secret-in-the-wrong-field-1", GOOD, None).await;
    desk.test.store.close().await;
    let file = std::fs::read(desk.test.file()).expect("the database file");
    let holds = |text: &[u8]| file.windows(text.len()).any(|window| window == text);
    assert!(holds(hash(&token).as_bytes()) && holds(hash(cookie.reveal()).as_bytes()), "their hashes are there");
    let secret = totp_rs::Secret::try_from_base32(made.secret.reveal()).expect("base 32");
    for kept in [token.as_bytes(), cookie.reveal().as_bytes(), GOOD.as_bytes(), secret.as_bytes()] {
        assert!(!holds(kept));
    }
    assert!(!holds(hex::encode(secret.as_bytes()).as_bytes()) && !holds(b"Secret-in-the-wrong-field-1"));
}

fn person(name: &str, roles: &[Role]) -> NewUser {
    NewUser { name: name.into(), roles: roles.into(), ..NewUser::default() }
}

fn door(name: &str, password: &str, code: Option<&str>) -> LogIn {
    LogIn {
        name: Private(name.into()),
        password: Private(password.into()),
        code: code.map(|code| Private(code.into())),
        address: AFAR.parse::<IpAddr>().ok(),
        before: None,
    }
}

/// The services over a fresh database.
struct Desk {
    users: Users,
    sessions: Sessions,
    test: TestStore,
    _keys: TempDir,
}

impl Desk {
    fn open(test: TestStore, change: impl FnOnce(&mut People)) -> Self {
        let mut people = People::default();
        change(&mut people);
        let keys = tempfile::tempdir().expect("a folder");
        let settings = VaultSettings { keys: keys.path().join("keys"), suite: CipherSuite::Aes256Gcm };
        let vault = Vault::open(&settings, test.clock.clone()).expect("keys");
        let users = Users::new(test.store.clone(), &people);
        Self { sessions: Sessions::new(users.clone(), vault), users, test, _keys: keys }
    }

    /// Somebody whose password is [`GOOD`].
    async fn add(&self, name: &str, roles: &[Role]) -> UserRow {
        let new = NewUser { password: Some(Private(GOOD.into())), ..person(name, roles) };
        let added = self.users.add(new).await.expect("added");
        self.users.get(added.id).await.expect("there")
    }

    async fn token(&self, user: &UserRow, scope: Option<Vec<String>>) -> String {
        let new = NewToken { scope, ..NewToken::default() };
        self.users.make_token(&By::machine(), user, new, None).await.expect("a token").0.0
    }

    async fn log_in(
        &self,
        name: &str,
        password: &str,
        code: Option<&str>,
    ) -> Result<(Private<String>, Caller), UserError> {
        self.sessions.log_in(door(name, password, code)).await
    }

    async fn knows(&self, secret: &Private<String>) -> bool {
        self.sessions.by_cookie(secret.reveal()).await.expect("a look").is_some()
    }

    /// A second factor in force.
    async fn factor(&self, user: &UserRow) -> Enrolment {
        let made = self.sessions.enrol_totp(user).await.expect("enrolled");
        self.sessions.confirm_totp(user, &self.code(&made)).await.expect("in force");
        made
    }

    /// What the person's device shows at the moment.
    fn code(&self, made: &Enrolment) -> String {
        let secret = totp_rs::Secret::try_from_base32(made.secret.reveal()).expect("base 32");
        let totp = totp_rs::Builder::new().with_algorithm(totp_rs::Algorithm::SHA1).with_secret(secret);
        let now = u64::try_from(self.test.clock.now().0 / 1_000).expect("after 1970");
        totp.build().expect("a device").generate(now).to_string()
    }

    fn later(&self, ms: i64) {
        self.test.clock.set(UnixMs(self.test.clock.now().0 + ms));
    }
}
