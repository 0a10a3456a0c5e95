//! The workload behind a target: `production/pod/web-6f7d8c9b5d-x2k4q` and, an hour later, `pod/web-6f7d8c9b5d-9zt7m` are both
//! `deployment/web`. Recurrence, the signal `target` and `group_by=target` compare workloads.

/// The kinds that a target without a namespace in front may begin with.
const KINDS: [&str; 14] = [
    "pod",
    "deployment",
    "replicaset",
    "statefulset",
    "daemonset",
    "job",
    "cronjob",
    "node",
    "service",
    "ingress",
    "namespace",
    "persistentvolumeclaim",
    "persistentvolume",
    "horizontalpodautoscaler",
];

/// The workload of a target: without its namespace, the kind in lower case, and without what a controller appended to the name. What has no
/// kind stays as it is.
pub fn workload(target: &str) -> String {
    let parts: Vec<&str> = target.split('/').map(str::trim).filter(|part| !part.is_empty()).collect();
    let (kind, name) = match parts[..] {
        [kind, name] => (kind, name),
        // A container of a pod.
        [kind, name, _] if KINDS.contains(&kind.to_ascii_lowercase().as_str()) => (kind, name),
        [.., kind, name] => (kind, name),
        _ => return target.trim().to_owned(),
    };
    let (kind, name) = owner(kind.to_lowercase(), name);
    format!("{kind}/{name}")
}

/// Kind and name of what a controller made this of.
fn owner(kind: String, name: &str) -> (String, &str) {
    let of_replica_set = |name| without_suffix(name, is_hash);
    match kind.as_str() {
        "replicaset" => match of_replica_set(name) {
            Some(deployment) => ("deployment".to_owned(), deployment),
            None => (kind, name),
        },
        "pod" => match without_suffix(name, is_random) {
            Some(rest) => match of_replica_set(rest) {
                Some(deployment) => ("deployment".to_owned(), deployment),
                None => (kind, without_suffix(rest, is_run).unwrap_or(rest)),
            },
            None => (kind, name),
        },
        "job" => (kind, without_suffix(name, is_run).unwrap_or(name)),
        _ => (kind, name),
    }
}

/// What stands before the last hyphen, if what stands behind it is of this form.
fn without_suffix(name: &str, is_suffix: fn(&str) -> bool) -> Option<&str> {
    name.rsplit_once('-').filter(|(rest, suffix)| !rest.is_empty() && is_suffix(suffix)).map(|(rest, _)| rest)
}

/// The alphabet that Kubernetes takes for what it appends: no vowels, no 0, 1 and 3.
fn is_of_alphabet(text: &str) -> bool {
    text.bytes().all(|byte| b"bcdfghjklmnpqrstvwxz2456789".contains(&byte))
}

/// What tells the pods of a ReplicaSet, a DaemonSet or a Job from each other.
fn is_random(suffix: &str) -> bool {
    suffix.len() == 5 && is_of_alphabet(suffix)
}

/// A ReplicaSet's hash. A word of that alphabet, such as `https` or `grpc`, has no digit.
fn is_hash(suffix: &str) -> bool {
    (6..=10).contains(&suffix.len()) && is_of_alphabet(suffix) && suffix.bytes().any(|byte| byte.is_ascii_digit())
}

/// A CronJob's number of a run: minutes, or seconds, since 1970.
fn is_run(suffix: &str) -> bool {
    (8..=10).contains(&suffix.len()) && suffix.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_controller_appended_goes() {
        for (target, expected) in [
            ("pod/web-6f7d8c9b5d-x2k4q", "deployment/web"),
            ("pod/web-6f7d8c9b5d-9zt7m", "deployment/web"),
            ("production/Pod/web-6f7d8c9b5d-9zt7m", "deployment/web"),
            ("pod/web-6f7d8c9b5d-9zt7m/sidecar", "deployment/web"),
            ("replicaset/web-6f7d8c9b5d", "deployment/web"),
            ("Deployment/web", "deployment/web"),
            ("deployment/web", "deployment/web"),
            ("ns/Deployment/web", "deployment/web"),
            ("apps/v1/Deployment/web", "deployment/web"),
            ("pod/agent-x2k4q", "pod/agent"),
            ("pod/backup-28512345-x2k4q", "pod/backup"),
            ("job/backup-28512345", "job/backup"),
            ("pod/db-0", "pod/db-0"),
            ("StatefulSet/db", "statefulset/db"),
            ("pod/web-grpc-x2k4q", "pod/web-grpc"),
            ("pod/web-abcde", "pod/web-abcde"),
            ("pod/web-6f7d8c9b5d-x2k41", "pod/web-6f7d8c9b5d-x2k41"),
            ("pod/-x2k4q", "pod/-x2k4q"),
            ("node/ip-10-0-28512345", "node/ip-10-0-28512345"),
            (" web ", "web"),
            ("/", "/"),
            ("pod/", "pod/"),
        ] {
            assert_eq!(workload(target), expected, "{target}");
        }
    }
}
