//! When a completed remediation has not held.

use crate::db::connection::Connection;
use chrono::{DateTime, Utc};
use std::collections::HashSet;
use std::time::Duration;
use tokio_postgres::{Error, Row};

/// An ended attempt in a statement: its facts, its status and its end, as expressions.
pub(super) struct Ended<'a> {
    /// The incident's row.
    pub incident: &'a str,
    pub status: &'a str,
    pub end: &'a str,
}

/// Whether the alert of a completed remediation came back for its workload within `window` seconds (a number of a parameter) of its end.
/// Where a workload is known on both sides it must be the same. `seen` is one more condition on the later incident `o`.
pub(super) fn recurred(attempt: &Ended<'_>, window: usize, seen: &str) -> String {
    let Ended { incident, status, end } = attempt;
    format!(
        "/*whole*/({status} = 'completed' AND EXISTS (
            SELECT 1 FROM resource_action_traces AS o
            WHERE o.alert_name = {incident}.alert_name AND o.namespace = {incident}.namespace AND o.cluster_name = {incident}.cluster_name
              AND (o.workload = {incident}.workload) IS NOT FALSE
              AND o.action_timestamp > {end}
              AND o.action_timestamp <= {end} + ${window}::bigint * interval '1 second'
              AND o.id <> {incident}.id{seen}))/*end*/ /*distributed (${window}::bigint IS NULL) */"
    )
}

/// Which of these attempts recurred, by their places among the rows: where the tables are distributed a statement cannot look for the later
/// incidents of each row. A row has the facts of its incident, the status of the attempt, and `ended_at`.
///
/// # Errors
/// PostgreSQL's.
pub(super) async fn recurred_among(
    connection: &mut Connection,
    rows: &[&Row],
    id: &str,
    window: Duration,
    as_of: Option<DateTime<Utc>>,
) -> Result<HashSet<usize>, Error> {
    let is_completed = |row: &Row| row.get::<_, &str>("execution_status") == "completed";
    let places: Vec<usize> = (0..rows.len()).filter(|at| is_completed(rows[*at])).collect();
    if places.is_empty() {
        return Ok(HashSet::new());
    }
    let completed: Vec<&Row> = places.iter().map(|at| rows[*at]).collect();
    let texts = |name: &str| completed.iter().map(|row| row.get::<_, Option<&str>>(name)).collect::<Vec<_>>();
    let [alerts, namespaces, clusters, workloads] = ["alert_name", "namespace", "cluster_name", "workload"].map(texts);
    let ends: Vec<Option<DateTime<Utc>>> = completed.iter().map(|row| row.get("ended_at")).collect();
    let ids: Vec<i64> = completed.iter().map(|row| row.get(id)).collect();
    let window = i64::try_from(window.as_secs()).unwrap_or(i64::MAX / 2);
    let statement = connection.prepare(include_str!("recurred_among.sql")).await?;
    let client = connection.client();
    let rows =
        client.query(&statement, &[&alerts, &namespaces, &clusters, &workloads, &ends, &ids, &window, &as_of]).await?;
    // From 1, as `unnest` counts.
    let place = |row: &Row| places.get(usize::try_from(row.get::<_, i64>("place") - 1).ok()?).copied();
    Ok(rows.iter().filter_map(place).collect())
}

/// The same for many attempts at once: the alert's openings are gathered by place and workload, sorted once, and each completed remediation
/// counts those within its window by two binary searches. It asks for the parts of a statement:
/// - `with`: common table expressions, by a condition on the incidents `o` that can matter;
/// - `join`: what follows a table `t` of attempts, with the facts of their incidents and `ended_at`;
/// - `recurred`: the expression.
pub(super) struct RecurredOfMany {
    pub with: String,
    pub join: String,
    pub recurred: String,
}

/// `conditions`: on an incident `o` that may be the later one, so that not all have to be read.
pub(super) fn recurred_of_many(window: usize, conditions: &[String]) -> RecurredOfMany {
    let conditions: String = conditions.iter().map(|condition| format!(" AND {condition}")).collect();
    let openings = |facts: &str| {
        format!(
            "SELECT {facts}, array_agg(o.action_timestamp) AS times
    FROM resource_action_traces AS o
    WHERE o.alert_name IS NOT NULL AND o.namespace IS NOT NULL AND o.cluster_name IS NOT NULL{conditions}
    GROUP BY {facts}"
        )
    };
    // Where a workload is known on both sides it must be the same: one with a workload looks among its own and those without, one without
    // looks among all. Each array is sorted by itself: a sort of all incidents by texts takes three times as long.
    let with = format!(
        "by_workload AS MATERIALIZED (
    {}
), by_place AS MATERIALIZED (
    {}
), openings AS MATERIALIZED (
    SELECT
        own.alert_name, own.namespace, own.cluster_name, own.workload,
        ARRAY(SELECT u.time FROM unnest(COALESCE(every.times, own.times || unknown.times)) AS u (time) ORDER BY u.time) AS times
    FROM by_workload AS own
    LEFT JOIN by_workload AS unknown ON {} AND unknown.workload IS NULL AND own.workload IS NOT NULL
    LEFT JOIN by_place AS every ON {} AND own.workload IS NULL
)",
        openings("o.alert_name, o.namespace, o.cluster_name, o.workload"),
        openings("o.alert_name, o.namespace, o.cluster_name"),
        in_one_place("unknown", "own"),
        in_one_place("every", "own"),
    );
    // Equal, or unknown on both sides, in a form that a hash join takes.
    let workload =
        "COALESCE(later.workload, '') = COALESCE(t.workload, '') AND (later.workload IS NULL) = (t.workload IS NULL)";
    let join = format!("\n    LEFT JOIN openings AS later ON {} AND {workload}", in_one_place("later", "t"));
    let last = format!("t.ended_at + ${window}::bigint * interval '1 second'");
    let within = format!("COALESCE(width_bucket({last}, later.times) - width_bucket(t.ended_at, later.times), 0)");
    // An incident does not follow itself.
    let itself = format!("(t.action_timestamp > t.ended_at AND t.action_timestamp <= {last})::int");
    let recurred = format!("(t.execution_status = 'completed' AND {within} > {itself})");
    RecurredOfMany { with, join, recurred }
}

/// The first condition follows from the three after it, and is there for a hash join. Where a filter names all three, PostgreSQL compares
/// each side with the filter instead of with the other side; a nested loop, which is what is left then, copies all times of the place for
/// each row of the other side.
fn in_one_place(a: &str, b: &str) -> String {
    format!(
        "{a}.alert_name || {a}.namespace || {a}.cluster_name = {b}.alert_name || {b}.namespace || {b}.cluster_name \
         AND {a}.alert_name = {b}.alert_name AND {a}.namespace = {b}.namespace AND {a}.cluster_name = {b}.cluster_name"
    )
}
