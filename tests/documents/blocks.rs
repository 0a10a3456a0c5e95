//! Commands that a page gives without what they print, run as they stand: the backup, the taking over of the Go service's tables, the first client.

use crate::deploy::has;
use crate::pages::file;
use crate::support::{Service, Writer, data_storage, eventually, gateway_audit, server, succeeds};
use std::path::Path;
use std::process::Output;
use tempfile::TempDir;
use tokio::process::Command;

/// The first block of commands in a section of a page.
fn block(page: &str, section: &str) -> String {
    let text = file(page);
    let section = text.split(section).nth(1).expect("the section");
    section.split("```sh\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a block").to_owned()
}

/// Runs commands in the folder, with PostgreSQL's programs and this one on the `PATH`.
async fn run(commands: &str, folder: &Path, settings: &[(&str, &str)]) -> Output {
    let programs = server().programs();
    let own = Path::new(env!("CARGO_BIN_EXE_data-storage")).parent().expect("a folder");
    let path = format!("{}:{}:{}", programs.display(), own.display(), std::env::var("PATH").expect("a PATH"));
    let output = Command::new("sh")
        .args(["-ec", commands])
        .current_dir(folder)
        .envs(settings.iter().copied())
        .env("PATH", path)
        .env("PGHOST", server().socket_folder())
        .env("PGUSER", "postgres")
        .output()
        .await
        .expect("a shell");
    assert!(output.status.success(), "{commands}\n{}", String::from_utf8_lossy(&output.stderr));
    output
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

#[tokio::test]
async fn a_backup_is_restored() {
    let (service, database) = Service::start().await;
    service.post(Writer::Gateway, &gateway_audit("rr-1")).await.audit_id();
    let commands = block("docs/operating.md", "## Backup and restore");
    run(&commands, folder().path(), &[("DATABASE_URL", &database.url)]).await;
    let restored = server().url("data_storage_restored");
    let incidents = server().connect("data_storage_restored").await;
    let found = incidents.query_one("SELECT count(*) FROM resource_action_traces", &[]).await.expect("restored");
    assert_eq!(found.get::<_, i64>(0), 1);
    let mut check = data_storage(&restored, &["check", "--totals", "--auth-mode", "static"]);
    check.arg("--auth-tokens-file").arg(service.tokens()).env("LISTEN_ADDR", service.address.to_string());
    succeeds(check.env("METRICS_ADDR", service.metrics_address.to_string())).await;
}

#[tokio::test]
async fn the_go_services_tables_are_taken_over() {
    let (service, _database) = Service::start().await;
    let admin = server().connect("postgres").await;
    admin.batch_execute("CREATE DATABASE action_history").await.expect("a database");
    let of_go = server().connect("action_history").await;
    of_go
        .batch_execute(
            "CREATE TABLE resource_action_traces (id bigserial, action_id text, correlation_id text, action_timestamp timestamptz,
                alert_name text, alert_severity text, action_type text, execution_status text);
            INSERT INTO resource_action_traces (action_id, correlation_id, action_timestamp, alert_name, action_type, execution_status)
            SELECT 'act-' || n, 'rr-' || n, now() - n * interval '1 h', 'DiskFull', 'cleanup', 'completed' FROM generate_series(1, 3) AS n",
        )
        .await
        .expect("tables");
    let folder = folder();
    std::fs::write(folder.path().join("token"), Writer::Executor.token()).expect("a file");
    let commands = block("docs/migrating.md", "## Taking the tables over");
    let output = run(&commands, folder.path(), &[("DATA_STORAGE_URL", &service.url(""))]).await;
    let page = file("docs/migrating.md");
    let shown = page.split("```text\n").nth(1).and_then(|rest| rest.split("```").next());
    assert_eq!(Some(String::from_utf8_lossy(&output.stdout).as_ref()), shown);
    assert_eq!(service.read("/api/v1/incidents?alert_name=DiskFull").await["pagination"]["total"], 3);
}

#[tokio::test]
async fn the_first_client_has_its_token_from_the_file() {
    if !has("python3") {
        return;
    }
    let (service, _database) = Service::start().await;
    let folder = folder();
    std::fs::create_dir(folder.path().join("data")).expect("a folder");
    std::fs::copy(service.tokens(), folder.path().join("data/tokens.csv")).expect("a file");
    let examples = concat!(env!("CARGO_MANIFEST_DIR"), "/examples");
    std::os::unix::fs::symlink(examples, folder.path().join("examples")).expect("a link");
    let commands = block("examples/README.md", "# Clients");
    let url = service.url("");
    // An incident is found a moment after it was posted: on a busy machine the first run may not see its own.
    eventually("a similar incident", async || {
        let output = run(&commands, folder.path(), &[("DATA_STORAGE_URL", &url)]).await;
        String::from_utf8_lossy(&output.stdout).contains("similar: ").then_some(())
    })
    .await;
}
