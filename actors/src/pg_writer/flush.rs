//! One transaction for many audits, in one round trip; in two where some audits have keys.

use super::attempts::Due;
use super::bury::bury;
use super::changed::Changed;
use super::fact_column::{FactColumn, stated_by};
use super::{Audit, PgWriterSettings, window_start};
use crate::db::columns::{Column, column};
use crate::db::connection::Connection;
use crate::db::template::sql_for_rows;
use crate::db::transaction::Transaction;
use crate::domain::attributes::Attributes;
use crate::domain::audit::Recognition;
use crate::domain::audit_id::AuditId;
use crate::domain::bucket::Bucket;
use crate::domain::facts::{identifying, stated};
use crate::domain::incident::{ExecutionFacts, IncidentFacts};
use crate::domain::remediation::{RemediationAudit, UNKNOWN};
use crate::domain::severity::{Priority, Severity};
use crate::domain::workflow::WorkflowAudit;
use crate::shards::{GUARD, LOCK, Shard, number};
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::join;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Error, Row, Statement};

/// What became of one audit of a flush that was committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Disposition {
    New,
    /// It repeats this audit.
    Replay(AuditId),
    KeyReused,
}

/// What came of a flush that was committed.
pub(super) struct Flushed {
    /// Of each audit, in their order.
    pub dispositions: Vec<Disposition>,
    /// How often an audit stated another value of an identifying fact than its incident had, in the order of these facts.
    pub conflicts: Vec<u64>,
    /// Incidents whose request went on after an attempt had ended.
    pub due: Due,
}

/// Writes the audits, no two of which are the same.
///
/// # Errors
/// PostgreSQL's first one; then nothing of the flush was written, unless the connection was lost in the COMMIT.
pub(super) async fn flush(
    tx: &mut Transaction<'_>,
    audits: &[&Audit],
    settings: &PgWriterSettings,
    now: DateTime<Utc>,
    direct: Option<&Direct<'_>>,
) -> Result<Flushed, Error> {
    let statements = Statements::prepare(tx, audits.len() == 1, direct).await?;
    let is_distributed = tx.is_distributed();
    Flush { client: tx.client(), statements, audits, settings, now, is_distributed, direct }.run(tx).await
}

macro_rules! statements {
    ($($name:ident = $file:literal),* $(,)?) => {
        struct Statements { $($name: Statement,)* }

        impl Statements {
            async fn prepare(
                connection: &mut Connection,
                is_one: bool,
                direct: Option<&Direct<'_>>,
            ) -> Result<Self, Error> {
                Ok(Statements {
                    $($name: match direct {
                        None => connection.prepare(sql_for_rows!($file, is_one)).await?,
                        Some(direct) => {
                            connection.prepare(&direct.shard.statement(sql_for_rows!($file, is_one))).await?
                        }
                    },)*
                })
            }
        }
    };
}

statements!(
    drop_claimed_keys = "drop_claimed_keys.sql",
    claim_keys = "claim_keys.sql",
    read_keys = "read_keys.sql",
    insert_remediation_audits = "insert_remediation_audits.sql",
    insert_workflow_audits = "insert_workflow_audits.sql",
    bury_stale = "bury_stale.sql",
    insert_incident_ids = "insert_incident_ids.sql",
    upsert_incidents = "upsert_incidents.sql",
    link_workflows = "link_workflows.sql",
    insert_outbox = "../outbox/insert.sql",
);

/// A flush of one shard, on the node that has it.
pub(super) struct Direct<'a> {
    pub shard: &'a Shard,
    /// For the incidents that it may open: one for each audit.
    pub numbers: Vec<i64>,
}

struct Flush<'a> {
    client: Arc<Client>,
    statements: Statements,
    audits: &'a [&'a Audit],
    settings: &'a PgWriterSettings,
    now: DateTime<Utc>,
    is_distributed: bool,
    direct: Option<&'a Direct<'a>>,
}

impl Flush<'_> {
    async fn run(&self, tx: &mut Transaction<'_>) -> Result<Flushed, Error> {
        let mut dispositions = vec![Disposition::New; self.audits.len()];
        if self.audits.iter().any(|audit| audit.envelope().recognition.key().is_some()) {
            self.keys(&mut dispositions).await?;
        }
        let audits = self.new_audits(&dispositions);
        if self.is_distributed
            && let Some(kept_from) = self.settings.window.kept_from(self.now)
        {
            let requests: BTreeSet<(i32, &str)> =
                audits.0.iter().map(|audit| (audit.envelope.bucket().get(), &*audit.remediation_request_id)).collect();
            let (buckets, requests): (Vec<i32>, Vec<&str>) = requests.into_iter().unzip();
            bury(tx, &buckets, &requests, kept_from).await?;
        }
        // All of it and the COMMIT are sent at once, but where the tables are distributed. What a replay brings changes nothing, so that nothing
        // waits to know which these are.
        let guards = match self.direct {
            Some(direct) => Some((direct.shard, [tx.prepare(LOCK).await?, tx.prepare(GUARD).await?])),
            None => None,
        };
        let guard = async {
            match &guards {
                Some((shard, statements)) => self.guard(statements, shard).await,
                None => Ok(()),
            }
        };
        let written = async {
            let (guarded, ids, remediations, workflows, incidents, links, outbox) = join!(
                guard,
                self.incident_ids(&audits.0),
                self.remediations(&audits.0),
                self.workflows(&audits.1),
                self.incidents(&audits.0),
                self.links(&audits.1),
                self.outbox(&audits.0)
            );
            // The first error in the order of the statements: those behind it only tell that the transaction is over.
            guarded?;
            ids?;
            let (remediations, workflows, changed) = (remediations?, workflows?, incidents?);
            links.and(outbox).map(|()| (remediations, workflows, changed))
        };
        let (remediations, workflows, (conflicts, due, changed)) = match self.is_distributed {
            false => tx.last(written).await?,
            true => written.await?,
        };
        changed.note(tx).await?;
        let inserted: HashSet<&str> = remediations.iter().chain(&workflows).map(|row| row.get(0)).collect();
        for (disposition, audit) in dispositions.iter_mut().zip(self.audits) {
            let id = audit.envelope().id;
            if *disposition == Disposition::New && !inserted.contains(id.to_string().as_str()) {
                *disposition = Disposition::Replay(id);
            }
        }
        Ok(Flushed { dispositions, conflicts, due })
    }

    /// Sees to it that the shard stays where it is, and is there.
    async fn guard(&self, [lock, guard]: &[Statement; 2], shard: &Shard) -> Result<(), Error> {
        let ids: [&(dyn ToSql + Sync); 1] = [&shard.ids];
        let (locked, guarded) = join!(self.client.query(lock, &ids), self.client.query(guard, &ids));
        locked.and(guarded).map(|_| ())
    }

    /// The audits that are not known to be replays.
    fn new_audits(&self, dispositions: &[Disposition]) -> (Vec<&RemediationAudit>, Vec<&WorkflowAudit>) {
        let (mut remediations, mut workflows) = (Vec::new(), Vec::new());
        for (audit, disposition) in self.audits.iter().zip(dispositions) {
            match audit {
                _ if *disposition != Disposition::New => {}
                Audit::Remediation(audit) => remediations.push(&**audit),
                Audit::Workflow(audit) => workflows.push(&**audit),
            }
        }
        (remediations, workflows)
    }

    /// Claims the keys, and finds out which are held by other audits.
    async fn keys(&self, dispositions: &mut [Disposition]) -> Result<(), Error> {
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
        let until = window_start(self.now, self.settings.replay_window);
        let claim: [&(dyn ToSql + Sync); 7] = [&buckets, &keys, &windowed, &contents, &ids, &received, &until];
        let read: [&(dyn ToSql + Sync); 2] = [&buckets, &keys];
        let over: [&(dyn ToSql + Sync); 3] = [&buckets, &keys, &until];
        let drop_claimed = async {
            match self.is_distributed {
                true => self.client.execute(&self.statements.drop_claimed_keys, &over).await.map(|_| ()),
                false => Ok(()),
            }
        };
        let (dropped, claimed, read) = join!(
            drop_claimed,
            self.client.execute(&self.statements.claim_keys, &claim),
            self.client.query(&self.statements.read_keys, &read),
        );
        dropped.and(claimed)?;
        let read = read?;
        let holders: HashMap<&[u8], &Row> = read.iter().map(|row| (row.get("key"), row)).collect();
        for (audit, disposition) in self.audits.iter().zip(dispositions) {
            let envelope = audit.envelope();
            let Some(holder) = envelope.recognition.key().and_then(|key| holders.get(&key[..])) else {
                continue;
            };
            let held_by: Option<AuditId> = holder.get::<_, &str>("audit_id").parse().ok();
            *disposition = match held_by {
                Some(id) if id == envelope.id => Disposition::New,
                Some(id) if holder.get::<_, &[u8]>("content") == envelope.content => Disposition::Replay(id),
                _ => Disposition::KeyReused,
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
                &column(audits, |a| list(&a.truncated)),
                &column(audits, |a| a.envelope.trace_id.as_deref()),
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
                &column(audits, |a| list(&a.truncated)),
                &column(audits, |a| a.envelope.trace_id.as_deref()),
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
        let buckets = Column(first.keys().map(|(bucket, _)| *bucket).collect());
        let names = Column(first.keys().map(|(_, name)| *name).collect());
        let times = Column(first.into_values().collect());
        let mut params: Vec<&(dyn ToSql + Sync)> = vec![&buckets, &names, &times];
        params.extend(self.direct.map(|direct| &direct.numbers as &(dyn ToSql + Sync)));
        let (buried, opened) = join!(
            self.bury_stale(&buckets, &names),
            self.client.execute(&self.statements.insert_incident_ids, &params),
        );
        buried?;
        opened.map(|_| ())
    }

    /// Takes away incidents that are older than what is kept, so that their requests open new ones.
    async fn bury_stale(&self, buckets: &Column<i32>, names: &Column<&str>) -> Result<(), Error> {
        let kept_from = self.settings.window.kept_from(self.now).filter(|_| !self.is_distributed);
        let Some(kept_from) = kept_from else { return Ok(()) };
        let number = number();
        let mut params: Vec<&(dyn ToSql + Sync)> = vec![buckets, names, &kept_from];
        params.extend(self.direct.map(|_| &number as &(dyn ToSql + Sync)));
        self.client.execute(&self.statements.bury_stale, &params).await.map(|_| ())
    }

    /// Says how often an identifying fact was in conflict, and whose attempts are due.
    async fn incidents(&self, audits: &[&RemediationAudit]) -> Result<(Vec<u64>, Due, Changed), Error> {
        let mut incidents: BTreeMap<&str, IncidentFacts<'_>> = BTreeMap::new();
        let mut conflicts = vec![0; identifying().count()];
        for audit in audits {
            let facts = IncidentFacts::of(audit);
            match incidents.get_mut(audit.remediation_request_id.as_str()) {
                Some(held) => {
                    for (count, fact) in conflicts.iter_mut().zip(identifying()) {
                        *count += u64::from(held.contradicts(&facts, fact));
                    }
                    held.merge(facts);
                }
                None => {
                    incidents.insert(&audit.remediation_request_id, facts);
                }
            }
        }
        if incidents.is_empty() {
            return Ok((conflicts, Due::default(), Changed::default()));
        }
        let rows: Vec<&IncidentFacts<'_>> = incidents.values().collect();
        let buckets = column(&rows, |i| i.bucket.get());
        let requests = column(&rows, |i| i.remediation_request_id);
        let mut params: Vec<&(dyn ToSql + Sync)> = vec![&buckets, &requests];
        let facts: Vec<FactColumn<'_>> =
            stated().enumerate().map(|(at, fact)| FactColumn::of(&rows, at, fact.kind)).collect();
        params.extend(facts.iter().flat_map(FactColumn::params));
        let execution = column(&rows, |i| i.execution.map(|execution| execution.value));
        let execution: Vec<&Option<ExecutionFacts<'_>>> = execution.0.iter().collect();
        let statuses = column(&execution, |e| e.map(|e| e.status.as_str()));
        let starts = column(&execution, |e| e.and_then(|e| e.start_time));
        let ends = column(&execution, |e| e.and_then(|e| e.end_time));
        let durations = column(&execution, |e| e.and_then(|e| e.duration_ms));
        let errors = column(&execution, |e| e.and_then(|e| e.error_message));
        let by = column(&rows, |i| stated_by(i.execution));
        let received = column(&rows, |i| i.received_at);
        let last_audits = column(&rows, |i| i.last_audit_at);
        let attempts = column(&rows, |i| i.attempts_due());
        let last: [&(dyn ToSql + Sync); 9] =
            [&statuses, &starts, &ends, &durations, &errors, &by, &received, &last_audits, &attempts];
        params.extend(last);
        let number = number();
        params.extend(self.direct.map(|_| &number as &(dyn ToSql + Sync)));
        if self.is_distributed {
            let changed = Changed(self.client.query(&self.statements.upsert_incidents, &params).await?);
            for (count, more) in conflicts.iter_mut().zip(changed.conflicts()) {
                *count += more;
            }
            let due = changed.due();
            return Ok((conflicts, due, changed));
        }
        let row = self.client.query_one(&self.statements.upsert_incidents, &params).await?;
        for (count, fact) in conflicts.iter_mut().zip(identifying()) {
            *count += row.get::<_, i64>(fact.column).unsigned_abs();
        }
        let buckets: Option<Vec<i32>> = row.get("due_buckets");
        let requests: Option<Vec<String>> = row.get("due");
        let due = Due { buckets: buckets.unwrap_or_default(), requests: requests.unwrap_or_default() };
        Ok((conflicts, due, Changed::default()))
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
        let buckets = Column(links.iter().map(|link| link.0).collect());
        let requests = Column(links.iter().map(|link| link.1).collect());
        let workflows = Column(links.iter().map(|link| link.2).collect());
        self.query(&self.statements.link_workflows, &[&buckets, &requests, &workflows]).await.map(|_| ())
    }

    /// Also an audit without text may change the facts that searches filter by.
    async fn outbox(&self, audits: &[&RemediationAudit]) -> Result<(), Error> {
        let Some(claim) = self.settings.embedding_claim.filter(|_| !audits.is_empty()) else { return Ok(()) };
        let claimed_until: DateTime<Utc> = self.now + TimeDelta::from_std(claim).unwrap_or(TimeDelta::zero());
        self.query(
            &self.statements.insert_outbox,
            &[
                &column(audits, |a| a.envelope.bucket().get()),
                &column(audits, |a| a.envelope.id.to_string()),
                &column(audits, |a| a.envelope.received_at),
                &column(audits, |_| claimed_until),
            ],
        )
        .await
        .map(|_| ())
    }
}

/// A list with commas; `None` where there is nothing in it.
fn list(names: &[&str]) -> Option<String> {
    (!names.is_empty()).then(|| names.join(","))
}
