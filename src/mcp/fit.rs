//! Makes an answer as short as the agent asked for. The best comes first; long texts share what is left; what is left out is said.

use super::tell::clean_value;
use serde_json::{Map, Value, json};

/// An answer before it is fitted.
pub struct Answer {
    /// Small fields of this service's own words.
    pub fields: Map<String, Value>,
    /// Lists, the one that may be shortened first at the end. The first is what was asked for.
    pub lists: Vec<List>,
    /// The tool, and the arguments that it was called with.
    pub tool: &'static str,
    pub arguments: Map<String, Value>,
}

pub struct List {
    pub name: &'static str,
    pub items: Vec<Value>,
    /// For each item, how to go on behind it: arguments to change. Empty where only a longer answer tells the rest.
    pub behind: Vec<Map<String, Value>>,
    /// Whether the items, which stand here with the best first, are told the other way round.
    pub is_turned: bool,
    /// The name and value of a field that says where the next page begins; behind the last one shown where some are left out.
    pub cursor: Option<(&'static str, Value)>,
}

impl List {
    pub fn new(name: &'static str, items: Vec<Value>) -> Self {
        List { name, items, behind: Vec::new(), is_turned: false, cursor: None }
    }
}

/// Bytes of a token, as they are counted.
const TOKEN: usize = 4;
pub const LEAST_TOKENS: i64 = 200;
pub const MOST_TOKENS: i64 = 20_000;
pub const USUAL_TOKENS: i64 = 4_000;
/// Characters that a text may have at least, and at most where it is cut at all.
const SHORTEST: usize = 60;
const LONGEST: usize = MOST_TOKENS as usize * TOKEN; // a small number
/// A text of an argument that is longer is not repeated in `next`.
const REPEATED: usize = 200;

impl Answer {
    /// The answer as JSON, of no more than so many tokens.
    pub fn fit(&self, max_tokens: usize) -> (Value, String) {
        let most = max_tokens * TOKEN;
        let whole: Vec<usize> = self.lists.iter().map(|list| list.items.len()).collect();
        if let Some(fitting) = self.try_cuts(&whole, most, true) {
            return fitting;
        }
        // Fewer items, from the end of the last list on; the list that was asked for keeps one for as long as others have some.
        let mut shown = whole.clone();
        let fits = |shown: &[usize]| self.made(shown, Some(SHORTEST), true).1.len() <= most;
        let order: Vec<(usize, usize)> = [(0, 1)]
            .into_iter()
            .chain((1..shown.len()).rev().map(|at| (at, 0)))
            .chain([(0, 0)])
            .filter(|(at, _)| *at < shown.len())
            .collect();
        for (at, least) in order {
            let (mut low, mut high) = (least.min(shown[at]), shown[at]);
            shown[at] = low;
            if fits(&shown) {
                // The most that fit.
                while low < high {
                    let middle = (low + high).div_ceil(2);
                    shown[at] = middle;
                    if fits(&shown) { low = middle } else { high = middle - 1 }
                }
                shown[at] = low;
                break;
            }
        }
        self.try_cuts(&shown, most, true).or_else(|| self.try_cuts(&vec![0; shown.len()], most, false)).unwrap_or_else(|| {
            let value = json!({"truncated": {"everything_left_out": true, "next": {"tool": self.tool, "arguments": {"max_tokens": MOST_TOKENS}}}});
            let text = value.to_string();
            (value, text)
        })
    }

    /// With texts as long as may be: the longest ones share what is left.
    fn try_cuts(&self, shown: &[usize], most: usize, with_fields: bool) -> Option<(Value, String)> {
        let made = |cut| Some(self.made(shown, cut, with_fields)).filter(|(_, text)| text.len() <= most);
        if let Some(whole) = made(None) {
            return Some(whole);
        }
        let (mut low, mut high, mut fitting) = (SHORTEST, LONGEST, made(Some(SHORTEST))?);
        while low < high {
            let middle = (low + high).div_ceil(2);
            match made(Some(middle)) {
                Some(longer) => (low, fitting) = (middle, longer),
                None => high = middle - 1,
            }
        }
        Some(fitting)
    }

    fn made(&self, shown: &[usize], cut: Option<usize>, with_fields: bool) -> (Value, String) {
        let mut answer = if with_fields { self.fields.clone() } else { Map::new() };
        let mut truncated = Map::new();
        let mut texts = Map::new();
        // Where the first text that is cut is whole.
        let mut whole = None;
        for (list, shown) in self.lists.iter().zip(shown) {
            let mut items = list.items[..*shown].to_vec();
            if let Some(cut) = cut {
                for item in &mut items {
                    let before = texts.clone();
                    cut_untrusted(item, cut, &mut texts);
                    if texts != before && whole.is_none() {
                        whole = item.get("incident_id").or(self.fields.get("incident_id")).cloned();
                    }
                }
            }
            if list.is_turned {
                items.reverse();
            }
            let is_whole = *shown == list.items.len();
            if let Some((name, cursor)) = &list.cursor {
                let behind = shown.checked_sub(1).and_then(|last| list.behind.get(last)?.get("cursor"));
                if let Some(cursor) = if is_whole { Some(cursor) } else { behind } {
                    answer.insert((*name).to_owned(), cursor.clone());
                }
            }
            if !is_whole {
                truncated.insert(format!("{}_left_out", list.name), (list.items.len() - shown).into());
            }
            answer.insert(list.name.into(), items.into());
        }
        if !with_fields {
            truncated.insert("fields_left_out".into(), self.fields.keys().cloned().collect());
        }
        if !texts.is_empty() {
            let cut = texts.iter().map(|(field, texts)| json!({"field": field, "texts": texts}));
            truncated.insert("texts_cut".into(), cut.collect());
        }
        if let Some(incident) = whole.filter(|_| !self.is_one_incident()) {
            let arguments = json!({"incident_id": incident, "max_tokens": MOST_TOKENS});
            truncated.insert("whole_texts".into(), json!({"tool": "get_incident", "arguments": arguments}));
        }
        if !truncated.is_empty() {
            truncated.insert("next".into(), self.next(shown));
            answer.insert("truncated".into(), truncated.into());
        }
        let answer = Value::from(answer);
        let text = answer.to_string();
        (answer, text)
    }

    fn has_all_room(&self) -> bool {
        self.arguments.get("max_tokens").and_then(Value::as_i64) == Some(MOST_TOKENS)
    }

    /// Whether the answer is of one incident: then a text that is cut has no other call.
    fn is_one_incident(&self) -> bool {
        matches!(self.tool, "get_incident" | "get_timeline")
    }

    /// The call that tells what is left out: the rest of what was asked for, or the same at more length.
    fn next(&self, shown: &[usize]) -> Value {
        let mut arguments: Map<String, Value> =
            self.arguments.iter().map(|(name, value)| (name.clone(), clean_value(value))).collect();
        let rest =
            self.lists.first().zip(shown.first()).filter(|(list, shown)| **shown > 0 && **shown < list.items.len());
        match rest.and_then(|(list, shown)| list.behind.get(shown - 1)) {
            Some(behind) => arguments.extend(behind.clone()),
            // Nothing is longer: a text of such length is read from the API.
            None if self.has_all_room() && self.is_one_incident() => {
                return json!({"http": "GET /api/v1/audits/{audit_id}"});
            }
            None => {
                let given = self.arguments.get("max_tokens").and_then(Value::as_i64).unwrap_or(USUAL_TOKENS);
                arguments.insert("max_tokens".into(), (given.max(LEAST_TOKENS) * 5).min(MOST_TOKENS).into());
            }
        }
        let is_long = |value: &Value| value.to_string().len() > REPEATED;
        let long: Vec<String> =
            arguments.iter().filter(|(_, value)| is_long(value)).map(|(name, _)| name.clone()).collect();
        arguments.retain(|_, value| !is_long(value));
        let mut next = json!({"tool": self.tool, "arguments": arguments});
        if !long.is_empty() {
            next["arguments_as_before"] = long.into();
        }
        // Many short ones are long too.
        if next.to_string().len() > 2 * REPEATED {
            return json!({"tool": self.tool, "arguments": {"max_tokens": MOST_TOKENS}, "other_arguments_as_before": true});
        }
        next
    }
}

/// Cuts what others wrote, and counts the texts that are cut by their field. Who wrote it stays whole.
fn cut_untrusted(item: &mut Value, most: usize, cut: &mut Map<String, Value>) {
    if let Some(untrusted) = item.get_mut("untrusted") {
        cut_texts(untrusted, most, "", cut);
    }
}

/// Cuts the texts of a value.
fn cut_texts(value: &mut Value, most: usize, field: &str, cut: &mut Map<String, Value>) {
    match value {
        Value::String(text) => {
            if let Some((at, _)) = text.char_indices().nth(most) {
                text.truncate(at);
                text.push('…');
                let count = cut.get(field).and_then(Value::as_u64).unwrap_or_default() + 1;
                cut.insert(field.to_owned(), count.into());
            }
        }
        Value::Array(values) => values.iter_mut().for_each(|value| cut_texts(value, most, field, cut)),
        Value::Object(members) => members.iter_mut().for_each(|(name, value)| cut_texts(value, most, name, cut)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// For any data and any length the answer is valid, not longer, and says what is missing.
    #[test]
    fn an_answer_is_never_too_long() {
        let mut random = 7u64;
        let mut next = |below: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (random >> 33) % below
        };
        let letters = ["a", "\"", "\\", "é", "漢", "\n", "👩", "\u{1}"];
        for _ in 0..100 {
            let text = |next: &mut dyn FnMut(u64) -> u64, most: u64| {
                (0..next(most)).map(|_| letters[usize::try_from(next(8)).expect("small")]).collect::<String>()
            };
            let mut list = |name: &'static str, most: u64| {
                let items = (0..next(most)).map(|id| json!({"incident_id": id, "untrusted": {"reasoning": text(&mut next, 3_000), "alert_name": text(&mut next, 300)}}));
                List::new(name, items.collect())
            };
            let lists = vec![list("hits", 40), list("worked", 8), list("do_not_repeat", 8)];
            let counts: Vec<usize> = lists.iter().map(|list| list.items.len()).collect();
            let arguments =
                json!({"query": text(&mut next, 2_000), "limit": 5}).as_object().expect("an object").clone();
            let fields =
                json!({"coverage": {"incidents": 7}, "note": "x".repeat(usize::try_from(next(500)).expect("small"))});
            let answer = Answer {
                fields: fields.as_object().expect("an object").clone(),
                lists,
                tool: "search_similar_incidents",
                arguments,
            };
            for max_tokens in [200, 201, 350, 1_000, 4_000, 20_000] {
                let (value, text) = answer.fit(max_tokens);
                assert!(text.len() <= max_tokens * 4, "{} of {max_tokens}", text.len());
                assert_eq!(serde_json::from_str::<Value>(&text).expect("valid JSON"), value);
                for (name, count) in ["hits", "worked", "do_not_repeat"].into_iter().zip(&counts) {
                    let shown = value[name].as_array().map_or(0, Vec::len);
                    let left_out = value["truncated"][format!("{name}_left_out")].as_u64().unwrap_or_default();
                    assert_eq!(shown + usize::try_from(left_out).expect("few"), *count, "{text}");
                }
                let is_whole = value.get("truncated").is_none();
                assert!(!is_whole || !text.contains('…'));
                assert!(is_whole || value["truncated"]["next"]["tool"] == "search_similar_incidents");
            }
        }
    }
}
