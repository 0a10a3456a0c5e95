//! Nodes of a distributed database that go away. These tests need a Citus on this machine (`CITUS_URL`), and end the servers of its nodes and
//! start them again: run them alone.

use crate::support::{
    Answer, Database, Service, Writer, citus, data_storage, ended, eventually, eventually_long, gateway_audit, server,
};
use futures_util::future::join_all;
use serde_json::Value;
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;

/// Whether there is a Citus to be tried.
fn is_there() -> bool {
    let is_there = citus::url().is_some();
    if !is_there {
        eprintln!("skipped: CITUS_URL is not set");
    }
    is_there
}

async fn start(direct: &str) -> (Service, Database) {
    let database = server().database().await;
    let service = Service::on(&database.url, &[("CITUS_DIRECT", direct), ("REQUEST_DEADLINE", "2s")]).await;
    service.logged("ready").await;
    service.migrated().await;
    (service, database)
}

fn audit(request: &str) -> Value {
    let mut body = gateway_audit(request);
    body["createdAt"] = crate::support::now().into();
    body
}

async fn post(service: &Service, request: &str) -> Answer {
    service.post(Writer::Gateway, &audit(request)).await
}

fn statuses(answers: &[Answer]) -> Vec<u16> {
    answers.iter().map(|answer| answer.status.as_u16()).collect()
}

async fn totals_are_exact(database: &Database) {
    eventually_long("exact totals", async || {
        ended(&mut data_storage(&database.url, &["check", "--totals"])).await.0.then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_lives_elsewhere_goes_on() {
    if !is_there() {
        return;
    }
    for direct in ["true", "false"] {
        let (service, database) = start(direct).await;
        let first = post(&service, "rr-first").await;
        assert_eq!(first.status, 201, "{}", first.text);
        let ids: Vec<String> = join_all((0..40).map(async |n| {
            post(&service, &format!("rr-{n}")).await.audit_id();
            service.incident_of(&format!("rr-{n}")).await["id"].to_string()
        }))
        .await;
        let nodes = citus::servers().await;
        let away = &nodes[1];
        away.kill().await;

        let posts = join_all((100..140).map(async |n| post(&service, &format!("rr-{n}")).await)).await;
        let count = |status: u16| posts.iter().filter(|answer| answer.status == status).count();
        assert!(
            count(201) > 0 && count(503) > 0 && count(201) + count(503) == 40,
            "direct {direct}: {:?}",
            statuses(&posts)
        );
        let reads = join_all(ids.iter().map(async |id| service.get(&format!("/api/v1/incidents/{id}")).await)).await;
        let count = |status: u16| reads.iter().filter(|answer| answer.status == status).count();
        assert!(
            count(200) > 0 && count(503) > 0 && count(200) + count(503) == 40,
            "direct {direct}: {:?}",
            statuses(&reads)
        );
        let list = service.get("/api/v1/incidents").await;
        assert_eq!(list.status, 503, "{}", list.text);
        assert!(list.text.contains("a node of the database does not answer"), "{}", list.text);
        eventually("it is told", async || {
            let health = service.read("/health").await;
            let part = &health["parts"]["database_nodes"];
            (part["state"] == "down" && part["reason"].as_str().is_some_and(|reason| reason.contains(&away.name)))
                .then(|| assert_eq!(health["status"], "degraded"))
        })
        .await;
        let gauge = |name: &str| format!("datastorage_database_node_up{{node=\"{name}\"}}");
        let metrics = service.metrics().await;
        assert_eq!((metrics[&gauge(&away.name)], metrics[&gauge(&nodes[2].name)]), (0.0, 1.0));

        away.start().await;
        for n in 100..140 {
            eventually("it is written", async || {
                (post(&service, &format!("rr-{n}")).await.status == 201).then_some(())
            })
            .await;
        }
        eventually("all is well", async || (service.read("/health").await["status"] == "ok").then_some(())).await;
        let list = service.read("/api/v1/incidents?limit=1").await;
        assert_eq!(list["pagination"]["total"], 81, "{list}");

        // The coordinator that is away is told as the database, and not as a node of it.
        nodes[0].kill().await;
        let list = service.get("/api/v1/incidents?limit=2").await;
        assert!(list.status == 503 && !list.text.contains("a node"), "direct {direct}: {}", list.text);
        nodes[0].start().await;
        eventually("all is well again", async || (service.read("/health").await["status"] == "ok").then_some(())).await;
        totals_are_exact(&database).await;
    }
}

#[tokio::test]
async fn kill_minus_nine_of_each_node_loses_nothing() {
    if !is_there() {
        return;
    }
    for direct in ["true", "false"] {
        let (service, database) = start(direct).await;
        post(&service, "rr-first").await.audit_id();
        let nodes = citus::servers().await;
        let mut acknowledged = BTreeSet::new();
        for (turn, node) in nodes.iter().enumerate() {
            let posting = async {
                // Each stops when it has met the node's absence and its return.
                join_all((0..8).map(async |client| {
                    let (mut written, mut refused, mut n) = (Vec::new(), 0, 0);
                    while refused == 0 || written.len() < 20 {
                        let request = format!("rr-{turn}-{client}-{n}");
                        match post(&service, &request).await.status.as_u16() {
                            201 => written.push(request),
                            status => {
                                assert_eq!(status, 503, "{request}");
                                refused += 1;
                            }
                        }
                        n += 1;
                    }
                    written
                }))
                .await
            };
            let killing = async {
                node.kill().await;
                eventually("a write is refused", async || {
                    let metrics = service.metrics().await;
                    let failed = "datastorage_write_total{status=\"failure\",table=\"remediation_audit\"}";
                    (metrics.get(failed).copied().unwrap_or(0.0) > 20.0 * (turn as f64 + 1.0)).then_some(())
                })
                .await;
                node.start().await;
            };
            let (written, ()) = futures_util::join!(posting, killing);
            acknowledged.extend(written.into_iter().flatten());
        }
        eventually_long("all is well", async || (service.read("/health").await["status"] == "ok").then_some(())).await;
        // The connection from before went with the coordinator.
        let client = server().connect(&database.name).await;
        let requests = "SELECT DISTINCT remediation_request_id FROM remediation_audit";
        let rows = client.query(requests, &[]).await.expect("requests");
        let there: BTreeSet<String> = rows.iter().map(|row| row.get(0)).collect();
        let lost: Vec<&String> = acknowledged.difference(&there).collect();
        assert!(lost.is_empty(), "direct {direct}: {lost:?}");
        let incidents = "SELECT count(*) FROM resource_action_traces";
        let incidents: i64 = client.query_one(incidents, &[]).await.expect("a count").get(0);
        assert_eq!(usize::try_from(incidents).expect("a count"), there.len());
        totals_are_exact(&database).await;
        // What a node has prepared is ended by the coordinator's maintenance.
        eventually_long("no prepared transaction", async || {
            let mut prepared = 0;
            for node in &nodes {
                prepared +=
                    node.number("SELECT count(*) FROM pg_prepared_xacts WHERE database = $1", &database.name).await;
            }
            (prepared == 0).then_some(())
        })
        .await;
    }
}

/// The shards of one table with their nodes, and the other node that each can go to.
const SHARDS: &str = "SELECT s.shardid, n.nodename, n.nodeport, o.nodename, o.nodeport, n.nodeid, o.nodeid,
        (s.shardminvalue::bigint + s.shardmaxvalue::bigint) / 2
    FROM pg_dist_shard AS s
    JOIN pg_dist_placement AS p ON p.shardid = s.shardid
    JOIN pg_dist_node AS n ON n.groupid = p.groupid AND n.noderole = 'primary'
    JOIN pg_dist_node AS o ON o.nodeid <> n.nodeid AND o.noderole = 'primary' AND o.shouldhaveshards
    WHERE s.logicalrelid = 'remediation_audit'::regclass
    ORDER BY s.shardid, o.nodeid";

/// Nothing that was acknowledged is lost, and meanwhile it is found by its id, or the answer is 503.
#[tokio::test]
async fn shards_move_and_are_split_under_load() {
    if !is_there() {
        return;
    }
    for direct in ["true", "false"] {
        let (service, database) = start(direct).await;
        post(&service, "rr-first").await.audit_id();
        let (is_over, written) = (Cell::new(false), RefCell::new(Vec::new()));
        let clients = join_all((0..4).map(async |client| {
            for n in 0.. {
                if is_over.get() {
                    break;
                }
                let answer = post(&service, &format!("rr-{client}-{n}")).await;
                if answer.status == 503 {
                    continue;
                }
                let id = answer.audit_id();
                let audit = service.get(&format!("/api/v1/audits/{id}")).await;
                assert!(audit.status == 200 || audit.status == 503, "direct {direct}: {}", audit.text);
                let list = service.get("/api/v1/incidents?limit=20").await;
                assert!(list.status == 200 || list.status == 503, "direct {direct}: {}", list.text);
                written.borrow_mut().push(id);
            }
        }));
        let operator = async {
            let before = database.rows(SHARDS, &[]).await;
            for row in &before {
                let (shard, from, from_port): (i64, String, i32) = (row.get(0), row.get(1), row.get(2));
                let (to, to_port): (String, i32) = (row.get(3), row.get(4));
                let sql = "SELECT citus_move_shard_placement($1, $2, $3, $4, $5, 'block_writes')";
                database.rows(sql, &[&shard, &from, &from_port, &to, &to_port]).await;
                let some = written.borrow().len();
                eventually("posts go on", async || (written.borrow().len() > some + 8).then_some(())).await;
            }
            let (shard, nodes, middle) = {
                let row = &database.rows(SHARDS, &[]).await[0];
                let nodes: [i32; 2] = [row.get(5), row.get(6)];
                (row.get::<_, i64>(0), nodes, row.get::<_, i64>(7).to_string())
            };
            let sql = "SELECT citus_split_shard_by_split_points($1, ARRAY[$2::text], $3::int[], 'block_writes')";
            database.rows(sql, &[&shard, &middle, &&nodes[..]]).await;
            let some = written.borrow().len();
            eventually("posts go on", async || (written.borrow().len() > some + 8).then_some(())).await;
            is_over.set(true);
            assert_eq!(database.rows(SHARDS, &[]).await.len(), before.len() + 1, "one is two now");
        };
        futures_util::join!(clients, operator);
        let written = written.into_inner();
        for id in &written {
            assert_eq!(service.get(&format!("/api/v1/audits/{id}")).await.status, 200, "direct {direct}: {id}");
        }
        let audits = database.number("SELECT count(*) FROM remediation_audit").await;
        assert!(usize::try_from(audits).expect("a count") > written.len());
        let total = service.read("/api/v1/incidents?limit=1").await["pagination"]["total"].clone();
        assert_eq!(total, database.number("SELECT count(*) FROM resource_action_traces").await);
        totals_are_exact(&database).await;
    }
}
