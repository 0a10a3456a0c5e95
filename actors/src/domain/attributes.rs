//! The fields of a body that the contract does not name. They are kept as they are.

use super::json::Json;

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

    /// The JSON text, keys sorted.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
