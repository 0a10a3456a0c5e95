//! How a search finds its candidates.

use crate::db::connection::Connection;
use crate::db::sqlstate::DatabaseError;
use crate::db::statement::{ComposedStatement, FactSource, SqlValue, conditions, where_all};
use crate::domain::facets::Facets;
use crate::domain::filter::IncidentFilter;
use crate::domain::search::Search;
use crate::embedder::{Embedding, Space};
use chrono::{DateTime, Utc};
use pgvector::{SparseVector, Vector};
use std::time::Duration;

/// How long one step of a search may take; the request's own deadline ends it before.
pub(super) const LIMIT: Duration = Duration::from_secs(30);

/// A text's vector in the space of one embedder.
pub(super) struct QueryVector<'a> {
    pub embedder: &'a str,
    pub dense: Vector,
    /// The same without its zeros, where patterns are kept so too.
    pub sparse: Option<SparseVector>,
}

impl<'a> QueryVector<'a> {
    pub fn new(space: &'a Space, embedding: &Embedding) -> Self {
        QueryVector {
            embedder: &space.id,
            dense: Vector::from(embedding.vector.clone()),
            sparse: space.sparse.then(|| SparseVector::from_dense(&embedding.vector)),
        }
    }
}

/// Which incidents of the vector store count.
pub(super) struct Scope {
    pub filter: IncidentFilter,
    /// What a pattern has when an incident of it fits the filter.
    pub facets: Facets,
    /// Only what had been received by then.
    pub as_of: Option<DateTime<Utc>>,
    pub min_similarity: f64,
}

impl Scope {
    /// Of the past the vector store knows no facts, but when an incident began.
    pub fn of(search: &Search, min_similarity: f64) -> Self {
        let filter = if search.as_of.is_some() { search.filter.without_facts() } else { search.filter.clone() };
        Scope { facets: Facets::of_filter(&filter), filter, as_of: search.as_of, min_similarity }
    }

    pub fn is_unfiltered(&self) -> bool {
        self.filter == IncidentFilter::default()
    }

    /// The bound on when a pattern of an incident was received, in the table `i`.
    pub fn received<'v>(&self, values: &mut Vec<SqlValue<'v>>) -> Option<String> {
        values.push(SqlValue::Time(self.as_of?));
        Some(format!("i.first_received_at <= ${}", values.len()))
    }
}

/// How far to look.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reach {
    /// The nearest patterns, by their vectors.
    pub patterns: i64,
    /// Patterns where all are held in memory: those with the highest estimates.
    pub estimated: usize,
    /// Of each pattern, the newest.
    pub incidents: i64,
    /// Incidents after which it is enough; `None`: all patterns are gone through.
    pub enough: Option<usize>,
}

/// How patterns are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Plan {
    /// Those of the few incidents that fit the filter.
    OfMatching,
    /// All of them.
    Scan,
    /// Those that the index comes upon, and those that share a rare word.
    Index,
}

/// Incidents that fit one part of a filter, up to which their patterns are compared and no others; fewer where patterns without any that
/// fits can be passed over. Then it is the number at which looking at those that fit costs as much as going through the nearest patterns
/// until enough of them do, which is the less the more fit.
const FEW: i64 = 10_000;
const FEW_SPARSE: i64 = 1_000;
/// Patterns up to which the vector store compares all: that takes a tenth of the time where vectors have few words. In memory as many are
/// compared as are held.
const SCANNED: i64 = 4_000;
pub(super) const SCANNED_SPARSE: i64 = 200_000;

impl Plan {
    /// The plan for a store with so many patterns and incidents.
    pub async fn choose(
        connection: &mut Connection,
        scope: &Scope,
        is_sparse: bool,
        patterns: i64,
        incidents: i64,
    ) -> Result<Self, DatabaseError> {
        let few = if is_sparse { (5 * incidents.isqrt()).clamp(FEW_SPARSE, FEW) } else { FEW };
        let parts = scope.filter.indexed();
        // A parameter: as a number in the text it would make a new statement for each count of incidents.
        let mut values = vec![SqlValue::Number(few + 1)];
        let counts: Vec<String> = parts
            .iter()
            .map(|part| {
                let clauses = where_all(&conditions(part, FactSource::Copied, &mut values));
                format!("(SELECT count(*) FROM (SELECT 1 FROM incident_facts AS t{clauses} LIMIT $1) AS m)")
            })
            .collect();
        if !counts.is_empty() {
            let sql = format!("-- similarity.count_matching\nSELECT LEAST({}) AS fewest", counts.join(", "));
            let statement = ComposedStatement { sql, values };
            let count = async |tx: &mut crate::db::transaction::Transaction<'_>| statement.query(tx).await;
            let rows = connection.autocommit("similarity.count_matching", LIMIT, count).await?;
            if rows.first().is_some_and(|row| row.get::<_, i64>("fewest") <= few) {
                return Ok(Plan::OfMatching);
            }
        }
        Ok(if is_sparse || patterns <= SCANNED { Plan::Scan } else { Plan::Index })
    }

    /// As a metric has it.
    pub fn kind(self) -> &'static str {
        match self {
            Plan::OfMatching => "matching",
            Plan::Scan => "scan",
            Plan::Index => "index",
        }
    }

    /// Whether all patterns of the scope are compared.
    pub fn is_exhaustive(self) -> bool {
        self != Plan::Index
    }
}
