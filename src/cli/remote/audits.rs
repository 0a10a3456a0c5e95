//! `data-storage audits`

use super::print::{Column, below, column, entries, print, table, text, time, wide};
use super::{PageOptions, Query, Remote, RemoteOptions};
use crate::cli::CommandError;
use serde_json::Value;
use std::io::Read;
use std::path::PathBuf;

const POST_EXAMPLES: &str = "\
Examples:
  data-storage audits post audit.json
  echo '{\"remediationRequestID\":\"rr-1\",\"alertName\":\"A\",\"namespace\":\"n\",\"cluster\":\"c\"}' | data-storage audits post -";

#[derive(Debug, clap::Subcommand)]
pub enum AuditsCommand {
    /// List audits: who wrote what and when
    List {
        #[command(flatten)]
        filters: AuditFilters,
        #[command(flatten)]
        page: PageOptions,
        #[command(flatten)]
        remote: RemoteOptions,
    },
    /// Post an audit; one with a workflowID is of a workflow
    #[command(after_help = POST_EXAMPLES)]
    Post {
        /// File with the JSON of the audit; - is standard input
        file: PathBuf,
        /// What a repeat is known by, instead of the content
        #[arg(long, value_name = "KEY")]
        idempotency_key: Option<String>,
        #[command(flatten)]
        remote: RemoteOptions,
    },
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Filters")]
pub struct AuditFilters {
    /// remediation or workflow
    #[arg(long = "type", value_name = "TYPE", value_parser = ["remediation", "workflow"])]
    kind: Option<String>,
    /// User who wrote it
    #[arg(long, value_name = "USER")]
    writer: Option<String>,
    /// Remediation request
    #[arg(long, value_name = "ID")]
    remediation_request_id: Option<String>,
    /// Namespace
    #[arg(long, value_name = "NAME")]
    namespace: Option<String>,
    /// Cluster
    #[arg(long, value_name = "NAME")]
    cluster: Option<String>,
    /// By the audit's own time, from then on: RFC 3339, or a span before now like 24h
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Before then
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// By when it was received
    #[arg(long, value_name = "TIME")]
    received_since: Option<String>,
    /// Before then
    #[arg(long, value_name = "TIME")]
    received_until: Option<String>,
}

impl AuditFilters {
    fn query(&self) -> Query {
        let given = [
            ("type", &self.kind),
            ("writer", &self.writer),
            ("remediation_request_id", &self.remediation_request_id),
            ("namespace", &self.namespace),
            ("cluster", &self.cluster),
            ("since", &self.since),
            ("until", &self.until),
            ("received_since", &self.received_since),
            ("received_until", &self.received_until),
        ];
        given.into_iter().filter_map(|(name, value)| Some((name, value.clone()?))).collect()
    }
}

const LIST: &[Column] = &[
    column("TIME", |audit| time(audit, if is_of_workflow(audit) { "executedAt" } else { "createdAt" })),
    column("TYPE", |audit| text(audit, "type")),
    column("WRITER", |audit| text(audit, "writer")),
    wide("REQUEST", |audit| text(audit, "remediationRequestID")),
    column("WHAT", |audit| text(audit, if is_of_workflow(audit) { "stepName" } else { "alertName" })),
    column("STATUS", |audit| text(audit, if is_of_workflow(audit) { "stepStatus" } else { "status" })),
    column("AUDIT", |audit| text(audit, "auditID")),
];

fn is_of_workflow(audit: &Value) -> bool {
    audit["type"] == "workflow"
}

impl AuditsCommand {
    pub async fn run(&self) -> Result<(), CommandError> {
        match self {
            AuditsCommand::List { filters, page, remote } => {
                let remote = Remote::new(remote)?;
                let answer = remote.list("/api/v1/audits", [filters.query(), page.query()].concat(), page.all).await?;
                print(remote.output, &answer, || table(LIST, entries(&answer)) + &below(&answer))
            }
            AuditsCommand::Post { file, idempotency_key, remote } => {
                let remote = Remote::new(remote)?;
                let mut body = Vec::new();
                match file.to_str() {
                    Some("-") => _ = std::io::stdin().lock().read_to_end(&mut body)?,
                    _ => body = std::fs::read(file).map_err(|error| format!("{}: {error}", file.display()))?,
                }
                let headers: Vec<(&str, &str)> =
                    idempotency_key.iter().map(|key| ("Idempotency-Key", key.as_str())).collect();
                let path = format!("/api/v1/audit/{}", kind(&body));
                let answer = remote.post(&path, body, &headers).await?;
                print(remote.output, &answer, || format!("{} {}", text(&answer, "auditID"), text(&answer, "status")))
            }
        }
    }
}

/// What an audit is of. The service says what is wrong with a body that is none.
fn kind(body: &[u8]) -> &'static str {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let is_of_workflow = |name: &String| name.replace('_', "").eq_ignore_ascii_case("workflowid");
    match body.as_object().is_some_and(|fields| fields.keys().any(is_of_workflow)) {
        true => "workflow",
        false => "remediation",
    }
}
