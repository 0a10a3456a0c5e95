//! The severity of an alert, and the priority that clients may give instead.

use super::words::fold;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Severity {
    Critical,
    High,
    Medium,
    Low,
}

impl Severity {
    /// Reads the four words and the synonyms that the contract lists.
    pub fn parse(word: &str) -> Option<Self> {
        match fold(word).as_str() {
            "page" | "emergency" | "fatal" => Some(Severity::Critical),
            "error" | "major" => Some(Severity::High),
            "warning" | "warn" => Some(Severity::Medium),
            "info" | "none" | "minor" => Some(Severity::Low),
            _ => Self::parse_strict(word),
        }
    }

    /// Reads the four words alone, as the filter of the list does.
    pub fn parse_strict(word: &str) -> Option<Self> {
        Some(match fold(word).as_str() {
            "critical" => Severity::Critical,
            "high" => Severity::High,
            "medium" => Severity::Medium,
            "low" => Severity::Low,
            _ => return None,
        })
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Severity::Critical => "critical",
            Severity::High => "high",
            Severity::Medium => "medium",
            Severity::Low => "low",
        }
    }
}

pub const WORDS: &str = "critical, high, medium or low";

/// `P0`…`P3`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Priority {
    P0,
    P1,
    P2,
    P3,
}

impl Priority {
    pub fn parse(word: &str) -> Option<Self> {
        Some(match fold(word).as_str() {
            "p0" => Priority::P0,
            "p1" => Priority::P1,
            "p2" => Priority::P2,
            "p3" => Priority::P3,
            _ => return None,
        })
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Priority::P0 => "P0",
            Priority::P1 => "P1",
            Priority::P2 => "P2",
            Priority::P3 => "P3",
        }
    }

    pub fn severity(self) -> Severity {
        match self {
            Priority::P0 => Severity::Critical,
            Priority::P1 => Severity::High,
            Priority::P2 => Severity::Medium,
            Priority::P3 => Severity::Low,
        }
    }
}
