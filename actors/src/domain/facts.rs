//! The facts of an incident: one table, from which the filters of lists and searches, the facets of patterns, the totals
//! and the lists of columns in SQL (`db/template.rs`) come. A new filter is a name in its line of this table; the copy of
//! the fact in the vector store, and what is counted, need a migration beside it (CONTRIBUTING.md, "How to add …").

use super::dimension::Dimension;
use super::remediation::RemediationAudit;
use super::severity::{self, Severity};
use super::status::{self, Status};

/// One fact of an incident.
#[derive(Debug)]
pub struct Fact {
    /// The name of its filter, in a query and in the `filters` of a search; `None` where nobody can filter by it.
    pub filter: Option<&'static str>,
    /// The filter as an error of a search names it.
    pub in_search: &'static str,
    /// Its column of `resource_action_traces`. But for the status a column `…_by` beside it bears the audit that stated it last.
    pub column: &'static str,
    pub kind: FactKind,
    /// How long a text of it may be, in characters: as long as an audit may state it.
    pub longest: usize,
    /// Whether incidents are counted by it (`domain/totals.rs`).
    pub counted: bool,
    /// Whether pages that are filtered by it have an index. Where they have none, the counts tell where to look.
    pub listed: bool,
    /// Whether the vector store has an index of its copy.
    pub indexed: bool,
    /// Whether the facets of patterns tell of it (`domain/facets.rs`). The facets of patterns that were there before a fact became a filter
    /// say nothing of it.
    pub faceted: bool,
    /// What an audit states of it. Status, times, duration and error go together, and have a rule of their own (`domain/incident.rs`).
    pub stated: Option<fn(&RemediationAudit) -> Option<FactValue<'_>>>,
}

/// What its values are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FactKind {
    Text,
    /// One of four words.
    Severity,
    /// One of six words, or a synonym of them.
    Status,
    Number,
}

/// A value that an audit states.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum FactValue<'a> {
    Text(&'a str),
    Number(f64),
}

impl<'a> FactValue<'a> {
    pub fn text(self) -> Option<&'a str> {
        match self {
            FactValue::Text(text) => Some(text),
            FactValue::Number(_) => None,
        }
    }

    pub fn number(self) -> Option<f64> {
        match self {
            FactValue::Text(_) => None,
            FactValue::Number(number) => Some(number),
        }
    }
}

macro_rules! facts {
    (count $($column:literal)*) => { [$($column),*].len() };
    (filter none) => { (None::<&'static str>, "") };
    (filter $filter:literal) => { (Some($filter), concat!("filters.", $filter)) };
    (stated none) => { None };
    (stated $stated:expr) => { Some($stated) };
    ($($filter:tt | $column:literal | $kind:ident | $longest:literal | $counted:literal | $listed:literal | $indexed:literal | $faceted:literal | $stated:tt;)*) => {
        /// All of them, in the order of the contract's filters.
        pub static FACTS: [Fact; facts!(count $($column)*)] = [$(Fact {
            filter: facts!(filter $filter).0,
            in_search: facts!(filter $filter).1,
            column: $column,
            kind: FactKind::$kind,
            longest: $longest,
            counted: $counted,
            listed: $listed,
            indexed: $indexed,
            faceted: $faceted,
            stated: facts!(stated $stated),
        }),*];
    };
}

facts! {
    // filter           | column               | kind     | longest | counted | listed | indexed | faceted | stated
    "alert_name"        | "alert_name"         | Text     | 255     | true    | true   | true    | true    | (|audit| text(&audit.alert_name));
    "severity"          | "alert_severity"     | Severity | 255     | true    | false  | false   | true    | (|audit| Some(FactValue::Text(audit.stated_severity()?.as_str())));
    "action_type"       | "action_type"        | Text     | 255     | true    | false  | true    | true    | (|audit| text(&audit.action_type));
    "namespace"         | "namespace"          | Text     | 255     | true    | true   | true    | true    | (|audit| text(&audit.namespace));
    "cluster"           | "cluster_name"       | Text     | 255     | true    | true   | true    | true    | (|audit| text(&audit.cluster));
    "status"            | "execution_status"   | Status   | 255     | true    | false  | false   | true    | none;
    "target_resource"   | "target_resource"    | Text     | 512     | false   | true   | true    | false   | (|audit| text(&audit.target_resource));
    "alert_fingerprint" | "alert_fingerprint"  | Text     | 255     | false   | true   | true    | false   | (|audit| text(&audit.alert_fingerprint));
    "environment"       | "environment"        | Text     | 255     | true    | true   | false   | false   | (|audit| text(&audit.environment));
    none                | "workload"           | Text     | 512     | false   | false  | false   | false   | (|audit| text(&audit.workload));
    none                | "model_used"         | Text     | 255     | false   | false  | false   | false   | (|audit| text(&audit.model_used));
    none                | "model_confidence"   | Number   | 0       | false   | false  | false   | false   | (|audit| Some(FactValue::Number(audit.confidence?)));
}

fn text(value: &Option<String>) -> Option<FactValue<'_>> {
    value.as_deref().map(FactValue::Text)
}

/// How many facts are counted, and how many an audit states by themselves.
pub const COUNTED: usize = how_many().0;
pub const STATED: usize = how_many().1;

const fn how_many() -> (usize, usize) {
    let (mut counted, mut stated, mut at) = (0, 0, 0);
    while at < FACTS.len() {
        counted += FACTS[at].counted as usize; // 0 or 1
        stated += FACTS[at].stated.is_some() as usize; // as above
        at += 1;
    }
    (counted, stated)
}

/// Those that incidents are counted by.
pub fn counted() -> impl Iterator<Item = &'static Fact> + Clone {
    FACTS.iter().filter(|fact| fact.counted)
}

/// How many facts attempts are told apart by.
pub const GROUPED: usize = COUNTED + 2;

/// Those that attempts are told apart by: what is counted, and what statistics can be grouped by beside that.
pub fn grouped() -> impl Iterator<Item = &'static Fact> + Clone {
    FACTS.iter().filter(|fact| fact.counted || Dimension::is_of(fact.column))
}

/// How many of the other facts can be filtered by.
pub const ONLY_FILTERED: usize = 2;

/// Those that can be filtered by, and that attempts are not told apart by: they have too many values.
pub fn only_filtered() -> impl Iterator<Item = &'static Fact> + Clone {
    copied().filter(|fact| !grouped().any(|known| known.column == fact.column))
}

/// Those that attempts bear and that are not counted: a change of them is noted without a change of the counts.
pub fn uncounted() -> impl Iterator<Item = &'static Fact> + Clone {
    grouped().filter(|fact| !fact.counted).chain(only_filtered())
}

/// Those that audits state by themselves, in the order of `IncidentFacts::stated`.
pub fn stated() -> impl Iterator<Item = &'static Fact> + Clone {
    FACTS.iter().filter(|fact| fact.stated.is_some())
}

/// Those that can be filtered by: the vector store keeps a copy of them.
pub fn copied() -> impl Iterator<Item = &'static Fact> + Clone {
    FACTS.iter().filter(|fact| fact.filter.is_some())
}

/// Those that say which incident it is. An incident has one value of each; where its audits state several, that is a conflict.
pub fn identifying() -> impl Iterator<Item = &'static Fact> + Clone {
    FACTS.iter().filter(|fact| matches!(fact.column, "alert_name" | "namespace" | "cluster_name"))
}

impl Fact {
    /// The column of `remediation_audit` that states it.
    pub fn audit_column(&self) -> &'static str {
        if self.column == "cluster_name" { "cluster" } else { self.column }
    }

    /// The value that a filter's text means, in the form in which it is stored.
    pub(super) fn parse_word(&self, value: &str) -> Result<Option<&'static str>, &'static str> {
        match self.kind {
            FactKind::Text | FactKind::Number => Ok(None),
            FactKind::Severity => Severity::parse_strict(value).map(|word| Some(word.as_str())).ok_or(severity::WORDS),
            FactKind::Status => Status::parse(value).map(|word| Some(word.as_str())).ok_or(status::WORDS),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_as_many_as_is_said() {
        assert_eq!((grouped().count(), only_filtered().count()), (GROUPED, ONLY_FILTERED));
    }
}
