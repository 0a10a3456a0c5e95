//! The files of deploy/, each read by the tool that it is for. A tool that is missing skips its test by name, but where
//! `REQUIRE_TOOLS` is set that is a failure.

use crate::pages::file;
use std::path::Path;
use std::process::Command;

/// Whether the tool is there.
pub fn has(tool: &str) -> bool {
    crate::support::has(tool, "--help")
}

pub fn run(tool: &str, args: &[&str]) -> String {
    let output = Command::new(tool).args(args).current_dir(env!("CARGO_MANIFEST_DIR")).output().expect(tool);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{tool}: {text} {}", String::from_utf8_lossy(&output.stderr));
    text
}

#[test]
fn systemd_unit() {
    if !has("systemd-analyze") {
        return;
    }
    // The unit as it ships, but for the program, which is not installed here.
    let unit = file("deploy/systemd/data-storage.service")
        .replace("/usr/local/bin/data-storage", env!("CARGO_BIN_EXE_data-storage"));
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("data-storage.service");
    std::fs::write(&path, unit).expect("written");
    run("systemd-analyze", &["verify", "--man=no", path.to_str().expect("a path")]);
}

#[test]
fn container_file() {
    if !has("hadolint") {
        return;
    }
    run("hadolint", &["deploy/container/Dockerfile"]);
}

/// What compose starts: the service with settings that there are, behind a database that is healthy, on this machine's loopback alone.
#[test]
fn compose_file() {
    let file: serde_json::Value = serde_saphyr::from_str(&file("deploy/compose.yaml")).expect("YAML");
    let service = &file["services"]["data-storage"];
    for (name, value) in service["environment"].as_object().expect("settings") {
        assert!(data_storage::config::VARIABLES.contains(&name.as_str()), "{name}: {value}");
    }
    for port in service["ports"].as_array().expect("ports") {
        assert!(port.as_str().is_some_and(|port| port.starts_with("127.0.0.1:")), "{port}");
    }
    let container = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("deploy")
        .join(service["build"]["context"].as_str().expect("a folder"));
    assert!(container.join(service["build"]["dockerfile"].as_str().expect("a file")).exists());
    let database = service["depends_on"].as_object().and_then(|on| on.keys().next()).expect("a database");
    assert!(file["services"][database]["healthcheck"].is_object());
    assert_eq!(service["depends_on"][database]["condition"], "service_healthy");
}

/// What the image of the service has beside the program: glibc and libgcc of Debian 12, as gcr.io/distroless/cc-debian12.
const OF_THE_IMAGE: [&str; 5] = ["linux-vdso.so.1", "libgcc_s.so.1", "libm.so.6", "libc.so.6", "ld-linux-x86-64.so.2"];

/// The contents of the service's image in a folder, and the program started in it as the image's user, who can write nowhere: it becomes
/// ready, and ends in order.
#[tokio::test]
async fn the_images_contents_are_enough() {
    if !has("unshare") || !has("ldd") {
        return;
    }
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root may change the root folder");
        return;
    }
    let program = env!("CARGO_BIN_EXE_data-storage");
    let root = tempfile::tempdir().expect("a folder");
    let install = |from: &Path, to: &str| {
        let to = root.path().join(to.trim_start_matches('/'));
        std::fs::create_dir_all(to.parent().expect("a folder")).expect("made");
        std::fs::copy(from, to).expect("copied");
    };
    install(Path::new(program), "/usr/local/bin/data-storage");
    for line in run("ldd", &[program]).lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let name = words[0].rsplit('/').next().expect("a name");
        assert!(OF_THE_IMAGE.contains(&name), "{line}: the image does not have it");
        if let Some(path) = words.iter().find(|word| word.starts_with('/')) {
            // The loader is looked for where the program says.
            install(Path::new(path), path);
        }
    }
    std::fs::write(root.path().join("tokens.csv"), "token,user,1").expect("written");
    std::fs::set_permissions(root.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("for all");
    let (database, proxy) = (crate::support::server().database().await, crate::support::proxy::Proxy::start().await);
    let mut child = Command::new("unshare")
        .args(["--root", root.path().to_str().expect("a path"), "--wd", "/", "--setuid", "65532", "--setgid", "65532"])
        .args(["/usr/local/bin/data-storage", "serve"])
        .env_clear()
        .env("DATABASE_URL", proxy.url(&database.name))
        .envs([("LISTEN_ADDR", "127.0.0.1:0"), ("METRICS_ADDR", "127.0.0.1:0"), ("AUTH_MODE", "static")])
        .env("AUTH_TOKENS_FILE", "/tokens.csv")
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("unshare");
    let lines = std::io::BufRead::lines(std::io::BufReader::new(child.stderr.take().expect("a pipe")));
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in lines.map_while(Result::ok) {
            // The test may be over.
            let _ = tell.send(line);
        }
    });
    let mut seen = Vec::new();
    while !seen.last().is_some_and(|line: &String| line.contains("\"message\":\"ready\"")) {
        let line = tokio::time::timeout(std::time::Duration::from_secs(60), told.recv()).await;
        let line = line.ok().flatten().unwrap_or_else(|| panic!("it is not ready: {seen:#?}"));
        seen.push(line);
    }
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("sent");
    let status = tokio::task::spawn_blocking(move || child.wait()).await.expect("no panic").expect("a status");
    assert!(status.success(), "{status}");
}
