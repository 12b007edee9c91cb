//! People, as the operator of a machine makes them and as they log in then.

use serde_json::{Value, json};

use crate::house::House;

#[tokio::test]
async fn a_fresh_house_gets_its_three_administrators_on_the_machine() {
    let mut house = House::closed(tempfile::tempdir().expect("a folder"), &[("SPEECH__WORKERS", "0")]);
    house.start();
    let said = |prefix: &str| house.said.iter().find_map(|line| line.strip_prefix(prefix)).expect("told").to_owned();
    let first = said("one-time password: ");
    let run = |arguments: &[&str]| {
        let done = house.run(arguments);
        assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8_lossy(&done.stdout).into_owned()
    };
    run(&["user", "add", "guard", "--role", "secadmin"]);
    run(&["user", "add", "audit", "--role", "auditor", "--unit", "WATER", "--extension", "8009"]);
    let password = run(&["user", "password", "guard"]);
    let password = password.trim().strip_prefix("one-time password: ").expect("printed").to_owned();
    for (name, password, role) in [("admin", &first, "sysadmin"), ("guard", &password, "secadmin")] {
        let (status, session) = log_in(&house, name, password).await;
        assert_eq!((status, &session["roles"], &session["must_change_password"]), (201, &json!([role]), &json!(true)));
    }
    run(&["user", "add", "li", "--role", "agent,dispatcher"]);
    let password = run(&["user", "password", "li"]);
    let password = password.trim().strip_prefix("one-time password: ").expect("printed").to_owned();
    run(&["user", "lock", "li"]);
    assert_eq!(log_in(&house, "li", &password).await.0, 401);
    let people = "admin\tsysadmin\t-\t-\thas to change the password\n\
        tester\tagent,shift_leader,dispatcher\t-\t-\tno password\n\
        guard\tsecadmin\t-\t-\thas to change the password\n\
        audit\tauditor\tWATER\t8009\tno password\n\
        li\tagent,dispatcher\t-\t-\tlocked\n";
    assert_eq!(run(&["user", "list"]), people);
    run(&["user", "unlock", "li"]);
    assert_eq!(log_in(&house, "li", &password).await.0, 201);
    let token = run(&["user", "token", "audit", "--scope", "see_users", "--days", "1"]);
    let allowed = ask(&house, token.trim(), "/api/v1/users").await;
    let narrow = ask(&house, token.trim(), "/api/v1/units").await;
    assert_eq!((allowed, narrow), (200, 403));

    for (arguments, code) in [
        // The last of its kind stays.
        (&["user", "lock", "admin"][..], 1),
        (&["user", "lock", "nobody"], 1),
        (&["user", "add", "both", "--role", "sysadmin", "--role", "auditor"], 2),
        (&["user", "token", "audit", "--scope", "see_everything"], 2),
        (&["user", "token", "audit", "--days", "0"], 2),
    ] {
        assert_eq!(house.run(arguments).status.code(), Some(code), "{arguments:?}");
    }
    assert!(!house.log().contains(&first) && !house.log().contains(&password), "no password is in the log");
}

async fn log_in(house: &House, name: &str, password: &str) -> (u16, Value) {
    let request = reqwest::Client::new().post(format!("http://{}/api/v1/sessions", house.http));
    let answer = request.json(&json!({"name": name, "password": password})).send().await.expect("an answer");
    (answer.status().as_u16(), answer.json().await.expect("JSON"))
}

async fn ask(house: &House, token: &str, path: &str) -> u16 {
    let request = reqwest::Client::new().get(format!("http://{}{path}", house.http)).bearer_auth(token);
    request.send().await.expect("an answer").status().as_u16()
}
