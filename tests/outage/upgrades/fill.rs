//! Rows as the programs of older schemas wrote them. Each constant adds what its version added, and is never changed: a database in the
//! field has such rows.

use crate::support::{Database, citus};
use chrono::{DateTime, Datelike, Months, TimeDelta, Utc};
use data_storage_actors::domain::audit_id::AuditId;
use data_storage_actors::domain::audit_text::AuditText;
use data_storage_actors::domain::bucket::Bucket;
use data_storage_actors::embedder::{Builtin, Embedding};
use std::collections::BTreeMap;
use tokio_postgres::Client;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

/// Incidents `rr-old-0` …, two hours apart. One more, [`TIMED_REQUEST`], bears a fixed time.
pub const INCIDENTS: i64 = 300;
/// Of those, the first ones have their vectors; the next 50 wait in the outbox; the others were posted with `EMBEDDER=off`.
pub const EMBEDDED: i64 = 200;

/// Alert and analysis of an incident, by its number modulo 3; the last text is the error of an execution that failed.
pub const TEXTS: [(Option<&str>, &str); 4] = [
    (
        Some("KubePodOOMKilled"),
        "The pods of the checkout deployment were OOMKilled: the memory limit is too low, add a replica",
    ),
    (Some("IngressCertificateExpiring"), "The ingress certificate expires in two days: renew it with the issuer"),
    (Some("KubeNodeDiskFull"), "The node has no space left on its disk: delete old images and logs"),
    (None, "the rollout did not become ready before its deadline"),
];

/// A body that bears its time, and the id that every version gives it.
pub const TIMED_REQUEST: &str = "rr-old-timed";
pub const TIMED: &str = r#"{"remediationRequestID":"rr-old-timed","alertName":"Timed","namespace":"shop","cluster":"c-1","priority":"P1","createdAt":"2026-11-01T00:00:00Z"}"#;
pub const TIMED_ID: Uuid = Uuid::from_u128(0x32f9_5daf_1200_8006_88d2_67a6_99d9_f036);
/// A body that came with an `Idempotency-Key`: a repeat is answered with the audit that opened `rr-old-0`.
pub const KEY: &str = "key-of-version-1";
pub const KEYED: &str = r#"{"remediationRequestID":"rr-old-0","alertName":"KubePodOOMKilled","namespace":"shop","cluster":"c-1","priority":"P1"}"#;

/// What the statements below take their rows from.
const SOURCES: &str = "
CREATE TEMP TABLE old (
    n int, request text, bucket int, incident bigint, at timestamptz, opened_by uuid, reported_by uuid, alert text, namespace text,
    reasoning text, workflow text, workflow_bucket int, step_one uuid, step_two uuid);
CREATE TEMP TABLE texts (kind int, pattern uuid, bucket int, embedding text, terms text[], weights real[]);
CREATE TEMP TABLE terms (bucket int, term text, patterns bigint);
-- Which audit of which incident has which text.
CREATE TEMP VIEW told AS
    SELECT o.*, o.opened_by AS audit, t.kind, t.pattern, t.embedding FROM old AS o JOIN texts AS t ON t.kind = o.n % 3
    WHERE o.n < 200
    UNION ALL
    SELECT o.*, o.reported_by, t.kind, t.pattern, t.embedding FROM old AS o JOIN texts AS t ON t.kind = 3
    WHERE o.n < 200 AND o.n % 3 = 1;
";

const AUDIT_1: &str = "
INSERT INTO remediation_audit (
    bucket, id, remediation_request_id, alert_name, namespace, cluster, priority, status, reasoning, created_at, received_at, writer,
    assumed)
SELECT bucket, 'audit-' || opened_by, request, alert, namespace, 'c-1', 'P1', 'pending', reasoning, at, at + interval '1 s',
    'system:serviceaccount:kubernaut-system:gateway-sa', '{status}'
FROM old;
INSERT INTO remediation_audit (
    bucket, id, remediation_request_id, alert_name, namespace, cluster, action_type, status, duration_ms, error_message, executed_at,
    created_at, received_at, writer, assumed)
SELECT bucket, 'audit-' || reported_by, request, 'unknown', 'unknown', 'unknown', 'restart',
    CASE n % 3 WHEN 0 THEN 'completed' ELSE 'failed' END, 1500,
    CASE n % 3 WHEN 1 THEN 'the rollout did not become ready before its deadline' END, at + interval '1 min',
    at + interval '1 min', at + interval '2 min', 'system:serviceaccount:kubernaut-system:kubernetes-executor-sa',
    '{alert_name,namespace,cluster}'
FROM old WHERE reported_by IS NOT NULL;
INSERT INTO workflow_audit (
    bucket, id, workflow_id, step_name, step_status, duration_ms, executed_at, remediation_request_id, received_at, writer)
SELECT o.workflow_bucket, 'audit-' || s.id, o.workflow, s.name, 'completed', 700, o.at + s.later, o.request, o.at + s.later,
    'system:serviceaccount:kubernaut-system:workflowexecution-controller-sa'
FROM old AS o
CROSS JOIN LATERAL (
    VALUES (o.step_one, 'cordon', interval '3 s'), (o.step_two, 'drain', interval '4 s')) AS s (id, name, later)
WHERE o.workflow IS NOT NULL;
INSERT INTO incident_workflows (bucket, remediation_request_id, workflow_id)
SELECT bucket, request, workflow FROM old WHERE workflow IS NOT NULL;
INSERT INTO incident_ids (bucket, correlation_id, id, action_timestamp) SELECT bucket, request, incident, at FROM old;
SELECT setval('incident_number', 1000);
INSERT INTO resource_action_traces (
    bucket, id, correlation_id, action_timestamp, alert_name, alert_name_by, alert_severity, alert_severity_by, action_type,
    action_type_by, namespace, namespace_by, cluster_name, cluster_name_by, execution_status, start_time, end_time, duration_ms,
    error_message, execution_status_by, created_at, updated_at)
SELECT bucket, incident, request, at, alert, opened_by, 'high', opened_by,
    CASE WHEN reported_by IS NOT NULL THEN 'restart' END, reported_by, namespace, opened_by, 'c-1', opened_by,
    CASE WHEN reported_by IS NULL THEN 'pending' WHEN n % 3 = 0 THEN 'completed' ELSE 'failed' END,
    CASE WHEN reported_by IS NOT NULL THEN at + interval '1 min' END,
    CASE WHEN reported_by IS NOT NULL THEN at + interval '61.5 s' END,
    CASE WHEN reported_by IS NOT NULL THEN 1500 END,
    CASE WHEN reported_by IS NOT NULL AND n % 3 = 1 THEN 'the rollout did not become ready before its deadline' END,
    reported_by, at + interval '1 s', at + interval '2 min'
FROM old;
INSERT INTO embedding_outbox (bucket, audit_id, received_at, claimed_until)
SELECT bucket, 'audit-' || opened_by, at, at + interval '10 s' FROM old WHERE n >= 200 AND n < 250;
INSERT INTO idempotency_keys (bucket, key, windowed, content, audit_id, received_at)
SELECT 523, '\\xaa19560b4dca499b6361691de42005206d19f8791ed8f4d80780bb1d4906a323', false, '\\x695ef2e62da2dda2f599e55347a269be278504b066b5add15a14b07fbdbb1e86', 'audit-' || opened_by, at FROM old WHERE n = 0;
";

/// Targets and environments, which no program before version 7 did anything with but to show them.
const TARGETS: &str = "
UPDATE remediation_audit AS a SET target_resource = 'pod/checkout-6f7d8c9b5d-x2k4' || chr(98 + o.n % 3), environment = 'production'
FROM old AS o WHERE o.n % 3 = 0 AND o.n < 300 AND a.id = 'audit-' || o.opened_by;
UPDATE resource_action_traces AS t SET
    target_resource = 'pod/checkout-6f7d8c9b5d-x2k4' || chr(98 + o.n % 3), target_resource_by = o.opened_by,
    environment = 'production', environment_by = o.opened_by
FROM old AS o WHERE o.n % 3 = 0 AND o.n < 300 AND o.bucket = t.bucket AND o.incident = t.id;
";

/// The totals of pending incidents of one place are folded; the deltas of all others wait.
const AUDIT_2: &str = "
UPDATE resource_action_traces AS t SET counted_before = CASE
    WHEN o.reported_by IS NULL THEN '{}' ELSE ARRAY[o.alert, 'high', NULL, o.namespace, 'c-1'] END
FROM old AS o WHERE o.bucket = t.bucket AND o.incident = t.id;
INSERT INTO incident_deltas (bucket, number, alert_name, alert_severity, action_type, namespace, cluster_name, delta)
SELECT o.bucket, nextval('incident_delta_number'), o.alert, 'high', d.action, o.namespace, 'c-1', d.delta
FROM old AS o
CROSS JOIN LATERAL (VALUES (NULL, 1), (NULL, -1), ('restart', 1)) AS d (action, delta)
WHERE NOT (o.n % 3 = 2 AND o.namespace = 'shop') AND (o.reported_by IS NOT NULL OR (d.action IS NULL AND d.delta = 1));
INSERT INTO incident_totals (bucket, key, dimensions, alert_name, alert_severity, action_type, namespace, cluster_name, total)
VALUES
    (92, '\\xd680785cce60cc5bf5a31e8244519506', 8, NULL, NULL, NULL, 'shop', NULL, 50),
    (246, '\\x015a54f676557a62e47416e3794d9ed7', 2, NULL, 'high', NULL, NULL, NULL, 50),
    (302, '\\xb070ad2e31b98cd6c57f996858364846', 3, 'KubeNodeDiskFull', 'high', NULL, NULL, NULL, 50),
    (694, '\\xf78e4ab6e9a8f26e714d52a2a1e20b3f', 16, NULL, NULL, NULL, NULL, 'c-1', 50),
    (705, '\\x51e61ec1819413ff6f53c0a197a4192b', 31, 'KubeNodeDiskFull', 'high', NULL, 'shop', 'c-1', 50),
    (792, '\\x2ce943185e7db251312f0325a496d33c', 0, NULL, NULL, NULL, NULL, NULL, 50),
    (910, '\\xe006d78e3f453c5eea282482a4df78ba', 1, 'KubeNodeDiskFull', NULL, NULL, NULL, NULL, 50)
";

const AUDIT_3: &str = "
UPDATE resource_action_traces SET revision = CASE WHEN execution_status = 'pending' THEN 1 ELSE 2 END;
";

/// The places of audits with a status: behind the bucket stands how far it has come.
const AUDIT_7: &str = "
UPDATE resource_action_traces AS t SET
    workload = CASE WHEN target_resource IS NOT NULL THEN 'deployment/checkout' END, workload_by = target_resource_by,
    last_audit_at = o.at + CASE WHEN o.reported_by IS NULL THEN interval '0' ELSE interval '1 min' END
FROM old AS o WHERE o.bucket = t.bucket AND o.incident = t.id;
";

const VECTOR_1: &str = "
INSERT INTO audit_embeddings (bucket, audit_id, embedder, pattern, embedding, created_at)
SELECT bucket, 'audit-' || audit, 'builtin-1', pattern, embedding::vector, at FROM told;
INSERT INTO embedding_patterns (bucket, embedder, pattern, embedding, created_at)
SELECT bucket, 'builtin-1', pattern, embedding::vector, (SELECT min(at) FROM old) FROM texts;
";

const VECTOR_2: &str = "
UPDATE embedding_patterns AS p SET terms = t.terms, weights = t.weights FROM texts AS t WHERE t.pattern = p.pattern;
INSERT INTO embedding_pattern_words (bucket, embedder, pattern, embedding)
SELECT bucket, 'builtin-1', pattern, embedding::vector::sparsevec FROM texts;
INSERT INTO embedding_terms (bucket, embedder, term, patterns) SELECT bucket, 'builtin-1', term, patterns FROM terms;
INSERT INTO incident_facts (
    bucket, incident_id, correlation_id, action_timestamp, alert_name, alert_severity, action_type, namespace, cluster_name,
    execution_status, revision)
SELECT bucket, id, correlation_id, action_timestamp, alert_name, alert_severity, action_type, namespace, cluster_name,
    execution_status, revision
FROM resource_action_traces
WHERE (bucket, id) IN (SELECT bucket, incident FROM old WHERE n < 200);
INSERT INTO incident_patterns (bucket, incident_id, embedder, pattern, action_timestamp, first_received_at)
SELECT bucket, incident, 'builtin-1', pattern, at, at + interval '1 s' FROM told;
";

const VECTOR_3: &str = "INSERT INTO embedding_active (bucket, name, embedder) VALUES (0, 'active', 'builtin-1')";

/// The facets of a pattern before anything is known of it, all of them, are its column's default.
const VECTOR_4: &str = "";

const VECTOR_5: &str = "
INSERT INTO embedding_revisions (bucket, embedder, revision)
SELECT bucket, 'builtin-1', count(*) FROM texts GROUP BY bucket
";

const VECTOR_7: &str = "
UPDATE incident_facts AS f SET
    target_resource = t.target_resource, alert_fingerprint = t.alert_fingerprint, environment = t.environment, is_complete = true
FROM resource_action_traces AS t WHERE t.bucket = f.bucket AND t.id = f.incident_id;
";

/// Fills a database that has these versions of the two schemas.
pub async fn fill(database: &Database, audit: usize, vector: usize) {
    let client = &database.client;
    client.batch_execute(SOURCES).await.expect("tables");
    let times = incidents(client).await;
    texts(client).await;
    for month in months(&times) {
        partition(client, month).await;
    }
    let of_audits = [AUDIT_1, AUDIT_2, AUDIT_3, "", "", "", AUDIT_7];
    let of_vectors = [VECTOR_1, VECTOR_2, VECTOR_3, VECTOR_4, VECTOR_5, "", VECTOR_7];
    let written = [AUDIT_1, TARGETS].iter().chain(of_audits.iter().take(audit).skip(1));
    for sql in written.chain(of_vectors.iter().take(vector)) {
        client.batch_execute(sql).await.unwrap_or_else(|error| panic!("{error:?}: {sql}"));
    }
    if audit >= 9 && citus::is_at(&database.url) {
        // Where there is Citus no trigger counts what is written here.
        client.batch_execute("UPDATE count_state SET is_whole = false").await.expect("to be counted anew");
    }
}

/// The table `old`; returns the times of the incidents.
async fn incidents(client: &Client) -> Vec<DateTime<Utc>> {
    let insert = "INSERT INTO old VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)";
    let insert = client.prepare(insert).await.expect("prepared");
    let mut times = Vec::new();
    for n in 0..=INCIDENTS {
        let timed = n == INCIDENTS;
        let request = if timed { TIMED_REQUEST.to_owned() } else { format!("rr-old-{n}") };
        let at = if timed { timed_at() } else { Utc::now() - TimeDelta::hours(3 + 2 * n) };
        let bucket = Bucket::of(&request);
        let id = |later: i64, bucket, mark: u8| {
            let mut digest = [mark; 32];
            digest[..8].copy_from_slice(&n.to_be_bytes());
            AuditId::new(at + TimeDelta::seconds(later), bucket, &digest).uuid()
        };
        let opened_by = if timed { TIMED_ID } else { id(0, bucket, 1) };
        let reported_by = (!timed && n % 3 < 2).then(|| id(60, bucket, 2));
        let kind = usize::try_from(n % 3).expect("small");
        let alert = if timed { Some("Timed") } else { TEXTS[kind].0 };
        let reasoning = (!timed).then_some(TEXTS[kind].1);
        let namespace = if n / 3 % 2 == 0 { "shop" } else { "payments" };
        let workflow = (n % 10 == 0 && !timed).then(|| format!("wf-old-{n}"));
        let of_workflow = Bucket::of(workflow.as_deref().unwrap_or_default());
        let (one, two) = (id(3, of_workflow, 3), id(4, of_workflow, 4));
        let incident = (n + 1) * 1024 + i64::from(bucket.get());
        let n = i32::try_from(n).expect("small");
        client
            .execute(
                &insert,
                &[
                    &n,
                    &request,
                    &bucket.get(),
                    &incident,
                    &at,
                    &opened_by,
                    &reported_by,
                    &alert,
                    &namespace,
                    &reasoning,
                    &workflow,
                    &of_workflow.get(),
                    &one,
                    &two,
                ],
            )
            .await
            .expect("a row");
        times.push(at);
    }
    times
}

fn timed_at() -> DateTime<Utc> {
    "2026-11-01T00:00:00Z".parse().expect("a time")
}

/// The tables `texts` and `terms`.
async fn texts(client: &Client) {
    let builtin = Builtin::default();
    let mut counts: BTreeMap<String, i64> = BTreeMap::new();
    for (kind, (alert, text)) in (0i32..).zip(TEXTS) {
        let text = match alert {
            Some(_) => {
                AuditText { alert_name: alert.map(str::to_owned), reasoning: Some(text.into()), ..AuditText::default() }
            }
            None => AuditText { error_message: Some(text.into()), ..AuditText::default() },
        };
        let Embedding { vector, features, pattern } = builtin.embed_first(&text).expect("features");
        let numbers = vector.iter().map(f32::to_string).collect::<Vec<_>>().join(",");
        let bucket = Bucket::of_pattern(pattern).get();
        let values = "INSERT INTO texts VALUES ($1, $2, $3, $4, $5, $6)";
        let embedding = format!("[{numbers}]");
        let row: [&(dyn ToSql + Sync); 6] = [&kind, &pattern, &bucket, &embedding, &features.terms, &features.weights];
        client.execute(values, &row).await.expect("a row");
        for term in features.terms.into_iter().chain([String::new()]) {
            *counts.entry(term).or_default() += 1;
        }
    }
    for (term, patterns) in counts {
        let values = "INSERT INTO terms VALUES ($1, $2, $3)";
        client.execute(values, &[&Bucket::of(&term).get(), &term, &patterns]).await.expect("a row");
    }
}

/// The first days of the months that these times lie in.
fn months(times: &[DateTime<Utc>]) -> Vec<DateTime<Utc>> {
    let first = |time: &DateTime<Utc>| {
        let day = time.date_naive().with_day(1).expect("a day");
        day.and_time(chrono::NaiveTime::MIN).and_utc()
    };
    let mut months: Vec<DateTime<Utc>> = times.iter().map(first).collect();
    months.sort();
    months.dedup();
    months
}

/// The partition of this month alone.
pub async fn partition_of_this_month(database: &Database) {
    for month in months(&[Utc::now()]) {
        partition(&database.client, month).await;
    }
}

/// As the program of version 1 made them.
async fn partition(client: &Client, from: DateTime<Utc>) {
    let until = from.checked_add_months(Months::new(1)).expect("a month");
    let name = from.format("resource_action_traces_y%Ym%m");
    let sql = format!(
        "CREATE TABLE {name} (LIKE resource_action_traces INCLUDING DEFAULTS INCLUDING CONSTRAINTS);
        ALTER TABLE resource_action_traces ATTACH PARTITION {name} FOR VALUES FROM ('{from}') TO ('{until}')"
    );
    client.batch_execute(&sql).await.expect("a partition");
}
