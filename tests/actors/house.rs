//! The rules of the house that a compiler does not know: one way to a transaction, one table of facts, one name for one thing.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The sources of the actors, with their text up to their tests.
fn sources() -> Vec<(PathBuf, String)> {
    sources_of("actors/src")
}

fn sources_of(root: &str) -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(root);
    let (mut found, mut folders) = (Vec::new(), vec![root]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder").flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs" || ending == "sql" || ending == "part") {
                let text = fs::read_to_string(&path).expect("text");
                // Without the tests at its end.
                let code = text.split("#[cfg(test)]\n").next().unwrap_or_default().to_owned();
                found.push((path, code));
            }
        }
    }
    assert!(found.len() > 50, "the sources are there");
    found
}

/// The lines of code that have one of these words, outside of the files that may have them.
fn lines_with(words: &[&str], allowed: &[&str]) -> Vec<String> {
    let mut lines = Vec::new();
    for (path, code) in sources() {
        if allowed.iter().any(|file| path.ends_with(file)) {
            continue;
        }
        let code = code.lines().filter(|line| !["//", "-- "].iter().any(|mark| line.trim_start().starts_with(mark)));
        let found = code.filter(|line| words.iter().any(|word| line.contains(word)));
        lines.extend(found.map(|line| format!("{}: {}", path.display(), line.trim())));
    }
    lines
}

#[test]
fn transactions_begin_and_end_in_one_place() {
    let words = ["BEGIN", "COMMIT", "ROLLBACK", "\"40001\"", "\"40P01\""];
    assert_eq!(lines_with(&words, &["db/transaction.rs"]), Vec::<String>::new());
    assert_eq!(lines_with(&["__private"], &[]), Vec::<String>::new());
    let locks = lines_with(&["pg_advisory", "pg_try_advisory"], &["db/transaction.rs"]);
    let others: Vec<&String> = locks.iter().filter(|line| !line.contains("migrate")).collect();
    assert_eq!(others, Vec::<&String>::new(), "locks are taken by their names");
}

/// Whoever adds a fact adds a line to the table, and no list of columns elsewhere.
#[test]
fn lists_of_facts_come_from_the_table() {
    let lists = ["alert_name, alert_severity", "t.alert_name, t.alert_severity", "\"alert_severity\""];
    // What readers get under the names of the published API, and the past as the audits of then make it.
    let allowed = ["domain/facts.rs", "query/incident.rs", "query/incidents_as_of.part"];
    assert_eq!(lines_with(&lists, &allowed), Vec::<String>::new());
}

#[test]
fn one_name_is_one_type() {
    let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (path, code) in sources() {
        for line in code.lines() {
            let line = line.trim_start();
            let line = line.strip_prefix("pub").map_or(line, |rest| {
                let rest = rest.strip_prefix('(').and_then(|rest| rest.split_once(')')).map_or(rest, |(_, rest)| rest);
                rest.trim_start()
            });
            let name = ["struct ", "enum ", "trait ", "type "].iter().find_map(|kind| line.strip_prefix(kind));
            let Some(name) = name else { continue };
            let name: String = name.chars().take_while(|c| c.is_alphanumeric()).collect();
            // Names that a trait gives, or that live within one function.
            if !["Type", "Result", "Context", "Connection", "Error", "Err", "Target"].contains(&name.as_str()) {
                places.entry(name).or_default().push(path.display().to_string());
            }
        }
    }
    let twice: Vec<_> = places.into_iter().filter(|(_, places)| places.len() > 1).collect();
    assert!(twice.is_empty(), "{twice:#?}");
}

/// The arrows of docs/architecture.md point one way.
#[test]
fn rooms_do_not_reach_up() {
    for (room, above) in [
        ("domain", "db error handle totals pg_writer outbox retention query similarity vector_writer auth"),
        ("db", "error handle totals pg_writer outbox retention query similarity vector_writer auth"),
        ("totals", "migrate pg_writer outbox retention query similarity vector_writer"),
        ("pg_writer", "outbox retention query similarity vector_writer"),
        ("vector_writer", "pg_writer outbox retention query similarity"),
        ("query", "pg_writer outbox retention similarity vector_writer"),
        ("outbox", "retention query similarity"),
        ("embedder", "totals pg_writer outbox retention query similarity vector_writer"),
    ] {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("actors/src").join(room);
        for (path, code) in sources().into_iter().filter(|(path, _)| path.starts_with(&root)) {
            for above in above.split(' ') {
                assert!(!code.contains(&format!("crate::{above}::")), "{} uses {above}", path.display());
            }
        }
    }
}

/// No file needs another one that needs it. What a folder's own `mod.rs` says to its files does not count.
#[test]
fn files_need_each_other_one_way() {
    for root in ["src", "actors/src"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(root);
        let name_of = |path: &Path| -> Option<Vec<String>> {
            let names: Vec<String> = path.strip_prefix(&folder).ok()?.with_extension("").iter().map(text_of).collect();
            (path.extension()? == "rs" && !matches!(names.last()?.as_str(), "mod" | "lib" | "main")).then_some(names)
        };
        let files: BTreeMap<Vec<String>, String> =
            sources_of(root).into_iter().filter_map(|(path, code)| Some((name_of(&path)?, code))).collect();
        let mut needs: BTreeMap<&[String], BTreeSet<&[String]>> = BTreeMap::new();
        for (name, code) in &files {
            let paths = code.split("\nuse ").skip(1).filter_map(|rest| rest.split(';').next()).flat_map(paths);
            let absolute = paths.filter_map(|path| absolute(name, &path));
            let file_of = |path: Vec<String>| {
                let ways = (1..=path.len()).rev().filter_map(|names| files.get_key_value(&path[..names]));
                ways.map(|(name, _)| &name[..]).next()
            };
            needs.insert(name, absolute.filter_map(file_of).filter(|file| *file != &name[..]).collect());
        }
        let arrows: usize = needs.values().map(BTreeSet::len).sum();
        assert!(arrows > 100, "{root}: {arrows} arrows");
        // Who needs nobody, or only such, is in no circle.
        loop {
            let free: Vec<&[String]> =
                needs.iter().filter(|(_, needs)| needs.is_empty()).map(|(name, _)| *name).collect();
            if free.is_empty() {
                break;
            }
            needs.retain(|name, _| !free.contains(name));
            needs.values_mut().for_each(|of_one| of_one.retain(|name| !free.contains(name)));
        }
        assert!(needs.is_empty(), "{root}: {needs:#?}");
    }
}

fn text_of(name: &std::ffi::OsStr) -> String {
    name.to_string_lossy().into_owned()
}

/// The paths of a `use`, each by itself.
fn paths(text: &str) -> Vec<Vec<String>> {
    let Some((before, rest)) = text.split_once('{') else {
        let path = text.split(" as ").next().unwrap_or_default();
        return vec![path.split("::").map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect()];
    };
    let before: Vec<String> =
        before.split("::").map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect();
    let (mut depth, mut parts) = (0, vec![String::new()]);
    for letter in rest.trim_end().trim_end_matches('}').chars() {
        depth += i32::from(letter == '{') - i32::from(letter == '}');
        match letter {
            ',' if depth == 0 => parts.push(String::new()),
            letter => parts.last_mut().expect("one part").push(letter),
        }
    }
    let parts = parts.iter().filter(|part| !part.trim().is_empty()).flat_map(|part| paths(part));
    parts.map(|path| before.iter().cloned().chain(path).collect()).collect()
}

/// A path of this file from the root of its crate; `None` where it leads to another crate.
fn absolute(file: &[String], path: &[String]) -> Option<Vec<String>> {
    let up = path.iter().take_while(|name| *name == "super").count();
    match path.first()?.as_str() {
        "crate" => Some(path[1..].to_vec()),
        "super" => Some([&file[..file.len().checked_sub(up)?], &path[up..]].concat()),
        _ => None,
    }
}
