//! What worked lately, by alert and action, for dashboards: how the attempts of the last seven days ended.

use crate::health::PartState;
use crate::state::AppState;
use actix_web::web::Data;
use data_storage_actors::domain::dimension::Dimension;
use data_storage_actors::domain::filter::IncidentFilter;
use data_storage_actors::domain::invalid::Invalid;
use data_storage_actors::query::{GetSuccessRate, SuccessRate};
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
            shown = show(&state, &shown, &rates.groups);
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
    })
}

/// Sets the series of these groups, and takes those away that were shown before and are none of them. Returns what is shown.
fn show(state: &AppState, before: &HashSet<Pair>, groups: &[SuccessRate]) -> HashSet<Pair> {
    let series = &state.metrics.recent_attempts;
    let label = |group: &SuccessRate, name: &str| group.group[name].as_str().unwrap_or("unknown").to_owned();
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
