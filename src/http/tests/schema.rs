//! Reads the description of the API the way a client's generator would, and holds answers against it.
//!
//! Knows the part of JSON Schema (draft 2020-12) that the description uses; a keyword it does not know is an error, so
//! that nothing is passed over. What is described nowhere may not be in an answer.

use serde_json::{Map, Value};

/// Keywords that say nothing about a value.
const WORDS: &[&str] =
    &["description", "title", "example", "examples", "default", "deprecated", "readOnly", "writeOnly"];

/// A whole description.
pub(super) struct Api(pub(super) Value);

impl Api {
    /// What an answer of an operation has to look like, or why it may not be.
    ///
    /// * returns — everything that is wrong.
    pub(super) fn check(&self, operation: &Value, status: u16, kind: &str, body: &[u8]) -> Vec<String> {
        let responses = &operation["responses"];
        let Some(response) = responses.get(status.to_string()).or_else(|| responses.get("default")) else {
            return vec![format!("status {status} is not described")];
        };
        let Some(content) = self.resolve(response)["content"].as_object() else {
            return if body.is_empty() {
                Vec::new()
            } else {
                vec![format!("status {status} is described without a body")]
            };
        };
        let plain = kind.split(';').next().unwrap_or_default();
        let Some(described) = content.get(plain) else {
            return vec![format!("`{plain}` is not among {:?}", content.keys().collect::<Vec<_>>())];
        };
        if plain == "application/json" || plain.ends_with("+json") {
            match serde_json::from_slice(body) {
                Ok(value) => self.value(&described["schema"], &value, "$"),
                Err(error) => vec![format!("the body is no JSON: {error}")],
            }
        } else {
            Vec::new()
        }
    }

    /// What is wrong with a value.
    pub(super) fn value(&self, schema: &Value, value: &Value, at: &str) -> Vec<String> {
        let mut wrong = self.fits(schema, value, at);
        if let Value::Object(object) = value {
            match self.known(schema, value) {
                Known::Anything => {}
                Known::Keys(keys) => {
                    let strange = object.keys().filter(|key| !keys.contains(key));
                    wrong.extend(strange.map(|key| format!("{at}.{key} is described nowhere")));
                }
            }
        }
        wrong
    }

    fn fits(&self, schema: &Value, value: &Value, at: &str) -> Vec<String> {
        let Some(keywords) = schema.as_object() else {
            return if schema == &Value::Bool(true) { Vec::new() } else { vec![format!("{at}: no schema: {schema}")] };
        };
        let mut wrong = Vec::new();
        for (keyword, said) in keywords {
            match keyword.as_str() {
                "$ref" => wrong.extend(self.fits(self.resolve(schema), value, at)),
                "allOf" => wrong.extend(parts(said).flat_map(|part| self.fits(part, value, at))),
                "oneOf" | "anyOf" => {
                    let fitting = parts(said).filter(|part| self.value(part, value, at).is_empty()).count();
                    if fitting == 0 {
                        wrong.push(format!("{at}: {value} fits none of {said}"));
                    }
                }
                "type" => {
                    let types: Vec<_> = said.as_array().map_or(vec![said], |all| all.iter().collect());
                    if !types.iter().any(|name| is(name.as_str().unwrap_or_default(), value)) {
                        wrong.push(format!("{at}: {value} is not {said}"));
                    }
                }
                "enum" => wrong
                    .extend((!parts(said).any(|one| one == value)).then(|| format!("{at}: {value} is not in {said}"))),
                "const" => wrong.extend((said != value).then(|| format!("{at}: {value} is not {said}"))),
                "required" => wrong.extend(
                    parts(said)
                        .filter_map(Value::as_str)
                        .filter(|key| value.as_object().is_some_and(|object| !object.contains_key(*key)))
                        .map(|key| format!("{at}.{key} is missing")),
                ),
                "properties" => wrong.extend(
                    pairs(said)
                        .filter_map(|(key, part)| Some((key, part, value.get(key)?)))
                        .flat_map(|(key, part, value)| self.value(part, value, &format!("{at}.{key}"))),
                ),
                "additionalProperties" => {
                    let named = keywords.get("properties").and_then(Value::as_object);
                    let others = pairs(value).filter(|(key, _)| named.is_none_or(|named| !named.contains_key(*key)));
                    if said.is_object() {
                        wrong.extend(others.flat_map(|(key, other)| self.value(said, other, &format!("{at}.{key}"))));
                    } else if said == &Value::Bool(false) {
                        wrong.extend(others.map(|(key, _)| format!("{at}.{key} may not be there")));
                    }
                }
                "items" if said == &Value::Bool(false) => {
                    let fixed = keywords.get("prefixItems").map_or(0, |fixed| parts(fixed).count());
                    wrong.extend((parts(value).count() > fixed).then(|| format!("{at}: more than {fixed} items")));
                }
                "items" => {
                    let fixed = keywords.get("prefixItems").map_or(0, |fixed| parts(fixed).count());
                    let items = parts(value).enumerate().skip(fixed);
                    wrong.extend(items.flat_map(|(index, item)| self.value(said, item, &format!("{at}[{index}]"))));
                }
                "prefixItems" => {
                    let items = parts(said).zip(parts(value)).enumerate();
                    wrong.extend(
                        items.flat_map(|(index, (part, item))| self.value(part, item, &format!("{at}[{index}]"))),
                    );
                }
                "minItems" | "maxItems" => {
                    wrong.extend(bound(keyword, said, value.as_array().map(|all| count(all.len())), at));
                }
                "minimum" | "maximum" => wrong.extend(bound(keyword, said, value.as_f64(), at)),
                "minLength" | "maxLength" => {
                    wrong.extend(bound(keyword, said, value.as_str().map(|text| count(text.chars().count())), at));
                }
                "propertyNames" => wrong.extend(
                    pairs(value)
                        .flat_map(|(key, _)| self.value(said, &Value::String(key.clone()), &format!("{at}.{key}"))),
                ),
                "format" => {
                    wrong.extend(format(said.as_str().unwrap_or_default(), value).map(|what| format!("{at}: {what}")));
                }
                word if WORDS.contains(&word) => {}
                other => wrong.push(format!("{at}: the keyword `{other}` is not known here")),
            }
        }
        wrong
    }

    /// The keys that a schema speaks of, through everything it is made of.
    fn known(&self, schema: &Value, value: &Value) -> Known {
        let Some(keywords) = schema.as_object() else { return Known::Anything };
        if keywords.contains_key("$ref") {
            return self.known(self.resolve(schema), value);
        }
        let mut keys = Vec::new();
        let named = keywords.get("properties");
        keys.extend(named.into_iter().flat_map(pairs).map(|(key, _)| key.clone()));
        let open = keywords.get("additionalProperties").is_some_and(|said| said != &Value::Bool(false));
        let composed: Vec<&Value> =
            ["allOf", "oneOf", "anyOf"].iter().filter_map(|word| keywords.get(*word)).flat_map(parts).collect();
        if open || (named.is_none() && composed.is_empty()) {
            return Known::Anything;
        }
        for part in composed {
            if keywords.contains_key("allOf") || self.fits(part, value, "").is_empty() {
                match self.known(part, value) {
                    Known::Anything => return Known::Anything,
                    Known::Keys(more) => keys.extend(more),
                }
            }
        }
        Known::Keys(keys)
    }

    fn resolve<'a>(&'a self, schema: &'a Value) -> &'a Value {
        let Some(reference) = schema["$ref"].as_str() else { return schema };
        let pointer = reference.strip_prefix('#').expect("a reference into the description");
        self.0.pointer(pointer).unwrap_or_else(|| panic!("{reference} leads nowhere"))
    }
}

enum Known {
    Anything,
    Keys(Vec<String>),
}

fn parts(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn pairs(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flat_map(Map::iter)
}

fn is(name: &str, value: &Value) -> bool {
    match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => false,
    }
}

/// Lengths of answers are far below what a float holds exactly.
fn count(length: usize) -> f64 {
    f64::from(u32::try_from(length).unwrap_or(u32::MAX))
}

fn bound(keyword: &str, said: &Value, value: Option<f64>, at: &str) -> Option<String> {
    let (value, said) = (value?, said.as_f64()?);
    let within = if keyword.starts_with("min") { value >= said } else { value <= said };
    (!within).then(|| format!("{at}: {value} is beyond {keyword} {said}"))
}

fn format(name: &str, value: &Value) -> Option<String> {
    let text = value.as_str();
    let right = match name {
        "uuid" => text.is_none_or(|text| text.parse::<uuid::Uuid>().is_ok()),
        "date-time" => text.is_none_or(|text| text.parse::<jiff::Timestamp>().is_ok()),
        "date" => text.is_none_or(|text| text.parse::<jiff::civil::Date>().is_ok()),
        "int32" => value.as_i64().is_none_or(|number| i32::try_from(number).is_ok()),
        "int64" => !value.is_number() || value.is_i64() || value.is_u64(),
        "float" | "double" | "binary" | "password" => true,
        other => return Some(format!("the format `{other}` is not known here")),
    };
    (!right).then(|| format!("{value} is no {name}"))
}

#[test]
fn what_does_not_fit_is_named_with_its_place() {
    use serde_json::json;

    let api = Api(serde_json::json!({ "components": { "schemas": {
        "State": { "type": "string", "enum": ["a", "b"] },
        "Thing": {
            "type": "object", "required": ["id", "state"],
            "properties": {
                "id": { "type": "string", "format": "uuid" },
                "state": { "$ref": "#/components/schemas/State" },
                "seat": { "oneOf": [{ "type": "null" }, { "$ref": "#/components/schemas/State" }] },
                "points": { "type": "array", "items": { "type": "array", "items": false,
                    "prefixItems": [{ "type": "number" }, { "type": "integer", "minimum": 0 }] } },
                "more": { "type": "object" },
            },
        },
        "Both": { "allOf": [{ "$ref": "#/components/schemas/Thing" },
            { "type": "object", "properties": { "extra": { "type": ["integer", "null"] } } }] },
    } } }));
    let both = serde_json::json!({ "$ref": "#/components/schemas/Both" });
    let check = |change: Value| {
        let mut value = serde_json::json!({ "id": "0190a1b2-0000-7000-8000-000000000000", "state": "a" });
        let (Value::Object(value), Value::Object(change)) = (&mut value, change) else { panic!("objects") };
        value.extend(change);
        api.value(&both, &Value::Object(value.clone()), "$").join("; ")
    };
    for right in [
        json!({}),
        json!({ "seat": null, "extra": null, "more": { "x": 1 } }),
        json!({ "seat": "b", "extra": 3, "points": [[0.5, 1]] }),
    ] {
        assert_eq!(check(right.clone()), "", "{right}");
    }
    for (wrong, place) in [
        (json!({ "id": "x" }), "$.id"),
        (json!({ "state": "c" }), "$.state"),
        (json!({ "seat": "c" }), "$.seat"),
        (json!({ "seat": 3 }), "$.seat"),
        (json!({ "extra": "3" }), "$.extra"),
        (json!({ "strange": 1 }), "$.strange is described nowhere"),
        (json!({ "points": [[0.5, -1]] }), "$.points[0][1]"),
        (json!({ "points": [[0.5, 1, 2]] }), "$.points[0]"),
    ] {
        assert!(check(wrong.clone()).contains(place), "{wrong}: {}", check(wrong.clone()));
    }
    let unknown = api.value(&json!({ "type": "string", "pattern": "x" }), &json!("y"), "$");
    assert_eq!(unknown, ["$: the keyword `pattern` is not known here"]);
    assert_eq!(api.value(&json!({ "type": "object", "required": ["a"] }), &json!({}), "$"), ["$.a is missing"]);
}
