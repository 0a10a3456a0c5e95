//! Reads JSON so that nothing is lost. Numbers keep their digits. A key that appears twice is an error, because its
//! second value would replace the first. What PostgreSQL could not store is refused here, with the name of its field.

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::collections::HashSet;
use std::fmt;

/// How deep arrays and objects may nest. The body itself is the first level.
pub const MAX_DEPTH: usize = 64;

/// Most digits that the numbers of one body may gain when they are written out in full. PostgreSQL writes the numbers
/// of `jsonb` out in full, so a short `1e100000` would come back as 100,000 digits.
const MAX_GAINED_DIGITS: usize = 512 * 1024;
/// Most digits of one number, when it is written out in full: `numeric` allows no more after the decimal point.
const MAX_DIGITS: usize = 16 * 1024;

/// A JSON value. Numbers are kept as they were written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Json {
    Null,
    Bool(bool),
    Number(String),
    String(String),
    Array(Vec<Json>),
    Object(Vec<(String, Json)>),
}

/// Why a body is refused as JSON.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    #[error("the body is not valid JSON: line {line}, column {column}")]
    Syntax { line: usize, column: usize },
    #[error("the body must be a JSON object")]
    NotAnObject,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("contains a NUL character, which cannot be stored")]
    Nul,
    #[error("contains text that is not valid Unicode")]
    NotUnicode,
    #[error("is nested more than {MAX_DEPTH} levels deep")]
    TooDeep,
    #[error("contains the same key twice")]
    Twice,
    #[error("contains a number that is too large to be stored")]
    HugeNumber,
}

/// A member of a body: its name, and its value or the fault in the value.
pub type Member = (String, Result<Json, Fault>);

/// The members of the JSON object in `body`, in their order. The same name may appear twice: the caller knows which
/// names are the same.
pub fn parse_members(body: &[u8]) -> Result<Vec<Member>, JsonError> {
    // Some editors and .NET programs begin a file with a byte order mark.
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    let raw: &RawValue = serde_json::from_slice(body).map_err(|e| syntax(&e))?;
    if !raw.get().starts_with('{') {
        return Err(JsonError::NotAnObject);
    }
    // A lone surrogate in a key of the body itself is found only here. The error has its position.
    let members: Members = serde_json::from_str(raw.get()).map_err(|e| syntax(&e))?;
    let mut gained = 0;
    let checked = members.0.into_iter().map(|(member, raw)| {
        let value = if member.contains('\0') { Err(Fault::Nul) } else { value(raw, 2, &mut gained) };
        (member, value)
    });
    Ok(checked.collect())
}

/// The members of the object that is the value of `member` in `body`; `None` if there is no such object.
pub fn parse_members_of(body: &[u8], member: &str) -> Option<Vec<Member>> {
    let members: Members = serde_json::from_slice(body).ok()?;
    let (_, raw) = members.0.into_iter().find(|(name, _)| name == member)?;
    parse_members(raw.get().as_bytes()).ok()
}

fn syntax(error: &serde_json::Error) -> JsonError {
    JsonError::Syntax { line: error.line(), column: error.column() }
}

/// `raw` is well-formed JSON; only its strings may still be wrong.
fn value(raw: &RawValue, depth: usize, gained: &mut usize) -> Result<Json, Fault> {
    let text = raw.get();
    match text.as_bytes().first() {
        Some(b'n') => Ok(Json::Null),
        Some(b't') => Ok(Json::Bool(true)),
        Some(b'f') => Ok(Json::Bool(false)),
        Some(b'"') => {
            let text: String = serde_json::from_str(text).map_err(|_| Fault::NotUnicode)?;
            if text.contains('\0') { Err(Fault::Nul) } else { Ok(Json::String(text)) }
        }
        Some(b'[' | b'{') if depth > MAX_DEPTH => Err(Fault::TooDeep),
        Some(b'[') => {
            let items: Vec<&RawValue> = serde_json::from_str(text).map_err(|_| Fault::NotUnicode)?;
            let items: Result<_, _> = items.into_iter().map(|raw| value(raw, depth + 1, gained)).collect();
            Ok(Json::Array(items?))
        }
        Some(b'{') => {
            let members: Members = serde_json::from_str(text).map_err(|_| Fault::NotUnicode)?;
            let mut seen = HashSet::with_capacity(members.0.len());
            if !members.0.iter().all(|(key, _)| seen.insert(key.as_str())) {
                return Err(Fault::Twice);
            }
            let mut out = Vec::with_capacity(members.0.len());
            for (key, raw) in members.0 {
                if key.contains('\0') {
                    return Err(Fault::Nul);
                }
                out.push((key, value(raw, depth + 1, gained)?));
            }
            Ok(Json::Object(out))
        }
        _ => {
            let plain = plain_digits(text);
            *gained = gained.saturating_add(plain.saturating_sub(text.len()));
            if plain > MAX_DIGITS && plain > text.len() || *gained > MAX_GAINED_DIGITS {
                return Err(Fault::HugeNumber);
            }
            Ok(Json::Number(text.to_owned()))
        }
    }
}

/// The integer that a JSON number is, also where it is written like `5.0` or `1.5e9`; `None` where it is none, or does not fit.
pub fn integer(number: &str) -> Option<i64> {
    let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    let (sign, mantissa) = mantissa.strip_prefix('-').map_or(("", mantissa), |rest| ("-", rest));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    let digits = digits.trim_start_matches('0');
    let significant = digits.trim_end_matches('0');
    if significant.is_empty() {
        return Some(0);
    }
    let dropped = i64::try_from(digits.len() - significant.len()).ok()?;
    let zeros = exponent.parse::<i64>().ok()?.checked_add(dropped)?.checked_sub(i64::try_from(fraction.len()).ok()?)?;
    // No i64 has more digits than 19.
    let zeros = usize::try_from(zeros).ok().filter(|zeros| *zeros < 20)?;
    format!("{sign}{significant}{}", "0".repeat(zeros)).parse().ok()
}

/// About how many digits a number has when it is written without an exponent.
fn plain_digits(number: &str) -> usize {
    let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    if !mantissa.contains(|c: char| matches!(c, '1'..='9')) {
        return mantissa.len();
    }
    let exponent =
        exponent.parse::<i64>().map_or(usize::MAX, |e| usize::try_from(e.unsigned_abs()).unwrap_or(usize::MAX));
    mantissa.len().saturating_add(exponent)
}

/// The members of an object, in their order. Their values are not parsed.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct ObjectVisitor;
        impl<'de> Visitor<'de> for ObjectVisitor {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        from.deserialize_map(ObjectVisitor)
    }
}

impl Json {
    /// Writes the value with sorted keys and no spaces, so that equal values give equal texts.
    pub fn write_canonical(&self, out: &mut String) {
        match self {
            Json::Null => out.push_str("null"),
            Json::Bool(true) => out.push_str("true"),
            Json::Bool(false) => out.push_str("false"),
            Json::Number(number) => out.push_str(number),
            Json::String(text) => write_string(text, out),
            Json::Array(items) => {
                out.push('[');
                for (at, item) in items.iter().enumerate() {
                    if at > 0 {
                        out.push(',');
                    }
                    item.write_canonical(out);
                }
                out.push(']');
            }
            Json::Object(members) => {
                let mut members: Vec<&(String, Json)> = members.iter().collect();
                members.sort_by(|a, b| a.0.cmp(&b.0));
                out.push('{');
                for (at, (key, value)) in members.into_iter().enumerate() {
                    if at > 0 {
                        out.push(',');
                    }
                    write_string(key, out);
                    out.push(':');
                    value.write_canonical(out);
                }
                out.push('}');
            }
        }
    }
}

/// Writes a JSON string with as few escapes as JSON allows.
fn write_string(text: &str, out: &mut String) {
    use fmt::Write;
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if c < ' ' => {
                // Writing to a String cannot fail.
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(body: &str) -> String {
        let mut out = String::new();
        let members = parse_members(body.as_bytes()).expect(body);
        let members = members.into_iter().map(|(name, value)| (name, value.expect(body)));
        Json::Object(members.collect()).write_canonical(&mut out);
        out
    }

    #[test]
    fn integers_in_any_notation() {
        for (text, number) in [
            ("5", Some(5)),
            ("5.0", Some(5)),
            ("-0.0", Some(0)),
            ("-5.00e0", Some(-5)),
            ("1.5e9", Some(1_500_000_000)),
            ("1500e-2", Some(15)),
            ("0e999999999999999999999", Some(0)),
            ("9223372036854775807", Some(i64::MAX)),
            ("-9223372036854775808.0", Some(i64::MIN)),
            ("9223372036854775808", None),
            ("5.5", None),
            ("1e-1", None),
            ("1e19", None),
            ("1e99999999999999999999", None),
        ] {
            assert_eq!(integer(text), number, "{text}");
        }
    }

    #[test]
    fn numbers_and_text_are_kept_and_keys_sorted() {
        let body = r#"{"b":{"z":1.10,"a":[1e2,-0,12345678901234567890123.5]},"a":"\u00e9\n\"\ud83d\ude00"}"#;
        assert_eq!(
            canonical(body),
            "{\"a\":\"é\\u000a\\\"😀\",\"b\":{\"a\":[1e2,-0,12345678901234567890123.5],\"z\":1.10}}"
        );
    }

    #[test]
    fn a_key_that_looks_like_a_librarys_own_is_only_a_key() {
        let body = r#"{"x":{"$serde_json::private::Number":"1"}}"#;
        assert_eq!(canonical(body), body);
    }

    #[test]
    fn faults_are_named() {
        let nested = |levels: usize| format!(r#"{{"x":{}{}}}"#, "[".repeat(levels), "]".repeat(levels));
        let fault = |body: &str| parse_members(body.as_bytes()).expect(body).pop().expect("a member").1.err();
        assert_eq!(fault(&nested(63)), None);
        let many = format!(r#"{{"x":[{}0e99999]}}"#, "1.2345678e-05,".repeat(6000));
        assert_eq!(fault(&many), None, "ordinary numbers, many of them");
        let deep = nested(64);
        for (body, expected) in [
            (r#"{"x":"a\u0000b"}"#, Fault::Nul),
            (r#"{"x":{"a\u0000b":1}}"#, Fault::Nul),
            (r#"{"x":["\ud800"]}"#, Fault::NotUnicode),
            (r#"{"x":{"\udfff":1}}"#, Fault::NotUnicode),
            (r#"{"x":{"a":1,"\u0061":2}}"#, Fault::Twice),
            (r#"{"x":1e999999}"#, Fault::HugeNumber),
            (r#"{"x":1e-99999999999999999999}"#, Fault::HugeNumber),
            (deep.as_str(), Fault::TooDeep),
        ] {
            assert_eq!(fault(body), Some(expected), "{body}");
        }
    }

    #[test]
    fn bad_syntax_has_a_position() {
        for body in [
            "",
            "{",
            "{\"a\":}",
            "{\"a\":1}x",
            "\u{feff}\u{feff}{}",
            "{\"a\":01}",
            "{\"a\":\"\t\"}",
            "{'a':1}",
            "{\"\\ud800\":1}",
        ] {
            assert!(matches!(parse_members(body.as_bytes()), Err(JsonError::Syntax { .. })), "{body}");
        }
        assert!(matches!(parse_members(b"{\"a\":\"\xff\"}"), Err(JsonError::Syntax { .. })));
        assert_eq!(parse_members(b"[]"), Err(JsonError::NotAnObject));
        assert_eq!(parse_members(b"\"x\""), Err(JsonError::NotAnObject));
        let deep = format!("{{\"x\":{}", "[".repeat(500_000));
        assert!(parse_members(deep.as_bytes()).is_err());
    }
}
