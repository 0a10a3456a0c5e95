//! `data-storage import`: what the Go service stored, from a dump that PostgreSQL's own pg_dump makes.

use crate::support::{Database, Service, Writer, data_storage, ended, eventually, server};
use serde_json::{Value, json};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// The tables of the Go service, with the columns that tell something, partitioned as there.
const SCHEMA: &str = "
    CREATE TABLE resource_references (id bigserial PRIMARY KEY, resource_uid text, api_version text, kind text, name text, namespace text);
    CREATE TABLE action_histories (id bigserial PRIMARY KEY, resource_id bigint REFERENCES resource_references);
    CREATE TABLE resource_action_traces (
        id bigserial, action_history_id bigint, action_id varchar(64), correlation_id varchar(64), action_timestamp timestamptz,
        execution_start_time timestamptz, execution_end_time timestamptz, execution_duration_ms integer, alert_name varchar(200),
        alert_severity varchar(20), alert_labels jsonb, model_used varchar(100), model_confidence decimal(4,3), model_reasoning text,
        action_type varchar(50), action_parameters jsonb, execution_status varchar(20) DEFAULT 'pending', execution_error text,
        cluster_name varchar(100), environment varchar(20), alert_fingerprint varchar(64), embedding text
    ) PARTITION BY RANGE (action_timestamp);
    CREATE TABLE resource_action_traces_default PARTITION OF resource_action_traces DEFAULT;
    CREATE TABLE resource_action_traces_y2020m01 PARTITION OF resource_action_traces FOR VALUES FROM ('2020-01-01') TO ('2020-02-01');
    CREATE TABLE audit_events (
        event_id uuid DEFAULT gen_random_uuid(), event_timestamp timestamptz, event_date date, event_type varchar(100),
        event_category varchar(50), event_action varchar(50), event_outcome varchar(20), actor_type varchar(50), actor_id varchar(255),
        resource_type varchar(100), resource_id varchar(255), correlation_id varchar(255), namespace varchar(253), cluster_name varchar(255),
        event_data jsonb, severity varchar(20), duration_ms integer, error_message text
    ) PARTITION BY RANGE (event_date);
    CREATE TABLE audit_events_2026_03 PARTITION OF audit_events FOR VALUES FROM ('2026-03-01') TO ('2026-04-01');
    CREATE TABLE audit_events_default PARTITION OF audit_events DEFAULT;
    INSERT INTO resource_references VALUES (7, 'uid', 'apps/v1', 'Deployment', 'web', 'production');
    INSERT INTO action_histories VALUES (3, 7);
";

async fn source() -> Database {
    let source = server().database().await;
    source.client.batch_execute(SCHEMA).await.expect("a schema");
    source
}

fn dump(source: &Database, file: &Path, more: &[&str]) {
    let program = server().programs().join("pg_dump");
    let output = Command::new(program).args(["--dbname", &source.url, "--file"]).arg(file).args(more).output();
    let output = output.expect("pg_dump runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn command(service: &Service, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_data-storage"));
    command.arg("import").args(arguments).env_clear();
    command.env("DATA_STORAGE_URL", service.url("")).env("DATA_STORAGE_TOKEN", Writer::Executor.token());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

async fn import(service: &Service, arguments: &[&str]) -> Output {
    let mut command = command(service, arguments);
    tokio::task::spawn_blocking(move || command.output().expect("it runs")).await.expect("no panic")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

async fn totals_are_exact(database: &Database) {
    eventually("exact totals", async || {
        ended(&mut data_storage(&database.url, &["check", "--totals"])).await.0.then_some(())
    })
    .await;
}

#[tokio::test]
async fn action_traces_become_incidents() {
    let source = source().await;
    source
        .client
        .batch_execute(
            r#"INSERT INTO resource_action_traces (action_history_id, action_id, correlation_id, action_timestamp, execution_start_time,
                execution_duration_ms, alert_name, alert_severity, alert_labels, model_used, model_confidence, model_reasoning, action_type,
                action_parameters, execution_status, execution_error, cluster_name, environment, alert_fingerprint, embedding)
            VALUES
            (3, 'act-1', 'rr-1', now() - interval '3 days', now() - interval '3 days' + interval '5 s', 4200, 'HighMemoryUsage', 'critical',
                '{"cluster": "elsewhere"}', 'gpt-4o', 0.920, E'tab\tnew line\nback\\slash ünïcode', 'scale', '{"replicas": 12345678901234567890123}', 'completed', NULL,
                'us-west-2', 'production', 'fp-1', '[1,2]'),
            (3, 'act-2', 'rr-1', now() - interval '2 days', now() - interval '2 days', 100, 'HighMemoryUsage', 'critical', NULL, 'gpt-4o', 0.5,
                NULL, 'restart', NULL, 'failed', 'no space left', 'us-west-2', 'production', 'fp-1', NULL),
            (NULL, 'act-3', NULL, now() - interval '1 day', NULL, NULL, 'DiskFull', 'Sev1', '{"namespace": "batch", "cluster": "eu-1"}', 'm', 0.1,
                NULL, 'cleanup', NULL, 'mystery', NULL, NULL, NULL, NULL, NULL)"#,
        )
        .await
        .expect("rows");
    let (service, database) = Service::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("dump.sql");
    dump(&source, &file, &[]);
    let path = file.to_str().expect("UTF-8");

    let output = import(&service, &[path]).await;
    assert!(output.status.success(), "{}", said(&output));
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/migrating.md")).expect("a page");
    let shown = page.split("```text\n").nth(1).and_then(|rest| rest.split("```").next());
    assert_eq!(Some(said(&output).as_str()), shown);
    let incident = service.incident_of("rr-1").await;
    for (field, value) in [
        ("alert_name", json!("HighMemoryUsage")),
        ("alert_severity", json!("critical")),
        ("namespace", json!("production")),
        ("cluster_name", json!("us-west-2")),
        ("environment", json!("production")),
        ("target_resource", json!("deployment/web")),
        ("alert_fingerprint", json!("fp-1")),
        ("model_used", json!("gpt-4o")),
        // Of the later of its two attempts.
        ("action_type", json!("restart")),
        ("execution_status", json!("failed")),
        ("error_message", json!("no space left")),
    ] {
        assert_eq!(incident[field], value, "{field}: {incident}");
    }
    let whole = service.read(&format!("/api/v1/incidents/{}", incident["id"])).await;
    assert_eq!(whole["reasoning"], "tab\tnew line\nback\\slash ünïcode");
    let from = whole["attributes"]["importedFrom"].as_str().expect("text");
    assert!(from.starts_with("resource_action_traces/act-2@20"), "{from}");
    assert_eq!(
        whole["attributes"]["go_action_parameters"],
        serde_json::from_str::<Value>("{\"replicas\": 12345678901234567890123}").expect("JSON")
    );
    // With every digit.
    assert!(
        service.get(&format!("/api/v1/incidents/{}", incident["id"])).await.text.contains("12345678901234567890123")
    );
    let rates = service.read("/api/v1/stats/success-rate?group_by=action_type").await;
    assert_eq!(rates["data"].as_array().map(Vec::len), Some(2), "both attempts count: {rates}");
    // What the API has no word for stays an attribute.
    let third = service.incident_of("act-3").await;
    assert_eq!((&third["alert_severity"], &third["execution_status"]), (&Value::Null, &json!("pending")), "{third}");
    assert_eq!((&third["namespace"], &third["cluster_name"]), (&json!("batch"), &json!("eu-1")), "{third}");
    let third = service.read(&format!("/api/v1/incidents/{}", third["id"])).await;
    assert_eq!(third["attributes"]["go_alert_severity"], "Sev1");
    assert_eq!(third["attributes"]["go_execution_status"], "mystery");

    // Once more, packed, through a pipe: all of it is there.
    dump(&source, &folder.path().join("dump.sql.gz"), &["--compress=gzip"]);
    let packed = std::fs::read(folder.path().join("dump.sql.gz")).expect("a dump");
    assert!(packed.starts_with(&[0x1f, 0x8b]));
    let mut piped = command(&service, &["-"]).stdin(Stdio::piped()).spawn().expect("it runs");
    piped.stdin.take().expect("a pipe").write_all(&packed).expect("written");
    let output = tokio::task::spawn_blocking(|| piped.wait_with_output().expect("it ends")).await.expect("no panic");
    assert_eq!(said(&output), "0 rows posted, 3 were there already, 0 are of no remediation\n");
    assert_eq!(service.read("/api/v1/incidents").await["pagination"]["total"], 2);
    totals_are_exact(&database).await;
}

#[tokio::test]
async fn events_become_the_audits_of_their_requests() {
    let source = source().await;
    let insert = "INSERT INTO audit_events (event_timestamp, event_date, event_type, event_outcome, actor_id, correlation_id, namespace, cluster_name,
        event_data, severity, duration_ms, error_message)
        SELECT now() - interval '1 day' + $1::int * interval '1 s', current_date - 1, $2, 'success', 'system:serviceaccount:k:some-sa', $3, $4, $5,
        $6::text::jsonb, $7, $8, $9";
    let events = [
        // An analysis that stands before what its request is about.
        (
            3,
            "aianalysis.analysis.completed",
            json!({"namespace": "kubernaut", "confidence": 0.9, "provider_response_summary": {"analysis_preview": "the limit is too low"}}),
        ),
        (
            1,
            "gateway.signal.received",
            json!({"signal_name": "OOMKilled", "namespace": "shop", "severity": "Warning", "fingerprint": "fp", "resource_kind": "Deployment", "resource_name": "cart"}),
        ),
        (
            4,
            "workflowexecution.workflow.started",
            json!({"workflow_id": "w", "action_type": "IncreaseMemory", "target_resource": "shop/Deployment/cart"}),
        ),
        (
            5,
            "orchestrator.lifecycle.completed",
            json!({"rr_name": "r", "namespace": "kubernaut", "outcome": "Success"}),
        ),
        (6, "aiagent.session.started", json!({})),
        (7, "datastorage.ratelimit.denied", json!({})),
    ];
    for (second, kind, data) in events {
        let none = None::<&str>;
        let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 9] =
            [&second, &kind, &"rr-9", &none, &none, &data.to_string(), &none, &Some(1500), &none];
        source.client.execute(insert, &parameters).await.expect("a row");
    }
    let (service, database) = Service::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("dump.sql");
    dump(&source, &file, &["--data-only"]);
    let output = import(&service, &[file.to_str().expect("UTF-8"), "--cluster", "c-9", "--connections", "4"]).await;
    assert_eq!(said(&output), "4 rows posted, 0 were there already, 2 are of no remediation\n");
    let incident = service.incident_of("rr-9").await;
    for (field, value) in [
        ("alert_name", json!("OOMKilled")),
        ("alert_severity", json!("medium")),
        ("namespace", json!("shop")),
        ("cluster_name", json!("c-9")),
        ("action_type", json!("IncreaseMemory")),
        ("execution_status", json!("completed")),
        ("alert_fingerprint", json!("fp")),
    ] {
        assert_eq!(incident[field], value, "{field}: {incident}");
    }
    let whole = service.read(&format!("/api/v1/incidents/{}", incident["id"])).await;
    assert_eq!(whole["reasoning"], "the limit is too low");
    assert_eq!(whole["audits"].as_array().map(Vec::len), Some(4), "{whole}");
    // A later dump tells what the request was about all along: its rows are there still.
    source
        .client
        .execute("UPDATE audit_events SET event_data = event_data || '{\"signal_name\": \"Other\"}' WHERE event_type LIKE 'gateway%'", &[])
        .await
        .expect("an update");
    dump(&source, &file, &["--data-only"]);
    let output = import(&service, &[file.to_str().expect("UTF-8"), "--cluster", "c-9"]).await;
    assert_eq!(said(&output), "0 rows posted, 4 were there already, 2 are of no remediation\n");
    assert_eq!(service.incident_of("rr-9").await["alert_name"], "OOMKilled");
    totals_are_exact(&database).await;
}

/// A dump of many rows, an import that is killed, and one that goes on.
#[tokio::test]
async fn an_import_goes_on_where_it_was_killed() {
    const ROWS: i64 = 3_000;
    let source = source().await;
    let rows = format!(
        "INSERT INTO resource_action_traces (action_id, correlation_id, action_timestamp, alert_name, alert_severity, action_type, execution_status)
         SELECT 'act-' || n, 'rr-' || n, now() - interval '30 days' + n * interval '1 s', 'Alert' || n % 7, 'warning', 'scale', 'completed'
         FROM generate_series(1, {ROWS}) n"
    );
    source.client.batch_execute(&rows).await.expect("rows");
    let (service, database) = Service::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("dump.sql");
    dump(&source, &file, &[]);
    let path = file.to_str().expect("UTF-8");

    let mut killed = command(&service, &[path, "--connections", "2"]).spawn().expect("it runs");
    eventually("a part is there", async || {
        (database.number("SELECT count(*) FROM resource_action_traces").await > 100).then_some(())
    })
    .await;
    killed.kill().expect("it runs");
    killed.wait().expect("it ends");
    let there = database.number("SELECT count(*) FROM resource_action_traces").await;
    assert!(there < ROWS, "killed in the middle");

    let output = import(&service, &[path]).await;
    assert!(output.status.success(), "{}", said(&output));
    let counts: Vec<i64> = said(&output).split(' ').filter_map(|word| word.parse().ok()).collect();
    assert_eq!((counts[0] + counts[1], counts[2]), (ROWS, 0), "{}", said(&output));
    assert!(counts[1] >= there, "{}", said(&output));
    assert_eq!(service.read("/api/v1/incidents?limit=1").await["pagination"]["total"], ROWS);
    totals_are_exact(&database).await;
}

#[tokio::test]
async fn what_cannot_be_imported_is_told() {
    let source = source().await;
    source
        .client
        .batch_execute(
            "INSERT INTO resource_action_traces (action_id, action_timestamp, alert_name, execution_status) VALUES
             ('old', '2020-01-15', 'A', 'completed'), ('new', now() - interval '1 day', 'B', 'completed')",
        )
        .await
        .expect("rows");
    let (service, _database) = Service::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str| folder.path().join(name).to_str().expect("UTF-8").to_owned();
    dump(&source, Path::new(&file("dump.sql")), &[]);
    let output = import(&service, &[&file("dump.sql")]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).starts_with("1 rows posted, "), "{}", said(&output));
    assert!(said(&output).contains("refused line ") && said(&output).contains("createdAt"), "{}", said(&output));

    dump(&source, Path::new(&file("tar")), &["--format=tar"]);
    dump(&source, Path::new(&file("custom")), &["--format=custom"]);
    dump(&source, Path::new(&file("inserts.sql")), &["--inserts"]);
    let whole = std::fs::read_to_string(file("dump.sql")).expect("a dump");
    let cut = whole
        .split_once("\nold\t")
        .map_or_else(|| whole.find("old\t").expect("a row") + 4, |(before, _)| before.len() + 3);
    std::fs::write(file("cut.sql"), &whole[..cut]).expect("written");
    for (name, reason) in [
        ("custom", "pg_restore"),
        ("tar", "pg_restore"),
        ("inserts.sql", "--inserts"),
        ("cut.sql", "in the middle of table resource_action_traces_y2020m01"),
        ("none.sql", "No such file"),
    ] {
        let output = import(&service, &[&file(name)]).await;
        assert_eq!(output.status.code(), Some(1), "{name}");
        assert!(said(&output).contains(reason), "{name}: {}", said(&output));
    }
    let output = import(&service, &[&file("dump.sql"), "--url", "localhost:1"]).await;
    assert_eq!(output.status.code(), Some(1), "at once: {}", said(&output));
    // Who may not write is told at once, not row by row.
    let mut command = command(&service, &[&file("dump.sql")]);
    command.env("DATA_STORAGE_TOKEN", Writer::Stranger.token());
    let refused = command.output().expect("it runs");
    assert_eq!(refused.status.code(), Some(1));
    assert!(said(&refused).contains("(403)"), "{}", said(&refused));
}

/// What the Go service goes on to write between two imports, and what the API does not take.
#[tokio::test]
async fn rows_end_and_odd_values_stay_attributes() {
    let source = source().await;
    let insert = "INSERT INTO resource_action_traces (action_id, correlation_id, action_timestamp, execution_start_time, alert_name, alert_severity,
        action_type, execution_status, model_confidence, execution_duration_ms)
        VALUES ('act-1', 'rr-1', now() - interval '1 day', '0001-01-01 00:00:00+00', 'A', 'Critical', 'scale', 'executing', 9.5, -3)";
    source.client.execute(insert, &[]).await.expect("a row");
    let event = "INSERT INTO audit_events (event_timestamp, event_date, event_type, event_action, event_outcome, correlation_id, severity, event_data)
        VALUES (now() - interval '2 h', current_date, 'orchestrator.lifecycle.completed', 'completed', 'failure', 'rr-2', 'info',
            '{\"outcome\": \"Failed\", \"failure_reason\": \"Timeout\", \"confidence\": 85}'),
        (now() - interval '1 h', current_date, 'orchestrator.lifecycle.completed', 'retention_cleanup', 'success', 'rr-2', 'info', '{}')";
    source.client.execute(event, &[]).await.expect("rows");
    let (service, database) = Service::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("dump.sql");
    let path = file.to_str().expect("UTF-8");
    dump(&source, &file, &[]);
    let output = import(&service, &[path]).await;
    assert_eq!(said(&output), "3 rows posted, 0 were there already, 0 are of no remediation\n");
    let first = service.incident_of("rr-1").await;
    assert_eq!(
        (&first["execution_status"], &first["alert_severity"]),
        (&json!("in_progress"), &json!("critical")),
        "{first}"
    );
    assert_eq!((&first["model_confidence"], &first["duration"]), (&Value::Null, &Value::Null), "{first}");
    let failed = service.incident_of("rr-2").await;
    assert_eq!(
        (&failed["execution_status"], &failed["error_message"]),
        (&json!("failed"), &json!("Timeout")),
        "{failed}"
    );
    assert_eq!(failed["alert_severity"], Value::Null, "that is how grave the event is: {failed}");

    source
        .client
        .execute("UPDATE resource_action_traces SET execution_status = 'timed_out'", &[])
        .await
        .expect("an end");
    dump(&source, &file, &[]);
    let output = import(&service, &[path]).await;
    assert_eq!(said(&output), "1 rows posted, 2 were there already, 0 are of no remediation\n");
    assert_eq!(service.incident_of("rr-1").await["execution_status"], "failed");
    totals_are_exact(&database).await;
}
