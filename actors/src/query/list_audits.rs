use super::QueryActor;
use super::rows::{AuditRecord, REMEDIATION_COLUMNS, WORKFLOW_COLUMNS};
use crate::db::connection::Connection;
use crate::db::statement::{ComposedStatement, SqlValue, where_all};
use crate::domain::audit_filter::{AuditFilter, AuditKind};
use crate::domain::bucket::Bucket;
use crate::domain::walk::WalkCursor;
use crate::error::ActorError;
use actix::prelude::*;
use chrono::{DateTime, Utc};
use futures_util::join;
use tokio_postgres::{Error, Row};

/// Asks for audits of both kinds: who wrote what, and when.
#[derive(Message)]
#[rtype(result = "Result<Audits, ActorError>")]
pub struct ListAudits {
    pub filter: AuditFilter,
    /// 1–1000; the newest first, by their own time.
    pub limit: i64,
    /// Time and id of the audit behind which they begin.
    pub after: Option<(DateTime<Utc>, String)>,
}

#[derive(Debug)]
pub struct Audits {
    pub audits: Vec<AuditRecord>,
    /// Set where there is more.
    pub next: Option<WalkCursor>,
}

impl Handler<ListAudits> for QueryActor {
    type Result = ResponseFuture<Result<Audits, ActorError>>;

    fn handle(&mut self, message: ListAudits, _: &mut Self::Context) -> Self::Result {
        self.read("query.list_audits", async move |connection| list(connection, &message).await)
    }
}

/// A part of one kind, in order; whether more of the kind follows.
struct Part {
    audits: Vec<((DateTime<Utc>, String), AuditRecord)>,
    has_more: bool,
}

async fn list(connection: &mut Connection, message: &ListAudits) -> Result<Audits, Error> {
    let (remediations, workflows) =
        (statement(message, AuditKind::Remediation), statement(message, AuditKind::Workflow));
    let first = connection.prepare(&remediations.sql).await?;
    let second = connection.prepare(&workflows.sql).await?;
    let client = connection.client();
    let (first_params, second_params) = (remediations.params(), workflows.params());
    let rows = async |asked: bool, statement, params: &[_]| match asked {
        true => client.query(statement, params).await,
        false => Ok(Vec::new()),
    };
    let filter = &message.filter;
    let asks_for = |kind| filter.kind.is_none_or(|asked| asked == kind);
    let of_a_place = filter.namespace.is_some() || filter.cluster.is_some();
    let (remediations, workflows) = join!(
        rows(asks_for(AuditKind::Remediation), &first, &first_params),
        rows(asks_for(AuditKind::Workflow) && !of_a_place, &second, &second_params),
    );
    let parts = [part(&remediations?, AuditRecord::remediation), part(&workflows?, AuditRecord::workflow)];
    // Behind the last audit of a part that goes on, audits of the other kind are not next.
    let end = parts.iter().filter(|part| part.has_more).filter_map(|part| part.audits.last());
    let end = end.map(|(place, _)| place.clone()).max();
    let mut audits: Vec<_> = parts.into_iter().flat_map(|part| part.audits).collect();
    audits.sort_by(|(a, _), (b, _)| b.cmp(a));
    let all = audits.len();
    audits.retain(|(place, _)| end.as_ref().is_none_or(|end| place >= end));
    audits.truncate(usize::try_from(message.limit).unwrap_or(usize::MAX));
    let more = end.is_some() || audits.len() < all;
    let next = audits.last().filter(|_| more).map(|((time, id), _)| WalkCursor::at(*time, id));
    Ok(Audits { audits: audits.into_iter().map(|(_, audit)| audit).collect(), next })
}

fn part(rows: &[Row], record: fn(&Row) -> AuditRecord) -> Part {
    let audit = |row| ((Row::get(row, "own_time"), Row::get(row, "id")), record(row));
    let found: i64 = rows.first().map_or(0, |row| row.get("found"));
    Part {
        audits: rows.iter().map(audit).collect(),
        has_more: usize::try_from(found).is_ok_and(|found| found > rows.len()),
    }
}

/// The newest of one kind, one more than asked for; as many as fit into 16 MiB of text, but for the first.
fn statement(message: &ListAudits, kind: AuditKind) -> ComposedStatement<'_> {
    let (table, columns, time, texts) = match kind {
        AuditKind::Remediation => (
            "remediation_audit",
            REMEDIATION_COLUMNS,
            "created_at",
            &["reasoning", "error_message", "attributes::text"][..],
        ),
        AuditKind::Workflow => {
            ("workflow_audit", WORKFLOW_COLUMNS, "executed_at", &["error_message", "attributes::text"][..])
        }
    };
    let filter = &message.filter;
    let mut values = vec![SqlValue::Number(message.limit + 1)];
    let mut clauses = Vec::new();
    let texts_of = [("writer", &filter.writer), ("namespace", &filter.namespace), ("cluster", &filter.cluster)];
    let of_a_place = |column: &str| column != "writer";
    for (column, value) in
        texts_of.into_iter().filter(|(column, _)| kind == AuditKind::Remediation || !of_a_place(column))
    {
        if let Some(value) = value {
            values.push(SqlValue::Text(value));
            clauses.push(format!("s.{column} = ${}", values.len()));
            if of_a_place(column) {
                // What an audit does not state is stored as `unknown`.
                clauses.push(format!("('{column}' = ANY (s.assumed)) IS NOT TRUE"));
            }
        }
    }
    if let Some(request) = filter.remediation_request_id.as_deref() {
        values.push(SqlValue::Text(request));
        clauses.push(format!("s.remediation_request_id = ${}", values.len()));
        if kind == AuditKind::Remediation {
            values.push(SqlValue::Bucket(Bucket::of(request).get()));
            clauses.push(format!("s.bucket = ${}", values.len()));
        }
    }
    for (column, comparison, bound) in [
        (time, ">=", filter.since),
        (time, "<", filter.until),
        ("received_at", ">=", filter.received_since),
        ("received_at", "<", filter.received_until),
    ] {
        if let Some(bound) = bound {
            values.push(SqlValue::Time(bound.at));
            clauses.push(format!("s.{column} {comparison} ${}", values.len()));
        }
    }
    if let Some((at, id)) = &message.after {
        values.push(SqlValue::Time(*at));
        values.push(SqlValue::Text(id));
        clauses.push(format!("(s.{time}, s.id) < (${}, ${} COLLATE \"C\")", values.len() - 1, values.len()));
    }
    let bytes: Vec<String> = texts.iter().map(|text| format!("COALESCE(octet_length(n.{text}), 0)")).collect();
    let (conditions, bytes) = (where_all(&clauses), bytes.join(" + "));
    let sql = format!(
        "-- query.list_audits
SELECT {columns}, a.{time} AS own_time, a.found
FROM (
    SELECT n.*, count(*) OVER () AS found, row_number() OVER newest AS place, sum({bytes}) OVER newest AS bytes
    FROM (
        SELECT s.* FROM {table} AS s{conditions}
        ORDER BY s.{time} DESC, s.id DESC
        LIMIT $1
    ) AS n
    WINDOW newest AS (ORDER BY n.{time} DESC, n.id DESC)
) AS a
WHERE a.place = 1 OR (a.place < $1 AND a.bytes <= 16777216)
ORDER BY a.{time} DESC, a.id DESC"
    );
    ComposedStatement { sql, values }
}
