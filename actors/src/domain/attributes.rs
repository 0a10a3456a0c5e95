//! The fields of a body that the contract does not name. They are kept as they are.

use super::json::{Json, parse_members};

/// The unknown fields of a body, as one canonical JSON object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attributes(String);

impl Attributes {
    pub fn new(members: Vec<(String, Json)>) -> Option<Self> {
        if members.is_empty() {
            return None;
        }
        let mut text = String::new();
        Json::Object(members).write_canonical(&mut text);
        Some(Attributes(text))
    }

    /// One object out of many, member by member, objects within them too: of what several have, the later counts. The texts are in their order;
    /// one that is no object adds nothing.
    pub fn merge<'a>(texts: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        let mut merged = Vec::new();
        for text in texts {
            let members = parse_members(text.as_bytes()).unwrap_or_default();
            let members = members.into_iter().filter_map(|(name, value)| Some((name, value.ok()?)));
            merge_members(&mut merged, members);
        }
        Self::new(merged)
    }

    /// The JSON text, keys sorted.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn merge_members(held: &mut Vec<(String, Json)>, later: impl IntoIterator<Item = (String, Json)>) {
    for (name, value) in later {
        match (held.iter_mut().find(|(known, _)| *known == name), value) {
            (Some((_, Json::Object(held))), Json::Object(later)) => merge_members(held, later),
            (Some((_, held)), value) => *held = value,
            (None, value) => held.push((name, value)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_merged_member_by_member() {
        let merged = Attributes::merge([
            r#"{"a": {"b": {"c": 1.50, "d": 1}, "e": [1]}, "f": "x"}"#,
            "no JSON",
            r#"{"a": {"b": {"d": 2}, "e": [2], "g": null}}"#,
            r#"{"f": {"h": 3}}"#,
        ]);
        let expected = r#"{"a":{"b":{"c":1.50,"d":2},"e":[2],"g":null},"f":{"h":3}}"#;
        assert_eq!(merged.as_ref().map(Attributes::as_str), Some(expected));
        assert_eq!(Attributes::merge(["{}"]), None);
    }
}
