//! `data-storage workflows`

use super::print::{Column, below, column, entries, print, span, table, text, time, wide};
use super::{PageOptions, Query, Remote, RemoteOptions};
use crate::cli::CommandError;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

#[derive(Debug, clap::Subcommand)]
pub enum WorkflowsCommand {
    /// List workflows, by their last step, the newest first
    List {
        /// Of a remediation request
        #[arg(long, value_name = "ID")]
        remediation_request_id: Option<String>,
        /// Last step from then on: RFC 3339, or a span before now like 24h
        #[arg(long, value_name = "TIME")]
        since: Option<String>,
        /// Before then
        #[arg(long, value_name = "TIME")]
        until: Option<String>,
        #[command(flatten)]
        page: PageOptions,
        #[command(flatten)]
        remote: RemoteOptions,
    },
    /// Show the steps of a workflow
    Show {
        /// Id of the workflow
        id: String,
        #[command(flatten)]
        remote: RemoteOptions,
    },
}

const LIST: &[Column] = &[
    column("WORKFLOW", |workflow| text(workflow, "workflow_id")),
    wide("REQUEST", |workflow| text(workflow, "remediation_request_id")),
    column("STATUS", |workflow| text(workflow, "status")),
    column("STEPS", |workflow| text(workflow, "steps")),
    wide("FIRST", |workflow| time(workflow, "first_step_at")),
    column("LAST", |workflow| time(workflow, "last_step_at")),
    column("LAST STEP", |workflow| text(workflow, "last_step")),
];

const STEPS: &[Column] = &[
    column("TIME", |step| time(step, "executedAt")),
    column("STEP", |step| text(step, "stepName")),
    column("STATUS", |step| text(step, "stepStatus")),
    wide("TOOK", |step| span(step, "durationMs")),
    column("ERROR", |step| text(step, "errorMessage")),
];

impl WorkflowsCommand {
    pub async fn run(&self) -> Result<(), CommandError> {
        match self {
            WorkflowsCommand::List { remediation_request_id, since, until, page, remote } => {
                let remote = Remote::new(remote)?;
                let given = [("remediation_request_id", remediation_request_id), ("since", since), ("until", until)];
                let given: Query = given.into_iter().filter_map(|(name, value)| Some((name, value.clone()?))).collect();
                let answer = remote.list("/api/v1/workflows", [given, page.query()].concat(), page.all).await?;
                print(remote.output, &answer, || table(LIST, entries(&answer)) + &below(&answer))
            }
            WorkflowsCommand::Show { id, remote } => {
                let remote = Remote::new(remote)?;
                let id = utf8_percent_encode(id, NON_ALPHANUMERIC);
                let answer = remote.all_by_offset(&format!("/api/v1/workflows/{id}/steps")).await?;
                print(remote.output, &answer, || table(STEPS, entries(&answer)) + &below(&answer))
            }
        }
    }
}
