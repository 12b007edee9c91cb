//! Who is asked by default, and how fast they have to be: the dispatch catalogue read with the case's place.

use crate::domain::{
    city::{City, Leaf},
    draft::Urgency,
};

/// Classes that are given by a move of their own and never chosen at a dispatch.
const NOT_CHOSEN: [&str; 2] = ["LEADER", "REDO"];

/// What the catalogue says for a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    pub lead: String,
    pub co: Vec<String>,
    /// Told, without a task: the city's unit where an area's own one leads.
    pub copies: Vec<String>,
}

/// The catalogue's choice.
///
/// * `place` — the case's place id; without one the city's own units are asked.
///
/// Source: `routing` of the city's data: county matters go to the area's unit with a copy to the city's, town matters to
/// the area's hotline office, utilities and the city's own to the unit itself.
pub fn route(city: &City, leaf: &Leaf, place: Option<&str>) -> Route {
    let area = place.and_then(|place| city.area_of_place(place)).map(|area| area.code.as_str());
    let local = |unit: &String| match (leaf.route.as_str(), area) {
        ("county" | "town", Some(area)) if city.unit(unit).is_some_and(|unit| unit.has_county_level) => {
            format!("{area}-{unit}")
        }
        _ => unit.clone(),
    };
    let lead = local(&leaf.lead);
    let copies = if leaf.route == "county" && lead != leaf.lead { vec![leaf.lead.clone()] } else { Vec::new() };
    let co = leaf.co.iter().map(local).filter(|unit| *unit != lead).collect();
    Route { lead, co, copies }
}

/// The time class by default.
pub fn time_class<'a>(leaf: &'a Leaf, urgency: Urgency) -> &'a str {
    let floor: &'a str = floor(urgency);
    if rank(floor) < rank(&leaf.time) { floor } else { &leaf.time }
}

/// Whether a dispatcher may choose `class` for a case of this urgency.
///
/// # Errors
/// The reason why not.
pub fn check_class(city: &City, class: &str, urgency: Urgency) -> Result<(), String> {
    if !city.time_classes.contains_key(class) || NOT_CHOSEN.contains(&class) {
        let known: Vec<_> =
            city.time_classes.keys().map(String::as_str).filter(|key| !NOT_CHOSEN.contains(key)).collect();
        return Err(format!("time class `{class}` is none of {}", known.join(", ")));
    }
    let floor = floor(urgency);
    if rank(class) > rank(floor) {
        return Err(format!("time class `{class}` is slower than {floor}, which the case's urgency asks for"));
    }
    Ok(())
}

/// Whether a dispatcher may name `unit`, to lead or to help.
///
/// # Errors
/// The reason why not.
pub fn check_unit(city: &City, leaf: &Leaf, unit: &str, leads: bool) -> Result<(), String> {
    let Some(known) = city.unit(unit) else {
        return Err(format!("there is no unit `{unit}`; units are named as WATER or 371526-ZJ"));
    };
    // 国办函〔2025〕66号: what a department has to do must not be pushed down to towns.
    if leads && known.code == "TOWN" && leaf.route != "town" {
        return Err(format!("`{}` is a department's matter ({}) and must not be led by a town", leaf.name, leaf.lead));
    }
    Ok(())
}

const fn floor(urgency: Urgency) -> &'static str {
    match urgency {
        Urgency::None => "",
        Urgency::SafetyHazard => "URGENT",
        Urgency::EmergencyNow => "EMERGENCY",
    }
}

/// Smaller is faster.
fn rank(class: &str) -> u8 {
    match class {
        "EMERGENCY" => 0,
        "URGENT" => 1,
        "" => u8::MAX,
        _ => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn city() -> City {
        serde_json::from_str(include_str!("../../../config/demo-city.json")).expect("the demo city is read")
    }

    fn of(leaf: &str, place: Option<&str>) -> Route {
        let city = city();
        route(&city, city.leaf(leaf).expect("a leaf"), place)
    }

    #[test]
    fn a_county_matter_goes_to_the_areas_own_unit_with_a_copy_to_the_citys() {
        let route = of("0101", Some("E009"));
        assert_eq!(route.lead, "371526-ZJ");
        assert_eq!(route.co, ["371526-TOWN"]);
        assert_eq!(route.copies, ["ZJ"]);
        assert_eq!(of("0101", Some("371526/鱼邱湖街道")).lead, "371526-ZJ");
    }

    #[test]
    fn without_a_place_the_citys_unit_is_asked() {
        let route = of("0101", None);
        assert_eq!((route.lead.as_str(), route.copies.len()), ("ZJ", 0));
    }

    #[test]
    fn utilities_and_city_matters_go_to_the_unit_itself() {
        assert_eq!(of("0202", Some("E003")), Route { lead: "WATER".into(), co: vec!["ZJ".into()], copies: vec![] });
        assert_eq!(of("0401", Some("E003")).lead, "BUS");
    }

    #[test]
    fn every_default_names_units_that_exist() {
        let city = city();
        let places = [None, Some("E009"), Some("371502")];
        for (leaf, place) in city.leaves().flat_map(|leaf| places.map(|place| (leaf, place))) {
            let route = route(&city, leaf, place);
            for (index, unit) in std::iter::once(&route.lead).chain(&route.co).chain(&route.copies).enumerate() {
                assert_eq!(check_unit(&city, leaf, unit, index == 0), Ok(()), "{} {place:?}", leaf.code);
            }
            assert!(!route.co.contains(&route.lead));
        }
    }

    #[test]
    fn urgency_raises_the_time_class_and_never_lowers_it() {
        let city = city();
        let (general, urgent) = (city.leaf("0101").expect("a leaf"), city.leaf("0202").expect("a leaf"));
        assert_eq!(time_class(general, Urgency::None), "GENERAL");
        assert_eq!(time_class(general, Urgency::SafetyHazard), "URGENT");
        assert_eq!(time_class(general, Urgency::EmergencyNow), "EMERGENCY");
        assert_eq!(time_class(urgent, Urgency::None), "URGENT");
        assert!(check_class(&city, "GENERAL", Urgency::SafetyHazard).is_err());
        assert_eq!(check_class(&city, "EMERGENCY", Urgency::SafetyHazard), Ok(()));
        assert!(check_class(&city, "REDO", Urgency::None).is_err());
        assert!(check_class(&city, "SOON", Urgency::None).expect_err("no such class").contains("GENERAL"));
    }

    #[test]
    fn a_departments_matter_is_not_pushed_down_to_a_town() {
        let city = city();
        let (property, village) = (city.leaf("0101").expect("a leaf"), city.leaf("1203").expect("a leaf"));
        assert!(check_unit(&city, property, "371526-TOWN", true).is_err());
        assert_eq!(check_unit(&city, property, "371526-TOWN", false), Ok(()));
        assert_eq!(check_unit(&city, village, "371526-TOWN", true), Ok(()));
        assert!(check_unit(&city, property, "371526-BUS", false).is_err());
    }
}
