use data_storage::config::VARIABLES;
use data_storage::problem::ProblemKind;
use std::fs;
use std::path::Path;

pub fn file(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn every_setting_is_documented_and_every_documented_one_exists() {
    let page = file("docs/configuration.md");
    let documented: Vec<&str> =
        page.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`').map(|(name, _)| name)).collect();
    assert_eq!(documented, VARIABLES);
}

#[test]
fn every_error_is_documented() {
    let page = file("docs/api.md");
    let document = file("docs/openapi.json");
    for kind in ProblemKind::ALL {
        let row = format!("| `{}` | {} |", kind.word(), kind.status().as_u16());
        assert!(page.contains(&row), "{row}");
        assert!(document.contains(&format!("\"{}\"", kind.word())), "{}", kind.word());
    }
}

/// The pages of the project, by their paths.
fn pages() -> Vec<String> {
    let mut found = Vec::new();
    for folder in ["", "docs/", "docs/adr/", "docs/runbooks/", "examples/"] {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        let names = fs::read_dir(root).expect("a folder").flatten().map(|entry| entry.file_name());
        let names = names.filter_map(|name| name.into_string().ok()).filter(|name| name.ends_with(".md"));
        found.extend(names.map(|name| format!("{folder}{name}")));
    }
    found
}

/// Files and sections that the pages link to.
#[test]
fn links_lead_somewhere() {
    let mut count = 0;
    for page in pages() {
        let text = file(&page);
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(&page);
        for (link, _) in text.split("](").skip(1).filter_map(|rest| rest.split_once(')')) {
            let (path, section) = link.split_once('#').unwrap_or((link, ""));
            let target = if path.is_empty() { folder.clone() } else { folder.with_file_name("").join(path) };
            assert!(target.exists(), "{page}: {link}");
            let has_section = || {
                let text = fs::read_to_string(&target).expect("a page");
                text.lines().filter(|line| line.starts_with('#')).any(|line| anchor(line) == section)
            };
            assert!(section.is_empty() || has_section(), "{page}: {link}");
            count += 1;
        }
    }
    assert!(count >= 40, "{count}");
}

/// A heading's name in links.
fn anchor(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    text.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c)).collect::<String>().replace(' ', "-")
}

/// The targets that pages and workflows name are in the Makefile, and `make help` has a line for each.
#[test]
fn every_named_target_is_there() {
    let makefile = file("Makefile");
    let is_name = |c: char| c.is_ascii_lowercase() || c == '-';
    let targets: Vec<&str> = makefile
        .lines()
        .filter_map(|line| line.split_once(':').map(|(target, _)| target))
        .filter(|target| !target.is_empty() && target.chars().all(is_name))
        .collect();
    assert_eq!(targets.first(), Some(&"help"));
    let help = std::process::Command::new("make").current_dir(env!("CARGO_MANIFEST_DIR")).output().expect("make");
    let help = String::from_utf8_lossy(&help.stdout).into_owned();
    for target in &targets {
        assert!(help.contains(&format!("  make {target} ")), "{target} is not in\n{help}");
    }
    let workflows = ["ci", "advisories"].map(|name| format!(".github/workflows/{name}.yml"));
    for page in pages().into_iter().chain(workflows) {
        let text = file(&page);
        // In code and at the start of a command; in prose it is a verb.
        for rest in text.split(['`', '\n']).filter_map(|part| part.trim_start_matches("- run: ").strip_prefix("make "))
        {
            let target = rest.split(|c| !is_name(c)).next().unwrap_or_default();
            assert!(targets.contains(&target), "{page} names make {target}");
        }
    }
}

/// Every record of a decision has its parts and is in the index.
#[test]
fn records_of_decisions_are_whole() {
    let index = file("docs/adr/README.md");
    let records: Vec<String> = pages().into_iter().filter(|page| page.starts_with("docs/adr/0")).collect();
    assert!(records.len() >= 12);
    for record in records {
        let (text, name) = (file(&record), record.trim_start_matches("docs/adr/"));
        assert!(index.contains(&format!("[{}]({name})", &name[..4])), "{name} is not in the index");
        assert!(text.starts_with(&format!("# {}: ", &name[..4])), "{name}");
        for part in ["## Context", "## Decision", "## Consequences"] {
            assert!(text.contains(part), "{name} has no {part}");
        }
    }
}

/// One version of Rust builds, tests and ships; a job runs what a developer runs, with actions that cannot change.
#[test]
fn toolchain_and_workflows_agree() {
    let toolchain = file("rust-toolchain.toml");
    let version = toolchain.split("channel = \"").nth(1).and_then(|rest| rest.split('"').next()).expect("a channel");
    let (minor, _patch) = version.rsplit_once('.').expect("three numbers");
    assert!(file("Cargo.toml").contains(&format!("rust-version = \"{minor}\"")));
    assert!(file("fuzz/Cargo.toml").contains(&format!("rust-version = \"{minor}\"")));
    assert!(file("deploy/container/Dockerfile").contains(&format!("FROM rust:{minor}-")));
    let workflow = file(".github/workflows/ci.yml");
    assert!(workflow.contains("run: make check\n") && workflow.contains("run: .ci/run\n"));
    for workflow in [workflow, file(".github/workflows/advisories.yml"), file(".github/workflows/container.yml")] {
        for action in workflow.lines().filter_map(|line| line.trim().strip_prefix("- uses: ")) {
            let commit = action.split(['@', ' ']).nth(1).expect("a commit");
            assert!(commit.len() == 40 && commit.chars().all(|c| c.is_ascii_hexdigit()), "{action}");
        }
    }
}

/// Metrics that the operators' page names are there.
#[tokio::test]
async fn the_operators_metrics_exist() {
    let (service, _database) = crate::support::Service::start().await;
    service.post(crate::support::Writer::Gateway, &crate::support::gateway_audit("rr")).await.audit_id();
    service.read("/api/v1/incidents").await;
    let url = format!("http://{}/metrics", service.metrics_address);
    let text = service.client.get(url).send().await.expect("metrics").text().await.expect("text");
    let source = file("actors/src/metrics.rs");
    let page = file("docs/operating.md");
    for name in page.split('`').filter(|part| part.starts_with("datastorage_")) {
        let name = name.split('{').next().expect("a name");
        assert!(text.contains(name) || source.contains(name), "{name}");
    }
}

#[test]
fn the_source_speaks_of_the_product_alone() {
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder").flatten() {
            let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
            // In a second work tree .git is a file that names the first.
            if ["target", ".git", ".cache", "data"].contains(&name.as_str()) {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(text) = fs::read_to_string(&path) {
                // Spelt apart, so that this file does not name them.
                for word in [["/wo", "rk/"].concat(), ["TO", "DO"].concat(), ["FIX", "ME"].concat()] {
                    assert!(!text.contains(&word), "{} names {word}", path.display());
                }
            }
        }
    }
}
