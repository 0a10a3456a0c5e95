//! The commands that ask a running service, as any client does.

mod audits;
mod filters;
mod import;
mod incidents;
mod print;
mod stats;
mod workflows;

pub use audits::AuditsCommand;
pub use import::ImportOptions;
pub use incidents::IncidentsCommand;
pub use stats::StatsOptions;
pub use workflows::WorkflowsCommand;

use super::CommandError;
use print::OutputFormat;
use reqwest::redirect::Policy;
use reqwest::{Method, RequestBuilder};
use serde_json::Value;
use std::time::Duration;

/// Where the service is when nobody says it.
const HERE: &str = "http://127.0.0.1:8080";

/// Where the service is, and who asks.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Service")]
pub struct ServiceOptions {
    /// URL of the service
    #[arg(long, env = "DATA_STORAGE_URL", hide_env_values = true, default_value = HERE, value_name = "URL")]
    url: String,
    /// Bearer token, instead of a file
    #[arg(long, env = "DATA_STORAGE_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    token: Option<String>,
    /// File that holds the token; of a list of tokens the first is taken
    #[arg(long, env = "DATA_STORAGE_TOKEN_FILE", value_name = "FILE")]
    token_file: Option<String>,
}

/// Which service is asked, and how the answer is shown.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Service")]
pub struct RemoteOptions {
    #[command(flatten)]
    service: ServiceOptions,
    /// How the answer is printed
    #[arg(long, short, default_value = "table", value_name = "FORMAT")]
    output: OutputFormat,
}

/// Longest time of a request.
const LONGEST: Duration = Duration::from_secs(30);

/// A running service.
pub struct Remote {
    client: reqwest::Client,
    url: String,
    token: Option<String>,
    pub output: OutputFormat,
}

/// Parameters of a query.
pub type Query = Vec<(&'static str, String)>;

impl Remote {
    pub fn new(options: &RemoteOptions) -> Result<Self, CommandError> {
        Ok(Remote { output: options.output, ..Remote::of(&options.service)? })
    }

    /// One whose answers are not shown.
    pub fn of(options: &ServiceOptions) -> Result<Self, CommandError> {
        // Empty means not given, as with each setting.
        let given = |value: &Option<String>| value.clone().filter(|value| !value.trim().is_empty());
        let token = match (given(&options.token), given(&options.token_file)) {
            (Some(token), _) => Some(token.trim().to_owned()),
            (None, Some(file)) => {
                let text = std::fs::read_to_string(&file).map_err(|error| format!("{file}: {error}"))?;
                Some(text.trim().split([',', '\n']).next().unwrap_or_default().trim().to_owned())
            }
            (None, None) => None,
        };
        let client = reqwest::Client::builder().timeout(LONGEST).redirect(Policy::none()).build()?;
        let url = if options.url.is_empty() { HERE } else { options.url.trim_end_matches('/') }.to_owned();
        Ok(Remote { client, url, token: token.filter(|token| !token.is_empty()), output: OutputFormat::Table })
    }

    pub async fn get(&self, path: &str, query: &Query) -> Result<Value, CommandError> {
        self.ask(self.request(Method::GET, path).query(query)).await
    }

    pub async fn post(&self, path: &str, body: Vec<u8>, headers: &[(&str, &str)]) -> Result<Value, CommandError> {
        let request = self.request(Method::POST, path).body(body).header("Content-Type", "application/json");
        self.ask(headers.iter().fold(request, |request, (name, value)| request.header(*name, *value))).await
    }

    /// A list, page after page where all of it is wanted.
    pub async fn list(&self, path: &str, mut query: Query, is_all: bool) -> Result<Value, CommandError> {
        let mut whole = self.get(path, &query).await?;
        while let (true, Some(cursor)) = (is_all, whole["pagination"]["next_cursor"].as_str().map(str::to_owned)) {
            query.retain(|(name, _)| *name != "cursor");
            query.push(("cursor", cursor));
            append(&mut whole, self.get(path, &query).await?);
        }
        Ok(whole)
    }

    /// The whole of a list that goes on by offsets.
    pub async fn all_by_offset(&self, path: &str) -> Result<Value, CommandError> {
        let mut whole = self.get(path, &Query::new()).await?;
        while whole["pagination"]["has_more"] == true {
            let offset = print::entries(&whole).len();
            append(&mut whole, self.get(path, &vec![("offset", offset.to_string())]).await?);
        }
        Ok(whole)
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.client.request(method, format!("{}{path}", self.url));
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    async fn ask(&self, request: RequestBuilder) -> Result<Value, CommandError> {
        let answer = request.send().await.map_err(|error| self.unreachable(&error))?;
        let status = answer.status();
        let text = answer.text().await.map_err(|error| self.unreachable(&error))?;
        let body: Value = serde_json::from_str(&text).unwrap_or_default();
        if status.is_success() && !body.is_null() {
            return Ok(body);
        }
        let Some(detail) = body["detail"].as_str() else {
            return Err(format!("{} is no data-storage: it answered {status}", self.url).into());
        };
        let id = body["correlation_id"].as_str().unwrap_or_default();
        let hint = match status.as_u16() {
            401 if self.token.is_none() => "\nA token is needed: DATA_STORAGE_TOKEN or DATA_STORAGE_TOKEN_FILE",
            _ => "",
        };
        Err(format!("{detail} ({}, {id}){hint}", status.as_u16()).into())
    }

    fn unreachable(&self, error: &reqwest::Error) -> CommandError {
        let mut cause: &dyn std::error::Error = error;
        while let Some(source) = cause.source() {
            cause = source;
        }
        format!("{} does not answer: {cause}\nDATA_STORAGE_URL or --url names the service", self.url).into()
    }
}

fn append(whole: &mut Value, mut page: Value) {
    let more = page["data"].as_array_mut().map(std::mem::take).unwrap_or_default();
    if let Some(data) = whole["data"].as_array_mut() {
        data.extend(more);
    }
    whole["pagination"] = page["pagination"].take();
}

/// A command of this kind, to its end.
pub async fn run(command: &RemoteCommand) -> Result<(), CommandError> {
    match command {
        RemoteCommand::Incidents(command) => command.run().await,
        RemoteCommand::Audits(command) => command.run().await,
        RemoteCommand::Workflows(command) => command.run().await,
        RemoteCommand::Stats(options) => options.run().await,
        RemoteCommand::Import(options) => options.run().await,
    }
}

#[derive(Debug, clap::Subcommand)]
pub enum RemoteCommand {
    /// List, show and search incidents of a running service
    #[command(subcommand)]
    Incidents(IncidentsCommand),
    /// List and post audits
    #[command(subcommand)]
    Audits(AuditsCommand),
    /// List workflows, and show the steps of one
    #[command(subcommand)]
    Workflows(WorkflowsCommand),
    /// How often, and how well: success rates, or counts over time
    #[command(after_help = stats::EXAMPLES)]
    Stats(StatsOptions),
    /// Take over the tables of the Go service from a dump
    #[command(after_help = import::EXAMPLES)]
    Import(ImportOptions),
}

/// How many entries, and from where.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Pages")]
pub struct PageOptions {
    /// Most entries of a page
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
    /// Where to go on: the cursor of the page before
    #[arg(long, value_name = "CURSOR")]
    cursor: Option<String>,
    /// All pages
    #[arg(long)]
    all: bool,
}

impl PageOptions {
    fn query(&self) -> Query {
        let limit = if self.all { 1000 } else { self.limit };
        [("limit", limit.to_string())].into_iter().chain(self.cursor.clone().map(|cursor| ("cursor", cursor))).collect()
    }
}
