//! The city the line serves: areas, units, categories, estates, time classes. Read once at start, then shared.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::year::{Holiday, YearPlan};

/// Everything a city configures about itself; `config/demo-city.json` is the example.
#[derive(Clone, Debug, Deserialize)]
pub struct City {
    pub calendar: Calendar,
    pub areas: Vec<Area>,
    pub units: Vec<Unit>,
    pub time_classes: BTreeMap<String, TimeClass>,
    pub request_types: Vec<RequestType>,
    pub urgent_triggers: UrgentTriggers,
    pub channels: Vec<String>,
    pub not_accepted: Vec<RefusalCode>,
    pub roles: Vec<RoleName>,
    pub estates: Vec<Estate>,
    pub categories: Vec<Category>,
}

/// Working hours and the days that differ from the week's pattern.
#[derive(Clone, Debug, Deserialize)]
pub struct Calendar {
    /// Spans of local time, `["08:30", "12:00"]`.
    pub work_hours: Vec<(String, String)>,
    /// ISO weekdays off, Monday 1.
    pub weekend: Vec<i8>,
    /// Years as announced; what is imported later stands above them.
    #[serde(default)]
    pub years: Vec<YearPlan>,
    /// As city files named them before `years`: days off that fall on a weekday, by year.
    #[serde(default)]
    holidays_on_weekdays: BTreeMap<String, Vec<String>>,
    /// The same for 调休, by year.
    #[serde(default)]
    makeup_workdays: BTreeMap<String, Vec<String>>,
    /// Where those two come from.
    #[serde(default)]
    source: String,
}

/// A county, district or zone.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Area {
    pub code: String,
    pub name: String,
    pub kind: String,
    pub towns: Vec<String>,
}

/// A unit that handles cases.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Unit {
    pub code: String,
    pub name: String,
    pub short: String,
    pub kind: String,
    /// Whether each area has its own: `371526-ZJ`.
    pub has_county_level: bool,
    pub duties: Vec<String>,
    pub aliases: Vec<String>,
}

/// Deadlines of one class of cases, as the city writes them: minutes, `24h`, `4wh` working hours, `5wd` working days.
#[derive(Clone, Debug, Deserialize)]
pub struct TimeClass {
    pub name: String,
    /// `7x24` or `workday`.
    pub clock: String,
    pub sign_min: Option<u32>,
    pub sign: Option<String>,
    pub contact_min: Option<u32>,
    pub contact: Option<String>,
    pub reply: String,
    pub extend: Option<Extension>,
    pub return_limit: Option<String>,
}

/// How far a deadline may be moved.
#[derive(Clone, Debug, Deserialize)]
pub struct Extension {
    pub max_wd: u32,
    pub times: u32,
}

/// 咨询, 求助, 投诉 …
#[derive(Clone, Debug, Deserialize)]
pub struct RequestType {
    pub code: String,
    pub name: String,
}

/// Words that make a matter urgent, and whom to call in at once.
#[derive(Clone, Debug, Deserialize)]
pub struct UrgentTriggers {
    #[serde(rename = "EMERGENCY")]
    pub emergency: Vec<String>,
    #[serde(rename = "URGENT")]
    pub urgent: Vec<String>,
    pub transfer: BTreeMap<String, Vec<String>>,
}

/// Why a request may be refused, and what the caller is told.
#[derive(Clone, Debug, Deserialize)]
pub struct RefusalCode {
    pub code: String,
    pub name: String,
    pub action: String,
}

/// A role's id and its name on the desk.
#[derive(Clone, Debug, Deserialize)]
pub struct RoleName {
    pub code: String,
    pub name: String,
}

/// A housing estate.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Estate {
    pub code: String,
    pub name: String,
    pub area: String,
    pub town: String,
}

/// A first-level category.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Category {
    pub code: String,
    pub name: String,
    pub children: Vec<Leaf>,
}

/// A leaf of the category tree: the dispatch catalogue's row.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Leaf {
    pub code: String,
    pub name: String,
    /// Unit that leads unless the dispatcher names another.
    pub lead: String,
    pub co: Vec<String>,
    /// `city`, `county`, `town` or `utility`.
    pub route: String,
    /// Key of [`City::time_classes`].
    pub time: String,
    /// Request types seen with this leaf, commonest first.
    pub types: Vec<String>,
    pub keywords: Vec<String>,
}

impl Calendar {
    /// All its years, whichever way they are written down.
    pub fn plans(&self) -> Vec<YearPlan> {
        let days = |days: Option<&Vec<String>>| days.cloned().unwrap_or_default();
        let off = |day: String| Holiday { name: "法定节假日".into(), from: day.clone(), to: day };
        let older = self.holidays_on_weekdays.iter().map(|(year, dates)| YearPlan {
            // A key that is no year is no year of the checks either.
            year: year.parse().unwrap_or_default(),
            source: self.source.clone(),
            provisional: false,
            holidays: dates.iter().cloned().map(off).collect(),
            makeup_workdays: days(self.makeup_workdays.get(year)),
        });
        self.years.iter().cloned().chain(older).collect()
    }
}

impl City {
    /// The leaf with this code.
    pub fn leaf(&self, code: &str) -> Option<&Leaf> {
        self.leaves().find(|leaf| leaf.code == code)
    }

    /// All leaves, in the tree's order.
    pub fn leaves(&self) -> impl Iterator<Item = &Leaf> {
        self.categories.iter().flat_map(|category| &category.children)
    }

    /// The unit `WATER`, or for `371526-ZJ` the unit `ZJ` where area 371526 has its own.
    pub fn unit(&self, id: &str) -> Option<&Unit> {
        let (area, code) = match id.split_once('-') {
            Some((area, code)) => (Some(area), code),
            None => (None, id),
        };
        let unit = self.units.iter().find(|unit| unit.code == code)?;
        match area {
            None => Some(unit),
            Some(area) => (unit.has_county_level && self.area(area).is_some()).then_some(unit),
        }
    }

    /// The area with this code.
    pub fn area(&self, code: &str) -> Option<&Area> {
        self.areas.iter().find(|area| area.code == code)
    }

    /// The estate with this code.
    pub fn estate(&self, code: &str) -> Option<&Estate> {
        self.estates.iter().find(|estate| estate.code == code)
    }

    /// The town a place lies in, as an id; the area for an area; `None` if there is no such place.
    pub fn town_of_place(&self, place: &str) -> Option<String> {
        self.area_of_place(place)?;
        match self.estate(place) {
            Some(estate) => Some(format!("{}/{}", estate.area, estate.town)),
            None => Some(place.to_owned()),
        }
    }

    /// The area a place id lies in: `371526`, `371526/鱼邱湖街道` or `E009`; `None` if there is no such place.
    pub fn area_of_place(&self, place: &str) -> Option<&Area> {
        if let Some(estate) = self.estate(place) {
            return self.area(&estate.area);
        }
        match place.split_once('/') {
            None => self.area(place),
            Some((area, town)) => self.area(area).filter(|area| area.towns.iter().any(|name| name == town)),
        }
    }
}
