//! Nearest patterns by the vector store itself.

use super::super::plan::{LIMIT, Plan, QueryVector, Scope};
use super::Near;
use crate::db::connection::Connection;
use crate::db::sqlstate::DatabaseError;
use crate::db::statement::{ComposedStatement, FactSource, SqlValue, conditions, where_all};
use crate::db::transaction::Transaction;
use tokio_postgres::Row;
use uuid::Uuid;

/// How many patterns the index looks at.
const EF_SEARCH: i64 = 1_000;
/// How many patterns with rare words come along.
const WITH_RARE_WORDS: i64 = 100;

/// The patterns nearest to the vector, so many at most, by one plan.
pub(in crate::similarity) async fn nearest_in_store(
    connection: &mut Connection,
    vector: &QueryVector<'_>,
    scope: &Scope,
    plan: Plan,
    limit: i64,
) -> Result<Near, DatabaseError> {
    let rows = match plan {
        Plan::Scan => query(connection, "similarity.scan_patterns", &scan(vector, scope, limit)).await,
        Plan::OfMatching => query(connection, "similarity.scan_matching", &of_matching(vector, scope, limit)).await,
        Plan::Index => by_index(connection, vector, limit).await,
    };
    Ok(rows?.iter().map(near).collect())
}

async fn query(
    connection: &mut Connection,
    name: &'static str,
    statement: &ComposedStatement<'_>,
) -> Result<Vec<Row>, DatabaseError> {
    connection.autocommit(name, LIMIT, async |tx| statement.query(tx).await).await
}

/// The table of patterns that takes fewer bytes, and the vector as it has it.
fn narrowest<'v>(vector: &'v QueryVector<'_>) -> (&'static str, SqlValue<'v>) {
    match &vector.sparse {
        Some(words) => ("embedding_pattern_words", SqlValue::Words(words)),
        None => ("embedding_patterns", SqlValue::Vector(&vector.dense)),
    }
}

/// Compares all patterns that may have an incident which fits. `limit` is a number of the text, not a parameter: for an unknown limit PostgreSQL
/// would rather compare and sort everything.
fn scan<'v>(vector: &'v QueryVector<'_>, scope: &'v Scope, limit: i64) -> ComposedStatement<'v> {
    let (table, value) = narrowest(vector);
    let mut values = vec![SqlValue::Text(vector.embedder), value];
    let mut facets = "";
    if vector.sparse.is_some() && !scope.facets.is_empty() {
        values.push(SqlValue::Bits(scope.facets.bits()));
        facets = " AND w.facets & $3 = $3";
    }
    // All rows are wanted, in the order of the table: no index would help.
    let sql = format!(
        "-- similarity.scan_patterns\nSELECT w.pattern, 1 - (w.embedding <=> $2) AS similarity\n\
         FROM {table} AS w\nWHERE (w.embedder = $1) IS TRUE{facets}\n\
         ORDER BY similarity DESC, w.pattern\nLIMIT {limit}"
    );
    ComposedStatement { sql, values }
}

/// Compares the patterns of the incidents that fit.
fn of_matching<'v>(vector: &'v QueryVector<'_>, scope: &'v Scope, limit: i64) -> ComposedStatement<'v> {
    let (table, value) = narrowest(vector);
    let mut values = vec![SqlValue::Text(vector.embedder), value];
    let matching = select_matching(scope, &mut values);
    let sql = format!(
        "-- similarity.scan_matching\nSELECT w.pattern, 1 - (w.embedding <=> $2) AS similarity\n\
         FROM (\n{matching}\nOFFSET 0\n) AS m\n/*whole*/CROSS JOIN LATERAL (\n    \
         SELECT s.pattern, s.embedding FROM {table} AS s\n    \
         WHERE s.embedder = $1 AND s.pattern = m.pattern\n    LIMIT 1\n) AS w/*end*/\
         /*distributed JOIN {table} AS w ON w.embedder = $1 AND w.pattern = m.pattern */\n\
         ORDER BY similarity DESC, w.pattern\nLIMIT {limit}"
    );
    ComposedStatement { sql, values }
}

/// Asks the index.
async fn by_index(
    connection: &mut Connection,
    vector: &QueryVector<'_>,
    limit: i64,
) -> Result<Vec<Row>, DatabaseError> {
    let sql = format!(
        "-- similarity.search_index\nSELECT w.pattern, 1 - (w.embedding <=> $2) AS similarity\n\
         FROM embedding_patterns AS w\nWHERE w.embedder = $1\nORDER BY w.embedding <=> $2\nLIMIT {limit}"
    );
    let statement =
        ComposedStatement { sql, values: vec![SqlValue::Text(vector.embedder), SqlValue::Vector(&vector.dense)] };
    let settings = include_str!("set_search.sql").replace("{ef_search}", &EF_SEARCH.to_string());
    let search = async |tx: &mut Transaction<'_>| {
        tx.client().batch_execute(&settings).await?;
        statement.query(tx).await
    };
    connection.transaction("similarity.search_index", LIMIT, search).await
}

/// The patterns of the incidents that fit.
pub(super) async fn list_matching(
    connection: &mut Connection,
    vector: &QueryVector<'_>,
    scope: &Scope,
) -> Result<Vec<Uuid>, DatabaseError> {
    let mut values = vec![SqlValue::Text(vector.embedder)];
    let sql = format!("-- similarity.list_matching\n{}", select_matching(scope, &mut values));
    let rows = query(connection, "similarity.list_matching", &ComposedStatement { sql, values }).await?;
    Ok(rows.iter().map(|row| row.get("pattern")).collect())
}

/// The embedder is the first parameter.
fn select_matching<'v>(scope: &'v Scope, values: &mut Vec<SqlValue<'v>>) -> String {
    let clauses = conditions(&scope.filter, FactSource::Copied, values);
    let received = scope.received(values).map(|bound| format!(" AND {bound}")).unwrap_or_default();
    format!(
        "SELECT DISTINCT i.pattern\nFROM incident_facts AS t\nJOIN incident_patterns AS i \
         ON i.bucket = t.bucket AND i.incident_id = t.incident_id AND i.embedder = $1{received}{}",
        where_all(&clauses)
    )
}

/// Patterns that share one of these words, which few have: the index may not come upon them.
pub(in crate::similarity) async fn with_rare_words(
    connection: &mut Connection,
    vector: &QueryVector<'_>,
    words: Vec<&str>,
) -> Result<Near, DatabaseError> {
    if words.is_empty() {
        return Ok(Vec::new());
    }
    let sql = format!(
        "-- similarity.search_words\nSELECT p.pattern, 1 - (p.embedding <=> $2) AS similarity\n\
         FROM embedding_patterns AS p\nWHERE p.embedder = $1 AND p.terms && $3::text[]\n\
         ORDER BY similarity DESC, p.pattern\nLIMIT {WITH_RARE_WORDS}"
    );
    let values = vec![SqlValue::Text(vector.embedder), SqlValue::Vector(&vector.dense), SqlValue::Terms(words)];
    let rows = query(connection, "similarity.search_words", &ComposedStatement { sql, values }).await?;
    Ok(rows.iter().map(near).collect())
}

fn near(row: &Row) -> (Uuid, f64) {
    (row.get("pattern"), row.get::<_, f64>("similarity").clamp(0.0, 1.0))
}
