//! `data-storage stats`

use super::filters::FilterOptions;
use super::print::{Column, below, column, entries, print, span, table, text, time, wide};
use super::{PageOptions, Remote, RemoteOptions};
use crate::cli::CommandError;
use serde_json::Value;

pub const EXAMPLES: &str = "\
Examples:
  data-storage stats --group-by alert_name,action_type --since 30d
  data-storage stats --interval day --since 7d --namespace production";

#[derive(Debug, clap::Args)]
pub struct StatsOptions {
    /// What is counted by, up to three with commas: alert_name, action_type, severity, namespace, cluster, environment, model_used, target;
    /// rates also by day, week or month [default: alert_name,action_type; counts: nothing]
    #[arg(long, value_name = "NAMES")]
    group_by: Option<String>,
    /// Counts over time instead of success rates: hour, day, week or month
    #[arg(long, value_name = "INTERVAL", value_parser = ["hour", "day", "week", "month"])]
    interval: Option<String>,
    #[command(flatten)]
    filters: FilterOptions,
    #[command(flatten)]
    page: PageOptions,
    #[command(flatten)]
    remote: RemoteOptions,
}

/// By which an entry may be told from another.
const GROUPS: &[Column] = &[
    column("ALERT", |group| text(group, "alert_name")),
    column("ACTION", |group| text(group, "action_type")),
    wide("SEVERITY", |group| text(group, "severity")),
    column("NAMESPACE", |group| text(group, "namespace")),
    wide("CLUSTER", |group| text(group, "cluster")),
    column("ENVIRONMENT", |group| text(group, "environment")),
    column("MODEL", |group| text(group, "model_used")),
    column("TARGET", |group| text(group, "target")),
    column("DAY", |group| time(group, "day")),
    column("WEEK", |group| time(group, "week")),
    column("MONTH", |group| time(group, "month")),
    column("TIME", |group| time(group, "time")),
];

const RATES: &[Column] = &[
    column("TRIES", |group| text(group, "n")),
    column("WORKED", |group| text(group, "completed")),
    column("FAILED", |group| text(group, "failed")),
    column("RECURRED", |group| text(group, "recurred")),
    column("RATE", |group| rate(&group["success_rate"], &group["interval"])),
    wide("MEDIAN", |group| span(group, "median_duration")),
];

const COUNTS: &[Column] = &[
    column("COMPLETED", |count| text(&count["counts"], "completed")),
    column("FAILED", |count| text(&count["counts"], "failed")),
    column("ROLLED BACK", |count| text(&count["counts"], "rolled_back")),
    column("CANCELLED", |count| text(&count["counts"], "cancelled")),
    column("RUNNING", |count| text(&count["counts"], "in_progress")),
    column("PENDING", |count| text(&count["counts"], "pending")),
];

/// A rate, and between which it lies with 95 % certainty.
pub fn rate(rate: &Value, interval: &Value) -> String {
    let percent = |value: &Value| value.as_f64().map(|part| format!("{:.0}", part * 100.0)).unwrap_or_default();
    match rate {
        Value::Null => "too few".to_owned(),
        rate => format!("{} % ({}–{})", percent(rate), percent(&interval[0]), percent(&interval[1])),
    }
}

impl StatsOptions {
    pub async fn run(&self) -> Result<(), CommandError> {
        let remote = Remote::new(&self.remote)?;
        let mut query = [self.filters.query(), self.page.query()].concat();
        query.extend(self.group_by.clone().map(|names| ("group_by", names)));
        query.extend(self.interval.clone().map(|interval| ("interval", interval)));
        let path = if self.interval.is_some() { "/api/v1/stats/counts" } else { "/api/v1/stats/success-rate" };
        let answer = remote.list(path, query, self.page.all).await?;
        let values = if self.interval.is_some() { COUNTS } else { RATES };
        // The columns of what was counted by.
        let is_there = |column: &&Column| entries(&answer).iter().any(|entry| !(column.cell)(entry).is_empty());
        let columns: Vec<Column> = GROUPS.iter().filter(is_there).chain(values).copied().collect();
        print(remote.output, &answer, || table(&columns, entries(&answer)) + &below(&answer))
    }
}
