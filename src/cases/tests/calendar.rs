//! A new year of the calendar and what it does to open cases.

use super::*;
use crate::{
    domain::year::{Holiday, YearPlan},
    store::{Recalculation, RecalculationState},
};

/// Wednesday 2026-12-30, 09:00 in the city: five workdays on is another year.
const WEDNESDAY: UnixMs = UnixMs(MONDAY_NINE.0 + 37 * 86_400_000);

on_every_database! {
    async fn open_cases_get_the_dates_of_a_new_year_once_and_keep_their_version(test: TestStore) {
        test.clock.set(WEDNESDAY);
        let house = House::new(&test);
        let (general, urgent) = (house.sent_out("0101").await, house.sent_out("0202").await);
        let before = house.cases.get(general, &agent()).await.expect("a case");
        assert_eq!(before.clocks.unit_due.as_deref(), Some("2027-01-07T17:30:00.000+08:00"));
        assert!(before.clocks.provisional, "2027 is not announced");
        assert!(!house.cases.get(urgent, &agent()).await.expect("a case").clocks.provisional, "round the clock");

        house.cases.import_year(&announced(), None).await.expect("in force");
        let kept = test.store.audit_after(0, 10).await.expect("a look").pop().expect("an entry").record;
        assert_eq!((kept.action.as_str(), kept.subject.as_str()), ("calendar_imported", "calendar:2027"));
        assert_eq!(house.recalculated().await, (1, 1));
        let after = house.cases.get(general, &agent()).await.expect("a case");
        assert_eq!(after.clocks.unit_due.as_deref(), Some("2027-01-08T17:30:00.000+08:00"), "4 January is off");
        assert_eq!((after.version, after.clocks.provisional), (before.version, false), "nobody's edit is stale");
        assert_eq!(after.clocks.why.as_deref(), Some("应于 2027-01-08 17:30 回复，还剩 5 个工作日"));

        let events = house.cases.events(general, &agent()).await.expect("a history");
        let last = events.last().expect("an event");
        assert_eq!((last.event.as_str(), last.by.name.as_str(), events.len()), ("recalculated", "system", 5));
        assert_eq!(last.data["orders"].as_array().map(Vec::len), Some(2), "the lead's and its helper's");
        let moved = &last.data["orders"][0];
        assert_ne!(moved["was"]["reply"], moved["due"]["reply"]);
        assert!(last.data["why"].as_str().expect("words").contains("2027年（国办发明电〔2026〕9号）"), "{}", last.data["why"]);
        let row = test.store.case_row(general).await.expect("a look").expect("a row");
        assert_eq!(row.unit_due.map(WorkCalendar::rfc3339), after.clocks.unit_due, "lists know it too");

        house.queue.enqueue(Kind::Recalculate, "1").await.expect("asked once more");
        assert!(!house.cases.import_year(&announced(), None).await.expect("no news").is_new);
        assert!(!house.cases.recalculate_next(&house.queue, |_| ()).await.expect("nothing waits"));
        assert_eq!(house.cases.events(general, &agent()).await.expect("a history").len(), 5);
    }

    async fn other_processes_count_by_a_new_year_with_its_commit(test: TestStore) {
        test.clock.set(WEDNESDAY);
        let (here, there) = (House::new(&test), House::of(Store::open(&test.url(), test.clock.clone()).await.expect("open")));
        let case = there.sent_out("0101").await;
        let next = there.registered("0101").await;
        here.cases.import_year(&announced(), None).await.expect("in force");
        let view = there.cases.act(next, 3, "dispatch", json!({}), &dispatcher()).await.expect("dispatched");
        assert_eq!(view.clocks.unit_due.as_deref(), Some("2027-01-08T17:30:00.000+08:00"));
        assert!(!there.cases.get(case, &agent()).await.expect("a case").clocks.provisional);
        assert_eq!(here.recalculated().await, (1, 1), "the one dispatched before");
    }

    async fn of_two_imports_only_the_second_counts(test: TestStore) {
        test.clock.set(WEDNESDAY);
        let house = House::new(&test);
        let case = house.sent_out("0101").await;
        let first = announced();
        let mut second = announced();
        second.holidays[0].to = "2027-01-05".into();
        house.cases.import_year(&first, None).await.expect("in force");
        house.cases.import_year(&second, None).await.expect("in force");
        house.recalculated().await;
        let states = [1, 2].map(|revision| house.cases.recalculation(revision));
        let states = futures::future::join_all(states).await.into_iter().map(|it| it.expect("readable").expect("a row").state);
        assert_eq!(states.collect::<Vec<_>>(), [RecalculationState::Superseded, RecalculationState::Done]);
        let due = |view: View| view.clocks.unit_due.expect("due");
        let both = due(house.cases.get(case, &agent()).await.expect("a case"));
        let alone = house.sent_out("0101").await;
        assert_eq!(due(house.cases.get(alone, &agent()).await.expect("a case")), both, "as if there had been no first");
        house.cases.import_year(&first, None).await.expect("in force");
        house.recalculated().await;
        assert_eq!(due(house.cases.get(case, &agent()).await.expect("a case")), "2027-01-08T17:30:00.000+08:00");
    }

    async fn a_recalculation_that_dies_goes_on_where_it_was(test: TestStore) {
        test.clock.set(WEDNESDAY);
        let house = House::new(&test);
        let mut cases = Vec::new();
        for _ in 0..53 {
            cases.push(house.sent_out("0101").await);
        }
        house.cases.import_year(&announced(), None).await.expect("in force");
        let minute = Duration::from_mins(1);
        house.queue.lease(Kind::Recalculate, "dying", minute).await.expect("a look").expect("the job");
        let half = house.cases.batch(1).await.expect("a batch").expect("running");
        assert_eq!((half.state, half.changed), (RecalculationState::Running, 50));
        assert!(!house.cases.recalculate_next(&house.queue, |_| ()).await.expect("a look"), "the dead one has it still");

        test.clock.set(WEDNESDAY + minute);
        assert_eq!(house.recalculated().await, (53, 0), "each is counted once");
        for case in cases {
            let events = house.cases.events(case, &agent()).await.expect("a history");
            assert_eq!(events.iter().filter(|event| event.event == "recalculated").count(), 1);
        }
    }

    async fn the_settings_years_are_taken_in_until_somebody_imports_one(test: TestStore) {
        let house = House::new(&test);
        assert_eq!(house.cases.adopt_years().await.expect("taken in"), [2025, 2026, 2027]);
        assert!(house.cases.adopt_years().await.expect("nothing new").is_empty());
        let later = |source: &str| {
            let mut city: City = serde_json::from_str(DEMO).expect("the demo city is read");
            city.calendar.years[2] = YearPlan { source: source.into(), ..announced() };
            Cases::new(test.store.clone(), Arc::new(city)).expect("a calendar")
        };
        assert_eq!(later("next release").adopt_years().await.expect("taken in"), [2027]);
        assert!(house.cases.adopt_years().await.expect("the old program starts again").is_empty());
        assert_eq!(house.cases.year(2027).await.expect("a year").row.expect("stored").plan.source, "next release");
        house.cases.import_year(&announced(), None).await.expect("in force");
        assert!(later("yet another release").adopt_years().await.expect("nothing").is_empty(), "a person's word stands");
    }

    async fn a_year_that_makes_no_sense_comes_nowhere(test: TestStore) {
        let house = House::new(&test);
        let mut wrong = announced();
        wrong.makeup_workdays.push("2027-01-04".into());
        let refused = house.cases.import_year(&wrong, None).await.expect_err("off and worked");
        assert!(refused.to_string().contains("calendar"), "{refused}");
        assert_eq!(test.store.calendar_revision().await.expect("a look"), 0);
    }
}

/// 2027 as it might be announced.
fn announced() -> YearPlan {
    let holiday = |name: &str, from: &str, to: &str| Holiday {
        name: name.into(),
        from: format!("2027-{from}"),
        to: format!("2027-{to}"),
    };
    YearPlan {
        year: 2027,
        source: "国办发明电〔2026〕9号".into(),
        provisional: false,
        holidays: vec![
            holiday("元旦", "01-01", "01-04"),
            holiday("春节", "02-05", "02-11"),
            holiday("清明节", "04-03", "04-05"),
            holiday("劳动节", "05-01", "05-04"),
            holiday("端午节", "06-09", "06-09"),
            holiday("中秋节", "09-15", "09-15"),
            holiday("国庆节", "10-01", "10-05"),
        ],
        makeup_workdays: vec!["2027-01-30".into(), "2027-02-20".into()],
    }
}

impl House {
    async fn registered(&self, category: &str) -> CaseId {
        let id = self.drafted(self.call(Some("停水了")).await).await;
        let edit = json!({"category": category, "title": "物业"});
        let edit = Command::Edit { fields: Box::new(serde_json::from_value(edit).expect("edits")) };
        self.cases.run(id, 1, edit, &agent()).await.expect("corrected");
        self.cases.act(id, 2, "confirm", json!({"read_back": true}), &agent()).await.expect("confirmed");
        id
    }

    async fn sent_out(&self, category: &str) -> CaseId {
        let id = self.registered(category).await;
        self.cases.act(id, 3, "dispatch", json!({}), &dispatcher()).await.expect("dispatched");
        id
    }

    /// Does what waits.
    ///
    /// * returns — cases with new dates and without, of the last one.
    async fn recalculated(&self) -> (u64, u64) {
        let mut last = None;
        while self
            .cases
            .recalculate_next(&self.queue, |now: &Recalculation| last = Some(now.clone()))
            .await
            .expect("done")
        {}
        last.map(|now| (now.changed, now.unchanged)).expect("something waited")
    }
}
