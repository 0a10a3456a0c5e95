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
/// - `join`: what follows `FROM resource_action_traces AS t`;
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
    // Where a target is known on both sides it must be the same: one with a target looks among its own and those without, one without
    // looks among all. Each array is sorted by itself: a sort of all incidents by texts takes three times as long.
    let with = format!(
        "by_target AS MATERIALIZED (
    {}
), by_place AS MATERIALIZED (
    {}
), openings AS MATERIALIZED (
    SELECT
        own.alert_name, own.namespace, own.cluster_name, own.target_resource,
        ARRAY(SELECT u.time FROM unnest(COALESCE(every.times, own.times || unknown.times)) AS u (time) ORDER BY u.time) AS times
    FROM by_target AS own
    LEFT JOIN by_target AS unknown ON {} AND unknown.target_resource IS NULL AND own.target_resource IS NOT NULL
    LEFT JOIN by_place AS every ON {} AND own.target_resource IS NULL
)",
        openings("o.alert_name, o.namespace, o.cluster_name, o.target_resource"),
        openings("o.alert_name, o.namespace, o.cluster_name"),
        in_one_place("unknown", "own"),
        in_one_place("every", "own"),
    );
    // Equal, or unknown on both sides, in a form that a hash join takes.
    let target = "COALESCE(later.target_resource, '') = COALESCE(t.target_resource, '') \
                  AND (later.target_resource IS NULL) = (t.target_resource IS NULL)";
    let join = format!("\n    LEFT JOIN openings AS later ON {} AND {target}", in_one_place("later", "t"));
    let end = "COALESCE(t.end_time, t.start_time, t.action_timestamp)";
    let last = format!("{end} + ${window}::bigint * interval '1 second'");
    let within = format!("COALESCE(width_bucket({last}, later.times) - width_bucket({end}, later.times), 0)");
    // An incident does not follow itself.
    let itself = format!("(t.action_timestamp > {end} AND t.action_timestamp <= {last})::int");
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
