//! What is wrong with a request, in words for the client.

use std::borrow::Cow;

/// The kind of fault, as the metric `datastorage_validation_failures_total{reason}` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    Required,
    Invalid,
    TooLong,
    UnknownWord,
}

impl Reason {
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::Required => "required",
            Reason::Invalid => "invalid",
            Reason::TooLong => "too_long",
            Reason::UnknownWord => "unknown_word",
        }
    }
}

/// One fault of a request: the wrong field, if the fault is in a field, and a sentence for the client.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct Invalid {
    pub field: Option<Cow<'static, str>>,
    pub reason: Reason,
    pub detail: String,
    /// Whether `field` is one of the service's own names and may label a metric.
    pub named: bool,
}

impl Invalid {
    /// A fault of a field that the contract names; the sentence starts with the field's name.
    pub fn named(field: &'static str, reason: Reason, rest: impl std::fmt::Display) -> Self {
        Invalid { field: Some(Cow::Borrowed(field)), reason, detail: format!("{field} {rest}"), named: true }
    }

    /// A fault of a field that the contract does not name. The sentence repeats at most 64 printable characters of the
    /// name.
    pub fn unnamed(field: &str, rest: impl std::fmt::Display) -> Self {
        let shown: String = field.chars().filter(|c| !c.is_control()).take(64).collect();
        Invalid {
            detail: format!("{shown} {rest}"),
            field: Some(Cow::Owned(shown)),
            reason: Reason::Invalid,
            named: false,
        }
    }

    /// A fault of the body as a whole.
    pub fn body(detail: impl Into<String>) -> Self {
        Invalid { field: None, reason: Reason::Invalid, detail: detail.into(), named: false }
    }

    pub fn required(field: &'static str) -> Self {
        Self::named(field, Reason::Required, "is required")
    }

    pub fn wrong(field: &'static str, rest: impl std::fmt::Display) -> Self {
        Self::named(field, Reason::Invalid, rest)
    }
}
