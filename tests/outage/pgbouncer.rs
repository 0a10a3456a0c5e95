//! PgBouncer in session mode between the service and PostgreSQL (`make test-pgbouncer`).

use crate::support::proxy::Proxy;
use crate::support::{Service, Writer, eventually, gateway_audit, server};
use futures_util::future::join_all;
use serde_json::json;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

struct PgBouncer {
    program: PathBuf,
    folder: tempfile::TempDir,
    port: u16,
    child: Child,
}

impl PgBouncer {
    fn start(database: &str, server: SocketAddr) -> Self {
        let program = PathBuf::from(std::env::var_os("PGBOUNCER").expect("PGBOUNCER: run make test-pgbouncer"));
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).expect("permissions");
        let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound").port();
        let (host, server_port) = (server.ip(), server.port());
        let settings = format!(
            "[databases]\n{database} = host={host} port={server_port} user=postgres\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
             unix_socket_dir =\nauth_type = any\npool_mode = session\nmax_client_conn = 200\ndefault_pool_size = 60\n"
        );
        std::fs::write(folder.path().join("pgbouncer.ini"), settings).expect("written");
        let child = Self::spawn(&program, &folder);
        PgBouncer { program, folder, port, child }
    }

    fn spawn(program: &Path, folder: &tempfile::TempDir) -> Child {
        let mut command = Command::new(program.join("usr/sbin/pgbouncer"));
        command.arg(folder.path().join("pgbouncer.ini")).stdout(Stdio::null()).stderr(Stdio::null());
        command.env("LD_LIBRARY_PATH", program.join("usr/lib").join(format!("{}-linux-gnu", std::env::consts::ARCH)));
        if rustix::process::geteuid().is_root() {
            // It does not run as root.
            command.uid(65_534).gid(65_534);
        }
        command.spawn().expect("it starts")
    }

    fn kill(&mut self) {
        self.child.kill().expect("it lives");
        self.child.wait().expect("it ends");
    }

    fn restart(&mut self) {
        self.child = Self::spawn(&self.program, &self.folder);
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
#[ignore = "needs PgBouncer: make test-pgbouncer"]
async fn in_session_mode_everything_works_and_comes_back() {
    let database = server().database().await;
    // The socket of the test's PostgreSQL is for its own user.
    let way = Proxy::start().await;
    let mut bouncer = PgBouncer::start(&database.name, way.address);
    let url = format!("postgresql://postgres@127.0.0.1:{}/{}", bouncer.port, database.name);
    let service = Service::on(&url, &[]).await;
    service.logged("ready").await;
    let post = async |n: usize| service.post(Writer::Gateway, &gateway_audit(&format!("rr-{n}"))).await.status;
    assert!(join_all((0..100).map(post)).await.iter().all(|status| *status == 201));
    assert_eq!(service.read("/api/v1/incidents").await["pagination"]["total"], 100);
    eventually("searchable", async || {
        let body = json!({"query": "memory", "min_similarity": 0});
        let found = service.search(&body).await.json();
        (found["coverage"]["searched"] == 100).then_some(())
    })
    .await;
    bouncer.kill();
    assert_eq!(post(100).await, 503);
    bouncer.restart();
    eventually("writes are back", async || (post(101).await == 201).then_some(())).await;
    eventually("reads are back", async || (service.get("/api/v1/incidents").await.status == 200).then_some(())).await;
    assert_eq!(service.get("/health/live").await.status, 200);
}
