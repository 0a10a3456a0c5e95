//! The arguments of a tool. Whatever is wrong is told by the argument's name, so that an agent can do better.

use super::fit::{LEAST_TOKENS, MOST_TOKENS, USUAL_TOKENS};
use crate::extract::MAX_ID;
use chrono::{DateTime, Utc};
use data_storage_actors::domain::filter::{IncidentFilter, MOST_VALUES, filters, takes_several};
use data_storage_actors::domain::invalid::Invalid;
use data_storage_actors::domain::search::MAX_QUERY;
use serde_json::{Map, Value};

pub struct Arguments {
    pub given: Map<String, Value>,
    pub max_tokens: usize,
}

impl Arguments {
    /// # Errors
    /// When an argument is none of these, or `max_tokens` is wrong.
    pub fn new(given: Map<String, Value>, own: &[&str], takes_filters: bool) -> Result<Self, Invalid> {
        let is_known =
            |name: &str| name == "max_tokens" || own.contains(&name) || takes_filters && filters().contains(&name);
        if let Some(name) = given.keys().find(|name| !is_known(name)) {
            return Err(Invalid::unnamed(name, "is not an argument of this tool"));
        }
        let mut arguments = Arguments { given, max_tokens: 0 };
        let max_tokens = arguments.number("max_tokens", LEAST_TOKENS, MOST_TOKENS, USUAL_TOKENS)?;
        arguments.max_tokens = usize::try_from(max_tokens).unwrap_or_default();
        Ok(arguments)
    }

    fn get(&self, name: &str) -> Option<&Value> {
        self.given.get(name).filter(|value| !value.is_null())
    }

    /// # Errors
    /// When it is no text, or a blank or too long one.
    pub fn text(&self, name: &'static str) -> Result<Option<&str>, Invalid> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::String(text)) if text.trim().is_empty() => Err(Invalid::wrong(name, "must not be empty")),
            Some(Value::String(text)) if text.len() > MAX_QUERY => {
                Err(Invalid::wrong(name, format_args!("is longer than {MAX_QUERY} bytes")))
            }
            Some(Value::String(text)) if text.contains('\0') => {
                Err(Invalid::wrong(name, "must not contain a NUL character"))
            }
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(Invalid::wrong(name, "must be a string")),
        }
    }

    /// # Errors
    /// When it is no whole number, or out of range. A number in a string is taken: some agents write so.
    pub fn number(&self, name: &'static str, least: i64, most: i64, usual: i64) -> Result<i64, Invalid> {
        let number = match self.get(name) {
            None => return Ok(usual),
            Some(Value::Number(number)) => number.as_i64().or_else(|| {
                let number = number.as_f64().filter(|number| number.fract() == 0.0 && number.abs() < 1e15)?;
                Some(number as i64) // whole, and far below 2^63
            }),
            Some(Value::String(text)) => text.trim().parse().ok(),
            Some(_) => None,
        };
        let wrong = || Invalid::wrong(name, format_args!("must be a whole number from {least} to {most}"));
        number.filter(|number| (least..=most).contains(number)).ok_or_else(wrong)
    }

    /// # Errors
    /// When it is no incident's id.
    pub fn incident(&self, name: &'static str) -> Result<Option<i64>, Invalid> {
        match self.get(name) {
            None => Ok(None),
            Some(_) => self.number(name, 1, MAX_ID, 0).map(Some),
        }
    }

    /// The filters among them.
    ///
    /// # Errors
    /// The first wrong one.
    pub fn filter(&self, now: DateTime<Utc>) -> Result<IncidentFilter, Invalid> {
        let mut filter = IncidentFilter::default();
        for name in filters() {
            let values = match self.get(name) {
                None => continue,
                Some(Value::Array(values)) if takes_several(name) => values.as_slice(),
                Some(value) => std::slice::from_ref(value),
            };
            if values.is_empty() || values.len() > MOST_VALUES {
                return Err(Invalid::wrong(name, format_args!("must have 1 to {MOST_VALUES} values")));
            }
            for value in values {
                match value {
                    Value::String(text) if text.is_empty() => return Err(Invalid::wrong(name, "must not be empty")),
                    Value::String(text) => filter.set(name, text, now)?,
                    _ => return Err(Invalid::wrong(name, "must be a string or a list of strings")),
                }
            }
        }
        Ok(filter)
    }

    /// The names in a list, or in a string with commas.
    ///
    /// # Errors
    /// When it is neither.
    pub fn names(&self, name: &'static str) -> Result<Option<String>, Invalid> {
        let wrong = || Invalid::wrong(name, "must be a list of strings");
        match self.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(Value::Array(values)) => {
                let names: Option<Vec<&str>> = values.iter().map(Value::as_str).collect();
                names.map(|names| Some(names.join(","))).ok_or_else(wrong)
            }
            Some(_) => Err(wrong()),
        }
    }
}
