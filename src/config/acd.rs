//! How calls are given to seats: section `[acd]`.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::domain::hours::Hours;

/// Queues and seats. Seconds that may be 0 turn something off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Acd {
    /// How long a seat rings before the next one does.
    pub ring_seconds: u32,
    /// Time for notes after a talk; 0: the next call may come at once.
    pub wrap_up_seconds: u32,
    /// Calls in a row that a seat lets ring before it is paused; 0: it never is.
    pub misses: u32,
    /// Wait after which a caller's dialect or topic no longer binds; 0: it always does.
    pub relax_after_seconds: u32,
    /// From the arrival to the first telling of the position.
    pub first_position_seconds: u32,
    /// From one telling to the next; 0: the position is not told.
    pub position_every_seconds: u32,
    /// Wait after which a call-back is offered by key 1; 0: none is.
    pub callback_after_seconds: u32,
    /// Wait after which the overflow desk takes a call.
    pub overflow_after_seconds: u32,
    /// Wait after which a caller is asked to hang up and is called back later; 0: nobody is.
    pub give_up_after_seconds: u32,
    /// Callers who may wait at a desk.
    pub capacity: usize,
    /// Without any there is one, `main`, for all numbers of the line.
    pub desks: Vec<AcdDesk>,
}

/// A desk; the first takes what belongs to none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AcdDesk {
    pub id: String,
    /// Numbers of `line.numbers`; those that no desk names belong to the first.
    pub numbers: Vec<String>,
    /// What a seat needs for any call of this desk.
    pub skills: Vec<String>,
    /// A higher one goes first, whatever the desk.
    pub priority: u8,
    /// The desk that helps out.
    pub overflow: Option<String>,
    /// In place of `acd.overflow_after_seconds`.
    pub overflow_after_seconds: Option<u32>,
    /// In place of `acd.capacity`.
    pub capacity: Option<usize>,
    /// `7x24`, `work` (the city's work hours) or `08:00-20:00`.
    pub hours: Hours,
}

/// Most desks.
const DESKS: usize = 100;
/// Longest name of a desk or a skill, signs.
const NAME: usize = 32;

impl Default for Acd {
    fn default() -> Self {
        Self {
            ring_seconds: 15,
            wrap_up_seconds: 30,
            misses: 2,
            relax_after_seconds: 60,
            first_position_seconds: 15,
            position_every_seconds: 45,
            callback_after_seconds: 60,
            overflow_after_seconds: 90,
            give_up_after_seconds: 1800,
            capacity: 100,
            desks: Vec::new(),
        }
    }
}

impl Acd {
    /// The desks, at least one.
    pub fn desks(&self) -> Vec<AcdDesk> {
        match self.desks.as_slice() {
            [] => vec![AcdDesk { id: "main".into(), ..AcdDesk::default() }],
            desks => desks.to_vec(),
        }
    }
}

/// Names every mistake by its key.
///
/// * `numbers` — all that the line answers.
pub(super) fn check(acd: &Acd, numbers: &[String], wrong: &mut impl FnMut(&str, String)) {
    for (key, value, least, most, off) in [
        ("ring_seconds", acd.ring_seconds, 5, 120, false),
        ("wrap_up_seconds", acd.wrap_up_seconds, 1, 900, true),
        ("misses", acd.misses, 1, 20, true),
        ("relax_after_seconds", acd.relax_after_seconds, 5, 3600, true),
        ("first_position_seconds", acd.first_position_seconds, 5, 600, false),
        ("position_every_seconds", acd.position_every_seconds, 10, 600, true),
        ("callback_after_seconds", acd.callback_after_seconds, 10, 3600, true),
        ("overflow_after_seconds", acd.overflow_after_seconds, 5, 3600, false),
        ("give_up_after_seconds", acd.give_up_after_seconds, 30, 14_400, true),
    ] {
        let is_off = off && value == 0;
        if !is_off && !(least..=most).contains(&value) {
            let zero = if off { "0 or " } else { "" };
            wrong(&format!("acd.{key}"), format!("{value} is not {zero}between {least} and {most}"));
        }
    }
    let capacity = |key: &str, value: usize, wrong: &mut dyn FnMut(&str, String)| {
        if !(1..=1000).contains(&value) {
            wrong(key, format!("{value} is not between 1 and 1000"));
        }
    };
    capacity("acd.capacity", acd.capacity, wrong);
    if acd.desks.len() > DESKS {
        wrong("acd.desks", format!("{} desks are more than {DESKS}", acd.desks.len()));
    }
    let (mut ids, mut taken) = (BTreeSet::new(), BTreeSet::new());
    for desk in &acd.desks {
        let key = |name: &str| format!("acd.desks.{}.{name}", desk.id);
        if !is_name(&desk.id) {
            wrong("acd.desks", format!("`{}` is no id of small letters, digits, `-` and `_`", desk.id));
        }
        if !ids.insert(desk.id.as_str()) {
            wrong("acd.desks", format!("there are two desks `{}`", desk.id));
        }
        for number in &desk.numbers {
            if !numbers.contains(number) {
                wrong(&key("numbers"), format!("`{number}` is not in line.numbers"));
            }
            if !taken.insert(number.as_str()) {
                wrong(&key("numbers"), format!("`{number}` leads to another desk already"));
            }
        }
        for skill in desk.skills.iter().filter(|skill| !is_name(skill)) {
            wrong(&key("skills"), format!("`{skill}` is no name of small letters, digits, `-` and `_`"));
        }
        if let Some(value) = desk.capacity {
            capacity(&key("capacity"), value, wrong);
        }
        if let Some(value) = desk.overflow_after_seconds
            && !(5..=3600).contains(&value)
        {
            wrong(&key("overflow_after_seconds"), format!("{value} is not between 5 and 3600"));
        }
        if let Some(other) = &desk.overflow {
            if *other == desk.id {
                wrong(&key("overflow"), "is the desk itself".into());
            } else if !acd.desks.iter().any(|desk| desk.id == *other) {
                wrong(&key("overflow"), format!("there is no desk `{other}`"));
            }
        }
    }
}

fn is_name(text: &str) -> bool {
    let fits = |sign: u8| sign.is_ascii_lowercase() || sign.is_ascii_digit() || b"-_".contains(&sign);
    (1..=NAME).contains(&text.len()) && text.bytes().all(fits)
}

#[cfg(test)]
mod tests {
    use figment::{
        Figment,
        providers::{Format, Serialized, Toml},
    };

    use super::*;
    use crate::config::Settings;

    fn read(text: &str) -> Acd {
        let figment = Figment::from(Serialized::defaults(Settings::default())).merge(Toml::string(text));
        figment.focus("acd").extract().expect("the section is read")
    }

    fn keys(acd: &Acd) -> Vec<String> {
        let mut keys = Vec::new();
        check(acd, &["12345".into(), "12329".into()], &mut |key, _| keys.push(key.to_owned()));
        keys
    }

    #[test]
    fn without_a_section_there_is_one_desk() {
        let acd = read("");
        assert_eq!((&acd, keys(&acd).len()), (&Acd::default(), 0));
        let ids: Vec<_> = acd.desks().into_iter().map(|desk| (desk.id, desk.hours)).collect();
        assert_eq!(ids, [("main".to_owned(), Hours::Always)]);
    }

    #[test]
    fn desks_are_read_with_what_they_leave_out() {
        let acd = read(
            r#"
            [acd]
            ring_seconds = 20
            wrap_up_seconds = 0
            [[acd.desks]]
            id = "main"
            [[acd.desks]]
            id = "housing-fund"
            numbers = ["12329"]
            skills = ["housing-fund"]
            overflow = "main"
            hours = "work"
            "#,
        );
        assert_eq!((acd.ring_seconds, acd.wrap_up_seconds, acd.misses), (20, 0, 2));
        assert_eq!(acd.desks[1].hours, Hours::Work);
        assert_eq!((acd.desks[1].capacity, acd.desks[1].overflow.as_deref()), (None, Some("main")));
        assert_eq!(keys(&acd), [""; 0]);
    }

    #[test]
    fn every_mistake_is_named_with_its_key() {
        let desk = |id: &str| AcdDesk { id: id.into(), ..AcdDesk::default() };
        let mut acd = Acd { ring_seconds: 0, position_every_seconds: 5, capacity: 0, ..Acd::default() };
        acd.desks = vec![
            AcdDesk { numbers: vec!["12345".into(), "110".into()], overflow: Some("a".into()), ..desk("a") },
            AcdDesk { numbers: vec!["12345".into()], overflow: Some("x".into()), capacity: Some(0), ..desk("b") },
            AcdDesk { skills: vec!["Hakka dialect".into()], overflow_after_seconds: Some(0), ..desk("c") },
            desk("c"),
            desk("窗口"),
        ];
        let general = ["acd.ring_seconds", "acd.position_every_seconds", "acd.capacity"];
        let a = ["acd.desks.a.numbers", "acd.desks.a.overflow"];
        let b = ["acd.desks.b.numbers", "acd.desks.b.capacity", "acd.desks.b.overflow"];
        let c = ["acd.desks.c.skills", "acd.desks.c.overflow_after_seconds", "acd.desks", "acd.desks"];
        assert_eq!(keys(&acd), [&general[..], &a, &b, &c].concat());
    }
}
