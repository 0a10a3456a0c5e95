//! The query parameters of a request.

use super::invalid::Invalid;
use percent_encoding::percent_decode_str;

/// The parameters of a query. Each must have a known name, and not be empty. A fault is reported when the
/// caller reads its parameter: there, one that is read as a single value must be there once. The caller reads the parameters in the order of the contract, so the first fault in
/// that order is reported. Unknown parameters come last.
pub struct Parameters {
    known: Vec<(&'static str, Vec<Result<String, Invalid>>)>,
    unknown: Option<Invalid>,
}

impl Parameters {
    pub fn parse(query: &str, names: &[&'static str]) -> Self {
        let mut parameters = Parameters { known: Vec::new(), unknown: None };
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let decoded = decode(name);
            let name = decoded.as_deref().unwrap_or(name);
            match names.iter().copied().find(|known| *known == name) {
                Some(known) => parameters.add(known, value),
                None => {
                    let unknown = || Invalid::unnamed(name, "is not a parameter of this path");
                    parameters.unknown.get_or_insert_with(unknown);
                }
            }
        }
        parameters
    }

    fn add(&mut self, name: &'static str, value: &str) {
        let value = match decode(value) {
            None => Err(Invalid::wrong(name, "is not valid UTF-8")),
            Some(value) if value.is_empty() => Err(Invalid::wrong(name, "must not be empty")),
            Some(value) => Ok(value),
        };
        match self.known.iter_mut().find(|(known, _)| *known == name) {
            Some((_, held)) => held.push(value),
            None => self.known.push((name, vec![value])),
        }
    }

    /// All values of a parameter, in their order.
    pub fn all(&self, name: &str) -> Result<Vec<&str>, Invalid> {
        let held = self.known.iter().find(|(known, _)| *known == name).map_or(&[][..], |(_, held)| held);
        held.iter().map(|value| value.as_deref().map_err(Invalid::clone)).collect()
    }

    pub fn get(&self, name: &'static str) -> Result<Option<&str>, Invalid> {
        let values = self.all(name)?;
        if values.len() > 1 {
            return Err(Invalid::wrong(name, "is there twice"));
        }
        Ok(values.first().copied())
    }

    /// A whole number within bounds, or the default.
    pub fn number(&self, name: &'static str, least: i64, most: i64, default: i64) -> Result<i64, Invalid> {
        let Some(text) = self.get(name)? else { return Ok(default) };
        let digits = text.bytes().all(|b| b.is_ascii_digit());
        match text.parse::<i64>() {
            Ok(number) if digits && (least..=most).contains(&number) => Ok(number),
            _ => Err(Invalid::wrong(name, format_args!("must be a whole number from {least} to {most}"))),
        }
    }

    pub fn boolean(&self, name: &'static str, default: bool) -> Result<bool, Invalid> {
        match self.get(name)? {
            None => Ok(default),
            Some("true") => Ok(true),
            Some("false") => Ok(false),
            Some(_) => Err(Invalid::wrong(name, "must be true or false")),
        }
    }

    /// Must be called last. Fails if there was an unknown parameter.
    pub fn end(self) -> Result<(), Invalid> {
        self.unknown.map_or(Ok(()), Err)
    }
}

/// Decodes percent signs and plus signs, as in a form.
fn decode(text: &str) -> Option<String> {
    let spaced = text.replace('+', " ");
    percent_decode_str(&spaced).decode_utf8().ok().map(|text| text.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_there_once_and_known() {
        let parameters = Parameters::parse("a=x%20y+z&b=7&&c=%ff&d=", &["a", "b", "c", "d", "e"]);
        assert_eq!(parameters.get("a"), Ok(Some("x y z")));
        assert_eq!(parameters.number("b", 1, 10, 3), Ok(7));
        assert_eq!(parameters.number("e", 1, 10, 3), Ok(3));
        assert!(parameters.number("b", 8, 10, 3).is_err() && parameters.boolean("b", true).is_err());
        assert!(parameters.get("c").is_err() && parameters.get("d").is_err());
        assert_eq!(parameters.end(), Ok(()));
        let twice = Parameters::parse("a=1&%61=2", &["a"]);
        assert!(twice.get("a").is_err(), "in two spellings");
        assert_eq!(twice.all("a"), Ok(vec!["1", "2"]));
        assert_eq!(twice.all("b"), Ok(vec![]));
        assert!(Parameters::parse("x=1", &["a"]).end().is_err());
    }
}
