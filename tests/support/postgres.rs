//! A private PostgreSQL for the process of the tests, by the same code that `--embedded` runs.

use data_storage::embedded::Embedded;
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixStream;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, NoTls, Row};

pub type FromServer = Box<dyn AsyncRead + Send + Unpin>;
pub type ToServer = Box<dyn AsyncWrite + Send + Unpin>;

/// A server that ends with the process of the tests.
pub struct Server {
    socket: PathBuf,
    dir: PathBuf,
    /// Whether it is the one of all tests.
    is_shared: bool,
    /// Its input ends with this process at the latest.
    _remover: Child,
}

/// The start of the folders' names, before the process. Not in `TMPDIR`: PostgreSQL's user has to reach it.
const FOLDERS: &str = "/tmp/data-storage-test-";

/// The server that the tests of this process share.
pub fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| {
        remove_old_folders();
        Server::start("")
    })
}

/// Removes the folders of processes that were killed together with the process that removes their folder.
fn remove_old_folders() {
    let runs = |pid: &str| Path::new(&format!("/proc/{pid}/cwd")).exists();
    if !runs("self") {
        // This system does not say which processes run.
        return;
    }
    for entry in fs::read_dir("/tmp").expect("/tmp").flatten() {
        let path = entry.path();
        let text = path.to_string_lossy().into_owned();
        let Some(pid) = text.strip_prefix(FOLDERS) else { continue };
        let pid = pid.trim_end_matches(|c: char| !c.is_ascii_digit());
        let postmaster = fs::read_to_string(path.join("postgres/data/postmaster.pid")).unwrap_or_default();
        if !runs(pid) && !postmaster.lines().next().is_some_and(|pid| runs(pid.trim())) {
            // Another process may remove the same one.
            let _ = fs::remove_dir_all(&path);
        }
    }
}

/// Waits for the end of its input, then for the end of the server in the folder, and removes the folder.
const REMOVER: &str = r#"
cat > /dev/null
pid=$(head -n 1 "$1/postgres/data/postmaster.pid" 2> /dev/null)
while [ -n "$pid" ] && [ -e "/proc/$pid/cwd" ]; do sleep 0.1; done
rm -rf "$1"
"#;

/// Has a folder removed once this process and the server in the folder have ended, however they end.
fn remover(dir: &Path) -> Child {
    let mut command = Command::new("sh");
    command.args(["-c", REMOVER, "sh"]).arg(dir).current_dir("/").stdin(Stdio::piped());
    command.stdout(Stdio::null()).stderr(Stdio::null());
    // An interrupt from a terminal ends this process, and not the one that removes its folder.
    command.process_group(0).spawn().expect("a shell")
}

impl Server {
    /// A server of a test's own, for what concerns all of its databases; `name` tells it from the others of this process.
    pub fn start(name: &str) -> Self {
        let dir = PathBuf::from(format!("{FOLDERS}{}{name}", std::process::id()));
        fs::create_dir(&dir).expect("a new folder");
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o711)).expect("permissions");
        let remover = remover(&dir);
        let (sender, receiver) = mpsc::channel();
        let is_shared = name.is_empty();
        let (folder, name) = (dir.clone(), name.to_owned());
        // The thread holds the server for as long as the process lives.
        std::thread::spawn(move || {
            actix_web::rt::System::new().block_on(async {
                let embedded =
                    Embedded::start(Some(&folder), None).await.expect("PostgreSQL: run `make postgres` first");
                sender.send(embedded.socket().to_owned()).expect("the test waits");
                // A server that a test kills must not be started again: its keeper gets no turn.
                while !name.is_empty() {
                    std::thread::park();
                }
                std::future::pending::<()>().await;
            });
        });
        Server { socket: receiver.recv().expect("PostgreSQL starts"), dir, is_shared, _remover: remover }
    }

    /// Stops the server's processes where they are, until the answer is dropped.
    pub async fn freeze(&self, database: &Database) -> Frozen {
        // First the one that makes others.
        let mut frozen = Frozen(Vec::new());
        frozen.stop(self.postmaster());
        let backends = "SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND pid IS NOT NULL";
        for row in database.rows(backends, &[]).await {
            frozen.stop(row.get(0));
        }
        frozen
    }

    /// The folder of its data.
    pub fn data(&self) -> PathBuf {
        self.dir.join("postgres/data")
    }

    /// The folder of its programs.
    pub fn programs(&self) -> PathBuf {
        let pid = self.postmaster();
        fs::read_link(format!("/proc/{pid}/exe")).expect("it runs").parent().expect("a folder").to_owned()
    }

    pub fn postmaster(&self) -> i32 {
        let file = fs::read_to_string(self.data().join("postmaster.pid")).expect("it runs");
        file.lines().next().expect("a line").parse().expect("a pid")
    }

    pub fn socket_folder(&self) -> &Path {
        &self.socket
    }

    pub fn url(&self, database: &str) -> String {
        if let Some(url) = super::citus::url_of(database).filter(|_| self.is_shared) {
            return url;
        }
        let host = self.socket.to_string_lossy().replace('/', "%2F");
        format!("postgresql://postgres@{host}/{database}")
    }

    /// The path of its socket.
    pub fn socket(&self) -> PathBuf {
        self.socket.join(".s.PGSQL.5432")
    }

    /// A connection to pass on: what it answers, and where to send.
    pub async fn stream(&self) -> io::Result<(FromServer, ToServer)> {
        if self.is_shared && super::citus::url().is_some() {
            let (from, to) = super::citus::stream().await?.into_split();
            return Ok((Box::new(from), Box::new(to)));
        }
        let (from, to) = UnixStream::connect(self.socket()).await?.into_split();
        Ok((Box::new(from), Box::new(to)))
    }

    pub async fn connect(&self, database: &str) -> Client {
        let (client, connection) = tokio_postgres::connect(&self.url(database), NoTls).await.expect("a connection");
        tokio::spawn(connection);
        client
    }

    /// A new, empty database.
    pub async fn database(&self) -> Database {
        if super::citus::url().is_some() && self.is_shared {
            return super::citus::database().await;
        }
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("test_{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let admin = self.connect("postgres").await;
        admin.batch_execute(&format!("CREATE DATABASE {name}")).await.expect("a new database");
        let client = self.connect(&name).await;
        Database { url: self.url(&name), name, client }
    }
}

/// A database of one test.
pub struct Database {
    pub url: String,
    pub name: String,
    pub client: Client,
}

impl Database {
    pub async fn rows(&self, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Vec<Row> {
        self.client.query(sql, params).await.expect(sql)
    }

    /// The first column of the first row.
    pub async fn number(&self, sql: &str) -> i64 {
        self.client.query_one(sql, &[]).await.expect(sql).get(0)
    }
}

/// Processes that stand still.
pub struct Frozen(Vec<Pid>);

impl Frozen {
    fn stop(&mut self, pid: i32) {
        let pid = Pid::from_raw(pid).expect("a process");
        // A worker that has ended meanwhile does nothing any more.
        if kill_process(pid, Signal::STOP).is_ok() {
            self.0.push(pid);
        }
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        for pid in &self.0 {
            // A backend whose connection was given up may have ended.
            let _ = kill_process(*pid, Signal::CONT);
        }
    }
}
