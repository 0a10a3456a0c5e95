use super::QueryActor;
use crate::db::statement::{ComposedStatement, FactSource, conditions, where_all};
use crate::domain::facts::Fact;
use crate::domain::filter::IncidentFilter;
use crate::domain::totals::{CountedFilter, DimensionSet};
use crate::error::ActorError;
use actix::prelude::*;
use serde::Serialize;
use tokio_postgres::Row;

/// Asks which values facts have, and how many incidents have each.
#[derive(Message)]
#[rtype(result = "Result<Vec<Facet>, ActorError>")]
pub struct GetFacets {
    pub filter: IncidentFilter,
    /// Those that can be filtered by; none twice.
    pub fields: Vec<&'static Fact>,
}

/// The values of one fact, the most frequent first. A fact that is not known has no value.
#[derive(Debug, Serialize)]
pub struct Facet {
    #[serde(skip)]
    pub fact: &'static Fact,
    pub values: Vec<FacetValue>,
    /// Whether there are others.
    pub more: bool,
}

#[derive(Debug, Serialize)]
pub struct FacetValue {
    pub value: String,
    pub count: i64,
}

/// Values of one fact.
const MOST: usize = 100;

impl Handler<GetFacets> for QueryActor {
    type Result = ResponseFuture<Result<Vec<Facet>, ActorError>>;

    fn handle(&mut self, message: GetFacets, _: &mut Self::Context) -> Self::Result {
        self.read_many("facets", "query.facets", "", message, statement, answer)
    }
}

fn answer(message: &GetFacets, rows: Vec<Row>) -> Vec<Facet> {
    let empty = |fact: &&'static Fact| Facet { fact, values: Vec::new(), more: false };
    let mut facets: Vec<Facet> = message.fields.iter().map(empty).collect();
    for row in rows {
        // From 0, in the order of the fields.
        let at = usize::try_from(row.get::<_, i32>("field")).unwrap_or(usize::MAX);
        let Some(facet) = facets.get_mut(at) else { continue };
        match facet.values.len() {
            MOST => facet.more = true,
            _ => facet.values.push(FacetValue { value: row.get("value"), count: row.get("n") }),
        }
    }
    facets
}

/// One pass over the incidents for all fields; over the totals where these know the filter and the fields.
fn statement(message: &GetFacets) -> ComposedStatement<'_> {
    let mut values = Vec::new();
    let clauses = conditions(&message.filter, FactSource::OfIncidents, &mut values);
    let columns: Vec<&str> = message.fields.iter().map(|fact| fact.column).collect();
    let is_counted = CountedFilter::of(&message.filter).is_some() && message.fields.iter().all(|fact| fact.counted);
    let conditions = where_all(&clauses);
    let from = if is_counted {
        let and: String = clauses.iter().map(|clause| format!(" AND {clause}")).collect();
        let (all, list) = (
            DimensionSet::ALL.bits(),
            columns.iter().map(|column| format!("t.{column}")).collect::<Vec<_>>().join(", "),
        );
        format!(
            "(
        SELECT {list}, t.total AS n FROM incident_totals AS t WHERE t.dimensions = {all}{and}
        UNION ALL
        SELECT {list}, t.delta AS n FROM incident_deltas AS t{conditions}
    ) AS t"
        )
    } else {
        format!("(SELECT t.*, 1 AS n FROM resource_action_traces AS t{conditions}) AS t")
    };
    let sets = columns.iter().map(|column| format!("(t.{column})")).collect::<Vec<_>>().join(", ");
    // GROUPING has a bit for each column, set where the row is not of its set: the first column's is the highest.
    let field: String = (0..columns.len())
        .map(|at| format!(" WHEN {} THEN {at}", ((1u32 << columns.len()) - 1) ^ (1 << (columns.len() - 1 - at))))
        .collect();
    let (list, most) = (columns.iter().map(|column| format!("t.{column}")).collect::<Vec<_>>().join(", "), MOST + 1);
    let sql = format!(
        "-- query.facets
SELECT r.field, r.value, r.n
FROM (
    SELECT g.*, row_number() OVER (PARTITION BY g.field ORDER BY g.n DESC, g.value) AS place
    FROM (
        SELECT CASE GROUPING({list}){field} END AS field, COALESCE({list}) AS value, sum(t.n)::bigint AS n
        FROM {from}
        GROUP BY GROUPING SETS ({sets})
    ) AS g
    WHERE g.value IS NOT NULL AND g.n > 0
) AS r
WHERE r.place <= {most}
ORDER BY r.field, r.place"
    );
    ComposedStatement { sql, values }
}
