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

/// Targets, paths and pages that the README names.
#[test]
fn the_readme_is_true() {
    let (readme, makefile) = (file("README.md"), file("Makefile"));
    for target in ["run", "test", "demo", "build"] {
        assert!(readme.contains(&format!("make {target}")));
        assert!(makefile.lines().any(|line| line.starts_with(&format!("{target}:"))), "{target}");
    }
    for link in readme.split("](").skip(1).filter_map(|rest| rest.split_once(')')) {
        assert!(Path::new(env!("CARGO_MANIFEST_DIR")).join(link.0).exists(), "{}", link.0);
    }
}

/// The curl commands of the README against a service, at its address.
#[tokio::test]
async fn the_readmes_commands_work() {
    let (service, _database) = crate::support::Service::start().await;
    let readme = file("README.md");
    let commands: Vec<&str> = readme.lines().filter(|line| line.starts_with("curl ")).collect();
    assert!(commands.len() >= 4);
    for command in commands {
        let command = command
            .replace("127.0.0.1:8080", &service.address.to_string())
            .replace("127.0.0.1:9090", &service.metrics_address.to_string());
        let output = std::process::Command::new("sh").args(["-c", &format!("{command} -f")]).output().expect("a shell");
        assert!(output.status.success() && !output.stdout.is_empty(), "{command}: {output:?}");
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
            if path.is_dir() {
                if !["target", ".git", ".cache", "data"].contains(&name.as_str()) {
                    folders.push(path);
                }
            } else if let Ok(text) = fs::read_to_string(&path) {
                // Spelt apart, so that this file does not name them.
                for word in [["/wo", "rk/"].concat(), ["TO", "DO"].concat(), ["FIX", "ME"].concat()] {
                    assert!(!text.contains(&word), "{} names {word}", path.display());
                }
            }
        }
    }
}
