use super::QueryActor;
use super::count_incidents::{ask_attempts, is_uncounted};
use super::totals::{Rest, place_of};
use crate::attempts::{self, AttemptTable};
use crate::db::statement::{ComposedStatement, FactSource, conditions, where_all};
use crate::domain::facts::Fact;
use crate::domain::filter::IncidentFilter;
use crate::domain::totals::Values;
use crate::error::ActorError;
use crate::totals::Fit;
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
        let (reader, totals, held) = (self.reader(), self.totals.clone(), self.attempts.clone());
        Box::pin(async move {
            let places: Option<Vec<(&'static Fact, usize)>> =
                message.fields.iter().map(|fact| Some((*fact, place_of(fact.column)?))).collect();
            if let Some(places) = places {
                let read =
                    move |fit: &Fit<'_>, minutes: (i32, i32), rest: &[Rest<'_>]| facets(&places, fit, minutes, rest);
                if let Some(facets) = totals.read(&reader, &message.filter, read).await? {
                    return Ok(facets);
                }
            }
            // Texts of targets and fingerprints are not held.
            let places: Option<Vec<usize>> =
                message.fields.iter().map(|fact| attempts::place_of(fact.column)).collect();
            if let Some(places) = places.filter(|_| is_uncounted(&reader, &message.filter)) {
                let fields = message.fields.clone();
                let read = move |attempts: &AttemptTable, filter: &IncidentFilter| {
                    let counts = attempts.count_values(filter, &places);
                    fields.into_iter().zip(counts).map(|(fact, by_value)| facet(fact, by_value)).collect()
                };
                if let Some(facets) = ask_attempts(&reader, &held, &message.filter, read).await? {
                    return Ok(facets);
                }
            }
            reader.read_many("query.facets", "", &message, statement, answer).await
        })
    }
}

/// The values of counted facts, by the counts.
fn facets(facts: &[(&'static Fact, usize)], fit: &Fit<'_>, minutes: (i32, i32), rest: &[Rest<'_>]) -> Vec<Facet> {
    let counts = fit.by_combination(minutes);
    let pending: Vec<(Values<&str>, i64)> = fit.pending(minutes).map(|(_, values, delta)| (values, delta)).collect();
    let others: Vec<(Values<&str>, i64)> = rest.iter().map(|rest| (rest.values, rest.count)).chain(pending).collect();
    let of_fact = |(fact, place): &(&'static Fact, usize)| {
        let mut by_value = fit.by_value(&counts, *place);
        for (value, count) in others.iter().filter_map(|(values, count)| Some((values[*place]?, *count))) {
            *by_value.entry(value).or_default() += count;
        }
        facet(fact, by_value)
    };
    facts.iter().map(of_fact).collect()
}

/// The facet of a fact of which it is known how many incidents have each value.
fn facet<'v>(fact: &'static Fact, by_value: impl IntoIterator<Item = (&'v str, i64)>) -> Facet {
    let mut values: Vec<(&str, i64)> = by_value.into_iter().filter(|(_, count)| *count > 0).collect();
    values.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
    let more = values.len() > MOST;
    let value = |(value, count): (&str, i64)| FacetValue { value: value.to_owned(), count };
    Facet { fact, values: values.into_iter().take(MOST).map(value).collect(), more }
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

/// One pass over the incidents for all fields.
fn statement(message: &GetFacets) -> ComposedStatement<'_> {
    let mut values = Vec::new();
    let clauses = conditions(&message.filter, FactSource::OfIncidents, &mut values);
    let columns: Vec<&str> = message.fields.iter().map(|fact| fact.column).collect();
    let conditions = where_all(&clauses);
    let sets = columns.iter().map(|column| format!("(t.{column})")).collect::<Vec<_>>().join(", ");
    // GROUPING has a bit for each column, set where the row is not of its set: the first column's is the highest.
    let field: String = (0..columns.len())
        .map(|at| format!(" WHEN {} THEN {at}", ((1u32 << columns.len()) - 1) ^ (1 << (columns.len() - 1 - at))))
        .collect();
    // Where the tables are distributed GROUPING is not to be had: a pass for each field.
    let passes: Vec<String> = columns
        .iter()
        .enumerate()
        .map(|(at, column)| {
            format!("SELECT {at} AS field, t.{column} AS value, count(*) AS n FROM resource_action_traces AS t{conditions} GROUP BY t.{column}")
        })
        .collect();
    let passes = passes.join("\n        UNION ALL\n        ");
    let (list, most) = (columns.iter().map(|column| format!("t.{column}")).collect::<Vec<_>>().join(", "), MOST + 1);
    let sql = format!(
        "-- query.facets
SELECT r.field, r.value, r.n
FROM (
    SELECT g.*, row_number() OVER (PARTITION BY g.field ORDER BY g.n DESC, g.value) AS place
    FROM (
        /*whole*/SELECT CASE GROUPING({list}){field} END AS field, COALESCE({list}) AS value, count(*) AS n
        FROM resource_action_traces AS t{conditions}
        GROUP BY GROUPING SETS ({sets})/*end*/
        /*distributed {passes} */
    ) AS g
    WHERE g.value IS NOT NULL
) AS r
WHERE r.place <= {most}
ORDER BY r.field, r.place"
    );
    ComposedStatement { sql, values }
}
