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

    /// The texts among the values, one a line: strings of several words. Names and ids, which are one word, are none.
    pub fn texts(&self) -> Option<String> {
        // Most attributes are names and numbers: they need not be read.
        if !self.0.contains(|c: char| c.is_whitespace() || !c.is_ascii()) {
            return None;
        }
        let mut texts = Vec::new();
        for (_, value) in parse_members(self.0.as_bytes()).unwrap_or_default() {
            add_texts(value.unwrap_or(Json::Null), &mut texts);
        }
        // Sorted, since a database keeps the members in an order of its own.
        texts.sort();
        (!texts.is_empty()).then(|| texts.join("\n"))
    }

    /// Attributes as a database gives them back.
    pub fn of_text(text: &str) -> Option<Self> {
        Self::merge([text])
    }

    /// The JSON text, keys sorted.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn add_texts(value: Json, texts: &mut Vec<String>) {
    match value {
        Json::String(text) if is_text(&text) => texts.push(text),
        Json::Array(values) => values.into_iter().for_each(|value| add_texts(value, texts)),
        Json::Object(members) => members.into_iter().for_each(|(_, value)| add_texts(value, texts)),
        _ => {}
    }
}

/// Whether a string is several words: with a space between letters, or in a script that writes none.
fn is_text(text: &str) -> bool {
    text.split_whitespace().filter(|word| word.contains(char::is_alphabetic)).nth(1).is_some()
        || text.chars().filter(|c| c.is_alphabetic() && u32::from(*c) >= 0x0E00).nth(3).is_some()
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

    #[test]
    fn texts_are_strings_of_several_words() {
        let texts = |json| Attributes::of_text(json).and_then(|attributes| attributes.texts());
        let json = r#"{"note":"two words","node":"ip-10-0-0-1","of":{"list":["a second text",7,"x y"],"at":"2026-11-01 10:00"},"说明":"内存不足"}"#;
        assert_eq!(texts(json).as_deref(), Some("a second text\ntwo words\nx y\n内存不足"));
        assert_eq!(texts(r#"{"node":"web-1","n":7}"#), None);
    }
}
