//! A Citus that is there: `CITUS_URL` names a database on its coordinator that knows its workers. Every test has a database of its own on all
//! nodes, which needs some `max_worker_processes` there: three for each test of a process. Without it the tests run on one PostgreSQL.
//! `CITUS_DIRECT` is passed on to the program.

use super::Database;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::process::Stdio;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::sync::{Mutex, OnceCell};
use tokio_postgres::{Client, Config, NoTls};

/// Shards of each table in the tests.
pub const SHARDS: u32 = 4;

/// What the program needs beside this URL of a database.
pub fn settings_of(database_url: &str) -> Vec<(&'static str, String)> {
    if !is_at(database_url) {
        return Vec::new();
    }
    let direct = std::env::var("CITUS_DIRECT").unwrap_or_else(|_| "false".to_owned());
    vec![("DISTRIBUTE", "true".to_owned()), ("DISTRIBUTE_SHARDS", SHARDS.to_string()), ("CITUS_DIRECT", direct)]
}

/// The URL, where there is a Citus.
pub fn url() -> Option<&'static str> {
    static URL: OnceLock<Option<String>> = OnceLock::new();
    URL.get_or_init(|| std::env::var("CITUS_URL").ok().filter(|url| !url.is_empty())).as_deref()
}

/// Whether a test is to be left out there, because it kills or looks into a PostgreSQL of its own. It says so.
pub fn leave_out(test: &str) -> bool {
    let is_there = url().is_some();
    if is_there {
        eprintln!("skipped with CITUS_URL: {test}");
    }
    is_there
}

/// The start of the names of the tests' databases there; a PostgreSQL of a test's own has other names.
const DATABASES: &str = "test_of_citus_";

/// Whether a URL leads to the Citus, also by way of a proxy.
pub fn is_at(database_url: &str) -> bool {
    database_url.contains(&format!("/{DATABASES}"))
}

/// A connection to the coordinator, to pass on.
pub async fn stream() -> std::io::Result<tokio::net::TcpStream> {
    let (host, port) = &nodes().await[0];
    tokio::net::TcpStream::connect((host.as_str(), *port)).await
}

/// The URL without its database.
fn server_of(url: &str) -> String {
    let (server, _) = url.rsplit_once('/').expect("CITUS_URL is like postgresql://user@host:port/database");
    format!("{server}/")
}

/// The URL of another database on the coordinator.
pub fn url_of(database: &str) -> Option<String> {
    url().map(|url| format!("{}{database}", server_of(url)))
}

async fn connect(config: &Config) -> Client {
    let (client, connection) = config.connect(NoTls).await.expect("a connection to a node");
    tokio::spawn(connection);
    client
}

/// The coordinator and the workers, by host and port.
async fn nodes() -> &'static [(String, u16)] {
    static NODES: OnceCell<Vec<(String, u16)>> = OnceCell::const_new();
    NODES.get_or_init(find_nodes).await
}

async fn find_nodes() -> Vec<(String, u16)> {
    let client = connect(&url().expect("CITUS_URL").parse().expect("CITUS_URL")).await;
    let nodes = "SELECT nodename, nodeport FROM pg_dist_node WHERE noderole = 'primary' ORDER BY groupid";
    let rows = client.query(nodes, &[]).await.expect("CITUS_URL leads to a database with the extension citus");
    let port = |port: i32| u16::try_from(port).expect("a port");
    let nodes: Vec<(String, u16)> = rows.iter().map(|row| (row.get(0), port(row.get(1)))).collect();
    assert!(
        nodes.len() > 1,
        "CITUS_URL knows its coordinator (citus_set_coordinator_host) and workers (citus_add_node)"
    );
    nodes
}

fn config(node: &(String, u16), database: &str) -> Config {
    let mut config: Config = url().expect("CITUS_URL").parse().expect("CITUS_URL");
    let mut of_node = Config::new();
    of_node.host(&node.0).port(node.1).dbname(database);
    if let Some(user) = config.get_user() {
        of_node.user(user);
    }
    if let Some(password) = config.get_password() {
        of_node.password(password);
    }
    std::mem::swap(&mut config, &mut of_node);
    config
}

/// A new, empty database on all nodes, which know each other. It goes with the answer.
pub async fn database() -> Database {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let name = format!("{DATABASES}{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    let nodes = nodes().await;
    let maintenance = url().expect("CITUS_URL").rsplit_once('/').expect("a database").1.to_owned();
    static OLD: OnceCell<()> = OnceCell::const_new();
    OLD.get_or_init(|| drop_old(nodes, &maintenance)).await;
    for node in nodes {
        // Made on each node by hand: the extension could do so from the coordinator, but not make itself there.
        let admin = connect(&config(node, &maintenance)).await;
        admin.batch_execute("SET citus.enable_create_database_propagation = off").await.ok();
        admin.batch_execute(&format!("CREATE DATABASE {name}")).await.expect("a new database");
        let own = connect(&config(node, &name)).await;
        own.batch_execute("CREATE EXTENSION citus").await.expect("the extension");
    }
    let client = connect(&config(&nodes[0], &name)).await;
    let add = |sql: &'static str, node: &(String, u16)| {
        let (client, node) = (&client, (node.0.clone(), i32::from(node.1)));
        async move { client.execute(sql, &[&node.0, &node.1]).await.expect(sql) }
    };
    // It tells the nodes the server's roles, which several cannot do at once.
    static ONE_AFTER_THE_OTHER: Mutex<()> = Mutex::const_new(());
    let _turn = ONE_AFTER_THE_OTHER.lock().await;
    add("SELECT citus_set_coordinator_host($1, $2)", &nodes[0]).await;
    for node in &nodes[1..] {
        add("SELECT citus_add_node($1, $2)", node).await;
    }
    client.batch_execute("CREATE EXTENSION vector").await.expect("the extension");
    Database { url: url_of(&name).expect("CITUS_URL"), name: name.clone(), client }
}

/// Drops the databases of test processes that have ended. Those of this one stay as long as it runs: a test may have let go of its own.
async fn drop_old(nodes: &[(String, u16)], maintenance: &str) {
    for node in nodes {
        let admin = connect(&config(node, maintenance)).await;
        admin.batch_execute("SET citus.enable_create_database_propagation = off").await.ok();
        let names = "SELECT datname FROM pg_database WHERE starts_with(datname, $1)";
        for row in admin.query(names, &[&DATABASES]).await.expect("databases") {
            let name: String = row.get(0);
            let pid = name[DATABASES.len()..].split('_').next().expect("a pid");
            if !std::path::Path::new(&format!("/proc/{pid}")).exists() {
                // Another process may be at it.
                admin.batch_execute(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await.ok();
            }
        }
    }
}

/// The server of a node on this machine.
pub struct NodeServer {
    pub name: String,
    config: Config,
    command: Vec<String>,
    user: (u32, u32),
}

/// The servers of all nodes, the coordinator first.
pub async fn servers() -> Vec<NodeServer> {
    let maintenance = url().expect("CITUS_URL").rsplit_once('/').expect("a database").1.to_owned();
    let mut servers = Vec::new();
    for node in nodes().await {
        let config = config(node, &maintenance);
        let postmaster = postmaster(&config).await.expect("it runs");
        let command = std::fs::read(format!("/proc/{postmaster}/cmdline")).expect("a server of this machine");
        let command = command.split(|byte| *byte == 0).filter(|part| !part.is_empty());
        let owner = std::fs::metadata(format!("/proc/{postmaster}")).expect("a process");
        servers.push(NodeServer {
            name: format!("{}:{}", node.0, node.1),
            config,
            command: command.map(|part| String::from_utf8_lossy(part).into_owned()).collect(),
            user: (owner.uid(), owner.gid()),
        });
    }
    servers
}

/// The process that makes the others of a server.
async fn postmaster(config: &Config) -> Option<i32> {
    let (client, connection) = config.connect(NoTls).await.ok()?;
    tokio::spawn(connection);
    let backend: i32 = client.query_one("SELECT pg_backend_pid()", &[]).await.ok()?.get(0);
    let stat = std::fs::read_to_string(format!("/proc/{backend}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

impl NodeServer {
    /// The number that a statement with one text says.
    pub async fn number(&self, sql: &str, text: &str) -> i64 {
        connect(&self.config).await.query_one(sql, &[&text]).await.expect(sql).get(0)
    }

    /// SIGKILL, to all of its processes.
    pub async fn kill(&self) {
        let pid = postmaster(&self.config).await.expect("it runs");
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).expect("its processes");
        let all = std::iter::once(pid).chain(children.split_whitespace().filter_map(|pid| pid.parse().ok()));
        for pid in all {
            let pid = rustix::process::Pid::from_raw(pid).expect("a pid");
            // One may have ended by itself.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    }

    /// Starts it as it was started before, and waits until it answers.
    pub async fn start(&self) {
        super::eventually("the node is back", async || {
            let mut command = std::process::Command::new(&self.command[0]);
            command.args(&self.command[1..]).uid(self.user.0).gid(self.user.1).current_dir("/").process_group(0);
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            // Until the processes before have let go of its memory, it ends at once.
            let mut child = command.spawn().expect("it starts");
            while child.try_wait().expect("a status").is_none() {
                if postmaster(&self.config).await.is_some() {
                    // When it is killed again somebody has to take note of it.
                    std::thread::spawn(move || child.wait());
                    return Some(());
                }
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
            None
        })
        .await;
    }
}
