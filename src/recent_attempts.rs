//! What worked lately, by alert and action, for dashboards: how the attempts of the last seven days ended.

use crate::health::PartState;
use crate::state::AppState;
use actix_web::web::Data;
use data_storage_actors::domain::dimension::Dimension;
use data_storage_actors::domain::filter::IncidentFilter;
use data_storage_actors::domain::invalid::Invalid;
use data_storage_actors::query::{GetSuccessRate, SuccessRate};
use prometheus::IntGaugeVec;
use std::collections::HashSet;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::sleep;

const SPAN: &str = "7d";
/// Pairs of alert and action, those of most attempts: each has three series, whatever is posted.
const PAIRS: i64 = 50;
const OFTEN: Duration = Duration::from_secs(30);
/// Until it looks again whether the database serves.
const SOON: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(4);

/// Alert and action, as labels.
type Pair = (String, String);

/// Counts them again and again. A count that fails leaves the last one: `/health` says what is wrong.
pub async fn count(state: Data<AppState>) {
    let mut shown: HashSet<Pair> = HashSet::new();
    loop {
        // Where the database does not serve, asking would only count as one more failure.
        if state.health.read_database.get() != PartState::Up || !state.health.audit_migrated.load(Ordering::Relaxed) {
            sleep(SOON).await;
            continue;
        }
        let Ok(question) = question(&state) else { return };
        if let Ok(rates) = state.actors.query.ask(question, PATIENCE).await {
            shown = show(&state.metrics.recent_attempts, &shown, &rates.groups);
        }
        sleep(OFTEN).await;
    }
}

fn question(state: &AppState) -> Result<GetSuccessRate, Invalid> {
    let mut filter = IncidentFilter::default();
    filter.set("since", SPAN, (state.clock)())?;
    Ok(GetSuccessRate {
        filter,
        group_by: Dimension::parse_list("alert_name,action_type", |_| true)?,
        limit: PAIRS,
        after: None,
        recurrence_window: state.recurrence_window,
        may_hold: false,
    })
}

/// Sets the series of these groups, and removes the series of pairs that are no longer in the list. Returns the pairs that are.
fn show(series: &IntGaugeVec, before: &HashSet<Pair>, groups: &[SuccessRate]) -> HashSet<Pair> {
    let label = |group: &SuccessRate, name: &str| group.group[name].as_str().unwrap_or_default().to_owned();
    let outcomes =
        |group: &SuccessRate| [("completed", group.completed), ("failed", group.failed), ("recurred", group.recurred)];
    let mut shown = HashSet::new();
    for group in groups {
        let (alert, action) = (label(group, "alert_name"), label(group, "action_type"));
        for (outcome, count) in outcomes(group) {
            series.with_label_values(&[&alert, &action, outcome]).set(i64::try_from(count).unwrap_or(i64::MAX));
        }
        shown.insert((alert, action));
    }
    for (alert, action) in before.difference(&shown) {
        for outcome in ["completed", "failed", "recurred"] {
            // It was set before.
            let _ = series.remove_label_values(&[alert.as_str(), action.as_str(), outcome]);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus::Opts;
    use prometheus::core::Collector;
    use serde_json::json;

    fn group(alert: Option<&str>, completed: u64) -> SuccessRate {
        let names = json!({ "alert_name": alert, "action_type": "scale" });
        SuccessRate {
            group: names.as_object().expect("an object").clone(),
            n: completed,
            completed,
            failed: 0,
            recurred: 0,
            success_rate: None,
            interval: None,
            median_duration: None,
            insufficient_data: true,
        }
    }

    /// A pair that is no longer among those of most attempts has no series; the others have their present counts.
    #[test]
    fn what_is_gone_is_not_shown() {
        let names = ["alert_name", "action_type", "outcome"];
        let series = IntGaugeVec::new(Opts::new("attempts", "Attempts"), &names).expect("a metric");
        let count = || series.collect()[0].get_metric().len();
        let shown = show(&series, &HashSet::new(), &[group(Some("unknown"), 1), group(None, 2)]);
        assert_eq!(count(), 6, "an alert that is called so, and none");
        let shown = show(&series, &shown, &[group(Some("unknown"), 3)]);
        assert_eq!((count(), shown.len()), (3, 1));
        assert_eq!(series.with_label_values(&["unknown", "scale", "completed"]).get(), 3);
    }
}
