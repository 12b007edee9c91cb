use serde_json::json;

use super::*;

/// 2027 as it might be announced: 4 January off, 9 January worked.
pub(super) fn announced() -> Value {
    json!({
        "source": "国办发明电〔2026〕9号", "provisional": false,
        "holidays": [
            {"name": "元旦", "from": "2027-01-01", "to": "2027-01-04"}, {"name": "春节", "from": "2027-02-05", "to": "2027-02-11"},
            {"name": "清明节", "from": "2027-04-03", "to": "2027-04-05"}, {"name": "劳动节", "from": "2027-05-01", "to": "2027-05-04"},
            {"name": "端午节", "from": "2027-06-09", "to": "2027-06-09"}, {"name": "中秋节", "from": "2027-09-15", "to": "2027-09-15"},
            {"name": "国庆节", "from": "2027-10-01", "to": "2027-10-05"}
        ],
        "makeup_workdays": ["2027-01-09", "2027-02-20"]
    })
}

#[tokio::test]
async fn a_year_shows_its_days_with_kind_source_and_whether_it_is_announced() {
    let house = House::open().await;
    let token = house.token(Role::UnitHandler).await;
    let year = house.get("/api/v1/calendar?year=2026", &token).await.json();
    let items = year["items"].as_array().expect("days");
    assert_eq!((items.len(), &year["next"], year["provisional"].as_bool()), (365, &Value::Null, Some(false)));
    let day = |date: &str| items.iter().find(|day| day["date"] == date).expect("a day of the year").clone();
    let spring = day("2026-02-21");
    assert_eq!((spring["kind"].as_str(), spring["name"].as_str()), (Some("holiday"), Some("春节")));
    assert!(spring["source"].as_str().expect("a source").contains("chinesecalendar"));
    assert_eq!(
        (day("2026-02-28")["kind"].as_str(), day("2026-02-28")["works"].as_bool()),
        (Some("makeup"), Some(true))
    );
    assert_eq!(day("2026-11-28")["kind"], "weekend");
    assert_eq!(house.get("/api/v1/calendar", &token).await.json()["year"], 2026, "the present year");

    let page = house.get("/api/v1/calendar?year=2027&limit=200", &token).await.json();
    assert_eq!((page["provisional"].as_bool(), page["next"].as_str()), (Some(true), Some("2027-07-19")));
    let rest = house.get("/api/v1/calendar?year=2027&limit=200&after=2027-07-19", &token).await.json();
    assert_eq!((rest["items"].as_array().map(Vec::len), &rest["next"]), (Some(165), &Value::Null));

    let unknown = house.get("/api/v1/calendar?year=2031", &token).await.json();
    assert_eq!((unknown["provisional"].as_bool(), &unknown["source"]), (Some(true), &Value::Null));
    for query in ["year=1999", "year=soon", "limit=367", "after=yesterday"] {
        let answer = house.get(&format!("/api/v1/calendar?{query}"), &token).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{query}");
    }
}

#[tokio::test]
async fn a_year_that_is_put_is_in_force_at_once() {
    let house = House::open().await;
    let sysadmin = house.token(Role::Sysadmin).await;
    let put = house.put("/api/v1/calendar/2027", &sysadmin, &announced()).await;
    assert_eq!(put.status, StatusCode::OK, "{}", put.json());
    let year = put.json();
    assert_eq!((year["revision"].as_u64(), year["provisional"].as_bool()), (Some(1), Some(false)));
    assert_eq!((year["import"]["by"].as_str(), year["import"]["origin"].as_str()), (Some("sysadmin"), Some("import")));
    let shown = house.get("/api/v1/calendar?year=2027", &house.token(Role::Agent).await).await.json();
    assert_eq!(shown["items"][8]["kind"], "makeup");
    let again = house.put("/api/v1/calendar/2027", &sysadmin, &announced()).await.json();
    assert_eq!(again["revision"], 1, "the same year once more is no news");
}

#[tokio::test]
async fn only_the_system_administrator_puts_a_year_and_only_one_that_makes_sense() {
    let house = House::open().await;
    let (agent, sysadmin) = (house.token(Role::Agent).await, house.token(Role::Sysadmin).await);
    let forbidden = house.put("/api/v1/calendar/2027", &agent, &announced()).await;
    assert_eq!((forbidden.status, forbidden.problem().as_str()), (StatusCode::FORBIDDEN, "forbidden"));
    let mut wrong = announced();
    wrong["makeup_workdays"][0] = "2027-01-04".into();
    let refused = house.put("/api/v1/calendar/2027", &sysadmin, &wrong).await;
    assert_eq!((refused.status, refused.problem().as_str()), (StatusCode::BAD_REQUEST, "bad-request"));
    assert_eq!(refused.json()["problems"][0]["field"], "makeup_workdays[0]");
    for (path, status) in
        [("2028", StatusCode::BAD_REQUEST), ("1999", StatusCode::BAD_REQUEST), ("next", StatusCode::NOT_FOUND)]
    {
        let answer = house.put(&format!("/api/v1/calendar/{path}"), &sysadmin, &announced()).await;
        assert_eq!(answer.status, status, "{path}");
    }
    assert_eq!(house.store.calendar_revision().await.expect("readable"), 0, "nothing came into force");
}
