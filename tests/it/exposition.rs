//! The text of `/metrics`, read as Prometheus reads it, with the rules that its custom and our promises make.

use std::collections::{BTreeMap, BTreeSet};

/// Labels there may be: each has few values, and all of them are words of the program.
const LABELS: &[&str] = &[
    "action",
    "by",
    "desk",
    "direction",
    "fate",
    "folder",
    "kind",
    "le",
    "method",
    "next",
    "outcome",
    "part",
    "pool",
    "reason",
    "route",
    "state",
    "status",
    "version",
];
/// Most series of one name, buckets apart; routes times statuses are the most.
const SERIES: usize = 400;

/// One line with a value.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    pub name: String,
    pub labels: BTreeMap<String, String>,
    pub value: f64,
}

/// Everything that is wrong with a text, and its values.
pub fn read(text: &str) -> (Vec<Sample>, Vec<String>) {
    let (mut samples, mut wrong) = (Vec::new(), Vec::new());
    let (mut help, mut kinds) = (BTreeSet::new(), BTreeMap::new());
    for line in text.lines().filter(|line| !line.is_empty()) {
        let words: Vec<_> = line.splitn(4, ' ').collect();
        match words[..] {
            ["#", "HELP", name, meaning] if !meaning.trim().is_empty() => drop(help.insert(name.to_owned())),
            ["#", "TYPE", name, kind] => drop(kinds.insert(name.to_owned(), kind.to_owned())),
            ["#", ..] => wrong.push(format!("no sense: {line}")),
            _ => match sample(line) {
                Some(sample) => samples.push(sample),
                None => wrong.push(format!("no sample: {line}")),
            },
        }
    }
    for sample in &samples {
        wrong.extend(judge(sample, &help, &kinds).into_iter().map(|problem| format!("{}: {problem}", sample.name)));
    }
    let names: BTreeSet<_> = samples.iter().map(|sample| &sample.name).collect();
    for name in names {
        let series = samples.iter().filter(|it| it.name == *name && !it.labels.contains_key("le")).count();
        if series > SERIES {
            wrong.push(format!("{name}: {series} series"));
        }
    }
    (samples, wrong)
}

fn judge(sample: &Sample, help: &BTreeSet<String>, kinds: &BTreeMap<String, String>) -> Vec<String> {
    let mut wrong = Vec::new();
    let parts = ["_bucket", "_sum", "_count"];
    let family = parts.iter().find_map(|part| {
        let family = sample.name.strip_suffix(part)?;
        (kinds.get(family)? == "histogram").then(|| family.to_owned())
    });
    let family = family.unwrap_or_else(|| sample.name.clone());
    let kind = kinds.get(&family).map(String::as_str);
    if kind.is_none() || !help.contains(&family) {
        wrong.push("has no HELP and TYPE".into());
    }
    if !(family.starts_with("hotline_") || family.starts_with("process_")) {
        wrong.push("does not say whose it is".into());
    }
    if !family.bytes().all(|sign| sign.is_ascii_lowercase() || sign == b'_') {
        wrong.push("is not in snake case".into());
    }
    if (kind == Some("counter")) != family.ends_with("_total") {
        wrong.push("counters and only they end with _total".into());
    }
    let units = ["_seconds", "_bytes", "_ratio", "_mos"];
    if kind == Some("histogram") && !units.iter().any(|unit| family.ends_with(unit)) {
        wrong.push("a histogram names its base unit".into());
    }
    if kind == Some("summary") {
        wrong.push("is a summary, which cannot be added up".into());
    }
    for (label, value) in &sample.labels {
        if !LABELS.contains(&label.as_str()) {
            wrong.push(format!("label {label} is not known"));
        }
        if label != "le" && label != "version" && is_somebodys(value) {
            wrong.push(format!("label {label}=\"{value}\" is no word of the program"));
        }
    }
    wrong
}

/// A number of five digits is somebody's, a word that is not ASCII is somebody's, and so is an id.
fn is_somebodys(value: &str) -> bool {
    let digits = value.as_bytes().windows(5).any(|five| five.iter().all(u8::is_ascii_digit));
    let is_id = value.split('/').any(|part| part.len() == 36 && part.matches('-').count() == 4);
    digits || is_id || !value.is_ascii() || value.len() > 80
}

fn sample(line: &str) -> Option<Sample> {
    let (head, value) = line.rsplit_once(' ')?;
    let value = value.parse().ok()?;
    let Some((name, labels)) = head.split_once('{') else {
        return Some(Sample { name: head.to_owned(), labels: BTreeMap::new(), value });
    };
    let mut found = BTreeMap::new();
    let mut rest = labels.strip_suffix('}')?;
    while !rest.is_empty() {
        let (label, after) = rest.split_once("=\"")?;
        let (value, after) = after.split_once('"')?;
        found.insert(label.to_owned(), value.to_owned());
        rest = after.strip_prefix(',').unwrap_or(after);
    }
    Some(Sample { name: name.to_owned(), labels: found, value })
}

#[test]
fn a_text_that_breaks_the_custom_is_seen() {
    let good = "# HELP hotline_calls_total Calls.\n# TYPE hotline_calls_total counter\n\
        hotline_calls_total{reason=\"caller_hung_up\"} 3\n\n# HELP hotline_x_seconds X.\n# TYPE hotline_x_seconds histogram\n\
        hotline_x_seconds_bucket{route=\"/api/v1/calls/{id}\",le=\"0.5\"} 1\nhotline_x_seconds_sum 0.2\n";
    let (samples, wrong) = read(good);
    assert_eq!((samples.len(), wrong), (3, Vec::new()));
    assert_eq!(samples[1].labels["route"], "/api/v1/calls/{id}");
    for (from, to) in [
        ("# HELP hotline_calls_total Calls.\n", ""),
        ("# TYPE hotline_calls_total counter", "# TYPE hotline_calls_total gauge"),
        ("hotline_x_seconds", "hotline_x_ms"),
        ("hotline_x_seconds", "hotline_xSeconds"),
        ("hotline_calls_total", "calls_total"),
        ("reason=", "caller="),
        ("caller_hung_up", "13806352219"),
        ("caller_hung_up", "光岳新村"),
        ("/api/v1/calls/{id}", "/api/v1/calls/0193f0a1-0000-7000-8000-000000000000"),
        ("} 3", "} three"),
    ] {
        let (_, wrong) = read(&good.replace(from, to));
        assert!(!wrong.is_empty(), "{from} → {to}");
    }
}
