//! When a completed remediation has not held.

/// Whether the alert of a completed remediation `t` came back for its target within `window` seconds (a number of a parameter) of
/// its end. Where a target is known on both sides it must be the same. `seen` is one more condition on the later incident `o`.
pub(super) fn recurred(window: usize, seen: &str) -> String {
    let end = "COALESCE(t.end_time, t.start_time, t.action_timestamp)";
    format!(
        "(t.execution_status = 'completed' AND EXISTS (
            SELECT FROM resource_action_traces AS o
            WHERE o.alert_name = t.alert_name AND o.namespace = t.namespace AND o.cluster_name = t.cluster_name
              AND (o.target_resource = t.target_resource) IS NOT FALSE
              AND o.action_timestamp > {end}
              AND o.action_timestamp <= {end} + ${window}::bigint * interval '1 second'
              AND o.id <> t.id{seen}))"
    )
}

/// The same for many incidents at once: the alert's openings are gathered by place and target, sorted once, and each completed remediation
/// counts those within its window by two binary searches. It asks for the parts of a statement:
/// - `with`: common table expressions, by a condition on the incidents `o` that can matter;
/// - `joins`: what follows `FROM resource_action_traces AS t`;
/// - `recurred`: the expression.
pub(super) struct RecurredOfMany {
    pub with: String,
    pub joins: &'static str,
    pub recurred: String,
}

/// `conditions`: on an incident `o` that may be the later one, so that not all have to be read.
pub(super) fn recurred_of_many(window: usize, conditions: &[String]) -> RecurredOfMany {
    let place = "o.alert_name IS NOT NULL AND o.namespace IS NOT NULL AND o.cluster_name IS NOT NULL";
    let conditions: String = conditions.iter().map(|condition| format!(" AND {condition}")).collect();
    // Aggregated first and sorted then: a sort of all incidents by texts takes three times as long.
    let openings = |facts: &[&str]| {
        let of_each = |table: &str| facts.iter().map(|fact| format!("{table}.{fact}")).collect::<Vec<_>>().join(", ");
        let (of_groups, of_openings) = (of_each("g"), of_each("o"));
        format!(
            "SELECT {of_groups}, ARRAY(SELECT u.time FROM unnest(g.times) AS u (time) ORDER BY u.time) AS times
    FROM (
        SELECT {of_openings}, array_agg(o.action_timestamp) AS times
        FROM resource_action_traces AS o
        WHERE {place}{conditions}
        GROUP BY {of_openings}
    ) AS g"
        )
    };
    let with = format!(
        "by_target AS MATERIALIZED (
    {}
), by_place AS MATERIALIZED (
    {}
)",
        openings(&["alert_name", "namespace", "cluster_name", "target_resource"]),
        openings(&["alert_name", "namespace", "cluster_name"])
    );
    // Where a target is known on both sides it must be the same: one with a target looks among its own and those without, one without
    // looks among all.
    let joins = "
    LEFT JOIN by_target AS same
        ON same.alert_name = t.alert_name AND same.namespace = t.namespace AND same.cluster_name = t.cluster_name
        AND same.target_resource = t.target_resource
    LEFT JOIN by_target AS unknown
        ON unknown.alert_name = t.alert_name AND unknown.namespace = t.namespace AND unknown.cluster_name = t.cluster_name
        AND unknown.target_resource IS NULL AND t.target_resource IS NOT NULL
    LEFT JOIN by_place AS every
        ON every.alert_name = t.alert_name AND every.namespace = t.namespace AND every.cluster_name = t.cluster_name
        AND t.target_resource IS NULL";
    let end = "COALESCE(t.end_time, t.start_time, t.action_timestamp)";
    let last = format!("{end} + ${window}::bigint * interval '1 second'");
    let within =
        |times: &str| format!("COALESCE(width_bucket({last}, {times}.times) - width_bucket({end}, {times}.times), 0)");
    let (same, unknown, every) = (within("same"), within("unknown"), within("every"));
    // An incident does not follow itself.
    let itself = format!("(t.action_timestamp > {end} AND t.action_timestamp <= {last})::int");
    let recurred = format!("(t.execution_status = 'completed' AND {same} + {unknown} + {every} > {itself})");
    RecurredOfMany { with, joins, recurred }
}
