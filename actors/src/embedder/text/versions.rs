//! Versions: `Kubernetes 1.29`, `TLS 1.2`, `HTTP/2`, `v1.29.3`.

use super::list;
use super::near::{begins_sentence, counts_something, next_word};
use super::telling::{Number, Sort, detail};
use super::tokens::{TextToken, is_unit};

/// Products whose name a version follows.
const PRODUCTS: &str = "\
    kubernetes k8s kubectl kubelet kubeadm openshift ocp postgres postgresql pg mysql mariadb redis kafka java jdk jre jvm \
    openjdk python go golang node nodejs openssl tls ssl tlsv http kernel linux ubuntu debian rhel centos alpine docker \
    containerd crio istio envoy helm elasticsearch opensearch mongodb mongo nginx cuda etcd calico cilium spark php ruby \
    rails net dotnet terraform argocd argo prometheus grafana rabbitmq zookeeper cassandra spring django react angular \
    log4j glibc systemd windows oracle vault consul nomad traefik haproxy coredns rust scala hadoop hive flink airflow \
    jenkins gitlab android ios macos chrome curl openssh ssh smb nfs snmp ipsec ike usb pcie";
/// Of these, those that a whole number behind them names a version of, and not one of many.
const NUMBERED: &str = "\
    postgres postgresql pg mysql java jdk jre openjdk python php cuda debian ubuntu rhel centos windows elasticsearch http \
    tls openshift mariadb ruby angular react oracle android ios smb nfs ike openssl";
const OF_VERSIONS: &[&str] =
    &["version", "versions", "release", "upgrade", "upgraded", "upgrading", "downgrade", "downgraded", "rollback", "v"];

/// `Kubernetes 1.29`, `TLS 1.2`, `HTTP/2`, `PostgreSQL 16`, `from version 1.29 to 1.31`: major and minor.
pub(super) fn version(tokens: &[TextToken<'_>], at: usize, told: &[(usize, Sort)]) -> Option<Number> {
    let token = &tokens[at];
    let parts = token.text.split('.').count();
    let is_whole = parts == 1;
    let is_long = token.text.split('.').zip([4, 3, 9]).any(|(part, most)| part.len() > most);
    let is_counted = if is_whole { counts_something(tokens, at) } else { next_word(tokens, at).is_some_and(is_unit) };
    let behind = at.checked_sub(1).map(|place| &tokens[place]);
    if behind.is_some_and(|word| word.low == "http") && token.before == "/" {
        return Some(detail(major_minor(token.text)));
    }
    if parts > 3 || token.text.contains(',') || is_long || is_counted {
        return None;
    }
    let told_before = !is_whole
        && told
            .last()
            .is_some_and(|(last, sort)| *sort == Sort::Detail && at - last <= 2 && tokens[*last].text.contains('.'));
    let mut is_version = told_before;
    for back in 1..=4 {
        if is_version || begins_sentence(&tokens[at + 1 - back]) {
            break;
        }
        let Some(word) = at.checked_sub(back).map(|place| &tokens[place]) else { break };
        let low = name_of(word);
        let is_tied = back > 1 || !matches!(token.before, ":" | "-" | "@" | "_");
        is_version = is_tied
            && (list::has(PRODUCTS, low) && (!is_whole || back == 1 && list::has(NUMBERED, low))
                || OF_VERSIONS.contains(&low) && (!is_whole || back == 1 && low == "version"));
        let may_stand_between = matches!(
            low,
            "version"
                | "release"
                | "server"
                | "cluster"
                | "to"
                | "from"
                | "the"
                | "is"
                | "was"
                | "control"
                | "plane"
                | "clusters"
        );
        if !may_stand_between {
            break;
        }
    }
    is_version.then(|| detail(major_minor(token.text)))
}

/// `v1.29.3`, but for the tag of an image.
pub(super) fn version_behind_v(tokens: &[TextToken<'_>], at: usize) -> Option<Number> {
    let token = &tokens[at];
    let is_tag = matches!(token.before, ":" | "@" | "-" | "_");
    let of_product = at.checked_sub(1).is_some_and(|place| list::has(PRODUCTS, name_of(&tokens[place])));
    (!is_tag || of_product).then(|| detail(major_minor(&token.low[1..])))
}

pub(super) fn major_minor(version: &str) -> String {
    version.split('.').take(2).collect::<Vec<_>>().join(".")
}

/// The name that a token ends, or is.
fn name_of<'a>(token: &'a TextToken<'_>) -> &'a str {
    token.ends.as_ref().unwrap_or(&token.low)
}
