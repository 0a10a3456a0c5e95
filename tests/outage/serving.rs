//! Health says what clients see: a database that answers and does not serve is not `up`, and neither is one of another store.

use crate::support::proxy::{Proxy, Way};
use crate::support::{Database, Service, Writer, data_storage, ended, eventually, gateway_audit, server, within};
use serde_json::{Value, json};
use std::cell::Cell;
use std::time::{Duration, Instant};

/// Posts until the part is in a state and a post fails with these words, and none succeeds; answers the part.
async fn fails_until(service: &Service, part: &str, state: &str, words: &str) -> Value {
    let n = Cell::new(0);
    eventually(&format!("{part} {state}"), async || {
        n.set(n.get() + 1);
        let answer = service.post(Writer::Gateway, &gateway_audit(&format!("rr-{state}-{}", n.get()))).await;
        assert!(answer.status == 503 || answer.status == 500, "{}", answer.text);
        let health = service.read("/health").await;
        let found = health["parts"][part].clone();
        // On a busy machine a post may fail as too slow.
        (found["state"] == state && answer.text.contains(words)).then(|| {
            assert_eq!(health["status"], "degraded");
            assert!(found["reason"].is_string(), "{found}");
            found
        })
    })
    .await
}

/// Posts again, until the part is up.
async fn serves_again(service: &Service, part: &str) {
    eventually("posts again", async || {
        let answer = service.post(Writer::Gateway, &gateway_audit("rr-again")).await;
        (answer.status == 201).then_some(())
    })
    .await;
    eventually("up again", async || (service.read("/health").await["parts"][part]["state"] == "up").then_some(()))
        .await;
    let serving = service.metrics().await["datastorage_database_serving{pool=\"write\"}"];
    assert!((serving - 1.0).abs() < f64::EPSILON);
}

async fn run(database: &Database, sql: &str) {
    database.client.batch_execute(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
}

#[tokio::test]
async fn a_write_database_that_answers_and_does_not_serve() {
    let (service, database) = Service::start().await;
    service.post(Writer::Gateway, &gateway_audit("rr")).await.audit_id();
    for (bad, good, state, words) in [
        (
            &[
                "SET citus.enable_unsafe_triggers = on",
                "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no'; END $$",
                "CREATE TRIGGER refuse BEFORE INSERT ON remediation_audit FOR EACH ROW EXECUTE FUNCTION refuse()",
            ][..],
            &["DROP TRIGGER refuse ON remediation_audit", "DROP FUNCTION refuse"][..],
            "refused",
            "The service made a mistake",
        ),
        (
            &["ALTER TABLE remediation_audit RENAME TO elsewhere"],
            &["ALTER TABLE elsewhere RENAME TO remediation_audit"],
            "refused",
            "not migrated for this program",
        ),
    ] {
        for sql in bad {
            run(&database, sql).await;
        }
        let part = fails_until(&service, "write_database", state, words).await;
        assert!(!part.to_string().contains("elsewhere"), "{part}");
        for sql in good {
            run(&database, sql).await;
        }
        serves_again(&service, "write_database").await;
    }
    // Somebody locks the table for a while.
    let other = server().connect(&database.name).await;
    other.batch_execute("BEGIN; LOCK TABLE remediation_audit IN ACCESS EXCLUSIVE MODE").await.expect("locked");
    fails_until(&service, "write_database", "locked", "").await;
    other.batch_execute("ROLLBACK").await.expect("unlocked");
    serves_again(&service, "write_database").await;
}

/// A role of its own, whose rights are taken and given back; and a failover after which the old primary lives on as a standby.
#[tokio::test]
async fn rights_that_are_gone_and_a_database_that_takes_no_writes() {
    let database = server().database().await;
    let role = format!("role_{}", database.name);
    run(
        &database,
        &format!(
            "CREATE ROLE {role} LOGIN; GRANT ALL ON SCHEMA public TO {role}; CREATE EXTENSION IF NOT EXISTS vector"
        ),
    )
    .await;
    let url = database.url.replace("postgres@", &format!("{role}@")).replace("user=postgres", &format!("user={role}"));
    assert_ne!(url, database.url);
    let service = Service::on(&url, &[]).await;
    service.logged("ready").await;
    service.migrated().await;
    service.post(Writer::Gateway, &gateway_audit("rr")).await.audit_id();
    run(&database, &format!("REVOKE INSERT ON remediation_audit FROM {role}")).await;
    fails_until(&service, "write_database", "refused", "the database refuses this service").await;
    run(&database, &format!("GRANT INSERT ON remediation_audit TO {role}")).await;
    serves_again(&service, "write_database").await;

    let read_only = |on: &str| {
        format!(
            "ALTER DATABASE {} SET default_transaction_read_only = {on};
             SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{}' AND pid <> pg_backend_pid()",
            database.name, database.name
        )
    };
    run(&database, &read_only("on")).await;
    // Known without a request.
    eventually("read-only", async || {
        let health = service.read("/health").await;
        (health["parts"]["write_database"]["state"] == "read_only" && health["parts"]["read_database"]["state"] == "up")
            .then_some(())
    })
    .await;
    fails_until(&service, "write_database", "read_only", "the database is read-only").await;
    assert_eq!(service.get("/api/v1/incidents").await.status, 200);
    assert_eq!(service.get("/health/ready").await.status, 200, "reads are served");
    run(&database, &read_only("off")).await;
    serves_again(&service, "write_database").await;
}

/// Lists of another store, and vectors of another store's incidents, are not served, and nothing is written there.
#[tokio::test]
async fn stores_that_do_not_belong_together() {
    let (one, first) = Service::start().await;
    let second = server().database().await;
    let two = Service::on(&second.url, &[("VECTOR_DATABASE_URL", &first.url), ("READ_DATABASE_URL", &first.url)]).await;
    two.logged("ready").await;
    one.post(Writer::Gateway, &gateway_audit("rr-one")).await.audit_id();
    let mut body = gateway_audit("rr-two");
    body["reasoning"] = json!("memory ran out");
    two.post(Writer::Gateway, &body).await.audit_id();
    let parts = eventually("foreign", async || {
        let health = two.read("/health").await;
        let state = |part: &str| health["parts"][part]["state"] == "foreign";
        (state("read_database") && state("vector_write_database") && state("vector_read_database"))
            .then(|| health["parts"].clone())
    })
    .await;
    assert_eq!(parts["write_database"]["state"], "up");
    let list = two.get("/api/v1/incidents").await;
    assert_eq!(list.status, 503, "{}", list.text);
    assert!(list.text.contains("belongs to another store"), "{}", list.text);
    assert_eq!(two.search(&json!({"query": "memory"})).await.status, 503);
    eventually("told", async || two.log().iter().any(|line| line["level"] == "ERROR").then_some(())).await;
    assert_eq!(first.number("SELECT count(*) FROM incident_facts WHERE correlation_id = 'rr-two'").await, 0);
    let settings = [
        ("VECTOR_DATABASE_URL", first.url.as_str()),
        ("READ_DATABASE_URL", first.url.as_str()),
        ("AUTH_MODE", "static"),
        ("AUTH_TOKENS_FILE", "/nowhere/tokens.csv"),
    ];
    let (ok, text) = ended(data_storage(&second.url, &["check"]).envs(settings)).await;
    let own = first.rows("SELECT id::text FROM store_identity", &[]).await[0].get::<_, String>(0);
    let other = second.rows("SELECT id::text FROM store_identity", &[]).await[0].get::<_, String>(0);
    assert!(!ok && text.matches(&own).count() == 2 && text.matches(&other).count() == 2, "{text}");
    assert!(
        text.contains("ok      write database") && text.contains("FAILED  tokens") && text.contains(&second.name),
        "{text}"
    );
    // A store that is empty is taken over, also after a restart.
    drop(two);
    let third = server().database().await;
    let two = Service::on(&second.url, &[("VECTOR_DATABASE_URL", &third.url)]).await;
    two.logged("ready").await;
    two.migrated().await;
    eventually("made up for", async || {
        (third.number("SELECT count(*) FROM incident_facts WHERE correlation_id = 'rr-two'").await == 1).then_some(())
    })
    .await;
}

/// An outage of which no request knows: the part is up as soon as a connection is to be had, and not when what failed is forgotten.
#[tokio::test]
async fn an_outage_that_nobody_met() {
    let database = server().database().await;
    let proxy = Proxy::start().await;
    let service = Service::on(&proxy.url(&database.name), &[]).await;
    service.migrated().await;
    proxy.set(Way::Cut);
    let cut = Instant::now();
    let are = async |state: &str| {
        let parts = service.read("/health").await["parts"].clone();
        ["write_database", "read_database", "vector_write_database", "vector_read_database"]
            .iter()
            .all(|part| parts[part]["state"] == state)
    };
    // Longer than it takes until failures tell that a database does not serve.
    eventually("down", async || (cut.elapsed() > Duration::from_secs(15) && are("down").await).then_some(())).await;
    proxy.set(Way::Open);
    within(Duration::from_secs(30), "up again", async || are("up").await.then_some(())).await;
}
