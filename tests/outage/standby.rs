//! A standby that must confirm every commit, and one that takes over.

use crate::support::{Server, Service, Writer, eventually, gateway_audit, within};
use rustix::process::{Pid, Signal, kill_process};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tokio_postgres::Client;

async fn set(client: &Client, name: &str, value: &str) {
    client.batch_execute(&format!("ALTER SYSTEM SET {name} = '{value}'")).await.expect(name);
    client.batch_execute("SELECT pg_reload_conf()").await.expect("reloaded");
}

/// No standby confirms a commit: no audit is acknowledged, not even when an operator ends the wait by hand, and neither is the
/// replay of an audit that was written before.
#[tokio::test]
async fn a_standby_that_hangs() {
    let server = Server::start("hung");
    let database = server.database().await;
    let service = Service::on(&database.url, &[("REQUEST_DEADLINE", "3s")]).await;
    service.logged("ready").await;
    let body = serde_json::json!({"remediationRequestID": "rr-0", "executedAt": crate::support::now()});
    service.post(Writer::Executor, &body).await.audit_id();
    let admin = server.connect("postgres").await;
    set(&admin, "synchronous_standby_names", "nobody").await;
    eventually("commits wait", async || (service.post(Writer::Executor, &body).await.status == 503).then_some(()))
        .await;
    // Now an operator ends the waits: PostgreSQL then reports each COMMIT as a success, with a warning.
    let posts = async {
        for n in 0..6 {
            let answer = service.post(Writer::Gateway, &gateway_audit(&format!("rr-{n}"))).await;
            assert_eq!(answer.status, 503, "{}", answer.text);
        }
    };
    let cancels = async {
        loop {
            let cancel = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
            admin.batch_execute(cancel).await.expect("cancelled");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::select! {
        () = posts => {}
        () = cancels => {}
    }
    assert!(service.log().iter().any(|line| line["message"] == "a COMMIT came with a warning: not acknowledged"));
    assert_eq!(service.get("/api/v1/incidents").await.status, 200, "reads feel nothing");
    set(&admin, "synchronous_standby_names", "").await;
    for n in 0..6 {
        let n = format!("rr-{n}");
        eventually("writes again", async || {
            (service.post(Writer::Gateway, &gateway_audit(&n)).await.status == 201).then_some(())
        })
        .await;
    }
}

/// A standby in a folder of its own, by the same programs and as the same user as the primary.
struct Standby {
    child: Child,
    programs: PathBuf,
    folder: tempfile::TempDir,
}

impl Standby {
    async fn start(primary: &Server) -> Self {
        let hba = primary.data().join("pg_hba.conf");
        let mut rules = std::fs::read_to_string(&hba).expect("rules");
        rules.push_str("\nlocal replication all trust\n");
        std::fs::write(&hba, rules).expect("written");
        let admin = primary.connect("postgres").await;
        admin.batch_execute("SELECT pg_reload_conf()").await.expect("reloaded");
        let folder = tempfile::Builder::new().prefix("ds-standby-").tempdir_in("/tmp").expect("a folder");
        let owner = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(primary.data()).expect("data"));
        std::os::unix::fs::chown(folder.path(), Some(owner), Some(owner)).expect("owned");
        let programs = primary.programs();
        let data = folder.path().join("data");
        let run = |program: &str| {
            let mut command = Command::new(programs.join(program));
            command.uid(owner).gid(owner).current_dir("/").stdin(Stdio::null());
            command
        };
        let copied = run("pg_basebackup")
            .args(["-U", "postgres", "-R", "-c", "fast", "-X", "stream"])
            .args([Path::new("-h"), primary.socket_folder(), Path::new("-D"), &data])
            .output()
            .expect("it runs");
        assert!(copied.status.success(), "{copied:?}");
        // A socket of its own, and no fewer connections than the primary.
        let child = run("postgres")
            .args([
                "-D",
                data.to_str().expect("a path"),
                "-k",
                folder.path().to_str().expect("a path"),
                "-c",
                "listen_addresses=",
            ])
            .args([
                "-c",
                "cluster_name=standby",
                "-c",
                "hot_standby=on",
                "-c",
                "max_connections=120",
                "-c",
                "logging_collector=off",
            ])
            .stderr(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("it starts");
        Standby { child, programs, folder }
    }

    fn host(&self) -> String {
        self.folder.path().to_str().expect("a path").replace('/', "%2F")
    }

    async fn promote(&self, database: &str) {
        let status = Command::new(self.programs.join("psql"))
            .args([
                "-h",
                self.folder.path().to_str().expect("a path"),
                "-U",
                "postgres",
                "-d",
                database,
                "-qAtc",
                "SELECT pg_promote()",
            ])
            .status()
            .expect("it runs");
        assert!(status.success());
    }
}

impl Drop for Standby {
    fn drop(&mut self) {
        // The end of a test: the folder goes with it.
        if let Some(pid) = Pid::from_raw(i32::try_from(self.child.id()).expect("a pid")) {
            let _ = kill_process(pid, Signal::QUIT);
        }
        let _ = self.child.wait();
    }
}

/// The primary is killed, the standby promoted: writes are back within seconds, and nothing acknowledged is missing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failover() {
    let primary = Server::start("primary");
    let database = primary.database().await;
    let standby = Standby::start(&primary).await;
    let admin = primary.connect("postgres").await;
    eventually("the standby streams", async || {
        let row = admin.query_one("SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'", &[]).await;
        (row.expect("a row").get::<_, i64>(0) == 1).then_some(())
    })
    .await;
    set(&admin, "synchronous_standby_names", "*").await;
    let first = primary.socket_folder().to_str().expect("a path").replace('/', "%2F");
    let both = format!(
        "postgresql://postgres@{first},{}/{}?target_session_attrs=read-write&connect_timeout=1",
        standby.host(),
        database.name
    );
    let replica = format!("postgresql://postgres@{}/{}", standby.host(), database.name);
    let settings = [("READ_DATABASE_URL", replica.as_str()), ("REQUEST_DEADLINE", "4s")];
    let service = Service::on(&both, &settings).await;
    service.logged("ready").await;
    let mut acknowledged = Vec::new();
    for n in 0..50 {
        acknowledged.push(service.post(Writer::Gateway, &gateway_audit(&format!("rr-{n}"))).await.audit_id());
    }
    eventually("read at the standby", async || {
        (service.read("/api/v1/incidents").await["pagination"]["total"] == 50).then_some(())
    })
    .await;
    kill_process(Pid::from_raw(primary.postmaster()).expect("a pid"), Signal::KILL).expect("it lives");
    standby.promote(&database.name).await;
    let mut n = 50;
    // Within seconds: a client that knew of no standby would hold on to the primary for ever.
    within(Duration::from_secs(30), "writes again after the promotion", async || {
        n += 1;
        let answer = service.post(Writer::Gateway, &gateway_audit(&format!("rr-{n}"))).await;
        (answer.status == 201).then(|| acknowledged.push(answer.audit_id()))
    })
    .await;
    for id in &acknowledged {
        eventually("each is there", async || {
            (service.get(&format!("/api/v1/audits/{id}")).await.status == 200).then_some(())
        })
        .await;
    }
    assert_eq!(service.get("/health/live").await.status, 200);
}
