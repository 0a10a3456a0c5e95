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
