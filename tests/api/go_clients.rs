//! The flows of the source document, with bodies as its Go clients write them.

use crate::support::{Service, Writer, gateway_audit};
use serde_json::json;

/// All four writers post, tagged and untagged, and one merged incident comes back.
#[tokio::test]
async fn four_writers_make_one_incident() {
    let (service, database) = Service::start().await;
    let mut gateway = gateway_audit("rr-abc123");
    gateway["createdAt"] = json!(now(-60));
    assert_eq!(service.post(Writer::Gateway, &gateway).await.status, 201);
    // An untagged struct: Go's field names, and zero values for everything that is not known.
    let analysis = json!({
        "RemediationRequestID": "rr-abc123", "AlertName": "HighMemoryUsage", "Namespace": "production",
        "Cluster": "us-west-2", "Priority": "", "ActionType": "scale", "Confidence": 0.92, "Reasoning": "memory is high",
        "Status": "", "Duration": 0, "ErrorMessage": "", "CreatedAt": now(-50), "ExecutedAt": "0001-01-01T00:00:00Z",
    });
    assert_eq!(service.post(Writer::AiAnalysis, &analysis).await.status, 201);
    let execution = json!({
        "RemediationRequestID": "rr-abc123", "AlertName": "", "Namespace": "", "Cluster": "", "Priority": "",
        "ActionType": "scale", "TargetResource": "deployment/web", "Status": "success", "Duration": 4_200_000_000_i64,
        "ErrorMessage": "", "CreatedAt": "0001-01-01T00:00:00Z", "ExecutedAt": now(-40),
    });
    assert_eq!(service.post(Writer::Executor, &execution).await.status, 201);
    let step = json!({
        "WorkflowID": "wf-1", "StepName": "scale up", "StepStatus": "completed", "Duration": 1_500_000_000,
        "ErrorMessage": "", "ExecutedAt": now(-30), "RemediationRequestID": "rr-abc123",
    });
    let step_id = service.post_step(&step).await.audit_id();

    let list = service.read("/api/v1/incidents?alert_name=HighMemoryUsage&severity=critical&limit=10").await;
    assert_eq!(list["pagination"]["total"], 1);
    let incident = &list["data"][0];
    for (field, value) in [
        ("alert_name", json!("HighMemoryUsage")),
        ("alert_severity", json!("critical")),
        ("action_type", json!("scale")),
        ("action_timestamp", gateway["createdAt"].clone()),
        ("execution_status", json!("completed")),
        ("namespace", json!("production")),
        ("cluster_name", json!("us-west-2")),
        ("target_resource", json!("deployment/web")),
        ("remediation_request_id", json!("rr-abc123")),
        ("model_confidence", json!(0.92)),
        ("start_time", execution["ExecutedAt"].clone()),
        ("duration", json!(4200)),
        ("error_message", json!(null)),
        ("environment", json!(null)),
    ] {
        assert_eq!(incident[field], value, "{field}");
    }
    assert!(incident["id"].as_i64().is_some_and(|id| id > 0 && id < 1 << 53));
    let by_action = service.read("/api/v1/incidents?action_type=scale&limit=1000").await;
    assert_eq!(by_action["data"], list["data"]);

    let detail = service.read(&format!("/api/v1/incidents/{}", incident["id"])).await;
    assert_eq!((&detail["reasoning"], &detail["priority"]), (&json!("memory is high"), &json!("P0")));
    let audits = detail["audits"].as_array().expect("audits");
    let times: Vec<&str> = audits.iter().filter_map(|audit| audit["createdAt"].as_str()).collect();
    assert_eq!(times.len(), 3);
    assert!(times.is_sorted(), "{times:?}");

    assert_eq!(detail["workflows"], json!(["wf-1"]));
    let steps = service.read("/api/v1/workflows/wf-1/steps").await;
    assert_eq!(steps["data"][0]["auditID"], json!(step_id));
    assert_eq!(steps["data"][0]["durationMs"], 1500);
    assert_eq!(service.read(&format!("/api/v1/audits/{step_id}")).await["stepName"], "scale up");
    assert_eq!(database.number("SELECT count(*) FROM incident_workflows").await, 1);
}

/// The columns of audits and incidents have the names that other programs query.
#[tokio::test]
async fn rows_are_where_the_source_document_has_them() {
    let (service, database) = Service::start().await;
    let id = service.post(Writer::Gateway, &gateway_audit("rr-1")).await.audit_id();
    let rows = database
        .rows("SELECT bucket, status, created_at <= received_at AS now FROM remediation_audit WHERE id = $1", &[&id])
        .await;
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].get::<_, &str>("status"), "pending");
    let bucket: i32 = rows[0].get("bucket");
    let incident = service.incident_of("rr-1").await;
    assert_eq!(incident["id"].as_i64().expect("an id") % 1024, i64::from(bucket));
    let rows = database
        .rows("SELECT bucket, id, duration_ms FROM resource_action_traces WHERE correlation_id = 'rr-1'", &[])
        .await;
    assert_eq!((rows.len(), rows[0].get::<_, i32>("bucket")), (1, bucket));
}

/// The time this many seconds from now, as RFC 3339, with the microseconds that PostgreSQL keeps.
pub fn now(seconds: i64) -> String {
    let time = chrono::Utc::now() + chrono::TimeDelta::seconds(seconds);
    data_storage_actors::domain::time::format_rfc3339(time)
}
