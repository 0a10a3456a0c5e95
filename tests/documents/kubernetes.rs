//! deploy/kubernetes and deploy/helm: rendered by their tools, decoded strictly as the API's own types, and within PodSecurity *restricted*.

use crate::deploy::{has, run};
use crate::pages::file;
use crate::support::Writer;
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding};
use k8s_openapi::api::scheduling::v1::PriorityClass;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::process::Command;

/// The objects of a folder, by kind and name.
type Objects = BTreeMap<(String, String), Value>;

fn objects(documents: Vec<Value>) -> Objects {
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    documents.into_iter().map(|object| ((text(&object["kind"]), text(&object["metadata"]["name"])), object)).collect()
}

fn kustomized(folder: &str) -> Objects {
    let text = run("kubectl", &["kustomize", folder]);
    objects(text.split("\n---\n").map(|text| serde_saphyr::from_str(text).expect("YAML")).collect())
}

/// The base with components, as an overlay of somebody's.
fn with_components(components: &[&str]) -> Objects {
    // kustomize takes folders by relative paths only.
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/kubernetes/overlays");
    let folder = tempfile::tempdir_in(root).expect("a folder");
    let list: String = components.iter().map(|name| format!("  - ../../components/{name}\n")).collect();
    let text = format!("resources: [../../base]\ntransformers: [namespace.yaml]\ncomponents:\n{list}");
    let namespace = file("deploy/kubernetes/namespace/namespace.yaml").replace("kubernaut-system", "elsewhere");
    std::fs::write(folder.path().join("namespace.yaml"), namespace).expect("written");
    std::fs::write(folder.path().join("kustomization.yaml"), text).expect("written");
    kustomized(folder.path().to_str().expect("a path"))
}

/// Every set of objects that an operator gets, by a name.
fn rendered() -> Vec<(String, Objects)> {
    let mut all: Vec<(String, Objects)> = ["base", "overlays/dev", "overlays/production"]
        .into_iter()
        .map(|name| (name.to_owned(), kustomized(&format!("deploy/kubernetes/{name}"))))
        .collect();
    let components = ["rbac", "monitoring", "network-policy", "cert-manager", "migrate-job"];
    for component in components {
        all.push((component.to_owned(), with_components(&[component])));
    }
    all.push(("all components".to_owned(), with_components(&components)));
    all
}

/// Decodes an object as its type, and asserts that nothing of it was unknown or of another type.
fn strictly<T: DeserializeOwned + Serialize>(object: &Value, whose: &str) {
    let decoded: T = serde_json::from_value(object.clone()).unwrap_or_else(|error| panic!("{whose}: {error}"));
    let again = serde_json::to_value(&decoded).expect("JSON");
    kept(object, &again, whose);
}

/// Asserts that all that was written is there after decoding.
fn kept(written: &Value, decoded: &Value, at: &str) {
    match (written, decoded) {
        (Value::Object(written), Value::Object(decoded)) => {
            for (name, value) in written {
                kept(value, decoded.get(name).unwrap_or(&Value::Null), &format!("{at}.{name}"));
            }
        }
        (Value::Array(written), Value::Array(decoded)) if written.len() == decoded.len() => {
            for (n, (written, decoded)) in written.iter().zip(decoded).enumerate() {
                kept(written, decoded, &format!("{at}[{n}]"));
            }
        }
        // An empty object may be left out.
        (Value::Object(written), Value::Null) if written.is_empty() => {}
        _ => assert_eq!(written, decoded, "{at}"),
    }
}

#[test]
fn objects_are_what_the_api_knows() {
    if !has("kubectl") {
        return;
    }
    // Of custom resources there is no schema here; their fields are read by their tools alone.
    let mut custom = 0;
    for (name, objects) in rendered() {
        for ((kind, object_name), object) in &objects {
            let whose = format!("{name}: {kind} {object_name}");
            match kind.as_str() {
                "Deployment" => strictly::<Deployment>(object, &whose),
                "StatefulSet" => strictly::<StatefulSet>(object, &whose),
                "Job" => strictly::<Job>(object, &whose),
                "Service" => strictly::<Service>(object, &whose),
                "ServiceAccount" => strictly::<ServiceAccount>(object, &whose),
                "Secret" => {
                    // kustomize breaks long values into lines, which is nothing to a decoder of base64 in Go.
                    let text = object.to_string().replace("\\n", "");
                    strictly::<Secret>(&serde_json::from_str(&text).expect("JSON"), &whose);
                }
                "ConfigMap" => strictly::<ConfigMap>(object, &whose),
                "Namespace" => strictly::<Namespace>(object, &whose),
                "NetworkPolicy" => strictly::<NetworkPolicy>(object, &whose),
                "PodDisruptionBudget" => strictly::<PodDisruptionBudget>(object, &whose),
                "HorizontalPodAutoscaler" => strictly::<HorizontalPodAutoscaler>(object, &whose),
                "PriorityClass" => strictly::<PriorityClass>(object, &whose),
                "ClusterRole" => strictly::<ClusterRole>(object, &whose),
                "ClusterRoleBinding" => strictly::<ClusterRoleBinding>(object, &whose),
                "Role" => strictly::<Role>(object, &whose),
                "RoleBinding" => strictly::<RoleBinding>(object, &whose),
                "ServiceMonitor" | "PrometheusRule" | "Certificate" => custom += 1,
                _ => panic!("{whose}: an unknown kind"),
            }
        }
    }
    assert!(custom >= 3);
}

/// The pod templates of a set of objects.
fn pods(objects: &Objects) -> Vec<(String, &Value)> {
    let of = |((kind, name), object): ((&String, &String), _)| (format!("{kind} {name}"), object);
    objects
        .iter()
        .filter(|((kind, _), _)| ["Deployment", "StatefulSet", "Job"].contains(&kind.as_str()))
        .map(|((kind, name), object)| of(((kind, name), &object["spec"]["template"]["spec"])))
        .collect()
}

/// The rules of the Pod Security Standards, level *restricted* (and *baseline*, which it includes).
#[test]
fn pods_are_restricted() {
    if !has("kubectl") {
        return;
    }
    let volumes =
        ["configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"];
    for (name, objects) in rendered() {
        for (whose, pod) in pods(&objects) {
            let whose = format!("{name}: {whose}");
            for host in ["hostNetwork", "hostPID", "hostIPC"] {
                assert!(pod[host] != true, "{whose}: {host}");
            }
            for volume in pod["volumes"].as_array().into_iter().flatten() {
                let kinds: Vec<&String> =
                    volume.as_object().expect("a volume").keys().filter(|key| *key != "name").collect();
                assert!(kinds.iter().all(|kind| volumes.contains(&kind.as_str())), "{whose}: {volume}");
            }
            let of_pod = &pod["securityContext"];
            let containers = pod["containers"].as_array().into_iter().chain(pod["initContainers"].as_array()).flatten();
            for container in containers {
                let own = &container["securityContext"];
                let setting = |name: &str| if own[name].is_null() { &of_pod[name] } else { &own[name] };
                assert_eq!(own["allowPrivilegeEscalation"], false, "{whose}");
                assert!(own["privileged"] != true, "{whose}");
                assert_eq!(own["capabilities"], json!({"drop": ["ALL"]}), "{whose}");
                assert_eq!(setting("runAsNonRoot"), true, "{whose}");
                assert_ne!(setting("runAsUser"), 0, "{whose}");
                let profile = &setting("seccompProfile")["type"];
                assert!(profile == "RuntimeDefault" || profile == "Localhost", "{whose}: {profile}");
                assert!(
                    container["ports"].as_array().into_iter().flatten().all(|port| port["hostPort"].is_null()),
                    "{whose}"
                );
                // Beyond the standard: what a scheduler needs to know, and a file system that nobody writes to.
                assert!(container["resources"]["limits"]["memory"].is_string(), "{whose}");
                assert!(container["resources"]["requests"]["cpu"].is_string(), "{whose}");
                assert_eq!(own["readOnlyRootFilesystem"], true, "{whose}");
            }
        }
    }
}

/// One namespace for all, in roles' subjects too; probes, settings and times that fit the service.
#[test]
fn what_the_service_needs_is_there() {
    if !has("kubectl") {
        return;
    }
    for (name, objects) in rendered() {
        let deployment = &objects[&("Deployment".to_owned(), "data-storage".to_owned())];
        let namespace = &deployment["metadata"]["namespace"];
        for ((kind, _), object) in &objects {
            if let Some(own) = object["metadata"].get("namespace") {
                assert_eq!(own, namespace, "{name}: {kind}");
            }
            for subject in object["subjects"].as_array().into_iter().flatten() {
                assert_eq!(&subject["namespace"], namespace, "{name}: {kind}");
            }
        }
        let pod = &deployment["spec"]["template"]["spec"];
        let container = &pod["containers"][0];
        let env: BTreeMap<&str, &str> = container["env"]
            .as_array()
            .expect("settings")
            .iter()
            .map(|setting| (setting["name"].as_str().expect("a name"), setting["value"].as_str().expect("a value")))
            .collect();
        for setting in env.keys() {
            assert!(data_storage::config::VARIABLES.contains(setting), "{name}: {setting}");
        }
        assert_eq!(env["SHUTDOWN_DELAY"], "5s");
        let pre_stop = container["lifecycle"]["preStop"]["sleep"]["seconds"].as_i64().unwrap_or(0);
        let grace = pod["terminationGracePeriodSeconds"].as_i64().expect("a grace");
        assert!(grace > pre_stop + 5 + 25, "{name}: {grace} s for preStop, SHUTDOWN_DELAY and SHUTDOWN_GRACE");
        for (probe, path) in [("startupProbe", "live"), ("livenessProbe", "live"), ("readinessProbe", "ready")] {
            assert_eq!(container[probe]["httpGet"], json!({"path": format!("/health/{path}"), "port": "metrics"}));
        }
        assert_eq!(
            env.contains_key("AUTHZ_MODE"),
            name == "rbac" || name.contains("production") || name.contains("all")
        );
        assert_eq!(env.contains_key("TLS_CERT_FILE"), name == "cert-manager" || name.contains("all"));
        let roles = objects.keys().filter(|(kind, name)| kind == "ClusterRole" && name.ends_with("-review")).count();
        assert_eq!(
            roles,
            if env.contains_key("AUTHZ_MODE") { 2 } else { 1 },
            "{name}: lists need no more than token reviews"
        );
        if env.contains_key("AUTHZ_MODE") {
            let bindings: String = objects
                .iter()
                .filter(|((kind, _), _)| kind == "RoleBinding")
                .map(|(_, object)| object.to_string())
                .collect();
            for writer in Writer::ALL {
                let named = bindings.contains(&format!("\"{}\"", writer.account()));
                assert_eq!(named, writer != Writer::Stranger, "{}", writer.account());
            }
        }
    }
}

/// The reader of agents, whose role is that of the service's own files, and kagent's server.
#[test]
fn agents() {
    if !has("kubectl") {
        return;
    }
    let text = run("kubectl", &["kustomize", "deploy/agents"]);
    for part in [
        "kind: RemoteMCPServer",
        "protocol: STREAMABLE_HTTP",
        ":8080/mcp",
        "type: kubernetes.io/service-account-token",
        "kubernetes.io/service-account.name: memory-reader",
        "name: data-storage-reader",
    ] {
        assert!(text.contains(part), "{part}");
    }
    assert!(
        kustomized("deploy/kubernetes/overlays/production")
            .contains_key(&("Role".into(), "data-storage-reader".into()))
    );
}

/// Helm's own code renders the chart: the same objects as kustomize, and a refusal of values that are wrong.
#[test]
fn the_chart_makes_the_same_objects() {
    let chart = "deploy/helm/data-storage";
    let python = |args: &[&str]| {
        let mut command = Command::new("python3");
        command.args(args).current_dir(env!("CARGO_MANIFEST_DIR")).output().expect("python3")
    };
    if !python(&["-c", "import helm_python, yaml"]).status.success() {
        assert!(std::env::var_os("REQUIRE_TOOLS").is_none(), "helm-python-sdk and pyyaml are needed here");
        eprintln!("skipped: there is no helm-python-sdk");
        return;
    }
    if !has("kubectl") {
        return;
    }
    let rendered = |values: &[&str]| {
        let output = python(&[&["tools/render_chart.py", chart], values].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        objects(serde_json::from_slice(&output.stdout).expect("JSON"))
    };
    let same = |left: Objects, right: Objects| {
        assert_eq!(left.keys().collect::<Vec<_>>(), right.keys().collect::<Vec<_>>());
        for (key, object) in left {
            assert_eq!(object, right[&key], "{key:?}");
        }
    };
    same(rendered(&[]), kustomized("deploy/kubernetes/base"));
    same(rendered(&[&format!("{chart}/values-production.yaml")]), kustomized("deploy/kubernetes/overlays/production"));
    let folder = tempfile::tempdir().expect("a folder");
    let values = folder.path().join("values.yaml");
    let values_path = values.to_str().expect("a path");
    std::fs::write(&values, "certManager: {enabled: true}\nsettings: {RETENTION_MONTHS: \"24\"}\n").expect("written");
    let with_tls = rendered(&[values_path]);
    assert!(with_tls.contains_key(&("Certificate".into(), "data-storage".into())));
    let deployment = with_tls[&("Deployment".to_owned(), "data-storage".to_owned())].to_string();
    assert!(deployment.contains("RETENTION_MONTHS") && deployment.contains("TLS_CERT_FILE"));
    for (wrong, word) in [
        ("replicaCount: 2", "replicaCount"),
        ("terminationGracePeriodSeconds: 10", "terminationGracePeriodSeconds"),
        ("settings: {retention: \"24\"}", "retention"),
        ("networkPolicy: {apiServerCidrs: []}", "apiServerCidrs"),
    ] {
        std::fs::write(&values, wrong).expect("written");
        let output = python(&["tools/render_chart.py", chart, values_path]);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && text.contains(word), "{wrong}: {text}");
    }
    assert!(
        file("deploy/helm/data-storage/Chart.yaml").contains(&format!("appVersion: {}", env!("CARGO_PKG_VERSION")))
    );
}
