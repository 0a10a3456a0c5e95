//! Every shipped .sql keeps to the forms that are to run on one PostgreSQL and on a distributed one (docs/architecture.md, "Buckets"). Whether they do is tried
//! on a real one; this test only keeps the list.

use data_storage_actors::db::template::placed;
use std::fs;
use std::path::{Path, PathBuf};

/// All .sql files below a folder, with their text.
fn files(folder: &str) -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut found = Vec::new();
    let mut folders = vec![root];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder").flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "sql") {
                let text = fs::read_to_string(&path).expect("text");
                found.push((path, text));
            }
        }
    }
    assert!(!found.is_empty(), "{folder}");
    found
}

/// The text without comments, in lower case, with single spaces.
fn plain(sql: &str) -> String {
    let lines: Vec<&str> = sql.lines().map(|line| line.split("--").next().unwrap_or_default()).collect();
    lines.join(" ").to_lowercase().split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What is wrong with a statement; empty when nothing is.
fn faults_of_statement(sql: &str) -> Vec<&'static str> {
    let text = plain(sql);
    let mut faults = Vec::new();
    for (word, fault) in [
        ("now()", "takes the database's clock"),
        ("current_timestamp", "takes the database's clock"),
        ("clock_timestamp", "takes the database's clock"),
        ("ctid", "uses ctid"),
        ("create trigger", "makes a trigger"),
        ("copy ", "copies"),
    ] {
        if text.contains(word) {
            faults.push(fault);
        }
    }
    if let Some(at) = text.find("insert into ") {
        let insert = &text[at..];
        if !text.contains("from unnest(") && !text.contains("using unnest(") {
            faults.push("inserts otherwise than from unnest");
        }
        if !insert.contains("order by") {
            faults.push("inserts rows that are not sorted");
        }
        if let Some(conflict) = insert.find("on conflict (").map(|at| &insert[at + 13..])
            && !conflict.starts_with("bucket")
        {
            faults.push("has a conflict without the bucket");
        }
    }
    if text.contains("for update") && !text.contains("bucket = $1") {
        faults.push("locks rows of more than one bucket");
    }
    faults.extend(faults_of_distributed(&plain(&placed(sql, true))));
    // A part of a WITH that writes a table; the rest must not read it.
    for write in ["update ", "insert into ", "delete from "] {
        if let Some(at) = text.find(write).filter(|at| text[..*at].contains("with ")) {
            let table = text[at + write.len()..].split(' ').next().unwrap_or_default();
            let end = at + text[at..].find("returning").unwrap_or(0);
            if text[end..].contains(&format!("from {table}")) || text[end..].contains(&format!("join {table}")) {
                faults.push("reads a table that another part of it writes");
            }
        }
    }
    faults
}

/// What a statement for distributed tables has that Citus does not take (seen on Citus 14.0.1).
fn faults_of_distributed(text: &str) -> Vec<&'static str> {
    let mut faults = Vec::new();
    // Of rows that are not a table's a subquery cannot be looked up one by one.
    if text.contains("from unnest(") && text.contains("exists (select") {
        faults.push("looks up a subquery for each row of unnest");
    }
    if text.contains("lateral (select") && text.contains("from unnest(") && text.contains(" limit ") {
        faults.push("has a LIMIT for each row of unnest");
    }
    if text.contains("select from ") {
        faults.push("selects nothing");
    }
    if text.contains("grouping(") || text.contains("grouping sets") {
        faults.push("groups by several sets");
    }
    if let Some(update) = text.find("do update").map(|at| &text[at..]) {
        let update = update.split(" returning ").next().unwrap_or_default();
        if update.contains('$') {
            faults.push("has a parameter in DO UPDATE");
        }
        if update.contains("pg_current_xact_id") {
            faults.push("has a function in DO UPDATE that is not immutable");
        }
    }
    if let Some(update) = text.find("update ").filter(|at| !text[..*at].contains("insert into")).map(|at| &text[at..])
        && update.contains("returning")
        && update.split("returning").nth(1).is_some_and(|returning| returning.contains("date_part"))
    {
        faults.push("returns a function that is not immutable");
    }
    faults
}

/// Statements about the server itself, which go by its own clock.
const OF_THE_SERVER: [&str; 2] = ["db/measure.sql", "db/replica_lag.sql"];

#[test]
fn statements_keep_to_the_list() {
    for (path, sql) in files("actors/src") {
        let mut faults = faults_of_statement(&sql);
        if OF_THE_SERVER.iter().any(|name| path.ends_with(name)) {
            faults.retain(|fault| *fault != "takes the database's clock");
        }
        assert_eq!(faults, Vec::<&str>::new(), "{}", path.display());
        let name = sql.lines().next().and_then(|line| line.strip_prefix("-- ")).unwrap_or_default();
        let stem = path.file_stem().expect("a name").to_string_lossy().into_owned();
        let folder = path.parent().and_then(Path::file_name).expect("a folder").to_string_lossy().into_owned();
        let expected = format!("{folder}.{stem}");
        assert_eq!(name, expected, "{} opens with its name", path.display());
    }
}

#[test]
fn tables_bear_their_bucket() {
    for (path, sql) in files("migrations") {
        let text = plain(&sql);
        // A distributed store gets no trigger.
        let triggers = text.split("create trigger").count() - 1;
        assert!(
            triggers == 0
                || text
                    .contains("if not exists (select from pg_extension where extname = 'citus') then create trigger")
        );
        assert!(!text.contains(" default now()"), "{}", path.display());
        for table in text.split("create table ").skip(1) {
            let table = table.split(';').next().expect("its text");
            let name = table.split(' ').next().expect("its name");
            assert!(table.contains("bucket int not null"), "{name} bears no bucket");
            assert!(table.contains("primary key (bucket"), "{name} has a key without the bucket");
        }
        for index in text.split("create unique index ").skip(1) {
            assert!(index.contains("(bucket"), "a unique index without the bucket: {index}");
        }
        assert!(!text.contains(" unique ("), "{}", path.display());
    }
}

/// The list itself: each rule finds what it is for.
#[test]
fn the_rules_can_fail() {
    for bad in [
        "INSERT INTO t (a) VALUES ($1)",
        "INSERT INTO t SELECT * FROM unnest($1::int[]) AS u (a)",
        "INSERT INTO t SELECT * FROM unnest($1::int[]) AS u (a) ORDER BY a ON CONFLICT (a) DO NOTHING",
        "UPDATE t SET a = now() WHERE bucket = $1",
        "SELECT * FROM t WHERE ctid = $1",
        "SELECT a FROM t FOR UPDATE",
        "WITH w AS (UPDATE t SET a = 1 WHERE bucket = $1 RETURNING a) SELECT * FROM w JOIN t ON true",
        "SELECT u.a FROM unnest($1::int[]) AS u (a) WHERE NOT EXISTS (SELECT 1 FROM t WHERE t.a = u.a)",
        "SELECT u.a FROM unnest($1::int[]) AS u (a) CROSS JOIN LATERAL (SELECT 1 FROM t WHERE t.a = u.a LIMIT 1) AS p",
        "SELECT a FROM t /*distributed WHERE EXISTS (SELECT FROM u) */",
        "SELECT count(*) FROM t GROUP BY GROUPING SETS ((a), (b))",
        "INSERT INTO t SELECT u.a FROM unnest($1::int[]) AS u (a) ORDER BY a ON CONFLICT (bucket) DO UPDATE SET a = 1 WHERE t.a < $2",
        "UPDATE t SET a = 1 RETURNING date_part('epoch', b)",
    ] {
        assert_ne!(faults_of_statement(bad), Vec::<&str>::new(), "{bad}");
    }
}
