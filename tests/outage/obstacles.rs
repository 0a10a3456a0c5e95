//! What time does not mend is told by `check`, logged once with what to do, and stands in `/health`; once it is mended the service goes on
//! without a restart.

use crate::support::{Service, Writer, citus, data_storage, ended, eventually, gateway_audit, server};
use tokio_postgres::Client;

async fn run(client: &Client, sql: &str) {
    client.batch_execute(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
}

async fn check(url: &str) -> (bool, String) {
    ended(&mut data_storage(url, &["check", "--auth-mode", "static", "--auth-tokens-file", "/nowhere/tokens.csv"]))
        .await
}

/// The service meets what `check` says, says it itself, and complains of nothing else.
async fn meets(url: &str, words: &str) -> Service {
    let (ok, text) = check(url).await;
    assert!(!ok && text.contains(words), "{words}: {text}");
    let service = Service::on(url, &[("RETENTION_MONTHS", "3")]).await;
    eventually("told", async || {
        let log = service.log();
        log.iter().find(|line| line["level"] == "ERROR" && line.to_string().contains(words)).map(|_| ())
    })
    .await;
    eventually("in /health", async || {
        let parts = service.read("/health").await["parts"].clone();
        let is_told = |part: &str| {
            parts[part]["state"] == "refused"
                && parts[part]["reason"].as_str().is_some_and(|reason| reason.contains(words))
        };
        (is_told("write_database") || is_told("vector_write_database")).then_some(())
    })
    .await;
    let others: Vec<_> = service
        .log()
        .into_iter()
        .filter(|line| line["level"] == "ERROR" || line["level"] == "WARN")
        .filter(|line| !line.to_string().contains(words))
        .collect();
    assert!(others.is_empty(), "{words}: {others:#?}");
    service
}

async fn serves(service: &Service) {
    service.logged("ready").await;
    service.migrated().await;
    service.post(Writer::Gateway, &gateway_audit("rr")).await.audit_id();
    eventually("up", async || (service.read("/health").await["status"] == "ok").then_some(())).await;
}

#[tokio::test]
async fn no_right_to_create_and_no_schema() {
    let database = server().database().await;
    let role = format!("bare_{}", database.name);
    run(&database.client, &format!("DROP EXTENSION IF EXISTS vector; CREATE ROLE {role} LOGIN")).await;
    let url = database.url.replace("postgres@", &format!("{role}@")).replace("user=postgres", &format!("user={role}"));
    let service = meets(&url, &format!("GRANT CREATE ON SCHEMA public TO {role}")).await;
    run(&database.client, &format!("GRANT ALL ON SCHEMA public TO {role}; CREATE EXTENSION vector")).await;
    serves(&service).await;
    drop(service);

    let database = server().database().await;
    let role = format!("lost_{}", database.name);
    run(
        &database.client,
        &format!("CREATE ROLE {role} LOGIN; ALTER ROLE {role} SET search_path = nowhere; CREATE EXTENSION IF NOT EXISTS vector"),
    )
    .await;
    let url = database.url.replace("postgres@", &format!("{role}@")).replace("user=postgres", &format!("user={role}"));
    drop(meets(&url, "no schema of the search_path (nowhere) exists").await);
}

#[tokio::test]
async fn no_extension_and_no_right_to_create_it() {
    let database = server().database().await;
    let role = format!("plain_{}", database.name);
    run(&database.client, "DROP EXTENSION IF EXISTS vector").await;
    run(&database.client, &format!("CREATE ROLE {role} LOGIN; GRANT ALL ON SCHEMA public TO {role}")).await;
    let url = database.url.replace("postgres@", &format!("{role}@")).replace("user=postgres", &format!("user={role}"));
    let service = meets(&url, "have a superuser run CREATE EXTENSION vector").await;
    service.logged("ready").await;
    service.post(Writer::Gateway, &gateway_audit("rr-before")).await.audit_id();
    run(&database.client, "CREATE EXTENSION vector").await;
    serves(&service).await;
}

#[tokio::test]
async fn encodings_and_tablespaces() {
    if citus::leave_out("encodings and tablespaces of a database") {
        return;
    }
    let database = server().database().await;
    for encoding in ["LATIN1", "SQL_ASCII"] {
        let name = format!("{}_{}", database.name, encoding.to_ascii_lowercase());
        run(&database.client, &format!("CREATE DATABASE {name} ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0"))
            .await;
        let service = meets(&server().url(&name), &format!("has the encoding {encoding}")).await;
        assert_eq!(service.get("/health/ready").await.status, 503);
        drop(service);
        run(&database.client, &format!("DROP DATABASE {name} WITH (FORCE)")).await;
    }
    let database = server().database().await;
    run(&database.client, &format!("ALTER DATABASE {} SET default_tablespace = pg_default", database.name)).await;
    let service = Service::on(&database.url, &[]).await;
    serves(&service).await;
}

/// Beside a running service the ports are in use, and all is well; another program on them is told.
#[tokio::test]
async fn ports_in_use() {
    let (service, database) = Service::start().await;
    let tokens = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(tokens.path(), "t,u,1,\"g\"").expect("tokens");
    let stranger = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let check = async |listen: String| {
        let mut check = data_storage(&database.url, &["check", "--auth-mode", "static", "--auth-tokens-file"]);
        check.arg(tokens.path()).env("LISTEN_ADDR", listen);
        ended(check.env("METRICS_ADDR", service.metrics_address.to_string())).await
    };
    let (ok, text) = check(service.address.to_string()).await;
    assert!(ok && text.matches("in use by a running data-storage").count() == 2, "{text}");
    let (ok, text) = check(stranger.local_addr().expect("an address").to_string()).await;
    assert!(!ok && text.contains("FAILED  LISTEN_ADDR") && text.contains("another program"), "{text}");
}
