//! `data-storage incidents`

use super::filters::FilterOptions;
use super::print::{Column, below, column, entries, one_line, print, span, table, text, time, wide};
use super::{PageOptions, Query, Remote, RemoteOptions};
use crate::cli::CommandError;
use crate::visible::visible;
use serde_json::{Value, json};

const LIST_EXAMPLES: &str = "\
Examples:
  data-storage incidents list --namespace production --since 24h
  data-storage incidents list --status failed --status rolled_back --all --output json";
const SEARCH_EXAMPLES: &str = "\
Examples:
  data-storage incidents search 'pods exit with code 137 after each start'
  data-storage incidents search 'connection pool exhausted' --namespace production --collapse pattern";

#[derive(Debug, clap::Subcommand)]
pub enum IncidentsCommand {
    /// List incidents, the newest first
    #[command(after_help = LIST_EXAMPLES)]
    List {
        #[command(flatten)]
        filters: FilterOptions,
        /// newest or oldest first
        #[arg(long, value_name = "ORDER", default_value = "newest", value_parser = ["newest", "oldest"])]
        order: String,
        #[command(flatten)]
        page: PageOptions,
        #[command(flatten)]
        remote: RemoteOptions,
    },
    /// Show an incident, with its audits
    Show {
        /// Id of the incident
        id: i64,
        #[command(flatten)]
        remote: RemoteOptions,
    },
    /// Find incidents that are like one
    Similar {
        /// Id of the incident
        id: i64,
        #[command(flatten)]
        how: SearchOptions,
        #[command(flatten)]
        filters: FilterOptions,
        #[command(flatten)]
        remote: RemoteOptions,
    },
    /// Find incidents that are like a text
    #[command(after_help = SEARCH_EXAMPLES)]
    Search {
        /// What happened
        text: String,
        #[command(flatten)]
        how: SearchOptions,
        #[command(flatten)]
        filters: FilterOptions,
        #[command(flatten)]
        remote: RemoteOptions,
    },
}

#[derive(Debug, clap::Args)]
pub struct SearchOptions {
    /// Most hits
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=100))]
    limit: u16,
    /// One hit for those that are alike: none, pattern or alert
    #[arg(long, value_name = "HOW", default_value = "none", value_parser = ["none", "pattern", "alert"])]
    collapse: String,
}

impl IncidentsCommand {
    pub async fn run(&self) -> Result<(), CommandError> {
        match self {
            IncidentsCommand::List { filters, order, page, remote } => {
                let remote = Remote::new(remote)?;
                let query = [filters.query(), page.query(), vec![("order", order.clone())]].concat();
                let answer = remote.list("/api/v1/incidents", query, page.all).await?;
                print(remote.output, &answer, || table(LIST, entries(&answer)) + &below(&answer))
            }
            IncidentsCommand::Show { id, remote } => {
                let remote = Remote::new(remote)?;
                let incident = remote.get(&format!("/api/v1/incidents/{id}"), &Query::new()).await?;
                print(remote.output, &incident, || shown(&incident))
            }
            IncidentsCommand::Similar { id, how, filters, remote } => {
                let remote = Remote::new(remote)?;
                let how = vec![("limit", how.limit.to_string()), ("collapse", how.collapse.clone())];
                let query = [filters.query(), how].concat();
                let answer = remote.get(&format!("/api/v1/incidents/{id}/similar"), &query).await?;
                print(remote.output, &answer, || found(&answer))
            }
            IncidentsCommand::Search { text, how, filters, remote } => {
                let remote = Remote::new(remote)?;
                let body =
                    json!({"query": text, "filters": filters.body(), "limit": how.limit, "collapse": how.collapse});
                let answer = remote.post("/api/v1/incidents/search", body.to_string().into_bytes(), &[]).await?;
                print(remote.output, &answer, || found(&answer))
            }
        }
    }
}

const LIST: &[Column] = &[
    column("ID", |incident| text(incident, "id")),
    column("BEGAN", |incident| time(incident, "action_timestamp")),
    column("ALERT", |incident| text(incident, "alert_name")),
    wide("SEVERITY", |incident| text(incident, "alert_severity")),
    wide("CLUSTER", |incident| text(incident, "cluster_name")),
    column("NAMESPACE", |incident| text(incident, "namespace")),
    column("TARGET", |incident| text(incident, "target_resource")),
    column("ACTION", |incident| text(incident, "action_type")),
    column("STATUS", |incident| text(incident, "execution_status")),
    wide("TOOK", |incident| span(incident, "duration")),
];

const HITS: &[Column] = &[
    column("SCORE", |hit| format!("{:.2}", hit["score"].as_f64().unwrap_or_default())),
    column("ID", |hit| text(hit, "id")),
    column("BEGAN", |hit| time(hit, "action_timestamp")),
    column("ALERT", |hit| text(hit, "alert_name")),
    wide("NAMESPACE", |hit| text(hit, "namespace")),
    column("ACTION", |hit| text(hit, "action_type")),
    column("OUTCOME", |hit| text(hit, "outcome")),
    column("WHY", why),
];

const ACTIONS: &[Column] = &[
    column("ACTION", |action| text(action, "action_type")),
    column("TRIES", |action| text(action, "n")),
    column("WORKED", |action| text(action, "completed")),
    column("FAILED", |action| text(action, "failed")),
    column("RECURRED", |action| text(action, "recurred")),
    column("RATE", |action| super::stats::rate(&action["success_rate"], &action["interval"])),
];

const AUDITS: &[Column] = &[
    column("TIME", |audit| time(audit, "createdAt")),
    column("STATUS", |audit| text(audit, "status")),
    column("ACTION", |audit| text(audit, "actionType")),
    column("WRITER", |audit| text(audit, "writer")),
    wide("AUDIT", |audit| text(audit, "auditID")),
];

fn why(hit: &Value) -> String {
    let reasons = hit["why"].as_array().into_iter().flatten().map(|reason| {
        let terms: Vec<&str> = reason["terms"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        if terms.is_empty() { text(reason, "signal") } else { terms.join(" ") }
    });
    reasons.collect::<Vec<_>>().join(", ")
}

fn found(answer: &Value) -> String {
    let mut told = match entries(answer) {
        [] => "Nothing is like it.".to_owned(),
        hits => table(HITS, hits),
    };
    for (name, title) in [("worked", "What worked"), ("do_not_repeat", "Not to be repeated")] {
        if let Some(actions @ [_, ..]) = answer["summary"][name].as_array().map(Vec::as_slice) {
            told += &format!("\n\n{title}\n{}", table(ACTIONS, actions));
        }
    }
    let (known, asked) = (&answer["coverage"]["known_terms"], &answer["coverage"]["query_terms"]);
    told + &format!("\n\n{} incidents searched, {known} of {asked} words known", answer["coverage"]["searched"])
}

fn shown(incident: &Value) -> String {
    let mut told = String::new();
    for (name, field) in [
        ("Incident", "id"),
        ("Request", "remediation_request_id"),
        ("Alert", "alert_name"),
        ("Severity", "alert_severity"),
        ("Cluster", "cluster_name"),
        ("Namespace", "namespace"),
        ("Target", "target_resource"),
        ("Action", "action_type"),
        ("Status", "execution_status"),
        ("Began", "action_timestamp"),
        ("Ended", "end_time"),
        ("Model", "model_used"),
    ] {
        let value = one_line(&text(incident, field));
        if !value.is_empty() {
            told += &format!("{name:<11}{value}\n");
        }
    }
    for (name, field) in [("Reasoning", "reasoning"), ("Error", "error_message")] {
        let value = visible(&text(incident, field));
        if !value.is_empty() {
            told += &format!("\n{name}\n  {}\n", value.trim_end().replace('\n', "\n  "));
        }
    }
    let audits = incident["audits"].as_array().map_or(&[][..], Vec::as_slice);
    told + "\n" + &table(AUDITS, audits)
}
