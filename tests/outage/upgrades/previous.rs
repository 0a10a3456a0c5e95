//! The program of the previous release beside today's: in a rolling upgrade the older replicas go on writing while the newer ones migrate
//! and write too. An older program cannot be built here in the time of a test; what it does to the database are its statements, which lie
//! in `tests/data/previous/`, and are prepared before the upgrade and executed during it and after it.
//!
//! At a release: replace the files there by the released ones (they have the names of those in `actors/src/pg_writer/` and
//! `actors/src/vector_writer/`), set [`PREVIOUS`] to the released versions, and fit the calls below to the statements. In between, a
//! migration that breaks this test breaks a rolling upgrade: mend the migration, not the files.

use super::captured::config;
use super::{lists, run};
use crate::support::{Database, Service, Writer, citus, eventually, gateway_audit, now, server};
use chrono::Utc;
use data_storage_actors::domain::audit_id::AuditId;
use data_storage_actors::domain::audit_text::AuditText;
use data_storage_actors::domain::bucket::Bucket;
use data_storage_actors::embedder::{Builtin, Embedding};
use data_storage_actors::migrate::{Migrations, Schema};
use serde_json::json;
use std::cell::Cell;
use std::path::Path;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, SimpleQueryMessage, SimpleQueryRow};

/// The last migrations of the audit database and of the vector store that the previous program knows.
const PREVIOUS: [(Schema, i32); 2] = [(Schema::Audit, 5), (Schema::Vector, 5)];

/// What each program posts of requests that the other one has opened.
const ROUNDS: usize = 30;
const TEXT: &str = "The certificate of the ingress has expired: renew it with the issuer";

#[tokio::test]
async fn it_writes_on_beside_todays() {
    if citus::leave_out("an older program beside today's") {
        return;
    }
    let database = server().database().await;
    for (schema, version) in PREVIOUS {
        Migrations::of(schema).up_to(version).apply(&config(&database)).await.expect("the previous schema");
    }
    super::fill::partition_of_this_month(&database).await;
    let previous = Previous::connect(&database).await;
    previous.open("rr-before").await;
    let (opened, posted, reported) = (Cell::new(0), Cell::new(0), Cell::new(0));
    let older = async {
        let mut n = 0;
        while reported.get() < ROUNDS {
            previous.open(&format!("rr-older-{n}")).await;
            n += 1;
            opened.set(n);
            if posted.get() > reported.get() {
                previous.report(&format!("rr-newer-{}", reported.get())).await;
                reported.set(reported.get() + 1);
            }
        }
    };
    let newer = async {
        let service = Service::on(&database.url, &[]).await;
        service.logged("ready").await;
        for n in 0..ROUNDS {
            eventually("the previous program goes on", async || (opened.get() > n).then_some(())).await;
            service.post(Writer::Executor, &report(&format!("rr-older-{n}"))).await.audit_id();
            service.post(Writer::Gateway, &gateway_audit(&format!("rr-newer-{n}"))).await.audit_id();
            posted.set(n + 1);
        }
        service
    };
    let (service, ()) = tokio::join!(newer, older);
    let (opened, rounds) = (opened.get(), i64::try_from(ROUNDS).expect("few"));
    let total = i64::try_from(opened).expect("few") + 1 + rounds;
    lists(&service, &[("", total), ("&status=completed", 2 * rounds), ("&action_type=restart", 2 * rounds)]).await;
    for n in 0..ROUNDS {
        for (request, alert) in [(format!("rr-older-{n}"), "Expired"), (format!("rr-newer-{n}"), "HighMemoryUsage")] {
            let incident = service.incident_of(&request).await;
            assert_eq!((&incident["alert_name"], &incident["execution_status"]), (&json!(alert), &json!("completed")));
        }
    }
    run(&database, &["check", "--totals"]).await;
    let by_text = json!({"query": TEXT, "limit": 100, "filters": {"alert_name": "Expired"}});
    eventually("what the previous program has embedded is found", async || {
        let found = service.search(&by_text).await.json();
        // One more was opened before the upgrade.
        (found["data"].as_array().map(Vec::len) == Some((opened + 1).min(100))).then_some(())
    })
    .await;
    previous.execute_all().await;
    assert!(!service.log().iter().any(|line| line["level"] == "ERROR"), "{:?}", service.log());
}

fn report(request: &str) -> serde_json::Value {
    json!({"remediationRequestID": request, "actionType": "restart", "status": "completed", "executedAt": now()})
}

/// A session of the previous program, with its statements prepared.
struct Previous {
    client: Client,
    embedding: Embedding,
    /// The names of its statements.
    names: Vec<String>,
}

impl Previous {
    async fn connect(database: &Database) -> Self {
        let client = server().connect(&database.name).await;
        client.batch_execute("SET plan_cache_mode = force_generic_plan; SET lock_timeout = 500").await.expect("set");
        // As the previous program does when it is the first that comes.
        let active = "INSERT INTO embedding_active (bucket, name, embedder) VALUES (0, 'active', 'builtin-1')";
        client.batch_execute(active).await.expect("active");
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/previous");
        let mut names = Vec::new();
        for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
            let name = entry.path().file_stem().expect("a name").to_string_lossy().into_owned();
            let sql = std::fs::read_to_string(entry.path()).expect("text");
            client.batch_execute(&format!("PREPARE {name} AS {sql}")).await.expect(&name);
            names.push(name);
        }
        let text =
            AuditText { alert_name: Some("Expired".into()), reasoning: Some(TEXT.into()), ..AuditText::default() };
        Previous { client, embedding: Builtin::default().embed_first(&text).expect("features"), names }
    }

    /// One transaction. A lock that another session holds, and a conflict with one, are met again: clients ask again after a 503.
    async fn transaction(&self, calls: &[String]) -> Vec<SimpleQueryRow> {
        let sql = format!("BEGIN; {}; COMMIT", calls.join("; "));
        loop {
            match self.client.simple_query(&sql).await {
                Ok(messages) => {
                    let row = |message| match message {
                        SimpleQueryMessage::Row(row) => Some(row),
                        _ => None,
                    };
                    return messages.into_iter().filter_map(row).collect();
                }
                Err(error) => {
                    let again = [
                        SqlState::LOCK_NOT_AVAILABLE,
                        SqlState::T_R_DEADLOCK_DETECTED,
                        SqlState::T_R_SERIALIZATION_FAILURE,
                    ];
                    let code = error.code().cloned();
                    assert!(code.is_some_and(|code| again.contains(&code)), "{error:?}: {sql}");
                    self.client.batch_execute("ROLLBACK").await.expect("rolled back");
                }
            }
        }
    }

    /// An audit that opens an incident, and its vector.
    async fn open(&self, request: &str) {
        let (bucket, id, time) = new_audit(request);
        let uuid = id.trim_start_matches("audit-");
        self.transaction(&[
            claim_key(&bucket, request, &id, &time),
            call("insert_incident_ids", &[&bucket, request, &time], &["1970-01-01T00:00:00Z"]),
            call(
                "insert_remediation_audits",
                &[
                    &bucket, &id, request, "Expired", "shop", "c-1", "P1", NULL, NULL, NULL, "pending", NULL, NULL,
                    NULL, NULL, TEXT, NULL, NULL, NULL, &time, &time, "previous", "status", NULL,
                ],
                &[],
            ),
            call(
                "upsert_incidents",
                &[
                    &bucket, request, "Expired", uuid, "high", uuid, NULL, NULL, "shop", uuid, "c-1", uuid, NULL, NULL,
                    NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, &time,
                ],
                &[],
            ),
            call("insert_outbox", &[&bucket, &id, &time, &time], &[]),
        ])
        .await;
        self.embed(request, &bucket, &id, &time).await;
    }

    /// An execution report of a request.
    async fn report(&self, request: &str) {
        let (bucket, id, time) = new_audit(request);
        let uuid = id.trim_start_matches("audit-");
        self.transaction(&[
            call("insert_incident_ids", &[&bucket, request, &time], &["1970-01-01T00:00:00Z"]),
            call(
                "insert_remediation_audits",
                &[
                    &bucket,
                    &id,
                    request,
                    "unknown",
                    "unknown",
                    "unknown",
                    NULL,
                    NULL,
                    "restart",
                    NULL,
                    "completed",
                    NULL,
                    NULL,
                    NULL,
                    NULL,
                    NULL,
                    "1500",
                    NULL,
                    &time,
                    &time,
                    &time,
                    "previous",
                    "alert_name,namespace,cluster",
                    NULL,
                ],
                &[],
            ),
            call(
                "upsert_incidents",
                &[
                    &bucket,
                    request,
                    NULL,
                    NULL,
                    NULL,
                    NULL,
                    "restart",
                    uuid,
                    NULL,
                    NULL,
                    NULL,
                    NULL,
                    NULL,
                    NULL,
                    NULL,
                    NULL,
                    NULL,
                    NULL,
                    NULL,
                    NULL,
                    NULL,
                    NULL,
                    "completed",
                    &time,
                    &time,
                    "1500",
                    NULL,
                    uuid,
                    &time,
                ],
                &[],
            ),
            call("insert_outbox", &[&bucket, &id, &time, &time], &[]),
        ])
        .await;
    }

    /// What the previous program does after the commit of an audit with text.
    async fn embed(&self, request: &str, bucket: &str, id: &str, time: &str) {
        let Embedding { vector, features, pattern } = &self.embedding;
        let of_pattern = Bucket::of_pattern(*pattern).get().to_string();
        let pattern = pattern.to_string();
        let numbers = vector.iter().map(f32::to_string).collect::<Vec<_>>().join(",");
        let embedding = format!("[{numbers}]");
        let weights = features.weights.iter().map(f32::to_string).collect::<Vec<_>>().join(" ");
        let facts = self.transaction(&[call("read_facts", &[bucket, request], &[])]).await;
        let facts: Vec<&str> = (0..11).map(|at| facts[0].get(at).unwrap_or(NULL)).collect();
        let incident = facts[1];
        let write = "EXECUTE write_patterns".to_owned()
            + &arguments(&[
                array(&of_pattern),
                "builtin-1".into(),
                array(&pattern),
                array(&embedding),
                time.into(),
                array(&features.terms.join(" ")),
                array(&weights),
            ]);
        let mut calls = vec!["SELECT pg_advisory_xact_lock_shared(7261004)".to_owned(), write];
        calls.extend(self.first_of_pattern(&of_pattern, &pattern).await);
        calls.push(
            "EXECUTE write_vectors".to_owned()
                + &arguments(&[
                    array(bucket),
                    array(id),
                    "builtin-1".into(),
                    array(&pattern),
                    array(&embedding),
                    time.into(),
                ]),
        );
        calls.push(call("write_facts", &facts, &[]));
        calls.push(
            "EXECUTE write_incident_patterns".to_owned()
                + &arguments(&[
                    array(bucket),
                    array(incident),
                    "builtin-1".into(),
                    array(&pattern),
                    array(facts[3]),
                    array(time),
                ]),
        );
        calls.push(call("read_pattern_facts", &[bucket, incident], &[]));
        calls.push(call("add_facets", &[&of_pattern, "builtin-1", &pattern, &"1".repeat(512)], &[]));
        calls.push(call("count_changes", &[&of_pattern, "builtin-1"], &[]));
        self.transaction(&calls).await;
        self.transaction(&[call("clear_outbox", &[bucket, id], &[])]).await;
    }

    /// The words and the terms of a pattern that is new.
    async fn first_of_pattern(&self, bucket: &str, pattern: &str) -> Vec<String> {
        let there = format!("SELECT FROM embedding_patterns WHERE pattern = '{pattern}'");
        if self.client.query_opt(&there, &[]).await.expect("at most one").is_some() {
            return Vec::new();
        }
        let words = self.embedding.vector.iter().enumerate().filter(|(_, number)| **number != 0.0);
        let words = words.map(|(at, number)| format!("{}:{number}", at + 1)).collect::<Vec<_>>().join(",");
        let terms: Vec<&str> = self.embedding.features.terms.iter().map(String::as_str).chain([""]).collect();
        let buckets: Vec<String> = terms.iter().map(|term| Bucket::of(term).get().to_string()).collect();
        let quoted: Vec<String> = terms.iter().map(|term| format!("\"{term}\"")).collect();
        let ones = vec!["1"; terms.len()].join(",");
        let list = |values: String| format!("{{{values}}}");
        vec![
            "EXECUTE write_pattern_words".to_owned()
                + &arguments(&[array(bucket), "builtin-1".into(), array(pattern), array(&format!("{{{words}}}/768"))]),
            "EXECUTE count_terms".to_owned()
                + &arguments(&[list(buckets.join(",")), "builtin-1".into(), list(quoted.join(",")), list(ones)]),
        ]
    }

    /// Those that the writes above do not execute, with nothing to do.
    async fn execute_all(&self) {
        let now = now();
        for (name, columns, others) in [
            ("read_keys", 2, vec![]),
            ("insert_workflow_audits", 12, vec![]),
            ("link_workflows", 3, vec![]),
            ("claim_outbox", 0, vec!["0", &now, &now, "0", "5"]),
            ("take_deltas", 0, vec!["0"]),
            ("add_totals", 9, vec![]),
            ("drop_empty_totals", 2, vec![]),
        ] {
            assert!(self.names.iter().any(|known| known == name), "{name}");
            let mut values = vec!["{}".to_owned(); columns];
            values.extend(others.iter().map(|value| (*value).to_owned()));
            self.transaction(&[format!("EXECUTE {name}{}", arguments(&values))]).await;
        }
    }
}

/// Bucket, id and time of an audit that was received now.
fn new_audit(request: &str) -> (String, String, String) {
    let (bucket, time) = (Bucket::of(request), Utc::now());
    let id = AuditId::new(time, bucket, &[7; 32]);
    (bucket.get().to_string(), id.to_string(), time.to_rfc3339())
}

fn claim_key(bucket: &str, key: &str, id: &str, time: &str) -> String {
    let key = key.bytes().map(|byte| format!("{byte:02x}")).collect::<String>();
    let key = format!("\\\\x{key}");
    call("claim_keys", &[bucket, &key, "false", &key, id, time], &[time])
}

const NULL: &str = "NULL";

/// Executes a statement with an array of one value for each of `columns`, and with `others` behind them.
fn call(name: &str, columns: &[&str], others: &[&str]) -> String {
    let mut values: Vec<String> = columns.iter().map(|value| array(value)).collect();
    values.extend(others.iter().map(|value| (*value).to_owned()));
    format!("EXECUTE {name}{}", arguments(&values))
}

/// The text of an array of one value.
fn array(value: &str) -> String {
    if value == NULL { "{NULL}".to_owned() } else { format!("{{\"{value}\"}}") }
}

fn arguments(values: &[String]) -> String {
    let quoted: Vec<String> = values.iter().map(|value| format!("'{}'", value.replace('\'', "''"))).collect();
    format!(" ({})", quoted.join(", "))
}
