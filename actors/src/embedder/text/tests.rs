//! What is a feature, and what is none.

use super::*;

/// The terms of a text that are no plain words.
fn marked(text: &str) -> Vec<String> {
    let features = TextReader::default().read(text);
    let mut terms: Vec<String> = features
        .into_iter()
        .map(|feature| feature.term)
        .filter(|term| term.starts_with([CODE, DETAIL, TURNED]))
        .collect();
    terms.dedup();
    terms
}

fn words(text: &str) -> Vec<String> {
    TextReader::default().words(text)
}

#[test]
fn codes_are_told_by_their_neighbours() {
    for (text, codes) in [
        ("the container exited with code 137", &["#137"][..]),
        ("Exit Code: 143, Reason: Error", &["#143"]),
        ("terminated by signal 9", &["#9"]),
        ("HTTP/1.1 502 and then 504 from the upstream", &["~1.1", "#502", "#504"]),
        ("answered 429 Too Many Requests", &["#429"]),
        ("ExitCode137 HTTP503Errors", &["#137", "#503"]),
        ("dial tcp 10.0.0.5:5432: connection refused", &["#5432"]),
        ("read tcp 10.0.0.7:48812->10.0.0.5:6379: i/o timeout", &["#6379"]),
        ("port 8443 of the webhook", &["#8443"]),
        ("deadlock detected (SQLSTATE 40P01)", &["#40p01"]),
        ("SQLSTATE 23505", &["#23505"]),
        ("ORA-01555: snapshot too old", &["#ora-1555"]),
        ("ERROR 1205 (HY000): Lock wait timeout", &["#1205"]),
        ("E11000 duplicate key", &["#e11000"]),
        ("failed with 0x80070005", &["#0x80070005"]),
        ("errno 28", &["#28"]),
        ("CVE-2021-44228", &["#cve-2021-44228"]),
        ("Kubernetes 1.29.4, TLS 1.2, PostgreSQL 16", &["~1.29", "~1.2", "~16"]),
        ("upgraded from 1.29 to 1.31", &["~1.29", "~1.31"]),
        ("kubelet v1.30.2", &["~1.30"]),
        ("CPU above 80 % for ten minutes", &["~80%"]),
        ("memory limit of 512Mi", &["~512mi"]),
        ("the objective is 99.9%", &["~99.9%"]),
        ("容器的退出码137", &["#137"]),
        ("exit status of the reporter was 137", &["#137"]),
        ("el contenedor terminó con código de salida 137", &["#137"]),
        ("arrêté avec le code de sortie 137", &["#137"]),
        ("завершилось с кодом выхода 143", &["#143"]),
        ("endete mit Rückgabewert 143", &["#143"]),
        ("με κωδικό εξόδου 137", &["#137"]),
        ("برمز الخروج 137", &["#137"]),
        ("ABEND S0C7", &["#s0c7"]),
        // Counts, sizes, times, measured values, ids and addresses tell nothing.
        ("restarted 137 times in 12 minutes, 502 pods", &[]),
        ("usage is 87 %, 93.4% above the threshold of all", &[]),
        ("at 2026-11-01T10:23:45.123Z on web-1, took 1.25s", &[]),
        ("pid 4711, request 550e8400-e29b-41d4-a716-446655440000", &[]),
        ("image shop/cart:v1.25.3", &[]),
        ("main.go:502: panic", &[]),
        ("ticket OPS-1234, build 502317", &[]),
    ] {
        assert_eq!(marked(text), codes, "{text}");
    }
}

#[test]
fn names_with_digits_are_names_or_not() {
    assert_eq!(
        words("x509 k8s s3 p99 ipv6 eth0 v1beta1 amd64"),
        ["x509", "k8s", "s3", "p99", "ipv6", "eth0", "v1beta1", "amd64"]
    );
    assert_eq!(words("the 99th percentile"), ["p99", "percentil"]);
    assert_eq!(words("web12 node-3 db01"), ["web", "node", "db"]);
    assert_eq!(words("pod web-7d9f8b6c5-x2lp9 of checkout-bcdfg"), ["pod", "web", "checkout"]);
    assert_eq!(words("https tmpfs btrfs pgsql"), ["https", "tmpfs", "btrfs", "pgsql"]);
    assert_eq!(words("a C program, an R script, Go, C++ and C#"), ["c", "program", "r", "script", "go", "c++", "c#"]);
    assert_eq!(words("sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"), ["sha256"]);
}

#[test]
fn negation_marks_the_word_that_it_turns() {
    for (text, turned) in [
        ("the node is not ready", &["!readi"][..]),
        ("no space left on the device", &["!space"]),
        ("cannot connect, can't resolve, isn't yet synced", &["!connect", "!resolv", "!sync"]),
        ("NodeNotReady", &["!readi"]),
        ("nodenotready", &["!readi"]),
        ("it is ready, not. And synced", &[]),
        ("der Dienst startet nicht", &["!startet"]),
        ("не отвечает", &["!отвеча"]),
    ] {
        assert_eq!(marked(text), turned, "{text}");
    }
}

#[test]
fn every_script_has_words() {
    assert_eq!(words("内存不足"), ["内存", "存不", "不足"]);
    assert_eq!(words("メモリ不足"), ["メモ", "モリ", "リ不", "不足"]);
    assert_eq!(words("메모리 부족"), ["메모", "모리", "부족"]);
    assert_eq!(words("переполнены диски"), words("переполнен диск"));
    assert_eq!(words("Résumé der Größe"), words("resume der Grosse"));
    assert_eq!(words("ＨＴＴＰ").len(), 1);
    // The text is clear enough to be told as German, and a form of a word is what German makes of it.
    let german =
        TextReader::default().read("Die Festplatten der Knoten sind voll, deshalb werden keine Daten mehr geschrieben");
    assert!(german.iter().any(|feature| feature.term == "festplatt" && feature.kind == Kind::Form));
}

#[test]
fn names_in_lower_case_are_their_words() {
    let terms = |text| TextReader::default().read(text).into_iter().map(|feature| feature.term).collect::<Vec<_>>();
    assert!(!terms("hyperdrive").contains(&"=disk".to_owned()));
    for part in ["imag", "pull", "backoff"] {
        assert!(terms("imagepullbackoff").contains(&part.to_owned()), "{part}");
    }
    let compound = |text| terms(text).into_iter().find(|term| term.contains("oomkil"));
    assert_eq!(compound("OOMKilled"), compound("oomkilled"));
}

#[test]
fn what_a_query_may_mean_is_loose() {
    let loose =
        |text| TextReader::default().read_loose(text).into_iter().map(|feature| feature.term).collect::<Vec<_>>();
    assert_eq!(loose("pod 53300"), ["#53300", "~53300", "~53300%"]);
    assert!(loose("conexiones rechazadas").contains(&"rechaz".to_owned()));
    assert_eq!(loose("the disk of the node is full"), Vec::<String>::new());
}
