//! One transaction for many audits, in two or three round trips: statements that do not need each other's answers are
//! sent together.

use super::columns::column;
use super::{Audit, PgWriterSettings, window_start};
use crate::db::pool::Connection;
use crate::db::sqlstate::{self, Fault};
use crate::domain::attributes::Attributes;
use crate::domain::audit::Recognition;
use crate::domain::audit_id::AuditId;
use crate::domain::bucket::Bucket;
use crate::domain::incident::{Fact, IncidentFacts};
use crate::domain::remediation::{RemediationAudit, UNKNOWN};
use crate::domain::severity::{Priority, Severity};
use crate::domain::workflow::WorkflowAudit;
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::join;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Error, Row, Statement};
use uuid::Uuid;

/// What became of one audit of a flush that was committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    New,
    /// It repeats this audit.
    Replay(AuditId),
    KeyReused,
}

/// How long the process that writes an audit has for its vector before others may make up for it.
pub(super) const CLAIM: TimeDelta = TimeDelta::seconds(10);

/// Writes the audits, no two of which are the same, and says of each in order what became of it.
///
/// # Errors
/// PostgreSQL's first one; then nothing of the flush was written, unless the connection was lost in the COMMIT.
pub(super) async fn flush(
    connection: &mut Connection,
    audits: &[&Audit],
    settings: &PgWriterSettings,
    now: DateTime<Utc>,
) -> Result<Vec<Outcome>, Error> {
    let statements = Statements::prepare(connection).await?;
    connection.in_transaction = true;
    let flush = Flush { client: &connection.client, statements, audits, settings, now };
    let result = flush.run().await;
    let ended = match &result {
        Ok(_) => true,
        // Also a connection to a server that has become a standby is of no use.
        Err(error) if sqlstate::fault(error) == Fault::Unavailable => false,
        Err(_) => connection.client.batch_execute("ROLLBACK").await.is_ok(),
    };
    connection.in_transaction = !ended;
    result
}

macro_rules! statements {
    ($($name:ident),*) => {
        struct Statements { $($name: Statement,)* }

        impl Statements {
            async fn prepare(connection: &mut Connection) -> Result<Self, Error> {
                Ok(Statements { $($name: connection.prepare(include_str!(concat!(stringify!($name), ".sql"))).await?,)* })
            }
        }
    };
}

statements!(
    claim_keys,
    read_keys,
    insert_remediation_audits,
    insert_workflow_audits,
    insert_incident_ids,
    upsert_incidents,
    link_workflows,
    insert_outbox
);

struct Flush<'a> {
    client: &'a Client,
    statements: Statements,
    audits: &'a [&'a Audit],
    settings: &'a PgWriterSettings,
    now: DateTime<Utc>,
}

impl Flush<'_> {
    async fn run(&self) -> Result<Vec<Outcome>, Error> {
        let mut outcomes = vec![Outcome::New; self.audits.len()];
        let keyed = self.audits.iter().any(|audit| audit.envelope().recognition.key().is_some());
        if keyed {
            self.keys(&mut outcomes).await?;
        }
        let new = self.new_audits(&outcomes);
        // The transaction begins with the keys, or here.
        let (begun, ids, remediations, workflows) =
            join!(self.begin(!keyed), self.incident_ids(&new.0), self.remediations(&new.0), self.workflows(&new.1));
        begun?;
        ids?;
        let inserted: HashSet<String> = remediations?.iter().chain(workflows?.iter()).map(|row| row.get(0)).collect();
        for (outcome, audit) in outcomes.iter_mut().zip(self.audits) {
            let id = audit.envelope().id;
            if *outcome == Outcome::New && !inserted.contains(&id.to_string()) {
                *outcome = Outcome::Replay(id);
            }
        }
        let new = self.new_audits(&outcomes);
        let (incidents, links, outbox, committed) = join!(
            self.incidents(&new.0),
            self.links(&new.1),
            self.outbox(&new.0),
            // After an error PostgreSQL answers COMMIT with success and rolls back: each result counts.
            self.client.batch_execute("COMMIT"),
        );
        incidents?;
        links?;
        outbox?;
        committed?;
        Ok(outcomes)
    }

    async fn begin(&self, needed: bool) -> Result<(), Error> {
        if needed { self.client.batch_execute("BEGIN").await } else { Ok(()) }
    }

    /// The audits that are not known to be replays.
    fn new_audits(&self, outcomes: &[Outcome]) -> (Vec<&RemediationAudit>, Vec<&WorkflowAudit>) {
        let (mut remediations, mut workflows) = (Vec::new(), Vec::new());
        for (audit, outcome) in self.audits.iter().zip(outcomes) {
            match audit {
                _ if *outcome != Outcome::New => {}
                Audit::Remediation(audit) => remediations.push(&**audit),
                Audit::Workflow(audit) => workflows.push(&**audit),
            }
        }
        (remediations, workflows)
    }

    /// Claims the keys, and finds out which are held by other audits.
    async fn keys(&self, outcomes: &mut [Outcome]) -> Result<(), Error> {
        struct KeyRow<'a> {
            bucket: i32,
            key: &'a [u8],
            windowed: bool,
            content: &'a [u8],
            id: String,
            received_at: DateTime<Utc>,
        }
        let rows: Vec<KeyRow<'_>> = self
            .audits
            .iter()
            .map(|audit| audit.envelope())
            .filter_map(|envelope| {
                let key = envelope.recognition.key()?;
                Some(KeyRow {
                    bucket: Bucket::of_digest(key).get(),
                    key,
                    windowed: matches!(envelope.recognition, Recognition::Window(_)),
                    content: &envelope.content,
                    id: envelope.id.to_string(),
                    received_at: envelope.received_at,
                })
            })
            .collect();
        let rows: Vec<&KeyRow<'_>> = rows.iter().collect();
        let buckets = column(&rows, |row| row.bucket);
        let keys = column(&rows, |row| row.key);
        let windowed = column(&rows, |row| row.windowed);
        let contents = column(&rows, |row| row.content);
        let ids = column(&rows, |row| row.id.as_str());
        let received = column(&rows, |row| row.received_at);
        let over = window_start(self.now, self.settings.replay_window);
        let claim: [&(dyn ToSql + Sync); 7] = [&buckets, &keys, &windowed, &contents, &ids, &received, &over];
        let read: [&(dyn ToSql + Sync); 2] = [&buckets, &keys];
        let (begun, claimed, read) = join!(
            self.client.batch_execute("BEGIN"),
            self.client.execute(&self.statements.claim_keys, &claim),
            self.client.query(&self.statements.read_keys, &read),
        );
        begun?;
        claimed?;
        let read = read?;
        let holders: HashMap<&[u8], &Row> = read.iter().map(|row| (row.get("key"), row)).collect();
        for (audit, outcome) in self.audits.iter().zip(outcomes) {
            let envelope = audit.envelope();
            let Some(holder) = envelope.recognition.key().and_then(|key| holders.get(&key[..])) else {
                continue;
            };
            let held_by: Option<AuditId> = holder.get::<_, &str>("audit_id").parse().ok();
            *outcome = match held_by {
                Some(id) if id == envelope.id => Outcome::New,
                Some(id) if holder.get::<_, &[u8]>("content") == envelope.content => Outcome::Replay(id),
                _ => Outcome::KeyReused,
            };
        }
        Ok(())
    }

    async fn query(&self, statement: &Statement, params: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, Error> {
        self.client.query(statement, params).await
    }

    async fn remediations(&self, audits: &[&RemediationAudit]) -> Result<Vec<Row>, Error> {
        if audits.is_empty() {
            return Ok(Vec::new());
        }

        self.query(
            &self.statements.insert_remediation_audits,
            &[
                &column(audits, |a| a.envelope.bucket().get()),
                &column(audits, |a| a.envelope.id.to_string()),
                &column(audits, |a| a.remediation_request_id.as_str()),
                &column(audits, |a| a.alert_name.as_deref().unwrap_or(UNKNOWN)),
                &column(audits, |a| a.namespace.as_deref().unwrap_or(UNKNOWN)),
                &column(audits, |a| a.cluster.as_deref().unwrap_or(UNKNOWN)),
                &column(audits, |a| a.priority.map(Priority::as_str)),
                &column(audits, |a| a.severity.map(Severity::as_str)),
                &column(audits, |a| a.action_type.as_deref()),
                &column(audits, |a| a.target_resource.as_deref()),
                &column(audits, |a| a.status.as_str()),
                &column(audits, |a| a.confidence),
                &column(audits, |a| a.model_used.as_deref()),
                &column(audits, |a| a.alert_fingerprint.as_deref()),
                &column(audits, |a| a.environment.as_deref()),
                &column(audits, |a| a.reasoning.as_deref()),
                &column(audits, |a| a.duration_ms),
                &column(audits, |a| a.error_message.as_deref()),
                &column(audits, |a| a.executed_at),
                &column(audits, |a| a.created_at),
                &column(audits, |a| a.envelope.received_at),
                &column(audits, |a| &*a.envelope.writer),
                &column(audits, |a| a.assumed()),
                &column(audits, |a| a.attributes.as_ref().map(Attributes::as_str)),
            ],
        )
        .await
    }

    async fn workflows(&self, audits: &[&WorkflowAudit]) -> Result<Vec<Row>, Error> {
        if audits.is_empty() {
            return Ok(Vec::new());
        }
        self.query(
            &self.statements.insert_workflow_audits,
            &[
                &column(audits, |a| a.envelope.bucket().get()),
                &column(audits, |a| a.envelope.id.to_string()),
                &column(audits, |a| a.workflow_id.as_str()),
                &column(audits, |a| a.step_name.as_str()),
                &column(audits, |a| a.step_status.as_str()),
                &column(audits, |a| a.duration_ms),
                &column(audits, |a| a.error_message.as_deref()),
                &column(audits, |a| a.executed_at),
                &column(audits, |a| a.remediation_request_id.as_deref()),
                &column(audits, |a| a.envelope.received_at),
                &column(audits, |a| &*a.envelope.writer),
                &column(audits, |a| a.attributes.as_ref().map(Attributes::as_str)),
            ],
        )
        .await
    }

    async fn incident_ids(&self, audits: &[&RemediationAudit]) -> Result<(), Error> {
        if audits.is_empty() {
            return Ok(());
        }
        // The audit that came first gives the incident its time.
        let mut first: BTreeMap<(i32, &str), DateTime<Utc>> = BTreeMap::new();
        for audit in audits {
            first.entry((audit.envelope.bucket().get(), &audit.remediation_request_id)).or_insert(audit.created_at);
        }
        let buckets: Vec<i32> = first.keys().map(|(bucket, _)| *bucket).collect();
        let names: Vec<&str> = first.keys().map(|(_, name)| *name).collect();
        let times: Vec<DateTime<Utc>> = first.into_values().collect();
        self.query(&self.statements.insert_incident_ids, &[&buckets, &names, &times, &self.kept_from()])
            .await
            .map(|_| ())
    }

    /// Incidents from before then are as good as gone.
    fn kept_from(&self) -> DateTime<Utc> {
        self.settings.window.kept_from(self.now).unwrap_or(DateTime::UNIX_EPOCH)
    }

    async fn incidents(&self, audits: &[&RemediationAudit]) -> Result<(), Error> {
        let mut incidents: BTreeMap<&str, IncidentFacts<'_>> = BTreeMap::new();
        for audit in audits {
            let facts = IncidentFacts::of(audit);
            match incidents.get_mut(audit.remediation_request_id.as_str()) {
                Some(held) => held.merge(facts),
                None => {
                    incidents.insert(&audit.remediation_request_id, facts);
                }
            }
        }
        if incidents.is_empty() {
            return Ok(());
        }
        let rows: Vec<&IncidentFacts<'_>> = incidents.values().collect();
        self.query(
            &self.statements.upsert_incidents,
            &[
                &column(&rows, |i| i.bucket.get()),
                &column(&rows, |i| i.remediation_request_id),
                &column(&rows, |i| value(i.alert_name)),
                &column(&rows, |i| stated_by(i.alert_name)),
                &column(&rows, |i| value(i.severity).map(Severity::as_str)),
                &column(&rows, |i| stated_by(i.severity)),
                &column(&rows, |i| value(i.action_type)),
                &column(&rows, |i| stated_by(i.action_type)),
                &column(&rows, |i| value(i.namespace)),
                &column(&rows, |i| stated_by(i.namespace)),
                &column(&rows, |i| value(i.cluster)),
                &column(&rows, |i| stated_by(i.cluster)),
                &column(&rows, |i| value(i.environment)),
                &column(&rows, |i| stated_by(i.environment)),
                &column(&rows, |i| value(i.alert_fingerprint)),
                &column(&rows, |i| stated_by(i.alert_fingerprint)),
                &column(&rows, |i| value(i.target_resource)),
                &column(&rows, |i| stated_by(i.target_resource)),
                &column(&rows, |i| value(i.model_used)),
                &column(&rows, |i| stated_by(i.model_used)),
                &column(&rows, |i| value(i.confidence)),
                &column(&rows, |i| stated_by(i.confidence)),
                &column(&rows, |i| value(i.outcome).map(|o| o.status.as_str())),
                &column(&rows, |i| value(i.outcome).and_then(|o| o.start_time)),
                &column(&rows, |i| value(i.outcome).and_then(|o| o.end_time)),
                &column(&rows, |i| value(i.outcome).and_then(|o| o.duration_ms)),
                &column(&rows, |i| value(i.outcome).and_then(|o| o.error_message)),
                &column(&rows, |i| stated_by(i.outcome)),
                &column(&rows, |i| i.received_at),
            ],
        )
        .await
        .map(|_| ())
    }

    async fn links(&self, audits: &[&WorkflowAudit]) -> Result<(), Error> {
        let links: BTreeSet<(i32, &str, &str)> = audits
            .iter()
            .filter_map(|audit| {
                let request = audit.remediation_request_id.as_deref()?;
                Some((Bucket::of(request).get(), request, audit.workflow_id.as_str()))
            })
            .collect();
        if links.is_empty() {
            return Ok(());
        }
        let buckets: Vec<i32> = links.iter().map(|link| link.0).collect();
        let requests: Vec<&str> = links.iter().map(|link| link.1).collect();
        let workflows: Vec<&str> = links.iter().map(|link| link.2).collect();
        self.query(&self.statements.link_workflows, &[&buckets, &requests, &workflows]).await.map(|_| ())
    }

    /// Also an audit without text may change the facts that searches filter by.
    async fn outbox(&self, audits: &[&RemediationAudit]) -> Result<(), Error> {
        if !self.settings.embed || audits.is_empty() {
            return Ok(());
        }
        self.query(
            &self.statements.insert_outbox,
            &[
                &column(audits, |a| a.envelope.bucket().get()),
                &column(audits, |a| a.envelope.id.to_string()),
                &column(audits, |a| a.envelope.received_at),
                &column(audits, |_| self.now + CLAIM),
            ],
        )
        .await
        .map(|_| ())
    }
}

fn value<T>(fact: Option<Fact<T>>) -> Option<T> {
    fact.map(|fact| fact.value)
}

fn stated_by<T>(fact: Option<Fact<T>>) -> Option<Uuid> {
    fact.map(|fact| fact.by.uuid())
}
