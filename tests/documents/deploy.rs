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
